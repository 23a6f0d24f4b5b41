"""A plan as lines of text: what is to happen, when, drawn over the run's time."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ._make_plan import starts
from ._model import ClosedLoad, OpenLoad, PartlyOpenLoad, ReplayLoad
from ._plan_file import sha256
from ._process_faults import Kill
from ._quantities import Unit, spelled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ._distribution import Distribution
    from ._fault import FaultSpec
    from ._model import LoadModel
    from ._plan import Plan, Strike

_LEVELS = " .:-=+*#"
"""How many requests are meant to be sent in a column's time, from none to the most, in characters any terminal has."""

_STRIKE, _HELD, _SEVERAL = "X", "~", "2"


def draw(plan: Plan, width: int = 100) -> list[str]:
    """Return the plan as lines: its head, its phases and faults as a table, and all of them over time.

    Args:
        plan: Which.
        width: Columns, at least 60; no line is longer.
    """
    width = max(width, 60)
    return [
        *_head(plan, width),
        "",
        *_phases(plan, width),
        *(["", *_faults(plan, width)] if plan.scenario.faults else []),
        "",
        *_chart(plan, width),
    ]


def _head(plan: Plan, width: int) -> Iterator[str]:
    scenario = plan.scenario
    requests = sum(len(visit.requests) for visit in plan.visits)
    sessions = sum(visit.session is not None for visit in plan.visits)
    timed = sum(strike.at is not None for strike in plan.strikes)
    size = (
        "as many workers as the machine has CPUs, twice"
        if scenario.pool.size is None
        else f"{scenario.pool.size} workers"
    )
    yield _cut(f"{scenario.name}: {scenario.summary}" if scenario.summary else scenario.name, width)
    yield _cut(f"seed {plan.seed}   plan {sha256(plan)[:12]}   {_seconds(scenario.duration)}   {size}", width)
    rounds = " to begin with, then round and round" if any(visit.user is not None for visit in plan.visits) else ""
    faults = f"{timed} strikes at known times"
    if waiting := len(plan.strikes) - timed:
        faults += f", {waiting} faults that wait for something"
    yield _cut(f"{requests} requests{rounds}, {sessions} sessions; {faults}", width)


def _phases(plan: Plan, width: int) -> Iterator[str]:
    rows = [("phase", "from", "for", "requests", "load")]
    counts = Counter({phase.name: 0 for phase in plan.scenario.phases})
    for visit in plan.visits:
        counts[visit.phase] += len(visit.requests)
    for start, phase in starts(plan.scenario):
        about = [_load(phase.load)]
        about += [] if phase.measure else ["not measured"]
        about += ["heals"] if phase.heal else []
        rows.append((phase.name, _seconds(start), _seconds(phase.duration), str(counts[phase.name]), ", ".join(about)))
    yield from _table(rows, width)


def _faults(plan: Plan, width: int) -> Iterator[str]:
    rows = [("fault", "kind", "strikes", "for", "whom")]
    for fault in plan.scenario.faults:
        moments = [strike.at for strike in plan.strikes if strike.fault == fault.name]
        rows.append((fault.name, fault.kind, _when(fault, moments), _held(fault), _whom(fault)))
    yield from _table(rows, width)


def _table(rows: Sequence[tuple[str, ...]], width: int) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(wide) for cell, wide in zip(row, widths, strict=True))
        yield _cut("  ".join(cells).rstrip(), width)


def _load(load: LoadModel) -> str:
    match load:
        case OpenLoad():
            return f"{load.arrivals} {_rate(load.rate)}"
        case PartlyOpenLoad():
            each = f"{_drawn(load.requests, Unit.NUMBER)} requests, think {_drawn(load.think, Unit.SECONDS)}"
            return f"sessions {load.arrivals} {_rate(load.session_rate)}, of {each}"
        case ClosedLoad():
            session = "" if load.sessions else " without sessions"
            return f"{load.users} users{session}, think {_drawn(load.think, Unit.SECONDS)}"
        case ReplayLoad():
            return f"again what {load.run} sent"
        case _:
            return "none"


def _drawn(distribution: Distribution, unit: Unit) -> str:
    for name, word in (("mean", ""), ("p50", "median ")):
        value: float | None = getattr(distribution, name)
        if value is not None:
            return f"{word}{_spell(value, unit)}"
    low, high = distribution.low or 0.0, distribution.high or 0.0
    return f"{_spell(low, unit)} to {_spell(high, unit)}"


def _when(fault: FaultSpec, moments: Sequence[float | None]) -> str:
    at = fault.at
    if at.on is not None:
        share = f", counting {at.probability:.0%}" if at.probability < 1 else ""
        return f"on {at.on}" + (f" number {at.nth}" if at.nth > 1 else "") + share
    if at.when is not None:
        return f"when {at.when}"
    known = [moment for moment in moments if moment is not None]
    if not known:
        return "never, with this seed"
    if len(known) <= 3:
        return ", ".join(_seconds(moment) for moment in known)
    return f"{len(known)} times from {_seconds(known[0])} on"


def _held(fault: FaultSpec) -> str:
    return _seconds(fault.hold) if fault.heals and fault.hold is not None else "-"


def _whom(fault: FaultSpec) -> str:
    target = fault.target
    if isinstance(fault, Kill) and fault.window is not None:
        slot = "" if target.slot is None else f" in slot {target.slot}"
        return f"who comes to {fault.window} first{slot}"
    if not fault.aims:
        return "-"
    if target.trigger:
        return "the worker of the event"
    many = f"{target.fraction:.0%} of" if target.fraction is not None else str(target.count)
    words = [many, target.state]
    if target.slot is not None:
        words.append(f"in slot {target.slot}")
    if target.session is not None:
        words.append(f"with session {target.session}")
    if target.unharmed:
        words.append("unharmed so far")
    return " ".join(words)


# ---------------------------------------------------------------------------------------------------------------- chart


def _chart(plan: Plan, width: int) -> Iterator[str]:
    names = [*(fault.name for fault in plan.scenario.faults), "phases", "load"]
    label = min(max(len(name) for name in names), 20)
    columns = width - label - 2
    duration = plan.scenario.duration
    scale = columns / duration

    def column(moment: float) -> int:
        return min(columns - 1, int(moment * scale))

    def line(name: str, cells: str) -> str:
        return f"{name[:label]:{label}}  {cells}".rstrip()

    yield line("", _axis(duration, columns))
    bar = [" "] * columns
    for start, phase in starts(plan.scenario):
        begin, room = column(start), max(1, column(start + phase.duration) - column(start))
        text = f"|{phase.name}"[:room].ljust(room, "." if phase.heal else "-")
        bar[begin : begin + room] = text
    yield line("phases", "".join(bar))
    sent = [0] * columns
    for visit in plan.visits:
        at = visit.at
        for number, request in enumerate(visit.requests):
            at += request.think if number else 0.0
            # A visit's later requests fall where they would without any wait for answers.
            if at < duration:
                sent[column(at)] += 1
    most = max(sent, default=0)
    yield line("load", "".join(_LEVELS[-(-count * (len(_LEVELS) - 1) // most) if most else 0] for count in sent))
    for fault in plan.scenario.faults:
        yield line(fault.name, _row(fault, [s for s in plan.strikes if s.fault == fault.name], columns, scale))
    marks = [f"{_STRIKE} strike", f"{_SEVERAL} several", f"{_HELD} lasts"]
    if any(strike.at is None for strike in plan.strikes):
        marks.append("? waits for something")
    yield _cut(f"{'':{label}}  {'   '.join(marks)}   load: '{_LEVELS[1:]}' up to {most} requests a column", width)


def _row(fault: FaultSpec, strikes: Sequence[Strike], columns: int, scale: float) -> str:
    cells = [" "] * columns
    known = [strike.at for strike in strikes if strike.at is not None]
    for moment in known:
        end = moment + (fault.hold or 0.0) if fault.heals else moment
        for place in range(int(moment * scale), min(columns - 1, int(end * scale)) + 1):
            cells[place] = _HELD
    for place, count in Counter(min(columns - 1, int(moment * scale)) for moment in known).items():
        cells[place] = _STRIKE if count == 1 else _SEVERAL
    if len(known) < len(strikes):
        cells[0] = "?"
    return "".join(cells)


def _axis(duration: float, columns: int) -> str:
    # The smallest step of a kind people count in that leaves ten columns for each number.
    steps = [step * power for power in (0.01, 0.1, 1.0, 10.0) for step in (1, 2, 5)]
    steps += [60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0, 86400.0]
    step = next((step for step in steps if columns * step / duration >= 10), steps[-1])
    cells = [" "] * columns
    for number in range(int(duration / step) + 1):
        place, text = int(number * step * columns / duration), _seconds(number * step)
        if place + len(text) <= columns:
            cells[place : place + len(text)] = text
    return "".join(cells)


def _seconds(value: float) -> str:
    # To the millisecond: whoever wants more reads the plan.
    text = spelled(round(value, 3), Unit.SECONDS)
    short = isinstance(text, str) and (value < 1 or not text.endswith("ms"))
    return str(text) if short else f"{value:.3f}".rstrip("0").rstrip(".") + "s"


def _rate(value: float) -> str:
    text = spelled(value, Unit.RATE)
    return text if isinstance(text, str) else f"{value:g}/s"


def _spell(value: float, unit: Unit) -> str:
    return _seconds(value) if unit is Unit.SECONDS else f"{value:g}"


def _cut(text: str, width: int) -> str:
    text = text.rstrip()
    return text if len(text) <= width else f"{text[: width - 3].rstrip()}..."
