"""One real worker process, used alone."""

from __future__ import annotations

import os
import signal
import sys
import time

import _apps
import pytest
import trio
import trio.testing
from _workers import PATIENCE

import trio_pool
from trio_pool import Checkin, Health, PoolConfig, WorkerStatus

pytestmark = pytest.mark.slow


async def test_a_worker_is_ready_under_its_given_name() -> None:
    """`open_worker` gives a ready worker that keeps the id it was given and has a living process."""
    async with trio_pool.open_worker(worker_id="test_1") as worker:
        assert worker.worker_id == "test_1"
        assert worker.status == "ready"
        assert worker.pid is not None
        assert worker.pid != os.getpid()
        response = await worker.send_command("ping")
        assert response.success
        assert response.result["status"] == "ok"
        assert response.result["pid"] == worker.pid
    assert worker.status is WorkerStatus.DEAD
    assert worker.exit == trio_pool.Exited(0)


async def test_ten_concurrent_commands_on_one_worker_each_get_their_own_reply() -> None:
    """Any number of commands may be in flight; replies are matched by id."""
    results: dict[int, object] = {}
    async with trio_pool.open_worker() as worker, trio.open_nursery() as nursery:

        async def echo(value: int) -> None:
            results[value] = (await worker.send_command("echo", {"value": value}, PATIENCE)).result

        for value in range(10):
            nursery.start_soon(echo, value)
    assert results == {value: value for value in range(10)}


async def test_a_timed_out_command_leaves_the_worker_running_and_its_late_reply_reaches_nobody() -> None:
    """After a timeout a lone worker goes on; the late reply is dropped and counted, the next command gets its own."""
    async with trio_pool.open_worker() as worker:
        with pytest.raises(trio_pool.CommandTimeout) as caught:
            await worker.send_command("sleep", {"duration": 0.3}, timeout=0.05)
        assert caught.value.outcome == "maybe_executed"
        assert isinstance(caught.value, trio.TooSlowError)
        response = await worker.send_command("echo", {"value": "mine"}, PATIENCE)
        assert response.result == "mine"
        assert worker.stats.stale_replies == 1
        assert worker.in_flight == 0


async def test_checkout_binds_a_session_and_refuses_another_while_busy() -> None:
    """The same session may check out again; another one is refused and nothing changes."""
    async with trio_pool.open_worker("_apps:bridge") as worker:
        worker.checkout("user_123")
        assert (worker.session_id, worker.status) == ("user_123", "busy")
        worker.checkout("user_123")
        with pytest.raises(trio_pool.SessionMismatch) as caught:
            worker.checkout("user_456")
        assert caught.value.outcome == "not_executed"
        assert (worker.session_id, worker.status) == ("user_123", "busy")
        await worker.send_command("remember", {"key": "a", "value": 1})
        assert (await worker.send_command("recall")).result == {"a": 1}
        worker.checkin(Checkin.OK)
        assert (worker.session_id, worker.status) == ("user_123", "ready")
        worker.checkout("user_123")
        worker.checkin("session_cleanup")
        assert worker.session_id is None
        worker.checkout("user_123")
        assert (await worker.send_command("recall")).result == {}
        worker.checkin("error")
        assert worker.stats.errors == 1
        worker.checkout()
        worker.checkin("close")
        with trio.fail_after(PATIENCE):
            await worker.dead.wait()
        assert worker.exit == trio_pool.Exited(0)


async def test_health_is_reported_never_raised() -> None:
    """A frozen worker is unhealthy, a thawed one healthy again, a dead one unhealthy."""
    async with trio_pool.open_worker() as worker:
        assert await worker.health_check() is Health.HEALTHY
        assert worker.last_health_check is not None
        await worker.handle.signal(signal.SIGSTOP)
        assert await worker.health_check(0.05) is Health.UNHEALTHY
        assert worker.health_failures == 1
        await worker.handle.signal(signal.SIGCONT)
        assert await worker.health_check(PATIENCE) is Health.HEALTHY
        assert worker.health_failures == 0
        await worker.handle.signal(signal.SIGKILL)
        assert await worker.health_check(PATIENCE) is Health.UNHEALTHY


async def test_a_worker_that_dies_says_how_in_the_error_of_its_command() -> None:
    """WorkerCrashed carries pid, signal by name, the last output and whether the command had begun."""
    async with trio_pool.open_worker("_apps:bridge") as worker:
        await worker.send_command("chatter", {"lines": 1})
        with pytest.raises(trio_pool.WorkerCrashed) as caught:
            await worker.send_command("die", {"path": os.devnull, "how": "segv"}, PATIENCE)
    error = caught.value
    assert (error.pid, str(error.exit), error.outcome) == (worker.pid, "SIGSEGV", "maybe_executed")
    assert "from a child" in error.output_tail
    assert "SIGSEGV" in str(error)
    assert "\n" not in str(error)


async def test_a_reply_in_the_socket_survives_its_writer() -> None:
    """A worker that answers and dies before the reply is read has answered: the loop is blocked meanwhile."""
    async with trio_pool.open_worker("_apps:bridge") as worker, trio.open_nursery() as nursery:
        answers: list[object] = []

        async def ask() -> None:
            answers.append((await worker.send_command("produce", {"size": 200_000}, PATIENCE)).result)

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked(0)
        assert worker.pid is not None
        time.sleep(0.3)  # noqa: ASYNC200, ASYNC251  # the reply comes and the worker is killed while nobody reads
        os.kill(worker.pid, signal.SIGKILL)
        time.sleep(0.1)  # noqa: ASYNC200, ASYNC251  # as above
    assert answers == [b"x" * 200_000]


async def test_a_reply_that_came_while_the_loop_stood_still_beats_the_timeout() -> None:
    """The application's loop is blocked beyond the timeout; the reply was in time and is what the caller gets."""
    async with trio_pool.open_worker() as worker, trio.open_nursery() as nursery:
        answers: list[object] = []

        async def ask() -> None:
            answers.append((await worker.send_command("echo", {"value": 7}, timeout=0.2)).result)

        for _ in range(10):  # the timer and the reader wake in the same moment, in either order
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked(0)
            time.sleep(0.3)  # noqa: ASYNC200, ASYNC251  # the stall itself
    assert answers == [7] * 10


async def test_terminate_is_bounded_whatever_the_worker_does() -> None:
    """A frozen worker with a command in flight is stopped, killed and reaped within two seconds."""
    async with trio_pool.open_worker() as worker, trio.open_nursery() as nursery:
        errors: list[BaseException] = []

        async def sleep() -> None:
            try:
                await worker.send_command("sleep", {"duration": 60.0}, 100)
            except trio_pool.WorkerCrashed as exc:
                errors.append(exc)

        nursery.start_soon(sleep)
        await trio.testing.wait_all_tasks_blocked()
        await worker.handle.signal(signal.SIGSTOP)
        with trio.fail_after(PATIENCE):
            await worker.terminate()
        assert worker.exit == trio_pool.Signaled(signal.SIGKILL)
    assert [error.reason for error in errors if isinstance(error, trio_pool.WorkerCrashed)] == ["shutdown"]


async def test_the_body_error_leaves_open_worker_unchanged() -> None:
    """No group, no copy: the very exception the body raised."""
    mistake = KeyError("mine")
    with pytest.raises(KeyError) as caught:
        async with trio_pool.open_worker():
            raise mistake
    assert caught.value is mistake


def speaks(data: bytes) -> list[str]:
    """Return the command of a worker that says ``data`` and nothing else."""
    code = f"import os, time; os.write(int(os.environ['TRIO_POOL_FD']), {data!r}); time.sleep(600)"
    return [sys.executable, "-c", code]


@pytest.mark.parametrize(
    ("app", "reason", "says"),
    [
        (["/nonexistent/program"], "spawn", "No such file"),
        ("no_such_module:bridge", "application", "no_such_module"),
        ("_apps:no_such_attribute", "application", "no_such_attribute"),
        ("_apps:add", "application", "Bridge"),
        ("_broken_app:bridge", "application", "broken on purpose"),
        ([sys.executable, "-c", "print('bye'); raise SystemExit(0)"], "exit", "exit code 0"),
        ([sys.executable, "-c", "raise SystemExit(3)"], "exit", "exit code 3"),
        (speaks(b"\xff" * 64), "protocol", "max_frame"),
        (speaks(b"\0\0\0\2no"), "protocol", "undecodable"),
        (speaks(b"\0\0\0\2{}"), "protocol", "answered hello"),
    ],
)
async def test_a_worker_that_does_not_start_is_a_typed_error_in_bounded_time(
    app: str | list[str], reason: str, says: str
) -> None:
    """Whatever keeps a worker from being ready is a WorkerInitFailed that says what it was."""
    with trio.fail_after(PATIENCE), pytest.raises(trio_pool.WorkerInitFailed, match=says) as caught:
        async with trio_pool.open_worker(app, "test_fail"):
            pytest.fail("it cannot be ready")
    error = caught.value
    assert (error.reason, error.worker_id, error.outcome) == (reason, "test_fail", "not_executed")
    if reason == "application":
        assert error.remote_traceback
        assert "Traceback" in error.remote_traceback


async def test_a_worker_that_never_gets_ready_is_killed_at_start_timeout() -> None:
    """The start has a limit; the error says it was that, and shows what the worker printed."""
    app = [sys.executable, "-c", "print('still thinking', flush=True); import time; time.sleep(600)"]
    config = PoolConfig(start_timeout=0.5)
    with trio.fail_after(PATIENCE), pytest.raises(trio_pool.WorkerInitFailed, match="start_timeout") as caught:
        async with trio_pool.open_worker(app, config=config):
            pytest.fail("it cannot be ready")
    assert caught.value.reason == "timeout"
    assert caught.value.output_tail == ("still thinking",)
    assert caught.value.exit == trio_pool.Signaled(signal.SIGKILL)


@pytest.mark.parametrize("app", ["nonsense", ":x", "x:", [], [1]])
async def test_a_malformed_app_is_refused_before_anything_starts(app: str | list[str]) -> None:
    """A wrong ``app`` is the caller's mistake: ValueError naming it."""
    with pytest.raises(ValueError, match="app"):
        async with trio_pool.open_worker(app):
            pytest.fail("it cannot be ready")


async def test_oversized_and_unserialisable_arguments_cost_nothing() -> None:
    """What cannot be sent is refused before a byte is; the worker is as before."""
    async with trio_pool.open_worker(config=PoolConfig(max_frame=100_000)) as worker:
        with pytest.raises(trio_pool.FrameTooLarge):
            await worker.send_command("echo", {"value": b"x" * 100_001})
        with pytest.raises(trio_pool.Unserializable) as caught:
            await worker.send_command("echo", {"value": {"when": object()}})
        assert caught.value.path == "args.value.when"
        assert (await worker.send_command("echo", {"value": 1})).result == 1
        assert worker.stats.requests == 1


async def test_cancelling_a_start_at_every_checkpoint_leaves_nothing() -> None:
    """Wherever `open_worker` is cancelled, no process and no descriptor is left (the fixture looks)."""
    for deadline in (0.0, 0.001, 0.003, 0.01, 0.02, 0.03, 0.05):
        with trio.move_on_after(deadline):
            async with trio_pool.open_worker() as worker:
                assert worker.status == "ready"
                await trio.sleep_forever()


async def test_functions_of_the_tests_module_run_by_name() -> None:
    """`_apps.add` is importable in the worker because it has the parent's sys.path."""
    assert _apps.add(1, 2) == 3
    async with trio_pool.open_worker() as worker:
        response = await worker.send_command("__call__", {"function": "_apps:add", "args": [1, 2]})
        assert response.result == 3
