"""What a test tells a `MockPort` to expect and to answer, what it hears from it, and what is left. In virtual time."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import trio_pool
from trio_pool import Exited, PoolConfig, open_pool, open_worker
from trio_pool.bridge import Bridge, Session, builtin
from trio_pool.testing import MockPort

if TYPE_CHECKING:
    from trio.testing import MockClock

    from trio_pool import PoolWorker

pytestmark = pytest.mark.document("F-070")


def over(port: MockPort, **options: object) -> PoolConfig:
    """Return settings for workers of this port."""
    return PoolConfig(launcher=port, **options)  # type: ignore[arg-type]  # whatever the test gives


async def error_of(worker: PoolWorker, command: str, args: dict[str, object] | None = None) -> object:
    """Return the error of a command, None if it has none."""
    return (await worker.send_command(command, args)).error


# -- what is expected --------------------------------------------------------------------------------------------------


async def test_an_expected_command_is_answered_as_told_and_once(autojump_clock: MockClock) -> None:
    """The next such command gets the result, the one after it the usual answer; others are answered as ever."""
    with MockPort() as port:
        port.expect_command("create_program", {"id": "prog_1"})
        port.expect_command("ping", {"status": "odd"})
        async with open_worker(config=over(port)) as worker:
            assert (await worker.send_command("echo", {"value": 1})).result == 1
            assert (await worker.send_command("create_program")).result == {"id": "prog_1"}
            assert (await worker.send_command("ping")).result == {"status": "odd"}
            assert (await worker.send_command("ping")).result["status"] == "ok"


async def test_an_expectation_without_a_result_is_run_as_ever(autojump_clock: MockClock) -> None:
    """Then it says only that the command is to come."""
    with MockPort() as port:
        port.expect_command("echo", args={"value": 3})
        async with open_worker(config=over(port)) as worker:
            assert (await worker.send_command("echo", {"value": 3})).result == 3


async def test_a_command_no_worker_has_can_be_expected(autojump_clock: MockClock) -> None:
    """Its result is what was told, None included."""
    port = MockPort()
    port.expect_command("launch", None)
    async with open_worker(config=over(port)) as worker:
        response = await worker.send_command("launch", {"anything": 1})
        assert (response.success, response.result) == (True, None)
        assert isinstance(await error_of(worker, "launch"), trio_pool.UnknownCommand)


@pytest.mark.parametrize(
    ("error", "kind", "attributes"),
    [
        (trio_pool.InvalidArguments("no"), trio_pool.InvalidArguments, {}),
        (trio_pool.UnknownCommand("no", known=["a"]), trio_pool.UnknownCommand, {"known": ("a",)}),
        (trio_pool.ProgramNotFound("no", program_id="p"), trio_pool.ProgramNotFound, {"program_id": "p"}),
        (trio_pool.Unserializable("no", path="result.a", type_name="T"), trio_pool.Unserializable, {"type_name": "T"}),
        (trio_pool.FrameTooLarge("no", size=2, max_frame=1), trio_pool.FrameTooLarge, {"size": 2, "max_frame": 1}),
        (
            trio_pool.RemoteError("x", type_name="my.Error", remote_message="no", remote_traceback="Traceback: …"),
            trio_pool.RemoteError,
            {"type_name": "my.Error", "message": "no", "remote_traceback": "Traceback: …"},
        ),
        (KeyError("no"), trio_pool.RemoteError, {"type_name": "KeyError", "message": "'no'"}),
    ],
)
async def test_an_expected_error_reaches_the_caller_as_what_it_is(
    autojump_clock: MockClock, error: Exception, kind: type[Exception], attributes: dict[str, object]
) -> None:
    """Errors that workers send keep their class and data; any other is what the command raised."""
    with MockPort() as port:
        port.expect_command("echo", error=error)
        async with open_worker(config=over(port)) as worker:
            got = await error_of(worker, "echo", {"value": 1})
            assert type(got) is kind
            assert {name: getattr(got, name) for name in attributes} == attributes
            assert "no" in str(got)


async def test_other_arguments_than_expected_fail_at_the_caller_and_in_the_verification(
    autojump_clock: MockClock,
) -> None:
    """Both say what was expected and what was seen."""
    port = MockPort()
    port.expect_command("echo", 1, args={"value": 2})
    async with open_worker(config=over(port)) as worker:
        error = await error_of(worker, "echo", {"value": 3})
        assert isinstance(error, trio_pool.RemoteError)
        assert error.type_name == "AssertionError"
        assert "expected echo {'value': 2}; seen: echo {'value': 3} on worker (incarnation 1)" in str(error)
    with pytest.raises(AssertionError, match=r"expected echo \{'value': 2\}; seen: echo \{'value': 3\} on worker"):
        port.verify()


async def test_what_did_not_come_is_reported(autojump_clock: MockClock) -> None:
    """The report has what was expected and what was seen, the latter shortened."""
    port = MockPort()
    port.expect_command("cleanup", worker="pool-7")
    async with open_worker(config=over(port)) as worker:
        for value in range(12):
            await worker.send_command("echo", {"value": value})
    with pytest.raises(AssertionError) as caught:
        port.verify()
    lines = str(caught.value).splitlines()
    assert lines[:4] == [
        "a MockPort saw other commands than were expected:",
        "  expected and not seen: cleanup on pool-7",
        "seen:",
        "  (3 before these)",
    ]
    assert lines[4] == "  echo {'value': 3} on worker (incarnation 1)"
    assert lines[-1] == "  shutdown {} on worker (incarnation 1)"


def test_an_unused_port_that_expected_something_says_that_nothing_came() -> None:
    """No worker was ever started."""
    port = MockPort()
    port.expect_command("ping")
    with pytest.raises(AssertionError, match="seen:\n  nothing"):
        port.verify()


async def test_a_command_before_its_turn_is_answered_and_reported(autojump_clock: MockClock) -> None:
    """The one that was to come first is named."""
    port = MockPort()
    port.expect_command("echo", "first")
    port.expect_command("ping", "second")
    async with open_worker(config=over(port)) as worker:
        assert (await worker.send_command("ping")).result == "second"
        assert (await worker.send_command("echo", {"value": 0})).result == "first"
    with pytest.raises(AssertionError, match="out of order: expected first: echo; seen: ping"):
        port.verify()


async def test_a_sequence_is_strict(autojump_clock: MockClock) -> None:
    """Its commands come in this order with none in between, answered as told; afterwards all is as ever."""
    with MockPort() as port:
        port.expect_sequence(["ping", ("echo", 5), ("launch", "off", {"at": 1})])
        async with open_worker(config=over(port)) as worker:
            assert (await worker.send_command("ping")).result["status"] == "ok"
            assert (await worker.send_command("echo", {"value": 1})).result == 5
            assert (await worker.send_command("launch", {"at": 1})).result == "off"
            assert (await worker.send_command("get_stats")).success


async def test_a_command_that_breaks_a_sequence_fails_at_once(autojump_clock: MockClock) -> None:
    """At the caller and in the verification; the sequence goes on where it was."""
    port = MockPort()
    port.expect_sequence(["ping", "echo"])
    async with open_worker(config=over(port)) as worker:
        error = await error_of(worker, "echo", {"value": 1})
        assert isinstance(error, trio_pool.RemoteError)
        assert "expected next: ping; seen: echo {'value': 1}" in str(error)
        assert await error_of(worker, "ping") is None
        assert await error_of(worker, "echo", {"value": 1}) is None
    with pytest.raises(AssertionError) as caught:
        port.verify()
    assert str(caught.value).count("expected") == 2  # in the heading and once below


async def test_a_worker_s_end_breaks_no_sequence(autojump_clock: MockClock) -> None:
    """What is left of it is reported as not seen, and the worker ends all the same."""
    port = MockPort()
    port.expect_sequence(["ping"])
    async with open_worker(config=over(port)) as worker:
        pass
    assert worker.exit == Exited(0)
    with pytest.raises(AssertionError, match="expected and not seen: ping") as caught:
        port.verify()
    assert "expected next" not in str(caught.value)


async def test_an_expectation_may_be_about_one_worker(autojump_clock: MockClock) -> None:
    """By its worker id, which outlives an incarnation, or by its incarnation; those of others do not count."""
    with MockPort() as port:
        port.expect_command("ping", "from slot 1", worker="pool-1")
        port.expect_sequence([("ping", "from the third")], worker=3)
        async with open_pool(launcher=port, size=2) as pool:
            async with pool.checkout("a") as one, pool.checkout("b") as other:
                by_id = {worker.worker_id: worker for worker in (one, other)}
                assert (await by_id["pool-0"].send_command("ping")).result["status"] == "ok"
                assert (await by_id["pool-1"].send_command("ping")).result == "from slot 1"
                by_id["pool-0"].kill("lease")
                await by_id["pool-0"].dead.wait()
            await trio.sleep(1)
            assert pool.get_pool_status().workers[0].incarnation == 3
            async with pool.checkout() as worker, pool.checkout() as another:
                for each in (worker, another):
                    result = (await each.send_command("ping")).result
                    assert (result == "from the third") == (each.incarnation == 3)


def test_leaving_the_port_verifies_it_unless_the_body_raised() -> None:
    """An error of the body's own is not covered up."""
    with pytest.raises(AssertionError, match="not seen: ping"), MockPort() as port:
        port.expect_command("ping")
    port = MockPort()
    port.expect_command("ping")
    with pytest.raises(KeyError, match="mine"), port:
        raise KeyError("mine")


@pytest.mark.parametrize("wrong", [(), ("a", 1, {}, 2), (1, 2), [7]])
def test_a_sequence_of_what_are_no_commands_is_refused(wrong: tuple[object, ...]) -> None:
    """The mistake is named where it is made."""
    with pytest.raises(ValueError, match="a command of a sequence is a name"):
        MockPort().expect_sequence([wrong])


def test_what_cannot_be_meant_is_refused() -> None:
    """Contradictions and impossible numbers are the test's own mistake."""
    port = MockPort()
    with pytest.raises(ValueError, match="either a result or an error"):
        port.expect_command("ping", 1, error=KeyError())
    with pytest.raises(ValueError, match="times"):
        port.simulate_timeout(times=0)
    with pytest.raises(ValueError, match="seconds"):
        port.simulate_slow_response(-1)
    with pytest.raises(ValueError, match="seconds"):
        port.simulate_slow_response(float("nan"))
    with pytest.raises(ValueError, match="later"):
        port.simulate_crash(after="later")
    with pytest.raises(ValueError, match="chunk"):
        MockPort(chunk=0)
    with pytest.raises(TypeError, match="must be a function"):
        port.command("x", 7)  # type: ignore[arg-type]  # the point
    port.verify()


# -- what is received --------------------------------------------------------------------------------------------------


async def test_the_history_has_every_command_as_it_came(autojump_clock: MockClock) -> None:
    """Who received it, its number, its arguments, its session, and when; the end's shutdown included."""
    port = MockPort()
    async with open_worker(worker_id="w", config=over(port)) as worker:
        await worker.send_command("echo", {"value": 1})
        worker.checkout("s")
        await trio.sleep(5)
        await worker.send_command("list_programs")
    facts = [(each.wire_id, each.command, each.args, each.session, each.at) for each in port.history]
    start = port.history[0].at
    assert facts == [
        (1, "echo", {"value": 1}, None, start),
        (2, "list_programs", {}, "s", start + 5),
        (3, "shutdown", {}, None, start + 5),
    ]
    assert {(each.worker_id, each.incarnation) for each in port.history} == {("w", 1)}
    assert str(port.history[1]) == "list_programs {} in session 's' on w (incarnation 1)"
    assert repr(port) == "<MockPort with 0 workers, 3 commands received>"


# -- commands of the test's own ----------------------------------------------------------------------------------------


async def test_functions_become_commands(autojump_clock: MockClock) -> None:
    """They get their arguments by name, the session if they ask for it; async ones may wait; ours may be replaced."""

    def greet(name: str, excited: bool = False) -> str:
        return f"hello {name}{'!' if excited else ''}"

    def visits(session: Session | None) -> int:
        if session is None:
            return 0
        session.state["visits"] = session.state.get("visits", 0) + 1
        return session.state["visits"]

    async def wait(seconds: float) -> float:
        await trio.sleep(seconds)
        return trio.current_time()

    port = MockPort()
    port.command("greet", greet)
    port.command("visits", visits)
    port.command("wait", wait)
    port.command("ping", lambda: {"status": "mine"})
    async with open_worker(config=over(port)) as worker:
        assert (await worker.send_command("greet", {"name": "x", "excited": True})).result == "hello x!"
        assert "must be str" in str(await error_of(worker, "greet", {"name": 1}))
        assert (await worker.send_command("visits")).result == 0
        worker.checkout("s")
        await worker.send_command("visits")
        assert (await worker.send_command("visits")).result == 2
        now = trio.current_time()
        assert (await worker.send_command("wait", {"seconds": 100}, timeout=200)).result == now + 100
        assert (await worker.send_command("ping")).result == {"status": "mine"}
        assert set(worker_error_known(await error_of(worker, "none"))) > {"greet", "visits", "wait", "echo"}


def worker_error_known(error: object) -> tuple[str, ...]:
    """Return which commands an error says there are."""
    assert isinstance(error, trio_pool.UnknownCommand)
    return error.known


async def test_a_bridge_is_included_with_its_commands(autojump_clock: MockClock) -> None:
    """Its functions run; the program commands it took over from ``builtin`` remain those of memory."""
    bridge = Bridge()
    bridge.include(builtin)

    @bridge.command
    def triple(value: int) -> int:
        return 3 * value

    port = MockPort()
    port.include(bridge)
    async with open_worker(config=over(port)) as worker:
        assert (await worker.send_command("triple", {"value": 2})).result == 6
        worker.checkout("s")
        config = {"function": "no_such_module:f", "signature": "a -> b: int"}
        assert (await worker.send_command("create_program", {"config": config})).success


# -- what is left ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [None, "simulate_timeout", "simulate_crash"])
async def test_nothing_is_left_of_a_pool(autojump_clock: MockClock, fault: str | None) -> None:
    """No task, whether its workers leave, hang, die or are frozen when it is closed."""
    port = MockPort()
    before = trio.lowlevel.current_statistics().tasks_living
    if fault is not None:
        getattr(port, fault)()
    async with open_pool(launcher=port, size=3) as pool:
        with trio.move_on_after(1), suppress(trio_pool.WorkerCrashed):
            await pool.execute_anonymous("sleep", {"duration": 10.0})
        await port.workers[-1].signal(signal.SIGSTOP)
        assert trio.lowlevel.current_statistics().tasks_living > before
    assert trio.lowlevel.current_statistics().tasks_living == before
    assert port.workers == ()


async def test_a_reaped_worker_s_task_is_gone(autojump_clock: MockClock) -> None:
    """It does not outlive the handle, whatever the worker was doing."""
    port = MockPort()
    spec = trio_pool.WorkerSpec(worker_id="w", incarnation=7, argv=("nothing",), env={})
    async with trio.open_nursery() as nursery:
        worker = await port.open(spec, nursery)
        assert repr(worker) == "<MockWorker w incarnation 7 alive>"
        assert len(nursery.child_tasks) == 1
        await worker.signal(signal.SIGSTOP)
        assert repr(worker) == "<MockWorker w incarnation 7 frozen>"
        await worker.reap()
        assert not nursery.child_tasks
        assert repr(worker) == "<MockWorker w incarnation 7 SIGKILL>"


async def test_a_cancelled_opening_leaves_nothing(autojump_clock: MockClock) -> None:
    """Wherever the cancellation falls."""
    before = trio.lowlevel.current_statistics().tasks_living
    for steps in range(30):
        port = MockPort(chunk=20)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cancel_after, steps, scope)
                async with open_pool(launcher=port, size=2) as pool:
                    await pool.execute_anonymous("ping")
        assert port.workers == ()
        assert trio.lowlevel.current_statistics().tasks_living == before


async def cancel_after(steps: int, scope: trio.CancelScope) -> None:
    """Cancel a scope after some steps of the loop."""
    for _ in range(steps):
        await trio.lowlevel.checkpoint()
    scope.cancel()


def test_it_says_which_layers_it_serves() -> None:
    """It has no processes, so it is good for unit and component tests alone."""
    assert MockPort.test_layers == {"unit", "component"}


def test_importing_it_imports_no_test_tools() -> None:
    """Neither pytest nor Hypothesis is needed, nor DSPy for the programs it answers."""
    heavy = {"pytest", "_pytest", "hypothesis", "pytest_trio", "dspy"}
    code = f"import sys, trio_pool.testing; trio_pool.testing.MockPort; print(sorted({heavy!r} & set(sys.modules)))"
    program = [sys.executable, "-I", "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"]
    result = subprocess.run(program, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
