"""Signals and descriptors: what belongs to the application stays with it, and what belongs to one worker too."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import _signal_application
import pytest
import trio
from _pools import APP, exited, settled
from _terminals import terminal
from _workers import PATIENCE

import trio_pool

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

CONTROL_C = b"\x03"
OWN = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD, signal.SIGPIPE, signal.SIGIO)
"""Signals the application of these tests has handlers for: those that a library like this one could be tempted to
take."""


def test_control_c_at_the_terminal_reaches_the_application_and_no_worker(tmp_path: Path) -> None:
    """The terminal signals its foreground group: the application is in it, and nothing that a worker is or runs."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, _signal_application.__file__, str(tmp_path / "notes")]
    with terminal(80, 24) as made:

        def take_terminal() -> None:
            # The new session's leader, whose terminal this becomes: what is typed there goes to its group.
            fcntl.ioctl(made.slave, termios.TIOCSCTTY, 0)

        with subprocess.Popen(
            command,
            stdin=made.slave,
            stdout=made.slave,
            stderr=made.slave,
            env=env,
            start_new_session=True,
            preexec_fn=take_terminal,
        ) as process:
            try:
                at = made.read_until(b"ready\r\n")
                os.write(made.master, CONTROL_C)
                made.read_until(b"}\r\n", after=at)
                assert process.wait(PATIENCE) == 0
            finally:
                process.kill()
    told = made.written[at:].removeprefix(b"^C")
    assert json.loads(told) == {"heard": [[]] * _signal_application.SIZE, "same": True, "exits": 0}


@pytest.fixture
def own_handlers() -> Iterator[None]:
    """An application with handlers of its own for what it cares about."""

    def handler(*_: object) -> None:
        """Do nothing: a signal without effect for the test's process."""

    before = {number: signal.signal(number, handler) for number in OWN}
    yield
    for number, previous in before.items():
        signal.signal(number, previous)


def dispositions() -> dict[str, object]:
    """Return how this process treats every signal: as Python sees it, and as the kernel does."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kernel = {line.split()[0]: line.split()[1] for line in lines if line.startswith(("SigBlk", "SigIgn", "SigCgt"))}
    return {**kernel, **{str(number): signal.getsignal(number) for number in signal.valid_signals()}}


@pytest.mark.usefixtures("own_handlers")
async def test_a_pool_takes_no_signal_from_the_application() -> None:
    """Before, while and after: every handler is who it was, none is new, none is ignored or blocked."""
    before = dispositions()
    async with trio_pool.open_pool(APP, size=2, abandon_grace=0.0) as pool:
        assert dispositions() == before
        # All that a pool does to processes: a crash and a restart, a planned end, a kill, a shutdown.
        await exited(pool, 0)
        await exited(pool, 1, signal.SIGTERM)
        with pytest.raises(trio_pool.CommandTimeout):
            await pool.execute_anonymous("sleep", {"duration": 60.0}, timeout=0.3, checkout_timeout=PATIENCE)
        await settled(pool)
        assert dispositions() == before
    assert dispositions() == before


async def test_no_worker_of_a_pool_has_anything_of_another() -> None:
    """Not a socket, not a pipe, not a page, whichever was started first, later, or in place of another."""
    async with trio_pool.open_pool(APP, size=4, standby=1) as pool:
        await exited(pool, 0)
        await exited(pool, 2)
        await settled(pool)
        with trio.fail_after(PATIENCE):
            while pool.get_pool_status().standby < 1:  # noqa: ASYNC110  # that a standby is ready has no event here
                await trio.sleep(0.005)
        held = {info.pid: open_files(info.pid) for info in pool.get_pool_status().workers if info.pid is not None}
    assert len(held) == 5
    assert min(len(files) for files in held.values()) >= 4  # socket, output, lifeline, page; else this would be vacuous
    shared = {pair: held[pair[0]] & held[pair[1]] for pair in combinations(held, 2)}
    assert not {pair: files for pair, files in shared.items() if files}


def open_files(pid: int) -> set[tuple[int, int]]:
    """Return the files a process has open, as device and inode; without those that all may have."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        target = os.readlink(entry)
        if target.startswith(("socket:", "pipe:", "/memfd:")):
            status = entry.stat()
            found.add((status.st_dev, status.st_ino))
    return found
