"""A link with latency: bytes arrive later, and nothing else about them changes."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
import trio
from _memory_wire import Wire, read, read_all
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from chaos._latency import DelayedTransport
from chaos.link._interposer import HELD_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
async def link(wire: Wire, nursery: trio.Nursery) -> AsyncIterator[DelayedTransport]:
    link = DelayedTransport(wire, nursery)
    yield link
    link.close()


async def test_without_delay_every_call_goes_straight_through(
    wire: Wire, link: DelayedTransport, nursery: trio.Nursery
) -> None:
    """Nothing is held, no task is started, and the answers are those of the transport below."""
    wire.capacity = 3
    assert link.send([b"ab", b"cd"]) == 3
    with pytest.raises(BlockingIOError):
        link.send(b"d")
    with pytest.raises(BlockingIOError):
        read(link)
    wire.deliver(b"xyz")
    await link.wait_readable()
    assert read(link) == b"xyz"
    assert wire.received == b"abc"
    assert not nursery.child_tasks


async def test_what_is_sent_arrives_later_and_in_order(
    autojump_clock: MockClock, wire: Wire, link: DelayedTransport
) -> None:
    """Each send arrives after the delay, though the sender never waited."""
    link.set_delay(0.5)
    start = trio.current_time()
    assert link.send(b"one") == 3
    await trio.sleep(0.2)
    assert link.send([b"t", memoryview(b"wo")]) == 3
    assert wire.received == b""
    await trio.sleep(1)
    assert [piece for _, piece in wire.arrived] == [b"one", b"two"]
    assert [at - start for at, _ in wire.arrived] == [pytest.approx(0.5), pytest.approx(0.7)]


async def test_what_is_received_arrives_later(autojump_clock: MockClock, wire: Wire, link: DelayedTransport) -> None:
    """Bytes are there after the delay and not before, whether the reader looks or waits."""
    link.set_delay(0.5)
    wire.deliver(b"reply")
    start = trio.current_time()
    with pytest.raises(BlockingIOError):
        read(link)
    await link.wait_readable()
    assert trio.current_time() - start == pytest.approx(0.5)
    assert read(link) == b"reply"


async def test_bytes_that_arrive_while_others_are_awaited_have_their_own_time(
    autojump_clock: MockClock, wire: Wire, link: DelayedTransport, nursery: trio.Nursery
) -> None:
    """The second is as late as the first, no later."""
    link.set_delay(0.5)
    start = trio.current_time()
    times: list[float] = []

    async def reader() -> None:
        for _ in range(2):
            await link.wait_readable()
            read(link)
            times.append(trio.current_time() - start)

    nursery.start_soon(reader)
    wire.deliver(b"one")
    await trio.sleep(0.3)
    wire.deliver(b"two")
    await trio.sleep(2)
    assert times == [pytest.approx(0.5), pytest.approx(0.8)]


async def test_healing_releases_what_is_held(
    autojump_clock: MockClock, wire: Wire, link: DelayedTransport, nursery: trio.Nursery
) -> None:
    """With the delay gone nothing waits for it any more, in either direction, and the link is transparent again."""
    link.set_delay(100)
    start = trio.current_time()
    link.send(b"held")
    wire.deliver(b"reply")
    read_at: list[float] = []

    async def reader() -> None:
        await link.wait_readable()
        assert read(link) == b"reply"
        read_at.append(trio.current_time() - start)

    nursery.start_soon(reader)
    await trio.sleep(1)
    link.set_delay(0)
    await trio.sleep(1)
    assert read_at == [pytest.approx(1)]
    assert [piece for _, piece in wire.arrived] == [b"held"]
    assert wire.arrived[0][0] - start == pytest.approx(1)
    assert link.send(b"now") == 3
    assert wire.arrived[-1] == (trio.current_time(), b"now")
    wire.deliver(b"abcd")
    assert read(link, 2) == b"ab"
    assert list(wire.inbox) == [b"cd"]


async def test_a_shorter_delay_is_also_for_what_is_held(
    autojump_clock: MockClock, wire: Wire, link: DelayedTransport
) -> None:
    """From that moment on nothing waits longer than it says, and nothing less for it."""
    link.set_delay(100)
    start = trio.current_time()
    link.send(b"held")
    wire.deliver(b"reply")
    with pytest.raises(BlockingIOError):
        read(link)
    await trio.sleep(1)
    link.set_delay(0.5)
    await link.wait_readable()
    assert trio.current_time() - start == pytest.approx(1.5)
    await trio.sleep(1)
    assert [at - start for at, _ in wire.arrived] == [pytest.approx(1.5)]
    assert wire.received == b"held"


async def test_the_end_comes_after_what_was_sent_before_it(
    autojump_clock: MockClock, wire: Wire, link: DelayedTransport
) -> None:
    """A worker's last words are not overtaken by its end, and the end is told to everyone who asks."""
    link.set_delay(0.5)
    wire.deliver(b"last words")
    wire.deliver(b"")
    assert await read_all(link, 10) == b"last words"
    await link.wait_readable()
    assert read(link) == b""
    assert read(link) == b""


async def test_a_broken_connection_is_told_like_an_end(
    autojump_clock: MockClock, wire: Wire, link: DelayedTransport
) -> None:
    """The error of the transport below comes through, after the delay and after the data."""
    link.set_delay(0.5)
    wire.deliver(b"data")
    wire.deliver(ConnectionResetError(104, "reset"))
    assert await read_all(link, 4) == b"data"
    await link.wait_readable()
    with pytest.raises(ConnectionResetError):
        read(link)


async def test_a_link_holds_no_more_than_its_bound(
    autojump_clock: MockClock, wire: Wire, link: DelayedTransport, nursery: trio.Nursery
) -> None:
    """A full link takes part and then says so; whoever waits for room gets it when bytes leave."""
    link.set_delay(0.5)
    assert link.send(bytes(HELD_BYTES + 1)) == HELD_BYTES
    with pytest.raises(BlockingIOError):
        link.send(b"x")
    start = trio.current_time()
    await link.wait_writable()
    assert trio.current_time() - start == pytest.approx(0.5)
    assert link.send(b"x") == 1


async def test_a_full_transport_below_is_waited_for(
    autojump_clock: MockClock, wire: Wire, link: DelayedTransport
) -> None:
    """What does not fit when it is due is sent when it fits, and nothing overtakes it."""
    wire.capacity = 2
    link.set_delay(0.5)
    link.send(b"abcd")
    await trio.sleep(1)
    link.set_delay(0)
    link.send(b"ef")
    assert wire.received == b"ab"
    wire.room(100)
    await trio.sleep(1)
    assert wire.received == b"abcdef"


async def test_a_transport_that_breaks_is_told_to_the_sender(
    autojump_clock: MockClock, wire: Wire, link: DelayedTransport
) -> None:
    """The error comes with the next send, and not in the nursery of the pool."""
    link.set_delay(0.5)
    wire.broken = BrokenPipeError(32, "gone")
    assert link.send(b"x") == 1
    await trio.sleep(1)
    with pytest.raises(BrokenPipeError):
        link.send(b"y")


@pytest.mark.parametrize("how", ["reading", "reading what is due", "writing"])
async def test_closing_wakes_whoever_waits(
    autojump_clock: MockClock, wire: Wire, nursery: trio.Nursery, how: str
) -> None:
    """Closing is told with `trio.ClosedResourceError`, also to those who wait for held bytes; it ends the task too."""
    link = DelayedTransport(wire, nursery)
    link.set_delay(100)
    if how == "reading what is due":
        wire.deliver(b"x")
        wire.deliver(b"")
    if how == "writing":
        link.send(bytes(HELD_BYTES))
    told: list[str] = []

    async def wait() -> None:
        try:
            await (link.wait_writable() if how == "writing" else link.wait_readable())
        except trio.ClosedResourceError:
            told.append(how)

    nursery.start_soon(wait)
    await wait_all_tasks_blocked()
    link.close()
    link.close()
    await wait_all_tasks_blocked()
    assert told == [how]
    assert not nursery.child_tasks
    with pytest.raises(OSError, match="closed"):
        link.send(b"x")
    with pytest.raises(OSError, match="closed"):
        read(link)


async def test_a_cancelled_nursery_leaves_no_sender_in_the_dark(autojump_clock: MockClock, wire: Wire) -> None:
    """When the pool's nursery is cancelled what is held will not be delivered, and the next send says so."""
    async with trio.open_nursery() as nursery:
        link = DelayedTransport(wire, nursery)
        link.set_delay(100)
        link.send(b"x")
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    with pytest.raises(BrokenPipeError):
        link.send(b"y")
    link.close()


@settings(max_examples=50, deadline=None)
@given(seed=st.integers())
def test_no_byte_is_lost_or_moved_whatever_the_delays(seed: int) -> None:
    """However delays change, whatever the sizes: both ends receive exactly what the other sent, in order."""
    chance = random.Random(seed)  # noqa: S311  # reproducible on purpose
    up = chance.randbytes(chance.randrange(1, 200_000))
    down = chance.randbytes(chance.randrange(1, 200_000))

    async def main() -> tuple[bytes, bytes]:
        wire = Wire()
        got = b""
        async with trio.open_nursery() as nursery:
            link = DelayedTransport(wire, nursery)

            async def shake() -> None:
                for _ in range(20):
                    link.set_delay(chance.choice([0, 0, 0.1, 1]))
                    await trio.sleep(chance.random() / 2)

            async def send() -> None:
                position = 0
                while position < len(up):
                    try:
                        position += link.send([up[position : position + 7], up[position + 7 : position + 30_000]])
                    except BlockingIOError:
                        await link.wait_writable()
                    await trio.sleep(chance.random() / 5)

            async def come() -> None:
                position = 0
                while position < len(down):
                    size = chance.randrange(1, 30_000)
                    wire.deliver(down[position : position + size])
                    position += size
                    await trio.sleep(chance.random() / 5)

            for task in (shake, send, come):
                nursery.start_soon(task)
            got = await read_all(link, len(down))
        link.close()
        return wire.received, got

    received, got = trio.run(main, clock=MockClock(autojump_threshold=0))
    assert received == up
    assert got == down
