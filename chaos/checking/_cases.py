"""What a checker collects and what it answers; the table makes findings of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ._finding import MAX_WITNESSES, Judgement, Witness

if TYPE_CHECKING:
    from collections.abc import Iterable


@attrs.frozen(kw_only=True)
class Answer:
    """What a checker says; see `Finding` for the fields."""

    judgement: Judgement
    text: str
    cases: int = 0
    witnesses: tuple[Witness, ...] = ()
    weighs: bool = True


@attrs.define
class Cases:
    """Counts violations and keeps the first of them."""

    count: int = 0
    witnesses: list[Witness] = attrs.field(factory=list[Witness])

    def add(self, text: str, seqs: Iterable[int] = ()) -> None:
        """Add one, with the records that show it."""
        self.count += 1
        if len(self.witnesses) < MAX_WITNESSES:
            self.witnesses.append(Witness(text=text, seqs=tuple(seqs)))

    def answer(self, text: str, *, unknown: str | None = None, idle: str | None = None) -> Answer:
        """Conclude: a violation is one whatever else is unknown.

        Args:
            text: What was looked at, if nothing was found.
            unknown: Why nothing can be said though it should; None if it can.
            idle: What did not happen that the checker watches for, if it did not.
        """
        if self.count:
            return Answer(
                judgement=Judgement.FAIL,
                text=f"{count(self.count, 'violation')}, the first: {self.witnesses[0].text}",
                cases=self.count,
                witnesses=tuple(self.witnesses),
            )
        if unknown is not None:
            return Answer(judgement=Judgement.UNKNOWN, text=unknown)
        if idle is not None:
            return Answer(judgement=Judgement.UNKNOWN, text=idle, weighs=False)
        return Answer(judgement=Judgement.PASS, text=text)


def unknown(text: str) -> Answer:
    """Answer that nothing can be said, though it should."""
    return Cases().answer("", unknown=text)


def idle(text: str) -> Answer:
    """Answer that nothing happened that could be judged, or that this pool cannot be asked."""
    return Cases().answer("", idle=text)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun, in the plural where it belongs there."""
    return f"{number} {noun}" if number == 1 else f"{number} {plural or f'{noun}s'}"


TELLS_NOTHING = "the pool tells no events"
"""Why what only events show is unknown of some pools."""

NO_LEDGER = "the workers kept no ledger"
