"""`PoolWorker` as the testing strategy wants it, over workers in memory and on the virtual clock.

Each test is named after its case there. The worker, its codec and its launcher seam are the real ones; only the process
is not.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import trio_pool
from trio_pool import Checkin, Exited, Health, Outcome, PoolConfig, WorkerStatus, open_worker
from trio_pool.testing import MockPort

if TYPE_CHECKING:
    from trio.testing import MockClock

    from trio_pool.testing._mock_worker import MockWorker


def over(port: MockPort) -> PoolConfig:
    """Return settings for workers of this port."""
    return PoolConfig(launcher=port)


# -- init_worker -------------------------------------------------------------------------------------------------------


@pytest.mark.document("T-01", "F-010")
async def test_initializes_worker_with_correct_state(autojump_clock: MockClock) -> None:
    """It keeps the id it was given, is ready, has a living worker behind its handle, and nothing has happened yet."""
    port = MockPort()
    async with open_worker(worker_id="test_1", config=over(port)) as worker:
        assert worker.worker_id == "test_1"
        assert worker.status is WorkerStatus.READY
        assert port.workers == (worker.handle,)
        assert port.workers[0].alive
        assert (worker.session_id, worker.in_flight, worker.last_health_check, worker.health_failures) == (
            None, 0, None, 0,
        )  # fmt: skip
        assert (worker.stats.requests, worker.stats.errors) == (0, 0)
        assert port.history == ()


@pytest.mark.document("T-01", "F-010")
async def test_an_id_is_made_where_none_is_given(autojump_clock: MockClock) -> None:
    """A worker always has a name for logs and errors."""
    async with open_worker(config=over(MockPort())) as worker:
        assert worker.worker_id == "worker"


@pytest.mark.document("T-02", "F-010")
@pytest.mark.parametrize("reason", ["spawn", "application", "timeout"])
async def test_handles_initialization_failure_gracefully(autojump_clock: MockClock, reason: str) -> None:
    """One that cannot be spawned, or loaded, or never gets ready, is a `WorkerInitFailed` that says which."""
    port = MockPort()
    config = over(port)
    if reason == "spawn":
        port.simulate_spawn_failure(FileNotFoundError(2, "No such file or directory"))
    elif reason == "application":
        port.simulate_init_failure("no module named 'app'")
    else:
        config = config.evolve(launcher=_Mute())
    with pytest.raises(trio_pool.WorkerInitFailed) as caught:
        async with open_worker(worker_id="test_fail", config=config):
            pytest.fail("it cannot be ready")
    error = caught.value
    assert (error.worker_id, error.reason, error.outcome) == ("test_fail", reason, Outcome.NOT_EXECUTED)
    assert trio.current_time() == pytest.approx(30 if reason == "timeout" else 0, abs=1.0)
    assert port.workers == ()


class _Mute(MockPort):
    """Starts workers that are frozen before they have said a word."""

    async def open(self, spec: trio_pool.WorkerSpec, nursery: trio.Nursery, /) -> MockWorker:
        worker = await super().open(spec, nursery)
        worker.deliver(signal.SIGSTOP)
        return worker


# -- handle_checkout ---------------------------------------------------------------------------------------------------


@pytest.mark.document("T-03", "F-011")
async def test_binds_worker_to_session_on_checkout(autojump_clock: MockClock) -> None:
    """It is busy for that session, and what is sent goes to that session."""
    port = MockPort()
    async with open_worker(config=over(port)) as worker:
        worker.checkout("user_123")
        assert worker.session_id == "user_123"
        assert worker.status is WorkerStatus.BUSY
        await worker.send_command("ping")
        assert port.history[-1].session == "user_123"


@pytest.mark.document("T-03", "F-011")
async def test_a_checkout_without_a_session_binds_to_none(autojump_clock: MockClock) -> None:
    """It is busy all the same, and no session comes in by sending nothing."""
    port = MockPort()
    async with open_worker(config=over(port)) as worker:
        worker.checkout()
        assert (worker.session_id, worker.status) == (None, "busy")
        with pytest.raises(trio_pool.SessionMismatch):
            worker.checkout("user_123")
        await worker.send_command("ping")
        assert port.history[-1].session is None


@pytest.mark.document("T-04", "F-011", "F-012")
async def test_maintains_session_affinity(autojump_clock: MockClock) -> None:
    """Checked out again by the same session, busy or after a check-in, it is still bound to it, its state intact."""
    async with open_worker(config=over(MockPort())) as worker:
        worker.checkout("user_123")
        worker.checkout("user_123")
        assert (worker.session_id, worker.status) == ("user_123", "busy")
        await worker.send_command("update_session_data", {"operation": "set", "key": "a", "value": 1})
        worker.checkin()
        assert (worker.session_id, worker.status) == ("user_123", "ready")
        worker.checkout("user_123")
        assert worker.session_id == "user_123"
        assert (await worker.send_command("get_session_data")).result["data"] == {"a": 1}


@pytest.mark.document("T-05", "F-011")
async def test_rejects_checkout_for_different_session_when_bound(autojump_clock: MockClock) -> None:
    """The error says whose it is; nothing has changed, and once it is free the other session may have it."""
    async with open_worker(config=over(MockPort())) as worker:
        worker.checkout("user_123")
        with pytest.raises(trio_pool.SessionMismatch, match="user_123") as caught:
            worker.checkout("user_456")
        assert (caught.value.session_id, caught.value.outcome) == ("user_456", Outcome.NOT_EXECUTED)
        assert (worker.session_id, worker.status) == ("user_123", "busy")
        worker.checkin()
        worker.checkout("user_456")
        assert (worker.session_id, worker.status) == ("user_456", "busy")


# -- handle_checkin ----------------------------------------------------------------------------------------------------


@pytest.mark.document("F-012")
async def test_checkin_ok_keeps_the_session_remembered(autojump_clock: MockClock) -> None:
    """The worker is ready, the binding stays, and nothing was sent for it."""
    port = MockPort()
    async with open_worker(config=over(port)) as worker:
        worker.checkout("s")
        await worker.send_command("ping")
        worker.checkin(Checkin.OK)
        assert (worker.session_id, worker.status) == ("s", "ready")
        assert (worker.stats.requests, worker.stats.errors, worker.stats.sessions_cleaned) == (1, 0, 0)
        assert [each.command for each in port.history] == ["ping"]


@pytest.mark.document("F-012")
async def test_checkin_session_cleanup_drops_the_session(autojump_clock: MockClock) -> None:
    """The worker is told to drop its state, before anything that is sent later; it is bound to none and counts it."""
    port = MockPort()
    async with open_worker(config=over(port)) as worker:
        worker.checkout("s")
        await worker.send_command("update_session_data", {"operation": "set", "key": "a", "value": 1})
        worker.checkin("session_cleanup")
        assert (worker.session_id, worker.status, worker.stats.sessions_cleaned) == (None, "ready", 1)
        worker.checkout("s")
        assert (await worker.send_command("get_session_data")).result["data"] == {}
        assert [(each.command, each.args) for each in port.history][1:2] == [("cleanup_session", {"session_id": "s"})]


@pytest.mark.document("F-012")
async def test_checkin_error_is_counted(autojump_clock: MockClock) -> None:
    """The worker is ready again: an error of the work's is no reason to replace the worker."""
    async with open_worker(config=over(MockPort())) as worker:
        for errors in range(1, 20):
            worker.checkout("s")
            worker.checkin("error")
            assert (worker.status, worker.stats.errors) == ("ready", errors)


@pytest.mark.document("F-012", "F-016")
async def test_checkin_close_stops_the_worker(autojump_clock: MockClock) -> None:
    """It is told to shut down, and does; it cannot be checked out any more."""
    port = MockPort()
    async with open_worker(config=over(port)) as worker:
        worker.checkout("s")
        worker.checkin("close")
        assert worker.status is WorkerStatus.STOPPING
        with pytest.raises(trio_pool.IllegalTransition):
            worker.checkout("s")
        await worker.dead.wait()
        assert (worker.status, worker.exit) == ("dead", Exited(0))
        assert [each.command for each in port.history] == ["shutdown"]


@pytest.mark.document("F-012")
async def test_a_wrong_checkin_changes_nothing(autojump_clock: MockClock) -> None:
    """Neither one of a free worker nor one with a result that there is not."""
    async with open_worker(config=over(MockPort())) as worker:
        with pytest.raises(trio_pool.IllegalTransition):
            worker.checkin()
        worker.checkout("s")
        with pytest.raises(ValueError, match="fine"):
            worker.checkin("fine")
        assert (worker.session_id, worker.status) == ("s", "busy")


# -- send_command ------------------------------------------------------------------------------------------------------


@pytest.mark.document("T-06", "F-013")
async def test_sends_command_and_receives_response(autojump_clock: MockClock) -> None:
    """The worker gets the command with its arguments and session; the caller gets exactly what was returned."""
    with MockPort() as port:
        port.expect_command("create_program", {"id": "prog_1"}, args={"config": {"id": "prog_1"}})
        async with open_worker(config=over(port)) as worker:
            worker.checkout("test")
            response = await worker.send_command("create_program", {"config": {"id": "prog_1"}}, 5.0)
            assert (response.id, response.success, response.error) == (1, True, None)
            assert response.result["id"] == "prog_1"
            assert (port.history[0].session, port.history[0].wire_id) == ("test", 1)
            assert worker.stats.requests == 1


@pytest.mark.document("T-06", "F-013")
async def test_a_command_s_own_failure_is_a_response(autojump_clock: MockClock) -> None:
    """It is no exception, and the worker counts it."""
    port = MockPort()
    port.expect_command("ping", error=LookupError("gone"))
    async with open_worker(config=over(port)) as worker:
        response = await worker.send_command("ping")
        assert (response.success, response.result) == (False, None)
        assert isinstance(response.error, trio_pool.RemoteError)
        assert (response.error.type_name, response.error.message) == ("LookupError", "gone")
        assert worker.stats.errors == 1


@pytest.mark.document("T-07", "F-013")
async def test_handles_timeout_correctly(autojump_clock: MockClock) -> None:
    """After exactly its time the command is a `CommandTimeout`; its late reply reaches nobody, and is counted."""
    port = MockPort()
    port.simulate_timeout()
    async with open_worker(config=over(port)) as worker:
        before = trio.current_time()
        with trio.fail_after(10), pytest.raises(trio_pool.CommandTimeout) as caught:
            await worker.send_command("slow_op", {}, 0.1)
        assert trio.current_time() - before == pytest.approx(0.1)
        assert isinstance(caught.value, trio.TooSlowError)
        assert (caught.value.command, caught.value.request_id, caught.value.timeout) == ("slow_op", 1, 0.1)
        assert caught.value.outcome is Outcome.MAYBE_EXECUTED
        assert (worker.status, worker.in_flight) == ("ready", 0)
        port.heal()
        response = await worker.send_command("echo", {"value": "mine"})
        assert (response.id, response.result, worker.stats.stale_replies) == (2, "mine", 1)


@pytest.mark.document("T-07", "F-013")
async def test_the_default_timeout_is_five_seconds(autojump_clock: MockClock) -> None:
    """A command that takes longer has to say so."""
    async with open_worker(config=over(MockPort())) as worker:
        with pytest.raises(trio_pool.CommandTimeout) as caught:
            await worker.send_command("sleep", {"duration": 6})
        assert caught.value.timeout == 5.0
        assert (await worker.send_command("sleep", {"duration": 6}, timeout=20)).success


@pytest.mark.document("T-08", "F-014")
async def test_correlates_requests_and_responses(autojump_clock: MockClock) -> None:
    """Of ten concurrent commands on one worker each gets its own reply.

    On the wire everything is cut into random pieces, and first of all comes the late reply to a command that nobody
    waits for any more.
    """
    results: dict[int, tuple[int, object]] = {}
    port = MockPort(chunk=7, seed=1)
    async with open_worker(config=over(port)) as worker, trio.open_nursery() as nursery:

        async def echo(value: int) -> None:
            response = await worker.send_command("echo", {"value": value}, 5.0)
            results[value] = (response.id, response.result)

        with pytest.raises(trio_pool.CommandTimeout):
            await worker.send_command("slow_op", {"duration": 2.0}, 1.0)
        for value in range(1, 11):
            nursery.start_soon(echo, value)
    assert {value: result for value, (_, result) in results.items()} == {value: value for value in range(1, 11)}
    assert sorted(wire_id for wire_id, _ in results.values()) == list(range(2, 12))
    assert len({each.incarnation for each in port.history}) == 1
    assert worker.stats.stale_replies == 1


@pytest.mark.document("T-08", "F-014")
async def test_ids_are_never_used_again(autojump_clock: MockClock) -> None:
    """Not even that of a command whose reply never came."""
    port = MockPort()
    port.simulate_timeout("slow_op", times=1)
    async with open_worker(config=over(port)) as worker:
        await worker.send_command("ping")
        with pytest.raises(trio_pool.CommandTimeout):
            await worker.send_command("slow_op", {}, 1)
        port.heal()
        assert (await worker.send_command("ping")).id == 3
    assert [each.wire_id for each in port.history] == [1, 2, 3, 4]


# -- health_check ------------------------------------------------------------------------------------------------------


@pytest.mark.document("T-09", "F-015")
async def test_reports_healthy_for_responsive_worker(autojump_clock: MockClock) -> None:
    """It says when it was checked last, by Trio's clock."""
    async with open_worker(config=over(MockPort.healthy())) as worker:
        await trio.sleep(7)
        assert await worker.health_check() is Health.HEALTHY
        assert (worker.last_health_check, worker.health_failures) == (7, 0)


@pytest.mark.document("T-10", "F-015")
async def test_reports_unhealthy_for_unresponsive_worker(autojump_clock: MockClock) -> None:
    """It is a result and no exception; failures in a row are counted, and a good answer ends the row."""
    port = MockPort.unhealthy()
    async with open_worker(config=over(port)) as worker:
        for failures in (1, 2, 3):
            assert await worker.health_check() is Health.UNHEALTHY
            assert (worker.health_failures, worker.last_health_check) == (failures, None)
        assert trio.current_time() == pytest.approx(6)
        port.heal()
        assert await worker.health_check() is Health.HEALTHY
        assert (worker.health_failures, worker.last_health_check) == (0, trio.current_time())


@pytest.mark.document("T-10", "F-015")
@pytest.mark.parametrize("fault", ["error", "garbage", "crash"])
async def test_no_trouble_of_a_worker_leaves_its_health_check(autojump_clock: MockClock, fault: str) -> None:
    """An error reply, bytes that are no protocol and a death are all just bad health."""
    port = MockPort()
    if fault == "error":
        port.expect_command("ping", error=OSError("disk"))
    elif fault == "garbage":
        port.simulate_garbage(b"\xff\xff\xff\xff")
    else:
        port.simulate_crash()
    async with open_worker(config=over(port)) as worker:
        assert await worker.health_check() is Health.UNHEALTHY
        assert worker.health_failures == 1


# -- terminate_worker --------------------------------------------------------------------------------------------------


@pytest.mark.document("F-016")
async def test_terminate_stops_a_willing_worker_at_once(autojump_clock: MockClock) -> None:
    """It is told to shut down and does; no time passes, and nothing is left of it."""
    port = MockPort()
    async with open_worker(config=over(port)) as worker:
        await worker.terminate()
        assert (worker.status, worker.exit, trio.current_time()) == ("dead", Exited(0), 0)
        assert port.workers == ()
        await worker.terminate()


@pytest.mark.document("F-016")
async def test_terminate_asks_again_by_sigterm(autojump_clock: MockClock) -> None:
    """One that answers the shutdown and does not end is sent SIGTERM 0.4 s later, and need not be killed."""
    port = MockPort()
    port.expect_command("shutdown", {"status": "shutting_down"})
    async with open_worker(config=over(port)) as worker:
        await worker.terminate()
        assert worker.exit == Exited(0)
        assert trio.current_time() == pytest.approx(0.4)


@pytest.mark.document("F-016")
async def test_terminate_kills_an_unwilling_worker_step_by_step(autojump_clock: MockClock) -> None:
    """Shutdown, 0.4 s later SIGTERM, 0.4 s later SIGKILL; what it was running fails as stopped."""
    port = MockPort()
    port.simulate_timeout("slow_op")
    errors: list[trio_pool.WorkerCrashed] = []
    async with open_worker(config=over(port)) as worker, trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(trio_pool.WorkerCrashed) as caught:
                await worker.send_command("slow_op", {}, 100)
            errors.append(caught.value)

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        await worker.terminate()
        assert str(worker.exit) == "SIGKILL"
        assert trio.current_time() == pytest.approx(0.8)
    assert [(error.reason, error.outcome) for error in errors] == [("shutdown", Outcome.MAYBE_EXECUTED)]


async def test_a_worker_that_does_not_answer_is_sent_no_more_than_a_thousand_commands(
    autojump_clock: MockClock,
) -> None:
    """Whoever asks on and on is refused, and fills no memory; once it has answered, it is sent commands again."""
    port = MockPort()
    async with open_worker(config=over(port)) as worker:
        port.workers[0].deliver(signal.SIGSTOP)
        async with trio.open_nursery() as nursery:
            for _ in range(1000):
                nursery.start_soon(_in_vain, worker)
        for _ in range(3):
            with pytest.raises(trio_pool.PoolSaturated) as caught:
                await worker.send_command("ping", timeout=0.1)
            assert (caught.value.outcome, caught.value.queued) == (Outcome.NOT_EXECUTED, 1000)
            assert await worker.health_check() is Health.UNHEALTHY
        assert worker.link.owed == 1000
        port.workers[0].deliver(signal.SIGCONT)
        await trio.testing.wait_all_tasks_blocked()
        assert worker.link.owed == 0
        assert (await worker.send_command("ping")).success


async def _in_vain(worker: trio_pool.PoolWorker) -> None:
    with pytest.raises(trio_pool.CommandTimeout):
        await worker.send_command("ping", timeout=0.1)
