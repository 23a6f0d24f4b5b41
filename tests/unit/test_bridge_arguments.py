"""Arguments: what fits its annotation arrives unchanged, and what does not is refused before the function runs."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Mapping, Sequence  # noqa: F401  # annotations given as strings refer to them
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional, TypedDict  # noqa: F401  # as above

import attrs
import pytest
from _wire import LIBRARY, error_of, executor_of, result_of
from hypothesis import given
from hypothesis import strategies as st

from trio_pool.bridge import Bridge, Session

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

    from trio_pool.bridge._executor import Executor

Number = int | float


class Color(StrEnum):
    """A choice."""

    RED = "red"
    BLUE = "blue"


@attrs.frozen
class Point:
    """A rich value."""

    x: int
    y: float = 0.0


@dataclass
class Node:
    """A recursive value."""

    name: str
    children: list[Node]


class Options(TypedDict):
    """A map with known keys."""

    limit: int


class Opaque:
    """Something no request can carry."""


def taking(annotation: object) -> Executor:
    """Return an executor whose command ``take`` has one parameter ``x`` of that annotation and returns its repr."""

    def take(x: Any) -> str:
        return repr(x)

    take.__annotations__["x"] = annotation
    bridge = Bridge()
    bridge.command(take)
    return executor_of(bridge)


def accepts(executor: Executor, value: object) -> bool:
    """Return whether the command took the value; if not, check that the refusal names the parameter."""
    try:
        result_of(executor, "take", {"x": value})
    except AssertionError:
        error = error_of(executor, "take", {"x": value})
        assert error["kind"] == "invalid_arguments"
        assert "'x'" in error["message"]
        return False
    return True


# Arrived values as they are, one or two of each kind that travels.
SAMPLES: list[Any] = [None, True, 0, 7, 1.5, "", "7", "false", b"", b"7", [], [1], ["a"], {}, {"a": 1}]

LIGHT: dict[Any, tuple[type, ...]] = {
    "str": (str,),
    str: (str,),
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "bytes": (bytes,),
    "list": (list,),
    "dict": (dict,),
    "None": (type(None),),
    None: (type(None),),
    "int | None": (int, type(None)),
    int | None: (int, type(None)),
    "str|bytes": (str, bytes),
    "float | None": (float, int, type(None)),
    "Number": (int, float),
    Optional[str]: (str, type(None)),  # noqa: UP045  # the old spelling is what is tested
    "Optional[str]": (str, type(None)),
    "dict[str, Any]": (dict,),
    "list[object]": (list,),
    dict[str, Any]: (dict,),
    list[object]: (list,),
    "dict[str, object] | None": (dict, type(None)),
}


@pytest.mark.parametrize("annotation", LIGHT, ids=str)
def test_plain_annotations_are_strict(annotation: Any) -> None:
    """A value passes exactly if it is of the annotated kind; only int passes for float, and bool is no int."""
    executor = taking(annotation)
    for value in SAMPLES:
        assert accepts(executor, value) == (type(value) in LIGHT[annotation]), (annotation, value)


@pytest.mark.parametrize("annotation", ["object", object, "Any", Any, "int | object"], ids=str)
def test_an_annotation_that_means_anything_takes_anything(annotation: object) -> None:
    """No check is made where none was asked for."""
    executor = taking(annotation)
    assert all(accepts(executor, value) for value in SAMPLES)


def test_an_int_for_a_float_becomes_one() -> None:
    """The one conversion there is; where an int is welcome too it stays one."""
    assert result_of(taking("float"), "take", {"x": 3}) == "3.0"
    assert result_of(taking("int | float"), "take", {"x": 3}) == "3"


def test_large_bytes_fit_a_bytes_parameter() -> None:
    """Bytes of 64 KiB and more arrive as a memoryview."""
    executor = taking("bytes")
    args = {"x": memoryview(b"abc")}
    reply = executor.handle({"id": 1, "command": "take", "args": args})
    assert b"memory at" in reply[0]


@given(st.dictionaries(st.sampled_from(["a", "b", "c", "d", "session", "self"]), st.integers(0, 9)))
def test_arguments_are_bound_as_python_binds_keywords(args: dict[str, int]) -> None:
    """A map is accepted exactly if Python would accept it as keyword arguments, with the same outcome."""

    def f(a: int, b: int = 1, *, c: int, d: int = 2) -> list[int]:
        return [a, b, c, d]

    bridge = Bridge()
    bridge.command(f)
    executor = executor_of(bridge)
    try:
        expected = f(**args)
    except TypeError:
        error = error_of(executor, "f", args)
        assert error["kind"] == "invalid_arguments"
    else:
        assert result_of(executor, "f", args) == expected


def test_missing_and_unknown_arguments_are_named() -> None:
    """The message is enough to mend the call."""

    def f(first: int, second: int) -> None: ...

    bridge = Bridge()
    bridge.command(f)
    executor = executor_of(bridge)
    assert "'second'" in error_of(executor, "f", {"first": 1})["message"]
    message = error_of(executor, "f", {"frist": 1})["message"]
    assert "'frist'" in message
    assert "'first', 'second'" in message


def test_positional_only_parameters_are_given_by_name_too() -> None:
    """On the wire every argument has a name, whatever the function's own rules."""

    def f(a: int, b: int = 5, /, c: int = 6, **rest: int) -> list[object]:
        return [a, b, c, rest]

    bridge = Bridge()
    bridge.command(f)
    executor = executor_of(bridge)
    assert result_of(executor, "f", {"a": 1}) == [1, 5, 6, {}]
    assert result_of(executor, "f", {"c": 3, "b": 2, "a": 1, "d": 4}) == [1, 2, 3, {"d": 4}]
    assert error_of(executor, "f", {"a": 1, "d": "x"})["kind"] == "invalid_arguments"


def test_a_rest_parameter_takes_every_other_name_but_the_sessions() -> None:
    """Nobody can pass a session off as an argument."""

    def f(session: Session, *args: int, **rest: object) -> object:
        return [session.session_id, rest]

    bridge = Bridge()
    bridge.command(f)
    executor = executor_of(bridge)
    assert result_of(executor, "f", {"a": 1, "args": 2}, session="s") == ["s", {"a": 1, "args": 2}]
    assert error_of(executor, "f", {"session": 1}, session="s")["kind"] == "invalid_arguments"


class Counter:
    """Something with methods."""

    def __init__(self) -> None:
        self.n = 0

    def add(self, by: int) -> int:
        """Count."""
        self.n += by
        return self.n


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function the usual way."""

    @functools.wraps(function)
    def wrapper(*args: object, **kwargs: object) -> object:
        return function(*args, **kwargs)

    return wrapper


@logged
def wrapped(n: int, scale: float = 2) -> float:
    """Multiply."""
    return n * scale


class Scale:
    """A callable that is no function."""

    __name__ = "scale"

    def __call__(self, n: int) -> int:
        """Multiply."""
        return 2 * n


def test_methods_wrapped_functions_and_callables_are_read_by_their_signature() -> None:
    """Whatever can be called by name can be a command, with its own annotations checked."""
    bridge = Bridge()
    bridge.command(Counter().add)
    bridge.command(wrapped)
    bridge.command(Scale())
    partial: Any = functools.partial(wrapped, scale=10)
    partial.__name__ = "tenfold"
    bridge.command(partial)
    executor = executor_of(bridge)
    assert [result_of(executor, "add", {"by": 2}) for _ in range(2)] == [2, 4]
    assert result_of(executor, "wrapped", {"n": 3}) == 6
    assert result_of(executor, "scale", {"n": 3}) == 6
    assert result_of(executor, "tenfold", {"n": 3}) == 30
    for command, name in (("add", "by"), ("wrapped", "n"), ("scale", "n"), ("tenfold", "n")):
        assert error_of(executor, command, {name: "3"})["kind"] == "invalid_arguments"


RICH: list[tuple[Any, list[Any], list[Any]]] = [
    ("list[int]", [[], [1, 2]], ["12", {"a": 1}, ["1"], [1.0], [True], None, 3]),
    ("list[float]", [[1, 2.5]], [["1"], [None]]),
    ("Sequence[str]", [["a"]], ["ab", {"a": 1}]),
    ("dict[str, int]", [{}, {"a": 1}], [[], [["a", 1]], {"a": "1"}, "a"]),
    ("Mapping[str, float]", [{"a": 1}], [[["a", 1]]]),
    ("tuple[int, str]", [[1, "a"]], ["1a", [1], [1, 2], [1, "a", 3]]),
    ("set[int]", [[1, 2]], ["12", {"a": 1}]),
    ("list[int] | None", [None, [1]], ["1", [None]]),
    ("list[dict[str, bool]]", [[{"a": True}]], [[{"a": "true"}], [{"a": 1}]]),
    ("Point", [{"x": 1}, {"x": 1, "y": 2}], [{"x": "1"}, {}, {"x": 1, "z": 2}, [1], 5, {"x": True}]),
    ("Point | None", [None, {"x": 1}], [{"x": None}]),
    ("Options", [{"limit": 3}], [{"limit": "3"}, {}, {"limit": 1, "more": 2}, []]),
    ("Node", [{"name": "a", "children": [{"name": "b", "children": []}]}], [{"name": "a", "children": "b"}]),
    (
        "list[Node]",
        [[{"name": "a", "children": [{"name": "b", "children": []}]}]],
        [[{"name": "a", "children": [{"name": 1, "children": []}]}], [{"name": "a", "children": {}}]],
    ),
    ("Literal['a', 'b']", ["a"], ["c", None]),
    ("Color", ["red"], ["green", 1]),
    ("Annotated[int, 'counted']", [1], ["1", True]),
    ("int | list[int]", [1, [1]], ["1", ["1"]]),
]


@pytest.mark.parametrize(("annotation", "good", "bad"), RICH, ids=[row[0] for row in RICH])
def test_rich_annotations_are_structured_strictly(annotation: object, good: list[object], bad: list[object]) -> None:
    """Nothing is converted on the way into a rich type but int to float, and no key is ignored."""
    executor = taking(annotation)
    for value in good:
        assert accepts(executor, value), value
    for value in bad:
        assert not accepts(executor, value), value


def test_a_rich_argument_arrives_as_its_type() -> None:
    """The function gets objects, not maps."""

    def f(points: list[Point], color: Color, options: Options) -> object:
        assert color is Color.RED
        return [type(point).__name__ for point in points] + [options["limit"]]

    bridge = Bridge()
    bridge.command(f)
    args = {"points": [{"x": 1}, {"x": 2}], "color": "red", "options": {"limit": 4}}
    assert result_of(executor_of(bridge), "f", args) == ["Point", "Point", 4]


def test_a_refused_rich_argument_says_where_it_does_not_fit() -> None:
    """The path inside the value is part of the message."""
    message = error_of(taking("list[Point]"), "take", {"x": [{"x": 1}, {"x": "2"}]})["message"]
    assert "'x'" in message
    assert "[1].x" in message
    assert "must be int, not str" in message


@pytest.mark.parametrize("annotation", ["Opaque", "NoSuchName", "list[Opaque]", "Session | int", "complex"])
def test_an_annotation_that_cannot_be_satisfied_is_an_error_before_ready(annotation: object) -> None:
    """The application's mistake is told when it is loaded, with the name of the command."""
    with pytest.raises(TypeError, match="take"):
        taking(annotation)


def test_two_session_parameters_are_an_error_before_ready() -> None:
    """One of them could only be a mistake."""

    def f(one: Session, two: Session) -> None: ...

    bridge = Bridge()
    bridge.command(f)
    with pytest.raises(TypeError, match="two"):
        executor_of(bridge)


def test_a_return_annotation_is_never_looked_at() -> None:
    """Names that exist for type checkers only do no harm there, even beside rich parameters."""

    def f(x: list[int]) -> Fraction | int:
        return len(x)

    bridge = Bridge()
    bridge.command(f)
    assert result_of(executor_of(bridge), "f", {"x": [1]}) == 1


def test_plain_commands_import_neither_typing_nor_cattrs() -> None:
    """Plain commands start as fast as none; rich ones have imported what they need before they are ready."""
    code = f"""
import sys
sys.path[:0] = [{LIBRARY!r}]
from trio_pool.bridge import Bridge
from trio_pool.bridge._executor import Executor
from trio_pool.bridge._loading import Loader
def run(command, args):
    bridge = Bridge()
    bridge.command(command)
    executor = Executor(bridge, Loader(None), worker_id="w", max_frame=2**20, begun=[0])
    heavy = sorted({{"typing", "cattrs", "attr", "inspect"}} & set(sys.modules))
    assert b"error" not in executor.handle({{"id": 1, "command": "f", "args": args}})[0]
    assert heavy == sorted({{"typing", "cattrs", "attr", "inspect"}} & set(sys.modules))
    return heavy
def f(a: int, b: "str | None" = None, *c, d: "dict[str, Any]", **e): pass
assert run(f, {{"a": 1, "d": {{}}, "x": 2}}) == []
def f(a: "list[int]"): pass
assert "cattrs" in run(f, {{"a": [1]}})
"""
    # -S: what a site package may import at every start is not ours.
    paths = [path for path in sys.path if path.endswith("site-packages")]
    code = f"import sys; sys.path += {paths!r}\n" + code
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, timeout=60)
