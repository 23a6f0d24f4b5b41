"""From plain data to the classes of a scenario and back, by cattrs: strictly, and with the path of every mistake.

Numbers are read by the unit in their annotation, alternatives by their tag: ``model`` of a load, ``kind`` of a fault.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args, get_origin

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from ._catalogue import fault_kinds
from ._distribution import Distribution, Shape
from ._expressions import Expression, parse_expression
from ._fault import Expectation, FaultSpec, Selector, Trigger
from ._model import (
    Checks,
    ClosedLoad,
    Hold,
    Limits,
    LoadModel,
    NoLoad,
    Objective,
    OpenLoad,
    Operation,
    PartlyOpenLoad,
    Phase,
    ReplayLoad,
    SteadyState,
    Workload,
)
from ._plan import PlannedRequest, Strike, Visit
from ._problems import Problem, did_you_mean
from ._quantities import Bytes, Rate, Seconds, Share, Throughput, Unit, quantity, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOADS: Mapping[str, type[attrs.AttrsInstance]] = {
    cls.model: cls for cls in (OpenLoad, PartlyOpenLoad, ClosedLoad, ReplayLoad, NoLoad)
}
"""The kinds of load by their tag."""

PARTS: tuple[type[attrs.AttrsInstance], ...] = (
    Trigger,
    Selector,
    Expectation,
    Operation,
    Workload,
    Hold,
    SteadyState,
    Phase,
    Objective,
    Checks,
    Limits,
    PlannedRequest,
    Visit,
    Strike,
)

_KEYS: Mapping[str, str] = {
    "Scenario.phases": "phase",
    "Scenario.faults": "fault",
    "Scenario.objectives": "slo",
    "Scenario.checks": "checkers",
    "Workload.operations": "op",
    "FaultSpec.hold": "for",
}
"""What a file calls otherwise than the classes: there, tables that are repeated read better in the singular."""

NAMES = {
    "Bytes": Bytes,
    "Expression": Expression,
    "FaultSpec": FaultSpec,
    "Mapping": Mapping,
    "Rate": Rate,
    "Seconds": Seconds,
    "Share": Share,
    "Throughput": Throughput,
}
"""What annotations name that their modules import for type checkers only."""


def key_of(cls: type, attribute: str) -> str:
    """Return what a file calls an attribute of a class."""
    for base in cls.__mro__:
        if (key := _KEYS.get(f"{base.__name__}.{attribute}")) is not None:
            return key
    return attribute


def structure(value: object, kind: object, path: str) -> tuple[Any, list[Problem]]:
    """Return what plain data describes, or None and all that is wrong with it."""
    try:
        return converter().structure(value, cast("type[object]", kind)), []
    except Exception as exc:  # noqa: BLE001, RUF100  # cattrs collects whatever hooks raise
        return None, list(_problems(exc, path))


def unstructure(value: object) -> Any:
    """Return plain data that `structure` reads back as the same value; what is at its default is left out."""
    return converter().unstructure(value)


@cache
def converter() -> cattrs.Converter:
    """Return the converter, with all hooks; made at the first use."""
    made = cattrs.Converter(forbid_extra_keys=True)
    _add_leaves(made)

    def load(value: object, _: object) -> object:
        return _tagged(made, value, "model", LOADS, "load")

    def fault(value: object, _: object) -> object:
        return _tagged(made, value, "kind", fault_kinds(), "fault")

    # Hooks for the parts of a class must be there before its own is made.
    made.register_structure_hook_func(lambda kind: kind == LoadModel, load)
    made.register_structure_hook_func(lambda kind: kind is FaultSpec, fault)
    made.register_unstructure_hook_func(lambda kind: kind == LoadModel, lambda value: made.unstructure(value))
    _add_class(made, Distribution)
    for model, cls in LOADS.items():
        _add_class(made, cls, ("model", model))
    for cls in PARTS:
        _add_class(made, cls)
    for kind, fault_cls in fault_kinds().items():
        _add_class(made, fault_cls, ("kind", kind))
    return made


def _add_class(made: cattrs.Converter, cls: type[attrs.AttrsInstance], tag: tuple[str, str] | None = None) -> None:
    attrs.resolve_types(cls, None, NAMES)
    renamed: Any = {  # their stubs take keywords for those of their own
        field.name: override(rename=key)
        for field in attrs.fields(cls)
        if (key := key_of(cls, field.name)) != field.name
    }
    read = make_dict_structure_fn(cls, made, **renamed)
    write = make_dict_unstructure_fn(cls, made, _cattrs_omit_if_default=True, **renamed)

    def structured(value: object, kind: Any) -> object:
        if not isinstance(value, Mapping):
            raise ValueError(f"must be a table, not {value!r}")
        return read(cast("Mapping[str, Any]", value), kind)

    made.register_structure_hook(cls, structured)
    if tag is None:
        made.register_unstructure_hook(cls, write)
    else:
        # None where that is not the default, as of what a fault expects, is said by a table that says nothing.
        def written(value: Any) -> dict[str, Any]:
            return {tag[0]: tag[1], **{key: {} if item is None else item for key, item in write(value).items()}}

        made.register_unstructure_hook(cls, written)


def _tagged(made: cattrs.Converter, value: object, tag: str, kinds: Mapping[str, type[Any]], what: str) -> object:
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a table, not {value!r}")
    table = dict(cast("Mapping[str, object]", value))
    name = table.pop(tag, None)
    if name is None:
        raise ValueError(f"has no {tag}: there are {', '.join(kinds)}")
    cls = kinds.get(name) if isinstance(name, str) else None
    if cls is None:
        raise _Placed(tag, f"there is no {what} of the {tag} {name!r}; {did_you_mean(str(name), kinds)}")
    return made.structure(table, cls)


class _Placed(ValueError):
    """A mistake one level further down than where it was found."""

    def __init__(self, key: str, text: str) -> None:
        self.key, self.text = key, text
        super().__init__(key, text)


# ------------------------------------------------------------------------------------------------------------ leaves


def _add_leaves(made: cattrs.Converter) -> None:
    made.register_structure_hook(bool, _flag)
    made.register_structure_hook(str, _text)
    made.register_structure_hook(int, lambda value, _: whole(value))
    made.register_structure_hook(float, lambda value, _: quantity(value, Unit.NUMBER))
    made.register_structure_hook(Expression, lambda value, _: parse_expression(value))
    made.register_unstructure_hook(Expression, lambda value: value.text)
    made.register_structure_hook(StrEnum, _choice)
    made.register_unstructure_hook(StrEnum, str)
    made.register_structure_hook_func(lambda kind: _origin(kind) is Mapping, _matches)

    def measured(kind: object) -> Callable[[object, object], object]:
        return _measured(made, kind)

    def listed(kind: object) -> Callable[[object, object], object]:
        return _listed(made, kind)

    made.register_structure_hook_factory(_is_measured, measured)
    made.register_structure_hook_factory(lambda kind: _origin(kind) is tuple, listed)
    made.register_unstructure_hook_func(
        lambda kind: _origin(kind) is tuple, lambda value: [made.unstructure(item) for item in value]
    )


def _origin(kind: object) -> object:
    return get_origin(kind)


def _is_measured(kind: object) -> bool:
    return get_origin(kind) is Annotated and any(isinstance(part, Unit) for part in get_args(kind)[1:])


def _measured(made: cattrs.Converter, kind: object) -> Callable[[object, object], object]:
    base, unit = get_args(kind)[:2]
    if base is int:
        return lambda value, _: whole(value, unit)
    if base is float:
        return lambda value, _: quantity(value, unit)

    def distribution(value: object, _: object) -> object:
        if not isinstance(value, Mapping):
            # A bare quantity is always that.
            return Distribution(dist=Shape.CONSTANT, mean=quantity(value, unit))
        table = dict(cast("Mapping[str, object]", value))
        for key in table.keys() - {"dist"}:
            if isinstance(table[key], str):
                try:
                    table[key] = quantity(table[key], unit)
                except ValueError as exc:
                    raise _Placed(key, str(exc)) from exc
        return made.structure(table, Distribution)

    return distribution


def _listed(made: cattrs.Converter, kind: object) -> Callable[[object, object], object]:
    inner = get_args(kind)[0]

    def listed(value: object, _: object) -> object:
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"must be a list, not {value!r}")
        return tuple(made.structure(value, list[inner]))  # type: ignore[valid-type]  # known only when it runs

    return listed


def _flag(value: object, _: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {value!r}")
    return value


def _text(value: object, _: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a text, not {value!r}")
    return value


def _choice(value: object, kind: type[StrEnum]) -> StrEnum:
    try:
        return kind(_text(value, str))
    except ValueError as exc:
        raise ValueError(f"must be one of {', '.join(kind)}, not {value!r}; {did_you_mean(str(value), kind)}") from exc


def _matches(value: object, _: object) -> Mapping[str, str | int | bool]:
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a table of fields and what they must be, not {value!r}")
    table = cast("Mapping[str, object]", value)
    for key, wanted in table.items():
        if not isinstance(wanted, (str, int)):
            raise _Placed(key, f"must be a text, a whole number, true or false, not {wanted!r}")
    return dict(cast("Mapping[str, str | int | bool]", table))


# ------------------------------------------------------------------------------------------------------------- errors


def _problems(exc: BaseException, path: str) -> Iterator[Problem]:
    """Flatten what cattrs collected."""
    if isinstance(exc, cattrs.IterableValidationError):
        placed, others = exc.group_exceptions()
        for inner, note in placed:
            yield from _problems(inner, f"{path}[{note.index}]")
        for inner in others:
            yield from _problems(inner, path)
    elif isinstance(exc, cattrs.ClassValidationError):
        fields, others = exc.group_exceptions()
        for inner, place in fields:
            yield from _problems(inner, f"{path}.{key_of(exc.cl, place.name)}")
        for inner in others:
            yield from _problems(inner, path)
    elif isinstance(exc, cattrs.ForbiddenExtraKeysError):
        known = [key_of(exc.cl, field.name) for field in attrs.fields(exc.cl)]
        for key in sorted(exc.extra_fields):
            yield Problem(f"{path}.{key}", f"is not known here; {did_you_mean(key, known)}")
    elif isinstance(exc, _Placed):
        yield Problem(f"{path}.{exc.key}", exc.text)
    elif isinstance(exc, KeyError):
        yield Problem(path, "is missing")
    elif (told := re.fullmatch(r"(\w+): (.*)", str(exc))) is not None:
        # The classes name the field at fault themselves.
        yield Problem(f"{path}.{told[1]}", told[2])
    else:
        yield Problem(path, str(exc))
