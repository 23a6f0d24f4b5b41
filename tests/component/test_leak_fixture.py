"""The check that no test leaves anything behind finds each kind of leak, and tolerates what is none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import timeit
from pathlib import Path

import _leaks
import pytest
import trio
from _leaks import Snapshot, children, kill_children, leaks, processes_marked

AT_ONCE = 0.0
"""No patience: what these tests leave would never vanish by itself."""

LEAKY_TESTS = """
import os, subprocess, tempfile, threading
kept = []
def test_child(): kept.append(subprocess.Popen(["cat"], stdin=subprocess.PIPE))
def test_descriptor(): os.pipe()
def test_file(): tempfile.mkdtemp()
def test_thread(): threading.Thread(target=threading.Event().wait, name="forgotten", daemon=True).start()
def test_clean(tmp_path): (tmp_path / "file").write_text("pytest removes it")
"""


def idle_child() -> subprocess.Popen[bytes]:
    """Start a process that lives until it is killed or its input is closed."""
    return subprocess.Popen(["cat"], stdin=subprocess.PIPE)


def test_a_living_child_is_found() -> None:
    """A child process that still runs after a test is named by pid and command."""
    before = Snapshot.take()
    with idle_child() as process:
        left = leaks(before, AT_ONCE)
        process.kill()
    assert any(line.startswith(f"child process {process.pid}: state") for line in left)
    assert leaks(before) == []


def test_a_zombie_is_found() -> None:
    """A child that ended and was not reaped is a leak too."""
    before = Snapshot.take()
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    left = leaks(before, AT_ONCE)
    process.wait()
    assert left == [f"child process {process.pid}: state Z, true"]
    assert leaks(before) == []


def test_a_child_of_another_thread_is_found() -> None:
    """The thread that started a child does not matter: Trio starts processes in threads that end later."""
    before = Snapshot.take()
    started: list[subprocess.Popen[bytes]] = []
    thread = threading.Thread(target=lambda: started.append(idle_child()))
    thread.start()
    thread.join()
    with started[0] as process:
        left = leaks(before, AT_ONCE)
        process.kill()
    assert any(line.startswith(f"child process {process.pid}: ") for line in left)


def test_a_child_from_before_is_no_leak() -> None:
    """What a fixture of wider scope keeps running is not the test's leak, and is not killed for one."""
    with idle_child() as process:
        before = Snapshot.take()
        left = leaks(before, AT_ONCE)
        kill_children(before)
        still_there = process.pid in children()
        process.kill()
    assert left == []
    assert still_there


def test_a_leaked_child_is_killed_and_reaped() -> None:
    """After its report a leaked child is ended, even a stopped one, so that later tests start from nothing."""
    before = Snapshot.take()
    with idle_child() as process:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        kill_children(before)
        assert process.pid not in children()


def test_a_file_descriptor_is_found() -> None:
    """Both ends of a forgotten pipe are named."""
    before = Snapshot.take()
    ends = os.pipe()
    left = leaks(before, AT_ONCE)
    for end in ends:
        os.close(end)
    assert [line.partition(": pipe:")[0] for line in left] == [f"file descriptor {end}" for end in sorted(ends)]
    assert leaks(before, AT_ONCE) == []


def test_a_descriptor_under_a_reused_number_is_found() -> None:
    """A descriptor that replaced another of the same number is still seen: targets are compared, not numbers."""
    old = os.pipe()
    before = Snapshot.take()
    for end in old:
        os.close(end)
    new = os.pipe()
    left = leaks(before, AT_ONCE)
    for end in new:
        os.close(end)
    assert new == old
    assert len(left) == 2


def test_a_thread_is_found() -> None:
    """A thread that still runs after a test is named."""
    before = Snapshot.take()
    done = threading.Event()
    thread = threading.Thread(target=done.wait, name="forgotten")
    thread.start()
    left = leaks(before, AT_ONCE)
    done.set()
    thread.join()
    assert left == ["thread forgotten"]
    assert leaks(before, AT_ONCE) == []


def test_an_idle_thread_of_trio_is_no_leak() -> None:
    """Trio keeps a thread for ten seconds after its work: it holds nothing and is not reported."""
    before = Snapshot.take()
    trio.run(trio.to_thread.run_sync, threading.get_ident)
    assert any(thread.name.startswith("Trio thread ") for thread in threading.enumerate())
    assert leaks(before) == []


def test_a_busy_thread_of_trio_is_found() -> None:
    """Work that a test abandoned in one of Trio's threads is a leak, even when it runs under the cache's own name."""
    before = Snapshot.take()
    begun, done, finished = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        done.wait()

    trio.lowlevel.start_thread_soon(work, lambda _: finished.set())
    begun.wait()
    left = leaks(before, AT_ONCE)
    done.set()
    finished.wait()
    assert len(left) == 1
    assert left[0].startswith("thread Trio thread ")
    assert leaks(before) == []


def test_a_temporary_file_is_found() -> None:
    """A file left in the temporary folder is named."""
    before = Snapshot.take()
    number, path = tempfile.mkstemp()
    os.close(number)
    left = leaks(before, AT_ONCE)
    Path(path).unlink()
    assert left == [f"temporary file {Path(path).name}"]
    assert leaks(before, AT_ONCE) == []


def test_what_is_only_late_is_no_leak() -> None:
    """A thread that ends by itself shortly after the test is waited for and not reported."""
    before = Snapshot.take()
    done = threading.Event()
    late = threading.Thread(target=done.wait)
    late.start()
    end_it_soon = threading.Timer(0.02, done.set)
    end_it_soon.start()
    assert Snapshot.take().since(before) != []
    assert leaks(before) == []


def test_an_orphan_is_found_by_its_environment() -> None:
    """A grandchild whose parent is gone, nobody's child any more, is found by the variable it inherited."""
    value = f"orphan-{os.getpid()}"
    program = "import subprocess as s; print(s.Popen(['cat'], stdout=s.DEVNULL, stderr=s.DEVNULL).pid)"
    reader, writer = os.pipe()  # the orphan's input: closing it ends the orphan
    try:
        parent = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program],
            env={**os.environ, "LEAK_TEST": value},
            stdin=reader,
            capture_output=True,
            check=True,
        )
        left = processes_marked("LEAK_TEST", value)
    finally:
        os.close(reader)
        os.close(writer)
    assert list(left) == [int(parent.stdout)]


def test_the_check_is_cheap() -> None:
    """Looking before and after a test that left nothing costs less than a millisecond."""

    def look() -> None:
        assert leaks(Snapshot.take()) == []

    # The best of many: the cost of the code, not of whatever else the machine is doing.
    assert min(timeit.repeat(look, number=1, repeat=50)) < 0.001


@pytest.mark.slow
@pytest.mark.document("F-005", "F-087")
def test_the_fixture_fails_exactly_the_tests_that_leak(tmp_path: Path) -> None:
    """In a run of its own each leaking test ends in an error that says what was left, and the clean one passes."""
    here = Path(_leaks.__file__).parent
    impatient = "\n_leaks.PATIENCE = 0.05\n"  # nothing here vanishes by itself
    (tmp_path / "conftest.py").write_text((here / "conftest.py").read_text() + impatient)
    (tmp_path / "test_leaky.py").write_text(LEAKY_TESTS)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {here}\n")
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert "5 passed, 4 errors" in outcome
    for name, leftover in {
        "child": "child process",
        "descriptor": "file descriptor",
        "file": "temporary file",
        "thread": "thread forgotten",
    }.items():
        assert f"ERROR at teardown of test_{name} " in outcome
        assert f"  {leftover}" in outcome
