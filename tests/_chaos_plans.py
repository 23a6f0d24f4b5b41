"""Small scenarios and plans, built without a file, for tests of what carries them out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from chaos.scenario._model import Operation, PartlyOpenLoad, Phase, Scenario, Workload
from chaos.scenario._plan import Plan, PlannedRequest, Strike, Visit
from trio_pool import PoolConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.scenario._fault import FaultSpec

OPERATIONS = (
    Operation(name="append"),
    Operation(name="read", idempotent=True),
    Operation(name="work", idempotent=True, alone=True),
    Operation(name="echo", idempotent=True, alone=True),
)


def request(index: int, operation: str = "append", **fields: Any) -> PlannedRequest:
    """Return a request whose nonce is made of its number."""
    return PlannedRequest(index=index, operation=operation, nonce=f"{index + 1:016x}", **fields)


def visit(at: float, *requests: PlannedRequest, session: int | None = 0, phase: str = "main", **fields: Any) -> Visit:
    """Return a visit in the phase ``main``."""
    return Visit(at=at, phase=phase, session=session, requests=requests, **fields)


def scenario(*faults: FaultSpec, seconds: float = 1.0, **fields: Any) -> Scenario:
    """Return a scenario of one phase, ``main``."""
    given: dict[str, Any] = {
        "name": "test",
        "phases": (Phase(name="main", duration=seconds, load=PartlyOpenLoad(session_rate=10)),),
        "pool": PoolConfig(size=2),
        "workload": Workload(operations=OPERATIONS),
        "faults": faults,
    }
    return Scenario(**{**given, **fields})


def plan(of: Scenario, visits: Sequence[Visit] = (), strikes: Sequence[Strike] = ()) -> Plan:
    """Return a plan of just these visits and strikes."""
    return Plan(scenario=attrs.evolve(of, seed=1), seed=1, visits=tuple(visits), strikes=tuple(strikes))


def strike(fault: str, at: float | None, *, occurrence: int = 0, choice: float = 0.0) -> Strike:
    """Return a strike that picks the first worker that fits."""
    return Strike(fault=fault, occurrence=occurrence, at=at, choice=choice, offset=0.0)
