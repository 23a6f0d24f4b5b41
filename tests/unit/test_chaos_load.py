"""The load generator: open-loop, bounded, honest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from chaos._load import Load
from chaos._plan import PlannedRequest

if TYPE_CHECKING:
    from trio.testing import MockClock


def planned(*times: float) -> list[PlannedRequest]:
    return [
        PlannedRequest(index=index, at=at, user=0, session=0, step=index, nonce=f"{index:x}")
        for index, at in enumerate(times)
    ]


async def test_requests_leave_at_their_times_whatever_became_of_the_others(autojump_clock: MockClock) -> None:
    """A request that hangs delays none that comes after it."""
    sent: list[float] = []
    start = trio.current_time()

    async def perform(request: PlannedRequest) -> None:
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

    async def perform(request: PlannedRequest) -> None:
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

    async def perform(request: PlannedRequest) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(request.index)

    load = Load(planned(0, 1, 50), perform, lambda _: None, max_in_flight=10)
    with trio.move_on_after(5):
        await load.run(trio.current_time())
    assert sorted(ended) == [0, 1]
    assert load.in_flight == 0
