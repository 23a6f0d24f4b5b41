"""The format of scenarios as a JSON Schema, made from the classes, for editors that complete and check while one types.

It says what is well-formed. What is well-formed and makes no sense, such as a fault in a phase that is not there, only
the reader finds.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Union

import attrs

from trio_pool import PoolConfig

from ._catalogue import fault_kinds
from ._converter import LOADS, NAMES, key_of
from ._distribution import Distribution
from ._docstrings import argument_texts, summary_text
from ._expressions import Expression
from ._fault import FaultSpec, Trigger
from ._fault_validation import events
from ._model import LoadModel, Scenario
from ._pool_table import REFUSED, UNITS
from ._quantities import WANTED, Unit
from ._trace_points import TRACE_POINTS

if TYPE_CHECKING:
    from collections.abc import Iterator

Schema = dict[str, Any]

_PATTERNS = {
    Unit.SECONDS: r"^\s*(inf|[0-9.]+(e[+-]?[0-9]+)?|([0-9.]+\s*(us|ms|s|m|min|h)\s*)+)\s*$",
    Unit.RATE: r"^\s*(inf|[0-9.]+(e[+-]?[0-9]+)?|[0-9.]+\s*/(s|m|min|h))\s*$",
    Unit.BYTES: r"^\s*([0-9.]+(e[+-]?[0-9]+)?|[0-9.]+\s*(B|kB|KB|MB|GB|KiB|MiB|GiB))\s*$",
    Unit.THROUGHPUT: r"^\s*(inf|[0-9.]+(e[+-]?[0-9]+)?|[0-9.]+\s*(B|kB|KB|MB|GB|KiB|MiB|GiB)/s)\s*$",
    Unit.SHARE: r"^\s*([0-9.]+(e[+-]?[0-9]+)?|[0-9.]+\s*%)\s*$",
    Unit.NUMBER: r"^\s*(inf|[0-9.]+(e[+-]?[0-9]+)?)\s*$",
}

_EXPRESSION = r"^\s*[A-Za-z_][\w.-]*\s*(\[[^\]]*\])?\s*(<=|>=|==|!=|<|>)\s*\S"


def json_schema() -> Schema:
    """Return the schema, in the draft of 2020-12."""
    definitions: dict[str, Schema] = {}
    body = _object(Scenario, definitions)
    properties = body["properties"]
    # A number, a text of digits, or a commit.
    properties["seed"]["anyOf"] = [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9a-fA-F]+$"}]
    properties["schema"]["const"] = Scenario(name="", phases=(), pool=PoolConfig()).schema
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A chaos scenario of trio_pool",
        **body,
        "required": ["name", "phase"],
        "$defs": dict(sorted(definitions.items())),
    }


def _object(
    cls: type[attrs.AttrsInstance], definitions: dict[str, Schema], tag: tuple[str, str] | None = None
) -> Schema:
    """Return the schema of a class, that of every class it names among the definitions."""
    attrs.resolve_types(cls, None, {**NAMES, "PoolConfig": object})
    texts = argument_texts(cls)
    properties: dict[str, Schema] = {}
    required: list[str] = []
    if tag is not None:
        properties[tag[0]] = {"const": tag[1]}
        required.append(tag[0])
    for field in attrs.fields(cls):
        key = key_of(cls, field.name)
        pool = cls is Scenario and field.name == "pool"
        kind = _pool(PoolConfig, "", definitions) if pool else _type(field.type, definitions)
        if cls is Trigger and field.name == "on":
            kind = _moments()
        properties[key] = _described(kind, texts.get(field.name))
        if field.default is attrs.NOTHING:
            required.append(key)
    return {
        "type": "object",
        "description": summary_text(cls),
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _moments() -> Schema:
    """Return what a trigger may wait for, each with its meaning."""
    meanings = {name: summary_text(cls) for name, cls in events().items()}
    meanings |= {point.name: f"Trace point: {point.meaning}." for point in TRACE_POINTS.values()}
    return {"anyOf": [{"const": name, "description": meaning} for name, meaning in meanings.items()]}


def _described(schema: Schema, text: str | None) -> Schema:
    if text is None:
        return schema
    # A file calls some things otherwise, and the docstring says so first: "``for`` in a file: ...".
    return {**schema, "description": text}


def _type(kind: Any, definitions: dict[str, Schema]) -> Schema:
    """Return the schema of a type."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind == LoadModel:
        return {"anyOf": [_reference(cls, definitions, ("model", model)) for model, cls in LOADS.items()]}
    if kind is FaultSpec:
        return {"anyOf": [_reference(cls, definitions, ("kind", name)) for name, cls in fault_kinds().items()]}
    if origin is Annotated:
        base, unit = arguments[:2]
        if base is Distribution:
            return {"anyOf": [*_quantity(unit), _distribution(unit, definitions)]}
        return {"anyOf": _quantity(unit)}
    if origin in (Union, types.UnionType):
        inner = [_type(each, definitions) for each in arguments if each is not type(None)]
        return inner[0] if len(inner) == 1 else {"anyOf": inner}
    if origin is tuple:
        return {"type": "array", "items": _type(arguments[0], definitions)}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": {"type": ["string", "integer", "boolean"]}}
    if kind is Expression:
        return {"type": "string", "pattern": _EXPRESSION}
    if kind in _PLAIN:
        return dict(_PLAIN[kind])
    if inspect.isclass(kind) and issubclass(kind, StrEnum):
        return {"enum": [str(value) for value in kind]}
    return _reference(kind, definitions)


_PLAIN: Mapping[object, Schema] = {
    bool: {"type": "boolean"},
    str: {"type": "string"},
    int: {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]+$"}]},
    float: {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": _PATTERNS[Unit.NUMBER]}]},
}


def _quantity(unit: Unit) -> list[Schema]:
    about = f"{WANTED[unit]}."
    return [
        {"type": "number", "minimum": 0},
        {"type": "string", "pattern": _PATTERNS[unit], "description": about[0].upper() + about[1:]},
    ]


def _reference(
    cls: type[attrs.AttrsInstance], definitions: dict[str, Schema], tag: tuple[str, str] | None = None
) -> Schema:
    name = cls.__name__
    if name not in definitions:
        definitions[name] = {}  # so that a class may name itself
        definitions[name] = _object(cls, definitions, tag)
    return {"$ref": f"#/$defs/{name}"}


def _distribution(unit: Unit, definitions: dict[str, Schema]) -> Schema:
    """Return the schema of a distribution whose values are in a unit."""
    name = f"{Distribution.__name__}-{unit}"
    if name not in definitions:
        schema = _object(Distribution, definitions)
        for key, value in schema["properties"].items():
            if key != "dist":
                value["anyOf"] = _quantity(unit)
        definitions[name] = schema
    return {"$ref": f"#/$defs/{name}"}


def _pool(cls: type[attrs.AttrsInstance], inside: str, definitions: dict[str, Schema]) -> Schema:
    """Return the schema of the pool's settings, or of one of its policies."""
    texts = argument_texts(cls)
    properties = {
        name: _described(_setting(kind, f"{inside}{name}", definitions), texts.get(name))
        for name, kind in _hints(cls)
        if f"{inside}{name}" not in REFUSED
    }
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _hints(cls: type[attrs.AttrsInstance]) -> Iterator[tuple[str, Any]]:
    hints = typing.get_type_hints(cls, None, {"PoolEvent": object})
    yield from ((field.name, hints[field.name]) for field in attrs.fields(cls))


def _setting(kind: Any, name: str, definitions: dict[str, Schema]) -> Schema:
    given = [each for each in typing.get_args(kind) or (kind,) if each is not type(None)]
    if inspect.isclass(kind) and attrs.has(kind):
        return _pool(kind, f"{name}.", definitions)
    if name in UNITS:
        return {"anyOf": _quantity(UNITS[name])}
    if typing.get_origin(kind) is Mapping or any(typing.get_origin(each) is Mapping for each in given):
        return {"type": "object", "additionalProperties": {"type": "string"}}
    return {"type": "integer"} if given == [int] else _type(given[0], definitions)
