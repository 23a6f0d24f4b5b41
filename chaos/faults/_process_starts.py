"""Workers that start badly: the victims are killed, and the starts that follow are spoilt by their agents."""

from __future__ import annotations

import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs
import trio

from ..scenario._process_faults import CrashLoop, CrashOnStart, NeverReady, SlowStart
from . import _proc
from ._grip import HEAL_LIMIT, gripped, until
from ._orders import Deed, Orders, dying

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from pathlib import Path

    from ..scenario._fault import FaultSpec
    from ..scenario._plan import Strike
    from ._injection import Arena, Injector, Victim
    from ._orders import Order

_EXCEPTION = "the harness has this program fail to be imported"


@attrs.define
class Spoiling:
    """Starts that go wrong."""

    killed: int
    given: Order

    @property
    def effect(self) -> Mapping[str, object]:
        """How many were killed, and how many starts have gone wrong since."""
        return {"killed": self.killed, "starts": len(self.given.pids())}

    def healed(self) -> bool:
        """Whether no start will go wrong any more, and none is still held up."""
        return not self.given.waits() and not self._held_up()

    def _held_up(self) -> list[int]:
        done = {pid for _, pid in self.given.done()}
        return [pid for pid in self.given.pids() if pid not in done and _proc.living(pid)]


@asynccontextmanager
async def spoil_starts(
    spec: FaultSpec, strike: Strike, victims: Sequence[Victim], arena: Arena
) -> AsyncGenerator[Spoiling, None]:
    """Kill the victims and have the next starts go wrong."""
    assert isinstance(spec, (CrashOnStart, CrashLoop, SlowStart, NeverReady))  # noqa: S101  # narrows the type
    async with gripped(victims, arena) as grips:
        orders = Orders(arena.orders)
        flag = orders.flag()
        spoiling = Spoiling(0, orders.at_start(_deed(spec, flag), spec.starts or None))
        try:
            for grip in grips:
                await grip.signal(signal.SIGKILL)
                spoiling.killed += 1
            yield spoiling
        finally:
            spoiling.given.withdraw()
            flag.unlink(missing_ok=True)
            with trio.move_on_after(HEAL_LIMIT, shield=True):
                await until(spoiling.healed, HEAL_LIMIT)


def _deed(spec: CrashOnStart | CrashLoop | SlowStart | NeverReady, flag: Path) -> Deed:
    match spec:
        case CrashOnStart(exception=True):
            return Deed(do="raise", arguments={"message": _EXCEPTION})
        case CrashOnStart():
            return dying(spec.death)
        case CrashLoop():
            return Deed(do="die_later", arguments={"flag": str(flag), "how": spec.death.value, "seconds": spec.after})
        case SlowStart():
            return Deed(do="wait", arguments={"flag": str(flag), "seconds": spec.delay})
        case NeverReady():
            return Deed(do="babble", arguments={"flag": str(flag), "size": spec.noise})


INJECTORS: dict[str, Injector] = {cls.kind: spoil_starts for cls in (CrashOnStart, CrashLoop, SlowStart, NeverReady)}
