"""The load generator: open-loop, bounded, honest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import trio

from chaos._load import Load
from chaos._pace import AT_ONCE

if TYPE_CHECKING:
    from trio.testing import MockClock


@attrs.frozen
class Due:
    """Something to be sent at its time."""

    index: int
    at: float


def planned(*times: float) -> list[Due]:
    return [Due(index, at) for index, at in enumerate(times)]


async def test_requests_leave_at_their_times_whatever_became_of_the_others(autojump_clock: MockClock) -> None:
    """A request that hangs delays none that comes after it."""
    sent: list[float] = []
    start = trio.current_time()

    async def perform(request: Due) -> None:
        sent.append(trio.current_time() - start)
        await trio.sleep(100)

    load = Load(planned(0.5, 1.0, 1.0, 4.0), perform, lambda _: None, max_in_flight=10)
    await load.run(start)
    assert sent == [0.5, 1.0, 1.0, 4.0]
    assert load.in_flight == 0


async def test_requests_beyond_the_limit_are_dropped_and_counted(autojump_clock: MockClock) -> None:
    """With too many unanswered a request is dropped, not sent later; one that is answered makes room."""
    performed: list[int] = []
    dropped: list[int] = []

    async def perform(request: Due) -> None:
        performed.append(request.index)
        await trio.sleep(10)

    load = Load(planned(0, 1, 2, 3, 12), perform, lambda request: dropped.append(request.index), max_in_flight=2)
    await load.run(trio.current_time())
    assert performed == [0, 1, 4]
    assert dropped == [2, 3]
    assert load.dropped == 2


async def test_cancelling_the_load_cancels_what_is_under_way(autojump_clock: MockClock) -> None:
    """Nothing is sent after the cancellation, and nothing goes on."""
    ended: list[int] = []

    async def perform(request: Due) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(request.index)

    load = Load(planned(0, 1, 50), perform, lambda _: None, max_in_flight=10)
    with trio.move_on_after(5):
        await load.run(trio.current_time())
    assert sorted(ended) == [0, 1]
    assert load.in_flight == 0


async def test_the_most_that_were_unanswered_at_once_is_known(autojump_clock: MockClock) -> None:
    """It is the height of the pile, not its height at the end."""

    async def perform(request: Due) -> None:
        await trio.sleep(2.5)

    load = Load(planned(0, 1, 2, 3, 20), perform, lambda _: None, max_in_flight=10)
    await load.run(trio.current_time())
    assert (load.most_in_flight, load.in_flight) == (3, 0)


async def test_what_is_unanswered_when_the_overtime_is_over_is_cancelled(autojump_clock: MockClock) -> None:
    """The overtime begins with the last request; it ends the waiting, and nothing is raised."""
    ended: dict[int, float] = {}
    start = trio.current_time()

    async def perform(request: Due) -> None:
        try:
            await trio.sleep(4 if request.index else 1000)
        finally:
            ended[request.index] = trio.current_time() - start

    load = Load(planned(0, 6), perform, lambda _: None, max_in_flight=10, overtime=5)
    await load.run(start)
    assert ended == {1: 10, 0: 11}


async def test_a_late_generator_still_sends_everything(autojump_clock: MockClock) -> None:
    """However long the machine stood still, no request is left out for it; the overtime only begins afterwards."""
    sent: list[int] = []

    async def perform(request: Due) -> None:
        sent.append(request.index)
        await trio.sleep(1)

    load = Load(planned(*range(50)), perform, lambda _: None, max_in_flight=100, overtime=5)
    # All fifty were due long ago.
    await load.run(trio.current_time() - 1000)
    assert sorted(sent) == list(range(50))


async def test_a_late_generator_catches_up_in_few_rounds_of_the_loop(autojump_clock: MockClock) -> None:
    """What is due leaves many at a time, so that a slow loop does not set the pace; others still get their turns."""
    rounds = 0
    most = 0

    async def perform(request: Due) -> None:
        nonlocal most
        most = max(most, load.in_flight)
        await trio.lowlevel.checkpoint()

    async def others() -> None:
        nonlocal rounds
        while True:
            await trio.lowlevel.checkpoint()
            rounds += 1

    load = Load(planned(*range(1000)), perform, lambda _: None, max_in_flight=1000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        await load.run(trio.current_time() - 2000)
        nursery.cancel_scope.cancel()
    assert 1000 / AT_ONCE / 2 < rounds < 100
    assert most <= 4 * AT_ONCE
