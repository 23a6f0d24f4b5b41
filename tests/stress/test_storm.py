"""A storm of deaths, cancellations and timeouts: every request still has one outcome, its own, and a true one."""

from __future__ import annotations

import math
import os
import signal
from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import _apps
import pytest
import trio
from _pools import APP, obeys_the_law, settled
from _workers import PATIENCE

import trio_pool

if TYPE_CHECKING:
    from pathlib import Path

    from trio_pool import SessionPool

CALLERS = 32
REQUESTS = 60
"""Of each caller: some two thousand in all, which take a few seconds."""

KILLS = 60
PAUSE = 0.03
"""Seconds between two kills: about what a worker needs to start, so most hit one that has just begun to serve."""


@pytest.mark.slow
async def test_a_storm_of_deaths_and_departures_breaks_no_promise(tmp_path: Path, storm_seed: int) -> None:
    """Each token is executed at most once, an ok one exactly once and by its own reply, a refused one never."""
    seed = storm_seed
    file = tmp_path / "notes"
    random = Random(seed)  # noqa: S311  # it chooses whom to kill, it guards nothing
    outcomes: dict[int, str] = {}
    config = trio_pool.PoolConfig(
        size=4,
        abandon_grace=0.05,
        checkout_timeout=PATIENCE,
        restart={"max_restarts": math.inf, "backoff": {"initial": 0.0}},
        seed=seed,
    )

    async def call(pool: SessionPool, caller: int, choose: Random) -> None:
        for number in range(REQUESTS):
            token = caller * REQUESTS + number
            outcomes[token] = "cancelled"
            limit = choose.choice([math.inf] * 6 + [0.0005, 0.002])
            args = {"path": str(file), "seconds": choose.choice([0.0, 0.001, 0.004]), "token": token}
            with trio.move_on_after(limit):
                try:
                    reply = await pool.execute_anonymous("note_and_wait", args, timeout=choose.choice([PATIENCE, 0.02]))
                except trio_pool.TrioPoolError as error:
                    outcomes[token] = str(error.outcome)
                else:
                    outcomes[token] = "ok" if reply == token else f"the reply to {reply}"

    async def kill(pool: SessionPool) -> None:
        for _ in range(KILLS):
            await trio.sleep(PAUSE)
            pids = [info.pid for info in pool.get_pool_status().workers if info.pid is not None]
            if pids:
                os.kill(random.choice(pids), random.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
            assert obeys_the_law(pool)

    with trio.fail_after(12 * PATIENCE):
        async with trio_pool.open_pool(APP, config) as pool:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(kill, pool)
                for caller in range(CALLERS):
                    nursery.start_soon(call, pool, caller, Random(seed * CALLERS + caller))  # noqa: S311  # as above
            await settled(pool)
            assert obeys_the_law(pool)
            metrics = pool.get_pool_status().metrics
    executed = Counter(int(line.split()[0]) for line in _apps.notes(file))
    assert len(outcomes) == metrics.submitted == CALLERS * REQUESTS
    assert set(outcomes.values()) <= {"ok", "cancelled", "not_executed", "maybe_executed"}
    assert max(executed.values()) == 1
    assert not [token for token, outcome in outcomes.items() if outcome == "ok" and executed[token] != 1]
    assert not [token for token, outcome in outcomes.items() if outcome == "not_executed" and executed[token]]
    # The storm was one: it hit running requests, idle workers and callers alike.
    tally = Counter(outcomes.values())
    # Of the requests 3/4 are not cancelled and half of those have time enough however slow the machine is.
    assert tally["ok"] > CALLERS * REQUESTS / 4
    assert tally["maybe_executed"] > 0
    assert tally["cancelled"] > 0
    assert metrics.restarts >= KILLS / 2
