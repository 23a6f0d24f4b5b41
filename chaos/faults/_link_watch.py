"""A watch over the links of workers: those there are, and those of workers that start later."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .._launcher import ChaosHandle, ChaosLauncher
    from ..link._toxic import Toxic
    from ..scenario._fault import Direction


def slot_of(handle: ChaosHandle) -> str:
    """Return the slot a worker is in, as its name says it."""
    return handle.worker_id.rpartition("-")[2]


class LinkWatch:
    """Has a toxic on each link that is watched.

    Args:
        launcher: Whose workers' links.
        make: Returns the toxic for a link, and its direction; None for a link that is not to be watched.
    """

    def __init__(self, launcher: ChaosLauncher, make: Callable[[ChaosHandle], tuple[Toxic, Direction] | None]) -> None:
        self._launcher = launcher
        self._make = make
        self._placed: list[tuple[ChaosHandle, Toxic]] = []

    def watch(self, handle: ChaosHandle) -> None:
        """Watch one link from its next message on."""
        made = self._make(handle)
        if made is not None:
            toxic, direction = made
            self._placed.append((handle, toxic))
            handle.interposer.add(toxic, direction)

    def watch_all(self, handles: Iterable[ChaosHandle]) -> None:
        """Watch these."""
        for handle in handles:
            self.watch(handle)

    def watch_starts(self) -> None:
        """Watch those of all workers that start from now on."""
        self._launcher.on_open.append(self.watch)

    def end(self) -> None:
        """Watch no link any more; once more does nothing."""
        if self.watch in self._launcher.on_open:
            self._launcher.on_open.remove(self.watch)
        for handle, toxic in self._placed:
            handle.interposer.remove(toxic)

    def in_force(self) -> bool:
        """Return whether any link is watched."""
        return any(handle.interposer.in_force(toxic) for handle, toxic in self._placed)

    def all_closed(self) -> bool:
        """Return whether every link that was watched is closed."""
        return all(handle.interposer.closed for handle, _ in self._placed)
