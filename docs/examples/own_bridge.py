"""Commands of one's own: what a worker does before it is ready, typed arguments, errors with a true outcome."""

from dataclasses import dataclass
from datetime import date

import trio

import trio_pool
from trio_pool.bridge import Bridge, Session

bridge = Bridge()
holidays: set[date] = set()


@dataclass
class Trip:
    where: str
    days: int


@bridge.on_start
def load() -> None:
    holidays.add(date(2026, 12, 25))  # what each worker does once, before it is ready


@bridge.command
def is_holiday(day: str) -> bool:
    return date.fromisoformat(day) in holidays


@bridge.command
def book(session: Session, trip: Trip, seats: int = 1) -> int:
    session.state.setdefault("trips", []).append(trip)
    return seats * trip.days


async def main() -> None:
    async with trio_pool.open_pool("__main__:bridge", size=1) as pool:
        print(await pool.execute_anonymous("is_holiday", {"day": "2026-12-25"}))
        print(await pool.execute_in_session("ada", "book", {"trip": {"where": "Rome", "days": 3}, "seats": 2}))

        attempts: list[tuple[str, dict[str, object]]] = [
            ("is_holiday", {"day": "tomorrow"}),  # the command raises
            ("book", {"trip": {"where": "Rome", "days": "3"}}),  # refused: nothing is coerced
            ("bok", {}),
        ]
        for command, args in attempts:
            try:
                await pool.execute_in_session("ada", command, args)
            except trio_pool.TrioPoolError as error:
                print(f"{type(error).__name__}, {error.outcome}")
                print("   ", error.what.split(" [")[0][:60])


if __name__ == "__main__":
    trio.run(main)

# Prints:
# True
# 6
# RemoteError, executed
#     is_holiday: ValueError: Invalid isoformat string: 'tomorrow'
# InvalidArguments, not_executed
#     book: argument 'trip': must be int, not str @ value.days
# UnknownCommand, not_executed
#     bok: there is no such command; there are book, cleanup, clea
