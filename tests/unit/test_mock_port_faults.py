"""What a test tells the workers of a `MockPort` to get wrong, and what becomes of it. All of it in virtual time."""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import trio_pool
from trio_pool import Exited, Health, Outcome, PoolConfig, Signaled, open_pool, open_worker
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


async def test_a_healthy_port_answers_and_an_unhealthy_one_does_not(autojump_clock: MockClock) -> None:
    """Both have workers that get ready."""
    async with open_worker(config=over(MockPort.healthy())) as worker:
        assert await worker.health_check() is Health.HEALTHY
    async with open_worker(config=over(MockPort.unhealthy())) as worker:
        assert await worker.health_check() is Health.UNHEALTHY
        assert worker.status == "ready"


async def test_a_silenced_worker_never_answers_again_and_has_to_be_killed(autojump_clock: MockClock) -> None:
    """It has begun the command, hears neither shutdown nor SIGTERM, and dies of SIGKILL in bounded time."""
    port = MockPort()
    port.simulate_timeout("slow_op")
    async with open_worker(config=over(port)) as worker:
        assert await error_of(worker, "ping") is None
        with pytest.raises(trio_pool.CommandTimeout, match="it had begun"):
            await worker.send_command("slow_op", {}, timeout=1000)
        with pytest.raises(trio_pool.CommandTimeout, match="it had not begun"):
            await worker.send_command("ping", {}, timeout=1000)
        before = trio.current_time()
    assert worker.exit == Signaled(signal.SIGKILL)
    assert trio.current_time() - before == pytest.approx(0.8)
    assert [each.command for each in port.history] == ["ping", "slow_op"]


async def test_healing_takes_all_faults_back(autojump_clock: MockClock) -> None:
    """A command that was to take for ever ends at once; its late reply reaches nobody, the next one its caller."""
    port = MockPort()
    port.simulate_timeout()
    port.simulate_slow_response(100)
    async with open_worker(config=over(port)) as worker:
        with pytest.raises(trio_pool.CommandTimeout):
            await worker.send_command("echo", {"value": 1}, timeout=500)
        port.heal()
        before = trio.current_time()
        assert (await worker.send_command("echo", {"value": 2})).result == 2
        assert trio.current_time() == before
        assert worker.stats.stale_replies == 1


async def test_a_slow_worker_takes_exactly_so_much_longer(autojump_clock: MockClock) -> None:
    """Delays add up, and one may be about one command, or happen a number of times."""
    port = MockPort()
    port.simulate_slow_response(10)
    port.simulate_slow_response(5, "echo", times=1)
    taken: list[float] = []
    async with open_worker(config=over(port)) as worker:
        for command in ("ping", "echo", "echo"):
            before = trio.current_time()
            await worker.send_command(command, {"value": 1} if command == "echo" else None, timeout=100)
            taken.append(trio.current_time() - before)
        port.heal()
    assert taken == [10, 15, 10]


async def test_a_delay_may_depend_on_the_command(autojump_clock: MockClock) -> None:
    """A function is asked with each command that comes, and 0 is none."""
    port = MockPort()
    port.simulate_slow_response(lambda received: received.args.get("value", 0), "echo")
    taken: list[float] = []
    async with open_worker(config=over(port)) as worker:
        for value in (3, 0, 7):
            before = trio.current_time()
            await worker.send_command("echo", {"value": value}, timeout=100)
            taken.append(trio.current_time() - before)
    assert taken == [3, 0, 7]


async def test_healing_ends_a_delay_that_has_begun(autojump_clock: MockClock) -> None:
    """The command goes on at once; later ones are not delayed either."""
    port = MockPort()
    port.simulate_slow_response(1000, times=1)
    async with open_worker(config=over(port)) as worker, trio.open_nursery() as nursery:

        async def heal() -> None:
            await trio.sleep(5)
            port.heal()

        nursery.start_soon(heal)
        assert (await worker.send_command("echo", {"value": 1}, timeout=2000)).result == 1
        assert trio.current_time() == 5
        assert (await worker.send_command("ping")).success
        assert trio.current_time() == 5


@pytest.mark.parametrize(
    ("after", "outcome", "says"),
    [("read", Outcome.NOT_EXECUTED, "had not begun"), ("begun", Outcome.MAYBE_EXECUTED, "had begun")],
)
async def test_a_crash_happens_where_it_was_told_to(
    autojump_clock: MockClock, after: str, outcome: Outcome, says: str
) -> None:
    """Before the command is begun or after; only the command it is about is hit."""
    port = MockPort()
    port.simulate_crash(signal.SIGSEGV, after=after, command="echo")
    async with open_worker(config=over(port)) as worker:
        assert await error_of(worker, "ping") is None
        with pytest.raises(trio_pool.WorkerCrashed, match=says) as caught:
            await worker.send_command("echo", {"value": 1})
        assert (caught.value.outcome, caught.value.exit) == (outcome, Signaled(signal.SIGSEGV))


async def test_a_reply_sent_before_the_crash_is_received(autojump_clock: MockClock) -> None:
    """Bytes in the connection outlive their writer."""
    port = MockPort()
    port.simulate_crash(after="reply")
    async with open_worker(config=over(port)) as worker:
        assert (await worker.send_command("echo", {"value": b"x" * 200_000})).result == b"x" * 200_000
        await worker.dead.wait()
        assert worker.exit == Signaled(signal.SIGKILL)


async def test_a_pool_over_crashing_workers_repeats_only_what_was_not_begun(autojump_clock: MockClock) -> None:
    """Twice a worker dies of a request it has only read, and the caller never knows; once it had begun it."""
    port = MockPort()
    port.simulate_crash(after="read", command="echo", times=2)
    async with open_pool(launcher=port, size=2) as pool:
        assert await pool.execute_anonymous("echo", {"value": 7}, checkout_timeout=60) == 7
        assert pool.get_pool_status().metrics.redispatched == 2
        assert len([each for each in port.history if each.command == "echo"]) == 3
        port.simulate_crash(after="begun", command="echo")
        with pytest.raises(trio_pool.WorkerCrashed):
            await pool.execute_anonymous("echo", {"value": 8}, checkout_timeout=60)
        assert len([each for each in port.history if each.args == {"value": 8}]) == 1


async def test_a_crash_by_a_milder_signal_is_what_that_signal_does(autojump_clock: MockClock) -> None:
    """SIGSTOP freezes the worker in the middle of a command; SIGTERM has it leave after it."""
    port = MockPort()
    port.simulate_crash(signal.SIGSTOP, after="begun")
    async with open_worker(config=over(port)) as worker:
        with pytest.raises(trio_pool.CommandTimeout, match="had begun"):
            await worker.send_command("echo", {"value": 1}, timeout=50)
        await port.workers[0].signal(signal.SIGCONT)
        assert (await worker.send_command("echo", {"value": 2})).result == 2
        port.simulate_crash(signal.SIGTERM, after="begun")
        assert (await worker.send_command("echo", {"value": 3})).result == 3
        await worker.dead.wait()
        assert (worker.exit, worker.leaving) == (Exited(0), True)


@pytest.mark.parametrize("data", [b"\xff" * 64, b"\0\0\0\2no", b"\0\0\0\1\x80"])
async def test_garbage_costs_the_worker_that_sent_it(autojump_clock: MockClock, data: bytes) -> None:
    """The command fails as a breach of the protocol; in a pool the next one finds another worker."""
    port = MockPort()
    port.simulate_garbage(data, "echo")
    async with open_pool(launcher=port, size=1) as pool:
        with pytest.raises(trio_pool.ProtocolError) as caught:
            await pool.execute_anonymous("echo", {"value": 1})
        assert caught.value.outcome is Outcome.MAYBE_EXECUTED
        assert await pool.execute_anonymous("echo", {"value": 2}, checkout_timeout=60) == 2


async def test_a_worker_that_cannot_be_spawned_is_a_failed_start(autojump_clock: MockClock) -> None:
    """The error given is the cause; without one it is that of a missing program."""
    port = MockPort()
    mine = PermissionError(13, "not today")
    port.simulate_spawn_failure(mine)
    port.simulate_spawn_failure()
    causes: list[BaseException | None] = []
    for _ in range(2):
        with pytest.raises(trio_pool.WorkerInitFailed) as caught:
            async with open_worker(config=over(port)):
                pytest.fail("it cannot be ready")
        assert caught.value.reason == "spawn"
        causes.append(caught.value.__cause__)
    assert causes[0] is mine
    assert isinstance(causes[1], FileNotFoundError)
    async with open_worker(config=over(port)) as worker:
        assert worker.status == "ready"


async def test_a_pool_gives_up_on_workers_that_cannot_start(autojump_clock: MockClock) -> None:
    """A replacement that fails again and again exceeds the restart intensity, in virtual time."""
    port = MockPort()

    async def use_a_pool() -> None:
        async with open_pool(launcher=port, size=1) as pool:
            port.simulate_init_failure("out of licences", times=None)
            port.simulate_crash()
            with pytest.raises(trio_pool.WorkerCrashed):
                await pool.execute_anonymous("ping")
            await trio.sleep(3600)

    with pytest.raises(trio_pool.RestartIntensityExceeded) as caught:
        await use_a_pool()
    assert "out of licences" in str(caught.value)


async def test_a_failing_start_says_why(autojump_clock: MockClock) -> None:
    """In the words it was given, as the worker's own; and only for the worker that is meant."""
    port = MockPort()
    port.simulate_init_failure("out of licences", worker="w")
    async with open_worker(worker_id="v", config=over(port)):
        pass
    with pytest.raises(trio_pool.WorkerInitFailed, match="RuntimeError: out of licences") as caught:
        async with open_worker(worker_id="w", config=over(port)):
            pytest.fail("it cannot be ready")
    assert (caught.value.reason, caught.value.exit) == ("application", Exited(1))


async def ran_before_it_died(steps: int) -> bool:
    """Kill a worker so many steps of the loop after it was sent a command; return whether it had begun that by then."""
    ran: list[bool] = []

    def run() -> None:
        ran.append(port.workers != ())

    port = MockPort()
    port.command("run", run)
    async with open_worker(config=over(port)) as pool_worker, trio.open_nursery() as nursery:
        [worker_in_memory] = port.workers

        async def ask() -> None:
            with suppress(trio_pool.WorkerCrashed):
                await pool_worker.send_command("run")

        nursery.start_soon(ask)
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        worker_in_memory.deliver(signal.SIGKILL)
        had_run = bool(ran)
        await pool_worker.dead.wait()
    assert ran == [True] * had_run
    assert worker_in_memory.begun() == had_run
    return had_run


async def test_a_dead_worker_does_nothing_more(autojump_clock: MockClock) -> None:
    """Between whichever two of its steps it dies: what it has not begun by then it never does."""
    assert {await ran_before_it_died(steps) for steps in range(25)} == {True, False}


async def test_a_worker_continued_and_killed_at_once_is_dead(autojump_clock: MockClock) -> None:
    """It was frozen on the point of running a command, and does not get to it any more."""
    ran: list[float] = []
    port = MockPort()
    port.command("run", lambda: ran.append(trio.current_time()))
    port.simulate_slow_response(5)
    async with open_worker(config=over(port)) as worker, trio.open_nursery() as nursery:
        [worker_in_memory] = port.workers

        async def ask() -> None:
            with pytest.raises(trio_pool.WorkerCrashed):
                await worker.send_command("run", {}, 100)

        nursery.start_soon(ask)
        await trio.sleep(1)
        worker_in_memory.deliver(signal.SIGSTOP)
        await trio.sleep(10)
        worker_in_memory.deliver(signal.SIGCONT)
        worker_in_memory.deliver(signal.SIGKILL)
        await worker.dead.wait()
    assert not ran
