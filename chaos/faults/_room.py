"""The limit of files of this process: lowered by faults of the application, lifted for what the faults themselves open.

The harness strikes from within the application, so a limit that keeps the application from opening files would keep
the harness from healing: orders to workers are files, and so is what the kernel tells of them. What opens files for a
moment and without a checkpoint does so in `room`. The limit is the process's, so another thread may get one through in
that moment, some 100 microseconds.
"""

from __future__ import annotations

import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Generator


@attrs.define
class _Limits:
    before: tuple[int, int] | None = None
    """What the limits were when the first of those in force came; None while there is none."""
    lowered: list[int] = attrs.field(factory=list[int])
    """The low limits in force: that of each fault that lasts."""

    def set(self) -> None:
        if self.before is not None:
            soft = min(self.lowered, default=self.before[0])
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, self.before[1]))


_limits = _Limits()


def unlimited() -> tuple[int, int]:
    """Return what the limits of this process are without the faults."""
    return _limits.before or resource.getrlimit(resource.RLIMIT_NOFILE)


def lower(soft: int) -> None:
    """Let this process open no file whose number would be ``soft`` or above, until `lift` is told the same number."""
    _limits.before = unlimited()
    _limits.lowered.append(soft)
    _limits.set()


def lift(soft: int) -> None:
    """Take one such limit back; the others stay in force, whichever came first."""
    _limits.lowered.remove(soft)
    _limits.set()
    if not _limits.lowered:
        _limits.before = None


@contextmanager
def room() -> Generator[None]:
    """Open files as if no limit was lowered: a block, or a function's length. There must be no checkpoint in it."""
    if _limits.before is None or resource.getrlimit(resource.RLIMIT_NOFILE) == _limits.before:
        yield
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, _limits.before)
    try:
        yield
    finally:
        _limits.set()
