"""Replays of kept broadcasts in workers that start: what whoever waits is told, and what goes wrong in them."""

from __future__ import annotations

import gc
import math
import signal
import sys
import weakref
from functools import partial
from typing import TYPE_CHECKING

import _broadcast_app
import pytest
import trio
import trio.testing
from _pools import exited, kill, noted, released, settled
from _workers import PATIENCE

import trio_pool
from trio_pool import Backoff, BroadcastFailed, RestartPolicy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from trio_pool import PoolEvent, SessionPool

pytestmark = pytest.mark.slow

APP = "_broadcast_app:bridge"


async def fails(call: Callable[[], Awaitable[object]], errors: list[BroadcastFailed]) -> None:
    """Make a call that fails."""
    with pytest.raises(BroadcastFailed) as caught:
        await call()
    errors.append(caught.value)


async def replaying(
    pool: SessionPool,
    nursery: trio.Nursery,
    call: Callable[[], Awaitable[object]],
    tmp_path: Path,
    *,
    after: float = 0.0,
) -> None:
    """Make a call of `put_when` while the first of two workers starts; return when that one replays it, ``after`` so
    many seconds.
    """
    gate, notes, hold = tmp_path / "gate", tmp_path / "notes", tmp_path / "hold"
    hold.touch()
    await exited(pool, 0)
    nursery.start_soon(call)
    await noted(notes, 1)
    gate.touch()
    await released(pool)
    gate.unlink()
    await trio.sleep(after)
    hold.unlink()
    await noted(notes, 2)


def put_when(tmp_path: Path) -> dict[str, object]:
    """Return the arguments of the `put_when` that `replaying` waits for."""
    return {"path": str(tmp_path / "gate"), "value": 1, "note": str(tmp_path / "notes")}


async def test_a_replay_that_somebody_waits_for_has_its_own_time(tmp_path: Path) -> None:
    """The wait for the worker is over once that runs it, though it is not ready: it is then late when it runs late."""
    results: list[object] = []
    env = {_broadcast_app.GATE: str(tmp_path / "hold")}
    async with trio_pool.open_pool(APP, size=2, env=env, timeout=2.0) as pool, trio.open_nursery() as nursery:

        async def call() -> None:
            results.append(await pool.broadcast("put_when", put_when(tmp_path), key="k"))

        began = trio.current_time()
        await replaying(pool, nursery, call, tmp_path, after=1.0)
        # The call's wait is over by now, the replay's own two seconds are not.
        await trio.sleep_until(began + 2.3)
        (tmp_path / "gate").touch()
    assert results == [{"pool-0": 1, "pool-1": 1}]


async def test_a_replay_that_takes_too_long_is_told_as_such(tmp_path: Path) -> None:
    """The function was entered: the caller's error does not deny it."""
    errors: list[BroadcastFailed] = []
    env = {_broadcast_app.GATE: str(tmp_path / "hold")}
    async with trio_pool.open_pool(APP, size=2, env=env, timeout=1.0) as pool, trio.open_nursery() as nursery:
        call = partial(fails, partial(pool.broadcast, "put_when", put_when(tmp_path), key="k"), errors)
        await replaying(pool, nursery, call, tmp_path)
        with trio.fail_after(PATIENCE):
            while not errors:  # noqa: ASYNC110  # the call ends in a task of its own
                await trio.sleep(0.005)
        (tmp_path / "gate").touch()
    (error,) = errors[0].errors.values()
    assert isinstance(error, trio_pool.CommandTimeout)
    assert (error.worker_id, error.outcome) == ("pool-0", "maybe_executed")
    assert error.timeout == pytest.approx(1.0, abs=0.2)


async def test_a_replay_cut_short_by_the_end_of_the_pool_is_told_as_such(tmp_path: Path) -> None:
    """It is no `PoolClosed`, which would say that it was not executed."""
    errors: list[BroadcastFailed] = []
    env = {_broadcast_app.GATE: str(tmp_path / "hold")}
    async with trio.open_nursery() as nursery:
        with pytest.raises(LookupError):  # noqa: PT012  # the body is the point
            async with trio_pool.open_pool(APP, size=2, env=env) as pool:
                call = partial(fails, partial(pool.broadcast, "put_when", put_when(tmp_path), key="k"), errors)
                await replaying(pool, nursery, call, tmp_path)
                raise LookupError
    assert errors[0].results == {"pool-1": 1}
    (error,) = errors[0].errors.values()
    assert isinstance(error, trio_pool.WorkerCrashed)
    assert (error.worker_id, error.outcome, error.reason) == ("pool-0", "maybe_executed", "shutdown")


async def test_a_caller_may_leave_while_a_starting_worker_runs_it(tmp_path: Path) -> None:
    """The replay goes on, for it is kept."""
    env = {_broadcast_app.GATE: str(tmp_path / "hold")}
    async with trio_pool.open_pool(APP, size=2, env=env) as pool:
        async with trio.open_nursery() as nursery:
            call = partial(pool.broadcast, "put_when", put_when(tmp_path), key="k")
            await replaying(pool, nursery, call, tmp_path)
            nursery.cancel_scope.cancel()
        (tmp_path / "gate").touch()
        await settled(pool)
        assert await pool.broadcast("get") == {"pool-0": 1, "pool-1": 1}
        assert pool.get_pool_status().metrics.restarts == 1


async def test_an_overtaken_call_that_kills_a_starting_worker_is_not_run_again(tmp_path: Path) -> None:
    """It is not kept, so it is no poison: it costs one start, its caller is told of the death, the next start is well.

    A starting worker runs it only because its caller waits, and before the later call of its key.
    """
    hold, doomed, notes = tmp_path / "hold", tmp_path / "doomed", tmp_path / "notes"
    errors: list[BroadcastFailed] = []
    async with trio_pool.open_pool(APP, size=2, env={_broadcast_app.GATE: str(hold)}) as pool:
        hold.touch()
        await exited(pool, 0)
        async with trio.open_nursery() as nursery:
            args = {"path": str(doomed)}
            nursery.start_soon(partial(fails, partial(pool.broadcast, "die_or_raise", args, key="k"), errors))
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(partial(pool.broadcast, "put", {"value": 1, "note": str(notes)}, key="k"))
            await noted(notes, 1)
            doomed.write_text("anybody")
            hold.unlink()
        found = {name: type(error) for name, error in errors[0].errors.items()}
        assert found == {"pool-0": trio_pool.WorkerCrashed, "pool-1": trio_pool.RemoteError}
        assert errors[0].errors["pool-0"].outcome == "maybe_executed"
        assert pool.get_pool_status().metrics.restarts == 2
        assert await pool.broadcast("get") == {"pool-0": 1, "pool-1": 1}


@pytest.mark.parametrize(("told", "reason"), [("garbage", "protocol"), ("leave", "exit")])
async def test_a_worker_that_ends_right_after_a_replay_never_gets_ready(tmp_path: Path, told: str, reason: str) -> None:
    """Nor is that a planned end, whatever it announces: it is charged, or the pool would restart it for ever."""
    file = tmp_path / "file"
    events: list[PoolEvent] = []
    with trio.fail_after(PATIENCE), pytest.raises(trio_pool.RestartIntensityExceeded) as caught:  # noqa: PT012  # the body is the point
        async with trio_pool.open_pool(APP, size=1, restart={"max_restarts": 0}, on_event=events.append) as pool:
            await pool.broadcast("put_unless_told", {"path": str(file), "value": 1}, key="k")
            file.write_text(told)
            kill(pool.get_pool_status().workers[0], signal.SIGTERM)  # by plan, so that the start is charged first
            await trio.sleep_forever()
    (error,) = caught.value.errors
    assert isinstance(error, trio_pool.WorkerInitFailed)
    assert error.reason == reason
    assert "kept under key 'k'" in str(error)
    assert len([event for event in events if isinstance(event, trio_pool.WorkerReady)]) == 1
    exits = [event.planned for event in events if isinstance(event, trio_pool.WorkerExited)]
    assert exits == [True, False]
    assert pool.get_pool_status().metrics.worker_errors == 1


@pytest.mark.parametrize("where", ["left", "replayed"])
async def test_a_run_that_nobody_waits_for_is_bounded_also_without_a_timeout(tmp_path: Path, where: str) -> None:
    """With ``timeout=math.inf`` the caller's scope is the limit; where there is no caller, ``start_timeout`` is."""
    gate, notes = tmp_path / "gate", tmp_path / "notes"
    events: list[PoolEvent] = []
    options = {"timeout": math.inf, "start_timeout": 2.0, "abandon_grace": 0.0}
    async with trio_pool.open_pool(APP, size=1, on_event=events.append, **options) as pool:  # type: ignore[arg-type]  # floats
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(pool.broadcast, "put_when", put_when(tmp_path), key="k"))
            await noted(notes, 1)
            if where == "left":
                nursery.cancel_scope.cancel()
            else:
                gate.touch()
        if where == "replayed":
            gate.unlink()
            await exited(pool, 0)
            await noted(notes, 2)
        gone = [event for event in events if isinstance(event, trio_pool.WorkerExited)]
        with trio.fail_after(PATIENCE):
            while len([event for event in events if isinstance(event, trio_pool.WorkerExited)]) == len(gone):  # noqa: ASYNC110  # the list is what tells
                await trio.sleep(0.02)
        gate.touch()
        await settled(pool)
        assert await pool.broadcast("get") == {"pool-0": "untold" if where == "left" else 1}


async def test_what_is_kept_keeps_nothing_of_its_calls_or_of_dead_workers(tmp_path: Path) -> None:
    """Results and errors are the caller's; of workers it knows those that live, however many failed to start."""
    obstacle, first = tmp_path / "obstacle", tmp_path / "first"
    restart = RestartPolicy(max_restarts=math.inf, backoff=Backoff(initial=0.0))
    async with trio_pool.open_pool(APP, size=2, restart=restart) as pool:
        with pytest.raises(BroadcastFailed) as caught:
            await pool.broadcast("put_if_first", {"path": str(first), "value": 1}, key="a")
        error = weakref.ref(next(iter(caught.value.errors.values())))
        del caught
        gc.collect()
        assert error() is None

        await pool.broadcast("put", {"value": 1}, key="a")
        await pool.broadcast("put_unless", {"path": str(obstacle), "value": 1}, key="k")
        obstacle.touch()
        kill(pool.get_pool_status().workers[0])
        with trio.fail_after(PATIENCE):
            while pool.get_pool_status().metrics.restarts < 4:  # noqa: ASYNC110  # of failed starts no event tells
                await trio.sleep(0.005)
        obstacle.unlink()
        await settled(pool)
        kept = [thing for thing in gc.get_objects() if type(thing).__name__ == "Broadcast"]
        assert [len(broadcast.reached) for broadcast in kept] == [2, 2]


async def test_keys_of_calls_that_were_left_count_while_they_may_yet_be_kept(tmp_path: Path) -> None:
    """Else there could be more keys than a hundred."""
    async with trio_pool.open_pool(APP, size=1) as pool:
        for number in range(99):
            await pool.broadcast("put", {"value": number}, key=str(number))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(pool.broadcast, "put_when", put_when(tmp_path), key="left"))
            await noted(tmp_path / "notes", 1)
            nursery.cancel_scope.cancel()
        with pytest.raises(trio_pool.InvalidArguments, match="there are 100 keys already"):
            await pool.broadcast("put", {"value": 1}, key="one more")
        (tmp_path / "gate").touch()


# Answers everything, save the second of its kind: that is told to leave when it is ready, and has a request to refuse
# or to leave unread, as a real worker with or without async commands.
_TOLD_TO_LEAVE = """
import mmap, os, sys
from trio_pool import wire

fd = int(os.environ[wire.SOCKET_VARIABLE])
page = memoryview(mmap.mmap(int(os.environ[wire.PAGE_VARIABLE]), 4096)).cast("Q")
decoder = wire.MessageDecoder(2**20)
how, path = sys.argv[1:]
with open(path, "a") as file:
    file.write("x")
leaves = os.path.getsize(path) == 2

def messages():
    while data := os.read(fd, 65536):
        yield from decoder.feed(data)

arriving = messages()
next(arriving)
os.write(fd, wire.encode_json({"type": "ready", "protocol": wire.PROTOCOL, "codec": wire.CODEC, "begun": "page"}))
for request in arriving:
    reply = {"success": True, "result": None}
    if leaves:
        error = {"kind": "leaving", "type": "WorkerCrashed", "message": "told to leave", "traceback": ""}
        reply = {"success": False, "error": error}
        if how == "begun":
            page[0] = request["id"]
        if how == "refused":
            os.write(fd, b"".join(wire.pieces(request["id"], wire.encode(reply, 2**20))))
        os.write(fd, wire.encode_leaving())
        break
    page[0] = request["id"]
    os.write(fd, b"".join(wire.pieces(request["id"], wire.encode(reply, 2**20))))
    if request["command"] == "shutdown":
        os.write(fd, wire.encode_leaving())
        break
"""


@pytest.mark.parametrize("how", ["unread", "refused", "begun"])
async def test_a_worker_told_to_leave_before_its_replay_began_leaves_by_plan(tmp_path: Path, how: str) -> None:
    """Nothing of the replay made it leave, so it is not charged; one that leaves after it had begun is."""
    told: list[PoolEvent] = []
    argv = [sys.executable, "-c", _TOLD_TO_LEAVE, how, str(tmp_path / "starts")]
    restart = RestartPolicy(max_restarts=1, backoff=Backoff(initial=0.01))
    caught: BaseException | None = None
    with trio.fail_after(PATIENCE):
        try:
            async with trio_pool.open_pool(argv, size=1, restart=restart, on_event=told.append) as pool:
                assert await pool.broadcast("set", key="k") == {"pool-0": None}
                await exited(pool, 0)
                await settled(pool)
                assert pool.get_pool_status().metrics.restarts == 2
        except trio_pool.RestartIntensityExceeded as exc:
            caught = exc
    exits = [event.planned for event in told if isinstance(event, trio_pool.WorkerExited)]
    assert exits == ([False, True, True] if how != "begun" else [False, False])
    assert (caught is None) == (how != "begun")
