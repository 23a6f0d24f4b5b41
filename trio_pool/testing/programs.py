"""Programs for tests: functions that workers import and run, one for each signature.

Each is deterministic, so that `expected_output` tells what a worker must answer: the same function computes both. The
signatures of `TestSignatures` have a function written out; for any other, `reference` makes one up that lives as long
as its name: the name itself says which outputs to compute, so that any worker can import it.

Workers import this module, so it imports nothing that costs.
"""

from __future__ import annotations

from zlib import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Final

    from .. import Signature

_PREFIX: Final = "outputs_"


def answer(query: str) -> dict[str, Any]:
    """Answer a query: the program of `TestSignatures.simple`."""
    return {"answer": f"answer to {query!r}"}


def report(context: str, question: str, options: dict[str, Any]) -> dict[str, Any]:
    """Answer a question from a context: the program of `TestSignatures.complex`."""
    # The words of the context that the question has too stand for what a search would have found.
    asked = set(question.lower().split())
    sources = [word for word in context.split() if word.lower() in asked]
    return {
        "answer": f"{question} {len(sources)} of {len(context.split())} words, {len(options)} options",
        "confidence": len(sources) / max(1, len(context.split())),
        "sources": sources,
    }


def chain(initial_input: str) -> dict[str, Any]:
    """Take three steps, each from the result of the one before: the program of `TestSignatures.chain`."""
    step1 = initial_input.upper()
    step2 = step1[::-1]
    return {"step1": step1, "step2": step2, "final": f"{step2}:{len(step2)}"}


def double(value: int) -> dict[str, Any]:
    """Double a number: the program of `TestSignatures.doubler`."""
    return {"value": value * 2}


_WRITTEN: Final[Mapping[str, Callable[..., dict[str, Any]]]] = {
    "query: str -> answer: str": answer,
    "context: str, question: str, options: dict -> answer: str, confidence: float, sources: list": report,
    "initial_input: str -> step1: str, step2: str, final: str": chain,
    "value: int -> value: int": double,
}


def reference(signature: Signature) -> str:
    """Return the program of a signature as a program's config names it, ``"module:name"``.

    It is importable wherever this package is. It takes the signature's inputs and returns a mapping of its outputs.
    """
    written = _WRITTEN.get(str(signature))
    if written is not None:
        return f"{__name__}:{written.__name__}"
    outputs = ",".join(f"{field.name}:{field.type}" for field in signature.outputs)
    # In hexadecimal, since the name of a field may hold every character that could otherwise separate two of them.
    return f"{__name__}:{_PREFIX}{outputs.encode().hex()}"


def run(signature: Signature, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Run the program of a signature here, and return what a worker would have."""
    name = reference(signature).partition(":")[2]
    function: Callable[..., dict[str, Any]] = globals().get(name) or __getattr__(name)
    return function(**inputs)


def __getattr__(name: str) -> Callable[..., dict[str, Any]]:
    """Make the function that `reference` named."""
    try:
        outputs = bytes.fromhex(name.removeprefix(_PREFIX)).decode() if name.startswith(_PREFIX) else ""
    except ValueError:
        outputs = ""
    fields = [field.split(":") for field in outputs.split(",")]
    if not all(len(field) == 2 and field[1] in _MADE_UP for field in fields):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def compute(**inputs: Any) -> dict[str, Any]:
        text = _canonical(inputs)
        return {field: _MADE_UP[kind](crc32(f"{field} of {text}".encode())) for field, kind in fields}

    return compute


# From a number, which stands for the inputs, to a value of each type a field may have.
_MADE_UP: Final[Mapping[str, Callable[[int], Any]]] = {
    "any": lambda number: f"{number:08x}",
    "str": lambda number: f"{number:08x}",
    "int": lambda number: number,
    "float": lambda number: number / 2**32,
    "bool": lambda number: number % 2 == 1,
    "list": lambda number: list(number.to_bytes(4, "big")),
    "dict": lambda number: {"number": number},
    "bytes": lambda number: number.to_bytes(4, "big"),
}


def _canonical(value: Any) -> str:
    """Write a value so that it reads the same before and after its way to a worker."""
    items: Any = value
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_canonical(items[key])}" for key in sorted(items)) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_canonical(item) for item in items) + "]"
    if isinstance(value, (bytearray, memoryview)):  # how bytes arrive depends on their number
        return repr(bytes(items))
    return repr(value)
