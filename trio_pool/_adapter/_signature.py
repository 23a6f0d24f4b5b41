"""The signature of a program: the inputs it takes and the outputs it gives, by name and type.

It is written in whichever form is at hand, and all of them mean the same:

* ``"question, limit: int -> answer: float"``
* ``{"inputs": ["question", "limit: int"], "outputs": [{"name": "answer", "type": "float", "description": "…"}]}``
* ``["question", "limit: int"]``: inputs alone; the one output is then called ``result`` and may be anything

Inputs are checked here, in the application, so that a call that cannot succeed never costs a worker's time.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final, cast

import attrs

from .._core._errors import InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Iterable

# A call can be wrong in any number of places; a log line cannot be of any length. Eight is arbitrary.
_MAX_PROBLEMS: Final = 8


class FieldType(StrEnum):
    """What values a field takes."""

    ANY = "any"
    """Any value that can travel, None included."""
    STR = "str"
    INT = "int"
    """An integer; a bool is none."""
    FLOAT = "float"
    """A float, or an integer, which becomes one. Nothing else is ever converted."""
    BOOL = "bool"
    LIST = "list"
    """A list or tuple; it arrives as a list."""
    DICT = "dict"
    BYTES = "bytes"
    """Bytes, bytearray or memoryview; large ones arrive as memoryview."""


_ACCEPTED: Final[Mapping[FieldType, tuple[type, ...]]] = {
    FieldType.STR: (str,),
    FieldType.INT: (int,),
    FieldType.FLOAT: (float, int),
    FieldType.BOOL: (bool,),
    FieldType.LIST: (list, tuple),
    FieldType.DICT: (dict,),
    FieldType.BYTES: (bytes, bytearray, memoryview),
}


def _fits(kind: FieldType, value: object) -> bool:
    if kind is FieldType.ANY:
        return True
    if isinstance(value, bool):  # to Python it is an int as well, to a signature it is not
        return kind is FieldType.BOOL
    return isinstance(value, _ACCEPTED[kind])


def _to_name(value: object) -> str:
    # Inputs become keyword arguments, so their names are identifiers; so are outputs' names, for one rule serves both.
    if not isinstance(value, str) or not value.isidentifier():
        raise InvalidArguments(f"a field's name must be an identifier, not {value!r:.80}")
    return value


def _to_type(value: object) -> FieldType:
    try:
        return FieldType(cast("str", value))
    except ValueError:
        known = ", ".join(FieldType)
        # The enum's own error says the same with less.
        raise InvalidArguments(f"unknown field type {value!r:.80}; known are {known}") from None


def _to_description(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidArguments(f"a field's description must be str, not {type(value).__name__}")
    return value


@attrs.frozen
class Field:
    """One input or output of a program.

    Args:
        name: An identifier.
        type: A `FieldType` or its value as a str; ``any`` if not given.
        description: Free text for readers and for program types that use it.

    Raises:
        InvalidArguments: One of these is not as it should be.
    """

    name: str = attrs.field(converter=_to_name)
    type: FieldType = attrs.field(default=FieldType.ANY, converter=_to_type)
    description: str = attrs.field(default="", converter=_to_description)

    def accept(self, value: object) -> object:
        """Return ``value`` as it is to be sent: itself, or for an integer given to a ``float`` field, that float.

        Raises:
            InvalidArguments: The value is not of the field's type. None is of no type but ``any``.
        """
        if not _fits(self.type, value):
            raise InvalidArguments(f"{self.name!r} must be {self.type}, not {type(value).__name__}")
        if self.type is FieldType.FLOAT:
            try:
                return float(cast("float", value))
            except OverflowError as exc:
                raise InvalidArguments(f"{self.name!r} is an integer too large for a float") from exc
        return value

    def __str__(self) -> str:
        return self.name if self.type is FieldType.ANY else f"{self.name}: {self.type}"


def _to_fields(value: Iterable[Field]) -> tuple[Field, ...]:
    return tuple(value)


@attrs.frozen
class Signature:
    """The inputs and outputs of a program, in order.

    ``str()`` gives the text form, which `parse` reads back; it has no place for descriptions.

    Args:
        inputs: What the program takes; may be empty.
        outputs: What it gives; at least one. The same name may stand on both sides.

    Raises:
        InvalidArguments: A name stands twice on one side, or there is no output.
    """

    inputs: tuple[Field, ...] = attrs.field(converter=_to_fields)
    outputs: tuple[Field, ...] = attrs.field(converter=_to_fields)

    def __attrs_post_init__(self) -> None:
        for side, fields in (("input", self.inputs), ("output", self.outputs)):
            seen: set[str] = set()
            for field in fields:
                if field.name in seen:
                    raise InvalidArguments(f"a signature names the {side} {field.name!r} twice")
                seen.add(field.name)
        if not self.outputs:
            raise InvalidArguments("a signature needs at least one output")

    @classmethod
    def parse(cls, source: object) -> Signature:
        """Read a signature from any of the forms the module describes; a `Signature` is returned as it is.

        Raises:
            InvalidArguments: ``source`` is none of these forms; the message names the place.
        """
        if isinstance(source, Signature):
            return source
        if isinstance(source, str):
            left, arrow, right = source.partition("->")
            if not arrow or "->" in right:
                raise InvalidArguments(f"a signature's text has exactly one '->', unlike {source!r:.80}")
            return cls(_split(left), _split(right))
        if isinstance(source, Mapping):
            sides = cast("Mapping[object, object]", source)
            _refuse_unknown("a signature", sides, ("inputs", "outputs"))
            if "inputs" not in sides:
                raise InvalidArguments("a signature lacks 'inputs'")
            return cls(_fields(sides["inputs"], "inputs"), _fields(sides.get("outputs", ["result"]), "outputs"))
        if isinstance(source, (list, tuple)):
            return cls(_fields(cast("object", source), "inputs"), (Field("result"),))
        raise InvalidArguments(f"a signature is a str, list or mapping, not {type(source).__name__}")

    def to_dict(self) -> dict[str, list[dict[str, str]]]:
        """Return the one form that travels, of plain values only; `parse` reads it back without loss."""
        sides = {"inputs": self.inputs, "outputs": self.outputs}
        return {side: [_to_dict(field) for field in fields] for side, fields in sides.items()}

    def validate_inputs(self, inputs: object) -> dict[str, object]:
        """Check the inputs of a call and return them as they are to be sent.

        Raises:
            InvalidArguments: An input is missing, unknown or of the wrong type, or ``inputs`` is no mapping. The
                message names every such input, up to eight.
        """
        if not isinstance(inputs, Mapping):
            raise InvalidArguments(f"inputs must be a mapping, not {type(inputs).__name__}")
        given = cast("Mapping[object, object]", inputs)
        accepted: dict[str, object] = {}
        problems: list[str] = []
        for field in self.inputs:
            # Asked by membership, never by truth: 0, "", False, [] and None are values like any other.
            if field.name not in given:
                problems.append(f"missing input {field.name!r}")
                continue
            try:
                accepted[field.name] = field.accept(given[field.name])
            except InvalidArguments as exc:
                problems.append(f"input {exc}")
        declared = {field.name for field in self.inputs}
        problems += [f"unknown input {name!r:.80}" for name in given if name not in declared]
        if problems:
            rest = len(problems) - _MAX_PROBLEMS
            more = f"; and {rest} more" if rest > 0 else ""
            raise InvalidArguments("; ".join(problems[:_MAX_PROBLEMS]) + more)
        return accepted

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.inputs))} -> {', '.join(map(str, self.outputs))}".lstrip()


def _to_dict(field: Field) -> dict[str, str]:
    return {"name": field.name, "type": field.type.value, "description": field.description}


def _split(text: str) -> list[Field]:
    return [_field(part) for part in text.split(",")] if text.strip() else []


def _fields(source: object, side: str) -> list[Field]:
    if not isinstance(source, (list, tuple)):
        raise InvalidArguments(f"a signature's {side} must be a list, not {type(source).__name__}")
    fields: list[Field] = []
    for index, item in enumerate(cast("list[object]", source)):
        try:
            fields.append(_field(item))
        except InvalidArguments as exc:
            raise InvalidArguments(f"signature {side}[{index}]: {exc}") from exc
    return fields


def _field(source: object) -> Field:
    if isinstance(source, Field):
        return source
    if isinstance(source, str):
        name, colon, kind = source.partition(":")
        return Field(name.strip(), kind.strip()) if colon else Field(name.strip())
    if isinstance(source, Mapping):
        keys = cast("Mapping[str, str]", source)
        _refuse_unknown("a field", keys, ("name", "type", "description"))
        if "name" not in keys:
            raise InvalidArguments("a field lacks 'name'")
        return Field(**keys)
    raise InvalidArguments(f"a field is a str or mapping, not {type(source).__name__}")


def _refuse_unknown(what: str, given: Mapping[object, object] | Mapping[str, str], known: tuple[str, ...]) -> None:
    for key in given:
        if key not in known:
            raise InvalidArguments(f"{what} has the unknown key {key!r:.80}; known are {', '.join(known)}")
