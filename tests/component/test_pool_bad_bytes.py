"""Bad bytes cost the worker that sent them and nobody else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgpack
import pytest
import trio
import trio.testing
from _pools import (
    DEEP,
    foreign,
    frame,
    pid_of,
)
from _workers import PATIENCE, looks, state

import trio_pool
from trio_pool._core._messages import encode, encode_json, pieces
from trio_pool._process._link import DRAIN_READS, Link

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_pool import SessionPool

pytestmark = pytest.mark.slow


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

    command = "echo"

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
