"""A worker whose application forks: the child is never taken for a worker."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from _wire import raw_worker, ready_worker

if TYPE_CHECKING:
    from pathlib import Path

    from _wire import RawWorker

APP = "_wire_app:bridge"
MISTAKE = b"trio_pool worker: a process forked by "


def mistakes(worker: RawWorker) -> list[bytes]:
    """Hang up; return the lines of the worker's output that name the mistake."""
    worker.socket.close()
    assert worker.exit_code() == 0
    return [line for line in worker.output.read().splitlines() if line.startswith(MISTAKE)]


@pytest.mark.parametrize("how", ["returning", "raising", "in C"])
def test_a_command_that_forks_and_comes_back_twice_is_answered_once(how: str) -> None:
    """The child neither answers nor takes a request: it exits at once and says what it lacks."""
    with ready_worker(APP) as worker:
        assert worker.call(1, "twice", {"how": how})["result"] == 1
        assert worker.call(2, "ping")["success"]
        [line] = mistakes(worker)
        assert b"the command 'twice'" in line
        assert b"os._exit" in line


def test_a_forked_child_that_calls_sys_exit_ends_as_it_wants_to() -> None:
    """It has said how it ends, and does not come back."""
    with ready_worker(APP) as worker:
        assert worker.call(1, "twice", {"how": "exiting"})["result"] == 7
        assert worker.call(2, "ping")["success"]
        assert mistakes(worker) == []


def test_a_child_forked_by_a_signal_handler_does_not_serve() -> None:
    """Between two requests no command is to blame, and the worker serves on."""
    with ready_worker(APP) as worker:
        worker.call(1, "fork_on_signal")
        worker.process.send_signal(signal.SIGUSR1)
        assert worker.call(2, "ping")["success"]
        [line] = mistakes(worker)
        assert b"a signal handler" in line


@pytest.mark.parametrize("place", ["import", "start hook"])
@pytest.mark.parametrize(("end", "code"), [("", 1), ("raise LookupError", 1), ("sys.exit(7)", 7)])
def test_a_child_forked_while_the_application_is_loaded_does_not_serve(
    place: str, end: str, code: int, tmp_path: Path
) -> None:
    """It says neither ready nor failed to the parent, whichever way it comes back."""
    lines = [
        "import os, sys",
        "from trio_pool.bridge import Bridge",
        "bridge = Bridge()",
        "def fork():",
        "    global code",
        "    child = os.fork()",
        "    if child:",
        "        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])",
        "        return",
        f"    {end or 'pass'}",
        "fork()" if place == "import" else "bridge.on_start(fork)",
        "@bridge.command",
        "def child_code() -> int:",
        "    return code",
    ]
    (tmp_path / "forking.py").write_text("\n".join(lines))
    with raw_worker("forking:bridge", sys_path=[str(tmp_path)]) as worker:
        ready = worker.receive()
        assert (ready["type"], ready["pid"]) == ("ready", worker.process.pid)
        assert worker.call(1, "child_code")["result"] == code
        found = mistakes(worker)
        assert len(found) == (not end.startswith("sys.exit"))
        assert all(b"forking:bridge" in line and b"os._exit" in line for line in found)


def test_a_worker_that_leaves_its_work_to_a_forked_child_is_gone(tmp_path: Path) -> None:
    """An application that makes itself a daemon ends its worker; what goes on is no worker."""
    source = "import os\nfrom trio_pool.bridge import Bridge\nbridge = Bridge()\nif os.fork():\n    os._exit(3)\n"
    (tmp_path / "daemon.py").write_text(source)
    with raw_worker("daemon:bridge", sys_path=[str(tmp_path)]) as worker:
        assert worker.at_end_of_stream()
        assert worker.exit_code() == 3
        assert worker.output.readline().startswith(MISTAKE)
