"""Broadcasts under any sequence of calls, departures, leases, requests and deaths: what they promise holds throughout.

Workers are in memory and time is virtual, so a run is a few milliseconds. What really reached each worker, and in which
order, is the port's history; the promises are checked against that, not against what the pool believes.
"""

from __future__ import annotations

import math
import signal
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio.lowlevel
from _pools import obeys_the_law
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

import trio_pool
from trio_pool import Backoff, BroadcastFailed, RestartPolicy
from trio_pool.testing import MockPort

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_pool import SessionPool
    from trio_pool.testing import ReceivedCommand

pytestmark = pytest.mark.slow

SIZE = 3
TIMEOUT = 5.0
SLOTS = range(SIZE)
MOMENTS = [0.0, 0.1, 1.0, 4.0, 6.0]
"""Shorter and longer than a broadcast's time."""

keys = st.sampled_from(["a", "b", None])
steps = st.one_of(
    st.tuples(st.just("call"), keys, st.sampled_from([None, *MOMENTS[:4]]), st.sampled_from(MOMENTS[:4])),
    st.tuples(st.just("ask"), st.sampled_from(MOMENTS[:4])),
    st.tuples(st.just("lease"), st.sampled_from(MOMENTS)),
    st.tuples(st.just("kill"), st.sampled_from(SLOTS)),
    st.tuples(st.just("freeze"), st.sampled_from(SLOTS)),
    st.tuples(st.just("leave"), st.sampled_from(SLOTS)),
    st.tuples(st.just("doom"), st.sampled_from(SLOTS), st.sampled_from(["read", "begun", "reply"])),
    st.tuples(st.just("wait"), st.sampled_from(MOMENTS)),
)


@attrs.define
class Call:
    """A broadcast that was made, and what its caller was told."""

    number: int
    key: str | None
    results: dict[str, Any] = attrs.Factory(dict)
    errors: dict[str, Any] = attrs.Factory(dict)
    left: bool = False


class Walk:
    """One run: carries steps out and remembers what was promised when."""

    def __init__(self, pool: SessionPool, port: MockPort, nursery: trio.Nursery) -> None:
        self.pool = pool
        self.port = port
        self.nursery = nursery
        self.calls: list[Call] = []
        self.kept: dict[str, int] = {}
        """By key, the latest call that has returned with a result from some worker."""

    async def step(self, kind: str, *args: Any) -> None:
        """Carry one step out."""
        if kind == "call":
            call = Call(len(self.calls), args[0])
            self.calls.append(call)
            leave_after, duration = args[1:]
            self.nursery.start_soon(self.call, call, leave_after, duration)
            await trio.lowlevel.checkpoint()
        elif kind == "ask":
            self.nursery.start_soon(self.ask, args[0], dict(self.kept))
        elif kind == "lease":
            self.nursery.start_soon(self.lease, args[0])
        elif kind == "wait":
            await trio.sleep(args[0])
        elif kind == "doom":
            self.port.simulate_crash(after=args[1], command="put", worker=f"pool-{args[0]}")
        else:
            sig = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP, "leave": signal.SIGTERM}[kind]
            for worker in self.port.workers:
                if worker.worker_id == f"pool-{args[0]}":
                    await worker.signal(sig)

    async def call(self, call: Call, leave_after: float | None, duration: float) -> None:
        """Broadcast, and leave if it takes longer."""
        args = {"number": call.number, "duration": duration, "key": call.key}
        with trio.move_on_after(math.inf if leave_after is None else leave_after) as scope:
            try:
                call.results = await self.pool.broadcast("put", args, key=call.key)
            except BroadcastFailed as exc:
                call.results, call.errors = exc.results, exc.errors
            except trio_pool.PoolClosed:
                call.left = True
        call.left = call.left or scope.cancelled_caught
        if not call.left and call.key is not None and call.results:
            self.kept[call.key] = max(call.number, self.kept.get(call.key, -1))

    async def ask(self, duration: float, kept: dict[str, int]) -> None:
        """Make a request that says what it may rely on."""
        try:
            await self.pool.execute_anonymous("ask", {"duration": duration, "kept": kept})
        except trio_pool.TrioPoolError:
            return

    async def lease(self, seconds: float) -> None:
        """Hold a worker."""
        try:
            async with self.pool.checkout():
                await trio.sleep(seconds)
        except trio_pool.TrioPoolError:
            return


async def put(number: int, duration: float, key: str | None) -> int:
    """Take as long as told."""
    await trio.sleep(duration)
    return number


async def ask(duration: float, kept: dict[str, int]) -> None:
    """Take as long as told."""
    await trio.sleep(duration)


async def walk(script: Sequence[tuple[Any, ...]]) -> None:
    """Run a script and check the promises."""
    port = MockPort()
    port.command("put", put)
    port.command("ask", ask)
    config = trio_pool.PoolConfig(
        launcher=port,
        size=SIZE,
        timeout=TIMEOUT,
        checkout_timeout=TIMEOUT,
        abandon_grace=0.5,
        restart=RestartPolicy(max_restarts=math.inf, backoff=Backoff(initial=0.2, maximum=0.2, jitter="none")),
        health={"interval": 2.0, "timeout": 1.0, "misses": 1},
    )
    async with trio_pool.open_pool(config=config) as pool:
        async with trio.open_nursery() as nursery:
            run = Walk(pool, port, nursery)
            for kind, *args in script:
                await run.step(kind, *args)
                assert obeys_the_law(pool)
        port.heal()
        with trio.fail_after(1000):
            while True:
                status = pool.get_pool_status()
                if status.ready == SIZE and status.busy == status.queued == 0:
                    break
                await trio.sleep(0.1)
        assert obeys_the_law(pool)
        check(run, [info.incarnation for info in status.workers])


def check(run: Walk, living: Sequence[int]) -> None:
    """Hold what reached the workers against what was promised."""
    for call in run.calls:
        assert call.left or set(call.results) | set(call.errors) == {f"pool-{slot}" for slot in SLOTS}
        assert not set(call.results) & set(call.errors)
    history: dict[int, list[ReceivedCommand]] = {}
    for received in run.port.history:
        history.setdefault(received.incarnation, []).append(received)
    last: dict[int, dict[str, int]] = {}
    for incarnation, received_there in history.items():
        holds = last[incarnation] = dict.fromkeys("ab", -1)
        for received in received_there:
            if received.command == "put" and received.args["key"] is not None:
                key, number = received.args["key"], received.args["number"]
                assert number > holds[key], "calls under one key run in the order of the calls, each once"
                holds[key] = number
            elif received.command == "ask":
                for key, number in received.args["kept"].items():
                    assert holds[key] >= number, "no request finds a worker without what was kept before it was made"
    for key in "ab":
        found = {last[incarnation][key] if incarnation in last else -1 for incarnation in living}
        assert len(found) == 1, "in the end all workers are in one state"
        assert found.pop() >= run.kept.get(key, -1), "which is not older than the latest that was kept"


@settings(max_examples=150, deadline=None)
@given(script=st.lists(steps, min_size=1, max_size=25))
def test_whatever_happens_all_workers_end_in_the_latest_state(script: Sequence[tuple[Any, ...]]) -> None:
    """Order, completeness, no request before its time, one state in the end, and the law of the metrics."""
    trio.run(walk, script, clock=MockClock(autojump_threshold=0))
