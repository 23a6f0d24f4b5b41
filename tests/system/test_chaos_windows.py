"""The twelve kill windows as faults of the harness: each is hit exactly, with every death that can be.

What a caller may see in which window, `test_kill_windows` has; there the worker's program takes part. Here the harness
does it alone, through the link and the agent, as it does in a run.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio.testing
from _arenas import AT_ONCE, STRIKE, Stage, comes_true, stage
from _workers import PATIENCE, state

from chaos import FaultMissed, FaultUnavailable
from chaos.faults._registry import INJECTORS
from chaos.scenario._fault import Death, Selector, Window
from chaos.scenario._process_faults import Kill
from chaos.workload._ledger import BEGIN, EFFECT, END
from trio_pool import HealthStatus, WorkerExited, WorkerReady
from trio_pool.errors import TrioPoolError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from chaos.faults._injection import Injected

pytestmark = pytest.mark.slow

DEATHS = [death for death in Death if death not in (Death.TERM, Death.INT)]
BRIEF = [Death.KILL, Death.SEGV, Death.EXIT_0, Death.EXIT_3]
"""The deaths of the strategy; the other signals differ from SEGV in their number alone, and have one window each."""


def kill(window: Window, death: Death = Death.KILL, **fields: Any) -> Kill:
    return Kill(name="fault", at=AT_ONCE, window=window, death=death, **fields)


@attrs.define(eq=False)
class Attempt:
    """A window that is armed by a task of its own."""

    there: Stage
    spec: Kill
    over: trio.Event = attrs.field(factory=trio.Event)
    effect: dict[str, Any] = attrs.field(factory=dict[str, Any])
    missed: BaseException | None = None
    healed: bool = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        injected: Injected | None = None
        task_status.started()
        try:
            async with INJECTORS["kill"](self.spec, STRIKE, (), self.there.arena) as injected:
                self.effect = dict(injected.effect)
        except FaultMissed as exc:
            self.missed = exc
        else:
            self.healed = injected.healed()
        self.over.set()


@asynccontextmanager
async def armed(there: Stage, spec: Kill) -> AsyncIterator[Attempt]:
    """Arm a window for a block, at the end of which it must have been hit."""
    attempt = Attempt(there, spec)
    with trio.fail_after(2 * PATIENCE):
        async with trio.open_nursery() as nursery:
            await nursery.start(attempt.run)
            await trio.testing.wait_all_tasks_blocked()
            yield attempt
            await attempt.over.wait()


async def ask(there: Stage, request: int, **arguments: Any) -> str:
    """Return ``ok``, or the outcome of the error."""
    try:
        await there.work(request, **arguments)
    except TrioPoolError as exc:
        return str(exc.outcome)
    return "ok"


def expected(death: Death) -> str:
    return f"exit code {death.value[5:]}" if death.value.startswith("exit") else f"SIG{death.value}"


async def whole_again(there: Stage, attempt: Attempt, death: Death) -> None:
    """The one worker died so and no other; the pool is whole, and the next request runs once."""
    await attempt.over.wait()
    assert attempt.missed is None
    assert attempt.healed
    exited = await there.saw(WorkerExited, 1)
    assert [(str(event.exit), event.pid) for event in exited] == [(expected(death), attempt.effect["pid"])]
    await there.saw(WorkerReady, 3)
    before = len(there.ledger())
    assert await ask(there, 1000) == "ok"
    assert there.ledger()[before:] == [(BEGIN, 1000), (EFFECT, 1000), (END, 1000)]


RUN_ONCE = [(BEGIN, 1), (EFFECT, 1), (END, 1)]


@pytest.mark.parametrize("death", BRIEF)
@pytest.mark.parametrize(
    ("window", "outcome", "ledger"),
    [
        (Window.W2, "ok", RUN_ONCE),
        (Window.W3, "ok", RUN_ONCE),
        (Window.W4, "ok", RUN_ONCE),
        (Window.W5, "maybe_executed", [(BEGIN, 1)]),
        (Window.W6, "maybe_executed", [(BEGIN, 1), (EFFECT, 1)]),
        (Window.W7, "maybe_executed", RUN_ONCE),
        (Window.W8, "ok", RUN_ONCE),
        (Window.W9, "ok", RUN_ONCE),
    ],
)
async def test_a_request_meets_a_death_in_its_window(
    tmp_path: Path, window: Window, death: Death, outcome: str, ledger: list[tuple[int, int]]
) -> None:
    """What ran, by the ledger, and what its caller got are those of just this window; then all is well again."""
    async with stage(tmp_path) as there:
        async with armed(there, kill(window, death)) as attempt:
            assert await ask(there, 1) == outcome
            assert there.ledger() == ledger
        assert attempt.effect["window"] == window
        assert attempt.effect["hit"] == 1
        await whole_again(there, attempt, death)


@pytest.mark.parametrize("death", [death for death in DEATHS if death not in BRIEF])
async def test_every_signal_that_kills_is_a_death_in_a_window(tmp_path: Path, death: Death) -> None:
    """ABRT, BUS, FPE, HUP and QUIT stop a worker with a request in its socket before it reads that."""
    async with stage(tmp_path) as there:
        async with armed(there, kill(Window.W4, death)) as attempt:
            assert await ask(there, 1) == "ok"
            assert there.ledger() == RUN_ONCE
        await whole_again(there, attempt, death)


@pytest.mark.parametrize("death", BRIEF)
async def test_w1_takes_an_idle_worker(tmp_path: Path, death: Death) -> None:
    """Of two workers the one that is idle dies; the other's request goes on."""
    answers: list[str] = []

    async def long(there: Stage) -> None:
        answers.append(await ask(there, 1, seconds=0.5))

    async with stage(tmp_path) as there:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(long, there)
            await comes_true(lambda: there.ledger() == [(BEGIN, 1)])
            busy = next(worker.pid for worker in there.pool.get_pool_status().workers if worker.status == "busy")
            async with armed(there, kill(Window.W1, death)) as attempt:
                await attempt.over.wait()
        assert attempt.effect["pid"] != busy
        assert answers == ["ok"]
        await whole_again(there, attempt, death)


@pytest.mark.parametrize("death", BRIEF)
async def test_w10_takes_a_worker_that_is_about_to_be_ready(tmp_path: Path, death: Death) -> None:
    """One is killed so that another starts; that one's ready frame is never heard, and the third serves."""
    async with stage(tmp_path) as there:
        async with armed(there, kill(Window.W10, death)) as attempt:
            await attempt.over.wait()
        first, second = await there.saw(WorkerExited, 2)
        assert [str(first.exit), str(second.exit)] == ["SIGKILL", expected(death)]
        assert second.pid == attempt.effect["pid"]
        await there.saw(WorkerReady, 3)
        assert second.incarnation not in {event.incarnation for event in there.seen(WorkerReady)}
        assert await ask(there, 1) == "ok"


@pytest.mark.parametrize("death", BRIEF)
async def test_w11_takes_a_worker_that_has_been_pinged(tmp_path: Path, death: Death) -> None:
    """The ping is written and never read; nobody's request was there to be lost."""
    health = {"interval": 0.05, "timeout": 60.0, "misses": 2}
    async with stage(tmp_path, health=health) as there:
        async with armed(there, kill(Window.W11, death)) as attempt:
            await attempt.over.wait()
        assert attempt.effect["command"] == "ping"
        await whole_again(there, attempt, death)
        assert (await there.pool.health_check()).status is HealthStatus.HEALTHY


@pytest.mark.parametrize("death", BRIEF)
async def test_w12_takes_a_worker_that_is_being_stopped(tmp_path: Path, death: Death) -> None:
    """The stop is as fast as ever; called off while it waits, the window stays armed and says itself whom it took."""
    records: list[dict[str, Any]] = []
    async with stage(tmp_path) as there:
        assert await ask(there, 1) == "ok"

        def note(kind: str, /, **fields: Any) -> None:
            assert state(fields["pid"]) in "ZX"  # dead, before the pool goes on
            records.append({"type": kind, **fields})

        arena = attrs.evolve(there.arena, record=note)

        async def arm(*, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
            task_status.started()
            async with INJECTORS["kill"](kill(Window.W12, death), STRIKE, (), arena):
                pytest.fail("nobody was stopped yet")

        async with trio.open_nursery() as nursery:
            await nursery.start(arm)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        closing = trio.current_time()
    assert trio.current_time() - closing < 5.0 + 2.0  # the promise itself
    exits = {event.pid: str(event.exit) for event in there.seen(WorkerExited)}
    (record,) = records
    assert record["type"] == "inject"
    assert exits.pop(record["pid"]) == expected(death)
    assert list(exits.values()) == ["exit code 0"]
    assert len(there.seen(WorkerReady)) == 2


async def test_the_nth_time_counts_over_all_workers(tmp_path: Path) -> None:
    """Two requests pass, whoever has them, and the third meets the death."""
    async with stage(tmp_path) as there:
        async with armed(there, kill(Window.W7, nth=3)) as attempt:
            assert [await ask(there, number) for number in (1, 2, 3)] == ["ok", "ok", "maybe_executed"]
        await whole_again(there, attempt, Death.KILL)


async def test_a_window_may_be_one_slots(tmp_path: Path) -> None:
    """Whoever else comes to it is let pass."""
    async with stage(tmp_path) as there:
        async with armed(there, kill(Window.W2, target=Selector(slot=1))) as attempt, trio.open_nursery() as nursery:
            for number in (1, 2):
                nursery.start_soon(there.work, number)
        assert attempt.effect["slot"] == 1
        await whole_again(there, attempt, Death.KILL)


async def test_a_window_that_is_called_off_leaves_nothing(tmp_path: Path) -> None:
    """Requests go on as if nobody had waited for them, and no order is left for the agents."""
    async with stage(tmp_path) as there:
        for window in Window:
            if window in (Window.W1, Window.W10, Window.W12):
                continue  # hit at once, or armed for the end
            with trio.move_on_after(0.02):
                async with INJECTORS["kill"](kill(window), STRIKE, (), there.arena):
                    pytest.fail("nobody came")
            assert await ask(there, 1) == "ok"
        assert there.seen(WorkerExited) == []
        assert list((there.folder / "orders" / "step").iterdir()) == []
        assert there.launcher.on_open == []


@pytest.mark.parametrize("death", [Death.TERM, Death.INT])
def test_deaths_that_only_ask_are_refused(death: Death) -> None:
    """There is no exact moment at which such a worker ends."""
    with pytest.raises(ValueError, match="asks"):
        kill(Window.W4, death)


async def test_without_links_there_are_no_windows(tmp_path: Path) -> None:
    """A pool with a launcher of its own is told so."""
    async with stage(tmp_path, size=1) as there:
        arena = attrs.evolve(there.arena, launcher=None)
        with pytest.raises(FaultUnavailable, match="ChaosLauncher"):
            async with INJECTORS["kill"](kill(Window.W2), STRIKE, (), arena):
                pytest.fail("it cannot be had")
