"""Data for tests, made from a seed: the same seed gives the same data, on every machine and in every order of tests."""

from __future__ import annotations

from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Final

import attrs

from .. import Checkin, FieldType, Signature
from . import programs
from ._scenarios import ErrorScenario
from ._signatures import TestSignatures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .. import Field, PoolWorker


def expected_output(signature: object, inputs: Mapping[str, object]) -> dict[str, Any]:
    """Return what a program that `TestSignatures.program` gave for this signature answers to these inputs.

    It is computed here by the very function the worker runs, from the inputs as they would reach it.

    Args:
        signature: In any form that `Signature.parse` takes.
        inputs: A value for each input of the signature.

    Raises:
        InvalidArguments: The signature is none, or the inputs do not fit it.

    .. versionadded:: 0.1
    """
    parsed = Signature.parse(signature)
    return programs.run(parsed, parsed.validate_inputs(inputs))


class OperationType(StrEnum):
    """What an `Operation` does.

    .. versionadded:: 0.1
    """

    CREATE = "create"
    """Create a program; ``data`` is its configuration, id included."""
    EXECUTE = "execute"
    """Run a program; ``data`` has ``program_id`` and ``inputs``."""
    LIST = "list"
    """List the programs; ``data`` is empty."""
    DELETE = "delete"
    """Delete a program; ``data`` has ``program_id``."""


@attrs.frozen
class Operation:
    """One operation on programs.

    Args:
        type: What it does.
        data: What it takes, by `OperationType`.

    .. versionadded:: 0.1
    """

    type: OperationType = attrs.field(converter=OperationType)
    data: Mapping[str, Any]


@attrs.frozen
class WorkerCommand:
    """A checkout or a checkin of a worker, which may be one that the worker has to refuse.

    Args:
        session_id: Who checks it out; None for a checkin.
        result: How it is checked in; None for a checkout.

    .. versionadded:: 0.1
    """

    session_id: str | None
    result: Checkin | None

    @classmethod
    def checkout(cls, session_id: str) -> WorkerCommand:
        """Return a checkout by a session."""
        return cls(session_id, None)

    @classmethod
    def checkin(cls, result: Checkin | str = Checkin.OK) -> WorkerCommand:
        """Return a checkin.

        Raises:
            ValueError: ``result`` is none of `Checkin`.
        """
        return cls(None, Checkin(result))

    def apply_to(self, worker: PoolWorker) -> None:
        """Carry it out.

        Raises:
            SessionMismatch: As `PoolWorker.checkout` does.
            IllegalTransition: As `PoolWorker.checkout` and `PoolWorker.checkin` do.
        """
        if self.result is None:
            worker.checkout(self.session_id)
        else:
            worker.checkin(self.result)


class TestDataGenerators:
    """Makes test data by chance that a seed decides.

    Two generators of one seed give the same data as long as they are asked for the same things in the same order. What
    is numbered, ids above all, never repeats within one generator; two generators of one seed repeat each other.

    Args:
        seed: Any integer.

    .. versionadded:: 0.1
    """

    __test__: ClassVar[bool] = False  # its name makes it look like tests to pytest

    def __init__(self, seed: int = 0) -> None:
        self.seed: Final = seed
        self._random = Random(seed)  # noqa: S311  # reproducible on purpose; nothing here is secret
        self._sessions = 0
        self._programs = 0

    def __repr__(self) -> str:
        return f"TestDataGenerators(seed={self.seed})"

    def session_id(self) -> str:
        """Return a session id that this generator has not returned before: ``test_<chance>_<number>``."""
        self._sessions += 1
        return f"test_{self._random.randint(1, 10_000)}_{self._sessions}"

    def session_ids(self, count: int) -> list[str]:
        """Return so many session ids, all different."""
        return [self.session_id() for _ in range(count)]

    def program_config(self) -> dict[str, object]:
        """Return the configuration of a program that runs, with an id not returned before; see `TestSignatures`."""
        self._programs += 1
        kind = self._random.choice(("simple", "complex", "chain", "doubler"))
        return TestSignatures.program(kind, f"test_program_{self._programs}")

    def program_configs(self, count: int) -> list[dict[str, object]]:
        """Return the configurations of so many programs, their ids all different."""
        return [self.program_config() for _ in range(count)]

    def bulk_operations(self, count: int) -> list[Operation]:
        """Return so many operations that succeed when they are carried out in their order.

        A program is created before it is executed or deleted, and neither afterwards. Where chance asks for either and
        no program is there, one is created instead of the execution, and the deletion becomes a list.

        They begin with no program: carry them out in a session of their own, or in an adapter of their own.
        """
        existing: dict[str, object] = {}  # signatures by program id
        operations: list[Operation] = []
        for _ in range(count):
            kind = self._random.choice(tuple(OperationType))
            if not existing:
                kind = _WITHOUT_PROGRAMS.get(kind, kind)
            data: dict[str, object] = {}
            if kind is OperationType.CREATE:
                data = self.program_config()
                existing[str(data["id"])] = data["signature"]
            elif kind is not OperationType.LIST:
                program_id = self._random.choice(list(existing))
                data = {"program_id": program_id}
                if kind is OperationType.EXECUTE:
                    data["inputs"] = self.inputs_for_signature(existing[program_id])
                else:
                    del existing[program_id]
            operations.append(Operation(kind, data))
        return operations

    def inputs_for_signature(self, signature: object) -> dict[str, Any]:
        """Return inputs that fit a signature.

        Args:
            signature: In any form that `Signature.parse` takes.

        Raises:
            InvalidArguments: It is none.
        """
        return {field.name: self._value(field) for field in Signature.parse(signature).inputs}

    def expected_output(self, signature: object, inputs: Mapping[str, object]) -> dict[str, Any]:
        """Return what a program of this signature answers; chance has no part in it. See `expected_output`."""
        return expected_output(signature, inputs)

    def error_scenario(self) -> ErrorScenario:
        """Return trouble of some kind, its numbers from the ranges of `ErrorScenario`."""
        return ErrorScenario.choose(self._random)

    def _value(self, field: Field) -> object:
        kind = field.type
        if kind is FieldType.ANY:
            kind = self._random.choice([kind for kind in FieldType if kind is not FieldType.ANY])
        return _VALUES[kind](self._random)


_WITHOUT_PROGRAMS: Final[Mapping[OperationType, OperationType]] = {
    OperationType.EXECUTE: OperationType.CREATE,
    OperationType.DELETE: OperationType.LIST,
}

# Ordinary words, and some that are not ASCII: text that is cut or counted in bytes shows it.
_WORDS: Final = ("pool", "worker", "session", "checkout", "deadline", "größer", "naïve", "данные", "数据")


def _sentence(random: Random) -> str:
    return " ".join(random.choices(_WORDS, k=random.randint(1, 10)))


# Small on purpose, each of them with its empty or false value: those are the ones a careless check takes for missing.
_VALUES: Final[Mapping[FieldType, Callable[[Random], object]]] = {
    FieldType.STR: lambda random: _sentence(random) if random.random() < 0.9 else "",
    FieldType.INT: lambda random: random.randint(-1000, 1000),
    FieldType.FLOAT: lambda random: random.randint(-1000, 1000) / 8,  # exact in binary, so that it prints exactly too
    FieldType.BOOL: lambda random: random.random() < 0.5,
    FieldType.LIST: lambda random: random.choices(_WORDS, k=random.randint(0, 5)),
    FieldType.DICT: lambda random: {word: random.randint(0, 9) for word in random.sample(_WORDS, random.randint(0, 3))},
    FieldType.BYTES: lambda random: random.randbytes(random.randint(0, 64)),
}
