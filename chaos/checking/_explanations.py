"""What the faults explain: which workers they touched, and when."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

import attrs

from ..scenario._fault import Capability

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..evidence._evidence import Evidence
    from ..evidence._lives import Life
    from ..evidence._occurrences import Occurrence


_OF_WORKERS: Final = frozenset({Capability.PIDS, Capability.LAUNCHER, Capability.AGENT, Capability.PRLIMIT})


@attrs.frozen(slots=False, eq=False)
class Explanations:
    """Tells what a fault may be the reason of."""

    evidence: Evidence

    @cached_property
    def struck(self) -> tuple[Occurrence, ...]:
        """The strikes that hit somebody."""
        return tuple(occurrence for occurrence in self.evidence.occurrences if occurrence.injects)

    @cached_property
    def hit(self) -> Mapping[int, Occurrence]:
        """The incarnations that were hit, and by what first. A fault of starts hits whoever starts while it lasts."""
        found: dict[int, Occurrence] = {}
        for occurrence in self.struck:
            for incarnation in occurrence.incarnations:
                found.setdefault(incarnation, occurrence)
            if hasattr(occurrence.spec, "starts"):
                for life in self.evidence.lives.values():
                    if occurrence.begin <= life.since <= occurrence.end:
                        found.setdefault(life.incarnation, occurrence)
        return found

    @cached_property
    def wide(self) -> tuple[Occurrence, ...]:
        """The strikes that hit workers, and nobody in particular, such as a poison that any of them may be given.

        What hits callers, or the application as a whole, is no reason for a worker to die.
        """
        return tuple(
            occurrence
            for occurrence in self.struck
            if any(entry["incarnation"] is None for entry in occurrence.injects)
            and (occurrence.spec is None or _OF_WORKERS & occurrence.spec.needs)
        )

    def explains_death(self, life: Life) -> bool:
        """Tell whether a fault or the pool's own decision is behind the end of a worker."""
        gone = life.exit
        if gone is None or gone["planned"] or life.kills or life.incarnation in self.hit:
            return True
        return any(occurrence.begin <= gone["t"] for occurrence in self.wide)

    def wired(self, incarnation: int | None) -> bool:
        """Tell whether what a worker's link carried was disturbed."""
        return any(
            (incarnation in occurrence.incarnations or occurrence in self.wide) and is_wire(occurrence)
            for occurrence in self.struck
        )

    def fault_in(self, phase: str) -> bool:
        """Tell whether any fault was in force while a phase lasted."""
        begin, end = self._phases.get(phase, (float("inf"), float("inf")))
        return any(occurrence.begin <= end and _over(occurrence) >= begin for occurrence in self.struck)

    @cached_property
    def _phases(self) -> Mapping[str, tuple[float, float]]:
        found: dict[str, tuple[float, float]] = {}
        for entry in self.evidence.marks.get("phase", ()):
            found[entry["name"]] = (float(entry["t"]), float("inf"))
        for entry in self.evidence.marks.get("phase_end", ()):
            found[entry["name"]] = (found.get(entry["name"], (0.0, 0.0))[0], float(entry["t"]))
        return found


def is_wire(occurrence: Occurrence) -> bool:
    """Tell whether a fault changes what travels between pool and worker."""
    spec = occurrence.spec
    return occurrence.kind.startswith("wire") or (spec is not None and spec.__module__.endswith("_wire_faults"))


def in_worker(occurrence: Occurrence) -> bool:
    """Tell whether a fault takes place inside a worker's interpreter, which then may complain."""
    spec = occurrence.spec
    return spec is not None and bool({Capability.AGENT, Capability.PRLIMIT} & spec.needs)


def _over(occurrence: Occurrence) -> float:
    """Return when a strike was over: at its healing, or at once where there is nothing to heal."""
    if occurrence.heals or (occurrence.spec is not None and occurrence.spec.heals):
        return occurrence.end
    return occurrence.begin
