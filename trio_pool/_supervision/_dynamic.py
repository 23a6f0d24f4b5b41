"""Dynamic supervisors: any number of children alike, made from one template, in no order."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import attrs
import trio

from .._core._restart import is_number
from .._core._strategy import ChildStatus, StopOrder
from ._settings import Settings
from ._spec import ChildSpec
from ._supervisor import SupervisorBase, run
from ._tree import Tree

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from typing import Unpack

    from ._child import Child
    from ._settings import CommonOptions


class DynamicTree(Tree):
    """The running side of a dynamic supervisor, with its template.

    Args:
        settings: What it was opened with.
        template: The specification of every child, save for its id and the arguments it is started with.
        max_children: How many there may be.
    """

    def __init__(self, settings: Settings, template: ChildSpec, max_children: float) -> None:
        super().__init__(settings)
        self.template = template
        self.max_children = max_children
        self.numbers = itertools.count(1)


class DynamicSupervisor(SupervisorBase):
    """Starts children from one template, as many as are wanted; `open_dynamic_supervisor` makes one.

    It is OTP's ``simple_one_for_one``, with the limit of Elixir's `DynamicSupervisor`. Children are told apart by their
    handles. One that has ended for good is forgotten, so there is nothing to restart or delete; one that was started
    with `IgnoreStart` is not kept either. What is said of management calls at `Supervisor` holds here too.

    Args:
        tree: Its running side.
    """

    _tree: DynamicTree

    @trio.lowlevel.enable_ki_protection
    async def start_child(
        self,
        *args: object,
        id: str | None = None,  # noqa: A002  # OTP's name for it, as in `ChildSpec`
    ) -> Child:
        """Start another child, with these arguments after the template's, and wait until it has started.

        Args:
            args: Its arguments.
            id: Its id; None for the template's with a number.

        Returns:
            The child's handle.

        Raises:
            ChildError: The id is taken (``already_started``, or ``already_present`` if that child waits for a restart),
                there are ``max_children`` already, counting those that wait for a restart (``max_children``), the start
                was called off (``terminated``), or the supervisor is closed (``closed``).
            ValueError: The id is not a non-empty str.
            Exception: The very exception that the start raised. It is not charged and not retried.
        """
        await trio.lowlevel.checkpoint()
        tree = self._tree
        if id is None:
            names = (f"{tree.template.id}-{number}" for number in tree.numbers)
            id = next(name for name in names if name not in tree.children)  # noqa: A001  # as above
        spec = attrs.evolve(tree.template, id=id, args=(*tree.template.args, *args))
        tree.check_open(id)
        tree.check_new(id)
        if len(tree.children) >= tree.max_children:
            raise tree.refusal(spec.id, "max_children", f": there are {len(tree.children)}")
        return (await tree.start_new(spec)).handle

    @trio.lowlevel.enable_ki_protection
    async def terminate_child(self, child: Child) -> None:
        """Stop a child and wait until it has ended; nothing happens if it had already.

        Raises:
            ChildError: It is another supervisor's and has not ended (``not_found``).
        """
        await trio.lowlevel.checkpoint()
        task = self._tree.children.get(child.id)
        if task is not None and task.handle is child:
            await self._tree.stop_child(task)
        elif child.status is not ChildStatus.STOPPED:
            raise self._tree.refusal(child.id, "not_found")

    async def restart_child(self, child: Child) -> Child:
        """Refuse: there is no specification to start again.

        Raises:
            ChildError: Always, ``simple_one_for_one``.
        """
        await trio.lowlevel.checkpoint()
        raise self._tree.refusal(child.id, "simple_one_for_one")

    async def delete_child(self, child: Child) -> None:
        """Refuse: there is no specification to delete.

        Raises:
            ChildError: Always, ``simple_one_for_one``.
        """
        await trio.lowlevel.checkpoint()
        raise self._tree.refusal(child.id, "simple_one_for_one")

    def get_childspec(self) -> ChildSpec:
        """Return the template."""
        return self._tree.template


def check_template(template: ChildSpec, max_children: float) -> None:
    """Raise a ValueError, or a TypeError, unless a dynamic supervisor can be made from these."""
    if not isinstance(template, ChildSpec):  # pyright: ignore[reportUnnecessaryIsInstance]  # the caller may be untyped
        raise ValueError(f"template must be a ChildSpec, not {template!r}")
    if template.significant:
        raise ValueError("template: bad_combination, a dynamic supervisor never shuts down for a significant child")
    if not is_number(max_children) or max_children < 0 or (math.isfinite(max_children) and max_children % 1):
        raise ValueError(f"max_children must be a whole number >= 0 or inf, not {max_children!r}")


def open_dynamic_supervisor(
    template: ChildSpec, *, max_children: float = math.inf, **options: Unpack[CommonOptions]
) -> AbstractAsyncContextManager[DynamicSupervisor]:
    """Open a dynamic supervisor for the length of an ``async with``.

    Each child that fails is restarted alone. Leaving the body stops all children at once and waits for them under one
    deadline, the template's ``shutdown``; in what order they end is not defined. All else is as with `open_supervisor`.

    Args:
        template: What every child is made from; its ``id`` is the first part of theirs.
        max_children: How many children there may be, those that wait for a restart included.
        options: See `open_supervisor`.

    Raises:
        ValueError: A value is out of range; the message names it. The call itself raises it, before the ``async with``.
    """
    check_template(template, max_children)
    settings = Settings(stop_order=StopOrder.TOGETHER, forgetful=True, **options)
    return run(DynamicTree(settings, template, max_children), DynamicSupervisor)
