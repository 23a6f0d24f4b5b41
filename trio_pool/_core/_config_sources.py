"""Configuration sources: `PoolConfig` from a TOML file or from environment variables.

cattrs walks the structure and finds misplaced and missing parts; the classes themselves check each value. Apart
from `_config`, because cattrs costs more to import than the rest of the core, and most applications read no file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, cast

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, override

from ._config import HealthPolicy, PoolConfig, RetryPolicy, SessionPolicy
from ._restart import Backoff, RestartPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_T = TypeVar("_T")
_Table: TypeAlias = "dict[str, str | _Table]"

_SEPARATOR: Final = "__"


def from_toml(path: Path) -> PoolConfig:
    """See `PoolConfig.from_toml`."""
    with path.open("rb") as file:
        try:
            data = tomllib.load(file)
        except ValueError as exc:
            raise ValueError(f"{path}: {exc}") from exc
    # TOML has numbers of its own: the classes judge them, and a text in place of a number is a mistake.
    return _structured(_converter(lambda value: value, lambda value: value), data, str(path))


def from_env(prefix: str, environ: Mapping[str, str] | None) -> PoolConfig:
    """See `PoolConfig.from_env`."""
    if not prefix:
        raise ValueError("prefix must not be empty: every variable would be taken for a field")
    if environ is None:
        # The one place where the core looks at its surroundings, because it is asked to by name.
        import os

        environ = os.environ
    data: _Table = {}
    start = f"{prefix}_"
    for name, value in environ.items():
        if name.startswith(start):
            _enter(data, name.removeprefix(start), value, name)
    return _structured(_converter(_parsed(int), _parsed(float)), data, f"{start}*")


def _enter(data: _Table, key: str, value: str, variable: str) -> None:
    """Put one variable's value where its name says."""
    first, separator, rest = key.partition(_SEPARATOR)
    path = [first.lower()]
    if separator:
        # Names of variables for the workers are theirs to spell; fields are lower case.
        path += [rest] if path == ["env"] else rest.lower().split(_SEPARATOR)
    table = data
    for step in path[:-1]:
        inner = table.setdefault(step, {})
        if not isinstance(inner, dict):
            raise ValueError(f"{variable}: {step} has a value and cannot have fields as well")
        table = inner
    if path[-1] in table:
        raise ValueError(f"{variable}: {'.'.join(path)} is set more than once")
    table[path[-1]] = value


def _parsed(kind: Callable[[str], object]) -> Callable[[object], object]:
    def parse(value: object) -> object:
        if not isinstance(value, str):
            raise ValueError(f"must be one value, not {value!r}")
        return kind(value)

    return parse


def _converter(integer: Callable[[object], object], real: Callable[[object], object]) -> cattrs.Converter:
    # cattrs reads the types of all fields, also of those left out below, and PoolEvent is known to type checkers only.
    attrs.resolve_types(PoolConfig, None, {"PoolEvent": object})
    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_structure_hook(int, lambda value, _: integer(value))
    converter.register_structure_hook(float, lambda value, _: real(value))
    converter.register_structure_hook(str, lambda value, _: value)
    converter.register_structure_hook_func(lambda kind: kind == Mapping[str, str], lambda value, _: value)
    for cls in (Backoff, RestartPolicy, HealthPolicy, SessionPolicy, RetryPolicy):
        converter.register_structure_hook(cls, _table(make_dict_structure_fn(cls, converter)))
    # Objects no text can spell, hence no fields here.
    left_out = override(omit=True)
    structure = make_dict_structure_fn(PoolConfig, converter, launcher=left_out, on_event=left_out)
    converter.register_structure_hook(PoolConfig, structure)
    return converter


def _table(structure: Callable[[Mapping[str, object], type[_T]], _T]) -> Callable[[object, type[_T]], _T]:
    """Refuse what is no table: cattrs takes a str for an empty one."""

    def checked(value: object, cls: type[_T]) -> _T:
        if not isinstance(value, Mapping):
            raise ValueError(f"must be a table of fields, not {value!r}")
        return structure(cast("Mapping[str, object]", value), cls)

    return checked


def _structured(converter: cattrs.Converter, data: Mapping[str, object], source: str) -> PoolConfig:
    try:
        return converter.structure(data, PoolConfig)
    except cattrs.ClassValidationError as exc:
        raise ValueError(f"{source}: {'; '.join(_mistakes(exc, ''))}") from exc


def _mistakes(group: cattrs.ClassValidationError, path: str) -> Iterator[str]:
    """Yield one line for each mistake, beginning with the path of its field."""
    placed, others = group.group_exceptions()
    for exc, note in placed:
        if isinstance(exc, cattrs.ClassValidationError):
            yield from _mistakes(exc, f"{path}{note.name}.")
        else:
            yield f"{path}{note.name}: {exc}"
    for exc in others:
        if isinstance(exc, cattrs.ForbiddenExtraKeysError):
            yield from (f"{path}{name} is not a field" for name in sorted(exc.extra_fields))
        else:
            yield f"{path}{exc}"  # from a validator, which names the field
