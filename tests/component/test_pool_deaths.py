"""Deaths of workers: what they cost, and what they do not."""

from __future__ import annotations

import math
import os
import signal
import time
from typing import TYPE_CHECKING

import _apps
import pytest
import trio
import trio.testing
from _pools import (
    APP,
    foreign,
    kill,
    pid_of,
    repeat,
    settled,
)
from _workers import PATIENCE

import trio_pool
from trio_pool import PoolConfig

if TYPE_CHECKING:
    from pathlib import Path

    from trio_pool import PoolEvent, SessionPool

pytestmark = pytest.mark.slow


async def test_killing_an_idle_worker_costs_no_request_and_it_is_replaced() -> None:
    """Requests right after the kill succeed, and the pool is soon at full strength with another pid."""
    async with trio_pool.open_pool(APP, size=2) as pool:
        victim = pool.get_pool_status().workers[0]
        with trio.fail_after(PATIENCE), pool.events() as events:
            kill(victim)
            for n in range(50):
                assert await pool.execute_anonymous("quick", {"n": n}) == n + 1
            async for event in events:
                if isinstance(event, trio_pool.WorkerExited):
                    break
        await settled(pool)
        assert victim.pid not in {info.pid for info in pool.get_pool_status().workers}
        assert pool.get_pool_status().metrics.failed == 0


async def test_a_worker_that_is_being_buried_is_given_nothing(tmp_path: Path) -> None:
    """From the moment its death is noticed a worker gets no request, however long its last words take."""
    file = tmp_path / "notes"
    async with trio_pool.open_pool(APP, size=2) as pool:
        victim = await pool.execute_anonymous("leave_a_child", {"path": str(file)})
        child = int(_apps.notes(file)[0])
        try:
            os.kill(victim, signal.SIGKILL)
            with trio.fail_after(PATIENCE):
                while victim in {info.pid for info in pool.get_pool_status().workers if info.status == "ready"}:
                    await trio.testing.wait_all_tasks_blocked(0.001)
                while victim in {info.pid for info in pool.get_pool_status().workers}:
                    assert await pool.execute_anonymous("pid") != victim
        finally:
            os.kill(child, signal.SIGKILL)
        assert pool.get_pool_status().metrics.redispatched == 0


@pytest.mark.parametrize(
    ("how", "exit_"), [("kill", "SIGKILL"), ("segv", "SIGSEGV"), ("0", "exit code 0"), ("3", "exit code 3")]
)
async def test_a_death_costs_the_request_begun_there_and_no_other(tmp_path: Path, how: str, exit_: str) -> None:
    """The one running request is WorkerCrashed, maybe executed; those queued all succeed."""
    file = tmp_path / "notes"
    async with trio_pool.open_pool(APP, size=1) as pool, trio.open_nursery() as nursery:
        errors: list[trio_pool.WorkerCrashed] = []
        values: list[int] = []

        async def crash() -> None:
            try:
                await pool.execute_anonymous("die", {"path": str(file), "how": how})
            except trio_pool.WorkerCrashed as exc:
                errors.append(exc)

        async def ask(n: int) -> None:
            values.append(await pool.execute_anonymous("quick", {"n": n}))

        nursery.start_soon(crash)
        await trio.testing.wait_all_tasks_blocked()
        for n in range(5):
            nursery.start_soon(ask, n)
    assert [(str(error.exit), error.outcome) for error in errors] == [(exit_, "maybe_executed")]
    assert sorted(values) == [1, 2, 3, 4, 5]


async def test_a_request_that_was_not_begun_is_dispatched_again(tmp_path: Path) -> None:
    """Written to a frozen worker and never begun, a request moves to another when that worker dies, and runs once."""
    file = tmp_path / "notes"
    async with trio_pool.open_pool(APP, size=1) as pool, trio.open_nursery() as nursery:
        victim = pool.get_pool_status().workers[0]
        kill(victim, signal.SIGSTOP)
        answers: list[int] = []

        async def ask() -> None:
            answers.append(await pool.execute_anonymous("note_only", {"path": str(file), "token": 9}))

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        (info,) = pool.get_pool_status().workers
        assert (info.status, info.begun) == ("busy", False)
        kill(victim)
    assert answers == [9]
    assert len(_apps.notes(file)) == 1
    assert pool.get_pool_status().metrics.redispatched == 1


async def test_a_worker_sent_sigterm_leaves_by_plan(caplog: pytest.LogCaptureFixture) -> None:
    """SIGTERM from outside: the running command ends well, the worker is replaced, nothing is charged."""
    events: list[PoolEvent] = []
    config = PoolConfig(size=1, restart={"max_restarts": 0}, on_event=events.append)
    async with trio_pool.open_pool(APP, config) as pool, trio.open_nursery() as nursery:
        values: list[object] = []

        async def ask() -> None:
            values.append(await pool.execute_anonymous("sleep", {"duration": 0.2}))

        for _ in range(3):
            victim = pool.get_pool_status().workers[0]
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked(0.05)
            kill(victim, signal.SIGTERM)
            with trio.fail_after(PATIENCE):
                await pool.execute_anonymous("ping", checkout_timeout=PATIENCE)
    assert values == [None] * 3
    exits = [event for event in events if isinstance(event, trio_pool.WorkerExited)]
    assert [(event.reason, event.planned) for event in exits] == [("leaving", True)] * 3 + [("shutdown", True)]
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


async def test_the_pool_gives_up_out_of_the_async_with() -> None:
    """More deaths than the policy allows: the body is cancelled, RestartIntensityExceeded leaves it bare."""
    told: list[trio_pool.PoolClosed] = []
    config = PoolConfig(size=1, restart={"max_restarts": 1, "within": 30.0, "backoff": {"initial": 0.01}})

    async def wait_in_vain(pool: SessionPool) -> None:
        with pytest.raises(trio_pool.PoolClosed) as caught:
            await repeat(pool.execute_anonymous, "ping")
        told.append(caught.value)

    async with trio.open_nursery() as nursery:
        with trio.fail_after(PATIENCE), pytest.raises(trio_pool.RestartIntensityExceeded) as caught:  # noqa: PT012  # the body is the point
            async with trio_pool.open_pool(APP, config) as pool:
                for _ in range(2):
                    with pytest.raises(trio_pool.WorkerCrashed):
                        await pool.execute_anonymous("die", {"path": os.devnull, "how": "3"})
                nursery.start_soon(wait_in_vain, pool)  # noqa: ASYNC111  # it outlives the pool on purpose
                await trio.sleep_forever()
    assert [str(error.exit) for error in caught.value.errors] == ["exit code 3"] * 2  # type: ignore[attr-defined]  # crashes
    assert [type(error.__cause__) for error in told] == [trio_pool.RestartIntensityExceeded]


async def test_the_first_worker_that_does_not_start_stops_the_others() -> None:
    """open_pool raises that worker's WorkerInitFailed, bare, with its traceback."""
    with trio.fail_after(PATIENCE), pytest.raises(trio_pool.WorkerInitFailed, match="broken on purpose") as caught:
        async with trio_pool.open_pool("_broken_app:bridge", size=3):
            pytest.fail("it cannot be open")
    assert "_broken_app.py" in (caught.value.remote_traceback or "")


async def test_a_session_without_state_whose_last_request_was_answered_is_not_lost() -> None:
    """A worker that answered and died had no request begun: a session that kept nothing there binds anew."""
    async with trio_pool.open_pool(APP, size=2) as pool, trio.open_nursery() as nursery:
        values: list[object] = []

        async def ask() -> None:
            args = {"size": 150_000, "seconds": 0.05}  # more than one read, so that the exit is seen before its end
            values.append(await pool.execute_in_session("s", "produce_late", args))

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked(0)
        pid = next(info.pid for info in pool.get_pool_status().workers if info.session_id == "s")
        assert pid is not None
        time.sleep(0.3)  # noqa: ASYNC200, ASYNC251  # the reply comes and the worker is killed while nobody reads
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)  # noqa: ASYNC200, ASYNC251  # as above
        with trio.fail_after(PATIENCE):
            while pool.get_sessions()["s"].status == "bound":  # noqa: ASYNC110  # a session's end has no event here
                await trio.sleep(0.005)
        assert values == [b"x" * 150_000]
        assert await pool.execute_in_session("s", "quick", {"n": 1}) == 2


async def test_a_request_dispatched_again_has_time_to_find_a_worker() -> None:
    """Not begun when its worker died, a request waits for another as long as any: its budget is not spent."""
    async with trio_pool.open_pool(APP, size=1, checkout_timeout=2.0, timeout=PATIENCE) as pool:
        pid = pid_of(pool)
        os.kill(pid, signal.SIGSTOP)
        answers: list[int] = []
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                answers.append(await pool.execute_anonymous("quick", {"n": 1}, checkout_timeout=0.3))

            nursery.start_soon(ask)
            await trio.sleep(0.35)
            os.kill(pid, signal.SIGKILL)
    assert answers == [2]


async def test_a_draining_pool_dispatches_again_what_was_not_begun() -> None:
    """A worker that dies while the pool drains costs nothing that it had not begun."""
    answers: list[object] = []
    async with trio.open_nursery() as nursery, trio_pool.open_pool(APP, size=1, shutdown_grace=PATIENCE) as pool:
        pid = pid_of(pool)
        os.kill(pid, signal.SIGSTOP)

        async def ask() -> None:
            try:
                answers.append(await pool.execute_anonymous("quick", {"n": 1}))
            except trio_pool.TrioPoolError as exc:
                answers.append(exc)

        async def kill() -> None:
            while (await pool.health_check()).details["closed"] is not True:
                await trio.lowlevel.checkpoint()
            os.kill(pid, signal.SIGKILL)

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(kill)
    assert answers == [2]


async def test_what_the_pool_killed_is_not_told_as_a_death_by_itself(tmp_path: Path) -> None:
    """Whoever reads SIGKILL suspects the kernel: the error says when it was the pool, and why."""
    async with trio_pool.open_pool(APP, size=1, abandon_grace=0.0) as pool:
        with pytest.raises(
            trio_pool.WorkerCrashed, match="closed its connection and was killed; the command had begun"
        ):
            await pool.execute_anonymous("hang_up")
        with pytest.raises(trio_pool.WorkerCrashed, match="ended with SIGKILL; the command had begun"):
            await pool.execute_anonymous("die", {"path": str(tmp_path / "notes"), "how": "kill"})
        async with pool.checkout() as worker:
            with pytest.raises(trio_pool.CommandTimeout, match="it had begun") as caught:
                await worker.send_command("sleep", {"duration": 60.0}, timeout=0.1)
            assert (caught.value.incarnation, caught.value.request_id) == (worker.incarnation, 1)
        with trio.fail_after(PATIENCE):
            await worker.dead.wait()
        with pytest.raises(trio_pool.WorkerCrashed, match=r"was killed by the pool \(lease\)"):
            await worker.send_command("ping")


async def test_a_request_that_no_worker_lives_to_begin_is_not_passed_on_for_ever() -> None:
    """Reading it may be what kills them: after ten workers it fails, truthfully not executed."""
    marking = [part.replace('"begun": None', '"begun": "page"') for part in foreign("read()")]
    restart = {"max_restarts": math.inf, "backoff": {"initial": 0.0}}
    async with trio_pool.open_pool(marking, size=1, restart=restart) as pool:
        with trio.fail_after(PATIENCE), pytest.raises(trio_pool.WorkerCrashed, match="had not begun") as caught:
            await pool.execute_anonymous("poison", timeout=math.inf, checkout_timeout=math.inf)
        assert caught.value.outcome == "not_executed"
        assert pool.get_pool_status().metrics.redispatched == 9
