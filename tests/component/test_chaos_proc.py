"""What is read of a process from /proc: of one that lives, of one that is dead and not waited for, and of nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from _workers import looks

from chaos.faults import _proc

if TYPE_CHECKING:
    from collections.abc import Iterator

SLEEPER = "import sys; sys.stdin.read()"


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A child that waits."""
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", SLEEPER], stdin=subprocess.PIPE) as child:
        yield child
        child.kill()


def dead(child: subprocess.Popen[bytes]) -> int:
    """Kill a child, and return its number, which is still its own."""
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    return child.pid


def test_a_process_that_lives(child: subprocess.Popen[bytes]) -> None:
    """Its words, its parent, its start, its memory, its descriptors and its one thread."""
    for _ in looks(5.0):
        if _proc.command(child.pid):
            break
    assert _proc.command(child.pid) == [sys.executable, "-I", "-S", "-c", SLEEPER]
    assert _proc.living(child.pid)
    assert _proc.parent(child.pid) == os.getpid()
    assert _proc.is_ours(child.pid)
    assert child.pid in _proc.children(os.getpid())
    assert child.pid in set(_proc.descendants(os.getpid()))
    assert _proc.started(child.pid) == _proc.started(child.pid)
    assert 0 in _proc.descriptors(child.pid)
    assert _proc.tasks(child.pid) == [child.pid]
    assert 0 < _proc.memory(child.pid) <= _proc.memory(child.pid, "VmSize")
    assert not _proc.catches(child.pid, signal.SIGRTMIN)


def test_a_process_that_is_dead_and_not_waited_for(child: subprocess.Popen[bytes]) -> None:
    """It has no words and no memory, and is still its parent's; it does not live."""
    pid = dead(child)
    assert _proc.state(pid) == _proc.ZOMBIE
    assert not _proc.living(pid)
    assert _proc.command(pid) == []
    assert _proc.memory(pid) == 0
    assert _proc.parent(pid) == os.getpid()


def test_nobody(child: subprocess.Popen[bytes]) -> None:
    """Of a number that is nobody's there is nothing to say, and nothing is raised."""
    pid = dead(child)
    child.wait()
    assert _proc.state(pid) == _proc.GONE
    assert not _proc.living(pid)
    assert [_proc.parent(pid), _proc.started(pid), _proc.status(pid, "VmRSS")] == [None, None, None]
    assert [*_proc.command(pid), *_proc.descriptors(pid), *_proc.tasks(pid), *_proc.children(pid)] == []
    assert not _proc.is_ours(pid)
    assert not _proc.ignores(pid, signal.SIGTERM)
