"""What every worker does about commands that nobody waits for any more, and about async ones; see
`test_worker_contract`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import _contract_cancel_app
import pytest
import trio
import trio.testing
from _contract import SUBJECTS, MockWorkers, RealWorkers, subject
from _workers import PATIENCE

from trio_pool import CommandTimeout, Exited, Outcome, RemoteError, WorkerCrashed
from trio_pool._process._commands import PendingCommand, request
from trio_pool.bridge import Interrupted, Session  # a parameter is annotated with it, which is read at run time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from trio.testing import MockClock

    from trio_pool import PoolWorker

MAX_FRAME = 64 * 2**20


async def hold(path: str) -> str:
    """Do as the command of the application does, in the loop in which this worker lives."""
    _contract_cancel_app.write(f"{path}-begun")
    while not os.path.exists(path):  # noqa: ASYNC110, ASYNC240  # of a file nobody tells; looking at it takes no time
        await trio.sleep(0.002)
    return "released"


async def occupy(path: str) -> None:
    """Do as the command of the application does, in the loop in which this worker lives."""
    _contract_cancel_app.write(f"{path}-begun")
    try:
        await trio.sleep_forever()
    finally:
        _contract_cancel_app.write(path)


async def ask(session: Session, path: str) -> None:
    """Do as the command of the application does, in the loop in which this worker lives."""
    _contract_cancel_app.write(f"{path}-begun")
    try:
        while True:
            session.check()
            await trio.sleep(0.002)
    finally:
        _contract_cancel_app.write(path)


async def ask_in_group(session: Session, path: str) -> None:
    """Do as the command of the application does, in the loop in which this worker lives."""
    try:
        await ask(session, path)
    except Interrupted as exc:
        raise BaseExceptionGroup("a nursery's", [exc]) from None


class Subject:
    """Workers of one kind, with an application that has async commands, or one that has none."""

    def __init__(self, name: str, app: str) -> None:
        self.workers = subject(name)
        self.app = f"_contract_cancel_app:{app}"
        if isinstance(self.workers, MockWorkers):
            port = self.workers.port
            port.include(getattr(_contract_cancel_app, app))
            port.command("hold", hold)
            port.command("occupy", occupy, flags=["interruptible"])
            port.command("ask", ask)
            port.command("ask_in_group", ask_in_group)

    def worker(self, **options: Any) -> Any:
        """Open a worker."""
        return self.workers.worker(self.app, **options)


@pytest.fixture(params=SUBJECTS)
def together(request: pytest.FixtureRequest) -> Subject:
    """Return workers whose application has async commands."""
    return Subject(request.param, "together")


@pytest.fixture(params=[(name, app) for name in SUBJECTS for app in ("plain", "together")], ids="-".join)
def either(request: pytest.FixtureRequest) -> Subject:
    """Return workers whose application has async commands, or none."""
    return Subject(*request.param)


@pytest.fixture
def clock(request: pytest.FixtureRequest) -> MockClock | None:
    """Return the clock of the test: workers in memory need no real time."""
    name = "either" if "either" in request.fixturenames else "together"
    chosen: Subject = request.getfixturevalue(name)
    workers: RealWorkers = chosen.workers
    return workers.clock()


class Sent:
    """A request sent to a worker, and what becomes of it."""

    def __init__(
        self, worker: PoolWorker, command: str, args: Mapping[str, object] | None = None, *, deadline: float = 1e99
    ) -> None:
        self.worker = worker
        self.call = PendingCommand(command)
        session = "s" if command.startswith("ask") else None
        encoded = request(command, args, session, MAX_FRAME, deadline=deadline)
        self.wire_id = worker.link.submit(encoded, self.call)

    async def reply(self) -> dict[str, Any]:
        """Wait for the reply and return it."""
        with trio.fail_after(PATIENCE):
            await self.call.done.wait()
        assert self.call.message is not None
        return self.call.message

    async def error(self) -> tuple[str, object]:
        """Wait for an error reply; return its kind, and whether the command had begun."""
        error = (await self.reply())["error"]
        return error["kind"], error.get("begun")


async def until(path: str) -> None:
    """Wait for a command's trace."""
    with trio.fail_after(PATIENCE):
        while not os.path.exists(path):  # noqa: ASYNC110, ASYNC240  # nobody tells of a file; looking takes no time
            await trio.sleep(0.002)


async def still_serves(worker: PoolWorker) -> bool:
    """Tell whether a worker answers as ever."""
    return (await worker.send_command("echo", {"value": 1}, PATIENCE)).result == 1


def touch(path: str) -> str:
    """Make a file and return its path."""
    _contract_cancel_app.write(path)
    return path


async def test_what_a_worker_comes_to_too_late_it_does_not_begin(
    either: Subject, clock: MockClock | None, tmp_path: Path
) -> None:
    """A request whose deadline has passed is refused, one whose deadline is still to come is run."""
    gate, late, timely = (str(tmp_path / name) for name in ("gate", "late", "timely"))
    async with either.worker() as worker:
        held = Sent(worker, "hold", {"path": gate})
        deadline = trio.current_time() + 0.02
        refused = Sent(worker, "write", {"path": late}, deadline=deadline)
        run = Sent(worker, "write", {"path": timely}, deadline=deadline + 60)
        await trio.sleep_until(deadline + 0.5)  # of the worker's clock this one may be ahead by what a hello takes
        touch(gate)
        assert (await held.reply())["result"] == "released"
        assert await refused.error() == ("expired", None)
        assert (await run.reply())["result"] == "written"
    assert not os.path.exists(late)  # noqa: ASYNC240  # it takes no time


async def test_a_cancelled_command_that_has_not_begun_never_does(
    either: Subject, clock: MockClock | None, tmp_path: Path
) -> None:
    """It is taken back and answered so, those before and behind it are run."""
    gate, never, behind = (str(tmp_path / name) for name in ("gate", "never", "behind"))
    async with either.worker() as worker:
        held = Sent(worker, "hold", {"path": gate})
        back = Sent(worker, "write", {"path": never})
        run = Sent(worker, "write", {"path": behind})
        worker.cancel(back.wire_id)
        await trio.testing.wait_all_tasks_blocked()  # it may take a while until all of it is sent
        touch(gate)
        assert (await held.reply())["result"] == "released"
        assert await back.error() == ("cancelled", False)
        assert (await run.reply())["result"] == "written"
    assert not os.path.exists(never)  # noqa: ASYNC240  # it takes no time


async def test_a_cancelled_plain_command_runs_on(either: Subject, clock: MockClock | None, tmp_path: Path) -> None:
    """A sync command that is not declared otherwise ends by itself, with its own reply."""
    gate = str(tmp_path / "gate")
    async with either.worker() as worker:
        held = Sent(worker, "hold", {"path": gate})
        await until(f"{gate}-begun")
        worker.cancel(held.wire_id)
        worker.doorbell.ring()  # as it does for an interruptible command: this one must not be hit
        behind = Sent(worker, "echo", {"value": 2})
        worker.cancel(10**6)  # of which it knows nothing
        await trio.testing.wait_all_tasks_blocked()
        touch(gate)
        assert (await held.reply())["result"] == "released"
        assert (await behind.reply())["result"] == 2


async def test_an_interruptible_command_is_left_and_its_worker_with_it(
    either: Subject, clock: MockClock | None, tmp_path: Path
) -> None:
    """Its ``finally`` blocks run, it is answered, and the worker ends by plan."""
    path = str(tmp_path / "trace")
    async with either.worker() as worker:
        assert worker.flags["occupy"] == {"interruptible"}
        sent = Sent(worker, "occupy", {"path": path})
        await until(f"{path}-begun")
        worker.cancel(sent.wire_id)
        assert await sent.error() == ("cancelled", True)
        assert os.path.exists(path)  # noqa: ASYNC240  # it takes no time
        with trio.fail_after(PATIENCE):
            await worker.dead.wait()
        assert (worker.leaving, worker.exit) == (True, Exited(0))


async def test_an_interrupt_never_hits_the_next_command(
    either: Subject, clock: MockClock | None, tmp_path: Path
) -> None:
    """The signal for a command that has ended does nothing to the one that runs now."""
    path = str(tmp_path / "trace")
    async with either.worker() as worker:
        for number in range(20):
            sent = Sent(worker, "echo", {"value": number})
            worker.link.cancel(sent.wire_id, worker.doorbell.ring)
            await sent.reply()
        following = Sent(worker, "occupy", {"path": path})
        await until(f"{path}-begun")
        for wire_id in range(1, following.wire_id):
            worker.link.cancel(wire_id)
            worker.doorbell.ring()
            await trio.sleep(0.001)
        assert not following.call.done.is_set()
        worker.cancel(following.wire_id)
        assert await following.error() == ("cancelled", True)


@pytest.mark.parametrize("command", ["ask", "ask_in_group"])
async def test_a_command_that_asks_is_stopped_and_its_worker_serves_on(
    either: Subject, clock: MockClock | None, tmp_path: Path, command: str
) -> None:
    """`Session.check` raises once nobody waits any more, also in a nursery of the command's own."""
    path = str(tmp_path / "trace")
    async with either.worker() as worker:
        sent = Sent(worker, command, {"path": path})
        await until(f"{path}-begun")
        worker.cancel(sent.wire_id)
        assert await sent.error() == ("cancelled", True)
        assert os.path.exists(path)  # noqa: ASYNC240  # it takes no time
        assert await still_serves(worker)


async def test_an_interrupt_of_a_command_s_own_making_is_its_error(either: Subject, clock: MockClock | None) -> None:
    """Nobody has cancelled it."""
    async with either.worker() as worker:
        sent = Sent(worker, "raise_group", {})
        assert await sent.error() == ("remote", None)
        assert await still_serves(worker)


async def test_a_caller_that_gives_up_takes_its_command_along(
    either: Subject, clock: MockClock | None, tmp_path: Path
) -> None:
    """Timed out or cancelled, a command not begun never is; a worker that runs one lives on."""
    gate, never = str(tmp_path / "gate"), str(tmp_path / "never")
    async with either.worker() as worker:
        held = Sent(worker, "hold", {"path": gate})
        with pytest.raises(CommandTimeout) as caught:
            await worker.send_command("write", {"path": never}, 0.02)
        assert caught.value.timeout == 0.02
        with trio.move_on_after(0.02):
            await worker.send_command("write", {"path": never}, PATIENCE)
        await trio.testing.wait_all_tasks_blocked()
        touch(gate)
        assert (await held.reply())["result"] == "released"
        assert await still_serves(worker)
        assert worker.stats.stale_replies == 2
    assert not os.path.exists(never)  # noqa: ASYNC240  # it takes no time


async def test_async_commands_run_at_once_and_beside_a_sync_one(
    together: Subject, clock: MockClock | None, tmp_path: Path
) -> None:
    """As many as ``concurrency`` says; more wait for their turn."""
    gate = str(tmp_path / "gate")
    paths = [str(tmp_path / str(number)) for number in range(3)]
    async with together.worker(concurrency=2) as worker:
        assert worker.flags["insist"] == {"async", "concurrent"}
        held = Sent(worker, "hold", {"path": gate})
        sent = [Sent(worker, "insist", {"path": path}) for path in paths]
        await until(f"{paths[0]}-begun")
        await until(f"{paths[1]}-begun")
        assert not os.path.exists(f"{paths[2]}-begun")  # noqa: ASYNC240  # it takes no time
        touch(gate)
        assert (await held.reply())["result"] == "released"
        assert await still_serves(worker)
        assert not os.path.exists(f"{paths[2]}-begun")  # noqa: ASYNC240  # it takes no time
        touch(paths[1])
        assert (await sent[1].reply())["result"] == "done all the same"
        await until(f"{paths[2]}-begun")
        touch(paths[0])
        touch(paths[2])
        assert [(await each.reply())["success"] for each in sent] == [True] * 3


async def test_a_cancelled_async_command_is_cancelled_and_acknowledged(
    together: Subject, clock: MockClock | None, tmp_path: Path
) -> None:
    """It has begun and is answered when it has ended; one that ends otherwise is answered with what it returned."""
    path, other = str(tmp_path / "linger"), str(tmp_path / "insist")
    async with together.worker(concurrency=2) as worker:
        sent, stubborn = Sent(worker, "linger", {"path": path}), Sent(worker, "insist", {"path": other})
        await until(f"{path}-begun")
        await until(f"{other}-begun")
        assert worker.begun(stubborn.wire_id)
        worker.cancel(stubborn.wire_id)
        worker.cancel(sent.wire_id)
        assert await sent.error() == ("cancelled", True)
        assert os.path.exists(path)  # noqa: ASYNC240  # it takes no time
        touch(other)
        assert (await stubborn.reply())["result"] == "done all the same"
        assert await still_serves(worker)


async def test_an_async_command_that_times_out_is_cancelled(
    together: Subject, clock: MockClock | None, tmp_path: Path
) -> None:
    """A worker used alone, too, is told that nobody waits."""
    path = str(tmp_path / "linger")
    async with together.worker() as worker:
        with pytest.raises(CommandTimeout) as caught:
            await worker.send_command("linger", {"path": path}, 0.5)
        assert caught.value.outcome is Outcome.MAYBE_EXECUTED
        await until(path)
        assert await still_serves(worker)


async def test_an_async_command_fails_as_a_sync_one_does(together: Subject, clock: MockClock | None) -> None:
    """What it raises is its answer, and arguments are checked before it is entered."""
    async with together.worker() as worker:
        error = (await worker.send_command("stumble", {"text": "over there"}, PATIENCE)).error
        assert isinstance(error, RemoteError)
        assert (error.type_name, error.message) == ("LookupError", "over there")
        wrong = (await worker.send_command("stumble", {"text": 3}, PATIENCE)).error
        assert wrong is not None
        assert wrong.outcome is Outcome.NOT_EXECUTED
        assert await still_serves(worker)


async def test_async_commands_have_the_session_too(together: Subject, clock: MockClock | None) -> None:
    """Its state is one, whoever asks."""
    async with together.worker() as worker:
        for expected in ([0], [0, 1]):
            worker.checkout("s")
            response = await worker.send_command("remember", {"value": len(expected) - 1}, PATIENCE)
            assert response.result == expected
            worker.checkin()
        worker.checkout("other")
        assert (await worker.send_command("remember", {"value": 7}, PATIENCE)).result == [7]
        worker.checkin()


async def test_large_replies_of_async_commands_never_mix(together: Subject, clock: MockClock | None) -> None:
    """However long the parent takes to read, each reply arrives whole, and small ones behind it."""
    async with together.worker(concurrency=4) as worker:
        sent = [Sent(worker, "produce", {"size": 3_000_000 + number}) for number in range(4)]
        small = [Sent(worker, "nap", {"seconds": 0, "value": number}) for number in range(4)]
        assert [len((await each.reply())["result"]) for each in sent] == [3_000_000 + number for number in range(4)]
        assert [(await each.reply())["result"] for each in small] == list(range(4))


async def test_an_async_command_that_exits_ends_the_worker(together: Subject, clock: MockClock | None) -> None:
    """With its code, which is no plan; also out of a nursery of its own."""
    async with together.worker() as worker:
        with pytest.raises(WorkerCrashed) as caught:
            await worker.send_command("leave", {"code": 7}, PATIENCE)
        assert (caught.value.exit, caught.value.outcome) == (Exited(7), Outcome.MAYBE_EXECUTED)
        assert not worker.leaving


async def test_a_worker_told_to_leave_finishes_its_async_commands(
    together: Subject, clock: MockClock | None, tmp_path: Path
) -> None:
    """SIGTERM: what runs is answered, and the worker ends by plan."""
    path = str(tmp_path / "insist")
    async with together.worker() as worker:
        sent = Sent(worker, "insist", {"path": path})
        await until(f"{path}-begun")
        await worker.handle.terminate()
        await trio.sleep(0.01)
        touch(path)
        assert (await sent.reply())["result"] == "done all the same"
        with trio.fail_after(PATIENCE):
            await worker.dead.wait()
        assert (worker.leaving, worker.exit) == (True, Exited(0))
