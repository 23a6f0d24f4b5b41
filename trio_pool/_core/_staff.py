"""The staff: which of a pool's workers serve, stand by, help out, or leave. Pure bookkeeping."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable


class WorkerRole(StrEnum):
    """What a pool has one of its workers for."""

    SERVING = "serving"
    """It takes requests and sessions."""
    STANDBY = "standby"
    """It is ready and waits for a serving one to die; broadcasts and health checks reach it, requests do not."""
    OVERFLOW = "overflow"
    """It was started because all were busy, takes requests without a session, and is dismissed when none waits."""
    LEAVING = "leaving"
    """The pool became smaller: it takes requests of the sessions it has, and is stopped when the last has ended."""


# The same for where every request passes, for the reason given in `_ticket`.
SERVING: Final = WorkerRole.SERVING
OVERFLOW: Final = WorkerRole.OVERFLOW


class Staff:
    """The workers that are ready, by their incarnation, each with its role.

    As many serve as are wanted and there; of those left over the ones that came first are promoted first.

    Args:
        size: How many are to serve.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._roles: dict[int, WorkerRole] = {}  # in the order they got ready

    def count(self, role: WorkerRole) -> int:
        """Return how many have this role."""
        return sum(one is role for one in self._roles.values())

    def role(self, incarnation: int) -> WorkerRole | None:
        """Return the role of a worker; None if it is not ready, or gone."""
        return self._roles.get(incarnation)

    def join(self, incarnation: int, role: WorkerRole | None = None) -> WorkerRole:
        """Take in a worker that is ready; return its role: the one given, or to serve or stand by, as is needed."""
        if role is None:
            short = self.count(WorkerRole.SERVING) < self.size
            role = WorkerRole.SERVING if short else WorkerRole.STANDBY
        self._roles[incarnation] = role
        return role

    def part(self, incarnation: int) -> list[int]:
        """Take out a worker that is lost; return who is promoted to serve in its place. Idempotent."""
        self._roles.pop(incarnation, None)
        return self._promote()

    def resize(self, size: int, burden: Callable[[int], tuple[int, ...]]) -> tuple[list[int], list[int]]:
        """Change how many are to serve.

        Args:
            size: The number.
            burden: By which to choose, where there are too many: who has least of it leaves first.

        Returns:
            Who is promoted to serve, those first that were leaving; and who leaves.
        """
        self.size = size
        serving = [each for each, role in self._roles.items() if role is WorkerRole.SERVING]
        leaving = sorted(serving, key=burden)[: max(0, len(serving) - size)]
        for incarnation in leaving:
            self._roles[incarnation] = WorkerRole.LEAVING
        return self._promote(also_leaving=True) if not leaving else [], leaving

    def _promote(self, *, also_leaving: bool = False) -> list[int]:
        short = self.size - self.count(WorkerRole.SERVING)
        roles = (WorkerRole.LEAVING, WorkerRole.STANDBY) if also_leaving else (WorkerRole.STANDBY,)
        promoted = [each for wanted in roles for each, role in self._roles.items() if role is wanted][: max(0, short)]
        for incarnation in promoted:
            self._roles[incarnation] = WorkerRole.SERVING
        return promoted
