"""What every worker does that is opened alone: real ones, and those of a `MockPort`, which this makes a verified fake.

The suite goes on in `test_worker_contract_sessions`, `test_worker_contract_programs` and `test_worker_contract_pools`.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from _contract import SUBJECTS, RealWorkers, subject
from _workers import PATIENCE

import trio_pool
from trio_pool import Exited, Health, Outcome, Signaled, WorkerStatus

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from trio.testing import MockClock

    from trio_pool import PoolWorker

pytestmark = pytest.mark.document("F-070")


@pytest.fixture(params=SUBJECTS)
def workers(request: pytest.FixtureRequest) -> RealWorkers:
    return subject(request.param)


@pytest.fixture
def clock(workers: RealWorkers) -> MockClock | None:
    """Return the clock of the test: workers in memory need no real time."""
    return workers.clock()


async def result_of(worker: PoolWorker, command: str, args: Mapping[str, object] | None = None) -> object:
    """Return the result of a command that must succeed."""
    response = await worker.send_command(command, args, PATIENCE)
    assert response.error is None
    return response.result


async def test_a_worker_gets_ready_and_leaves(workers: RealWorkers, clock: MockClock | None) -> None:
    """It has the id it was given and no failures; when it is closed it leaves by itself, with exit code 0."""
    async with workers.worker() as worker:
        assert (worker.worker_id, worker.incarnation, worker.status) == ("contract", 1, "ready")
        assert (worker.in_flight, worker.session_id, worker.health_failures) == (0, None, 0)
        assert worker.marks_begun
    assert worker.status is WorkerStatus.DEAD
    assert worker.exit == Exited(0)


@pytest.mark.document("C-01")
async def test_ping_says_who_answers(workers: RealWorkers, clock: MockClock | None) -> None:
    """It is a mapping with ``status: ok`` and the facts of this worker."""
    async with workers.worker() as worker:
        answer = await result_of(worker, "ping")
        assert isinstance(answer, dict)
        assert set(answer) == {"status", "timestamp", "worker_id", "pid", "uptime", "dspy_available"}
        assert (answer["status"], answer["worker_id"], answer["pid"]) == ("ok", "contract", worker.pid)
        assert answer["uptime"] >= 0.0
        assert type(answer["dspy_available"]) is bool


@pytest.mark.document("F-088")
async def test_echo_returns_every_value_that_travels(workers: RealWorkers, clock: MockClock | None) -> None:
    """Values come back as they were sent, in type and in order."""
    values = [None, True, 0, -(2**63), 2**64 - 1, 1.5, "", "ö\n\0", b"\xff", [], [1, [2]], {}, {"a": {"b": None}}]
    async with workers.worker() as worker:
        assert await result_of(worker, "echo", {"value": values}) == values
        for value in values:
            assert await result_of(worker, "echo", {"value": value}) == value


async def test_large_bytes_travel_out_of_band(workers: RealWorkers, clock: MockClock | None) -> None:
    """Bytes of 64 KiB and more arrive as a memoryview, in any number, and in their places; smaller ones as bytes."""
    large, larger = b"a" * 65536, bytes(range(256)) * 8192
    async with workers.worker() as worker:
        echoed = await result_of(worker, "echo", {"value": [large, b"small", {"key": larger}]})
        assert isinstance(echoed, list)
        assert [type(echoed[0]), type(echoed[1]), type(echoed[2]["key"])] == [memoryview, bytes, memoryview]
        assert echoed == [large, b"small", {"key": larger}]


@pytest.mark.document("F-014", "T-08")
async def test_ten_concurrent_echoes_each_get_their_own_reply(workers: RealWorkers, clock: MockClock | None) -> None:
    """Any number of commands may be in flight; replies are matched by id."""
    results: dict[int, object] = {}
    async with workers.worker() as worker, trio.open_nursery() as nursery:

        async def echo(value: int) -> None:
            results[value] = await result_of(worker, "echo", {"value": value})

        for value in range(10):
            nursery.start_soon(echo, value)
    assert results == {value: value for value in range(10)}


@pytest.mark.document("F-088")
async def test_sleeping_occupies_the_worker(workers: RealWorkers, clock: MockClock | None) -> None:
    """One command runs at a time: what is sent behind a sleep is answered behind it, and the sleep takes its time."""
    results: dict[str, object] = {}
    times: list[float] = []
    async with workers.worker() as worker, trio.open_nursery() as nursery:

        async def ask(command: str, args: Mapping[str, object]) -> None:
            results[command] = await result_of(worker, command, args)
            times.append(trio.current_time() - began)

        began = trio.current_time()
        nursery.start_soon(ask, "sleep", {"duration": 0.05})
        await until_in_flight(worker, 1)
        nursery.start_soon(ask, "slow_op", {"duration": 0})
    assert results == {"sleep": None, "slow_op": {"status": "ok", "duration": 0.0}}
    assert min(times) >= 0.05


@pytest.mark.document("C-13")
async def test_an_unknown_command_is_refused(workers: RealWorkers, clock: MockClock | None) -> None:
    """It is not executed, and the error says which commands there are; hidden ones are not among them."""
    async with workers.worker() as worker:
        error = (await worker.send_command("frobnicate", {}, PATIENCE)).error
        assert isinstance(error, trio_pool.UnknownCommand)
        assert error.outcome is Outcome.NOT_EXECUTED
        assert {"ping", "add", "create_program", "configure_lm", "get_session_data"} < set(error.known)
        assert not [name for name in error.known if name.startswith("_")]
        assert worker.handle.begun is not None
        assert worker.handle.begun() == 0


@pytest.mark.parametrize(
    ("command", "args", "says"),
    [
        ("add", {}, "missing argument 'left'"),
        ("add", {"left": 1, "middle": 2}, "unknown argument 'middle'"),
        ("add", {"left": "1"}, "'left' must be int, not str"),
        ("add", {"left": True}, "'left' must be int, not bool"),
        ("add", {"left": 1.0}, "'left' must be int, not float"),
        ("halve", {"value": "x"}, "'value' must be float or None, not str"),
        ("sleep", {"duration": None}, "'duration' must be float, not NoneType"),
        ("recall", {}, "needs a session"),
        ("recall", {"session": 1}, "unknown argument 'session'"),
        ("join", {"first": 1}, "'first' must be str, not int"),
        ("join", {"first": "a", "third": 1}, "'third' must be str, not int"),
    ],
)
async def test_arguments_that_do_not_fit_are_refused(
    workers: RealWorkers, clock: MockClock | None, command: str, args: dict[str, object], says: str
) -> None:
    """The error names the parameter; the function was not entered, and nothing was begun."""
    async with workers.worker() as worker:
        error = (await worker.send_command(command, args, PATIENCE)).error
        assert isinstance(error, trio_pool.InvalidArguments)
        assert says in str(error)
        assert error.outcome is Outcome.NOT_EXECUTED
        assert worker.handle.begun is not None
        assert worker.handle.begun() == 0


async def test_arguments_reach_parameters_of_every_kind(workers: RealWorkers, clock: MockClock | None) -> None:
    """By position only, by name only, with a default, and the rest; an int becomes a float where one is wanted."""
    async with workers.worker() as worker:
        assert await result_of(worker, "add", {"left": 1}) == 2
        assert await result_of(worker, "add", {"left": 1, "right": 4}) == 5
        assert await result_of(worker, "halve", {"value": 3}) == 1.5
        assert await result_of(worker, "halve", {"value": None}) == 0.0
        assert await result_of(worker, "spell", {"value": 3}) == "3.0"
        assert await result_of(worker, "join", {"first": "a"}) == "ab"
        assert await result_of(worker, "join", {"first": "a", "second": "c", "third": "d"}) == "acd"


async def test_what_a_command_raises_is_its_answer(workers: RealWorkers, clock: MockClock | None) -> None:
    """The error has the type, the message and the traceback; the worker lives and counts it."""
    async with workers.worker() as worker:
        error = (await worker.send_command("fail", {"text": "gone"}, PATIENCE)).error
        assert isinstance(error, trio_pool.RemoteError)
        assert (error.type_name, error.message, error.outcome) == ("LookupError", "gone", Outcome.EXECUTED)
        assert "LookupError: gone" in error.remote_traceback
        assert "fail" in error.remote_traceback
        error = (await worker.send_command("fail_badly", {}, PATIENCE)).error
        assert isinstance(error, trio_pool.RemoteError)
        assert error.message == "lone surrogate \\udc80"
        assert (await result_of(worker, "add", {"left": 1}), worker.stats.errors) == (2, 2)


async def test_no_command_can_claim_that_it_did_not_run(workers: RealWorkers, clock: MockClock | None) -> None:
    """An error of the library's own that a command raises is that command's error."""
    async with workers.worker() as worker:
        error = (await worker.send_command("pretend", {}, PATIENCE)).error
        assert isinstance(error, trio_pool.RemoteError)
        assert (error.outcome, error.message) == (Outcome.EXECUTED, "never ran")
        assert error.type_name.endswith(".InvalidArguments")


async def test_a_result_that_cannot_travel_is_an_error_and_the_worker_lives(
    workers: RealWorkers, clock: MockClock | None
) -> None:
    """The command has run; the error says where in its result the value stands, or how large it is."""
    async with workers.worker(max_frame=100_000) as worker:
        error = (await worker.send_command("unserializable", {}, PATIENCE)).error
        assert isinstance(error, trio_pool.Unserializable)
        assert (error.path, error.type_name, error.outcome) == ("result.rows[1]", "object", Outcome.EXECUTED)
        error = (await worker.send_command("produce", {"size": 100_001}, PATIENCE)).error
        assert isinstance(error, trio_pool.FrameTooLarge)
        assert (error.max_frame, error.size > 100_000, error.outcome) == (100_000, True, Outcome.EXECUTED)
        assert await result_of(worker, "produce", {"size": 9}) == b"x" * 9


async def test_an_error_too_large_to_be_told_is_told_shortly(workers: RealWorkers, clock: MockClock | None) -> None:
    """Of a long message head and end are kept; in the smallest frames there is room for its first words alone."""
    async with workers.worker() as worker:
        error = (await worker.send_command("fail", {"text": "head" + "x" * 50_000 + "end"}, PATIENCE)).error
        assert isinstance(error, trio_pool.RemoteError)
        assert 16_000 < len(error.message.encode()) <= 16_384
        assert error.message.startswith("headxxx")
        assert error.message.endswith("xxxend")
        assert "cut" in error.message
        assert len(error.remote_traceback.encode()) <= 65_536
    async with workers.worker(max_frame=4096) as worker:
        error = (await worker.send_command("fail", {"text": "gone " * 800}, PATIENCE)).error
        assert isinstance(error, trio_pool.RemoteError)
        assert (error.type_name, error.message, error.remote_traceback) == ("LookupError", "gone " * 20, "")


@pytest.mark.document("F-013", "T-07")
async def test_a_late_reply_reaches_nobody(workers: RealWorkers, clock: MockClock | None, tmp_path: Path) -> None:
    """A timeout leaves the worker running; its late reply is dropped and counted, the next command gets its own."""
    async with workers.worker() as worker:
        with pytest.raises(trio_pool.CommandTimeout):
            await worker.send_command("hold", {"path": str(tmp_path / "now")}, timeout=0.03)
        (tmp_path / "now").touch()
        assert await result_of(worker, "echo", {"value": "mine"}) == "mine"
        assert (worker.stats.stale_replies, worker.in_flight) == (1, 0)


async def test_a_frozen_worker_is_unhealthy_until_it_thaws(workers: RealWorkers, clock: MockClock | None) -> None:
    """Stopped, it reads and answers nothing and loses nothing; continued, it answers all that was asked."""
    async with workers.worker() as worker:
        assert await worker.health_check(PATIENCE) is Health.HEALTHY
        await worker.handle.signal(signal.SIGSTOP)
        assert await worker.health_check(0.03) is Health.UNHEALTHY
        assert await worker.health_check(0.03) is Health.UNHEALTHY
        assert worker.health_failures == 2
        assert worker.handle.begun is not None
        assert worker.handle.begun() == 1
        await worker.handle.signal(signal.SIGCONT)
        assert await worker.health_check(PATIENCE) is Health.HEALTHY
        assert (worker.health_failures, worker.stats.stale_replies, worker.handle.begun()) == (0, 2, 4)


async def test_a_killed_idle_worker_is_dead(workers: RealWorkers, clock: MockClock | None) -> None:
    """What is sent to it then says how it ended, and was not executed; its health is bad, not an exception."""
    async with workers.worker() as worker:
        await worker.handle.signal(signal.SIGKILL)
        await worker.dead.wait()
        assert worker.exit == Signaled(signal.SIGKILL)
        with pytest.raises(trio_pool.WorkerCrashed, match="SIGKILL") as caught:
            await worker.send_command("ping")
        assert (caught.value.outcome, caught.value.exit) == (Outcome.NOT_EXECUTED, Signaled(signal.SIGKILL))
        assert await worker.health_check() is Health.UNHEALTHY


async def test_a_killed_busy_worker_tells_what_had_begun(workers: RealWorkers, clock: MockClock | None) -> None:
    """Of two commands in flight the running one may have been executed, the one behind it certainly was not."""
    outcomes: dict[str, object] = {}
    async with workers.worker() as worker, trio.open_nursery() as nursery:

        async def ask(command: str, args: Mapping[str, object]) -> None:
            with pytest.raises(trio_pool.WorkerCrashed) as caught:
                await worker.send_command(command, args, PATIENCE)
            outcomes[command] = (caught.value.outcome, caught.value.exit, caught.value.reason)

        nursery.start_soon(ask, "sleep", {"duration": 60.0})
        await begun(worker, 1)
        nursery.start_soon(ask, "echo", {"value": 1})
        await trio.testing.wait_all_tasks_blocked()
        await worker.handle.kill()
    killed = Signaled(signal.SIGKILL)
    assert outcomes == {
        "sleep": (Outcome.MAYBE_EXECUTED, killed, "crash"),
        "echo": (Outcome.NOT_EXECUTED, killed, "crash"),
    }


async def test_an_idle_worker_leaves_on_sigterm(workers: RealWorkers, clock: MockClock | None) -> None:
    """It says so and ends by plan, with exit code 0; SIGINT it ignores."""
    async with workers.worker() as worker:
        await worker.handle.signal(signal.SIGINT)
        assert await result_of(worker, "add", {"left": 1}) == 2
        await worker.handle.signal(signal.SIGTERM)
        await worker.dead.wait()
        assert (worker.exit, worker.leaving, worker.end_reason) == (Exited(0), True, "leaving")


async def test_a_busy_worker_finishes_its_command_before_it_leaves(
    workers: RealWorkers, clock: MockClock | None, tmp_path: Path
) -> None:
    """On SIGTERM the running command is answered; the one behind it is not begun."""
    answers: list[object] = []
    async with workers.worker() as worker, trio.open_nursery() as nursery:

        async def ask() -> None:
            answers.append(await result_of(worker, "hold", {"path": str(tmp_path / "now")}))

        async def ask_in_vain() -> None:
            with pytest.raises(trio_pool.WorkerCrashed) as caught:
                await worker.send_command("echo", {"value": 1}, PATIENCE)
            answers.append((caught.value.outcome, caught.value.reason))

        nursery.start_soon(ask)
        await begun(worker, 1)
        nursery.start_soon(ask_in_vain)
        await until_in_flight(worker, 2)
        await worker.handle.signal(signal.SIGTERM)
        (tmp_path / "now").touch()
    assert answers == ["released", (Outcome.NOT_EXECUTED, "leaving")]
    assert worker.exit == Exited(0)


async def test_another_deadly_signal_is_the_exit(workers: RealWorkers, clock: MockClock | None) -> None:
    """A frozen worker dies of it when it is continued, not before."""
    async with workers.worker() as worker:
        await worker.handle.signal(signal.SIGSTOP)
        await worker.handle.signal(signal.SIGUSR1)
        assert not worker.dead.is_set()
        await worker.handle.signal(signal.SIGCONT)
        await worker.dead.wait()
        assert not worker.leaving
    assert worker.exit == Signaled(signal.SIGUSR1)


@pytest.mark.document("F-016")
async def test_terminate_stops_a_willing_worker(workers: RealWorkers, clock: MockClock | None) -> None:
    """It leaves when it is asked."""
    async with workers.worker() as worker:
        await worker.terminate()
        assert (worker.exit, worker.status, worker.end_reason) == (Exited(0), "dead", "shutdown")


@pytest.mark.slow
@pytest.mark.document("F-016")
async def test_terminate_kills_an_unwilling_worker_in_bounded_time(
    workers: RealWorkers, clock: MockClock | None
) -> None:
    """A frozen one hears neither the shutdown nor SIGTERM; SIGKILL needs no consent."""
    async with workers.worker() as worker:
        await worker.handle.signal(signal.SIGSTOP)
        with trio.fail_after(PATIENCE):
            await worker.terminate()
        assert worker.exit == Signaled(signal.SIGKILL)


@pytest.mark.document("C-12")
async def test_shutdown_really_ends_the_worker(workers: RealWorkers, clock: MockClock | None) -> None:
    """The command is answered, the worker leaves by plan, and what was sent behind it was not executed."""
    async with workers.worker() as worker:
        assert await result_of(worker, "shutdown") == {
            "status": "shutting_down",
            "worker_id": "contract",
            "sessions_lost": 0,
        }
        with pytest.raises(trio_pool.WorkerCrashed) as caught:
            await worker.send_command("ping", {}, PATIENCE)
        assert caught.value.outcome is Outcome.NOT_EXECUTED
        assert (worker.exit, worker.leaving) == (Exited(0), True)


@pytest.mark.document("C-12")
async def test_nothing_behind_a_shutdown_is_executed(workers: RealWorkers, clock: MockClock | None) -> None:
    """Not even what was read together with it."""
    outcomes: list[object] = []
    async with workers.worker() as worker, trio.open_nursery() as nursery:

        async def ask(command: str, args: Mapping[str, object]) -> None:
            try:
                outcomes.append((await worker.send_command(command, args, PATIENCE)).success)
            except trio_pool.WorkerCrashed as exc:
                outcomes.append((exc.outcome, exc.reason))

        await worker.handle.signal(signal.SIGSTOP)
        nursery.start_soon(ask, "shutdown", {})
        await until_in_flight(worker, 1)
        nursery.start_soon(ask, "add", {"left": 1})
        await until_in_flight(worker, 2)
        await worker.handle.signal(signal.SIGCONT)
    assert outcomes == [True, (Outcome.NOT_EXECUTED, "leaving")]


@pytest.mark.parametrize("code", [0, 7, 300])
async def test_a_command_that_exits_is_no_plan(workers: RealWorkers, clock: MockClock | None, code: int) -> None:
    """The worker ends with that code, its low eight bits, without a reply and without having announced it."""
    async with workers.worker() as worker:
        with pytest.raises(trio_pool.WorkerCrashed) as caught:
            await worker.send_command("leave", {"code": code}, PATIENCE)
        assert (caught.value.outcome, caught.value.exit) == (Outcome.MAYBE_EXECUTED, Exited(code & 0xFF))
        assert not worker.leaving


@pytest.mark.parametrize("reason", ["spawn", "application"])
async def test_a_worker_that_cannot_start_says_why(workers: RealWorkers, clock: MockClock | None, reason: str) -> None:
    """It is a `WorkerInitFailed` in bounded time, whether there is nothing to start or nothing to load."""
    app, config = workers.that_cannot_start(reason)
    with trio.fail_after(PATIENCE), pytest.raises(trio_pool.WorkerInitFailed) as caught:
        async with trio_pool.open_worker(app, "test_fail", config):
            pytest.fail("it cannot be ready")
    error = caught.value
    assert (error.reason, error.worker_id, error.outcome) == (reason, "test_fail", Outcome.NOT_EXECUTED)
    if reason == "spawn":
        assert isinstance(error.__cause__, FileNotFoundError)
        assert (error.exit, error.remote_traceback) == (None, None)
    else:
        assert "nothing" in str(error)
        assert error.exit == Exited(1)
        assert error.remote_traceback is not None
        assert error.remote_traceback.startswith("Traceback")


async def begun(worker: PoolWorker, wire_id: int) -> None:
    """Wait until the worker has begun a request."""
    assert worker.handle.begun is not None
    with trio.fail_after(PATIENCE):
        while worker.handle.begun() < wire_id:  # noqa: ASYNC110  # a word of shared memory, of which nobody tells
            await trio.sleep(0.002)


async def until_in_flight(worker: PoolWorker, count: int) -> None:
    """Wait until so many commands await their reply."""
    while worker.in_flight < count:
        await trio.lowlevel.checkpoint()
