"""A live supervision tree as data, and the data as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import trio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._core._restart import Restart
    from .._core._strategy import ChildStatus, ChildType, Strategy
    from ._child import ChildTask
    from ._tree import Tree


@attrs.frozen
class ChildNode:
    """One child, as it was when the tree was asked for."""

    id: str
    type: ChildType
    status: ChildStatus
    restart: Restart
    restarts: int
    """How often it was started again."""
    supervisors: tuple[SupervisorNode, ...]
    """The supervisors open inside it."""

    def __str__(self) -> str:
        return "\n".join(_child_lines(self))


@attrs.frozen
class SupervisorNode:
    """One supervisor, as it was when the tree was asked for."""

    name: str
    strategy: Strategy
    restarts: int
    """Restarts charged to its window now."""
    max_restarts: float
    within: float
    children: tuple[ChildNode, ...]
    """In start order."""

    def __str__(self) -> str:
        return "\n".join(_supervisor_lines(self))


def draw(tree: Tree) -> SupervisorNode:
    """Return the tree as it is now."""
    window = tree.window
    return SupervisorNode(
        name=tree.settings.name,
        strategy=tree.settings.strategy,
        restarts=window.count(trio.current_time()),
        max_restarts=window.max_restarts,
        within=window.within,
        children=tuple(_draw_child(child) for child in tree.children.values()),
    )


def _draw_child(child: ChildTask) -> ChildNode:
    return ChildNode(
        id=child.id,
        type=child.kind,
        status=child.status,
        restart=child.restart,
        restarts=child.handle.restarts,
        supervisors=tuple(draw(tree) for tree in child.inner),
    )


def _supervisor_lines(node: SupervisorNode) -> Iterator[str]:
    yield f"{node.name} [{node.strategy}, {node.restarts} of {node.max_restarts:g} restarts in {node.within:g} s]"
    for index, child in enumerate(node.children):
        last = index == len(node.children) - 1
        yield from _indent(_child_lines(child), "└─ " if last else "├─ ", "   " if last else "│  ")


def _child_lines(node: ChildNode) -> Iterator[str]:
    times = "" if node.restarts == 0 else f", restarted {node.restarts} x"
    text = f"{node.id} {node.status} ({node.restart}{times})"
    if not node.supervisors:
        yield text
    elif len(node.supervisors) == 1 and node.supervisors[0].name == node.id:
        # A child that is nothing but its supervisor takes one line for both.
        first, *rest = _supervisor_lines(node.supervisors[0])
        yield text + first.removeprefix(node.id)
        yield from rest
    else:
        yield text
        for index, supervisor in enumerate(node.supervisors):
            last = index == len(node.supervisors) - 1
            yield from _indent(_supervisor_lines(supervisor), "└─ " if last else "├─ ", "   " if last else "│  ")


def _indent(lines: Iterator[str], first: str, rest: str) -> Iterator[str]:
    for index, line in enumerate(lines):
        yield (rest if index else first) + line
