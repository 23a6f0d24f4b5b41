"""Interrupts: which command a signal means, when it comes between two."""

from __future__ import annotations

import pytest

from trio_pool.bridge import Interrupted
from trio_pool.bridge._interrupts import Interrupts


def interrupts(message: int) -> Interrupts:
    """Return interrupts whose socket has the cancel of this command."""
    made = Interrupts()

    def look() -> bool:
        made.cancelled = message
        return True

    made.look = look
    return made


def test_a_signal_that_comes_just_before_its_command_begins_is_not_lost() -> None:
    """Nobody rings a second time: whoever begins looks for what the signal was about."""
    subject = interrupts(message=7)
    subject.ring()
    with pytest.raises(Interrupted):
        subject.begin(7, armed=True)
    assert subject.fired


def test_a_signal_meant_for_an_earlier_command_does_not_hit_the_next() -> None:
    """What is cancelled is in the message, not in the signal; and it is looked for once."""
    subject = interrupts(message=6)
    subject.ring()
    subject.begin(7, armed=True)
    subject.ring()
    assert not subject.fired


def test_a_command_that_is_not_interruptible_is_not_interrupted_by_an_earlier_signal() -> None:
    """It may ask, and is told then."""
    subject = interrupts(message=7)
    subject.ring()
    subject.begin(7, armed=False)
    subject.ring()
    with pytest.raises(Interrupted):
        subject.check()
    assert not subject.fired
