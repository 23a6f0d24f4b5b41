"""Supervisors as children: specifications whose child is a whole subtree, built anew at each start."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs
import trio

from .._core._restart import Restart
from .._core._strategy import AutoShutdown, ChildType, StopOrder, Strategy
from ._child import CURRENT
from ._dynamic import open_dynamic_supervisor
from ._spec import ChildSpec
from ._supervisor import open_supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractAsyncContextManager
    from typing import Unpack

    from ._dynamic import DynamicSupervisor
    from ._settings import CommonOptions
    from ._supervisor import Supervisor


@attrs.frozen
class _Subtree:
    """The startable of a supervisor; its value is the `Supervisor` or `DynamicSupervisor` of this incarnation."""

    make: Callable[[CommonOptions], AbstractAsyncContextManager[Supervisor | DynamicSupervisor]]
    options: CommonOptions

    # Protected, as every `async with` over a nursery must be that is to survive a Ctrl-C at any line: between the last
    # line of its body and the call of ``__aexit__`` an exception skips the latter, and the nursery is left unfinished.
    @trio.lowlevel.enable_ki_protection
    async def run(self, *, task_status: trio.TaskStatus[Supervisor | DynamicSupervisor]) -> None:
        options = self.options
        around = CURRENT.get()
        if around is not None and "on_event" not in options:
            # One observer sees the whole tree; the events say whose they are.
            options = options.copy()
            options["on_event"] = around.tree.settings.on_event
        async with self.make(options) as supervisor:
            task_status.started(supervisor)
            await supervisor.wait()


def supervisor_spec(
    id: str,  # noqa: A002  # OTP's name for it, as in `ChildSpec`
    children: Iterable[ChildSpec],
    strategy: Strategy | str = Strategy.ONE_FOR_ONE,
    *,
    restart: Restart | str = Restart.PERMANENT,
    significant: bool = False,
    start_timeout: float = math.inf,
    auto_shutdown: AutoShutdown | str = AutoShutdown.NEVER,
    stop_order: StopOrder | str = StopOrder.NEWEST_FIRST,
    **options: Unpack[CommonOptions],
) -> ChildSpec:
    """Return the specification of a child that is a supervisor with these children.

    It has started when all of them have, and its value is its `Supervisor`. A restart builds it anew from ``children``:
    what was started or deleted by management calls is forgotten. When it gives up, its own supervisor hears of that as
    of the end of a child: a permanent one is restarted and charged, a transient or temporary one has come to a clean
    end. It may take as long to stop as its children may together; that is its ``shutdown``.

    Args:
        id: Its id, and the supervisor's name unless ``options`` has one.
        children: The children it starts with.
        strategy: As for `open_supervisor`.
        restart: As for `ChildSpec`.
        significant: As for `ChildSpec`.
        start_timeout: As for `ChildSpec`; for the whole subtree.
        auto_shutdown: As for `open_supervisor`; when it shuts down its own end is a clean one.
        stop_order: As for `open_supervisor`.
        options: As for `open_supervisor`. Without ``on_event`` the observer of the supervisor above hears of this one
            too.

    Raises:
        ValueError: As for `open_supervisor` and `ChildSpec`, already here.
    """
    specs = tuple(children)

    def make(options: CommonOptions) -> AbstractAsyncContextManager[Supervisor]:
        return open_supervisor(strategy, children=specs, auto_shutdown=auto_shutdown, stop_order=stop_order, **options)

    return _spec_of(make, id, options, restart, significant, start_timeout)


def dynamic_supervisor_spec(
    id: str,  # noqa: A002  # OTP's name for it, as in `ChildSpec`
    template: ChildSpec,
    *,
    max_children: float = math.inf,
    restart: Restart | str = Restart.PERMANENT,
    significant: bool = False,
    **options: Unpack[CommonOptions],
) -> ChildSpec:
    """Return the specification of a child that is a dynamic supervisor; its value is its `DynamicSupervisor`.

    It starts without children, after a restart too.

    Args:
        id: Its id, and the supervisor's name unless ``options`` has one.
        template: As for `open_dynamic_supervisor`.
        max_children: As for `open_dynamic_supervisor`.
        restart: As for `ChildSpec`.
        significant: As for `ChildSpec`.
        options: As for `supervisor_spec`.

    Raises:
        ValueError: As for `open_dynamic_supervisor` and `ChildSpec`, already here.
    """

    def make(options: CommonOptions) -> AbstractAsyncContextManager[DynamicSupervisor]:
        return open_dynamic_supervisor(template, max_children=max_children, **options)

    return _spec_of(make, id, options, restart, significant, math.inf)


def _spec_of(
    make: Callable[[CommonOptions], AbstractAsyncContextManager[Supervisor | DynamicSupervisor]],
    child_id: str,
    options: CommonOptions,
    restart: Restart | str,
    significant: bool,
    start_timeout: float,
) -> ChildSpec:
    spec = ChildSpec(
        id=child_id,
        start=_Subtree(make, {"name": child_id, **options}).run,
        restart=restart,
        type=ChildType.SUPERVISOR,
        significant=significant,
        start_timeout=start_timeout,
    )
    make(options)  # refuses what is wrong now, instead of at the first start
    return spec
