"""Toxics, each by itself: what it makes of messages, and that it makes it of whole ones wherever they are cut."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from _memory_wire import Wire, cancel, every, hello, large, messages, on_link, read, read_all, read_now, reply, request
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.faults._wire import movable
from chaos.link._damaging import (
    STRANGER,
    CorruptLength,
    CorruptPayload,
    Drop,
    Duplicate,
    Reorder,
    Truncate,
    Unsolicited,
)
from chaos.link._delaying import Bandwidth, Coalesce, Latency, Slice, Stall
from chaos.link._frames import Kind
from chaos.link._interposer import HELD_BYTES, Interposer
from chaos.scenario._fault import Direction
from trio_pool.wire import MessageDecoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from chaos.link._toxic import Toxic

DOWN, UP = Direction.FROM_WORKER, Direction.TO_WORKER
A, B, C = (reply(number, f"result {number}") for number in (1, 2, 3))


def fixed(size: int) -> Callable[[int], int]:
    return lambda _: size


def heard(toxic: Toxic, *items: bytes, asked: int = 0) -> bytes:
    """Return what a pool hears at once of what a worker says after its greeting, having asked so many requests."""
    got = b""

    def test(link: Interposer, wire: Wire) -> None:
        nonlocal got
        link.send(hello() + b"".join(request(number + 1) for number in range(asked)))
        wire.deliver(hello())
        assert read(link) == hello()
        link.add(toxic, DOWN)
        for item in items:
            wire.deliver(item)
            got += read_now(link)

    on_link(test)
    return got


def ids(data: bytes) -> list[int]:
    return [message["id"] for message in messages(data)]


# -- which messages ----------------------------------------------------------------------------------------------------


def test_the_nth_is_hit_and_so_many_from_there() -> None:
    """Counted from 1 when it came into force; one unless a count says otherwise."""
    assert ids(heard(Drop(every(nth=2)), A + B + C)) == [1, 3]
    assert ids(heard(Drop(every(nth=2, count=5)), A + B + C)) == [1]
    assert ids(heard(Drop(every(count=2)), A + B + C)) == [3]


def test_a_share_is_hit_as_the_seed_says() -> None:
    """About that share, the same each time."""
    said = [reply(number) for number in range(1, 201)]
    first, second = (ids(heard(Drop(every(share=0.3)), *said)) for _ in range(2))
    assert first == second
    assert 110 < len(first) < 170


def test_only_what_fits_is_counted() -> None:
    """Other kinds of message neither are hit nor count."""
    sent: list[bytes] = []

    def test(link: Interposer, wire: Wire) -> None:
        link.send(hello())
        link.add(Drop(every(nth=2, fits=lambda message: message.kind is Kind.CANCEL)), UP)
        link.send(request(1) + cancel(1) + request(2) + cancel(2) + request(3))
        sent.append(wire.received)

    on_link(test)
    assert sent == [hello() + request(1) + cancel(1) + request(2) + request(3)]


def test_commands_are_known_by_name_in_both_directions() -> None:
    """A reply has the command of its request, one with large buffers too."""
    seen: list[tuple[Kind, int | None, str | None]] = []

    def test(link: Interposer, wire: Wire) -> None:
        def note(message: object) -> bool:
            seen.append((message.kind, message.wire_id, message.command))  # type: ignore[attr-defined]
            return False

        link.add(Drop(every(fits=note)), UP)
        link.add(Drop(every(fits=note)), DOWN)
        long = "c" * 40
        link.send(hello() + request(1, "ping") + request(2, long, data=bytes(70_000)) + cancel(2))
        wire.deliver(hello() + reply(2, bytes(70_000)) + reply(1) + reply(9))
        read_now(link)
        assert link.in_flight == {}

    on_link(test)
    assert seen == [
        (Kind.GREETING, None, None),
        (Kind.REQUEST, 1, "ping"),
        (Kind.REQUEST, 2, "c" * 40),
        (Kind.CANCEL, 2, None),
        (Kind.GREETING, None, None),
        (Kind.REPLY, 2, "c" * 40),
        (Kind.REPLY, 1, "ping"),
        (Kind.REPLY, 9, None),
    ]


# -- later, and in portions --------------------------------------------------------------------------------------------


def arrivals(toxic: Toxic, *said: tuple[float, bytes], asked: int = 0) -> list[tuple[float, bytes]]:
    """Return when a pool hears what, of what a worker says when, having been asked so many requests."""
    found: list[tuple[float, bytes]] = []

    async def test(link: Interposer, wire: Wire) -> None:
        link.send(hello() + b"".join(request(number + 1) for number in range(asked)))
        wire.deliver(hello())
        read(link)
        link.add(toxic, DOWN)
        start = trio.current_time()
        total = sum(len(data) for _, data in said)

        async def hear() -> None:
            got = 0
            while got < total:
                await link.wait_readable()
                try:
                    part = read(link)
                except BlockingIOError:
                    continue
                got += len(part)
                found.append((round(trio.current_time() - start, 6), part))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hear)
            for at, data in said:
                await trio.sleep_until(start + at)
                wire.deliver(data)

    on_link(test)
    return found


def test_latency_is_counted_from_when_each_message_came() -> None:
    """The second is as late as the first, no later."""
    toxic = Latency(every(), 0.5, 0.0, random.Random(1))  # noqa: S311  # reproducible on purpose
    assert arrivals(toxic, (0.0, A), (0.3, B)) == [(0.5, A), (0.8, B)]
    assert (toxic.struck, toxic.most) == (2, 0.5)


def test_jitter_is_each_messages_own_and_lets_none_overtake() -> None:
    """Delays differ within the bounds; one that is shorter waits for the one before it."""
    toxic = Latency(every(), 0.5, 0.3, random.Random(1))  # noqa: S311  # as above
    said = [(0.01 * number, reply(number)) for number in range(1, 40)]
    found = arrivals(toxic, *said)
    assert b"".join(part for _, part in found) == b"".join(part for _, part in said)
    assert len({at for at, _ in found}) > 3
    assert 0.2 < toxic.most <= 0.8


def test_bandwidth_is_bytes_a_second_after_the_burst() -> None:
    """What is within the burst goes at once, the rest at the rate."""
    data = reply(1, "x" * 1000)
    found = arrivals(Bandwidth(every(), 1000.0, 0), (0.0, data))
    assert found[-1][0] == pytest.approx(len(data) / 1000)
    assert len(found) > 10
    toxic = Bandwidth(every(), 1000.0, len(A))
    found = arrivals(toxic, (0.0, A), (0.0, B), (10.0, C))
    assert found[0] == (0.0, A)
    assert b"".join(part for at, part in found if at < 5) == A + B
    assert max(at for at, _ in found if at < 5) == pytest.approx(len(B) / 1000)
    assert found[-1] == (10.0, C)
    assert toxic.paid == len(A + B + C)


def test_slices_are_receives_of_their_own() -> None:
    """Single bytes are single receives, with a pause between if there is to be one."""
    found = arrivals(Slice(every(), lambda: 1, 0.0), (0.0, A))
    assert [part for _, part in found] == [A[place : place + 1] for place in range(len(A))]
    sizes = iter([3, 5, 1000])
    found = arrivals(Slice(every(), lambda: next(sizes), 0.25), (0.0, A))
    assert found == [(0.0, A[:3]), (0.25, A[3:8]), (0.5, A[8:])]


def test_slices_are_sends_of_their_own() -> None:
    """What goes to the worker is sent slice by slice."""
    sent: list[bytes] = []

    def test(link: Interposer, wire: Wire) -> None:
        link.add(Slice(every(), lambda: 10, 0.0), UP)
        link.send(hello() + request(1))
        sent.extend(wire.sends)

    on_link(test)
    whole = hello() + request(1)
    assert b"".join(sent) == whole
    assert all(len(part) <= 10 for part in sent)


def test_a_batch_is_one_receive() -> None:
    """Two messages arrive together when the second has come; a last one when it has waited enough."""
    toxic = Coalesce(every(), 2, 1.0, HELD_BYTES)
    assert arrivals(toxic, (0.0, A), (0.4, B), (0.5, C)) == [(0.4, A + B), (1.5, C)]
    assert (toxic.struck, toxic.joined) == (3, 1)


def test_a_batch_has_a_bound() -> None:
    """Beyond so many bytes nothing is kept."""
    assert arrivals(Coalesce(every(), 3, 9.0, len(A + B)), (0.0, A + B), (1.0, C)) == [(0.0, A + B), (10.0, C)]


# -- damaged -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 20])
def test_a_truncated_stream_ends_after_so_many_bytes(size: int) -> None:
    """Then comes the end, told to everyone who asks, and nothing else ever."""

    async def test(link: Interposer, wire: Wire) -> None:
        wire.deliver(hello())
        read(link)
        toxic = Truncate(every(nth=2), fixed(size))
        link.add(toxic, DOWN)
        wire.deliver(A + B[:9])
        wire.deliver(B[9:] + C)
        assert await read_all(link, len(A) + size) == A + B[:size]
        for _ in range(2):
            await link.wait_readable()
            assert read(link) == b""
        link.remove(toxic)
        assert read(link) == b""
        assert toxic.struck == 1
        assert link._inbound.held == 0  # the rest was not only kept out of sight

    on_link(test)


def test_a_truncated_stream_to_the_worker_is_a_closed_link() -> None:
    """The worker gets the fragment and then an end; the pool hears an end too, also if it waited before."""

    async def test(link: Interposer, wire: Wire) -> None:
        link.add(Truncate(every(nth=2), fixed(7)), UP)
        told: list[bytes] = []

        async def hear() -> None:
            await link.wait_readable()
            told.append(read(link))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hear)
            await trio.testing.wait_all_tasks_blocked()
            assert link.send(hello()) == len(hello())
            with pytest.raises(BrokenPipeError):
                link.send(request(1))
        assert wire.received == hello() + request(1)[:7]
        assert wire.closed
        assert told == [b""]
        await link.wait_readable()
        assert read(link) == b""

    on_link(test)


def test_one_bit_of_a_length_is_wrong() -> None:
    """And nothing else of the message, nor of the next."""
    toxic = CorruptLength(every(nth=1), random.Random(3))  # noqa: S311  # as above
    got = heard(toxic, A + B)
    assert got[4:] == (A + B)[4:]
    assert (int.from_bytes(got[:4], "big") ^ int.from_bytes(A[:4], "big")).bit_count() == 1
    assert heard(CorruptLength(every(nth=2), None), A + B) == A + b"\xff" * 4 + B[4:]


@pytest.mark.parametrize("said", [A, large(1, 10), reply(1, [None] * 50), hello()])
def test_the_detectable_bit_is_detected_in_every_message(said: bytes) -> None:
    """A map, an envelope, and the greeting in JSON: none can be decoded with it."""
    got = heard(CorruptPayload(every(), lambda _: (0,), buffers=False), said)
    assert (int.from_bytes(got, "big") ^ int.from_bytes(said, "big")).bit_count() == 1
    decoder = MessageDecoder(1 << 30)
    if said != hello():
        decoder.feed(hello())
    assert decoder.feed(got) == []
    assert decoder.error is not None


@settings(max_examples=30, deadline=None)
@given(seed=st.integers())
def test_the_bits_that_are_drawn_are_flipped_wherever_the_frame_is_cut(seed: int) -> None:
    """In the first large buffer where there is one, else in the message; no other bit changes."""
    chance = random.Random(seed)  # noqa: S311  # as above
    said = chance.choice([large(1, 10, 20), reply(1, "x" * 500)])
    drawn: list[int] = []

    def draw(size: int) -> list[int]:
        drawn.extend(chance.sample(range(8 * size), 5))
        return drawn

    parts = [said[place : place + 20_000] for place in range(0, len(said), 20_000)]
    got = heard(CorruptPayload(every(), draw, buffers=True), *parts)
    frame = int.from_bytes(said[:4], "big") + 8 if len(said) > 1000 else 4
    expected = bytearray(said)
    for bit in drawn:
        expected[frame + bit // 8] ^= 0x80 >> bit % 8
    assert got == bytes(expected)


# -- twice, in another order, never, unasked ---------------------------------------------------------------------------


def test_a_duplicate_comes_right_behind() -> None:
    """All of the message, its large buffers too; beyond the limit it comes once."""
    toxic = Duplicate(every(), HELD_BYTES)
    big = large(2, 5, 6)
    assert heard(toxic, A, big, C) == A + A + big + big + C + C
    assert toxic.struck == 3
    assert heard(Duplicate(every(), 1000), A, big, C) == A + A + big + C + C


def test_two_replies_change_places() -> None:
    """The first of each pair waits for the second, large or not."""
    big = large(2, 5)
    toxic = Reorder(every(), 9.0, HELD_BYTES)
    said = [*(reply(number) for number in (4, 1, 5)), big[:50], big[50:], C]
    assert heard(toxic, *said, asked=5) == said[1] + said[0] + big + said[2] + C
    assert toxic.struck == 2
    # Also if all are there at once: what counts is what was owed after each.
    assert heard(Reorder(every(), 9.0, HELD_BYTES), b"".join(said), asked=5) == said[1] + said[0] + big + said[2] + C


def reached(toxic: Toxic, *items: bytes) -> bytes:
    """Return what reaches a worker at once of what a pool says after its greeting."""
    got = b""

    def test(link: Interposer, wire: Wire) -> None:
        nonlocal got
        link.send(hello())
        link.add(toxic, UP)
        for item in items:
            link.send(item)
        got = wire.received[len(hello()) :]

    on_link(test)
    return got


def test_two_requests_change_places() -> None:
    """The first waits for the second, whatever is owed."""
    asked = [request(number) for number in (1, 2, 3, 4)]
    toxic = Reorder(every(), 9.0, HELD_BYTES)
    assert reached(toxic, *asked) == asked[1] + asked[0] + asked[3] + asked[2]
    assert toxic.struck == 2


@pytest.mark.parametrize("other", [cancel(1), request(2, "cleanup_session")], ids=["cancel", "clean-up"])
def test_nothing_but_its_like_overtakes_a_request(other: bytes) -> None:
    """A cancel that came before its request would cancel nothing, and a clean-up is of what came before it."""
    toxic = Reorder(every(fits=movable), 9.0, HELD_BYTES)
    assert reached(toxic, request(1), other, request(3)) == request(1) + other
    assert toxic.struck == 0


def test_a_reply_that_nobody_follows_is_not_kept() -> None:
    """Where no other is due it goes on at once; where the other does not come, after a while; beyond the limit too."""
    assert heard(Reorder(every(), 9.0, HELD_BYTES), A, asked=1) == A
    assert arrivals(Reorder(every(), 1.5, HELD_BYTES), (0.0, A), asked=2) == [(1.5, A)]
    big = large(2, 5)
    assert heard(Reorder(every(), 9.0, 1000), A, big, asked=2) == A + big


@pytest.mark.parametrize("cut", [0, 10, 40_000])
def test_what_a_toxic_keeps_goes_on_in_order_when_it_is_taken_away(cut: int) -> None:
    """Also in the middle of the second message: nothing is swapped then, and nothing lost."""
    big = large(2, 5)

    def test(link: Interposer, wire: Wire) -> None:
        link.send(hello() + request(1) + request(2))
        wire.deliver(hello())
        read(link)
        toxic = Reorder(every(), math.inf, HELD_BYTES)
        link.add(toxic, DOWN)
        wire.deliver(A + big[:cut])
        assert read_now(link) == b""
        link.remove(toxic)
        wire.deliver(big[cut:])
        assert read_now(link) == A + big

    on_link(test)


def test_a_dropped_message_is_dropped_to_its_end() -> None:
    """Taken away in the middle of one, the toxic swallows the rest of that and nothing more."""
    big = large(2, 5)

    def test(link: Interposer, wire: Wire) -> None:
        wire.deliver(hello())
        read(link)
        toxic = Drop(every(nth=2, count=9))
        link.add(toxic, DOWN)
        wire.deliver(A + big[:40_000])
        assert read_now(link) == A
        link.remove(toxic)
        assert not link.in_force(toxic)
        wire.deliver(big[40_000:] + C[:7])
        assert read_now(link) == C[:7]
        wire.deliver(C[7:] + B)
        assert read_now(link) == C[7:] + B
        assert toxic.struck == 1

    on_link(test)


def test_an_unsolicited_reply_comes_between_two_messages() -> None:
    """Whole, well-formed, and with an id that no request has."""
    got = heard(Unsolicited(every(nth=2)), A[:20], A[20:] + B)
    assert ids(got) == [1, STRANGER, 2]


def test_toxics_work_one_behind_the_other() -> None:
    """Each takes what the one before it let go: a reply that is doubled and then late is late twice."""
    found: list[tuple[float, bytes]] = []

    async def test(link: Interposer, wire: Wire) -> None:
        wire.deliver(hello())
        read(link)
        link.add(Duplicate(every(), HELD_BYTES), DOWN)
        link.add(Drop(every(nth=2)), DOWN)
        link.add(Latency(every(), 0.5, 0.0, random.Random(1)), DOWN)  # noqa: S311  # as above
        link.add(Stall(every(nth=3)), DOWN)
        start = trio.current_time()
        wire.deliver(A + B)
        got = await read_all(link, len(A + B))
        found.append((round(trio.current_time() - start, 6), got))
        with trio.move_on_after(100) as limit:
            await link.wait_readable()
        assert limit.cancelled_caught

    on_link(test)
    assert found == [(0.5, A + B)]
