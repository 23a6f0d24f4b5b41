"""Rich annotations: attrs classes, dataclasses, TypedDicts, ``list[int]``, Literal and all else that cattrs
understands.

Imported, before the worker is ready, only if some command has such an annotation. cattrs by default makes True out of
``"false"`` and ``["a", "b"]`` out of ``"ab"``; here every value must already be of the kind that was asked for, and
the one conversion is from int to float.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Collection, Mapping
from enum import Enum
from typing import cast

import cattrs
from cattrs.strategies import configure_union_passthrough

from ._arguments import UNANNOTATED, Raw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

_NAMES: Final[dict[type, str]] = {Collection: "a list", Mapping: "a dict"}


class Structurer:
    """Turns annotations into functions that build and check values."""

    def __init__(self) -> None:
        self._converter = _strict_converter()

    def read(self, function: Callable[..., object]) -> tuple[list[Raw], Mapping[str, object]]:
        """Return the parameters of any callable, and the names its annotations refer to."""
        raws = [
            Raw(
                parameter.name,
                parameter.kind.value,
                UNANNOTATED if parameter.annotation is parameter.empty else parameter.annotation,
                required=parameter.default is parameter.empty,
                default=None if parameter.default is parameter.empty else parameter.default,
            )
            for parameter in inspect.signature(function).parameters.values()
        ]
        target: Any = function
        while hasattr(target, "func"):
            target = target.func
        if not hasattr(target, "__globals__"):
            target = getattr(type(target).__call__, "__func__", type(target).__call__)
        return raws, getattr(target, "__globals__", {})

    def resolve(self, annotation: object, scope: Mapping[str, object]) -> object:
        """Return the type an annotation stands for, with names in strings looked up."""
        # One parameter at a time, so that a return annotation whose names exist for type checkers only does no harm.
        holder: Any = type("Annotated", (), {})()
        holder.__annotations__ = {"parameter": annotation}
        return typing.get_type_hints(holder, globalns=dict(scope), include_extras=True)["parameter"]

    def hook(self, hint: object) -> Callable[[object], object]:
        """Return a function that structures one value, or raises `ValueError` with a line saying what does not fit.

        Raises:
            TypeError: Nothing is known about how to build such a value.
        """
        structure = self._converter.get_structure_hook(hint)

        def build(value: object) -> object:
            try:
                return structure(value, hint)
            except Exception as exc:
                raise ValueError(_explain(exc)) from exc

        return build


def _explain(exc: Exception) -> str:
    lines = cattrs.transform_error(exc, path="value", format_exception=_format)
    return "; ".join(lines)


def _format(exc: BaseException, kind: type | None) -> str:
    if isinstance(exc, _Mismatch):
        return str(exc)
    return cattrs.v.format_exception(exc, kind)


class _Mismatch(ValueError):
    def __init__(self, expected: str, value: object) -> None:
        super().__init__(f"must be {expected}, not {type(value).__name__}")


def _strict_converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True, structure_fallback_factory=_unknown)
    for kind in (str, int, float, bool, type(None)):
        converter.register_structure_hook(kind, _exact(kind))
    # How bytes arrive: large ones are memoryviews.
    converter.register_structure_hook(bytes, _exact(bytes, memoryview))
    # The type whose own hook the factory below is about to ask cattrs for: the next look at the predicate is that
    # question. Later looks, while the hook is being made, are about its parts, which may be of the same type again.
    own: list[object] = []

    def is_container(hint: object) -> bool:
        if own:
            own.clear()
            return False
        return _shape(hint) is not None

    def container(hint: Any, converter: cattrs.Converter) -> Callable[[object, object], object]:
        shape = _shape(hint)
        assert shape is not None  # noqa: S101  # the predicate's word
        own.append(hint)
        inner = converter.get_structure_hook(hint, cache_result=False)
        accepted = dict if shape is Mapping else (list, tuple)

        def structure(value: object, hint: object) -> object:
            if not isinstance(value, accepted):
                raise _Mismatch(_NAMES[shape], value)
            return inner(value, hint)

        return structure

    converter.register_structure_hook_factory(is_container, container)
    configure_union_passthrough(str | int | float | bool | bytes | None, converter)
    return converter


def _unknown(hint: object) -> typing.NoReturn:
    raise TypeError(f"arguments of type {hint!r} cannot be built from what a request carries")


def _shape(hint: object) -> type | None:
    """Return Mapping for annotations whose values arrive as dicts, Collection for those that arrive as lists."""
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return None
    kind = hint if origin is None else origin
    if not isinstance(kind, type) or issubclass(kind, (str, bytes, bytearray, memoryview, Enum)):
        return None
    if "__annotations__" in dir(cast("object", kind)) and not issubclass(kind, tuple):
        # attrs classes, dataclasses and TypedDicts are built from dicts, whatever else they inherit from.
        return Mapping
    if issubclass(kind, Mapping):
        return Mapping
    return Collection if issubclass(kind, Collection) else None


def _exact(expected: Any, *others: type) -> Callable[[object, Any], object]:
    """Return a hook for ``expected`` and its subclasses that takes values of exactly that type or of ``others``."""

    def structure(value: object, hint: Any) -> object:
        kind = type(value)
        if kind is int and expected is float:
            value = float(cast("int", value))
        elif kind is not expected and kind not in others:
            raise _Mismatch("None" if expected is type(None) else expected.__name__, value)
        # cattrs asks the hook of str for an enumeration of strings too.
        if isinstance(hint, type) and hint is not expected and issubclass(hint, expected):
            return hint(value)
        return value

    return structure
