"""Each fault of a link, on a real pool: what its caller sees of it, and that healed it has left nothing."""

from __future__ import annotations

import random
import signal
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio.testing
from _arenas import AT_ONCE, STRIKE, Stage, comes_true, stage
from _workers import PATIENCE

from chaos import FaultMissed, FaultUnavailable
from chaos.faults._registry import INJECTORS
from chaos.scenario import _wire_faults as wire
from chaos.scenario._fault import Direction, FramePart
from chaos.workload._ledger import BEGIN, EFFECT, END
from trio_pool import StaleReply, WorkerExited, WorkerKilled, WorkerReady
from trio_pool.errors import CommandTimeout, ProtocolError, TrioPoolError, WorkerCrashed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from chaos.faults._injection import Injected
    from trio_pool import PoolWorker

pytestmark = pytest.mark.slow

TO, FROM = Direction.TO_WORKER, Direction.FROM_WORKER
RUN_ONCE = [(BEGIN, 1), (EFFECT, 1), (END, 1)]
BYTES = random.Random(1).randbytes(300_000)  # noqa: S311  # reproducible on purpose


@asynccontextmanager
async def struck(there: Stage, spec: wire.WireFault, slot: int = 0) -> AsyncIterator[Injected]:
    """Have a fault on a worker's link for a block, at the end of which it must be healed."""
    async with INJECTORS[spec.kind](spec, STRIKE, [there.victim(slot)], there.arena) as injected:
        assert not injected.healed()
        yield injected
    assert injected.healed()


@asynccontextmanager
async def lone(folder: Path, **settings: Any) -> AsyncIterator[Stage]:
    """Open a pool of one worker, whose restarts are immediate."""
    restart = {"max_restarts": 100, "backoff": {"initial": 0.0}}
    with trio.fail_after(2 * PATIENCE):
        async with stage(folder, **{"size": 1, "restart": restart, "abandon_grace": 0.1, **settings}) as there:
            yield there


async def echo(there: Stage, value: object) -> Any:
    return await there.pool.execute_anonymous("echo", {"value": value})


async def sound(there: Stage, *, restarts: int) -> None:
    """After so many restarts what goes through is what was sent, at once, and nothing is stale."""
    await there.saw(WorkerReady, there.pool.get_pool_status().size + restarts)
    stale = len(there.seen(StaleReply))
    for value in ("", "x" * 1000, BYTES[:70_000], [BYTES, BYTES[:5]]):
        assert await echo(there, value) == value
    assert len(there.seen(WorkerExited)) == restarts
    assert len(there.seen(StaleReply)) == stale


async def outcome(there: Stage, **arguments: Any) -> tuple[type[BaseException] | None, str]:
    """Send request 1; return what it raised, and whether it was executed."""
    try:
        await there.work(1, **arguments)
    except TrioPoolError as exc:
        return type(exc), str(exc.outcome)
    return None, "executed"


async def test_latency_delays_each_way(tmp_path: Path) -> None:
    """A request and its reply take twice the delay, bytes unchanged; no worker is lost by it."""
    async with lone(tmp_path) as there:
        async with struck(there, wire.Latency(name="fault", at=AT_ONCE, delay=0.1, jitter=0.02)) as injected:
            began = trio.current_time()
            assert await echo(there, BYTES) == BYTES
            assert trio.current_time() - began >= 0.16
            assert injected.effect["frames"] == injected.effect["seen"] == 2
            longest = injected.effect["longest"]
            assert isinstance(longest, float)
            assert 0.08 <= longest <= 0.12
        await sound(there, restarts=0)


async def test_only_the_victims_link_is_delayed(tmp_path: Path) -> None:
    """The other worker serves meanwhile; healed, the late one answers at once."""
    async with stage(tmp_path) as there, trio.open_nursery() as nursery:
        late: list[object] = []

        async def ask(worker: PoolWorker) -> None:
            late.append((await worker.send_command("echo", {"value": 2}, 60.0)).result)

        spec = wire.Latency(name="fault", at=AT_ONCE, delay=600.0)
        async with struck(there, spec), there.pool.checkout() as first, there.pool.checkout() as second:
            victim, other = (first, second) if first.pid == there.info(0).pid else (second, first)
            nursery.start_soon(ask, victim)
            await trio.testing.wait_all_tasks_blocked()
            assert (await other.send_command("echo", {"value": 1})).result == 1
            assert late == []
        await sound(there, restarts=0)


async def test_bandwidth_is_a_rate(tmp_path: Path) -> None:
    """Bytes take as long as the rate says, in each direction."""
    async with lone(tmp_path) as there:
        async with struck(there, wire.Bandwidth(name="fault", at=AT_ONCE, rate=1_000_000)) as injected:
            began = trio.current_time()
            assert await echo(there, BYTES[:100_000]) == BYTES[:100_000]
            assert trio.current_time() - began >= 0.2
            assert isinstance(injected.effect["bytes"], int)
            assert injected.effect["bytes"] > 200_000
        await sound(there, restarts=0)


@pytest.mark.parametrize(("size", "vary"), [(1, False), (7, False), (1000, True)])
async def test_slices_are_put_together_again(tmp_path: Path, size: int, vary: bool) -> None:
    """Wherever frames are cut, between single bytes too, the values are the same."""
    async with lone(tmp_path) as there:
        value = BYTES[: 2000 * size]
        async with struck(there, wire.Slice(name="fault", at=AT_ONCE, size=size, vary=vary)) as injected:
            assert await echo(there, value) == value
            assert isinstance(injected.effect["slices"], int)
            assert injected.effect["slices"] >= 2 * len(value) // size
        await sound(there, restarts=0)


async def test_coalesced_replies_are_told_apart(tmp_path: Path) -> None:
    """Three replies that arrive in one piece reach their three requests."""
    async with lone(tmp_path) as there:
        spec = wire.Coalesce(name="fault", at=AT_ONCE, direction=FROM, batch=3, wait=60.0)
        async with struck(there, spec) as injected:
            assert await answers(there, 3) == {0: 0, 1: 1, 2: 2}
            assert injected.effect == {"seen": 3, "frames": 3, "joined": 2}
        await sound(there, restarts=0)


async def answers(there: Stage, count: int) -> dict[int, int]:
    """Send so many requests to a worker, all before it answers one; return what each got."""
    got: dict[int, int] = {}
    handle = there.victim().handle
    assert handle is not None
    async with there.pool.checkout() as worker, trio.open_nursery() as nursery:
        await handle.signal(signal.SIGSTOP)

        async def ask(number: int) -> None:
            got[number] = (await worker.send_command("echo", {"value": number}, 60.0)).result

        for number in range(count):
            nursery.start_soon(ask, number)
        await comes_true(lambda: len(handle.interposer.in_flight) == count)
        await handle.signal(signal.SIGCONT)
    return got


async def test_a_stall_within_the_deadline_is_sat_out(tmp_path: Path) -> None:
    """The reply comes when it is healed, from the same worker, and was executed once."""
    async with lone(tmp_path) as there, trio.open_nursery() as nursery:
        got: list[int] = []

        async def ask() -> None:
            got.append(await there.work(1))

        async with struck(there, wire.Stall(name="fault", at=AT_ONCE, direction=FROM)) as injected:
            nursery.start_soon(ask)
            await comes_true(lambda: injected.effect["frames"])
            assert not got
        await comes_true(lambda: got)
        assert got == [there.info().pid]
        assert there.ledger() == RUN_ONCE
        await sound(there, restarts=0)


@pytest.mark.parametrize(("direction", "ledger"), [(FROM, RUN_ONCE), (TO, [])])
async def test_a_stall_beyond_the_deadline_costs_the_worker(
    tmp_path: Path, direction: Direction, ledger: list[tuple[int, int]]
) -> None:
    """The caller is told in time that it may have run; nothing that comes out of the link later reaches anybody."""
    async with lone(tmp_path) as there:
        async with struck(there, wire.Stall(name="fault", at=AT_ONCE, direction=direction)):
            assert await outcome(there, timeout=0.3) == (CommandTimeout, "maybe_executed")
            (killed,) = await there.saw(WorkerKilled, 1)
            assert killed.reason == "timeout"
            await there.saw(WorkerReady, 2)
        assert there.ledger() == ledger
        await sound(there, restarts=1)


@pytest.mark.parametrize("size", [None, 0, 1, 4, 5])
async def test_a_truncated_reply_is_no_reply(tmp_path: Path, size: int | None) -> None:
    """The caller is told that it may have run, which it has, once; the fragment is thrown away with the worker."""
    async with lone(tmp_path) as there:
        spec = wire.Truncate(name="fault", at=AT_ONCE, size=size, nth=2)
        async with struck(there, spec) as injected:
            assert await echo(there, "first") == "first"
            error, known = await outcome(there)
            assert (error, known) == (WorkerCrashed, "maybe_executed")
            assert there.ledger() == RUN_ONCE
            assert injected.effect == {"seen": 2, "frames": 1}
        await sound(there, restarts=1)


@pytest.mark.parametrize("size", [None, 0, 4])
async def test_a_truncated_request_never_runs_there(tmp_path: Path, size: int | None) -> None:
    """Half a request is not executed: another worker gets all of it, and the caller its reply."""
    async with lone(tmp_path) as there:
        async with struck(there, wire.Truncate(name="fault", at=AT_ONCE, direction=TO, size=size, nth=1)):
            assert await outcome(there) == (None, "executed")
            assert there.ledger() == RUN_ONCE
        await sound(there, restarts=1)


@pytest.mark.parametrize("where", [FramePart.LENGTH, FramePart.PAYLOAD])
async def test_a_corrupted_reply_costs_its_worker_at_once(tmp_path: Path, where: FramePart) -> None:
    """A length of four gigabytes, and a message that is none: both are found before anything is made of them."""
    async with lone(tmp_path) as there:
        async with struck(there, wire.Corrupt(name="fault", at=AT_ONCE, where=where, nth=1)):
            assert await outcome(there) == (ProtocolError, "maybe_executed")
        (exited,) = await there.saw(WorkerExited, 1)
        assert exited.reason == "protocol"
        assert there.ledger() == RUN_ONCE
        await sound(there, restarts=1)


@pytest.mark.parametrize("where", [FramePart.LENGTH, FramePart.PAYLOAD])
async def test_a_corrupted_request_costs_its_worker_and_no_caller(tmp_path: Path, where: FramePart) -> None:
    """The worker refuses it and goes: it had begun nothing, so another runs it."""
    async with lone(tmp_path) as there:
        async with struck(there, wire.Corrupt(name="fault", at=AT_ONCE, direction=TO, where=where, nth=1)):
            assert await outcome(there) == (None, "executed")
        assert there.ledger() == RUN_ONCE
        await sound(there, restarts=1)


@pytest.mark.parametrize("direction", [TO, FROM])
@pytest.mark.parametrize("offset", [0.0, 0.2, 0.4, 0.6, 0.8])
async def test_one_wrong_bit_in_a_length_costs_one_worker(tmp_path: Path, direction: Direction, offset: float) -> None:
    """Too short, too long or absurd: the worker goes, at the deadline at the latest, and nothing runs twice."""
    async with lone(tmp_path) as there:
        spec = wire.Corrupt(name="fault", at=AT_ONCE, direction=direction, where=FramePart.HEADER, nth=1)
        strike = attrs.evolve(STRIKE, offset=offset)
        async with INJECTORS[spec.kind](spec, strike, [there.victim()], there.arena):
            error, known = await outcome(there, timeout=0.5)
            assert (error is None) == (known == "executed")
            assert error in (None, ProtocolError, CommandTimeout)
            if direction is FROM:
                assert known == "maybe_executed"
        assert there.ledger() == (RUN_ONCE if direction is FROM or error is None else [])
        await sound(there, restarts=1)


async def test_undetectable_corruption_is_the_clients_to_find(tmp_path: Path) -> None:
    """A bit of a buffer is flipped: the pool cannot know, the worker stays, and the value is another than was sent."""
    async with lone(tmp_path) as there:
        async with struck(there, wire.Corrupt(name="fault", at=AT_ONCE, detectable=False, bits=1, nth=1)):
            value = bytes(await echo(there, BYTES))
            assert len(value) == len(BYTES)
            assert sum((one ^ other).bit_count() for one, other in zip(value, BYTES, strict=True)) == 1
        await sound(there, restarts=0)


async def test_a_duplicate_is_dropped_and_counted(tmp_path: Path) -> None:
    """Each reply reaches its own request, and its copy nobody."""
    async with lone(tmp_path) as there:
        async with struck(there, wire.Duplicate(name="fault", at=AT_ONCE)) as injected:
            for number in range(5):
                assert await echo(there, number) == number
            assert await echo(there, BYTES) == BYTES
            assert await echo(there, "last") == "last"
            assert injected.effect == {"seen": 7, "frames": 7}
        await echo(there, "reads what was left in the link")
        assert len(there.seen(StaleReply)) == 7
        await sound(there, restarts=0)


async def test_replies_that_change_places_reach_their_requests(tmp_path: Path) -> None:
    """Of four requests in flight the first two replies, and the last two, are heard the other way round."""
    async with lone(tmp_path) as there:
        async with struck(there, wire.Reorder(name="fault", at=AT_ONCE, wait=60.0)) as injected:
            got = await answers(there, 4)
            assert got == {0: 0, 1: 1, 2: 2, 3: 3}
            assert injected.effect["frames"] == 2
            # Alone it has nothing to change places with, and does not wait for that.
            assert await echo(there, 5) == 5
        await sound(there, restarts=0)


@pytest.mark.parametrize(("direction", "ledger"), [(TO, []), (FROM, RUN_ONCE)])
async def test_what_is_dropped_ends_at_the_deadline(
    tmp_path: Path, direction: Direction, ledger: list[tuple[int, int]]
) -> None:
    """The caller is told the truth in time, and the worker, which owes a reply for ever, is replaced."""
    async with lone(tmp_path) as there:
        async with struck(there, wire.Drop(name="fault", at=AT_ONCE, direction=direction, nth=1)) as injected:
            assert await outcome(there, timeout=0.3) == (CommandTimeout, "maybe_executed")
            assert injected.effect["frames"] == 1
            await there.saw(WorkerExited, 1)
        assert there.ledger() == ledger
        await sound(there, restarts=1)


async def test_an_unsolicited_reply_answers_nobody(tmp_path: Path) -> None:
    """A worker that answers what nobody asked has gone mad: it is replaced, and its caller not answered with that."""
    async with lone(tmp_path) as there:
        async with struck(there, wire.Unsolicited(name="fault", at=AT_ONCE, nth=1)):
            error, known = await outcome(there)
            assert error in (None, ProtocolError)
            assert known in ("executed", "maybe_executed")
        (exited,) = await there.saw(WorkerExited, 1)
        assert exited.reason == "protocol"
        assert there.ledger() == RUN_ONCE
        await sound(there, restarts=1)


async def test_a_share_of_the_messages_is_hit_by_the_seed(tmp_path: Path) -> None:
    """Which ones depends on the strike alone."""
    async with lone(tmp_path) as there:
        hit: list[list[int]] = []
        for _ in range(2):
            stale = [len(there.seen(StaleReply))]
            async with struck(there, wire.Duplicate(name="fault", at=AT_ONCE, share=0.5)):
                for number in range(12):
                    await echo(there, number)
                    stale.append(len(there.seen(StaleReply)))
            hit.append([later - earlier for earlier, later in pairwise(stale)])
        assert hit[0] == hit[1]
        assert 0 < sum(hit[0]) < 12


async def test_a_fault_does_not_follow_to_the_successor(tmp_path: Path) -> None:
    """It is the link of one incarnation; on one that is gone there is nothing to do."""
    async with lone(tmp_path) as there:
        victim = there.victim()
        async with struck(there, wire.Corrupt(name="fault", at=AT_ONCE)):
            assert (await outcome(there))[0] is ProtocolError
            await sound(there, restarts=1)
        spec = wire.Drop(name="fault", at=AT_ONCE)
        with pytest.raises(FaultMissed):
            async with INJECTORS[spec.kind](spec, STRIKE, [victim], there.arena):
                pytest.fail("it is gone")
        with pytest.raises(FaultUnavailable):
            async with INJECTORS[spec.kind](spec, STRIKE, [attrs.evolve(there.victim(), handle=None)], there.arena):
                pytest.fail("it cannot be reached")
