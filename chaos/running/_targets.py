"""Whom a fault hits: the workers that fit its selector at the moment it strikes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trio_pool import WorkerStatus

from ..faults._injection import Victim
from ..scenario._fault import WorkerState
from ._doings import Doings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from trio_pool import SessionPool, WorkerInfo

    from .._launcher import ChaosLauncher
    from ..scenario._fault import Selector
    from ..scenario._plan import Strike
    from ..targets._target import OpenTarget

_SERVING = frozenset({WorkerStatus.READY, WorkerStatus.BUSY, WorkerStatus.DEGRADED})


class Targets:
    """Finds victims.

    Args:
        target: The pool.
        launcher: Through which it starts its workers, if it is ours.
        ledger: What its workers write down of what they do.
    """

    def __init__(self, target: OpenTarget, launcher: ChaosLauncher | None, ledger: Path) -> None:
        self._target = target
        self._launcher = launcher
        self._doings = Doings(ledger)
        self._hit: set[int] = set()
        self._slots: dict[int, int] = {}

    def serving(self) -> int:
        """Return how many workers serve now."""
        pool = self._target.pool
        return len(self._target.pids()) if pool is None else pool.get_pool_status().ready

    def refusal(self, selector: Selector) -> str | None:
        """Return why this pool has nobody that a selector could ever mean; None if it may have."""
        if self._target.pool is not None:
            return None
        if selector.state is WorkerState.STARTING:
            return "of this pool nobody can tell which workers are starting"
        if selector.session is not None:
            return "this pool has no sessions"
        if selector.trigger:
            return "this pool tells no events, so none of its workers struck anything"
        return None

    def find(
        self,
        selector: Selector,
        strike: Strike,
        *,
        incarnation: int | None = None,
        pid: int | None = None,
        patient: bool = False,
    ) -> list[Victim]:
        """Return those that are to be hit; none if nobody fits.

        Args:
            selector: Whom the fault wants.
            strike: Its ``choice`` picks among those that fit.
            incarnation: Whose event struck the fault, for selectors that mean just that one.
            pid: Or whose process.
            patient: Whether there is time to wait for somebody unharmed, where those are preferred.
        """
        fitting = self._fitting(selector)
        if selector.trigger:
            fitting = [victim for victim in fitting if pid == victim.pid or incarnation == victim.incarnation]
        if selector.unharmed:
            unharmed = [victim for victim in fitting if victim.incarnation not in self._hit]
            fitting = unharmed if unharmed or patient else fitting
        if not fitting:
            return []
        wanted = selector.count if selector.fraction is None else math.ceil(selector.fraction * len(fitting))
        first = int(strike.choice * len(fitting))
        return [fitting[(first + step) % len(fitting)] for step in range(min(wanted, len(fitting)))]

    def hit(self, victims: Iterable[Victim]) -> None:
        """Remember whom a fault has hit, for those that prefer the unharmed."""
        self._hit.update(victim.incarnation for victim in victims)

    def _fitting(self, selector: Selector) -> list[Victim]:
        pool = self._target.pool
        if pool is None:
            return self._strangers(selector)
        infos = [info for info in pool.get_pool_status().workers if _fits(info, selector)]
        if selector.session is not None:
            home = _home(pool, selector.session)
            infos = [info for info in infos if info.incarnation == home]
        return [victim for info in infos if (victim := self._ours(info)) is not None]

    def _ours(self, info: WorkerInfo) -> Victim | None:
        handle = None if self._launcher is None else self._launcher.find(info)
        if handle is None or info.pid is None:
            return None
        return Victim(pid=info.pid, slot=info.slot, incarnation=info.incarnation, info=info, handle=handle)

    def _strangers(self, selector: Selector) -> list[Victim]:
        found: list[Victim] = []
        running = self._doings.now()
        for pid in self._target.pids():
            # Other pools number neither places nor lives, so each process gets a number when it is first seen.
            number = self._slots.setdefault(pid, len(self._slots))
            request = running.get(pid)
            match selector.state:
                case WorkerState.BUSY:
                    fits = request is not None
                case WorkerState.IDLE:
                    fits = request is None
                case WorkerState.ANY | WorkerState.SERVING:
                    fits = True
                case WorkerState.STARTING:
                    fits = False  # see `refusal`
            if fits and selector.slot in (None, number):
                found.append(Victim(pid=pid, slot=number, incarnation=number, request=request))
        return found


def _fits(info: WorkerInfo, selector: Selector) -> bool:
    if selector.slot is not None and info.slot != selector.slot:
        return False
    match selector.state:
        case WorkerState.ANY:
            return True
        case WorkerState.STARTING:
            return info.status is WorkerStatus.STARTING
        case WorkerState.SERVING:
            return info.status in _SERVING
        case WorkerState.IDLE:
            return info.status is WorkerStatus.READY
        case WorkerState.BUSY:
            return info.status is WorkerStatus.BUSY and info.begun


def _home(pool: SessionPool, number: int) -> int | None:
    """Return the incarnation in which a session of the plan lives, under whatever name it has now."""
    name = f"s-{number}"
    homes = [
        info.incarnation
        for session, info in pool.get_sessions().items()
        if (session == name or session.startswith(f"{name}.")) and info.incarnation is not None
    ]
    return max(homes, default=None)
