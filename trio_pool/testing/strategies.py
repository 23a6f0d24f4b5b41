"""The generators as Hypothesis strategies: data that shrinks to the smallest that fails.

Import it by name; it needs the extra ``testing``. Whoever tests async code with these writes a plain function under
``@given`` that calls `trio.run`, so that each example has a run, and a clock, of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from .. import Checkin, FieldType, Signature
from ._data import Operation, OperationType, WorkerCommand
from ._scenarios import (
    ErrorScenario,
    NetworkFailure,
    NetworkPattern,
    Resource,
    ResourceExhaustion,
    SlowOperations,
    Target,
    WorkerCrash,
)
from ._signatures import SignatureDict, TestSignatures
from ._workload import Workload

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

# What travels exactly: 64-bit integers, and text without the halves of surrogate pairs.
_INTEGERS = st.integers(-(2**63), 2**63 - 1)
_TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


def session_ids() -> SearchStrategy[str]:
    """Generate session ids of every kind a pool takes: not empty, at most 255 bytes, whatever the characters."""
    # A character has up to 4 bytes in UTF-8; plain ones reach the longest ids.
    plain = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=255)
    return plain | st.text(st.characters(codec="utf-8"), min_size=1, max_size=255 // 4)


def signatures() -> SearchStrategy[SignatureDict]:
    """Generate signatures in plain values: those of `TestSignatures`, and any others of up to 4 fields a side."""
    names = st.from_regex(r"[a-z_][a-z0-9_]{0,7}", fullmatch=True) | st.sampled_from(["größe", "class", "名"])
    fields = st.fixed_dictionaries(
        {"name": names, "type": st.sampled_from([kind.value for kind in FieldType]), "description": _TEXT}
    )

    def side(at_least: int) -> SearchStrategy[list[dict[str, str]]]:
        return st.lists(fields, min_size=at_least, max_size=4, unique_by=lambda field: field["name"])

    custom = st.builds(TestSignatures.custom, side(0), side(1))
    known = [TestSignatures.simple, TestSignatures.complex, TestSignatures.chain, TestSignatures.doubler]
    return st.sampled_from(known).map(lambda make: make()) | custom


def program_configs(program_id: SearchStrategy[str] | None = None) -> SearchStrategy[dict[str, object]]:
    """Generate configurations of programs that run.

    Args:
        program_id: What their ids are to be; None for configurations without.
    """
    return st.builds(TestSignatures.program, signatures(), st.none() if program_id is None else program_id)


def inputs_for(signature: object) -> SearchStrategy[dict[str, Any]]:
    """Generate inputs that fit a signature.

    Args:
        signature: In any form that `Signature.parse` takes.

    Raises:
        InvalidArguments: It is none. The call itself raises it.
    """
    return st.fixed_dictionaries({field.name: _VALUES[field.type] for field in Signature.parse(signature).inputs})


@st.composite
def bulk_operations(draw: DrawFn, max_size: int = 20) -> list[Operation]:
    """Generate operations that succeed when they are carried out in their order, beginning with no program.

    Args:
        draw: Given by Hypothesis.
        max_size: How many there are at most.
    """
    existing: dict[str, object] = {}  # signatures by program id
    created = 0
    operations: list[Operation] = []
    for _ in range(draw(st.integers(0, max_size))):
        # Lists come first because Hypothesis shrinks towards the first: they need nothing.
        kinds = [
            OperationType.LIST,
            OperationType.CREATE,
            *([OperationType.EXECUTE, OperationType.DELETE] * bool(existing)),
        ]
        kind = draw(st.sampled_from(kinds))
        data: dict[str, object] = {}
        if kind is OperationType.CREATE:
            created += 1
            data = draw(program_configs(st.just(f"test_program_{created}")))
            existing[f"test_program_{created}"] = data["signature"]
        elif kind is not OperationType.LIST:
            program_id = draw(st.sampled_from(list(existing)))
            data = {"program_id": program_id}
            if kind is OperationType.EXECUTE:
                data["inputs"] = draw(inputs_for(existing[program_id]))
            else:
                del existing[program_id]
        operations.append(Operation(kind, data))
    return operations


def workloads(max_rate: float = 100.0) -> SearchStrategy[Workload]:
    """Generate workloads of all four patterns.

    Args:
        max_rate: The most requests a second, and the most in one burst.
    """
    rates = st.floats(0, max_rate)
    return st.one_of(
        st.builds(Workload.steady, rates),
        st.builds(Workload.ramp, rates, rates),
        st.builds(Workload.spike, rates, rates),
        # A burst every tenth of a second at the least, so that few seconds do not make for very many bursts.
        st.builds(Workload.burst, rates, st.floats(0.1, 20), rates),
    )


def error_scenarios() -> SearchStrategy[ErrorScenario]:
    """Generate error scenarios of all four kinds, their numbers within the ranges of `ErrorScenario`."""
    return st.one_of(
        st.builds(NetworkFailure, st.sampled_from(NetworkPattern), st.floats(0.1, 5)),
        st.builds(ResourceExhaustion, st.sampled_from(Resource), st.floats(0.5, 1)),
        st.builds(WorkerCrash, st.sampled_from(Target), st.integers(1, 3)),
        st.builds(SlowOperations, st.floats(1, 30), st.floats(0.1, 1)),
    )


def worker_commands(sessions: SearchStrategy[str] | None = None) -> SearchStrategy[WorkerCommand]:
    """Generate checkouts and checkins of a worker, some of which the worker has to refuse.

    ``Checkin.CLOSE`` is not among them: after it the worker is no worker any more.

    Args:
        sessions: Whose checkouts they are; None for three sessions, few enough to meet each other again.
    """
    who = st.sampled_from(["s1", "s2", "s3"]) if sessions is None else sessions
    how = st.sampled_from([Checkin.OK, Checkin.SESSION_CLEANUP, Checkin.ERROR])
    return st.builds(WorkerCommand.checkout, who) | st.builds(WorkerCommand.checkin, how)


_PLAIN = st.none() | st.booleans() | _INTEGERS | st.floats(allow_nan=False) | _TEXT | st.binary(max_size=20)
_ANY = st.recursive(
    _PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3), max_leaves=8
)
_VALUES: dict[FieldType, SearchStrategy[Any]] = {
    FieldType.ANY: _ANY,
    FieldType.STR: _TEXT,
    FieldType.INT: _INTEGERS,
    FieldType.FLOAT: st.floats(allow_nan=False) | st.integers(-(2**53), 2**53),
    FieldType.BOOL: st.booleans(),
    FieldType.LIST: st.lists(_ANY, max_size=3),
    FieldType.DICT: st.dictionaries(_TEXT, _ANY, max_size=3),
    FieldType.BYTES: st.binary(max_size=100),
}
