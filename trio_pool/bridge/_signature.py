"""The signature of a program as a worker reads it: names and types of inputs and outputs, and nothing else.

The adapter on the application's side reads the same forms by the same rules and sends the longest one, so a worker
meets the others only in bare commands. It has its own reader because it may import none of the adapter's modules, for
each of its workers would pay for them; that both agree is a test's business.
"""

from __future__ import annotations

from ._replies import invalid_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, TypeGuard

_FIELD_KEYS: Final = frozenset(("name", "type", "description"))
_SIDES: Final = frozenset(("inputs", "outputs"))
# The exact types of the values that arrive; any takes them all. An int for a float is converted, nothing else is.
_ACCEPTED: Final[dict[str, frozenset[type]]] = {
    "any": frozenset(),
    "str": frozenset((str,)),
    "int": frozenset((int,)),
    "float": frozenset((float, int)),
    "bool": frozenset((bool,)),
    "list": frozenset((list,)),
    "dict": frozenset((dict,)),
    "bytes": frozenset((bytes, memoryview)),
}


class Field:
    """One input or output.

    Args:
        name: An identifier.
        kind: One of the names of types.
        description: For program types that use it.
    """

    __slots__ = ("description", "kind", "name")

    def __init__(self, name: str, kind: str, description: str) -> None:
        self.name = name
        self.kind = kind
        self.description = description

    def accept(self, value: object) -> object:
        """Return ``value``, or the float that an int given to a ``float`` becomes.

        Raises:
            Refused: It is not of the field's type.
        """
        if self.kind == "any":
            return value
        if type(value) not in _ACCEPTED[self.kind]:
            raise invalid_arguments(f"input {self.name!r} must be {self.kind}, not {type(value).__name__}")
        if self.kind == "float" and type(value) is int:
            try:
                return float(value)
            except OverflowError as exc:
                raise invalid_arguments(f"input {self.name!r} is an integer too large for a float") from exc
        return value


class Signature:
    """The inputs and outputs of a program, in order.

    Args:
        source: ``"question -> answer: float"``; ``["question"]``, inputs alone, with the one output ``result``; or
            ``{"inputs": […], "outputs": […]}`` of names, ``"name: type"`` or ``{"name", "type", "description"}``.

    Raises:
        Refused: It is none of these; a name is no identifier or stands twice on one side; or there is no output.
    """

    __slots__ = ("inputs", "outputs")

    def __init__(self, source: object) -> None:
        inputs, outputs = _sides(source)
        self.inputs = _read(inputs, "inputs")
        self.outputs = _read(outputs, "outputs")
        if not self.outputs:
            raise invalid_arguments("a program's signature needs at least one output")

    def accept(self, inputs: dict[str, Any], program_id: str) -> dict[str, Any]:
        """Check the inputs of a call and return them as the program takes them.

        Raises:
            Refused: One is missing, unknown or of the wrong type.
        """
        if inputs.keys() != self.inputs.keys():
            missing, unknown = self.inputs.keys() - inputs.keys(), inputs.keys() - self.inputs.keys()
            what = f"input {min(missing)!r} is missing" if missing else f"there is no input {min(unknown)!r}"
            raise invalid_arguments(f"program {program_id!r}: {what}")
        return {name: field.accept(inputs[name]) for name, field in self.inputs.items()}

    def to_dict(self) -> dict[str, list[dict[str, str]]]:
        """Return the longest of the forms it is read from."""
        return {
            side: [{"name": field.name, "type": field.kind, "description": field.description} for field in fields]
            for side, fields in (("inputs", self.inputs.values()), ("outputs", self.outputs.values()))
        }


def _sides(source: Any) -> tuple[Any, Any]:
    if isinstance(source, str):
        left, arrow, right = source.partition("->")
        if not arrow or "->" in right:
            raise invalid_arguments(f"the text of a program's signature has exactly one '->', unlike {source!r:.80}")
        return _split(left), _split(right)
    if _is_list(source):
        return source, ["result"]
    if not _is_dict(source):
        raise invalid_arguments(f"a program's signature must be a str, list or dict, not {type(source).__name__}")
    unknown = source.keys() - _SIDES
    if unknown:
        raise invalid_arguments(f"unknown key {min(unknown)!r:.80} in the program's signature")
    if "inputs" not in source:
        raise invalid_arguments("a program's signature needs a list of inputs")
    return source["inputs"], source.get("outputs", ["result"])


def _split(text: str) -> list[str]:
    return text.split(",") if text.strip() else []


def _read(source: Any, side: str) -> dict[str, Field]:
    if not _is_list(source):
        raise invalid_arguments(f"a program's signature needs a list of {side}")
    fields: dict[str, Field] = {}
    for item in source:
        field = _field(item, side)
        if field.name in fields:
            raise invalid_arguments(f"{field.name!r} stands twice among the {side} of a program's signature")
        fields[field.name] = field
    return fields


def _field(source: Any, side: str) -> Field:
    name: Any
    kind: Any = "any"
    description: Any = ""
    if isinstance(source, str):
        name, colon, rest = source.partition(":")
        name = name.strip()
        if colon:
            kind = rest.strip()
    elif _is_dict(source):
        unknown = source.keys() - _FIELD_KEYS
        if unknown:
            raise invalid_arguments(f"unknown key {min(unknown)!r:.80} in one of the {side} of a program's signature")
        name = source.get("name")
        kind = source.get("type", kind)
        description = source.get("description", description)
    else:
        raise invalid_arguments(f"each of the {side} of a program's signature must be a str or a dict")
    if not isinstance(name, str) or not name.isidentifier():
        raise invalid_arguments(
            f"each of the {side} of a program's signature needs an identifier as its name, not {name!r:.80}"
        )
    if not isinstance(kind, str) or kind not in _ACCEPTED:
        raise invalid_arguments(f"{name!r:.80} has the unknown type {kind!r:.80}; known are {', '.join(_ACCEPTED)}")
    if not isinstance(description, str):
        raise invalid_arguments(f"the description of {name!r:.80} must be str, not {type(description).__name__}")
    return Field(name, kind, description)


def _is_dict(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)
