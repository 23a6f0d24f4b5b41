"""A plan: everything chance decides, decided before the clock starts.

``scenario + seed -> plan`` is a pure function. What can only be known later stays out as a *selector*: a fault holds a
number that chooses among the workers that qualify when it strikes. A plan is plain data: it can be stored, edited, cut
down and carried out again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from ._fault import FaultSpec
    from ._model import Scenario


@attrs.frozen(kw_only=True)
class PlannedRequest:
    """One request.

    Args:
        index: Its number in the plan, unique and dense from 0; it is the ``id`` of its records.
        operation: The name of an `Operation` of the workload.
        nonce: 64 random bits as 16 hex digits, which its reply must carry.
        think: Seconds between the end of the session's last request and the moment this is meant to be sent; 0 for the
            first, which is meant for its visit's ``at``. In the closed model the first has it too, for each further
            round.
        service: Seconds the command runs.
        size: Bytes that go there and back.
        cancel_after: When its caller gives up, in seconds after sending; None for never.
    """

    index: int
    operation: str
    nonce: str
    think: float = 0.0
    service: float = 0.0
    size: int = 0
    cancel_after: float | None = None


@attrs.frozen(kw_only=True)
class Visit:
    """Requests that follow each other: a session's, or a single one without session.

    Args:
        at: When the first is meant to be sent, in seconds after the start of the run's first phase.
        phase: The name of its phase.
        session: The number of its session; None for a request without.
        requests: In order.
        user: In the closed model: the user who makes it. Such a visit goes round its requests until the phase ends.
    """

    at: float
    phase: str
    session: int | None
    requests: tuple[PlannedRequest, ...]
    user: int | None = None


@attrs.frozen(kw_only=True)
class Strike:
    """One moment at which a fault strikes.

    Args:
        fault: The name of the `FaultSpec`.
        occurrence: Its number among the fault's, from 0.
        at: Seconds after the start of the first phase; None where an event or a condition decides, and then one strike
            stands for all.
        choice: In [0, 1): picks among the workers that qualify.
        offset: In [0, 1): for faults that strike somewhere within something, such as a byte of a frame.
    """

    fault: str
    occurrence: int
    at: float | None
    choice: float
    offset: float


@attrs.frozen(kw_only=True)
class Plan:
    """A run, decided.

    Args:
        scenario: What it was made from, its seed filled in.
        seed: The seed.
        visits: In the order of their times.
        strikes: In the order of their times, those without one last.
    """

    scenario: Scenario
    seed: int
    visits: tuple[Visit, ...]
    strikes: tuple[Strike, ...]

    def fault(self, name: str) -> FaultSpec:
        """Return the fault of that name."""
        return next(fault for fault in self.scenario.faults if fault.name == name)
