"""Work as the client sees it: what requests carry, and what must come back.

A `Work` belongs to an application that workers import. The built-in ones are here and beside; one of your own is any
object with the same attributes, named in a scenario as ``python:package.module:attribute``.
"""

from __future__ import annotations

import hashlib
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from ..scenario._problems import Problem, ScenarioError, did_you_mean
from ..scenario._workloads import CUSTOM
from ._operations import OPERATIONS, digest, payload

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ..scenario._model import Scenario
    from ..scenario._plan import PlannedRequest


class Work(Protocol):
    """What requests are, for the client: what they carry, and what must come back.

    One of your own is any object, or class without arguments, with these attributes. A scenario names it, as
    ``python:package.module:attribute``. Its module is imported in the application of a run, and where a scenario is
    checked; what raises there is a mistake of the scenario.

    Attributes:
        app: What workers import, ``module:attribute`` of a `trio_pool.bridge.Bridge`. Its commands are the operations,
            and each takes one argument, ``args``, beside its `Session` if it wants one. What it returns is a mapping
            with the ``request`` and the ``nonce`` of its args, as that of `perform` is.
        operations: Their names.

    A work some of whose commands are async names them in ``asynchronous``, another attribute: a set of names.
    """

    @property
    def app(self) -> str:
        """What workers import."""
        ...

    @property
    def operations(self) -> Sequence[str]:
        """The names of its commands."""
        ...

    def touches(self, operation: str) -> str | None:
        """Return what an operation does to its session's list: ``append``, ``read``, or None if it has none.

        Commands that go through `perform` as ``append`` or ``read`` have such a list, and with it the checkers of
        sessions: nothing lost, nothing twice, nothing of another session. The reply of one that touches it has
        ``items``, the nonces of all that were appended, in order, and ``session``, whose list it is by what the
        worker's own state says.
        """
        ...

    def args(self, request: PlannedRequest, session: int | None, step: int) -> Mapping[str, Any]:
        """Return what a request carries beside ``request``, ``nonce``, ``session``, ``service`` and ``size``.

        Args:
            request: From the plan. What depends on it alone is the same each time the plan is carried out.
            session: The number of its session; None without.
            step: Its place among the requests of its session, from 0.

        Raises:
            Exception: Ends the run: the work is at fault, and not the pool.
        """
        ...

    def expect(self, request: PlannedRequest, session: int | None, step: int) -> Mapping[str, Any]:
        """Return what fields its reply must have; whatever else it has is not looked at. Arguments as for `args`.

        As the history keeps them: bytes as ``{"bytes": their number, "sha256": their digest in hex}``, tuples as lists.
        """
        ...


class Register:
    """The built-in work: sessions that keep a list, and requests that keep nothing."""

    app = "chaos.workload._register:bridge"
    operations: Sequence[str] = OPERATIONS

    def touches(self, operation: str) -> str | None:
        """``append`` and ``read`` do as they are called."""
        return operation if operation in ("append", "read") else None

    def args(self, request: PlannedRequest, session: int | None, step: int) -> Mapping[str, Any]:  # the same for all
        """``echo`` carries its bytes."""
        if request.operation == "echo":
            return {"payload": payload(request.nonce, request.size)}
        return {}

    def expect(self, request: PlannedRequest, session: int | None, step: int) -> Mapping[str, Any]:
        """A digest that nobody can have computed but for this request, or the bytes that were sent."""
        if request.operation in ("work", "fetch"):
            return {"digest": digest(request.nonce, request.size)}
        if request.operation == "echo":
            return {"payload": shown(payload(request.nonce, request.size))}
        return {}


class AsyncRegister(Register):
    """The built-in work with an operation of which several run at once in one worker."""

    app = "chaos.workload._async_app:bridge"
    operations = (*OPERATIONS, "fetch")
    asynchronous = frozenset({"fetch"})


def asynchronous_of(work: Work) -> Collection[str]:
    """Return which of its operations are async commands; none if it does not say."""
    named: Collection[str] = getattr(work, "asynchronous", ())
    return named


def shown(value: Any) -> Any:
    """Return a value as the history keeps it: of bytes their number and digest, for a run may carry gigabytes."""
    if isinstance(value, dict):
        return _shown_fields(value)  # pyright: ignore[reportUnknownArgumentType]  # a mapping of whatever came back
    if isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(cast("bytes", value))
        return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    if isinstance(value, (list, tuple)):
        return [shown(each) for each in cast("list[Any]", value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return repr(value)


def _shown_fields(value: Mapping[Any, Any]) -> dict[Any, Any]:
    return {name: shown(each) for name, each in value.items()}


def work_of(kind: str) -> Work:
    """Return the work a scenario names.

    Args:
        kind: ``register``, ``async``, ``stdlib`` or ``python:package.module:attribute``, which may be a `Work` or a
            class of one.

    Raises:
        ValueError: There is no such thing.
    """
    if kind == "register":
        return Register()
    if kind == "async":
        return AsyncRegister()
    if kind == "stdlib":
        from ._stdlib import Stdlib  # it counts the whole library when it is made

        return Stdlib()
    scheme, _, rest = kind.partition(":")
    module, _, attribute = rest.partition(":")
    if scheme != "python" or not (module and attribute):
        raise ValueError(
            f"workload.kind: {kind!r} is none of register, async, stdlib and python:package.module:attribute"
        )
    try:
        found = getattr(import_module(module), attribute)
    except Exception as exc:  # whatever a module of somebody's own raises while it is imported
        named = "" if isinstance(exc, (ImportError, AttributeError)) else f"{type(exc).__name__}: "
        raise ValueError(f"workload.kind: cannot import {kind!r}: {named}{exc}") from exc
    try:
        made = found() if isinstance(found, type) else found
    except Exception as exc:  # likewise
        raise ValueError(f"workload.kind: cannot make {kind!r}: {type(exc).__name__}: {exc}") from exc
    for name in ("app", "operations", "touches", "args", "expect"):
        if not hasattr(made, name):
            raise ValueError(f"workload.kind: {kind!r} has no {name}, which a Work must have")
    return cast("Work", made)


def check_work(scenario: Scenario) -> None:
    """Import the workload of somebody's own that a scenario names, and see that it fits.

    Args:
        scenario: Of which the rest is free of mistakes. A built-in workload is not looked at.

    Raises:
        ScenarioError: It cannot be imported, is no `Work`, or has not the operations that the scenario draws from.
    """
    kind = scenario.workload.kind
    if not kind.startswith(CUSTOM):
        return
    try:
        work = work_of(kind)
    except ValueError as exc:
        problem = Problem("$.workload.kind", str(exc).removeprefix("workload.kind: "))
        raise ScenarioError(scenario.name, [problem]) from exc
    problems = [
        Problem(
            f"$.workload.op[{index}].name",
            f"{kind} has no operation {operation.name!r}; {did_you_mean(operation.name, work.operations)}",
        )
        for index, operation in enumerate(scenario.workload.operations)
        if operation.name not in work.operations
    ]
    if problems:
        raise ScenarioError(scenario.name, problems)
