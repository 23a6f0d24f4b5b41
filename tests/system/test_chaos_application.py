"""The application under faults of its own: killed, stopped, blocked, short of files and of memory."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
from _arenas import AT_ONCE, STRIKE, Stage, comes_true, stage
from _workers import PATIENCE, living, state

from chaos import FaultUnavailable
from chaos.faults import _proc
from chaos.faults._application import INJECTORS
from chaos.faults._injection import FaultFailed
from chaos.faults._process_deaths import INJECTORS as KILLS
from chaos.faults._process_orders import INJECTORS as ORDERED
from chaos.faults._watcher import WATCHER, WatcherLine, obey
from chaos.running._tail import Growth
from chaos.scenario._application_faults import AppFdExhaustion, AppStall, AppStop, MemoryPressure
from chaos.scenario._process_faults import IgnoreSigterm, Kill
from trio_pool import HealthPolicy, WorkerExited, WorkerReady

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parents[1] / "_struck_application.py"


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Stage]:
    # Strict enough that standing still for a second would look like death to a pool that goes by the clock alone.
    async with stage(tmp_path, health=HealthPolicy(interval=0.1, timeout=0.1, misses=1)) as there:
        yield there


def command(kind: str, hold: float, folder: Path) -> list[str]:
    return [sys.executable, str(PROGRAM), kind, str(hold), str(folder)]


def environment(**more: str) -> dict[str, str]:
    root = PROGRAM.parents[1]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests")]), **more}


async def test_a_killed_application_leaves_nobody_behind(tmp_path: Path) -> None:
    """It dies of SIGKILL right after it said so, and its workers within the second that is promised."""
    ended = await trio.run_process(
        command("app-kill", 0.0, tmp_path), capture_stdout=True, env=environment(), check=False
    )
    words = ended.stdout.decode().split()
    assert ended.returncode == -9
    assert words[0] == "workers"
    assert words[3:] == ["struck"]
    workers = [int(word) for word in words[1:3]]
    with trio.fail_after(1.0):
        await comes_true(lambda: not living(workers))


@asynccontextmanager
async def running(argv: list[str], **options: Any) -> AsyncGenerator[trio.Process, None]:
    """Run a program for the length of the block."""
    process = await trio.lowlevel.open_process(argv, stdout=subprocess.PIPE, **options)
    try:
        yield process
    finally:
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()
            assert process.stdout is not None
            await process.stdout.aclose()


async def test_a_stopped_application_goes_on_and_blames_nobody(tmp_path: Path) -> None:
    """It stands for as long as was ordered; the answer that came meanwhile counts, and no worker is replaced."""
    ours, theirs = socket.socketpair()
    said = b""
    number = theirs.fileno()
    argv = command("app-stop", 1.0, tmp_path)
    async with running(argv, pass_fds=[number], env=environment(**{WATCHER: str(number)})) as process:
        theirs.close()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(obey, ours, process.pid, process.send_signal)
            assert process.stdout is not None
            with trio.fail_after(PATIENCE):
                while b"struck" not in said:
                    said += await process.stdout.receive_some()
                await comes_true(lambda: state(process.pid) == "T")
                async for piece in process.stdout:
                    said += piece
                assert await process.wait() == 0
    lines = said.decode().splitlines()
    _, seconds, healed = lines[2].split()
    assert float(seconds) >= 1.0
    assert healed == "True"
    assert lines[3] == "exits 0 healthy"


async def test_a_watcher_that_is_told_to_end_lets_the_application_go_on() -> None:
    """Cancelled while the process stands, it sends SIGCONT before it is gone."""
    ours, theirs = socket.socketpair()
    async with running([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        theirs.send(b"60.0\n")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(obey, ours, process.pid, process.send_signal)
            await comes_true(lambda: state(process.pid) == "T")
            nursery.cancel_scope.cancel()
        await comes_true(lambda: state(process.pid) in "RS")
    theirs.close()


async def test_without_a_watcher_nobody_is_stopped(there: Stage) -> None:
    """A process that nobody would have go on is not stopped, nor one whose watcher is gone."""
    spec = AppStop(name="fault", at=AT_ONCE)
    with pytest.raises(FaultUnavailable):
        async with INJECTORS[spec.kind](spec, STRIKE, [], there.arena):
            pass
    ours, theirs = socket.socketpair()
    theirs.close()
    line = WatcherLine(ours)
    with pytest.raises(FaultFailed, match="answered b''"):
        async with INJECTORS[spec.kind](spec, STRIKE, [], attrs.evolve(there.arena, watcher=line)):
            pass
    line.close()


async def test_a_blocked_application_blames_nobody(there: Stage) -> None:
    """The loop stands for as long as was ordered, and no worker is replaced for what it could not answer meanwhile."""
    spec = AppStall(name="fault", at=AT_ONCE, hold=1.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(there.work, 1)
        async with INJECTORS[spec.kind](spec, STRIKE, [], there.arena) as injected:
            # As the nemesis holds a fault; the block falls into this.
            began = trio.current_time()
            assert not injected.healed()
            await trio.sleep(1.0)
            assert 1.0 <= trio.current_time() - began < 1.9
    assert injected.healed()
    assert float(str(injected.effect["seconds"])) >= 1.0
    await there.work(2)
    assert not there.seen(WorkerExited)


@pytest.mark.parametrize("spare", [0, 2, 40])
async def test_an_application_without_files_serves_on_and_starts_workers_later(there: Stage, spare: int) -> None:
    """The worker that dies meanwhile is replaced when it is healed at the latest; no attempt leaves a file open."""
    spec = AppFdExhaustion(name="fault", at=AT_ONCE, spare=spare)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_before = _proc.descriptors(os.getpid())
    async with INJECTORS[spec.kind](spec, STRIKE, [], there.arena) as injected:
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (injected.effect["limit"], before[1])
        assert not injected.healed()
        with pytest.raises(OSError, match="Too many open files"):
            _open(spare + 1)
        # The fault of the other kind needs no file either, for its victim has a handle.
        kill = Kill(name="kill", at=AT_ONCE)
        async with KILLS["kill"](kill, STRIKE, [there.victim(0)], there.arena) as killed:
            await there.saw(WorkerExited, 1)
            await comes_true(lambda: killed.effect == {"hit": 1, "died": 1})
        assert await there.work(1) == there.victim(1).pid
        if spare == 40:
            await there.saw(WorkerReady, 3)
            fresh = there.victim(0).pid
            assert resource.prlimit(fresh, resource.RLIMIT_NOFILE)[0] < before[0]
        else:
            await trio.sleep(0.5)  # time for attempts, which fail
            assert len(there.seen(WorkerReady)) == 2
    assert injected.healed()
    assert injected.effect["mended"] == (1 if spare == 40 else 0)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
    with trio.fail_after(PATIENCE):
        await there.saw(WorkerReady, 3)
    for slot in (0, 1):
        assert resource.prlimit(there.victim(slot).pid, resource.RLIMIT_NOFILE) == before
    await comes_true(lambda: len(_proc.descriptors(os.getpid())) == len(open_before))


async def test_an_application_without_files_can_still_strike_and_heal(there: Stage) -> None:
    """Orders to workers are files, and what the kernel tells of them is too: there is room for the harness's own."""
    spec = AppFdExhaustion(name="fault", at=AT_ONCE)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    deaf = IgnoreSigterm(name="deaf", at=AT_ONCE)
    written = there.folder / "written"
    written.write_bytes(b"one line\nhalf a")
    growth = Growth(written, lambda data: data.rfind(b"\n") + 1)
    with ExitStack() as held:
        async with INJECTORS[spec.kind](spec, STRIKE, [], there.arena):
            async with ORDERED[deaf.kind](deaf, STRIKE, [there.victim(0), there.victim(1)], there.arena) as ordered:
                assert ordered.effect["hit"] == 2
                assert not ordered.healed()
                with pytest.raises(OSError, match="Too many open files"):
                    held.enter_context(socket.socket())
                assert growth.read() == b"one line\n"
                assert growth.read() == b""
            assert ordered.healed()
            assert ordered.effect == {"hit": 2, "died": 0, "killed_to_heal": 0}
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


async def test_two_shortages_of_files_end_whichever_ends_first(there: Stage) -> None:
    """The lower limit holds while it lasts, and what was before them holds after both."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    wide, narrow = (AppFdExhaustion(name="fault", at=AT_ONCE, spare=spare) for spare in (40, 20))
    first = INJECTORS[wide.kind](wide, STRIKE, [], there.arena)
    second = INJECTORS[narrow.kind](narrow, STRIKE, [], there.arena)
    wider = await first.__aenter__()
    high = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    narrower = await second.__aenter__()
    assert narrower.effect["limit"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0] < high
    await first.__aexit__(None, None, None)
    assert wider.healed()
    assert not narrower.healed()
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == narrower.effect["limit"]
    await second.__aexit__(None, None, None)
    assert narrower.healed()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def _open(count: int) -> None:
    opened: list[socket.socket] = []
    try:
        opened.extend(socket.socket() for _ in range(count))
    finally:
        for each in opened:
            each.close()


async def test_memory_is_held_by_somebody_else_and_let_go(there: Stage) -> None:
    """A process of its own holds what was ordered, within the budget, and is gone afterwards."""
    arena = there.arena
    spec = MemoryPressure(name="fault", at=AT_ONCE, size=16 * 2**20)
    rest = MemoryPressure(name="rest", at=AT_ONCE, size=10 * arena.memory_budget)
    async with INJECTORS[spec.kind](spec, STRIKE, [], arena) as injected:
        holder = injected.effect["holder"]
        assert isinstance(holder, int)
        assert injected.effect["held"] == spec.size
        assert _proc.memory(holder) >= spec.size
        assert not injected.healed()
        async with INJECTORS[rest.kind](rest, STRIKE, [], arena) as other:
            assert other.effect["held"] == arena.memory_budget - spec.size
            with pytest.raises(FaultUnavailable, match="budget"):
                async with INJECTORS[spec.kind](spec, STRIKE, [], arena):
                    pass
        assert await there.work(1)
    assert injected.healed()
    assert other.healed()
    assert not living([holder])
    assert arena.memory.total == 0
    assert not there.seen(WorkerExited)
