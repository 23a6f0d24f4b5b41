"""How the argument map of a request becomes the arguments of a function.

Parameters annotated with plain builtin types, alone or joined by ``|``, or not annotated at all, are checked here,
without importing ``inspect``, ``typing`` or cattrs: most commands need nothing else, and every worker would pay 100 ms
for those at its start. Anything richer is left to `_structuring`, which is imported only if some command needs it.

Checks are strict: nothing is converted but an int where a float is wanted. bool is no int. A bytes parameter takes a
memoryview too, for that is how large bytes arrive.
"""

from __future__ import annotations

import builtins
import sys
from types import FunctionType, GenericAlias, MethodType, NoneType, UnionType

from ._replies import Refused
from ._session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Final

    from ._structuring import Structurer

# As the members of inspect.Parameter.kind count them, which the rich reader passes on.
POSITIONAL_ONLY: Final = 0
NORMAL: Final = 1
VAR_POSITIONAL: Final = 2
KEYWORD_ONLY: Final = 3
VAR_KEYWORD: Final = 4

UNANNOTATED: Final = object()

_CO_VARARGS: Final = 0x04
_CO_VARKEYWORDS: Final = 0x08

_TYPES: Final[dict[object, frozenset[type]]] = {
    str: frozenset((str,)),
    int: frozenset((int,)),
    float: frozenset((float,)),
    bool: frozenset((bool,)),
    bytes: frozenset((bytes, memoryview)),
    list: frozenset((list,)),
    dict: frozenset((dict,)),
    NoneType: frozenset((NoneType,)),
}
# What a dict or a list is anyway when it arrives, spelt out as type checkers like it.
_LOOSE_NAMES: Final[dict[str, type]] = {
    "dict[str,Any]": dict,
    "dict[str,object]": dict,
    "list[Any]": list,
    "list[object]": list,
}
_NO_TYPES: Final[frozenset[type]] = frozenset()


class Raw:
    """One parameter as the function declares it, before its annotation is understood."""

    __slots__ = ("annotation", "default", "kind", "name", "required")

    def __init__(self, name: str, kind: int, annotation: object, *, required: bool, default: object = None) -> None:
        self.name = name
        self.kind = kind
        self.annotation = annotation
        self.required = required
        self.default = default


class Parameter:
    """What one parameter accepts.

    Args:
        name: Its name.
        types: The exact types of values taken as they are; None takes anything.
        expected: What to tell a caller who sent something else.
        widen: Take an int and make it a float.
        structure: Builds the value from what arrived, or raises `ValueError` saying why not.
    """

    __slots__ = ("expected", "name", "structure", "types", "widen")

    def __init__(
        self,
        name: str,
        types: frozenset[type] | None,
        expected: str,
        *,
        widen: bool = False,
        structure: Callable[[object], object] | None = None,
    ) -> None:
        self.name = name
        self.types = types
        self.expected = expected
        self.widen = widen
        self.structure = structure

    def convert(self, name: str, value: object) -> object:
        """Return what to pass for a ``value`` that is not of one of `types`."""
        if self.structure is not None:
            try:
                return self.structure(value)
            except ValueError as exc:
                raise Refused("invalid_arguments", f"argument {name!r}: {exc}") from exc
        if self.widen and type(value) is int:
            return float(value)
        message = f"argument {name!r} must be {self.expected}, not {type(value).__name__}"
        raise Refused("invalid_arguments", message)


class Arguments:
    """The parameters of one command, ready to check and call.

    Args:
        function: The command's function.
        structurer: Understands the annotations this module does not; called only if there is one.

    Raises:
        TypeError: An annotation cannot be understood or satisfied.
        NameError: An annotation names something that does not exist.
    """

    __slots__ = ("_function", "_parameters", "_positional", "_required", "_rest", "session_name", "session_required")

    def __init__(self, function: Callable[..., object], structurer: Callable[[], Structurer]) -> None:
        self._function = function
        self._parameters: dict[str, Parameter] = {}
        self._positional: list[Raw] = []
        self._rest: Parameter | None = None
        self.session_name: str | None = None
        self.session_required = False
        required: list[str] = []
        read = read_parameters(function)
        raws, scope = structurer().read(function) if read is None else read
        for raw in raws:
            if raw.kind == VAR_POSITIONAL:
                # A request names its arguments, so there is never anything to put here.
                continue
            if raw.kind == POSITIONAL_ONLY:
                self._positional.append(raw)
            members = light_members(raw.annotation, scope)
            if members is None:
                hint = structurer().resolve(raw.annotation, scope)
                members = light_members(hint, scope)
                if members is None:
                    self._add(raw, Parameter(raw.name, _NO_TYPES, "", structure=structurer().hook(hint)), required)
                    continue
            if Session in members:
                self._take_session(raw, members)
            else:
                self._add(raw, _light_parameter(raw.name, members), required)
        self._required = frozenset(required)

    def bind(self, args: dict[str, Any]) -> None:
        """Check ``args`` and convert them in place.

        Raises:
            Refused: With the name of the argument that is missing, unknown or of the wrong type.
        """
        parameters = self._parameters
        for name, value in args.items():
            parameter = parameters.get(name)
            if parameter is None:
                parameter = self._rest
                if parameter is None or name == self.session_name or type(name) is not str:
                    raise Refused("invalid_arguments", f"unknown argument {name!r}; {self._known()}")
            types = parameter.types
            if types is not None and type(value) not in types:
                args[name] = parameter.convert(name, value)
        if not self._required <= args.keys():
            missing = ", ".join(repr(name) for name in self._parameters if name in self._required and name not in args)
            raise Refused("invalid_arguments", f"missing argument {missing}")

    def call(self, args: dict[str, Any], session: Session | None) -> object:
        """Call the function with arguments that `bind` has passed."""
        if self.session_name is not None:
            args[self.session_name] = session
        if self._positional:
            return self._function(*[args.pop(raw.name, raw.default) for raw in self._positional], **args)
        return self._function(**args)

    def _add(self, raw: Raw, parameter: Parameter, required: list[str]) -> None:
        if raw.kind == VAR_KEYWORD:
            self._rest = parameter
            return
        self._parameters[raw.name] = parameter
        if raw.required:
            required.append(raw.name)

    def _take_session(self, raw: Raw, members: list[type]) -> None:
        if raw.kind == VAR_KEYWORD or any(member not in (Session, NoneType) for member in members):
            raise TypeError(f"parameter {raw.name!r} must be annotated Session or Session | None")
        if self.session_name is not None:
            raise TypeError(f"both {self.session_name!r} and {raw.name!r} are annotated Session")
        self.session_name = raw.name
        self.session_required = NoneType not in members

    def _known(self) -> str:
        names = ", ".join(repr(name) for name in self._parameters)
        return f"it takes {names}" if names else "it takes none"


def read_parameters(function: Callable[..., object]) -> tuple[list[Raw], Mapping[str, object]] | None:
    """Return the parameters of a plain function and the names its annotations refer to; None if it is not one."""
    target: Any = function
    skip = 0
    if type(target) is MethodType:
        target = target.__func__
        skip = 1
    while hasattr(target, "__wrapped__"):
        target = target.__wrapped__
    if type(target) is not FunctionType:
        return None
    code = target.__code__
    annotations = target.__annotations__
    defaults = target.__defaults__ or ()
    keyword_defaults = target.__kwdefaults__ or {}
    names = code.co_varnames
    raws: list[Raw] = []
    first_default = code.co_argcount - len(defaults)
    for index in range(skip, code.co_argcount):
        name = names[index]
        kind = POSITIONAL_ONLY if index < code.co_posonlyargcount else NORMAL
        required = index < first_default
        default = None if required else defaults[index - first_default]
        raws.append(Raw(name, kind, annotations.get(name, UNANNOTATED), required=required, default=default))
    end = code.co_argcount + code.co_kwonlyargcount
    for name in names[code.co_argcount : end]:
        required = name not in keyword_defaults
        raws.append(Raw(name, KEYWORD_ONLY, annotations.get(name, UNANNOTATED), required=required))
    if code.co_flags & _CO_VARARGS:
        end += 1
    if code.co_flags & _CO_VARKEYWORDS:
        name = names[end]
        raws.append(Raw(name, VAR_KEYWORD, annotations.get(name, UNANNOTATED), required=False))
    return raws, target.__globals__


def light_members(annotation: object, scope: Mapping[str, object]) -> list[type] | None:
    """Return the classes a light annotation is the union of; None if it is not a light one."""
    if annotation is UNANNOTATED:
        return [object]
    if annotation is None:
        return [NoneType]
    if isinstance(annotation, str):
        members: list[type] = []
        for part in annotation.split("|"):
            name = part.strip()
            found: object = None
            if name != "None":
                if name.replace(" ", "") in _LOOSE_NAMES:
                    found = _LOOSE_NAMES[name.replace(" ", "")]
                elif name in scope:
                    found = scope[name]
                elif name.isidentifier() and hasattr(builtins, name):
                    found = getattr(builtins, name)
                else:
                    return None
                if found is None or isinstance(found, str):
                    return None
            more = light_members(found, scope)
            if more is None:
                return None
            members += more
        return members
    if isinstance(annotation, type):
        return [annotation] if annotation in _TYPES or annotation is object or annotation is Session else None
    typing: Any = sys.modules.get("typing")
    if type(annotation) is GenericAlias:
        loose = (object, None if typing is None else typing.Any)
        if annotation.__origin__ is dict and annotation.__args__[0] is str and annotation.__args__[1] in loose:
            return [dict]
        return [list] if annotation.__origin__ is list and annotation.__args__[0] in loose else None
    if typing is not None and annotation is typing.Any:
        return [object]
    is_union = isinstance(annotation, UnionType) or (
        typing is not None and getattr(annotation, "__origin__", None) is typing.Union
    )
    if not is_union:
        return None
    members = []
    arguments: tuple[object, ...] = getattr(annotation, "__args__", ())
    for argument in arguments:
        more = light_members(argument, scope)
        if more is None:
            return None
        members += more
    return members


def _light_parameter(name: str, members: list[type]) -> Parameter:
    if object in members:
        return Parameter(name, None, "anything")
    types = _NO_TYPES.union(*(_TYPES[member] for member in members))
    expected = " or ".join("None" if member is NoneType else member.__name__ for member in members)
    return Parameter(name, types, expected, widen=float in members)
