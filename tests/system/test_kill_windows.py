"""The twelve kill windows of a request's life, each hit exactly, with every kind of death.

| window | the worker dies … | what its caller may see |
|---|---|---|
| W1 | idle, before checkout | ok |
| W2 | after checkout, before the first byte is written | ok: dispatched again |
| W3 | in the middle of the request's frame | ok: dispatched again |
| W4 | when the frame is written and not read | ok: dispatched again |
| W5 | while the command runs | maybe executed; ok if it is idempotent |
| W6 | after the effect, before the reply | maybe executed, and never again; ok if it is idempotent |
| W7 | in the middle of the reply's frame | maybe executed: half a frame is no reply |
| W8 | when the whole reply is in the socket, unread | ok |
| W9 | when the reply is read, before checkin | ok |
| W10 | while it starts | ok, only later; the death is charged |
| W11 | during a health check | ok for what waits meanwhile |
| W12 | while the pool stops | the stop is in time, and nothing is started |

In W1 to W4 the command has not begun, so the pool owes a second dispatch; an error, though it were a true one, would be
a failure here, for there is time and a worker to be had.

Each window meets SIGKILL, SIGSEGV, exit 0 and exit 3; there is no pair that does not exist. Deaths from outside are
signals, for which the worker has handlers where it has to call exit itself (`_window_app`); a stopped process dies of
them before its next instruction. Exit 0 is a death like the others wherever the pool did not ask for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from _pools import pid_of
from _window_app import DEATHS
from _windows import await_end, freeze, window

import trio_pool

if TYPE_CHECKING:
    from pathlib import Path

    from trio_pool import PoolEvent

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("death", DEATHS)]


async def test_w1_a_worker_that_dies_idle_costs_nothing(tmp_path: Path, death: str) -> None:
    """Dead before anybody asks, and not yet missed: the request that comes then is served by its successor."""
    async with window(tmp_path, death) as w:
        w.end()
        assert await w.ask() == "ok"
        assert w.executed == [1]
        await w.recovered()
        assert w.exits == [death]
        assert w.pool.get_pool_status().metrics.failed == 0


async def test_w2_a_worker_that_dies_before_the_first_byte_costs_nothing(tmp_path: Path, death: str) -> None:
    """It was chosen and busy, but nothing was sent: the request goes to another."""
    async with window(tmp_path, death) as w:
        transport = w.transport

        def die_first(data: bytes) -> int:
            assert w.pool.get_pool_status().workers[0].status == "busy"
            w.end()
            return transport.inner.send(data)

        transport.at_send = die_first
        assert await w.ask() == "ok"
        assert transport.at_send is None
        assert w.executed == [1]
        await w.recovered()
        assert w.exits == [death]
        assert w.pool.get_pool_status().metrics.redispatched == 1


async def test_w3_half_a_request_is_never_executed(tmp_path: Path, death: str) -> None:
    """Half of the frame was sent when its reader died: the request goes to another, which runs it once."""
    async with window(tmp_path, death) as w:
        transport = w.transport
        rest: list[bytes] = []

        def send_half(data: bytes) -> int:
            sent = transport.inner.send(data[: len(data) // 2])
            assert 0 < sent < len(data)
            rest.append(data[sent:])
            transport.at_send = die_first
            return sent

        def die_first(data: bytes) -> int:
            assert data == rest[0]
            w.end()
            return transport.inner.send(data)

        transport.at_send = send_half
        assert await w.ask() == "ok"
        assert len(rest) == 1
        assert w.executed == [1]
        await w.recovered()
        assert w.exits == [death]
        assert w.pool.get_pool_status().metrics.redispatched == 1


async def test_w4_a_request_that_was_written_and_not_read_is_dispatched_again(tmp_path: Path, death: str) -> None:
    """The worker stood still before the frame came and never read it: nothing had begun, so another runs it once."""
    async with window(tmp_path, death) as w, trio.open_nursery() as nursery:
        transport = w.transport
        written: list[int] = []

        def count(data: bytes) -> int:
            written.append(transport.inner.send(data))
            assert written == [len(data)]
            return written[0]

        freeze(transport.pid)
        transport.at_send = count
        answers: list[str] = []

        async def ask() -> None:
            answers.append(await w.ask())

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        assert len(written) == 1
        assert w.executed == []
        w.end()
        with trio.CancelScope(shield=True):
            await w.pool.execute_anonymous("ping")
        await trio.testing.wait_all_tasks_blocked()
        assert answers == ["ok"]
        assert w.executed == [1]
        await w.recovered()
        assert w.exits == [death]
        assert w.pool.get_pool_status().metrics.redispatched == 1


async def test_w5_a_running_command_is_not_repeated(tmp_path: Path, death: str) -> None:
    """It had begun and nobody knows how far it came: its caller is told so, and no one else runs it."""
    async with window(tmp_path, death) as w:
        assert await w.ask("record_and_die", how=death) == "maybe_executed"
        assert w.executed == [1]
        await w.recovered()
        assert w.exits == [death]
        assert w.executed == [1, 2]


async def test_w5_a_running_idempotent_command_is_repeated(tmp_path: Path, death: str) -> None:
    """Declared idempotent it runs again, in another worker, and its caller gets the reply."""
    async with window(tmp_path, death) as w:
        assert await w.ask("record_and_die", how=death, idempotent=True) == "ok"
        assert w.executed == [1, 1]
        await w.recovered()
        assert w.exits == [death]


async def test_w6_an_effect_without_a_reply_is_not_repeated(tmp_path: Path, death: str) -> None:
    """The command is over and its reply is about to be written: maybe executed, and executed once it stays."""
    async with window(tmp_path, death) as w:
        assert await w.ask("die_in_the_reply", how=death, sent=0.0) == "maybe_executed"
        assert w.executed == [1]
        await w.recovered()
        assert w.exits == [death]
        assert w.executed == [1, 2]


async def test_w6_an_idempotent_effect_without_a_reply_is_repeated(tmp_path: Path, death: str) -> None:
    """Declared idempotent it may have its effect twice, and has its reply."""
    async with window(tmp_path, death) as w:
        assert await w.ask("die_in_the_reply", how=death, sent=0.0, idempotent=True) == "ok"
        assert w.executed == [1, 1]
        await w.recovered()
        assert w.exits == [death]


async def test_w7_half_a_reply_is_never_read_as_one(tmp_path: Path, death: str) -> None:
    """Half of the reply's frame arrived: it is thrown away, and the caller is told what is true."""
    async with window(tmp_path, death) as w:
        transport = w.transport
        before = transport.received
        assert await w.ask("die_in_the_reply", how=death, sent=0.5) == "maybe_executed"
        assert transport.received > before
        assert w.executed == [1]
        await w.recovered()
        assert w.exits == [death]
        assert w.executed == [1, 2]


@pytest.mark.parametrize("first", ["the reply", "the exit"])
async def test_w8_a_reply_in_the_socket_outlives_its_writer(tmp_path: Path, death: str, first: str) -> None:
    """All of the reply was written before the worker died: its caller has it, whichever of the two is seen first."""
    async with window(tmp_path, death) as w:
        transport = w.transport
        if first == "the exit":
            transport.exit_told = trio.Event()
        else:
            transport.at_receive = lambda: await_end(transport.pid)
        assert await w.ask("die_in_the_reply", how=death, sent=1.0) == "ok"
        assert w.executed == [1]
        await w.recovered()
        assert w.exits == [death]
        assert w.executed == [1, 2]


async def test_w9_a_death_after_the_reply_was_read_is_nobodys_loss(tmp_path: Path, death: str) -> None:
    """The caller has its reply, and the next one is not given to the dead worker that looks idle."""
    async with window(tmp_path, death) as w:
        killed: list[str] = []

        def die(event: PoolEvent) -> None:
            if isinstance(event, trio_pool.RequestFinished):
                killed.append(w.pool.get_pool_status().workers[0].status)
                w.at_event = None
                w.end()

        w.at_event = die
        assert await w.ask() == "ok"
        assert killed == ["busy"]
        assert await w.ask() == "ok"
        assert w.executed == [1, 2]
        await w.recovered()
        assert w.exits == [death]


@pytest.mark.parametrize("allowed", [1, 2])
async def test_w10_a_death_while_starting_is_only_waited_for_and_charged(
    tmp_path: Path, death: str, allowed: int
) -> None:
    """Whoever asks meanwhile waits for the worker after it; of two deaths in a row a policy of one gives up."""
    restart = {"max_restarts": allowed, "within": 30.0, "backoff": {"initial": 0.01}}
    answers: list[str] = []
    if allowed == 1:
        with pytest.raises(trio_pool.RestartIntensityExceeded):  # noqa: PT012  # the body is the point
            async with window(tmp_path, death, restart=restart) as w:
                w.handshake.write_text(death)
                w.end()
                answers.append(await w.ask())
        assert answers in ([], ["not_executed"])
        assert w.executed == []
    else:
        async with window(tmp_path, death, restart=restart) as w:
            w.handshake.write_text(death)
            w.end()
            assert await w.ask() == "ok"
            assert w.executed == [1]
            await w.recovered()
    assert w.exits[:2] == [death] * 2
    assert not w.handshake.exists()
    assert w.starts == allowed + 1


async def test_w11_a_death_in_a_health_check_loses_nothing_that_waits(tmp_path: Path, death: str) -> None:
    """The worker stands still over a ping, a request comes, the worker dies: the next one serves it."""
    health = {"interval": 0.05, "timeout": 60.0, "misses": 2}
    async with window(tmp_path, death, health=health) as w, trio.open_nursery() as nursery:
        transport = w.transport
        pinged = trio.Event()

        def stand_still(data: bytes) -> int:
            freeze(transport.pid)
            pinged.set()
            return transport.inner.send(data)

        transport.at_send = stand_still
        await pinged.wait()
        assert w.pool.get_pool_status().metrics.submitted == 0
        answers: list[str] = []

        async def ask() -> None:
            answers.append(await w.ask())

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        assert answers == []
        w.end()
        assert await w.pool.execute_anonymous("ping") is not None
        await trio.testing.wait_all_tasks_blocked()
        assert answers == ["ok"]
        assert w.executed == [1]
        await w.recovered()
        assert w.exits == [death]


async def test_w12_a_death_while_the_pool_stops_neither_delays_nor_revives_it(tmp_path: Path, death: str) -> None:
    """The worker dies of something else than what it is just being told: the stop is in time, nothing is started."""
    grace = 1.0
    async with window(tmp_path, death, shutdown_grace=grace) as w:
        transport = w.transport
        assert await w.ask() == "ok"
        pid = pid_of(w.pool)

        def die_first(data: bytes) -> int:
            w.end()
            return transport.inner.send(data)

        transport.at_send = die_first
        stopping = trio.current_time()
    assert trio.current_time() - stopping < grace + 2.0  # the promise itself
    assert transport.at_send is None
    assert (transport.pid, w.starts) == (pid, 1)
    assert [exit_.strip("()") for exit_ in w.exits] == [death]
