"""How the argument map of a request becomes the arguments of a function, in a worker in memory.

Parameters annotated with plain types are checked as strictly as a real worker does it; values for richer annotations
are passed on as they arrived. A parameter annotated `Session` gets the caller's session.
"""

from __future__ import annotations

import inspect
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Final, Union, get_args, get_origin

from ..bridge import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_EXACT: Final[Mapping[object, tuple[type, ...]]] = {
    str: (str,),
    int: (int,),
    float: (float,),
    bool: (bool,),
    bytes: (bytes, memoryview),  # as which of the two they arrive depends on their number
    list: (list,),
    dict: (dict,),
    NoneType: (NoneType,),
}


class Refusal(Exception):  # it is an answer on its way out, not an error anyone sees
    """A request answered with an error of the protocol's own.

    Args:
        kind: The error's ``kind`` on the wire.
        message: One line.
        data: Further fields of the error.
    """

    def __init__(self, kind: str, message: str, **data: object) -> None:
        super().__init__(message)
        self.kind = kind
        self.data = data


class Function:
    """A function behind a command.

    Args:
        call: The function.
        flags: What is declared of it, as of a `trio_pool.bridge.Bridge`'s commands.

    Raises:
        TypeError: It is none, or what it is annotated with cannot be satisfied.
        NameError: An annotation names something that does not exist.
    """

    def __init__(self, call: Callable[..., object], flags: frozenset[str] = frozenset()) -> None:
        self.flags = flags
        if not callable(call):
            raise TypeError(f"a command must be a function, not {call!r}")
        self._call = call
        self._parameters: dict[str, inspect.Parameter] = {}
        self._accepted: dict[str, tuple[type, ...] | None] = {}
        self._takes_rest = False
        self._rest: tuple[type, ...] | None = None
        self._session: str | None = None
        self.needs_session = False
        # `Any` even where it is imported for type checkers alone: that is how arguments of any kind are annotated.
        signature = inspect.signature(call, locals={"Any": Any}, eval_str=True)
        for name, parameter in signature.parameters.items():
            members = _members(parameter.annotation)
            if Session in members:
                self._session = name
                self.needs_session = NoneType not in members
            elif parameter.kind is parameter.VAR_KEYWORD:
                self._takes_rest, self._rest = True, _accepted(members)
            elif parameter.kind is not parameter.VAR_POSITIONAL:  # a request names its arguments
                self._parameters[name] = parameter
                self._accepted[name] = _accepted(members)

    @property
    def takes_session(self) -> bool:
        """True if a session is passed on to it."""
        return self._session is not None

    def bind(self, args: Mapping[str, object]) -> dict[str, object]:
        """Return checked and converted arguments.

        Raises:
            Refusal: An argument is missing, unknown or of the wrong type.
        """
        for name in args:
            if name not in self._parameters and (not self._takes_rest or name == self._session):
                known = ", ".join(map(repr, self._parameters))
                known = f"it takes {known}" if known else "it takes none"
                raise Refusal("invalid_arguments", f"unknown argument {name!r}; {known}")
        bound = {name: self._checked(name, value) for name, value in args.items()}
        missing = [
            repr(name)
            for name, parameter in self._parameters.items()
            if name not in args and parameter.default is parameter.empty
        ]
        if missing:
            raise Refusal("invalid_arguments", f"missing argument {', '.join(missing)}")
        return bound

    def __call__(self, bound: dict[str, object], session: Session | None) -> object:
        """Call it with what `bind` returned; of an async function this is the awaitable."""
        named = dict(bound)
        if self._session is not None:
            named[self._session] = session
        positional = [
            named.pop(name, parameter.default)
            for name, parameter in self._parameters.items()
            if parameter.kind is parameter.POSITIONAL_ONLY
        ]
        return self._call(*positional, **named)

    def _checked(self, name: str, value: object) -> object:
        accepted = self._accepted.get(name, self._rest)
        if accepted is None or type(value) in accepted:
            return value
        if float in accepted and type(value) is int:
            return float(value)
        expected = " or ".join("None" if kind is NoneType else kind.__name__ for kind in accepted)
        message = f"argument {name!r} must be {expected}, not {type(value).__name__}"
        raise Refusal("invalid_arguments", message)


def _members(annotation: Any) -> tuple[object, ...]:
    """Return the types an annotation is the union of."""
    if get_origin(annotation) in (Union, UnionType):
        return tuple(member for part in get_args(annotation) for member in _members(part))
    return (NoneType,) if annotation is None else (annotation,)


def _accepted(members: tuple[object, ...]) -> tuple[type, ...] | None:
    """Return the exact types of the values that are let through; None lets through all."""
    accepted: list[type] = []
    for member in members:
        exact = _EXACT.get(get_origin(member) or member)
        if exact is None:
            return None
        accepted += exact
    return tuple(accepted)
