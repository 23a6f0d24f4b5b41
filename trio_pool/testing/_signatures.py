"""Signatures for tests, each with a program that really runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeAlias

from .. import Signature
from . import programs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SignatureDict: TypeAlias = dict[str, list[dict[str, str]]]
"""A signature in plain values, which `Signature.parse` takes, and every command of a worker."""


class TestSignatures:
    """The signatures tests use, and for each a program that computes its outputs.

    Signatures come in plain values, as they travel: ``{"inputs": […], "outputs": […]}``, each field a mapping with
    ``name``, ``type`` and ``description``. They fit wherever a signature is taken, be it `PythonPool.create_program` or
    a worker's own ``create_program``.

    .. versionadded:: 0.1
    """

    __test__: ClassVar[bool] = False  # its name makes it look like tests to pytest

    @staticmethod
    def simple() -> SignatureDict:
        """Return one text in, one text out: ``query -> answer``."""
        return Signature.parse("query: str -> answer: str").to_dict()

    @staticmethod
    def complex() -> SignatureDict:
        """Return several fields of several types: ``context, question, options -> answer, confidence, sources``."""
        inputs = [
            {"name": "context", "type": "str", "description": "what is known"},
            {"name": "question", "type": "str", "description": "what is asked"},
            {"name": "options", "type": "dict", "description": "how to answer"},
        ]
        outputs = [
            {"name": "answer", "type": "str", "description": "the answer"},
            {"name": "confidence", "type": "float", "description": "how sure it is, from 0 to 1"},
            {"name": "sources", "type": "list", "description": "what in the context it rests on"},
        ]
        return TestSignatures.custom(inputs, outputs)

    @staticmethod
    def chain() -> SignatureDict:
        """Return one input and the results of three steps: ``initial_input -> step1, step2, final``."""
        return Signature.parse("initial_input: str -> step1: str, step2: str, final: str").to_dict()

    @staticmethod
    def doubler() -> SignatureDict:
        """Return a number in, a number out, ``value: int -> value: int``; its program doubles it."""
        return Signature.parse("value: int -> value: int").to_dict()

    @staticmethod
    def custom(inputs: Sequence[str | Mapping[str, str]], outputs: Sequence[str | Mapping[str, str]]) -> SignatureDict:
        """Return a signature of one's own.

        Args:
            inputs: Fields, each as ``"name"``, ``"name: type"`` or a mapping with ``name``, ``type``, ``description``.
            outputs: Likewise, at least one.

        Raises:
            InvalidArguments: A field is wrong; the message names it.
        """
        return Signature.parse({"inputs": list(inputs), "outputs": list(outputs)}).to_dict()

    @staticmethod
    def program(source: object, program_id: str | None = None) -> dict[str, object]:
        """Return the configuration of a program that runs.

        Workers import its function from `trio_pool.testing.programs`; `expected_output` tells what it answers.

        Args:
            source: ``"simple"``, ``"complex"``, ``"chain"`` or ``"doubler"``, or a signature in any form that
                `Signature.parse` takes, for which a function is made up.
            program_id: The program's id; None to have one made when the program is created.

        Raises:
            InvalidArguments: It is neither.
        """
        known = _KNOWN.get(source) if isinstance(source, str) else None
        signature = Signature.parse(source if known is None else known())
        config: dict[str, object] = {
            "program_type": "python",
            "function": programs.reference(signature),
            "signature": signature.to_dict(),
        }
        return config if program_id is None else {"id": program_id, **config}


_KNOWN: Mapping[str, Callable[[], SignatureDict]] = {
    "simple": TestSignatures.simple,
    "complex": TestSignatures.complex,
    "chain": TestSignatures.chain,
    "doubler": TestSignatures.doubler,
}
