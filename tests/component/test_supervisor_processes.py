"""Programs and context managers as children: real processes and signals, on the real clock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio.testing
from _cancelling import cancel_at_each_checkpoint
from _children import Crash, Recorder, leaving

from trio_pool import (
    Child,
    ChildExited,
    ChildOverdue,
    ChildSpec,
    ChildStarted,
    ChildStatus,
    CommandLine,
    Ending,
    Exited,
    HeldOpen,
    ProcessFailed,
    RestartIntensityExceeded,
    RunningProcess,
    Signaled,
    Supervisor,
    open_supervisor,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from trio.testing import MockClock

    from trio_pool import SupervisorEvent

SLEEP = CommandLine(["sleep", "1000"])
LONG = 30.0
"""Seconds nothing here takes; reached only by what hangs."""


def state_of(pid: int) -> str:
    """Return the state of a process as the kernel tells it, or "" if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def pid_of(child: Child) -> int:
    """Return the process id of a child."""
    assert isinstance(child.value, RunningProcess)
    return child.value.pid


class Waiter:
    """An observer with which a test waits for the n-th event of a kind."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.changed = trio.Event()

    def __call__(self, event: SupervisorEvent) -> None:
        self.recorder(event)
        self.changed.set()
        self.changed = trio.Event()

    async def wait(self, kind: type[SupervisorEvent], count: int) -> None:
        """Wait until that many have come."""
        with trio.fail_after(LONG):
            while len(self.recorder.of(kind)) < count:
                await self.changed.wait()


def printing(lines: str) -> CommandLine:
    """Return a Python program that is started as fast as one can be."""
    return CommandLine([sys.executable, "-I", "-S", "-c", lines])


# ------------------------------------------------------------------------------------------------------------ processes


async def test_a_process_is_started_killed_from_outside_and_replaced() -> None:
    """Its value says who it is; a SIGKILL is a crash with its name, and the next one is another process."""
    waiter = Waiter()
    async with open_supervisor(on_event=waiter) as supervisor:
        child = await supervisor.start_child(ChildSpec(id="a", start=SLEEP))
        first = pid_of(child)
        assert child.value == RunningProcess(first, ("sleep", "1000"))
        assert os.getsid(first) == first
        os.kill(first, signal.SIGKILL)
        await waiter.wait(ChildStarted, 2)
        second = pid_of(child)
        assert (state_of(first), second != first) == ("", True)
    assert state_of(second) == ""
    (exited,) = waiter.recorder.of(ChildExited)
    assert isinstance(exited.error, ProcessFailed)
    assert (exited.error.exit, exited.error.pid, exited.error.argv) == (Signaled(9), first, ("sleep", "1000"))
    assert str(exited.error) == f"sleep (process {first}) ended with SIGKILL"
    assert exited.reason is Ending.CRASHED


@pytest.mark.parametrize(("code", "clean"), [(0, True), (3, False), (7, True)])
async def test_exit_codes(code: int, clean: bool) -> None:
    """Only the clean ones are a clean end."""
    waiter = Waiter()
    command = CommandLine(["sh", "-c"], clean_codes=[0, 7])
    async with open_supervisor(on_event=waiter) as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=command, args=(f"exit {code}",), restart="temporary"))
        await waiter.wait(ChildExited, 1)
    (exited,) = waiter.recorder.of(ChildExited)
    assert (exited.error is None) is clean
    if isinstance(exited.error, ProcessFailed):
        assert exited.error.exit == Exited(code)


async def test_a_program_that_does_not_exist_is_a_failed_start() -> None:
    """The OSError is the starter's."""
    async with open_supervisor() as supervisor:
        with pytest.raises(FileNotFoundError):
            await supervisor.start_child(ChildSpec(id="a", start=CommandLine(["./no-such-program"])))


async def test_stopping_asks_first_and_the_end_it_asked_for_is_no_crash(tmp_path: Path) -> None:
    """SIGTERM reaches the whole group, and what a program does in answer to it is done."""
    script = f"trap 'echo stopped > {tmp_path}/said; exit 5' TERM; echo ready > {tmp_path}/ready; sleep 1000 & wait"
    waiter = Waiter()
    async with open_supervisor(on_event=waiter, max_restarts=0) as supervisor:
        child = await supervisor.start_child(ChildSpec(id="a", start=CommandLine(["sh", "-c", script])))
        await appears(tmp_path / "ready")
        await supervisor.terminate_child("a")
        assert child.status is ChildStatus.STOPPED
    assert (tmp_path / "said").read_text() == "stopped\n"
    assert waiter.recorder.names("a")[-1] == "ChildStopped"


async def appears(path: Path) -> None:
    """Wait until another process has made a file; there is no event to wait for."""
    with trio.fail_after(LONG):
        while not path.exists():  # noqa: ASYNC110,ASYNC240  # see above
            await trio.sleep(0.005)


@pytest.mark.parametrize("how", ["ignores SIGTERM", "is stopped"])
async def test_a_process_that_does_not_stop_is_killed(how: str, tmp_path: Path) -> None:
    """After ``shutdown`` seconds, without a warning and without being called overdue."""
    waiter = Waiter()
    trap = "trap '' TERM; " if how == "ignores SIGTERM" else ""
    command = CommandLine(["sh", "-c", f"{trap}echo > {tmp_path}/ready; while :; do sleep 1000; done"])
    async with open_supervisor(on_event=waiter) as supervisor:
        child = await supervisor.start_child(ChildSpec(id="a", start=command, shutdown=0.1))
        await appears(tmp_path / "ready")
        if how == "is stopped":
            os.kill(pid_of(child), signal.SIGSTOP)
            with trio.fail_after(LONG):  # of two signals that wait to be taken SIGTERM would be taken first
                while state_of(pid_of(child)) != "T":  # noqa: ASYNC110  # there is no event for that
                    await trio.sleep(0.005)
        begun = trio.current_time()
        with trio.fail_after(LONG):
            await supervisor.terminate_child("a")
        assert trio.current_time() - begun >= 0.1
        assert state_of(pid_of(child)) == ""
    assert not waiter.recorder.of(ChildOverdue)


async def test_brutal_kill_does_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL is the first signal and the only one."""
    sent: list[int] = []
    killpg = os.killpg

    def recording(group: int, sig: int) -> None:
        sent.append(sig)
        killpg(group, sig)

    monkeypatch.setattr(os, "killpg", recording)
    async with open_supervisor() as supervisor:
        child = await supervisor.start_child(ChildSpec(id="a", start=SLEEP, shutdown="brutal_kill"))
    assert state_of(pid_of(child)) == ""
    assert sent == [signal.SIGKILL]


@pytest.mark.parametrize("by", ["itself", "the supervisor"])
async def test_nothing_of_its_group_survives(by: str, tmp_path: Path) -> None:
    """What a process started goes with it, also when it died by itself."""
    script = f"sleep 1000 & echo $! > {tmp_path}/tmp; mv {tmp_path}/tmp {tmp_path}/pid; wait"
    waiter = Waiter()
    async with open_supervisor(on_event=waiter) as supervisor:
        spec = ChildSpec(id="a", start=CommandLine(["sh", "-c", script]), restart="temporary")
        child = await supervisor.start_child(spec)
        await appears(tmp_path / "pid")
        grandchild = int((tmp_path / "pid").read_text())
        assert state_of(grandchild) != ""
        if by == "itself":
            os.kill(pid_of(child), signal.SIGKILL)
            await waiter.wait(ChildExited, 1)
        else:
            await supervisor.terminate_child("a")
        with trio.fail_after(LONG):  # who adopts it reaps it, in its own time
            while state_of(grandchild) not in ("", "Z"):  # noqa: ASYNC110  # there is no event for that
                await trio.sleep(0.005)


async def test_a_crash_loop_of_processes_gives_up() -> None:
    """The give-up carries how they ended."""
    with leaving(RestartIntensityExceeded) as caught:
        async with open_supervisor(
            children=[ChildSpec(id="a", start=CommandLine(["sh", "-c", "exit 9"]))]
        ) as supervisor:
            await supervisor.wait()
    ends = [error.exit for error in caught.value.errors if isinstance(error, ProcessFailed)]
    assert ends == [Exited(9)] * 4


async def test_cancelled_at_any_checkpoint_no_process_is_left() -> None:
    """Be it while the process is made, runs, or is stopped."""

    async def scenario() -> None:
        async with open_supervisor(children=[ChildSpec(id="a", start=SLEEP)]) as supervisor:
            await supervisor.terminate_child("a")
            await supervisor.restart_child("a")

    assert await cancel_at_each_checkpoint(scenario) > 5  # the fixture looks for processes


async def test_without_a_supervisor_it_is_a_startable_like_any_other() -> None:
    """Trio's own nursery can start it."""
    async with trio.open_nursery() as nursery:
        running = await nursery.start(SLEEP)
        assert isinstance(running, RunningProcess)
        nursery.cancel_scope.cancel()
    assert state_of(running.pid) == ""


async def test_a_process_that_somebody_else_reaped_is_not_signalled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number may be another's by then; the end is unknown, and that is a crash."""
    signalled: list[int] = []
    waiter = Waiter()
    async with open_supervisor(on_event=waiter) as supervisor:
        child = await supervisor.start_child(
            ChildSpec(id="a", start=CommandLine(["sleep", "1000"]), restart="temporary")
        )
        pid = pid_of(child)
        monkeypatch.setattr(os, "killpg", lambda pid, _sig: signalled.append(pid))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)  # noqa: ASYNC200,ASYNC222  # the offence
        await waiter.wait(ChildExited, 1)
    assert signalled == []
    (exited,) = waiter.recorder.of(ChildExited)
    assert "lost" in str(exited.error)


async def test_a_process_reaped_by_somebody_else_just_before_it_is_stopped_is_not_signalled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor if its own task has not noticed yet when it is told to stop it."""
    signalled: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda pid, _sig: signalled.append(pid))
    async with trio.open_nursery() as nursery:
        running = await nursery.start(SLEEP)
        os.kill(running.pid, signal.SIGKILL)
        os.waitpid(running.pid, 0)  # noqa: ASYNC200,ASYNC222  # the offence
        nursery.cancel_scope.cancel()
    assert signalled == []


async def test_too_few_descriptors_leave_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process exists before the descriptor that watches it: if there is none, it is killed."""

    def none_left(_pid: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", none_left)
    async with open_supervisor() as supervisor:
        with pytest.raises(OSError, match="Too many open files"):
            await supervisor.start_child(ChildSpec(id="a", start=SLEEP))


def test_ctrl_c_leaves_no_process() -> None:
    """A KeyboardInterrupt in the application stops and reaps them all."""
    pids: list[int] = []

    async def main() -> None:
        async with open_supervisor(children=[ChildSpec(id=str(n), start=SLEEP) for n in range(2)]) as supervisor:
            pids.extend(pid_of(child) for child in supervisor.which_children())
            trio.lowlevel.spawn_system_task(strike)
            await supervisor.wait()

    async def strike() -> None:  # noqa: ASYNC124  # tasks are async
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            trio.run(main)
    finally:
        signal.signal(signal.SIGINT, before)
    assert [state_of(pid) for pid in pids] == ["", ""]


WRONG: list[Any] = [b"sleep", {"sleep", "5"}, ["sleep", b"5"]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CommandLine("sleep 5"), "argv must be a sequence of strings, not 'sleep 5'; there is no shell"),
        (lambda: CommandLine(WRONG[0]), "argv must be a sequence of strings, not b'sleep'; there is no shell"),
        (lambda: CommandLine(WRONG[1]), "argv must be a sequence of strings, not {"),
        (lambda: CommandLine(WRONG[2]), "argv must be a sequence of strings, the first being the program"),
        (lambda: CommandLine([]), "argv must be a sequence of strings, the first being the program"),
        (lambda: CommandLine(["a"], stdout=subprocess.PIPE), "stdout must not be a pipe"),
        (lambda: CommandLine(["a"], stderr=subprocess.PIPE), "stderr must not be a pipe"),
    ],
)
def test_what_is_no_command_line(make: Any, message: str) -> None:
    """Refused when it is written down, not when it is started."""
    with pytest.raises(ValueError, match=message):
        make()


async def test_a_process_gets_what_it_was_given(tmp_path: Path) -> None:
    """Working directory, environment and outputs as told; its standard input is empty whatever the application has."""
    script = "pwd; echo $WORD; echo trouble >&2; cat; echo end"
    reader, writer = os.pipe()
    usual = os.dup(0)
    os.dup2(reader, 0)
    try:
        with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
            command = CommandLine(["/bin/sh", "-c", script], cwd=tmp_path, env={"WORD": "x"}, stdout=out, stderr=err)
            with trio.fail_after(LONG):
                await command()
    finally:
        os.dup2(usual, 0)
        for descriptor in (usual, reader, writer):
            os.close(descriptor)
    assert (tmp_path / "out").read_text().split() == [str(tmp_path), "x", "end"]
    assert (tmp_path / "err").read_text() == "trouble\n"


async def test_a_cancellation_of_a_command_is_not_swallowed() -> None:
    """Whoever cancelled it learns that it was."""
    with trio.CancelScope() as scope:
        status: Any = SimpleNamespace(started=lambda _: scope.cancel())
        await SLEEP(task_status=status)
    assert scope.cancelled_caught


async def test_only_zero_is_a_clean_code_unless_others_are_given() -> None:
    """As everywhere."""
    await CommandLine(["true"])()
    with pytest.raises(ProcessFailed):
        await CommandLine(["false"])()


async def test_the_stop_signal_may_be_another(tmp_path: Path) -> None:
    """A program that stops by itself at SIGUSR1 gets that, and in time."""
    script = f"trap 'echo > {tmp_path}/told; exit' USR1; echo > {tmp_path}/ready; sleep 1000 & wait"
    command = CommandLine(["sh", "-c", script], stop_signal=signal.SIGUSR1)
    async with open_supervisor() as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=command))
        await appears(tmp_path / "ready")
    assert (tmp_path / "told").exists()


async def test_outside_of_supervision_a_process_has_five_seconds(mock_clock: MockClock, tmp_path: Path) -> None:
    """On a clock that stands still between the jumps: not a moment less, and then it is killed."""
    script = f"trap 'echo > {tmp_path}/told' TERM; echo > {tmp_path}/ready; while :; do sleep 1000 & wait; done"
    async with trio.open_nursery() as nursery:
        running = await nursery.start(CommandLine(["sh", "-c", script]))
        await appears_without_clock(tmp_path / "ready")
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await appears_without_clock(tmp_path / "told")
            mock_clock.jump(4.9)
            await trio.testing.wait_all_tasks_blocked()
            assert state_of(running.pid) != ""
            mock_clock.jump(0.2)
    assert state_of(running.pid) == ""


async def appears_without_clock(path: Path) -> None:
    """Wait until another process has made a file, where Trio's clock does not run."""
    while not path.exists():  # noqa: ASYNC240  # there is no event to wait for
        await trio.to_thread.run_sync(time.sleep, 0.005)


def test_a_command_line_is_a_value() -> None:
    """Equal ones are equal, none of them changes, and beside the program all is given by name."""
    words: Any = ["a", Path("b")]
    assert CommandLine(words) == CommandLine(("a", "b"))
    assert RunningProcess(1, ("a",)) == RunningProcess(1, ("a",))
    assert [field.name for field in attrs.fields(CommandLine) if not field.kw_only] == ["argv"]
    for value in (CommandLine(["a"]), RunningProcess(1, ("a",))):
        with pytest.raises(AttributeError):
            value.argv = ("b",)  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]  # that is the point
    assert CommandLine(["a"]).kill_grace == 2.0


# ----------------------------------------------------------------------------------------------------- context managers


class Resource:
    """A context manager factory that notes what is done with it."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.broken = trio.Event()

    @asynccontextmanager
    async def open(self, name: str) -> AsyncGenerator[str, None]:
        """Open it until it breaks."""
        self.log.append(f"enter {name}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.watch)
            try:
                yield f"<{name}>"
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(1)
                self.log.append(f"leave {name}")
                nursery.cancel_scope.cancel()

    async def watch(self) -> None:
        """Crash when it is broken."""
        await self.broken.wait()
        self.broken = trio.Event()
        raise Crash


async def test_a_context_is_held_open(autojump_clock: MockClock) -> None:
    """Entered by the start, left by the stop, its value the child's; one that fails meanwhile is entered anew."""
    resource = Resource()
    async with open_supervisor() as supervisor:
        child = await supervisor.start_child(ChildSpec(id="a", start=HeldOpen(resource.open), args=("db",)))
        assert (child.value, resource.log) == ("<db>", ["enter db"])
        resource.broken.set()
        await trio.sleep(5)
        assert (child.restarts, resource.log) == (1, ["enter db", "leave db", "enter db"])
    assert resource.log[-1] == "leave db"


async def test_a_context_that_cannot_be_entered_is_a_failed_start() -> None:
    """Its error is the starter's."""

    @asynccontextmanager
    async def broken() -> AsyncGenerator[None, None]:
        await trio.lowlevel.checkpoint()
        raise Crash("no")
        yield

    async with open_supervisor() as supervisor:
        with pytest.raises(Crash, match="no"):
            await supervisor.start_child(ChildSpec(id="a", start=HeldOpen(broken)))


def test_what_cannot_be_held_open_is_refused_when_it_is_written_down() -> None:
    """And the value is one that does not change."""
    with pytest.raises(TypeError, match="callable"):
        HeldOpen(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # that is the point
    held = HeldOpen(Resource().open)
    with pytest.raises(AttributeError):
        held.factory = held.factory  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]  # likewise


async def test_children_of_every_kind_side_by_side(autojump_clock: MockClock) -> None:
    """A function, a startable, and a context in one list, told apart by nobody."""

    async def plain() -> None:
        await trio.sleep_forever()

    async def startable(*, task_status: trio.TaskStatus[int]) -> None:
        task_status.started(1)
        await trio.sleep_forever()

    def names(supervisor: Supervisor) -> list[object]:
        return [child.value for child in reversed(supervisor.which_children())]

    children = [
        ChildSpec(id="plain", start=plain),
        ChildSpec(id="startable", start=startable),
        ChildSpec(id="context", start=HeldOpen(Resource().open), args=("x",)),
    ]
    async with open_supervisor(children=children) as supervisor:
        assert names(supervisor) == [None, 1, "<x>"]
