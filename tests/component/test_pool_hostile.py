"""What a hostile reviewer found: interleavings, deaths, bad bytes and odd callers that broke a promise of the pool."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import _apps
import msgpack
import pytest
import trio
import trio.testing
from _workers import PATIENCE, living, looks, state

import trio_pool
from chaos._launcher import ChaosLauncher
from trio_pool._core._messages import encode, encode_json, pieces
from trio_pool._process._link import DRAIN_READS, Link
from trio_pool._process._local import LocalHandle, LocalLauncher

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from trio_pool import PoolEvent, SessionPool
    from trio_pool._process._launcher import WorkerSpec
    from trio_pool._process._transport import Transport

pytestmark = pytest.mark.slow

APP = "_apps:bridge"

FOREIGN = """
import json, os, time
fd = int(os.environ["TRIO_POOL_FD"])
def read():
    size = int.from_bytes(os.read(fd, 4), "big")
    while size:
        size -= len(os.read(fd, size))
def say(data):
    while data:
        data = data[os.write(fd, data):]
read()
ready = json.dumps({"type": "ready", "protocol": 1, "codec": "msgpack", "begun": None, "commands": []}).encode()
say(len(ready).to_bytes(4, "big") + ready)
"""


def foreign(code: str) -> list[str]:
    """Return the argv of a worker that gets ready and then runs ``code``, which may use ``read`` and ``say``."""
    return [sys.executable, "-c", FOREIGN + code]


def frame(body: bytes) -> bytes:
    """Return a frame."""
    return len(body).to_bytes(4, "big") + body


# A well-formed message that is neither a reply nor anything else, nested more deeply than repr() can follow.
DEEP = frame(b"\x81\xa1x" + b"\x91" * 1015 + b"\xc0")


def obeys_the_law(pool: SessionPool) -> bool:
    """submitted = queued + running + ok + failed + timed_out + cancelled + rejected."""
    m = pool.get_pool_status().metrics
    return m.submitted == m.queued + m.running + m.ok + m.failed + m.timed_out + m.cancelled + m.rejected


def pid_of(pool: SessionPool, index: int = 0) -> int:
    """Return the process id of a worker."""
    pid = pool.get_pool_status().workers[index].pid
    assert pid is not None
    return pid


async def released(pool: SessionPool) -> None:
    """Wait until no worker is busy."""
    with trio.fail_after(PATIENCE):
        while pool.get_pool_status().busy:  # noqa: ASYNC110  # a worker that falls idle has no event of its own
            await trio.sleep(0.005)


# -- processes ---------------------------------------------------------------------------------------------------------


async def test_closing_while_a_link_is_slow_leaves_no_worker() -> None:
    """A launcher's link may need its nursery until the worker is reaped, also to carry the shutdown frame."""
    launcher = ChaosLauncher()
    with trio.fail_after(PATIENCE):
        async with trio_pool.open_pool(APP, size=1, launcher=launcher) as pool:
            pid = pid_of(pool)
            launcher.delay(0.01)
        assert not living({pid})


class _LateTransport:
    """Says nothing before the worker's exit was noticed."""

    def __init__(self, handle: LocalHandle) -> None:
        self._handle = handle
        self._inner: Transport = handle.transport
        self.send = self._inner.send
        self.wait_writable = self._inner.wait_writable
        self.close = self._inner.close

    def recv_into(self, buffer: bytearray | memoryview, /) -> int:
        """Read, once it is time."""
        if self._handle._exit is None:  # the test's very subject is the order of these two
            raise BlockingIOError
        return self._inner.recv_into(buffer)

    async def wait_readable(self) -> None:
        """Wait until it is time."""
        await self._handle.wait()


class _LateLauncher(LocalLauncher):
    """Starts workers whose words are heard after their exit is."""

    async def open(self, spec: WorkerSpec, nursery: trio.Nursery, /) -> LocalHandle:
        """Start one."""
        handle = await super().open(spec, nursery)
        handle.transport = _LateTransport(handle)  # type: ignore[assignment]  # a transport
        return handle


@pytest.mark.parametrize("pooled", [False, True])
async def test_a_worker_that_dies_as_it_gets_ready_is_a_typed_error(pooled: bool) -> None:
    """The exit seen between the ready frame and its consequences is a failed start, not an illegal transition."""
    config = trio_pool.PoolConfig(size=1, launcher=_LateLauncher())
    with trio.fail_after(PATIENCE), pytest.raises(trio_pool.WorkerInitFailed):  # noqa: PT012  # either way of starting
        if pooled:
            async with trio_pool.open_pool(foreign(""), config):
                pytest.fail("it cannot be open")
        else:
            async with trio_pool.open_worker(foreign(""), config=config):
                pytest.fail("it cannot be ready")


async def test_a_program_name_no_system_takes_is_a_typed_error() -> None:
    """What the operating system refuses with a ValueError, a NUL in the argv, is a failed spawn like any other."""
    with trio.fail_after(PATIENCE), pytest.raises((trio_pool.WorkerInitFailed, ValueError)):
        async with trio_pool.open_worker(["no\0program"]):
            pytest.fail("it cannot be ready")


# -- bad bytes ---------------------------------------------------------------------------------------------------------


async def test_deeply_nested_garbage_costs_its_worker_alone() -> None:
    """Bad bytes read by the timer, which drains the sockets after a stall, must not take the pool down."""
    app = foreign(f"read(); time.sleep(0.1); say({DEEP!r}); time.sleep(600)")
    config = trio_pool.PoolConfig(size=1, timeout=0.3, restart={"max_restarts": 1})
    with trio.fail_after(PATIENCE):
        async with trio_pool.open_pool(app, config) as pool, trio.open_nursery() as nursery:

            async def ask() -> None:
                with pytest.raises(trio_pool.TrioPoolError) as caught:
                    await pool.execute_anonymous("x")
                assert isinstance(caught.value, (trio_pool.ProtocolError, trio_pool.CommandTimeout))

            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked(0)
            time.sleep(0.5)  # noqa: ASYNC200, ASYNC251  # the stall
            await trio.lowlevel.checkpoint()
            exited = await first_exit(pool)
    assert exited.reason == "protocol"


async def first_exit(pool: SessionPool) -> trio_pool.WorkerExited:
    """Wait for a worker to be gone."""
    with pool.events() as stream:
        async for event in stream:
            if isinstance(event, trio_pool.WorkerExited):
                return event
    raise AssertionError("the pool closed first")


async def test_bad_last_words_leave_no_caller_waiting() -> None:
    """A worker whose last words cannot be read is dead all the same: its request fails then, not at its timeout."""
    reply = frame(msgpack.packb({"id": 1, "success": True, "result": None}))
    again = "msgpack.packb({'id': 1, 'success': True, 'result': 'x' * 150000})"
    code = (
        f"import msgpack; read(); say({reply!r}); read(); body = {again}; "
        f"say(len(body).to_bytes(4, 'big') + body + {DEEP!r}); os._exit(3)"
    )
    errors: list[trio_pool.TrioPoolError] = []
    with trio.fail_after(PATIENCE):
        async with trio_pool.open_pool(foreign(code), size=1, timeout=60.0) as pool, trio.open_nursery() as nursery:
            await pool.execute_anonymous("x")

            async def ask() -> None:
                try:
                    await pool.execute_anonymous("x")
                except trio_pool.TrioPoolError as exc:
                    errors.append(exc)

            pid = pid_of(pool)
            nursery.start_soon(ask)
            while not pool.get_pool_status().busy:
                await trio.lowlevel.checkpoint()
            for _ in looks(PATIENCE):  # the loop stalls until the worker has said all and is dead
                if state(pid) in "XZ":
                    break
            await trio.sleep(1.0)
            nursery.cancel_scope.cancel()
    assert [error.outcome for error in errors] == ["maybe_executed"]


class _Endless:
    """A transport with always one more reply that nobody waits for."""

    def __init__(self) -> None:
        self._data = encode_json({})
        self.reads = 0

    def send(self, data: bytes | memoryview, /) -> int:
        """Take all."""
        return len(data)

    def recv_into(self, buffer: bytearray | memoryview, /) -> int:
        """Give a reply to the first request."""
        self.reads += 1
        assert self.reads < 1000, "the loop stands still for as long as this worker talks"
        data, self._data = self._data, bytes(pieces(1, encode({"success": True, "result": None}, 1000))[0])
        memoryview(buffer)[: len(data)] = data
        return len(data)


class _Waiter:
    """Whoever waits for a reply."""

    def replied(self, message: object) -> None:
        """Take it."""

    def lost(self) -> None:
        """Take note."""


async def test_a_worker_that_never_stops_talking_does_not_stop_the_loop() -> None:
    """A caller that reads for itself lets the others run between its reads, however much there is."""
    transport = _Endless()
    nothing: Callable[..., None] = lambda *_: None  # noqa: E731
    link = Link(transport, 1000, on_end=nothing, on_stale=nothing, on_leaving=nothing)  # type: ignore[arg-type]  # enough of one
    encoded = encode({"command": "x", "args": {}}, 1000)
    link.first_message()
    link.submit(encoded, _Waiter())
    link.receive()
    call = _Waiter()
    link.submit(encoded, call, drive=True)
    await link.drive(call)
    assert transport.reads <= DRAIN_READS


# -- leases ------------------------------------------------------------------------------------------------------------


async def test_a_lease_without_a_session_sees_no_session() -> None:
    """An anonymous lease of a worker that served a session before has no part in that session's state."""
    async with trio_pool.open_pool(APP, size=1) as pool:
        await pool.execute_in_session("alice", "remember", {"key": "secret", "value": 1})
        async with pool.checkout() as worker:
            response = await worker.send_command("recall")
        assert isinstance(response.error, trio_pool.InvalidArguments)
        assert response.result is None


@pytest.mark.parametrize("what", ["a clean-up", "a command of the lease"])
async def test_a_lease_left_while_a_reply_is_due_ends_when_the_reply_comes(what: str) -> None:
    """Whatever the worker still answers within abandon_grace, it is free then and keeps its sessions."""
    events: list[PoolEvent] = []
    async with (
        trio_pool.open_pool(APP, size=1, abandon_grace=0.5, on_event=events.append) as pool,
        trio.open_nursery() as nursery,
    ):
        await pool.execute_in_session("other", "quick", {"n": 1})
        await pool.execute_in_session("kept", "remember", {"key": "a", "value": 1})
        async with pool.checkout() as worker:
            if what == "a clean-up":
                await pool.end_session("other")
            else:
                nursery.start_soon(worker.send_command, "sleep", {"duration": 0.05})  # noqa: ASYNC111  # the worker's end is part of the test
                await trio.testing.wait_all_tasks_blocked()
        assert await pool.execute_in_session("kept", "recall") == {"a": 1}
    assert not [event for event in events if isinstance(event, trio_pool.WorkerKilled)]


@pytest.mark.parametrize("result", ["ok", "session_cleanup"])
async def test_a_worker_checked_in_by_the_holder_of_its_lease_is_not_lost(result: str) -> None:
    """Giving the worker back by its own `checkin` inside the lease leaves the pool able to use it."""
    async with trio_pool.open_pool(APP, size=1, shutdown_grace=0.1) as pool:
        async with pool.checkout("s") as worker:
            worker.checkin(result)
        assert await pool.execute_anonymous("quick", {"n": 1}, checkout_timeout=1.0) == 2
        assert obeys_the_law(pool)


async def test_what_a_lease_does_in_a_session_that_was_ended_is_not_seen_by_the_next() -> None:
    """A session ended during its lease leaves nothing to the new session of that id."""
    async with trio_pool.open_pool(APP, size=1) as pool:
        async with pool.checkout("s") as worker:
            await pool.end_session("s")
            await worker.send_command("remember", {"key": "old", "value": 1})
        assert await pool.execute_in_session("s", "recall") == {}


async def test_a_stalled_loop_costs_no_worker_that_a_lease_left_busy() -> None:
    """Before a worker is killed for a lease's forgotten command its socket is read: the reply may be there."""
    events: list[PoolEvent] = []
    async with trio_pool.open_pool(APP, size=1, abandon_grace=0.15, on_event=events.append) as pool:
        for _ in range(6):  # which of timer and reader comes first after a stall is Trio's to choose
            async with pool.checkout() as worker:
                with pytest.raises(trio_pool.CommandTimeout):
                    await worker.send_command("sleep", {"duration": 0.05}, timeout=0.01)
            await trio.lowlevel.checkpoint()
            time.sleep(0.2)  # noqa: ASYNC200, ASYNC251  # the stall
            await released(pool)
    assert not [event for event in events if isinstance(event, trio_pool.WorkerKilled)]


# -- deaths ------------------------------------------------------------------------------------------------------------


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


# -- callers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [float("nan"), -1.0, "5", True])
async def test_a_malformed_timeout_is_refused_and_counts_as_nothing(timeout: object) -> None:
    """A timeout that is none is the caller's ValueError, before anything is counted, sent or put on the timer."""
    async with trio_pool.open_pool(APP, size=1) as pool:
        for option in ("timeout", "checkout_timeout"):
            with pytest.raises(ValueError, match=option):
                await pool.execute_anonymous("quick", {"n": 1}, **{option: timeout})  # type: ignore[arg-type]  # the point
        assert obeys_the_law(pool)
        assert pool.get_pool_status().metrics.submitted == 0


async def test_a_command_whose_budget_is_spent_is_not_sent(tmp_path: Path) -> None:
    """With no time left nothing is written, though a worker is idle, and that worker is not abandoned."""
    file = tmp_path / "notes"
    async with trio_pool.open_pool(APP, size=1) as pool:
        with pytest.raises(trio_pool.PoolTimeout):
            await pool.execute_anonymous("note_only", {"path": str(file), "token": 1}, timeout=0.0)
        assert await pool.execute_anonymous("quick", {"n": 1}) == 2
    assert _apps.notes(file) == []


async def test_no_session_id_is_not_an_anonymous_request() -> None:
    """A session id of None is a bad id: the caller asked for isolation and must not go without it unnoticed."""
    async with trio_pool.open_pool(APP, size=1) as pool:
        with pytest.raises(ValueError, match="session id"):
            await pool.execute_in_session(None, "quick", {"n": 1})  # type: ignore[arg-type]  # the point


async def test_a_refused_request_leaves_no_session() -> None:
    """Under overload every refused request of a new session would else fill the session table for an hour."""
    async with trio_pool.open_pool(APP, size=1, max_queue=1) as pool, trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(pool.execute_anonymous, "sleep", {"duration": 0.1})
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio_pool.PoolSaturated):
            await pool.execute_in_session("new", "ping")
        assert not pool.get_sessions()


async def test_an_id_that_cannot_travel_is_refused_everywhere() -> None:
    """An id the wire cannot carry is a ValueError for a lease too, not the end of the timer when it expires."""
    async with trio_pool.open_pool(APP, size=1, sessions={"ttl": 0.1}, restart={"max_restarts": 0}) as pool:
        with pytest.raises(ValueError, match="session id"):
            async with pool.checkout("\ud800"):
                pass
        await trio.sleep(0.2)  # it would expire meanwhile


async def test_giving_up_while_draining_is_the_cause_of_what_the_callers_get() -> None:
    """The PoolClosed of those who wait names the give-up as its cause also when the pool was closing already."""
    errors: list[BaseException | None] = []
    async with trio.open_nursery() as nursery:
        with pytest.raises(trio_pool.RestartIntensityExceeded):  # noqa: PT012  # the body is the point
            async with trio_pool.open_pool(APP, size=1, restart={"max_restarts": 0}) as pool:

                async def ask(command: str, args: Mapping[str, object]) -> None:
                    try:
                        await pool.execute_anonymous(command, args)
                    except trio_pool.PoolClosed as exc:
                        errors.append(exc.__cause__)
                    except trio_pool.WorkerCrashed:
                        pass

                os.kill(pid_of(pool), signal.SIGSTOP)
                nursery.start_soon(ask, "die", {"path": os.devnull, "how": "3"})
                await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(ask, "quick", {"n": 1})
                await trio.testing.wait_all_tasks_blocked()
                os.kill(pid_of(pool), signal.SIGCONT)
    assert [type(error) for error in errors] == [trio_pool.RestartIntensityExceeded]


async def test_a_transient_worker_killed_by_the_pool_is_replaced() -> None:
    """A kill the pool itself decided on costs the pool no worker, whatever the restart policy."""
    restart = {"restart": "transient"}
    async with trio_pool.open_pool(APP, size=1, abandon_grace=0.0, restart=restart) as pool:
        with pytest.raises(trio_pool.CommandTimeout):
            await pool.execute_anonymous("sleep", {"duration": 60.0}, timeout=0.05)
        assert await pool.execute_anonymous("quick", {"n": 1}, checkout_timeout=3.0) == 2


# -- what it says ------------------------------------------------------------------------------------------------------


async def test_the_law_holds_for_a_hook_that_looks() -> None:
    """The counts add up at any moment, also while an event is told."""
    broken: list[str] = []
    pools: list[SessionPool] = []

    def hook(event: PoolEvent) -> None:
        broken.extend(type(event).__name__ for pool in pools if not obeys_the_law(pool))

    async with trio_pool.open_pool(APP, size=1, on_event=hook) as pool:
        pools.append(pool)
        await pool.execute_anonymous("quick", {"n": 1})
        with pytest.raises(trio_pool.RemoteError):
            await pool.execute_anonymous("fail", {"text": "x"})
    assert broken == []


async def test_every_binding_of_a_session_is_told() -> None:
    """SessionBound comes whenever a session finds a worker, however many requests waited for that, and again."""
    events: list[PoolEvent] = []
    async with trio_pool.open_pool(APP, size=1, on_event=events.append) as pool:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pool.execute_anonymous, "sleep", {"duration": 0.1})
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(2):
                nursery.start_soon(pool.execute_in_session, "s", "quick", {"n": 1})
        os.kill(pid_of(pool), signal.SIGKILL)
        with trio.fail_after(PATIENCE):
            while pool.get_sessions()["s"].status == "bound":  # noqa: ASYNC110  # a session's end has no event here
                await trio.sleep(0.005)
        await pool.execute_in_session("s", "quick", {"n": 1})
    bound = [event.incarnation for event in events if isinstance(event, trio_pool.SessionBound)]
    assert bound == [1, 2]


async def test_two_health_checks_at_once_are_one_miss() -> None:
    """A worker is killed after ``misses`` unanswered rounds, not the sooner the more tasks ask at the same time."""
    events: list[PoolEvent] = []
    health = {"interval": 1000.0, "timeout": 0.1, "misses": 2}
    async with trio_pool.open_pool(APP, size=1, health=health, on_event=events.append) as pool:
        os.kill(pid_of(pool), signal.SIGSTOP)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(pool.health_check)
        assert [event.misses for event in events if isinstance(event, trio_pool.HealthMissed)] == [1]
        os.kill(pid_of(pool), signal.SIGCONT)


def test_a_keyboard_interrupt_in_the_bookkeeping_loses_no_reply() -> None:
    """Ctrl-C that hits the task reading a reply stops the pool, but the reply that was read is delivered, once."""
    armed: list[bool] = []
    values: list[object] = []
    pools: list[SessionPool] = []

    def hook(event: PoolEvent) -> None:
        if armed and isinstance(event, trio_pool.RequestFinished):
            armed.clear()
            signal.raise_signal(signal.SIGINT)

    async def ask(pool: SessionPool) -> None:
        try:
            values.append(await pool.execute_anonymous("slow_op", {"duration": 0.05}))
        except trio_pool.TrioPoolError as exc:
            values.append(exc)

    async def main() -> None:
        async with trio.open_nursery() as nursery, trio_pool.open_pool(APP, size=1, on_event=hook) as pool:
            pools.append(pool)
            armed.append(True)
            nursery.start_soon(ask, pool)  # noqa: ASYNC111  # it outlives the pool on purpose
            await trio.sleep(PATIENCE)

    # A run of its own: Trio gives the interrupt to the main task, which under the test runner is the runner's.
    with pytest.RaisesGroup(KeyboardInterrupt):
        trio.run(main)
    assert values == [{"status": "ok", "duration": 0.05}]
    assert obeys_the_law(pools[0])
