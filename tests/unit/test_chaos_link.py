"""The interposer: transparent with nothing in force, and nothing lost or moved when something is taken away."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
import trio
from _memory_wire import Wire, cancel, every, hello, large, on_link, read, read_all, read_now, reply, request
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from chaos.link._delaying import Bandwidth, Coalesce, Latency, Slice, Stall
from chaos.link._interposer import HELD_BYTES, Interposer
from chaos.link._toxic import Choice, Toxic
from chaos.scenario._fault import Direction

if TYPE_CHECKING:
    from collections.abc import Callable

DOWN, UP = Direction.FROM_WORKER, Direction.TO_WORKER


def stream(chance: random.Random, make: Callable[[int], bytes]) -> bytes:
    """Return a hello and some messages, some of them large."""
    return hello() + b"".join(make(number) for number in range(1, chance.randrange(2, 12)))


def replies(chance: random.Random) -> bytes:
    def make(number: int) -> bytes:
        match chance.randrange(4):
            case 0:
                return large(number, *(chance.randrange(50_000) for _ in range(chance.randrange(1, 4))))
            case 1:
                return reply(number, "x" * chance.randrange(60_000))
            case _:
                return reply(number, chance.randrange(100))

    return stream(chance, make)


def requests(chance: random.Random) -> bytes:
    def make(number: int) -> bytes:
        match chance.randrange(4):
            case 0:
                return request(number, data=bytes(chance.randrange(60_000, 200_000)))
            case 1:
                return request(number) + cancel(number)
            case _:
                return request(number, "a" * chance.randrange(1, 40), value=chance.randrange(100))

    return stream(chance, make)


def chunks(chance: random.Random, data: bytes) -> list[bytes]:
    """Cut bytes anywhere."""
    parts: list[bytes] = []
    largest = chance.choice([3, 100, 70_000, 300_000])
    while data:
        size = chance.randrange(1, largest) if len(data) < 200 * largest else len(data) // 50
        parts.append(data[:size])
        data = data[size:]
    return parts


@settings(max_examples=25, deadline=None)
@given(seed=st.integers())
def test_with_nothing_in_force_each_call_is_the_call_below(seed: int) -> None:
    """Whatever the chunks: each send and each receive is passed on at once, as it is, and nothing is read ahead."""
    chance = random.Random(seed)  # noqa: S311  # reproducible on purpose

    def test(link: Interposer, wire: Wire) -> None:
        up, down = requests(chance), replies(chance)
        sent = chunks(chance, up)
        for part in sent:
            halves: list[bytes | memoryview] = [part[: len(part) // 2], memoryview(part)[len(part) // 2 :]]
            assert link.send(halves if chance.random() < 0.5 else part) == len(part)
        assert wire.sends == sent
        for count, part in enumerate(chunks(chance, down)):
            wire.deliver(part)
            assert read(link, 1 << 20) == part
            assert wire.reads == count + 1

    on_link(test)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers())
def test_a_toxic_that_does_nothing_changes_nothing(seed: int) -> None:
    """Also when every byte comes through the lanes, cut into frames: what leaves is what came, at the same time."""
    chance = random.Random(seed)  # noqa: S311  # reproducible on purpose

    def test(link: Interposer, wire: Wire) -> None:
        up, down = requests(chance), replies(chance)
        link.add(Toxic(), UP)
        link.add(Toxic(), DOWN)
        taken = b""
        for part in chunks(chance, up):
            assert link.send(part) == len(part)
            taken += part
        assert wire.received == up
        got = b""
        for part in chunks(chance, down):
            wire.deliver(part)
            got += read_now(link)
        assert got == down
        assert trio.current_time() == start[0]

    start: list[float] = []

    def timed(link: Interposer, wire: Wire) -> None:
        start.append(trio.current_time())
        test(link, wire)

    on_link(timed)


def delaying(chance: random.Random) -> Toxic:
    """Return a toxic that changes no byte."""
    choice = Choice(chance, share=chance.choice([0.3, 1.0]))
    match chance.randrange(5):
        case 0:
            return Latency(choice, 0.1, 0.1, chance)
        case 1:
            return Bandwidth(choice, 1e6, 10_000)
        case 2:
            return Slice(choice, lambda: chance.randrange(1, 20_000), 0.001)
        case 3:
            return Coalesce(choice, 3, 0.2, HELD_BYTES)
        case _:
            return Stall(choice)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers())
def test_no_byte_is_lost_or_moved_however_toxics_come_and_go(seed: int) -> None:
    """Toxics that change no byte are added and removed at any moment: both ends receive what the other sent."""
    chance = random.Random(seed)  # noqa: S311  # reproducible on purpose
    up, down = requests(chance), replies(chance)

    async def test(link: Interposer, wire: Wire) -> None:
        got = b""

        async def shake() -> None:
            inside: list[Toxic] = []
            for _ in range(30):
                if inside and chance.random() < 0.5:
                    link.remove(inside.pop(chance.randrange(len(inside))))
                else:
                    inside.append(delaying(chance))
                    link.add(inside[-1], chance.choice([UP, DOWN]))
                await trio.sleep(chance.random() / 5)
            for toxic in inside:
                link.remove(toxic)

        async def send() -> None:
            for whole in chunks(chance, up):
                part = whole
                while part:
                    try:
                        part = part[link.send(part) :]
                    except BlockingIOError:
                        await link.wait_writable()
                await trio.sleep(chance.random() / 10)

        async def squeeze() -> None:
            while len(wire.received) < len(up):
                wire.room(chance.randrange(1, 200_000))
                await trio.sleep(0.1)

        async def come() -> None:
            for part in chunks(chance, down):
                wire.deliver(part)
                await trio.sleep(chance.random() / 10)

        wire.capacity = 0
        async with trio.open_nursery() as nursery:
            for task in (shake, send, come, squeeze):
                nursery.start_soon(task)
            got = await read_all(link, len(down))
        assert wire.received == up
        assert got == down
        # Transparent again: the next bytes go straight through.
        reads = wire.reads
        wire.deliver(b"\0")
        assert read(link) == b"\0"
        assert wire.reads == reads + 1

    on_link(test)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers())
def test_the_requests_in_flight_are_known_whatever_the_chunks(seed: int) -> None:
    """The commands not yet replied to are those of the requests that went by, large ones too, toxics or not."""
    chance = random.Random(seed)  # noqa: S311  # reproducible on purpose

    def test(link: Interposer, wire: Wire) -> None:
        toxics = [Toxic(), Toxic()]
        expected: dict[int, str] = {}
        up = hello()
        for number in range(1, 8):
            command = "c" * chance.randrange(1, 35)
            expected[number] = command
            up += request(number, command, data=bytes(chance.choice([1, 70_000]))) + cancel(number)
        for part in chunks(chance, up):
            if chance.random() < 0.5:
                link.add(toxics[0], UP)
            else:
                link.remove(toxics[0])
            link.send(part)
        assert link.in_flight == expected
        answered = chance.sample(sorted(expected), 3)
        down = hello() + b"".join(reply(number, bytes(chance.choice([1, 70_000]))) for number in answered)
        for part in chunks(chance, down):
            if chance.random() < 0.5:
                link.add(toxics[1], DOWN)
            else:
                link.remove(toxics[1])
            wire.deliver(part)
            read_now(link)
        assert link.in_flight == {number: command for number, command in expected.items() if number not in answered}

    on_link(test)


async def test_a_toxic_begins_with_the_next_message(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Put in force within a frame it lets the rest of that pass at once, and holds back what begins after it."""
    wire = Wire()
    await trio.lowlevel.checkpoint()
    link = Interposer(wire, nursery)
    first, second = hello() + large(1, 5), reply(2)
    wire.deliver(first[:40])
    assert read(link) == first[:40]
    toxic = Stall(every())
    link.add(toxic, DOWN)
    wire.deliver(first[40:] + second)
    assert read_now(link) == first[40:]
    assert toxic.struck == 1
    link.remove(toxic)
    assert read_now(link) == second
    link.close()


@pytest.mark.parametrize("direction", [UP, DOWN])
async def test_half_an_opening_is_let_go_when_the_last_toxic_is(nursery: trio.Nursery, direction: Direction) -> None:
    """Bytes that are kept to see what they are go on at once, and the rest after them."""
    wire = Wire()
    await trio.lowlevel.checkpoint()
    link = Interposer(wire, nursery)
    toxic = Toxic()
    link.add(toxic, direction)
    whole = hello() + (reply(1) + reply(2) if direction is DOWN else request(1) + request(2))
    place = len(hello()) + 9
    got = b""

    def carry(part: bytes) -> bytes:
        nonlocal got
        if direction is UP:
            assert link.send(part) == len(part)
            return wire.received
        wire.deliver(*([part] if part else []))
        got += read_now(link)
        return got

    assert carry(whole[:place]) == hello()
    link.remove(toxic)
    assert (wire.received if direction is UP else carry(b"")) == whole[:place]
    link.add(toxic, direction)
    assert carry(whole[place:]) == whole
    link.close()


async def test_nothing_is_read_ahead_for_what_is_left_over(nursery: trio.Nursery) -> None:
    """With the last toxic gone what was read by then is handed over, and only then is more received."""
    wire = Wire()
    await trio.lowlevel.checkpoint()
    link = Interposer(wire, nursery)
    toxic = Stall(every())
    link.add(toxic, DOWN)
    wire.deliver(hello() + reply(1))
    assert read_now(link) == b""
    link.remove(toxic)
    reads = wire.reads
    wire.deliver(reply(2))
    assert read(link, 5) + read(link) == hello() + reply(1)
    assert wire.reads == reads
    assert read(link) == reply(2)
    link.close()


async def test_a_link_holds_no_more_than_its_bound(nursery: trio.Nursery) -> None:
    """In either direction: beyond it the sender is told to wait, and the worker's bytes stay where they are."""
    wire = Wire()
    await trio.lowlevel.checkpoint()
    link = Interposer(wire, nursery)
    link.add(Stall(every()), UP)
    link.add(Stall(every()), DOWN)
    much = bytes(4 * HELD_BYTES)
    assert link.send(request(1, data=much)) == HELD_BYTES
    with pytest.raises(BlockingIOError):
        link.send(b"x")
    wire.deliver(reply(1, much))
    assert read_now(link) == b""
    assert sum(len(item) for item in wire.inbox if isinstance(item, bytes)) >= 2.9 * HELD_BYTES
    link.close()


async def test_what_one_toxic_held_is_free_though_another_keeps_it(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Bytes that were stalled, and are kept for a batch behind that, do not stay for a stall that is healed."""
    wire = Wire()
    link = Interposer(wire, nursery)
    stall, batch = Stall(every()), Coalesce(every(), 5, 1.0, HELD_BYTES)
    link.add(stall, DOWN)
    link.add(batch, DOWN)
    wire.deliver(hello())
    assert read_now(link) == b""
    link.remove(stall)
    start = trio.current_time()
    assert await read_all(link, len(hello())) == hello()
    assert trio.current_time() - start == pytest.approx(1.0)
    link.close()


@pytest.mark.parametrize("direction", [UP, DOWN])
async def test_a_waiting_reader_and_a_waiting_writer_hear_of_healing(
    autojump_clock: MockClock, nursery: trio.Nursery, direction: Direction
) -> None:
    """Whoever waits for a stalled link goes on when the stall is healed, and not before."""
    wire = Wire()
    link = Interposer(wire, nursery)
    toxic = Stall(every())
    link.add(toxic, direction)
    start = trio.current_time()
    times: list[float] = []

    async def wait() -> None:
        if direction is DOWN:
            await link.wait_readable()
        else:
            await link.wait_writable()
        times.append(trio.current_time() - start)

    if direction is DOWN:
        wire.deliver(hello())
    else:
        assert link.send(request(1, data=bytes(2 * HELD_BYTES))) == HELD_BYTES
        with pytest.raises(BlockingIOError):
            link.send(b"x")
    nursery.start_soon(wait)
    await trio.sleep(5)
    link.remove(toxic)
    await trio.sleep(5)
    assert times == [5]
    assert link.in_force(toxic) is False
    link.close()


async def test_the_end_comes_behind_what_is_held(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """A worker's last words are not overtaken by its end, and the end is told to everyone who asks."""
    wire = Wire()
    link = Interposer(wire, nursery)
    link.add(Latency(every(), 0.5, 0.0, random.Random(1)), DOWN)  # noqa: S311  # reproducible on purpose
    wire.deliver(hello() + reply(1), b"")
    start = trio.current_time()
    assert await read_all(link, len(hello() + reply(1))) == hello() + reply(1)
    await link.wait_readable()
    assert trio.current_time() - start == pytest.approx(0.5)
    assert read(link) == b""
    assert read(link) == b""
    link.close()


async def test_an_error_comes_behind_what_is_held(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """The error of the transport below comes through, after the data."""
    wire = Wire()
    link = Interposer(wire, nursery)
    link.add(Coalesce(every(), 5, 1.0, HELD_BYTES), DOWN)
    wire.deliver(hello(), ConnectionResetError(104, "reset"))
    assert await read_all(link, len(hello())) == hello()
    with pytest.raises(ConnectionResetError):
        read(link)
    link.close()


async def test_a_transport_that_breaks_is_told_to_the_sender_at_once(nursery: trio.Nursery) -> None:
    """The error comes from the send that met it, and from every later one."""
    wire = Wire()
    await trio.lowlevel.checkpoint()
    link = Interposer(wire, nursery)
    link.add(Toxic(), UP)
    wire.broken = BrokenPipeError(32, "gone")
    for _ in range(2):
        with pytest.raises(BrokenPipeError):
            link.send(hello())
    link.close()


async def test_a_cancelled_nursery_leaves_no_sender_in_the_dark(autojump_clock: MockClock) -> None:
    """When the pool's nursery is cancelled what is held will not be delivered, and the next send says so."""
    wire = Wire()
    async with trio.open_nursery() as nursery:
        link = Interposer(wire, nursery)
        link.add(Stall(every()), UP)
        link.send(hello())
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    with pytest.raises(BrokenPipeError):
        link.send(request(1))
    link.close()


@pytest.mark.parametrize("how", ["reading", "writing"])
async def test_closing_wakes_whoever_waits(autojump_clock: MockClock, how: str) -> None:
    """Closing is told with `trio.ClosedResourceError` and ends the delivering task; closing again does nothing."""
    wire = Wire()
    told: list[str] = []
    async with trio.open_nursery() as nursery:
        link = Interposer(wire, nursery)
        link.add(Stall(every()), UP)
        link.add(Stall(every()), DOWN)
        wire.deliver(hello(), b"")
        link.send(request(1, data=bytes(2 * HELD_BYTES)))

        async def wait() -> None:
            try:
                await (link.wait_writable() if how == "writing" else link.wait_readable())
            except trio.ClosedResourceError:
                told.append(how)

        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        link.close()
        link.close()
    assert told == [how]
    with pytest.raises(OSError, match="closed"):
        link.send(b"x")
    with pytest.raises(OSError, match="closed"):
        read(link)
