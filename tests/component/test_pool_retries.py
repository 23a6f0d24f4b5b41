"""Retries: idempotent requests whose workers died after they had begun, and what bounds them."""

from __future__ import annotations

import math
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from _apps import notes
from _delivery_app import work_as_function
from _pools import exited, kill, noted, obeys_the_law, pid_of
from _workers import PATIENCE

import trio_pool
from trio_pool import PoolConfig

if TYPE_CHECKING:
    from pathlib import Path

    from trio_pool import PoolEvent, SessionPool

pytestmark = pytest.mark.slow

APP = "_delivery_app:bridge"
AT_ONCE = {"max_restarts": math.inf, "backoff": {"initial": 0.0}}
# After one death the next worker of a slot comes at once, after the second it does not come in any test's time.
ONLY_ONCE = {"max_restarts": math.inf, "backoff": {"initial": 600.0, "maximum": 600.0, "jitter": "none"}}


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


def counts(pool: SessionPool) -> tuple[int, int, int, int]:
    """Return how many were submitted, retried, dispatched again and failed; the law must hold."""
    metrics = pool.get_pool_status().metrics
    assert obeys_the_law(pool)
    return metrics.submitted, metrics.retries, metrics.redispatched, metrics.failed


async def test_an_idempotent_request_is_tried_again_on_another_worker(ledger: Path) -> None:
    """It had begun, its worker died, and its caller gets its result; the other slot's worker takes it at once."""
    events: list[PoolEvent] = []
    async with trio_pool.open_pool(APP, size=2, restart=ONLY_ONCE, on_event=events.append) as pool:
        await exited(pool, 0)
        await exited(pool, 1)
        with trio.fail_after(PATIENCE):  # each slot has one worker left, and a dead one's place stays empty
            args = {"ledger": str(ledger), "token": "a", "deaths": 1}
            assert await pool.execute_anonymous("work", args, idempotent=True) == "a"
        assert notes(ledger) == ["a", "a"]
        assert counts(pool) == (1, 1, 0, 0)
    dispatched = [event for event in events if isinstance(event, trio_pool.RequestDispatched)]
    (retried,) = [event for event in events if isinstance(event, trio_pool.RequestRetried)]
    assert len({event.slot for event in dispatched}) == 2
    assert (retried.request_id, retried.command, retried.retries) == (1, "work", 1)
    assert retried.incarnation == dispatched[0].incarnation
    assert [event.result for event in events if isinstance(event, trio_pool.RequestFinished)] == ["ok"]


async def test_the_next_worker_of_its_own_slot_will_do(ledger: Path) -> None:
    """In a pool of one, the replacement is another worker, and the only one there is."""
    async with trio_pool.open_pool(APP, size=1) as pool:
        before = pid_of(pool)
        args = {"ledger": str(ledger), "token": "a", "deaths": 1}
        assert await pool.execute_anonymous("work", args, idempotent=True) == "a"
        assert pid_of(pool) != before


async def test_what_is_not_declared_idempotent_runs_once(ledger: Path) -> None:
    """At most once is the default, whatever the retry policy allows."""
    async with trio_pool.open_pool(APP, size=2, retry={"max_retries": 5}) as pool:
        with pytest.raises(trio_pool.WorkerCrashed) as caught:
            await pool.execute_anonymous("work", {"ledger": str(ledger), "token": "a", "deaths": 1})
        assert caught.value.outcome == "maybe_executed"
        assert notes(ledger) == ["a"]
        assert counts(pool) == (1, 0, 0, 1)


@pytest.mark.parametrize("how", ["run_sync", "session", "in_session"])
async def test_every_way_to_run_something_can_be_retried(ledger: Path, how: str) -> None:
    """Functions and commands in sessions too."""
    async with trio_pool.open_pool(APP, size=1) as pool:
        args = {"ledger": str(ledger), "token": "a", "deaths": 1}
        if how == "run_sync":
            assert await pool.run_sync(work_as_function, str(ledger), "a", 1, idempotent=True) == "a"
        elif how == "session":
            async with pool.session() as session:
                assert await session.execute("work", args, idempotent=True) == "a"
        else:
            assert await pool.execute_in_session("s", "work", args, idempotent=True) == "a"
        assert counts(pool) == (1, 1, 0, 0)


@pytest.mark.parametrize(
    ("retry", "runs", "error", "says"),
    [
        ({"max_retries": 0}, 1, "WorkerCrashed", "retry.max_retries = 0"),
        ({"max_retries": 1}, 2, "WorkerCrashed", "retry.max_retries = 1"),
        ({"max_retries": 2, "poison_after": 4}, 3, "WorkerCrashed", "that was try 3 of 3"),
        ({"max_retries": 9, "poison_after": 3}, 3, "PoisonRequest", "3 workers died while they ran it"),
        ({"max_retries": 9, "poison_after": 2}, 2, "PoisonRequest", "2 workers died while they ran it"),
        ({"max_retries": 9, "poison_after": 1}, 1, "PoisonRequest", "1 worker died while it ran it"),
        ({"budget": 0.0, "min_budget": 0}, 1, "WorkerCrashed", "retry budget is spent (0 in ten seconds)"),
        ({"max_retries": 9, "budget": 0.0, "min_budget": 1}, 2, "WorkerCrashed", "budget is spent (1 in ten seconds)"),
        ({"max_retries": 9, "budget": 1.0, "min_budget": 0}, 2, "WorkerCrashed", "budget is spent (1 in ten seconds)"),
    ],
)
async def test_every_field_of_the_policy_bounds_the_retries(
    ledger: Path, retry: dict[str, Any], runs: int, error: str, says: str
) -> None:
    """Each stops a request that kills every worker it meets, and the error says which of them it was."""
    async with trio_pool.open_pool(APP, size=1, restart=AT_ONCE, retry=retry) as pool:
        args = {"ledger": str(ledger), "token": "a", "deaths": 99}
        with trio.fail_after(PATIENCE), pytest.raises(trio_pool.WorkerCrashed) as caught:
            await pool.execute_anonymous("work", args, idempotent=True, timeout=math.inf, checkout_timeout=math.inf)
        assert notes(ledger) == ["a"] * runs
        assert type(caught.value).__name__ == error
        assert says in str(caught.value)
        assert caught.value.outcome == "maybe_executed"
        assert counts(pool) == (1, runs - 1, 0, 1)


async def test_a_poison_request_names_the_workers_it_has_cost(ledger: Path) -> None:
    """Who looks for the cause finds which workers died, and how; the other data is the last one's."""
    retry = {"max_retries": 9, "poison_after": 4}
    async with trio_pool.open_pool(APP, size=1, restart=AT_ONCE, retry=retry) as pool:
        args = {"ledger": str(ledger), "token": "a", "deaths": 99}
        with trio.fail_after(PATIENCE), pytest.raises(trio_pool.PoisonRequest) as caught:
            await pool.execute_anonymous("work", args, idempotent=True)
    error = caught.value
    assert (error.workers, [str(exit_) for exit_ in error.exits]) == (("pool-0",) * 4, ["SIGKILL"] * 4)
    assert (error.worker_id, error.incarnation, str(error.exit)) == ("pool-0", 4, "SIGKILL")
    assert str(error).startswith(
        "work: 4 workers died while they ran it, the last: pool-0 with SIGKILL, pool-0 with SIGKILL, pool-0 with"
    )


async def test_a_retried_request_keeps_its_place(ledger: Path) -> None:
    """It runs again before those that were submitted after it."""
    async with trio_pool.open_pool(APP, size=1) as pool, trio.open_nursery() as nursery:

        async def ask(token: str, deaths: int) -> None:
            args = {"ledger": str(ledger), "token": token, "deaths": deaths}
            assert await pool.execute_anonymous("work", args, idempotent=True) == token

        for token in "abc":
            nursery.start_soon(ask, token, "a".count(token))
            await trio.testing.wait_all_tasks_blocked(0)
    assert notes(ledger) == ["a", "a", "b", "c"]


# -------------------------------------------------------------------------------------------------------- in sessions


async def test_a_session_that_never_used_its_state_goes_along(ledger: Path) -> None:
    """The retried request finds it as empty as the first time, and those behind it keep their order."""
    async with trio_pool.open_pool(APP, size=2) as pool, trio.open_nursery() as nursery:
        results: list[object] = []

        async def ask(token: str, deaths: int) -> None:
            args = {"ledger": str(ledger), "token": token, "deaths": deaths}
            results.append(await pool.execute_in_session("s", "work_in", args, idempotent=True))

        for token in "abc":
            nursery.start_soon(ask, token, "a".count(token))
            await trio.testing.wait_all_tasks_blocked(0)
    assert results == ["a", "a b", "a b c"]
    assert notes(ledger) == ["a", "a", "b", "c"]


async def test_a_session_that_had_used_its_state_is_lost_and_nothing_of_it_is_tried_again(ledger: Path) -> None:
    """What the request would find is not what it found: it fails, and so does what waits behind it."""
    async with trio_pool.open_pool(APP, size=2) as pool, trio.open_nursery() as nursery:
        args = {"ledger": str(ledger), "token": "a"}
        assert await pool.execute_in_session("s", "work_in", args, idempotent=True) == "a"
        errors: list[trio_pool.TrioPoolError] = []

        async def ask(token: str) -> None:
            args = {"ledger": str(ledger), "token": token, "deaths": 1}
            with pytest.raises(trio_pool.TrioPoolError) as caught:
                await pool.execute_in_session("s", "work_in", args, idempotent=True)
            errors.append(caught.value)

        for token in "bc":
            nursery.start_soon(ask, token)
            await trio.testing.wait_all_tasks_blocked(0)
    assert notes(ledger) == ["a", "b"]
    lost, crashed = sorted(errors, key=lambda error: type(error).__name__)
    assert (type(lost), lost.outcome) == (trio_pool.SessionLost, "not_executed")
    assert (type(crashed), crashed.outcome) == (trio_pool.WorkerCrashed, "maybe_executed")
    assert "it was not tried again, for the state of its session died with the worker" in str(crashed)


async def test_a_request_of_an_ended_session_is_not_tried_again(ledger: Path) -> None:
    """Ending a session lets what runs finish, but begins nothing anew."""
    async with trio_pool.open_pool(APP, size=1) as pool, trio.open_nursery() as nursery:
        errors: list[trio_pool.WorkerCrashed] = []

        async def ask() -> None:
            args = {"ledger": str(ledger), "token": "a"}
            with pytest.raises(trio_pool.WorkerCrashed) as caught:
                await pool.execute_in_session("s", "work_long", args, idempotent=True)
            errors.append(caught.value)

        nursery.start_soon(ask)
        await noted(ledger, 1)
        await pool.end_session("s")
        kill(pool.get_pool_status().workers[0])
    assert "its session has been ended" in str(errors[0])
    assert notes(ledger) == ["a"]


# --------------------------------------------------------------------------------- waiting again, having begun before


async def waits_again(pool: SessionPool, ledger: Path, *, begun: bool) -> None:
    """Have the request that runs lose its worker, in a pool of one that gets no other in time."""
    if begun:
        await noted(ledger, 1)
    else:
        await trio.testing.wait_all_tasks_blocked()
    with trio.fail_after(PATIENCE), pool.events() as events:
        kill(pool.get_pool_status().workers[0])
        while not isinstance(await events.receive(), trio_pool.RequestRetried | trio_pool.RequestRedispatched):
            pass


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("which", ["timeout", "checkout_timeout", "close", "end_session", "cancel"])
async def test_whatever_ends_the_wait_for_another_worker_the_outcome_is_true(
    ledger: Path, which: str, begun: bool
) -> None:
    """Written once, it is a CommandTimeout, whichever clock ran out; having begun once, it may have run."""
    config = PoolConfig(size=1, restart=ONLY_ONCE, shutdown_grace=0.0 if which == "close" else 5.0)
    errors: list[trio_pool.TrioPoolError] = []
    scope = trio.CancelScope()
    async with trio.open_nursery() as nursery, trio_pool.open_pool(APP, config) as pool:
        await exited(pool, 0)
        with trio.fail_after(PATIENCE):
            await pool.execute_anonymous("ping")
        pid = pid_of(pool)
        if not begun:
            os.kill(pid, signal.SIGSTOP)

        async def ask() -> None:
            limit = {"timeout": 0.6} if which == "timeout" else {"checkout_timeout": 0.3}
            args = {"ledger": str(ledger), "token": "a"}
            with scope:
                try:
                    await pool.execute_in_session("s", "work_long", args, idempotent=True, **limit)
                except trio_pool.TrioPoolError as exc:
                    errors.append(exc)

        nursery.start_soon(ask)
        await waits_again(pool, ledger, begun=begun)
        with trio.fail_after(PATIENCE):
            if which == "end_session":
                await pool.end_session("s")
            elif which == "cancel":
                scope.cancel()
            if which != "close":
                while pool.get_pool_status().queued:  # noqa: ASYNC110  # its caller knows, in another task
                    await trio.sleep(0.005)
        metrics = pool.get_pool_status().metrics
        assert (metrics.retries, metrics.redispatched) == ((1, 0) if begun else (0, 1))
        assert metrics.pool_timeouts == 0
    assert obeys_the_law(pool)
    kinds = {
        "timeout": "CommandTimeout",
        "checkout_timeout": "CommandTimeout",
        "close": "WorkerCrashed" if begun else "PoolClosed",
        "end_session": "SessionNotFound",
    }
    outcome = "maybe_executed" if begun else "not_executed"
    expected = [] if which == "cancel" else [(kinds[which], outcome)]
    assert [(type(error).__name__, str(error.outcome)) for error in errors] == expected
    assert notes(ledger) == ["a"] * begun
    if which == "cancel":
        assert pool.get_pool_status().metrics.cancelled == 1
    else:
        assert f"; {errors[0].outcome.words}; " in str(errors[0])


async def test_a_retry_has_what_is_left_of_the_budget(ledger: Path) -> None:
    """One deadline covers both runs: the second is cut off when the time of the first call is over."""
    async with trio_pool.open_pool(APP, size=1, abandon_grace=0.0) as pool, trio.open_nursery() as nursery:
        took: list[float] = []

        async def ask() -> None:
            start = trio.current_time()
            args = {"ledger": str(ledger), "token": "a"}
            with pytest.raises(trio_pool.CommandTimeout) as caught:
                await pool.execute_anonymous("work_long", args, idempotent=True, timeout=1.0)
            took.append(trio.current_time() - start)
            assert caught.value.timeout == pytest.approx(1.0)
            assert caught.value.outcome == "maybe_executed"

        nursery.start_soon(ask)
        await noted(ledger, 1)
        await trio.sleep(0.5)
        kill(pool.get_pool_status().workers[0])
    assert notes(ledger) == ["a", "a"]
    assert took[0] < 1.45, "two budgets would have been 1.5 s and more"
