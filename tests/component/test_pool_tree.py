"""The pool's own supervisor tree: everything that runs in a pool is a child somebody can see."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
import trio
import trio.testing
from _pools import APP, exited, kill, settled
from _workers import PATIENCE

import trio_pool
from trio_pool.testing import MockPort

if TYPE_CHECKING:
    from trio_pool import DynamicSupervisor, SessionPool, Supervisor


def parts(pool: SessionPool) -> tuple[Supervisor, DynamicSupervisor]:
    """Return the supervisors of housekeeping and slots."""
    children = {child.id: child.value for child in pool.supervisor.which_children()}
    assert sorted(children) == ["housekeeping", "slots"]
    return cast("Supervisor", children["housekeeping"]), cast("DynamicSupervisor", children["slots"])


async def test_slots_and_housekeeping_are_children_of_the_pools_supervisor() -> None:
    """`which_children` shows them, `tree()` draws them, under the names that events and logs use."""
    async with trio_pool.open_pool(size=2, name="shop", launcher=MockPort()) as pool:
        housekeeping, slots = parts(pool)
        assert [child.id for child in housekeeping.which_children()] == ["staff", "health", "timer"]
        assert sorted(child.id for child in slots.which_children()) == ["shop-0", "shop-1"]
        assert {info.worker_id for info in pool.get_pool_status().workers} == {"shop-0", "shop-1"}
        assert slots.count_children() == trio_pool.ChildCounts(specs=2, active=2)
        drawn = str(pool.supervisor.tree())
    for name in ("shop", "housekeeping", "timer", "health", "slots", "shop-0", "shop-1"):
        assert name in drawn


async def test_a_pool_in_a_supervised_task_is_part_of_the_tree_around_it() -> None:
    """Whoever draws the application's tree sees the pool's workers in it."""

    async def serve(*, task_status: trio.TaskStatus[None]) -> None:
        async with trio_pool.open_pool(size=1, name="shop", launcher=MockPort()) as pool:
            task_status.started()
            await pool.supervisor.wait()

    async with trio_pool.open_supervisor(name="app") as supervisor:
        await supervisor.start_child(trio_pool.ChildSpec(id="serve", start=serve))
        assert "shop-0" in str(supervisor.tree())


@pytest.mark.slow
async def test_the_slots_alone_are_charged_for_their_workers() -> None:
    """Deaths fill the slots' restart window to its brim, housekeeping's stays empty, and the pool lives."""
    restart = {"max_restarts": 3, "within": 60.0, "backoff": {"initial": 0.0}}
    async with trio_pool.open_pool(APP, size=1, restart=restart) as pool:
        for _ in range(3):
            await exited(pool, 0)
            await settled(pool)
        nodes = {node.id: node.supervisors[0] for node in pool.supervisor.tree().children}
        assert nodes["slots"].restarts == 3
        assert nodes["housekeeping"].restarts == 0
        assert pool.supervisor.tree().restarts == 0
        assert await pool.execute_anonymous("echo", {"value": 1}) == 1


@pytest.mark.slow
async def test_a_give_up_names_the_slots_and_carries_their_errors() -> None:
    """The error that leaves is the one of whoever gave up first, not of those above that followed."""
    restart = {"max_restarts": 0, "within": 60.0}
    told: list[trio_pool.PoolEvent] = []
    with trio.fail_after(PATIENCE), pytest.raises(trio_pool.RestartIntensityExceeded) as caught:  # noqa: PT012  # the body is the point
        async with trio_pool.open_pool(APP, size=2, name="shop", restart=restart, on_event=told.append) as pool:
            kill(pool.get_pool_status().workers[1])
            await trio.sleep_forever()
    assert caught.value.supervisor_path == ("shop", "slots")
    assert caught.value.child_id == "shop-1"
    assert [type(error) for error in caught.value.errors] == [trio_pool.WorkerCrashed]
    assert caught.value.__cause__ is caught.value.errors[0]
    assert [event.error for event in told if isinstance(event, trio_pool.GaveUp)] == [caught.value]


@pytest.mark.slow
async def test_the_bodys_own_error_is_the_cause_of_a_give_up() -> None:
    """What the body raises when it is cancelled by a give-up is kept as the cause, and nothing is a group."""
    with trio.fail_after(PATIENCE), pytest.raises(trio_pool.RestartIntensityExceeded) as caught:  # noqa: PT012  # the body is the point
        async with trio_pool.open_pool(APP, size=1, restart={"max_restarts": 0, "within": 60.0}) as pool:
            kill(pool.get_pool_status().workers[0])
            try:
                await trio.sleep_forever()
            finally:
                raise KeyError("the body's own")
    assert isinstance(caught.value.__cause__, KeyError)


async def test_a_give_up_of_the_bodys_own_supervisor_is_not_taken_for_the_pools() -> None:
    """It leaves the pool unchanged, like any other exception of the body."""

    async def crash() -> None:
        await trio.lowlevel.checkpoint()
        raise KeyError

    with pytest.raises(trio_pool.RestartIntensityExceeded) as caught:  # noqa: PT012  # the body is the point
        async with (
            trio_pool.open_pool(size=1, launcher=MockPort()),
            trio_pool.open_supervisor(name="own", max_restarts=0) as supervisor,
        ):
            await supervisor.start_child(trio_pool.ChildSpec(id="it", start=crash))
            await trio.sleep_forever()
    assert caught.value.supervisor_path == ("own",)
