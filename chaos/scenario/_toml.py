"""Scenarios as TOML text: a writer for just the plain data that a scenario is.

The standard library reads TOML and does not write it; sixty lines are less than one more dependency.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from ._reading import to_mapping

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._model import Scenario

_BARE = re.compile(r"[A-Za-z0-9_-]+")

_TABLES = {"pool", "workload", "steady_state", "checkers", "limits"}
"""Written under a heading; tables within tables stay on their line."""


def to_toml(scenario: Scenario) -> str:
    """Return a scenario as TOML, from which `read_toml` reads the same one; what is at its default is left out."""
    mapping = to_mapping(scenario)
    plain = {key: value for key, value in mapping.items() if key not in _TABLES and not _is_tables(value)}
    tables = {key: value for key, value in mapping.items() if key not in plain}
    return "\n".join([*_lines(plain), *_sections(tables, "")]) + "\n"


def _sections(tables: Mapping[str, object], inside: str) -> Iterator[str]:
    for key, value in tables.items():
        name = f"{inside}{key}"
        heading = f"[{name}]"
        if _is_tables(value):
            heading = f"[[{name}]]"
        for table in cast("Sequence[object]", value) if _is_tables(value) else [value]:
            items = cast("Mapping[str, object]", table)
            inner = {key: item for key, item in items.items() if _is_tables(item)}
            yield ""
            yield heading
            yield from _lines({key: item for key, item in items.items() if key not in inner})
            yield from _sections(inner, f"{name}.")


def _lines(items: Mapping[str, object]) -> Iterator[str]:
    for key, value in items.items():
        yield f"{_key(key)} = {_value(value)}"


def _is_tables(value: object) -> bool:
    """Tell whether a value is a list of tables, which TOML repeats a heading for."""
    if not isinstance(value, (list, tuple)):
        return False
    items = cast("Sequence[object]", value)
    return bool(items) and all(isinstance(item, Mapping) for item in items)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _string(key)


def _string(text: str) -> str:
    # JSON's escapes are TOML's, but for DEL, and for surrogates in pairs, which TOML wants as one character.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _string(value)
        case float():
            return "inf" if math.isinf(value) else repr(value)
        case int():
            return str(value)
        case Mapping():
            items = cast("Mapping[str, object]", value)
            inside = ", ".join(f"{_key(key)} = {_value(item)}" for key, item in items.items())
            return f"{{ {inside} }}" if inside else "{}"
        case list() | tuple():
            return f"[{', '.join(_value(item) for item in cast('Sequence[object]', value))}]"
        case _:
            raise TypeError(f"a scenario holds no {type(value).__name__}")
