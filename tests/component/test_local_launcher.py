"""What the local launcher promises beyond the contract: nothing leaks between workers, or out of a failed start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
from _leaks import Snapshot, leaks
from _workers import PATIENCE, opened, python, read_all, read_line, spec, state

from trio_pool._core._exits import Exited, Lost, Signaled
from trio_pool._process._local import LocalHandle, LocalLauncher

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
SLEEPER = spec("sleep", "100")
Popen = subprocess.Popen
# Prints what each of its descriptors is, without the one that the listing itself needs.
LIST_DESCRIPTORS = python(
    "import os\n"
    "names = {}\n"
    "for fd in os.listdir('/proc/self/fd'):\n"
    "    try: names[int(fd)] = os.readlink('/proc/self/fd/' + fd)\n"
    "    except OSError: pass\n"
    "told = ('TRIO_POOL_FD', 'TRIO_POOL_LIFELINE_FD', 'TRIO_POOL_PAGE_FD')\n"
    "passed = {name: int(os.environ[name]) for name in told}\n"
    "print((names, passed))\n"
)
WITHOUT_STREAMS = """
import os, sys, trio
from trio_pool._process._launcher import WorkerSpec
from trio_pool._process._local import LocalLauncher

WORKER = "import os; os.write(int(os.environ['TRIO_POOL_FD']), b'x'); print(1)"

async def main():
    report = os.dup(1)
    os.closerange(0, 3)
    async with trio.open_nursery() as nursery:
        spec = WorkerSpec(worker_id="w", incarnation=1, argv=(sys.executable, "-c", WORKER), env=os.environ)
        handle = await LocalLauncher().open(spec, nursery)
        for fd in range(3):
            if os.path.exists(f"/proc/self/fd/{fd}"):
                target = os.readlink(f"/proc/self/fd/{fd}")
                if target.startswith(("pipe:", "socket:")):
                    os.write(report, f"{fd} is {target}\\n".encode())
        exit = await handle.wait()
        data = bytearray(8)
        said = bytes(data[: handle.transport.recv_into(data)])
        os.write(report, repr((str(exit), said, await handle.output.receive_some())).encode())
        await handle.reap()

trio.run(main)
"""


@pytest.fixture
def at_spawn(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Have something done in Trio's thread when the process exists already and nobody has been told."""

    def arrange(action: Callable[[], object]) -> None:
        def spawn(*args: Any, **kwargs: Any) -> Any:
            process = Popen(*args, **kwargs)
            action()
            return process

        monkeypatch.setattr(subprocess, "Popen", spawn)

    return arrange


async def test_a_process_started_under_a_cancelled_scope_is_killed(
    at_spawn: Callable[[Callable[[], object]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled while the thread is spawning, open leaves neither the process nor a descriptor."""
    before = Snapshot.take()
    killed: list[int] = []
    killpg = os.killpg

    def kill(pgid: int, sig: int) -> None:
        killed.append(sig)
        killpg(pgid, sig)

    monkeypatch.setattr(os, "killpg", kill)
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as scope:
                at_spawn(lambda: trio.from_thread.run_sync(scope.cancel))
                await LocalLauncher().open(SLEEPER, nursery)
    assert scope.cancelled_caught
    assert killed == [signal.SIGKILL]
    assert leaks(before, patience=PATIENCE) == []


async def test_open_cancelled_while_waiting_for_a_thread_starts_nothing() -> None:
    """An application that fills Trio's thread limiter delays the start; giving up then leaves no descriptor."""
    before = Snapshot.take()
    limiter = trio.to_thread.current_default_thread_limiter()
    tokens = limiter.total_tokens
    limiter.total_tokens = 1
    async with limiter:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_when_blocked, scope)
                await LocalLauncher().open(SLEEPER, nursery)
    limiter.total_tokens = tokens
    assert scope.cancelled_caught
    assert Snapshot.take().since(before) == []


async def _cancel_when_blocked(scope: trio.CancelScope) -> None:
    await trio.testing.wait_all_tasks_blocked()
    scope.cancel()


def test_a_keyboard_interrupt_during_the_spawn_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control-C between the birth of the process and the handle kills the process and leaves as KeyboardInterrupt."""
    open_process = trio.lowlevel.open_process

    async def interrupted(*args: Any, **kwargs: Any) -> trio.Process:
        process = await open_process(*args, **kwargs)
        signal.raise_signal(signal.SIGINT)
        return process

    monkeypatch.setattr(trio.lowlevel, "open_process", interrupted)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            await LocalLauncher().open(SLEEPER, nursery)

    before = Snapshot.take()
    with pytest.RaisesGroup(KeyboardInterrupt):
        trio.run(main)
    assert leaks(before) == []


async def test_a_failure_after_the_spawn_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """When descriptors run out between the spawn and the handle, the process is killed and the error is told."""

    def refuse(pid: int) -> int:
        raise OSError(24, "Too many open files")

    before = Snapshot.take()
    process_s_own = os.pidfd_open
    monkeypatch.setattr(os, "pidfd_open", refuse)
    async with trio.open_nursery() as nursery:
        with pytest.raises(OSError, match="Too many open files"):
            await LocalLauncher().open(SLEEPER, nursery)
    monkeypatch.setattr(os, "pidfd_open", process_s_own)
    assert leaks(before) == []


async def test_a_worker_inherits_nothing_but_its_own() -> None:
    """Six descriptors: nothing for input, the output twice, and the three it is told of; none is another worker's.

    Eight are started at once, while the application has files of its own open.
    """
    found: list[dict[int, str]] = []
    launcher = LocalLauncher()

    async def start() -> None:
        async with opened(launcher, spec(*LIST_DESCRIPTORS)) as handle:
            names, passed = eval(await read_all(handle))  # noqa: S307  # our own worker's repr
            assert set(names) == {0, 1, 2, *passed.values()}
            assert names[0] == "/dev/null"
            assert names[1] == names[2]
            found.append({fd: name for fd, name in names.items() if fd > 1 and "memfd" not in name})

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(start)
    pipes_and_sockets = [name for names in found for name in names.values()]
    assert len(pipes_and_sockets) == len(set(pipes_and_sockets)) == 8 * 3


async def test_a_worker_leads_its_own_session_and_group() -> None:
    """Control-C at the terminal is the application's business, and killing the group hits nobody else."""
    async with opened(
        LocalLauncher(), spec(*python("import os; print(os.getpid(), os.getpgid(0), os.getsid(0))"))
    ) as h:
        assert await read_all(h) == f"{h.ident.pid} {h.ident.pid} {h.ident.pid}\n"


async def test_wait_leaves_the_process_unreaped() -> None:
    """Until it is reaped, a dead worker keeps its number, and with it the number of its group."""
    async with opened(LocalLauncher(), spec("true")) as handle:
        assert handle.ident.pid is not None
        await handle.wait()
        await handle.kill()
        assert state(handle.ident.pid) == "Z"
        await handle.reap()
        assert state(handle.ident.pid) == "X"


async def test_a_worker_reaped_by_somebody_else_is_lost_and_its_number_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An application that waits for any child takes the exit away; from then on the number may be anybody's."""
    async with opened(LocalLauncher(), spec("true")) as handle:
        assert handle.ident.pid is not None
        os.waitpid(handle.ident.pid, 0)  # noqa: ASYNC200, ASYNC222  # `true` is over in a moment
        monkeypatch.setattr(os, "killpg", lambda *_: pytest.fail("a number we do not hold was signalled"))
        assert isinstance(await handle.wait(), Lost)
        await handle.kill()
        await handle.reap()


async def test_a_process_that_does_not_die_costs_no_more_than_the_time_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reaping that is cut short closes everything, says so, and answers `Lost`; others who wait learn it too."""
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            handle = await LocalLauncher().open(SLEEPER, nursery)
            told: list[object] = []

            async def ask() -> None:
                told.append(await handle.wait())

            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            with monkeypatch.context() as patch:
                # What SIGKILL does to a process stuck in the kernel.
                patch.setattr(os, "killpg", lambda *_: None)
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await handle.reap()
            assert scope.cancelled_caught
    assert told == [Lost("it did not die of SIGKILL in time")]
    assert await handle.wait() == told[0]
    # The end of the lifeline killed it after all; what remains is the zombie, which is ours to collect here.
    await handle._process.wait()
    assert handle._process.returncode == -signal.SIGKILL


async def test_closing_the_lifeline_kills_the_group() -> None:
    """It is the kernel that does it: an executable that knows nothing of lifelines, stopped, dies with its child."""
    code = (
        "import os, signal, subprocess\n"
        "subprocess.Popen(['sleep', '100'])\n"
        "print('started', flush=True)\n"
        "os.kill(os.getpid(), signal.SIGSTOP)"
    )
    async with opened(LocalLauncher(), spec(*python(code))) as handle:
        assert isinstance(handle, LocalHandle)
        assert await read_line(handle) == "started"
        handle._lifeline.close()
        assert await handle.wait() == Signaled(signal.SIGKILL)
        # The end of the output, which the child had too.
        assert await read_all(handle) == ""


def test_an_application_without_standard_streams_can_start_workers() -> None:
    """With the numbers 0 to 2 free, none of our pipes or sockets gets one: printing must not reach the protocol."""
    done = subprocess.run(
        (sys.executable, "-c", WITHOUT_STREAMS), capture_output=True, timeout=PATIENCE, check=True, cwd=ROOT
    )
    assert done.stdout == b"('exit code 0', b'x', b'1\\n')"


async def test_exits_are_told_apart() -> None:
    """A core dump is a death by signal like any other."""
    async with opened(LocalLauncher(), spec("sh", "-c", "ulimit -c 0; kill -ABRT $$")) as handle:
        assert await handle.wait() == Signaled(signal.SIGABRT)
    async with opened(LocalLauncher(), spec("sh", "-c", "exit 255")) as handle:
        assert await handle.wait() == Exited(255)
