"""Exception groups looked into: what is in them, and the interrupt that must not stay there."""

from __future__ import annotations

import pytest

from trio_pool._core._groups import interrupt_in, leaves


def test_leaves_are_found_at_any_depth() -> None:
    """In order, and an exception that is no group is its own leaf."""
    first, second, third = ValueError(), KeyError(), KeyboardInterrupt()
    group = BaseExceptionGroup("", [first, BaseExceptionGroup("", [second, BaseExceptionGroup("", [third])])])
    assert list(leaves(group)) == [first, second, third]
    assert list(leaves(first)) == [first]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), SystemExit(3)], ids=["KeyboardInterrupt", "SystemExit"])
def test_an_interrupt_is_taken_out_of_its_group(interrupt: BaseException) -> None:
    """Whatever it came with, it is what the caller is to meet."""
    group = BaseExceptionGroup("", [ValueError(), BaseExceptionGroup("", [interrupt])])
    assert interrupt_in(group) is interrupt


def test_a_group_without_an_interrupt_stays_a_group() -> None:
    """Several errors are several."""
    group = BaseExceptionGroup("", [ValueError(), KeyError()])
    assert interrupt_in(group) is group
