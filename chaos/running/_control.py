"""The watching process: starts the application, follows its history, and looks at what it left behind.

It is the parent of every orphan the application leaves, so none can hide. When it ends itself, however that happens,
the application dies by its lifeline, and the workers by theirs.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import attrs
import trio

from .._output import CannotWrite, writing
from ..faults._watcher import WATCHER, obey
from ._lifeline import LIFELINE, adopt_orphans, children, command_of, state_of
from ._tail import Tail

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ..scenario._plan import Plan
    from ._lines import Viewer

PROMISE = 1.0
"""Seconds within which workers are gone once their application is, by guarantee 6."""

_SLACK = 120.0
"""Seconds an application has beyond all that its plan allows it before it counts as hung, and is killed."""

_GLANCE = 0.1

_PROGRAM = f"import sys; from {__package__}._application import main; sys.exit(main())"


@attrs.frozen(kw_only=True)
class Ended:
    """How the application ended: its exit code, negative for a signal, and the signal that interrupted the run."""

    exit: int
    interrupted: int | None


async def watch_over(plan: Plan, directory: Path, *, target: str, replay: str, viewer: Viewer) -> Ended:
    """Have a plan carried out in an application process of its own, and see it to its end.

    Cancelled, it kills the application, whose workers go with it.

    Args:
        plan: What to do; already in the directory as ``plan.json``.
        directory: Of the run.
        target: The kind of pool.
        replay: The command that does the same again, for the record.
        viewer: Shows the run.

    Raises:
        CannotWrite: A file of the run, or a line for the user, could not be written; the application has ended.
    """
    adopt_orphans()
    before = set(children())
    control = _Control(directory, viewer)
    with ExitStack() as stack:
        log = directory / "application.log"
        with writing(log):
            output = stack.enter_context(log.open("wb"))
        reading, held = os.pipe2(os.O_CLOEXEC)
        stack.callback(os.close, held)
        here, there = socket.socketpair()
        stack.callback(here.close)
        try:
            process = await trio.lowlevel.open_process(
                # No main module with a file: some pools have each worker import that again, or try to.
                [sys.executable, "-c", _PROGRAM, str(directory), target, replay],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[reading, there.fileno()],
                # Ctrl-C is for this process, which passes it on once.
                start_new_session=True,
                env={
                    **os.environ,
                    LIFELINE: str(reading),
                    WATCHER: str(there.fileno()),
                    "PYTHONPATH": os.pathsep.join(sys.path),
                },
            )
        finally:
            os.close(reading)
            there.close()
        try:
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(control.heed, signals, process)
                    nursery.start_soon(control.follow, process)
                    nursery.start_soon(obey, here, process.pid, process.send_signal)
                    with trio.move_on_after(_longest(plan)) as scope:
                        await process.wait()
                    if scope.cancelled_caught:
                        control.note("hung", after=_longest(plan))
                        process.kill()
                        await process.wait()
                    nursery.cancel_scope.cancel()
        finally:
            if process.returncode is None:
                process.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()
        ended = time.monotonic()
        leftovers = await _leftovers(before, ended)
    control.glance()
    control.note("application_ended", exit=process.returncode)
    for leftover in leftovers:
        control.note("leftover", **leftover)
    control.note("checked", leftovers=len(leftovers))
    control.append(directory / "history.jsonl")
    if control.unwritable is not None:
        raise control.unwritable
    assert process.returncode is not None  # noqa: S101  # narrows the type: it was waited for
    return Ended(exit=process.returncode, interrupted=control.interrupted)


def _longest(plan: Plan) -> float:
    scenario = plan.scenario
    gates = (scenario.steady_state.before, scenario.steady_state.after)
    return (
        min(
            scenario.limits.wall_clock,
            scenario.duration + scenario.pool.timeout + sum(gate.hold + gate.within for gate in gates),
        )
        + _SLACK
    )


class _Control:
    """One application being watched."""

    def __init__(self, directory: Path, viewer: Viewer) -> None:
        self._viewer = viewer
        self._tail = Tail(directory / "history.jsonl")
        self._heeds = trio.Event()
        self._records: list[dict[str, Any]] = []
        self.interrupted: int | None = None
        self.unwritable: CannotWrite | None = None
        """What could not be shown, if anything."""

    async def heed(self, signals: AsyncIterator[int], process: trio.Process) -> None:
        """Pass signals on, once the application heeds them: before, they would only be its death."""
        async for number in signals:
            self.interrupted = self.interrupted or number
            await self._heeds.wait()
            process.send_signal(number)

    async def follow(self, process: trio.Process) -> None:
        """Show what the history says, for ever. Ends by being cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._viewer.run)
            while True:
                await trio.sleep(_GLANCE)
                self.glance()
                if self.unwritable is not None and self.interrupted is None:
                    self.interrupted = signal.SIGTERM
                    process.send_signal(signal.SIGTERM)

    def glance(self) -> None:
        """Show what is new in the history."""
        for record in self._tail.read():
            if record["type"] in ("said", "opening"):
                self._heeds.set()
            try:
                self._viewer.take(record)
            except CannotWrite as exc:
                # Not the pool's doing: the run is ended in an orderly way, and only then is this told.
                self.unwritable = self.unwritable or exc

    def note(self, kind: str, **fields: Any) -> None:
        """Keep a record for the end of the history."""
        self._records.append({"monotonic_ns": time.monotonic_ns(), "type": kind, **fields})

    def append(self, path: Path) -> None:
        """Add what was seen from here to the history, after what the application could still write."""
        with writing(path), path.open("a+b") as file:
            file.seek(0)
            data = file.read()
            # A last line without its end is one whose write was cut short.
            whole = data[: data.rfind(b"\n") + 1]
            file.truncate(len(whole))
            lines = whole.splitlines()
            first: dict[str, Any] = json.loads(lines[0]) if lines else {}
            last: float = json.loads(lines[-1])["t"] if lines else 0.0
            for number, record in enumerate(self._records, start=len(lines)):
                at = record.pop("monotonic_ns")
                seconds = (at - first.get("monotonic_ns", at)) / 1e9 + first.get("t", 0.0)
                entry = {"seq": number, "t": round(max(seconds, last), 6), "src": "run", **record}
                file.write(json.dumps(entry, separators=(",", ":")).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


async def _leftovers(before: set[int], ended: float) -> list[dict[str, Any]]:
    """Return the processes that outlive the application for longer than promised; they are killed then."""
    await trio.lowlevel.checkpoint()
    while True:
        living = [pid for pid in children() if pid not in before and not _collected(pid)]
        if not living:
            return []
        if time.monotonic() - ended > PROMISE:
            break
        await trio.sleep(0.01)
    found = [{"pid": pid, "cmdline": command_of(pid)[:200], "state": state_of(pid)} for pid in living]
    for pid in living:
        # Our own children since their parent ended, and not waited for by anybody else: the number is still theirs.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        # It has been killed: this waits for the kernel, not for the process.
        with suppress(ChildProcessError):
            await trio.to_thread.run_sync(os.waitid, os.P_PID, pid, os.WEXITED)
    return found


def _collected(pid: int) -> bool:
    """Collect an adopted child if it is dead; return whether it is gone."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG) is not None
    except ChildProcessError:
        return True
