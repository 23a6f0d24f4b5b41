"""The agent in real workers: orders are carried out by whom they are meant for, as often as they were given."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from _arenas import Stage, comes_true, stage
from _workers import PATIENCE, state

from chaos.faults import _proc
from chaos.faults._grip import Grip, gripped, obeyed, order, until
from chaos.faults._orders import Deed, Orders, dying
from chaos.scenario._fault import Death
from chaos.workload._agent import ORDERS
from chaos.workload._ledger import BEGIN, EFFECT, END
from trio_pool import HealthStatus, WorkerExited, WorkerReady
from trio_pool.errors import WorkerCrashed, WorkerInitFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


pytestmark = pytest.mark.slow


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as there:
        yield there


async def does(there: Stage, grip: Grip, deed: str, **arguments: object) -> Mapping[str, object] | None:
    """Have a worker carry out a live order, and return what it says."""
    return await obeyed(grip, await order(grip, there.arena, Deed(do=deed, arguments=arguments)), PATIENCE)


async def test_exactly_the_next_starts_obey(tmp_path: Path) -> None:
    """Two orders are taken by two starts, and the third starts as ever."""
    async with stage(tmp_path, size=1) as there:
        given = there.orders.at_start(dying(Death.EXIT_3), starts=2)
        assert given.waits()
        victim = there.victim()
        assert victim.handle is not None
        await victim.handle.kill()
        await there.saw(WorkerReady, 2)
        assert not given.waits()
        assert [str(event.exit) for event in there.seen(WorkerExited)] == ["SIGKILL", "exit code 3", "exit code 3"]
        assert given.pids() == [event.pid for event in there.seen(WorkerExited)[1:]]
        assert given.done() == []


@pytest.mark.parametrize(
    ("deed", "says"),
    [
        (dying(Death.SEGV), "SIGSEGV"),
        (dying(Death.EXIT_0), "exit code 0"),
        (Deed(do="raise", arguments={"message": "the app is broken"}), "the app is broken"),
    ],
)
async def test_a_worker_dies_on_start_as_ordered(tmp_path: Path, deed: Deed, says: str) -> None:
    """By a signal, an exit or an exception: a pool that opens on such workers says which."""
    Orders(tmp_path / "orders").at_start(deed, starts=None)
    with pytest.raises(WorkerInitFailed, match=says):
        async with stage(tmp_path):
            pass


async def test_an_order_for_all_is_taken_by_each_until_it_is_withdrawn(tmp_path: Path) -> None:
    """Both workers of the pool take it, and who starts afterwards does not."""
    given = Orders(tmp_path / "orders").at_start(Deed(do="nothing"), starts=None)
    async with stage(tmp_path) as there:
        pids = {there.victim(slot).pid for slot in (0, 1)}
        assert set(given.pids()) == {pid for _, pid in given.done()} == pids
        given.withdraw()
        given.withdraw()
        victim = there.victim()
        assert victim.handle is not None
        await victim.handle.kill()
        await there.saw(WorkerReady, 3)
        assert set(given.pids()) == pids


async def test_a_worker_that_hangs_on_start_is_never_ready(tmp_path: Path) -> None:
    """It comes to nothing within the time there is for a start."""
    orders = Orders(tmp_path / "orders")
    orders.at_start(Deed(do="wait", arguments={"flag": str(orders.flag()), "seconds": None}))
    with pytest.raises(WorkerInitFailed, match="ready"):
        async with stage(tmp_path, start_timeout=1.0):
            pass


async def test_a_live_order_is_for_one_worker_idle_or_busy(there: Stage) -> None:
    """Who is waiting for requests obeys at once, who runs one in the middle of it, and both go on as before."""
    victims = [there.victim(0), there.victim(1)]
    async with gripped(victims, there.arena) as grips:
        idle, busy = grips
        assert await does(there, idle, "nothing") == {}
        assert await there.work(1) in {idle.pid, busy.pid}
        async with trio.open_nursery() as nursery:
            for request in (2, 3):
                nursery.start_soon(partial(there.work, request, seconds=0.3))
            await comes_true(lambda: {(BEGIN, 2), (BEGIN, 3)} <= set(there.ledger()))
            assert await does(there, busy, "nothing") == {}
            assert (END, 3) not in there.ledger()
    assert not there.seen(WorkerExited)


async def test_an_order_for_another_is_left_to_that(there: Stage) -> None:
    """Sent for one's own orders, one takes no others, though they lie in the same folder."""
    async with gripped([there.victim(0), there.victim(1)], there.arena) as (one, other):
        meant = there.orders.live(other.pid, Deed(do="nothing"))
        assert await does(there, one, "nothing") == {}
        assert meant.waits()
        assert await does(there, other, "nothing") == {}
        assert meant.pids() == [other.pid]


async def test_orders_given_at_once_are_all_carried_out(there: Stage) -> None:
    """Signals of one number may become one; the orders do not."""
    async with gripped([there.victim()], there.arena) as (grip,):
        given = [await order(grip, there.arena, Deed(do="nothing")) for _ in range(20)]
        for each in given:
            assert await obeyed(grip, each, PATIENCE) == {}


@pytest.mark.parametrize(("step", "noted"), [(BEGIN, [(BEGIN, 1)]), (EFFECT, [(BEGIN, 1), (EFFECT, 1)])])
async def test_a_worker_dies_at_just_that_step(there: Stage, step: int, noted: list[tuple[int, int]]) -> None:
    """At the beginning nothing has happened, after the effect just that."""
    given = there.orders.at_step(step, dying(Death.KILL))
    with pytest.raises(WorkerCrashed):
        await there.work(1)
    assert there.ledger() == noted
    (exited,) = await there.saw(WorkerExited, 1)
    assert given.pids() == [exited.pid]
    assert await there.work(2)


async def test_the_nth_request_is_hit_whoever_runs_it(there: Stage) -> None:
    """Requests are counted over all workers together, and only those that fit."""
    given = there.orders.at_step(BEGIN, dying(Death.EXIT_3), nth=4, operation="append")
    for request in range(1, 7):
        await there.work(request, operation="read" if request % 2 else "append")
    await there.work(8, operation="read")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(there.work, 9)
        with pytest.raises(WorkerCrashed):
            await there.work(10, operation="append")
    assert len(given.pids()) == 1
    assert len(given.taken()) == 4
    assert await there.work(12, operation="append")


async def test_a_step_order_is_for_the_worker_or_request_it_names(there: Stage) -> None:
    """Others pass; with a count, so many of those that fit are hit."""
    there.orders.at_step(BEGIN, dying(Death.KILL), request=5, count=2)
    there.orders.at_step(EFFECT, dying(Death.KILL), pid=os.getpid())
    for request in range(4):
        await there.work(request)
    assert not there.seen(WorkerExited)
    # Run again by a second worker, it is hit again; the third may live.
    with pytest.raises(WorkerCrashed):
        await there.work(5, idempotent=True)
    await there.saw(WorkerExited, 2)
    assert await there.work(5)


async def test_a_poisoned_request_kills_whoever_begins_it(there: Stage) -> None:
    """The request that takes the order stays deadly, and no other is; made harmless it is like any."""
    given = there.orders.at_step(BEGIN, Deed(do="die", arguments={"how": "KILL"}, poison=True), operation="bad")
    await there.work(1)
    with pytest.raises(WorkerCrashed):
        await there.work(7, operation="bad", idempotent=True)
    assert there.orders.poisoned(given) == [7]
    assert len(given.pids()) == len(await there.saw(WorkerExited, 2)) == 2
    assert await there.work(8, operation="bad")
    there.orders.clean(7)
    there.orders.clean(7)
    assert there.orders.poisoned(given) == []
    assert await there.work(7, operation="bad")


async def test_the_lock_is_held_against_signals_too(there: Stage) -> None:
    """While C code has the interpreter's lock the worker answers nothing and hears nothing, SIGTERM among it."""
    async with gripped([there.victim()], there.arena) as (grip,):
        given = await order(grip, there.arena, Deed(do="hold_gil", arguments={"seconds": 1.0}))
        await comes_true(given.taken)
        # The first may come before the lock is held. None of these interrupts the hold.
        unheard = [await order(grip, there.arena, Deed(do="nothing"))]
        while await until(lambda: bool(unheard[-1].done()), 0.05):
            assert not given.done()
            unheard.append(await order(grip, there.arena, Deed(do="nothing")))
        await grip.signal(signal.SIGTERM)
        assert not await until(lambda: bool(unheard[-1].done()) or not grip.alive, 0.2)
        assert not given.done()
        (exited,) = await there.saw(WorkerExited, 1)
        assert str(exited.exit) == "exit code 0"


async def test_the_lock_is_held_against_other_threads(there: Stage) -> None:
    """A thread beside the one in C stands still as long; that is what tells it from a call that merely blocks."""
    victims = [there.victim(0), there.victim(1)]
    async with trio.open_nursery() as nursery:
        for _ in victims:
            nursery.start_soon(there.pool.execute_anonymous, "start_clock", {"seconds": 0.2})
    async with gripped(victims, there.arena) as grips:
        for grip in grips:
            assert await does(there, grip, "hold_gil", seconds=0.5) == {}
    assert float(await there.pool.execute_anonymous("longest_pause")) > 0.4


async def test_a_spinning_worker_hears_signals(there: Stage) -> None:
    """Python code that does not end is interrupted by an order like any other."""
    async with gripped([there.victim()], there.arena) as (grip,):
        arguments = {"flag": str(there.orders.flag()), "seconds": 60.0}
        given = await order(grip, there.arena, Deed(do="spin", arguments=arguments))
        await comes_true(given.taken)
        assert await does(there, grip, "nothing") == {}
        await order(grip, there.arena, dying(Death.EXIT_3))
        (exited,) = await there.saw(WorkerExited, 1)
        assert str(exited.exit) == "exit code 3"


async def test_sigterm_is_ignored_and_heeded_again(there: Stage) -> None:
    """The kernel itself says so."""
    async with gripped([there.victim()], there.arena) as (grip,):
        assert _proc.catches(grip.pid, signal.SIGTERM)
        for _ in range(2):
            assert await does(there, grip, "ignore_sigterm", linger=0.0) == {}
            assert _proc.ignores(grip.pid, signal.SIGTERM)
        assert await does(there, grip, "heed_sigterm") == {}
        assert _proc.catches(grip.pid, signal.SIGTERM)
        assert await does(there, grip, "heed_sigterm") == {}
        await grip.signal(signal.SIGTERM)
        (exited,) = await there.saw(WorkerExited, 1)
        assert str(exited.exit) == "exit code 0"


async def test_memory_grows_within_its_budget_and_is_given_back(there: Stage) -> None:
    """What is ordered is resident, what exceeds the budget is not taken, and all of it goes back to the kernel."""
    size = 8 * 2**20
    async with gripped([there.victim()], there.arena) as (grip,):
        before = _proc.memory(grip.pid)
        assert await does(there, grip, "grow", size=size, budget=2 * size) == {"held": size}
        assert await does(there, grip, "grow", size=5 * size, budget=2 * size) == {"held": size}
        assert _proc.memory(grip.pid) >= before + 2 * size
        assert await does(there, grip, "shrink") == {"released": 2 * size}
        assert _proc.memory(grip.pid) < before + size


async def test_a_worker_without_descriptors_still_hears_that_it_may_have_them_back(there: Stage) -> None:
    """Nothing can be opened any more, except by the agent, which closes what it took."""
    async with gripped([there.victim()], there.arena) as (grip,):
        before = _proc.descriptors(grip.pid)
        limit = grip.limits(resource.RLIMIT_NOFILE)
        said = await does(there, grip, "exhaust_descriptors", spare=0)
        assert said is not None
        assert len(_proc.descriptors(grip.pid)) == len(before) + int(str(said["descriptors"]))
        # It has no room even for a directory's listing.
        assert len(_proc.descriptors(grip.pid)) == (grip.limits(resource.RLIMIT_NOFILE) or (0, 0))[0]
        assert (await there.pool.health_check()).status is HealthStatus.HEALTHY
        assert await does(there, grip, "release_descriptors") == {"released": said["descriptors"]}
        assert _proc.descriptors(grip.pid) == before
        assert grip.limits(resource.RLIMIT_NOFILE) == limit


@pytest.mark.parametrize("descriptor", [1, 2])
async def test_noise_is_written_and_costs_nobody_a_reply(there: Stage, descriptor: int) -> None:
    """As many bytes as were ordered, text or not, and the worker serves on."""
    async with gripped([there.victim(0), there.victim(1)], there.arena) as grips:
        for grip in grips:
            for binary in (False, True):
                said = await does(there, grip, "print", descriptor=descriptor, size=300_001, binary=binary)
                assert said == {"written": 300_001}
        assert await there.work(1) in {grip.pid for grip in grips}
    assert not there.seen(WorkerExited)


@pytest.mark.parametrize("own_group", [False, True])
@pytest.mark.parametrize("sockets", [False, True])
async def test_a_grandchild_holds_what_its_dead_parent_held(there: Stage, own_group: bool, sockets: bool) -> None:
    """In the worker's group it dies with that; in one of its own it stays until it is sent away."""
    flag = there.folder / "flag"
    flag.touch()
    async with gripped([there.victim()], there.arena) as (grip,):
        held = {os.readlink(f"/proc/{grip.pid}/fd/{fd}") for fd in _proc.descriptors(grip.pid)}
        await order(
            grip,
            there.arena,
            Deed(
                do="leave_grandchild",
                arguments={
                    "how": "exit 3",
                    "flag": str(flag),
                    "seconds": PATIENCE,
                    "sockets": sockets,
                    "own_group": own_group,
                },
            ),
        )
        (exited,) = await there.saw(WorkerExited, 1)
        assert str(exited.exit) == "exit code 3"
        grandchild = int(flag.read_text())
        await there.saw(WorkerReady, 3)
        if own_group:
            kept = {os.readlink(f"/proc/{grandchild}/fd/{fd}") for fd in _proc.descriptors(grandchild)}
            assert {name for name in held if name.startswith("pipe:")} & kept
            assert bool({name for name in held if name.startswith("socket:")} & kept) == sockets
            flag.unlink()
        await comes_true(lambda: state(grandchild) in "XZ")


async def test_a_run_whose_directory_is_gone_disturbs_no_worker(there: Stage) -> None:
    """Orders are looked for and not found, at every step."""
    for folder in (there.folder / "orders").iterdir():
        folder.rename(there.folder / folder.name)
    assert await there.work(1)


PROGRAM = """
import sys
from chaos.workload import _agent
_agent.at_start()
_agent.step(1, 1)
print(*sys.modules)
"""


def modules(program: str, **env: str) -> set[str]:
    """Run a program in an interpreter that imports nothing by itself, and return what it prints, word by word."""
    env["PYTHONPATH"] = str(Path(_proc.__file__).parents[2])
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True, env=env)
    return set(done.stdout.split())


def test_little_is_imported(tmp_path: Path) -> None:
    """In a run or outside of one the agent costs a worker the smallest parts of the standard library."""
    bare = modules("import __future__, errno, json, os, signal, struct, sys, time, zlib; print(*sys.modules)")
    for env in ({}, {ORDERS: str(tmp_path)}):
        imported = modules(PROGRAM, **env) - bare
        assert imported == {
            "chaos",
            "chaos._lazy",
            "chaos.workload",
            "chaos.workload._agent",
            "chaos.workload._ledger",
        }


def test_without_the_variable_there_is_no_agent() -> None:
    """A worker outside a run has no handler for orders, so an order is refused to it, and holds nothing for them."""
    program = "import os, signal; from chaos.workload import _agent; _agent.at_start(); _agent.step(1, 1); "
    assert modules(f"{program} print(signal.getsignal(_agent.SIGNAL).name)") == {"SIG_DFL"}
    assert modules(f"{program} print(*os.listdir('/proc/self/fd'))") == {"0", "1", "2", "3"}
