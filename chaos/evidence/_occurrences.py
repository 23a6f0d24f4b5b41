"""The faults, as they happened: each strike of the plan with whom it hit, what it did and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._history import Record
    from ..scenario._fault import FaultSpec
    from ..scenario._plan import Plan


@attrs.define(kw_only=True)
class Occurrence:
    """One strike of a fault.

    Args:
        fault: Its name in the plan.
        number: Which of its strikes, from 0.
        spec: What the plan says of it; None of a fault that is in no plan.
        injects: One record for each victim.
        effects: What it did.
        heals: How it was healed.
        missed: Why it struck nobody.
        postponed: What kept it back for a while.
    """

    fault: str
    number: int
    spec: FaultSpec | None
    injects: list[Record] = attrs.field(factory=list["Record"])
    effects: list[Record] = attrs.field(factory=list["Record"])
    heals: list[Record] = attrs.field(factory=list["Record"])
    missed: list[Record] = attrs.field(factory=list["Record"])
    postponed: list[Record] = attrs.field(factory=list["Record"])

    @property
    def name(self) -> str:
        """In words."""
        return f"fault {self.fault} #{self.number}"

    @property
    def kind(self) -> str:
        """What was done."""
        return str(self.injects[0]["kind"]) if self.injects else self.spec.kind if self.spec else ""

    @property
    def begin(self) -> float:
        """When it struck; infinite if it never did."""
        return float(self.injects[0]["t"]) if self.injects else float("inf")

    @property
    def end(self) -> float:
        """When it was healed; infinite if it never was, or where there is nothing to heal."""
        return float(self.heals[-1]["t"]) if self.heals else float("inf")

    @property
    def incarnations(self) -> frozenset[int]:
        """The workers it hit."""
        return frozenset(entry["incarnation"] for entry in self.injects if entry["incarnation"] is not None)


def find_occurrences(records: Iterable[Record], plan: Plan) -> list[Occurrence]:
    """Return all strikes, those on record in the order they came and then those that left no record at all.

    One planned strike of a fault that waits for events or conditions may stand for several on record.
    """
    specs = {spec.name: spec for spec in plan.scenario.faults}
    found: dict[tuple[str, int], Occurrence] = {}
    for entry in records:
        if entry["src"] != "chaos" or entry["type"] not in _TOLD:
            continue
        key = (entry["fault"], entry["occurrence"])
        if key not in found:
            found[key] = Occurrence(fault=key[0], number=key[1], spec=specs.get(key[0]))
        getattr(found[key], _TOLD[entry["type"]]).append(entry)
    for strike in plan.strikes:
        key = (strike.fault, strike.occurrence)
        if key not in found:
            found[key] = Occurrence(fault=key[0], number=key[1], spec=specs.get(key[0]))
    return list(found.values())


_TOLD = {"inject": "injects", "effect": "effects", "heal": "heals", "missed": "missed", "postponed": "postponed"}
