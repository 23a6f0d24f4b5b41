"""The pace of a load: what is due begins at once, with a checkpoint now and then."""

from __future__ import annotations

import trio

AT_ONCE = 50
"""How many things that are due begin without a checkpoint between them: starting 50 tasks holds up the loop for less
than a millisecond, and at a thousand a second 50 are what comes due in 50 of them."""


class Pace:
    """Tells who begins things at their times when to sleep.

    What is due is begun in one go: with a round of the loop for each, a generator that is late because others have the
    processor would never catch up.
    """

    def __init__(self) -> None:
        self._at_once = 0

    def sleeps(self, due: float) -> bool:
        """Return whether to sleep until that time of Trio's first; where it is over, that is a checkpoint."""
        self._at_once += 1
        if self._at_once > AT_ONCE or due > trio.current_time():
            self._at_once = 1
            return True
        return False
