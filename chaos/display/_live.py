"""The live display: a run as it happens, for somebody at a terminal.

`draw` makes a frame of a tally and is pure; `LiveDisplay` shows frames, in the event loop of the process that watches
over the run, so that it takes nothing of the application's. It needs rich, which the library does not, so nothing but
the command line imports this module.
"""

from __future__ import annotations

import io
import math
import signal
from collections import deque
from typing import TYPE_CHECKING

import trio
from rich.console import Console, Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .._output import clean
from ..running._lines import Progress
from ._tally import Tally

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from rich.console import RenderableType

    from .._history import Record
    from ..scenario._plan import Plan
    from ._screen import Screen
    from ._tally import Hit, Slot

INTERVAL = 0.25
"""Seconds between two frames. A frame takes about three milliseconds of the loop that also sends the requests: four a
second look alive and leave it the rest."""

KEPT_LINES = 200
"""Lines kept for the screen, more than any has."""

_LINGER = 4.0
"""Seconds a fault that is over stays in its worker's row: a kill is repaired faster than anybody can read."""

_ROOMY = 16
"""Lines beside the workers' from which on some may be empty."""

_SAID = 2
"""Lines kept for what was said, however many workers there are."""

_WIDE = 80
"""Columns from which on no heading is abbreviated."""

_STATES = {"ready": "green", "busy": "bold green", "starting": "yellow", "frozen": "bold blue", "slowed": "magenta"}
_FAULTS = {"due": "dim", "active": "bold blue", "done": "green", "missed": "yellow"}
_MARKS = {"due": "·", "active": "▶", "done": "✓", "missed": "-"}
_FROZEN = frozenset({"freeze", "brief-freeze"})
_SLOW = frozenset({"wire.latency", "wire.bandwidth", "wire.slice", "wire.coalesce", "wire.stall", "cpu-starvation"})
_BARS = "▁▂▃▄▅▆▇█"

_FASTEST, _SLOWEST = 1e-3, 4.0
"""What the smallest and the tallest bar of the sparkline mean, in seconds; between them it is logarithmic."""


def draw(tally: Tally, *, now: float, said: Sequence[str], size: tuple[int, int]) -> list[str]:
    """Return a frame: one string a line, with escape sequences for style only, none wider than the terminal.

    What colours there are is read from TERM, COLORTERM and NO_COLOR.

    Args:
        tally: What there is to show.
        now: The history's time.
        said: The lines that were said so far.
        size: Columns and lines.
    """
    columns, lines = max(size[0], 1), max(size[1], 1)
    console = Console(
        file=io.StringIO(),
        force_terminal=True,
        width=columns,
        height=lines,
        markup=False,
        highlight=False,
        emoji=False,
    )
    # Empty lines separate where there is room for them; what was said last gets the rest.
    gap = [Text()] if lines >= len(tally.slots) + _ROOMY else []
    head = [_title(tally), _progress(tally, now, columns), *gap]
    numbers = [*gap, *_requests(tally), *_latency(tally, now, columns), *gap, _faults(tally), *gap]
    room = lines - len(head) - len(numbers) - _SAID
    body = [*head, _workers(tally, now, room, narrow=columns < _WIDE), *numbers]
    with console.capture() as captured:
        console.print(Group(*body), no_wrap=True, overflow="ellipsis", crop=True)
    drawn = captured.get().removesuffix("\n").split("\n")
    rest = lines - len(drawn)
    with console.capture() as captured:
        for line in list(said)[-rest:] if rest > 0 else ():
            console.print(Text(clean(line), style="dim"), no_wrap=True, overflow="ellipsis", crop=True)
    return [*drawn, *captured.get().splitlines()][:lines]


def _title(tally: Tally) -> Text:
    plan = tally.plan
    title = Text(clean(plan.scenario.name), style="bold")
    title.append(f"  seed {plan.seed}  plan {tally.sha256[:12]}", style="not bold")
    title.append(f"  {clean(tally.phase)}", style="bold cyan")
    return title


def _progress(tally: Tally, now: float, columns: int) -> RenderableType:
    duration = max(tally.plan.scenario.duration, 1e-9)
    elapsed = min(tally.elapsed(now), duration)
    words = f"  {elapsed:5.1f} s of {duration:g} s, {duration - elapsed:.1f} s left"
    bar = ProgressBar(total=duration, completed=elapsed, width=max(columns - len(words), 1))
    row = Table.grid()
    row.add_row(bar, Text(words))
    return row


def _workers(tally: Tally, now: float, room: int, *, narrow: bool) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    # Of fixed width: columns that move with every frame cannot be read. Eight is the longest state, "starting".
    incarnation = "inc." if narrow else "incarnation"
    for name, width in (("slot", 4), (incarnation, len(incarnation)), ("pid", 7)):
        table.add_column(name, justify="right", no_wrap=True, min_width=width)
    table.add_column("state", no_wrap=True, min_width=8)
    table.add_column("restarts", justify="right", no_wrap=True, min_width=8)
    table.add_column("fault", no_wrap=True, overflow="ellipsis")
    slots = sorted(tally.slots.values(), key=lambda slot: slot.number)
    shown = slots if len(slots) + 1 <= room else slots[: max(room - 2, 1)]  # a line is the heading
    for slot in shown:
        state = _state(slot)
        table.add_row(
            str(slot.number),
            "-" if slot.incarnation is None else str(slot.incarnation),
            "-" if slot.pid is None else str(slot.pid),
            Text(state, style=_STATES.get(state, "red")),
            str(slot.restarts),
            Text() if slot.hit is None else _hit(slot.hit, now, narrow=narrow),
        )
    if len(shown) == len(slots):
        return table
    left = slots[len(shown) :]
    serving = sum(1 for slot in left if slot.state in ("ready", "busy"))
    return Group(table, Text(f"and {len(left)} more, {serving} of them serving", style="dim"))


def _state(slot: Slot) -> str:
    hit = slot.hit
    if hit is None or hit.over is not None or hit.incarnation != slot.incarnation:
        return slot.state
    if slot.state not in ("ready", "busy"):
        return slot.state
    return "frozen" if hit.kind in _FROZEN else "slowed" if hit.kind in _SLOW else slot.state


def _hit(hit: Hit, now: float, *, narrow: bool) -> Text:
    what = {"kill": "killed", "freeze": "frozen", "wire.latency": "slow link"}.get(hit.kind, clean(hit.kind))
    lasting, over = ("", "") if narrow else (" for", ", back in")
    if hit.over is None:
        return Text(f"{clean(hit.name)} {what}{lasting} {now - hit.at:.1f} s", style="bold blue")
    if now - hit.over > _LINGER:
        return Text()
    return Text(f"{clean(hit.name)} {what}{over} {_span(hit.over - hit.at)}", style="green")


def _requests(tally: Tally) -> list[Text]:
    settled = tally.ok + tally.failed
    share = f" ({int(tally.ok / settled * 1000) / 10:g} %)" if settled else ""
    counted = Text.assemble(
        ("requests  ", "dim"),
        f"sent {tally.sent}  in flight {tally.in_flight}  ok {tally.ok}{share}  dropped {tally.dropped}",
    )
    errors = ", ".join(f"{count} {clean(name)}" for name, count in tally.errors.most_common())
    failed = Text.assemble(("failed    ", "dim"), str(tally.failed))
    if errors:
        failed.append(f": {errors}", style="yellow")
    return [counted, failed]


def _latency(tally: Tally, now: float, columns: int) -> list[Text]:
    recent = tally.recent(now)
    label = ("latency   ", "dim")
    if recent is None:
        values = Text.assemble(label, "nothing was answered in the last 5 s" if tally.sent else "no request yet")
    else:
        values = Text.assemble(
            label,
            f"p50 {_span(recent.p50)}  p95 {_span(recent.p95)}  p99 {_span(recent.p99)}",
            ("  in the last 5 s", "dim"),
        )
    course = tally.course(now, max(columns - 40, 10))
    lines = Text.assemble(("each s    ", "dim"))
    for second in course:
        # A second in which a request failed is marked by more than its colour: its bar is underlined.
        lines.append(_bar(second.p95), style="yellow underline" if second.failed else "cyan")
    if course:
        lines.append("  p95, 1 ms to 4 s", style="dim")
        if any(second.failed for second in course):
            lines.append("; ", style="dim")
            lines.append("failed", style="yellow underline")
    return [values, lines]


def _bar(seconds: float | None) -> str:
    if seconds is None:
        return " "
    share = math.log(max(seconds, _FASTEST) / _FASTEST) / math.log(_SLOWEST / _FASTEST)
    return _BARS[min(int(share * len(_BARS)), len(_BARS) - 1)]


def _faults(tally: Tally) -> Text:
    row = Text.assemble(("faults    ", "dim"))
    for name, strikes in tally.faults.items():
        many = strikes.due is None or strikes.due > 1
        count = f" {strikes.struck}{'' if strikes.due is None else f'/{strikes.due}'}" if many else ""
        row.append(f"{_MARKS[strikes.status]} {clean(name)}{count}  ", style=_FAULTS[strikes.status])
    return row


def _span(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms" if seconds < 1.0 else f"{seconds:.2f} s"


class LiveDisplay:
    """Shows a run on a screen until it is cancelled.

    Args:
        screen: Where to draw.
        plan: What is to happen.
    """

    def __init__(self, screen: Screen, plan: Plan) -> None:
        self._screen = screen
        self._tally = Tally(plan)
        self._progress = Progress()
        self._said: deque[str] = deque(maxlen=KEPT_LINES)

    @property
    def said(self) -> Sequence[str]:
        """The lines taken so far, the last ones if there were many."""
        return tuple(self._said)

    def take(self, record: Record) -> None:
        """Take one record of the run's history."""
        self._tally.take(record)
        line = self._progress.take(record)
        if line is not None:
            self._said.append(line)

    async def run(self) -> None:
        """Draw a frame every quarter of a second, for ever. Ends by being cancelled, or when the terminal is gone."""
        with trio.open_signal_receiver(signal.SIGTSTP) as stops:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._heed, stops)
                try:
                    while True:
                        size = self._screen.size
                        await self._screen.show(
                            draw(self._tally, now=self._tally.now, said=tuple(self._said), size=size)
                        )
                        await trio.sleep(INTERVAL)
                except OSError:
                    nursery.cancel_scope.cancel()  # nobody looks any more; the run goes on

    async def _heed(self, stops: AsyncIterator[int]) -> None:
        async for _ in stops:
            # Ctrl-Z: the shell that takes over must find its own screen. Then do what the signal does by default: the
            # process stops in the middle of this function, and goes on from there when it is told to.
            self._screen.leave()
            ours = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTSTP)
            signal.signal(signal.SIGTSTP, ours)
