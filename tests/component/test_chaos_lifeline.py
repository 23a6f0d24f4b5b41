"""The lifeline of a run's processes: whoever holds on to it ends when its other end closes, whatever he is doing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from _workers import state

pytestmark = pytest.mark.slow

PROGRAM = """
import signal, sys
from chaos.running._lifeline import hold_on
sys.stdin.readline()
hold_on(int(sys.argv[1]))
print("holds on", flush=True)
signal.pause()
"""


def holder(line: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(line)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[line],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def test_a_line_that_is_cut_already_ends_whoever_takes_hold_of_it() -> None:
    """Of what closed before the kernel was asked to tell of it, it tells nobody."""
    reading, held = os.pipe2(os.O_CLOEXEC)
    with holder(reading) as process:
        os.close(reading)
        os.close(held)
        try:
            said, _ = process.communicate("go\n", timeout=60)
        finally:
            process.kill()
    assert (said, process.returncode) == ("", -signal.SIGKILL)


def test_who_stands_still_ends_too() -> None:
    """A stopped process heeds no signal but the one that is sent."""
    reading, held = os.pipe2(os.O_CLOEXEC)
    with holder(reading) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        os.close(reading)
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.readline() == "holds on\n"
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        assert state(process.pid) == "T"
        os.close(held)
        try:
            assert process.wait(timeout=60) == -signal.SIGKILL
        finally:
            process.kill()
