"""Memory that a throw-away child holds: really there, bounded, and gone whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from _workers import PATIENCE, looks, state

from chaos import ChaosMonkey, FaultKind, FaultUnavailable, _memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_pool import PoolStatus

pytestmark = pytest.mark.slow


class NoPool:
    """What a monkey may look at when it touches no worker."""

    def get_pool_status(self) -> PoolStatus:
        raise AssertionError("memory is consumed without looking at any worker")


def monkey() -> ChaosMonkey:
    return ChaosMonkey(NoPool())


def about(pid: int | None, name: str) -> list[str]:
    """Return the lines of one of a process's files."""
    return Path(f"/proc/{pid}/{name}").read_text().splitlines()


def memory_of(pid: int | None, name: str) -> int:
    """Return a line of a process's status, in bytes."""
    for line in about(pid, "status"):
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


@pytest.mark.document("F-063")
async def test_consumed_memory_is_resident_bounded_and_given_back() -> None:
    """A child holds just the share of the budget, can take no more, is first to be killed, and goes when healed."""
    budget = 64 * 2**20
    fault = await monkey().consume_memory(0.5, budget=budget)
    assert (fault.kind, fault.worker, fault.size) == (FaultKind.MEMORY, None, budget // 2)
    assert budget // 2 <= memory_of(fault.pid, "RssAnon") < budget
    assert memory_of(fault.pid, "VmSize") < budget // 2 + 64 * 2**20
    (bound,) = [line.split()[3] for line in about(fault.pid, "limits") if line.startswith("Max address space")]
    assert int(bound) < budget // 2 + 64 * 2**20
    assert about(fault.pid, "oom_score_adj") == ["1000"]
    assert fault.pid is not None
    assert os.getsid(fault.pid) == fault.pid  # out of a terminal's reach
    assert state(fault.pid) in "RS"  # it may be on its way from the report to the wait
    await fault.heal()
    await fault.heal()
    assert state(fault.pid) == "X"


async def test_consumed_memory_is_given_back_on_leaving() -> None:
    """The monkey heals it as it heals all else, and needs no launcher for it."""
    async with monkey() as own:
        fault = await own.consume_memory(1, budget=2**20)
    assert fault.healed
    assert fault.pid is not None
    assert state(fault.pid) == "X"


@pytest.mark.document("F-063")
async def test_the_usual_budget_is_a_quarter_of_a_gibibyte_or_less() -> None:
    """Without a budget the child takes its share of the stated one."""
    async with monkey() as own:
        fault = await own.consume_memory(0.8)
        assert 0 < fault.size <= int(0.8 * 256 * 2**20)
        assert memory_of(fault.pid, "VmRSS") >= fault.size


@pytest.mark.parametrize(
    ("prepare", "complaint"),
    [
        pytest.param(lambda patch: None, "only .* are available", id="more than there is"),
        pytest.param(
            lambda patch: patch.setattr(_memory, "available_memory", lambda: 2**63), "MemoryError|OSError", id="refused"
        ),
        pytest.param(
            lambda patch: (
                patch.setattr(_memory, "available_memory", lambda: 2**63),
                patch.setattr(sys, "executable", "/nowhere"),
            ),
            "could not be started",
            id="no interpreter",
        ),
    ],
)
async def test_memory_that_is_not_to_be_had_is_not_consumed(
    monkeypatch: pytest.MonkeyPatch, prepare: Callable[[pytest.MonkeyPatch], object], complaint: str
) -> None:
    """More than is available is refused before anything happens; what the kernel refuses is told; nothing is left."""
    with monkeypatch.context() as patch:
        prepare(patch)
        with pytest.raises(FaultUnavailable, match=complaint):
            await monkey().consume_memory(1, budget=2**62)


async def test_memory_that_does_not_stay_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was swapped out meanwhile presses on nobody."""

    async def first_words(_process: object) -> str:
        await trio.lowlevel.checkpoint()
        return "holds 4096\n"

    monkeypatch.setattr(_memory, "_first_words", first_words)
    with pytest.raises(FaultUnavailable, match="only 4096 stayed resident"):
        await monkey().consume_memory(1, budget=2**20)


async def test_a_consumer_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that swaps costs so much patience and no more; nothing is left."""
    monkeypatch.setattr(_memory, "FILL_LIMIT", 0.001)
    with pytest.raises(FaultUnavailable, match=r"not done within 0\.001 s"):
        await monkey().consume_memory(1, budget=64 * 2**20)


async def test_a_cancelled_consumer_leaves_nothing() -> None:
    """However far it has come: the child is gone when the cancelled call returns (the leak fixture looks)."""
    for seconds in (0.0, 0.002, 0.01, 0.03, 0.06):
        async with monkey() as own:
            with trio.move_on_after(seconds):
                await own.consume_memory(1, budget=256 * 2**20)


@pytest.mark.parametrize("forks", [False, True])
def test_the_consumer_goes_with_its_parent(forks: bool) -> None:
    """The memory of an application that was killed is free at once, and soon where a fork of it holds the pipe open."""
    program = (
        "import os, signal, sys, trio\n"
        "from chaos import ChaosMonkey\n"
        "async def main():\n"
        "    fault = await ChaosMonkey(None).consume_memory(1, budget=2**20)\n"
        "    fork = os.fork() if sys.argv[1:] else -1\n"
        "    if not fork:\n"
        "        os.closerange(1, 3)\n"  # the rest of this test waits for their end
        "        signal.pause()\n"
        "    print(fault.pid, fork, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "trio.run(main)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", program, *(["fork"] * forks)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=env)
    assert done.returncode == -signal.SIGKILL
    pid, fork = map(int, done.stdout.split())
    try:
        for _ in looks(PATIENCE):
            if state(pid) in "XZ":
                break
        assert state(pid) in "XZ"
    finally:
        if forks:
            os.kill(fork, signal.SIGKILL)


async def test_less_than_a_byte_is_refused() -> None:
    """A fault that would do nothing is an error, not a fault."""
    with pytest.raises(ValueError, match="budget"):
        await monkey().consume_memory(0.5, budget=1)


def test_a_consumer_whose_parent_is_gone_does_not_even_fill() -> None:
    """It looks at the pipe while it fills, too: without a parent it ends at once and holds nothing."""
    script = str(Path(_memory.__file__).with_name("_ballast.py"))
    done = subprocess.run(
        [sys.executable, "-I", "-S", script, str(2**30), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert (done.returncode, done.stdout) == (0, b"")
