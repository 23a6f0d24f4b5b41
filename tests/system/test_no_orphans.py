"""However the application dies, nothing it started through the pool lives a second longer."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _workers import PATIENCE, living, looks, python, state

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROMISE = 1.0
"""Seconds after the application's death within which all is gone."""

APPLICATION = Path(__file__).parents[1] / "_application.py"

# All of them would end by themselves in some ten to a hundred seconds, were the promise broken; the stopped ones would
# not, and are killed by the test that found it broken.
WORKERS: dict[str, Sequence[str]] = {
    "waiting for its socket": python("import os; print(flush=True); os.read(int(os.environ['TRIO_POOL_FD']), 1)"),
    "sleeping": python("import time; print(flush=True); time.sleep(100)"),
    "in a Python loop": python("import time\nprint(flush=True)\nend = time.time() + 20\nwhile time.time() < end: pass"),
    "in C, holding the GIL": python("import re; print(flush=True); re.match('(a+)+$', 'a' * 28 + 'b')"),
    "in C, uninterruptible by Python": python("print(flush=True); sum(range(10**9))"),
    "deaf to all signals": python(
        "import signal, time\n"
        "for sig in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:\n"
        "    signal.signal(sig, signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
        "print(flush=True); time.sleep(100)"
    ),
    "with a forked child": python(
        "import os, time\npid = os.fork()\nif pid: print(pid, flush=True)\ntime.sleep(100)",
    ),
    "with an exec'd child": python(
        "import subprocess, time\nprint(subprocess.Popen(['sleep', '100']).pid, flush=True)\ntime.sleep(100)"
    ),
    "with an exec'd child that has the lifeline too": python(
        "import os, subprocess, time\n"
        "print(subprocess.Popen(['sleep', '100'], close_fds=False).pid, flush=True)\n"
        "time.sleep(100)"
    ),
    "with a grandchild whose parent is gone": python(
        "import subprocess, time\n"
        "shell = subprocess.run('sleep 100 >&- & echo $!', shell=True, stdout=subprocess.PIPE)\n"
        "print(shell.stdout.decode(), flush=True)\n"
        "time.sleep(100)"
    ),
}
STOPPED: dict[str, Sequence[str]] = {
    "alone": python("import os, signal\nprint(flush=True)\nos.kill(os.getpid(), signal.SIGSTOP)"),
    "with a stopped child": python(
        "import os, signal, subprocess\n"
        "child = subprocess.Popen(['sleep', '100'])\n"
        "os.kill(child.pid, signal.SIGSTOP)\n"
        "print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGSTOP)"
    ),
}


class Application:
    """The application and what it started.

    The workers and their children are held by pidfd, by which an end is seen exactly, whoever reaps them and whatever
    becomes of their numbers.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.pidfds: dict[int, int] = {}
        told = self.ask("")
        self.forked: int | None = told["forked"]
        self.pidfds = {os.pidfd_open(pid): pid for pid in told["workers"]}

    def ask(self, question: str) -> Any:
        """Say something to the application and return its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(question)
        self.process.stdin.flush()
        answers = select.poll()
        answers.register(self.process.stdout, select.POLLIN)
        assert answers.poll(PATIENCE * 1000), "the application does not answer"
        return json.loads(self.process.stdout.readline())

    def living_after(self, seconds: float) -> set[int]:
        """Wait until all have ended, for at most ``seconds``, and return those that have not."""
        deadline = time.monotonic() + seconds
        living = dict(self.pidfds)
        poll = select.poll()
        for fd in living:
            poll.register(fd, select.POLLIN)
        while living and (left := deadline - time.monotonic()) > 0:
            for fd, _ in poll.poll(left * 1000):
                poll.unregister(fd)
                del living[fd]
        return set(living.values())

    def close(self) -> None:
        """Kill what should have been dead, lest one failure be the next test's trouble."""
        for fd in self.pidfds:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
            os.close(fd)


@contextmanager
def application(*workers: Sequence[str], silent: bool = False, fork: int | None = None) -> Iterator[Application]:
    """Run the application until it has started everything; kills it at the end of the block."""
    told = json.dumps({"workers": workers, "silent": silent, "fork": fork})
    argv = [sys.executable, str(APPLICATION), told]
    inherited = () if fork is None else (fork,)
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=inherited
    ) as process:
        try:
            app = Application(process)
            try:
                yield app
            finally:
                app.close()
        finally:
            process.kill()


@pytest.fixture
def until_the_end() -> Iterator[int]:
    """A descriptor that reads as ended when the test is over: the life span of the application's forked child."""
    told, end = os.pipe()
    yield told
    os.close(told)
    os.close(end)


@pytest.mark.parametrize("kind", WORKERS)
def test_nothing_is_left_of_a_killed_application(kind: str) -> None:
    """SIGKILL gives the application no chance to do anything; its workers and all they started die all the same."""
    with application(WORKERS[kind]) as app:
        os.kill(app.process.pid, signal.SIGKILL)
        assert app.living_after(PROMISE) == set()


@pytest.mark.parametrize("kind", STOPPED)
def test_nothing_is_left_of_stopped_workers(kind: str) -> None:
    """A stopped process runs nothing, so nothing that it would have to run can be what ends it."""
    with application(STOPPED[kind]) as app:
        stopped = list(app.pidfds.values())
        assert any([state(each) for each in stopped] == ["T"] * len(stopped) for _ in looks(PATIENCE))
        os.kill(app.process.pid, signal.SIGKILL)
        assert app.living_after(PROMISE) == set()


def test_any_executable_dies_with_the_application() -> None:
    """The application arms the lifeline, so a program that knows nothing of us is held by it from its start."""
    with application(["sleep", "100"], ["sleep", "100"], silent=True) as app:
        os.kill(app.process.pid, signal.SIGKILL)
        assert app.living_after(PROMISE) == set()


def test_many_workers_die_with_the_application() -> None:
    """The promise is about all of them together."""
    with application(*(["sleep", "100"],) * 30, silent=True) as app:
        os.kill(app.process.pid, signal.SIGKILL)
        assert app.living_after(PROMISE) == set()


def test_an_application_that_ends_without_a_word_leaves_nothing() -> None:
    """SIGTERM unhandled ends the application between two instructions just so."""
    with application(*WORKERS.values()) as app:
        os.kill(app.process.pid, signal.SIGTERM)
        assert app.living_after(PROMISE) == set()


def test_a_forked_child_of_the_application_does_not_keep_workers_alive(until_the_end: int) -> None:
    """A child forked without exec inherits every descriptor; what would hold the workers is closed there."""
    with application(["sleep", "100"], WORKERS["sleeping"], fork=until_the_end, silent=True) as app:
        os.kill(app.process.pid, signal.SIGKILL)
        assert app.living_after(PROMISE) == set()
        assert app.forked is not None
        assert living([app.forked]), "the forked child was to outlive the application"


def test_a_forked_child_of_the_application_holds_nothing_of_the_workers(until_the_end: int) -> None:
    """Not the pipes, and not the socket: a worker sees the end of its stream though the forked child lives."""
    with application(WORKERS["waiting for its socket"], fork=until_the_end) as app:
        assert app.forked is not None
        (worker,) = app.pidfds.values()
        pipes = {target for target in open_files(worker) if target.startswith("pipe:")}
        assert len(pipes) == 2
        assert not pipes & open_files(app.forked)
        assert app.ask("close\n") == ["exit code 0"]
        assert living([app.forked])


def open_files(pid: int) -> set[str]:
    return {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}
