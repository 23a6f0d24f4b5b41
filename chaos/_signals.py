"""SIGTERM where nobody waits for it: before a run has its event loop, and after."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import FrameType, TracebackType


class Terminations:
    """Has SIGTERM arrive as Ctrl-C does, as `KeyboardInterrupt`, so that what is open is closed.

    A handler of its own that raised would do so anywhere, in the middle of Trio's own code too, and Trio knows how to
    put off Ctrl-C alone. So SIGTERM is passed on as SIGINT. Inside the part of a run that waits for signals itself,
    neither comes here.
    """

    def __init__(self) -> None:
        self.arrived = False
        """Whether a SIGTERM came."""
        self._before = signal.getsignal(signal.SIGTERM)

    def __enter__(self) -> Self:
        """Take SIGTERM over."""
        signal.signal(signal.SIGTERM, self._pass_on)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def _pass_on(self, _number: int, _frame: FrameType | None) -> None:
        self.arrived = True
        if callable(signal.getsignal(signal.SIGINT)):
            signal.raise_signal(signal.SIGINT)
        else:
            # Who started this had it ignore SIGINT, as a shell does with what it runs in the background.
            raise KeyboardInterrupt
