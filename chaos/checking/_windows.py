"""Windows: the stretches of a run over which numbers are taken.

A request belongs to the window in which it was *meant* to be sent. By the time of its answer, a stall would vanish from
the very window it happened in.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from ..evidence._standstills import joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .._history import Record
    from ..scenario._model import Scenario
    from ._recovery import Occurrence

ALL = "all"
FAULT = "fault:"


@attrs.frozen(kw_only=True)
class Window:
    """One window.

    Args:
        name: A phase's, ``fault:NAME`` or ``all``.
        spans: Its stretches in the history's time, in order and apart from each other; the end is not part of one.
        fault: The fault, if it is one's window.
    """

    name: str
    spans: tuple[tuple[float, float], ...]
    fault: str | None = None

    def holds(self, t: float) -> bool:
        """Whether a moment lies in it."""
        return any(start <= t < end for start, end in self.spans)

    @property
    def seconds(self) -> float:
        """How long it is; infinite if the run's end ends it."""
        return sum(end - start for start, end in self.spans)

    def pieces(self, seconds: float) -> list[Window]:
        """Cut it into stretches of so many seconds, the last of each span shorter."""
        cut: list[Window] = []
        for start, end in self.spans:
            count = max(1, math.ceil((end - start) / seconds - 1e-9)) if math.isfinite(end) else 1
            cut += [
                Window(
                    name=self.name,
                    spans=((start + index * seconds, min(start + (index + 1) * seconds, end)),),
                    fault=self.fault,
                )
                for index in range(count)
            ]
        return cut


def find_windows(scenario: Scenario, records: Sequence[Record], occurrences: Iterable[Occurrence]) -> dict[str, Window]:
    """Return all windows of a run: ``all`` first, the phases in order, then one for each fault.

    Phases lie where the plan has them: the record that announces one may come late. What is meant to be sent after the
    last has ended, because a session went on, belongs to the last.
    """
    clock = next((float(e["t"]) for e in records if e["src"] == "run" and e["type"] == "clock"), None)
    last = float(records[-1]["t"]) if records else 0.0
    asked = max((float(e["t_int"]) for e in records if e["src"] == "client" and "t_int" in e), default=0.0)
    phases: list[Window] = []
    begin = math.inf if clock is None else clock
    for index, phase in enumerate(scenario.phases):
        end = begin + phase.duration
        if index == len(scenario.phases) - 1 and clock is not None:
            end = max(end, asked + 1e-6)
        phases.append(Window(name=phase.name, spans=((begin, end),)))
        begin = end
    measured = [window.spans[0] for window, phase in zip(phases, scenario.phases, strict=True) if phase.measure]
    found = {ALL: Window(name=ALL, spans=tuple(joined(measured)))}
    found |= {window.name: window for window in phases}
    struck = list(occurrences)
    for spec in scenario.faults:
        bound = None if spec.expect is None else spec.expect.recover_within
        spans = [_span(each, bound, last) for each in struck if each.fault == spec.name]
        name = FAULT + spec.name
        found[name] = Window(name=name, spans=tuple(joined(spans)), fault=spec.name)
    return found


def _span(occurrence: Occurrence, bound: float | None, last: float) -> tuple[float, float]:
    """Return from the strike to the healing and the recovery after it.

    Where the scenario does not say how soon that must be, it is as long as the pool took.
    """
    over = occurrence.at if occurrence.healed is None else occurrence.healed
    if bound is not None:
        return occurrence.at, over + bound
    if occurrence.capacity is not None:
        return occurrence.at, max(over, occurrence.at + occurrence.capacity)
    # It never came back, or there was nothing to come back from.
    return occurrence.at, max(over, last if occurrence.lost else over) + 1e-6
