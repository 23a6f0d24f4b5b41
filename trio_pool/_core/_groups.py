"""Looking into exception groups, which every nursery makes of whatever passes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions of a group at any depth, or the exception itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from leaves(inner)
    else:
        yield error


def interrupt_in(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the KeyboardInterrupt or SystemExit in a group, or the group if there is none.

    Who presses Ctrl-C is to meet ``except KeyboardInterrupt``, wherever in a nursery of ours it arrived.
    """
    for leaf in leaves(group):
        if isinstance(leaf, (KeyboardInterrupt, SystemExit)):
            return leaf
    return group
