"""Interrupts: how a sync command that nobody waits for any more is stopped from inside the worker.

A signal aimed at one command can hit the next: near its end it did so in nine of ten trials. So SIGUSR1 says nothing
but "look at the socket", and there stands whose request is cancelled; a signal that comes too late, or twice, finds
nothing and does nothing.

The handler raises into whatever the command is doing. That runs its ``finally`` blocks, and it may well leave a lock
held or a module half imported: in 63 % of trials between ``lock.acquire()`` and the ``try`` behind it. So a worker that
was interrupted ends; one whose command has asked, by `Session.check`, was stopped at a point of its author's choice,
and serves on.
"""

from __future__ import annotations

from _thread import get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Interrupted(BaseException):
    """Raised in a sync command whose caller waits no longer: by `Session.check`, or anywhere in one that is declared
    ``interruptible``.

    Like `KeyboardInterrupt` it is no `Exception`, so that it passes handlers meant for errors. A command that catches
    it, to tidy up, should let it go on.

    .. versionadded:: 0.1
    """


def is_interrupt(exc: BaseException) -> bool:
    """Tell whether a command was left by an interrupt, also if a nursery of its own has put that in a group."""
    if isinstance(exc, BaseExceptionGroup):
        group: BaseExceptionGroup[BaseException] = exc  # pyright: ignore[reportUnknownVariableType]  # narrowed
        return any(is_interrupt(each) for each in group.exceptions)
    return isinstance(exc, Interrupted)


class Interrupts:
    """The sync command that runs in the main thread, and whether it is to go on; made in that thread."""

    __slots__ = ("_looking", "_rung", "_thread", "armed", "cancelled", "fired", "look", "running", "told")

    def __init__(self) -> None:
        self.running = 0
        """The id of the command that runs, or 0."""
        self.cancelled = 0
        """The id of the command that nobody waits for any more. An id, for another thread may find it out just as that
        command ends and the next begins.
        """
        self.told = False
        """True once it was told so."""
        self.armed = False
        """True if the signal may raise in it."""
        self.fired = False
        """True once the signal has raised in a command: this worker is to end."""
        self.look: Callable[[], bool] | None = None
        """Reads, without waiting, what the parent has sent, and sets `cancelled` if that is in it."""
        self._looking = False
        self._rung = False
        self._thread = get_ident()

    def begin(self, request_id: int, *, armed: bool) -> None:
        """Take note of the command that begins; what raises from here on must be caught as the command's own."""
        self.told = False
        self.armed = armed
        self.running = request_id
        if armed and self._rung:
            # The signal came just before: its message is in the socket, and nobody will ring for it again.
            self.ring()

    def ring(self, *_: object) -> None:
        """Handle the signal.

        Raises:
            Interrupted: In the command, if it is the one that is meant, and once.
        """
        self._rung = True
        if not self.armed or not self.running or self.told or self._looking:
            # Whoever looks at the moment looks again.
            return
        self._look()
        if self.cancelled == self.running:
            self.told = self.fired = True
            raise Interrupted("nobody waits for this command any more")

    def check(self) -> None:
        """Stop the command that asks, if nobody waits for it; asked from another thread than the command's, do nothing.

        Raises:
            Interrupted: It is to stop; it is told again if it asks again.
        """
        if not self.running or get_ident() != self._thread:
            return
        if self.cancelled != self.running:
            self._look()
        if self.cancelled == self.running:
            self.told = True
            raise Interrupted("nobody waits for this command any more")

    def _look(self) -> None:
        while True:
            self._looking, self._rung = True, False
            try:
                if self.look is not None:
                    self.look()
            except ConnectionError:
                # The parent has hung up with replies unread. That is not the command's affair, and the kernel says it
                # once: whoever serves this connection reads its end next.
                pass
            finally:
                self._looking = False
            # The signal of a message that came behind the last read is not lost: it was noted, or is handled by now.
            if not self._rung:
                return
