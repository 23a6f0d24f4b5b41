"""What every launcher promises. A new one joins by an entry in `LAUNCHERS`, and in `PROCESSES` if it runs programs."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
import trio
from _leaks import Snapshot, leaks
from _workers import PATIENCE, opened, python, read_all, read_line, spec

from chaos import ChaosLauncher
from trio_pool._core._exits import Exited, Signaled
from trio_pool._process._local import LocalLauncher
from trio_pool.testing import MockPort

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trio_pool._core._exits import Exit
    from trio_pool._process._launcher import Launcher, WorkerHandle

PROCESSES: dict[str, Callable[[], Launcher]] = {"local": LocalLauncher, "chaos": ChaosLauncher}
# Those of the others run no programs: whatever they are told to start waits for the pool to say something.
LAUNCHERS: dict[str, Callable[[], Launcher]] = {
    **PROCESSES,
    "mock": MockPort,
    "chaos over mock": lambda: ChaosLauncher(MockPort()),
}

SLEEPER = spec("sleep", "100")
ECHO = spec(
    *python(
        "import os\n"
        "fd = int(os.environ['TRIO_POOL_FD'])\n"
        "while data := os.read(fd, 65536): os.write(fd, data)\n"
        "print('end')"
    )
)
# Leaves a stopped child behind, which holds nothing of the worker's but its output.
DESERTER = spec(
    *python(
        "import subprocess, os, signal\n"
        "child = subprocess.Popen(['sleep', '100'])\n"
        "os.kill(child.pid, signal.SIGSTOP)\n"
        "print('left', flush=True)\n"
        "os._exit(3)"
    )
)


@pytest.fixture(params=LAUNCHERS)
def launcher(request: pytest.FixtureRequest) -> Launcher:
    return LAUNCHERS[request.param]()


@pytest.fixture(params=PROCESSES)
def processes(request: pytest.FixtureRequest) -> Launcher:
    """Return a launcher that runs what it is told to."""
    return PROCESSES[request.param]()


async def exchange(handle: WorkerHandle, data: bytes) -> bytes:
    """Send ``data`` and return as many bytes of what comes back."""
    transport = handle.transport
    assert transport.send(data) == len(data)
    reply = bytearray()
    buffer = bytearray(65536)
    while len(reply) < len(data):
        await transport.wait_readable()
        count = transport.recv_into(buffer)
        assert count, "the stream ended"
        reply += buffer[:count]
    return bytes(reply)


async def test_bytes_reach_the_worker_and_come_back(processes: Launcher) -> None:
    """The transport connects to the socket whose number the worker finds in its environment."""
    async with opened(processes, ECHO) as handle:
        assert await exchange(handle, b"there and back") == b"there and back"


async def test_closing_the_transport_is_the_end_of_the_stream_for_the_worker(processes: Launcher) -> None:
    """Nobody but the pool holds the pool's end."""
    async with opened(processes, ECHO) as handle:
        handle.transport.close()
        assert await read_all(handle) == "end\n"
        assert await handle.wait() == Exited(0)


async def test_the_worker_s_end_is_the_end_of_the_stream(launcher: Launcher) -> None:
    """Nobody but the worker holds the worker's end: when it is gone, the transport reads 0."""
    async with opened(launcher, SLEEPER) as handle:
        await handle.kill()
        await handle.transport.wait_readable()
        assert handle.transport.recv_into(bytearray(1)) == 0


@pytest.mark.parametrize(
    ("code", "exit"),
    [
        pytest.param("pass", Exited(0), id="ends"),
        pytest.param("import os; os._exit(42)", Exited(42), id="exits"),
        pytest.param("import os, signal; os.kill(os.getpid(), signal.SIGUSR1)", Signaled(signal.SIGUSR1), id="killed"),
    ],
)
async def test_the_exit_is_told_truly_and_for_good(processes: Launcher, code: str, exit: Exit) -> None:  # noqa: A002  # the noun
    """Every waiting task learns how the process ended, and so does whoever asks later, even after the reaping."""
    async with opened(processes, spec(*python(code))) as handle:
        told: list[Exit] = []

        async def ask() -> None:
            told.append(await handle.wait())

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask)
        await handle.reap()
        assert [*told, await handle.wait()] == [exit] * 4


async def test_a_cancelled_wait_changes_nothing(launcher: Launcher) -> None:
    """Whoever stops waiting for the exit takes nothing away from those who go on."""
    async with opened(launcher, SLEEPER) as handle:
        told: list[Exit] = []

        async def ask() -> None:
            told.append(await handle.wait())

        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as scope:
                nursery.start_soon(ask)
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
                await handle.wait()
            with trio.move_on_after(0):
                await handle.wait()
            await handle.kill()
        assert told == [Signaled(signal.SIGKILL)]


async def test_kill_reaches_the_whole_group(processes: Launcher) -> None:
    """SIGKILL reaches the worker's children too; stopped ones are no exception."""
    code = (
        "import subprocess, os, signal\n"
        "children = [subprocess.Popen(['sleep', '100']) for _ in range(2)]\n"
        "os.kill(children[0].pid, signal.SIGSTOP)\n"
        "print('started', flush=True)\n"
        "os.kill(os.getpid(), signal.SIGSTOP)"
    )
    async with opened(processes, spec(*python(code))) as handle:
        assert await read_line(handle) == "started"
        await handle.kill()
        # The end of the output: nobody who inherited it is left.
        assert await read_all(handle) == ""
        assert await handle.wait() == Signaled(signal.SIGKILL)


async def test_terminate_ends_a_worker_that_does_nothing_about_it(launcher: Launcher) -> None:
    """A worker that has not come so far as to finish anything first dies of SIGTERM; even in a cancelled scope."""
    async with opened(launcher, SLEEPER) as handle:
        with trio.CancelScope() as scope:
            scope.cancel()
            await handle.terminate()
        assert await handle.wait() == Signaled(signal.SIGTERM)


async def test_terminate_asks_the_whole_group(processes: Launcher) -> None:
    """SIGTERM reaches the worker's children too, even in a cancelled scope, and is nothing at all after the reaping."""
    async with opened(processes, spec("sh", "-c", "sleep 100 & echo started; exec sleep 100")) as handle:
        assert await read_line(handle) == "started"
        with trio.CancelScope() as scope:
            scope.cancel()
            await handle.terminate()
        assert await read_all(handle) == ""
        assert await handle.wait() == Signaled(signal.SIGTERM)
        await handle.reap()
        await handle.terminate()


async def test_kill_reaches_what_a_dead_worker_left_behind(processes: Launcher) -> None:
    """Between a worker's own death and its reaping, its group can still be killed; its exit stays its own."""
    async with opened(processes, DESERTER) as handle:
        assert await read_line(handle) == "left"
        assert await handle.wait() == Exited(3)
        await handle.kill()
        assert await read_all(handle) == ""
        assert await handle.wait() == Exited(3)


async def test_reap_kills_what_a_dead_worker_left_behind(processes: Launcher, tmp_path: Path) -> None:
    """No worker's group outlives its reaping, even if nobody called kill, and nobody holds the lifeline any more."""
    code = (
        "import os, subprocess, sys\n"
        "os.close(int(os.environ['TRIO_POOL_LIFELINE_FD']))\n"
        "os._exit(os.system(f'(echo; exec sleep 100) > {sys.argv[1]} &'))"
    )
    sign_of_life = tmp_path / "fifo"
    os.mkfifo(sign_of_life)
    fd = os.open(sign_of_life, os.O_RDONLY | os.O_NONBLOCK)
    try:
        async with opened(processes, spec(*python(code), str(sign_of_life))) as handle:
            await trio.lowlevel.wait_readable(fd)
            assert os.read(fd, 1) == b"\n"
            assert await handle.wait() == Exited(0)
            await handle.reap()
            # The end of the stream, which comes when nobody has the other end open any more.
            await trio.lowlevel.wait_readable(fd)
            assert os.read(fd, 1) == b""
    finally:
        os.close(fd)


async def test_kill_never_waits_and_may_be_repeated(launcher: Launcher) -> None:
    """Killing works in a cancelled scope, twice, and is nothing at all after the reaping."""
    async with opened(launcher, SLEEPER) as handle:
        with trio.CancelScope() as scope:
            scope.cancel()
            await handle.kill()
            await handle.kill()
        assert await handle.wait() == Signaled(signal.SIGKILL)
        await handle.kill()
        await handle.reap()
        await handle.kill()
        assert await handle.wait() == Signaled(signal.SIGKILL)


async def test_a_signal_is_for_the_process_alone(processes: Launcher) -> None:
    """Its children hear nothing of it: asked by their parent afterwards, they say so."""
    code = (
        "import os, signal\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2})\n"
        "child = os.fork()\n"
        "if child:\n"
        "    os.write(1, b'ready\\n')\n"
        "    signal.sigwait({signal.SIGUSR1})\n"
        "    os.kill(child, signal.SIGUSR2)\n"
        "    os.wait()\n"
        "else:\n"
        "    signal.sigwait({signal.SIGUSR2})\n"
        "    print('heard it' if signal.SIGUSR1 in signal.sigpending() else 'heard nothing')"
    )
    async with opened(processes, spec(*python(code))) as handle:
        assert await read_line(handle) == "ready"
        await handle.signal(signal.SIGUSR1)
        assert await read_line(handle) == "heard nothing"


async def test_a_signal_to_a_worker_that_has_ended_is_no_error(launcher: Launcher) -> None:
    """Whether it is a zombie or reaped: a race with a worker's own end has no loser."""
    async with opened(launcher, SLEEPER) as handle:
        await handle.signal(signal.SIGUSR1)
        await handle.wait()
        await handle.signal(signal.SIGTERM)
        await handle.reap()
        await handle.signal(signal.SIGTERM)
        assert await handle.wait() == Signaled(signal.SIGUSR1)


async def test_a_cancelled_signal_was_not_sent(launcher: Launcher) -> None:
    """Cancelled means that it did not happen."""
    async with opened(launcher, SLEEPER) as handle:
        with trio.CancelScope() as scope:
            scope.cancel()
            await handle.signal(signal.SIGTERM)
        assert scope.cancelled_caught
        await handle.signal(signal.SIGUSR1)
        assert await handle.wait() == Signaled(signal.SIGUSR1)


async def test_reaping_closes_everything_and_may_be_repeated(launcher: Launcher) -> None:
    """A living worker is killed; after it the transport is closed, and so is the output, where there is one."""
    async with opened(launcher, SLEEPER) as handle:
        await handle.reap()
        await handle.reap()
        assert await handle.wait() == Signaled(signal.SIGKILL)
        if handle.output is not None:
            with pytest.raises(trio.ClosedResourceError):
                await handle.output.receive_some()
        with pytest.raises(trio.ClosedResourceError):
            await handle.transport.wait_readable()
        with pytest.raises(OSError):  # noqa: PT011  # which one is the system's business
            handle.transport.send(b"x")


async def test_two_may_reap_at_once(launcher: Launcher) -> None:
    """The second finds nothing left to do."""
    async with opened(launcher, SLEEPER) as handle, trio.open_nursery() as nursery:
        nursery.start_soon(handle.reap)
        nursery.start_soon(handle.reap)


async def test_the_progress_word_is_the_worker_s_and_survives_it(processes: Launcher) -> None:
    """What the worker stores in its page is what `begun` returns, before and after the worker's end."""
    code = (
        "import mmap, os\n"
        "page = mmap.mmap(int(os.environ['TRIO_POOL_PAGE_FD']), 4096)\n"
        "os.read(int(os.environ['TRIO_POOL_FD']), 1)\n"
        "memoryview(page).cast('Q')[0] = 2**40 + 7\n"
        "print('stored', flush=True)\n"
        "os.read(int(os.environ['TRIO_POOL_FD']), 1)"
    )
    async with opened(processes, spec(*python(code))) as handle:
        if handle.begun is None:
            return  # this launcher offers no page, and says so
        assert handle.begun() == 0
        handle.transport.send(b"x")
        assert await read_line(handle) == "stored"
        assert handle.begun() == 2**40 + 7
        await handle.kill()
        await handle.wait()
        assert handle.begun() == 2**40 + 7
        await handle.reap()
        assert handle.begun() == 2**40 + 7


async def test_a_worker_cannot_take_the_page_away(processes: Launcher) -> None:
    """Shrinking the shared file would make the application's next look at it deadly; the worker is refused."""
    code = "import os\ntry: os.ftruncate(int(os.environ['TRIO_POOL_PAGE_FD']), 0)\nexcept OSError: print('refused')"
    async with opened(processes, spec(*python(code))) as handle:
        if handle.begun is not None:
            assert await read_all(handle) == "refused\n"
            assert handle.begun() == 0


async def test_the_worker_has_the_given_environment_and_directory(processes: Launcher, tmp_path: Path) -> None:
    """The environment of the spec is complete: nothing of the application's is mixed in."""
    code = (
        "import os\n"
        "print(os.getcwd(), sorted(name for name in os.environ if not name.startswith('TRIO_POOL_')), os.environ['A'])"
    )
    given = spec(*python(code), env={"A": "b", "LC_CTYPE": "C.UTF-8"}, cwd=str(tmp_path))
    async with opened(processes, given) as handle:
        assert await read_all(handle) == f"{tmp_path} ['A', 'LC_CTYPE'] b\n"


async def test_a_worker_s_input_is_empty(processes: Launcher) -> None:
    """It never reads what is typed to the application."""
    async with opened(processes, spec("cat")) as handle:
        assert await handle.wait() == Exited(0)


async def test_both_standard_streams_are_the_output(processes: Launcher) -> None:
    """What the worker prints and what it complains about arrive in one stream, in order."""
    async with opened(processes, spec("sh", "-c", "echo one; echo two >&2; echo three")) as handle:
        assert await read_all(handle) == "one\ntwo\nthree\n"


async def test_the_ident_tells_the_incarnation(launcher: Launcher) -> None:
    """The handle says which incarnation it is and where."""
    async with opened(launcher, SLEEPER) as handle:
        assert handle.ident.incarnation == 1
        assert handle.ident.node


@pytest.mark.parametrize("what", ["missing program", "program not executable", "missing directory"])
async def test_a_worker_that_cannot_start_leaves_nothing(processes: Launcher, what: str, tmp_path: Path) -> None:
    """The failure is an `OSError` that names the culprit, and no process or descriptor remains."""
    plain = tmp_path / "plain"
    plain.write_text("")
    bad = {
        "missing program": spec(str(tmp_path / "nowhere")),
        "program not executable": spec(str(plain)),
        "missing directory": spec("true", cwd=str(tmp_path / "nowhere")),
    }[what]
    before = Snapshot.take()
    async with trio.open_nursery() as nursery:
        with pytest.raises(OSError, match=r"nowhere|plain"):
            await processes.open(bad, nursery)
    assert leaks(before) == []


async def test_open_cancelled_at_any_step_leaves_nothing(launcher: Launcher) -> None:
    """Whenever the cancellation comes, there is a handle or there is nothing at all."""
    before = Snapshot.take()
    steps = 0
    finished = False
    with trio.fail_after(PATIENCE):
        while not finished:
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    if steps == 0:
                        scope.cancel()
                    nursery.start_soon(cancel_after, steps, scope)
                    handle = await launcher.open(SLEEPER, nursery)
                    finished = not scope.cancel_called
                    with trio.move_on_after(PATIENCE, shield=True):
                        await handle.reap()
                    nursery.cancel_scope.cancel()
            assert leaks(before) == []
            steps += 1
    assert steps > 1


async def cancel_after(steps: int, scope: trio.CancelScope) -> None:
    for _ in range(steps):
        await trio.lowlevel.checkpoint()
    scope.cancel()
