"""What a pool counts and measures: each number from what really happened, and nothing else in it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import _broadcast_app
import pytest
import trio
import trio.testing
from _pools import APP, kill, obeys_the_law, pid_of, settled
from _workers import PATIENCE

import trio_pool

if TYPE_CHECKING:
    from pathlib import Path

    from trio_pool import PoolEvent, SessionPool, WorkerHandle, WorkerSpec

pytestmark = pytest.mark.slow

QUIET = {"interval": 1000.0}
"""For pools whose health only the test asks for."""


async def until_ended(pool: SessionPool) -> None:
    """Wait until no session is left."""
    with trio.fail_after(PATIENCE):
        while pool.get_sessions():  # noqa: ASYNC110  # expiry has no event
            await trio.sleep(0.005)


@pytest.mark.document("F-025")
def test_uptime_counts_from_ready_to_closed() -> None:
    """Not from the start of the first worker, and no further once all are gone, when there is no clock to ask."""
    pools: list[SessionPool] = []
    ready: list[float] = []

    def hook(event: PoolEvent) -> None:
        if isinstance(event, trio_pool.WorkerReady):
            ready.append(event.at)

    async def main() -> None:
        async with trio_pool.open_pool(size=2, on_event=hook) as pool:
            entered = trio.current_time()
            pools.append(pool)
            await trio.sleep(0.05)
            before = trio.current_time()
            uptime = pool.get_pool_status().uptime
            assert max(ready) <= trio.current_time() - uptime
            assert before - uptime <= entered
            assert uptime >= 0.05

    trio.run(main)
    (pool,) = pools
    assert pool.get_pool_status().uptime == pool.get_pool_status().uptime >= 0.05


@pytest.mark.document("F-025")
async def test_the_status_says_who_is_ready_busy_and_waited_for() -> None:
    """Size, ready, busy, queued and sessions are what they are at that moment."""
    async with trio_pool.open_pool(APP, size=2) as pool, trio.open_nursery() as nursery:
        status = pool.get_pool_status()
        assert (status.size, status.ready, status.busy, status.queued, status.sessions) == (2, 2, 0, 0, 0)
        for number in range(3):
            nursery.start_soon(pool.execute_in_session, str(number), "sleep", {"duration": 0.1})
        await trio.testing.wait_all_tasks_blocked()
        status = pool.get_pool_status()
        assert (status.size, status.ready, status.busy, status.queued, status.sessions) == (2, 2, 2, 1, 3)
        assert (status.metrics.running, status.metrics.queued, status.metrics.total_operations) == (2, 1, 3)
        assert {info.status for info in status.workers} == {"busy"}
        assert len({info.session_id for info in status.workers} & {"0", "1", "2"}) == 2


@pytest.mark.document("F-026")
async def test_sessions_are_counted_once_each_and_their_lengths_averaged() -> None:
    """However often it is used a session is one; the average is of those that have ended."""
    async with trio_pool.open_pool(APP, size=1) as pool:
        assert pool.get_pool_status().metrics.average_session_duration is None
        for name in "abb":
            await pool.execute_in_session(name, "quick", {"n": 1})
        pool.track_session("c")
        assert pool.get_pool_status().metrics.total_sessions == 3
        made = {name: info.created_at for name, info in pool.get_sessions().items()}
        lengths: list[tuple[float, float]] = []
        for name in "ab":
            before = trio.current_time() - made[name]
            await pool.end_session(name)
            lengths.append((before, trio.current_time() - made[name]))
        average = pool.get_pool_status().metrics.average_session_duration
        assert average is not None
        assert sum(before for before, _ in lengths) / 2 <= average <= sum(after for _, after in lengths) / 2
        await pool.execute_in_session("a", "quick", {"n": 1})
        metrics = pool.get_pool_status().metrics
        assert (metrics.total_sessions, metrics.sessions_expired) == (4, 0)
        assert pool.get_pool_status().sessions == 2


@pytest.mark.document("F-026")
async def test_a_refused_request_makes_no_session() -> None:
    """A session nobody ever had is in no count."""
    async with trio_pool.open_pool(APP, size=1, max_queue=0) as pool, trio.open_nursery() as nursery:
        nursery.start_soon(pool.execute_anonymous, "sleep", {"duration": 0.05})
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio_pool.PoolSaturated):
            await pool.execute_in_session("new", "ping")
        metrics = pool.get_pool_status().metrics
        assert (metrics.total_sessions, metrics.average_session_duration, metrics.rejected) == (0, None, 1)


@pytest.mark.document("F-026", "F-032")
async def test_a_session_unused_for_its_ttl_is_ended_in_pool_and_worker(tmp_path: Path) -> None:
    """It is counted, its length ends with its last use, and the worker has dropped its state and run its hooks."""
    notes = tmp_path / "notes"
    async with trio_pool.open_pool("_broadcast_app:sessions", size=1, sessions={"ttl": 0.2}) as pool:
        await pool.execute_in_session("stale", "remember_note", {"path": str(notes)})
        await pool.execute_in_session("stale", "remember_note", {"path": str(notes)})
        info = pool.get_sessions()["stale"]
        assert (await pool.execute_anonymous("get_stats"))["sessions_count"] == 1
        await until_ended(pool)
        assert trio.current_time() >= info.last_used + 0.2
        assert (await pool.execute_anonymous("get_stats"))["sessions_count"] == 0
        assert notes.read_text() == "stale ended\n"
        metrics = pool.get_pool_status().metrics
        assert (metrics.total_sessions, metrics.sessions_expired) == (1, 1)
        assert metrics.average_session_duration == pytest.approx(info.last_used - info.created_at)


@pytest.mark.document("F-032")
async def test_a_session_in_use_does_not_expire() -> None:
    """A request that takes longer than the ttl keeps its session; each use starts the time anew."""
    async with trio_pool.open_pool(APP, size=1, sessions={"ttl": 0.2}) as pool:
        await pool.execute_in_session("s", "remember", {"key": "a", "value": 1})
        await pool.execute_in_session("s", "sleep", {"duration": 0.5})
        assert await pool.execute_in_session("s", "recall") == {"a": 1}
        assert pool.get_pool_status().metrics.sessions_expired == 0
        await until_ended(pool)
        assert pool.get_pool_status().metrics.sessions_expired == 1
        assert await pool.execute_in_session("s", "recall") == {}
        assert pool.get_pool_status().metrics.total_sessions == 2


@pytest.mark.document("F-026")
async def test_pool_timeouts_are_those_that_no_worker_took() -> None:
    """Of what timed out, what waited in vain is told apart from what was sent and did not answer."""
    async with trio_pool.open_pool(APP, size=1, abandon_grace=PATIENCE) as pool, trio.open_nursery() as nursery:
        nursery.start_soon(pool.execute_anonymous, "sleep", {"duration": 0.3})
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio_pool.PoolTimeout):
            await pool.execute_anonymous("ping", checkout_timeout=0.02)
        with pytest.raises(trio_pool.PoolTimeout):
            await pool.execute_anonymous("ping", timeout=0.02)
        with pytest.raises(trio_pool.PoolTimeout):
            await pool.execute_anonymous("ping", timeout=0)
        await settled(pool)
        with pytest.raises(trio_pool.CommandTimeout):
            await pool.execute_anonymous("sleep", {"duration": 0.1}, timeout=0.02)
        metrics = pool.get_pool_status().metrics
        assert (metrics.timed_out, metrics.pool_timeouts) == (4, 3)
        assert obeys_the_law(pool)


@pytest.mark.document("F-026")
async def test_worker_errors_are_the_ends_nobody_planned(tmp_path: Path) -> None:
    """A crash counts, and a kill for silence; leaving on SIGTERM, a kill for a timeout and closing do not."""
    health = {"interval": 1000.0, "timeout": 0.1, "misses": 1}
    async with trio_pool.open_pool(APP, size=1, abandon_grace=0.0, health=health) as pool:

        async def after(count: int) -> int:
            """Return the errors once so many workers have been replaced."""
            with trio.fail_after(PATIENCE):
                while pool.get_pool_status().metrics.restarts < count:  # noqa: ASYNC110  # counted, not told
                    await trio.sleep(0.005)
            await settled(pool)
            return pool.get_pool_status().metrics.worker_errors

        kill(pool.get_pool_status().workers[0], signal.SIGTERM)
        assert await after(1) == 0
        with pytest.raises(trio_pool.CommandTimeout):
            await pool.execute_anonymous("sleep", {"duration": 60.0}, timeout=0.05)
        assert await after(2) == 0
        with pytest.raises(trio_pool.WorkerCrashed):
            await pool.execute_anonymous("die", {"path": str(tmp_path / "notes"), "how": "3"})
        assert await after(3) == 1
        kill(pool.get_pool_status().workers[0], signal.SIGSTOP)
        await pool.health_check()
        assert await after(4) == 2
    assert pool.get_pool_status().metrics.worker_errors == 2


class Faltering:
    """A launcher that can be told to fail."""

    def __init__(self) -> None:
        self.failures = 0
        self._inner = trio_pool.LocalLauncher()

    async def open(self, spec: WorkerSpec, nursery: trio.Nursery, /) -> WorkerHandle:
        """Fail, or start a worker."""
        if self.failures:
            self.failures -= 1
            raise OSError("no more processes")
        return await self._inner.open(spec, nursery)


@pytest.mark.document("F-026")
async def test_a_worker_that_never_gets_ready_is_a_worker_error() -> None:
    """Be it that it cannot be spawned, or that it says that it cannot load its application."""
    launcher = Faltering()
    async with trio_pool.open_pool(APP, size=1, launcher=launcher, restart={"backoff": {"initial": 0.01}}) as pool:
        launcher.failures = 2
        kill(pool.get_pool_status().workers[0], signal.SIGTERM)
        await pool.execute_anonymous("ping", checkout_timeout=PATIENCE)
        assert pool.get_pool_status().metrics.worker_errors == 2


@pytest.mark.document("F-026")
async def test_a_start_cut_short_by_closing_is_no_worker_error(tmp_path: Path) -> None:
    """A pool that closes while a worker starts has nothing to reproach it with."""
    gate = tmp_path / "gate"
    events: list[PoolEvent] = []
    env = {_broadcast_app.GATE: str(gate)}
    async with trio_pool.open_pool("_broadcast_app:bridge", size=1, env=env, on_event=events.append) as pool:
        gate.touch()
        before = pid_of(pool)
        kill(pool.get_pool_status().workers[0])
        with trio.fail_after(PATIENCE):
            while pool.get_pool_status().workers[0].pid in (before, None):  # noqa: ASYNC110  # its spawn has no event
                await trio.sleep(0.005)
    assert pool.get_pool_status().metrics.worker_errors == 1
    ends = [(event.reason, event.planned) for event in events if isinstance(event, trio_pool.WorkerExited)]
    assert ends == [("crash", False), ("shutdown", True)]


@pytest.mark.document("F-026", "F-029")
async def test_the_last_health_check_is_when_it_ended() -> None:
    """None at first; then the time of whichever ended last, a caller's or the pool's own."""
    async with trio_pool.open_pool(APP, size=2, health=QUIET) as pool:
        assert pool.get_pool_status().metrics.last_health_check is None
        before = trio.current_time()
        await pool.health_check()
        first = pool.get_pool_status().metrics.last_health_check
        assert first is not None
        assert before <= first <= trio.current_time()
    async with trio_pool.open_pool(APP, size=1, health={"interval": 0.01}) as pool:
        with trio.fail_after(PATIENCE):
            while pool.get_pool_status().metrics.last_health_check is None:  # noqa: ASYNC110  # no event tells of it
                await trio.sleep(0.005)


@pytest.mark.document("F-029")
async def test_health_says_whether_all_some_or_none_can_serve() -> None:
    """Healthy, degraded, unhealthy, and healthy again after recovery; the details say which worker it is."""
    health = {"interval": 1000.0, "timeout": 0.1, "misses": 1000}
    async with trio_pool.open_pool(APP, size=2, health=health) as pool:
        first, second = pool.get_pool_status().workers
        assert (await pool.health_check()).status == "healthy"
        kill(first, signal.SIGSTOP)
        degraded = await pool.health_check()
        assert (degraded.status, degraded.details["ready"], degraded.details["size"]) == ("degraded", 1, 2)
        assert degraded.details["workers"] == {"pool-0": "degraded", "pool-1": "ready"}
        kill(second, signal.SIGSTOP)
        assert (await pool.health_check()).status == "unhealthy"
        for info in (first, second):
            kill(info, signal.SIGCONT)
        assert (await pool.health_check()).status == "healthy"
        kill(first)
        await settled_anew(pool, 1)
        assert (await pool.health_check()).status == "healthy"
    assert (await pool.health_check()).status == "unhealthy"


async def settled_anew(pool: SessionPool, restarts: int) -> None:
    """Wait until so many workers have been replaced."""
    with trio.fail_after(PATIENCE):
        while pool.get_pool_status().metrics.restarts < restarts:  # noqa: ASYNC110  # counted, not told
            await trio.sleep(0.005)
    await settled(pool)
