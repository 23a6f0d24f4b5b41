"""Wrong uses of pools, bridges and faults; never run. Each marked line is an error to mypy and pyright, or the mark is.

What only the running library can refuse is not here: a misspelt field in a policy given as a mapping, a number that is
out of range, arguments that the command does not take.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
# (mypy is told the like by `strict`)

from __future__ import annotations

import chaos
import trio_pool
from trio_pool import Backoff, PoolConfig, RestartPolicy, RetryPolicy
from trio_pool.bridge import Bridge, Session

bridge = Bridge()


async def observes(event: trio_pool.PoolEvent) -> None:
    """Stand in for what cannot be an observer: nobody awaits it."""


def counts(event: trio_pool.WorkerReady) -> None:
    """Stand in for an observer of one kind of event, which would be told all."""


def options() -> None:
    """Open what cannot be opened."""
    trio_pool.open_pool("my_app:bridge", sizes=2)  # type: ignore[call-arg]
    trio_pool.open_pool("my_app:bridge", size="2")  # type: ignore[arg-type]
    trio_pool.open_pool("my_app:bridge", size=2.5)  # type: ignore[arg-type]
    trio_pool.open_pool("my_app:bridge", overflow=None)  # type: ignore[arg-type]
    trio_pool.open_pool("my_app:bridge", standby="1")  # type: ignore[arg-type]
    trio_pool.open_pool("my_app:bridge", timeout=None)  # type: ignore[arg-type]
    trio_pool.open_pool("my_app:bridge", concurrency=1.5)  # type: ignore[arg-type]
    trio_pool.open_pool("my_app:bridge", max_queue="all")  # type: ignore[arg-type]
    trio_pool.open_pool("my_app:bridge", health=5.0)  # type: ignore[arg-type]
    trio_pool.open_pool("my_app:bridge", health=RetryPolicy())  # type: ignore[arg-type]
    trio_pool.open_pool("my_app:bridge", retry=3)  # type: ignore[arg-type]
    trio_pool.open_pool("my_app:bridge", retry={1: "max_retries"})  # type: ignore[dict-item]
    trio_pool.open_pool("my_app:bridge", restart="permanent")  # type: ignore[arg-type]
    trio_pool.open_pool("my_app:bridge", env={"A": 1})  # type: ignore[dict-item]
    trio_pool.open_pool("my_app:bridge", on_event=observes)  # type: ignore[arg-type]
    trio_pool.open_pool("my_app:bridge", on_event=counts)  # type: ignore[arg-type]
    trio_pool.open_pool("my_app:bridge", {"size": 2})  # type: ignore[arg-type]
    trio_pool.open_pool("my_app:bridge", name=None)  # type: ignore[arg-type]
    trio_pool.open_pool(bridge)  # type: ignore[arg-type]
    PoolConfig(2)  # type: ignore[call-arg]
    PoolConfig(sizes=2)  # type: ignore[call-arg]
    PoolConfig().evolve(sizes=2)  # type: ignore[call-arg]
    PoolConfig().evolve(size="2")  # type: ignore[arg-type]
    PoolConfig().size = 2  # type: ignore[misc]


def policies() -> None:
    """Describe what cannot be followed."""
    RetryPolicy(2)  # type: ignore[call-arg]
    RetryPolicy(max_retries=1.5)  # type: ignore[arg-type]
    RetryPolicy(max_retries=None)  # type: ignore[arg-type]
    RetryPolicy(retries=1)  # type: ignore[call-arg]
    RetryPolicy(budget="10 %")  # type: ignore[arg-type]
    RetryPolicy(min_budget=0.1)  # type: ignore[arg-type]
    RetryPolicy(poison_after="3")  # type: ignore[arg-type]
    RetryPolicy().max_retries = 2  # type: ignore[misc]
    RestartPolicy(max_restart=1)  # type: ignore[call-arg]
    RestartPolicy(max_restarts="many")  # type: ignore[arg-type]
    RestartPolicy(within="30 s")  # type: ignore[arg-type]
    RestartPolicy().limit()  # type: ignore[call-arg]
    Backoff(0.1)  # type: ignore[call-arg]
    Backoff(initial="1 s")  # type: ignore[arg-type]
    Backoff(max=10.0)  # type: ignore[call-arg]
    Backoff(factor=None)  # type: ignore[arg-type]
    Backoff(reset_after="5 s")  # type: ignore[arg-type]
    Backoff().initial = 1.0  # type: ignore[misc]


async def not_opened() -> None:
    """Use what has not been entered."""
    with trio_pool.open_pool("my_app:bridge"):  # type: ignore[attr-defined]
        pass
    await trio_pool.open_pool("my_app:bridge")  # type: ignore[misc]
    await trio_pool.open_pool("my_app:bridge").execute_anonymous("greet")  # type: ignore[attr-defined]
    trio_pool.open_worker().checkout()  # type: ignore[attr-defined]


async def calls(pool: trio_pool.SessionPool, session: trio_pool.PoolSession) -> None:
    """Ask for what cannot be run."""
    await pool.execute_in_session(1, "greet")  # type: ignore[arg-type]
    await pool.execute_in_session(None, "greet")  # type: ignore[arg-type]
    await pool.execute_in_session("greet")  # type: ignore[call-arg]
    await pool.execute_in_session("user_1", b"greet")  # type: ignore[arg-type]
    await pool.execute_in_session("user_1", "greet", ["you"])  # type: ignore[arg-type]
    await pool.execute_in_session("user_1", "greet", {1: "you"})  # type: ignore[dict-item]
    await pool.execute_in_session("user_1", "greet", {}, 5.0)  # type: ignore[call-arg]
    await pool.execute_in_session("user_1", "greet", timeout="5 s")  # type: ignore[arg-type]
    await pool.execute_in_session("user_1", "greet", idempotent="yes")  # type: ignore[arg-type]
    await pool.execute_in_session("user_1", "greet", retries=1)  # type: ignore[call-arg]
    await pool.execute_anonymous(greet)  # type: ignore[arg-type]
    await pool.execute_anonymous("greet", "you")  # type: ignore[arg-type]
    await pool.execute_anonymous("greet", name="you")  # type: ignore[call-arg]
    await pool.execute_anonymous("greet", checkout_timeout="soon")  # type: ignore[arg-type]
    await pool.execute_anonymous("greet", idempotent=1)  # type: ignore[arg-type]
    await pool.execute_anonymous("greet", session_id="user_1")  # type: ignore[call-arg]
    await pool.run_sync(greet)  # type: ignore[arg-type]
    await pool.run_sync(greet, 1)  # type: ignore[arg-type]
    await pool.run_sync(greet, "you", idempotent="yes")  # type: ignore[arg-type]
    await pool.run_sync("my_app:greet")  # type: ignore[arg-type]
    await session.execute("greet", ["you"])  # type: ignore[arg-type]
    await session.execute("greet", idempotent="yes")  # type: ignore[arg-type]
    await session.execute("user_1", "greet")  # type: ignore[arg-type]
    await pool.broadcast("load", ["m"])  # type: ignore[arg-type]
    await pool.broadcast("load", key=1)  # type: ignore[arg-type]
    await pool.end_session(1)  # type: ignore[arg-type]
    pool.track_session(None)  # type: ignore[arg-type]


async def the_pool(pool: trio_pool.SessionPool) -> None:
    """Handle a pool as it cannot be handled."""
    await pool.resize("3")  # type: ignore[arg-type]
    await pool.resize(1.5)  # type: ignore[arg-type]
    await pool.resize(None)  # type: ignore[arg-type]
    await pool.resize()  # type: ignore[call-arg]
    await pool.drain(1.0)  # type: ignore[call-arg]
    pool.config.size = 3  # type: ignore[misc]
    pool.get_pool_status().size = 3  # type: ignore[misc]
    pool.get_sessions()["user_1"] = None  # type: ignore[index]
    with pool.events("all"):  # type: ignore[arg-type]
        pass
    with pool.events(max_buffer=1.5):  # type: ignore[arg-type]
        pass
    with pool.events(buffer=1):  # type: ignore[call-arg]
        pass
    async with pool.events():  # type: ignore[attr-defined]
        pass
    with pool.events() as events:
        for _event in events:  # type: ignore[attr-defined]
            pass
    for _event in pool.events():  # type: ignore[attr-defined]
        pass


async def leases(pool: trio_pool.SessionPool, worker: trio_pool.PoolWorker) -> None:
    """Take a worker that is not given."""
    with pool.checkout("user_1"):  # type: ignore[attr-defined]
        pass
    await pool.checkout("user_1")  # type: ignore[misc]
    await pool.checkout("user_1").send_command("ping")  # type: ignore[attr-defined]
    pool.checkout("user_1").send_command("ping")  # type: ignore[attr-defined]
    pool.checkout(1)  # type: ignore[arg-type]
    pool.checkout("user_1", 1.0)  # type: ignore[call-arg]
    pool.checkout("user_1", timeout=1.0)  # type: ignore[call-arg]
    pool.checkout(checkout_timeout="soon")  # type: ignore[arg-type]
    pool.session(1)  # type: ignore[arg-type]
    with pool.session("user_1"):  # type: ignore[attr-defined]
        pass
    await worker.send_command(1)  # type: ignore[arg-type]
    await worker.send_command("ping", ["a"])  # type: ignore[arg-type]
    await worker.send_command("ping", timeout="5 s")  # type: ignore[arg-type]
    await worker.send_command("ping", timeout=None)  # type: ignore[arg-type]
    await worker.send_command("ping", idempotent=True)  # type: ignore[call-arg]
    await worker.send_command("ping", {}, 5.0, "user_1")  # type: ignore[call-arg]
    worker.checkout(1)  # type: ignore[arg-type]
    worker.checkin(None)  # type: ignore[arg-type]
    worker.cancel("1")  # type: ignore[arg-type]
    worker.flags["ping"] = frozenset()  # type: ignore[index]
    (await worker.send_command("ping")).success = True  # type: ignore[misc]
    await worker.health_check("soon")  # type: ignore[arg-type]
    await worker.terminate(1.0)  # type: ignore[call-arg]
    await worker.stop()  # type: ignore[func-returns-value, misc]


def told(event: trio_pool.PoolEvent, retried: trio_pool.RequestRetried, promoted: trio_pool.WorkerPromoted) -> None:
    """Look for what is not told."""
    str(event.worker_id)  # type: ignore[attr-defined]
    str(event.request_id)  # type: ignore[attr-defined]
    str(retried.worker_id)  # type: ignore[attr-defined]
    str(retried.attempt)  # type: ignore[attr-defined]
    retried.retries = 2  # type: ignore[misc]
    str(retried.retries.total)  # type: ignore[attr-defined]
    str(retried.command.name)  # type: ignore[attr-defined]
    str(promoted.pid)  # type: ignore[attr-defined]
    str(promoted.role)  # type: ignore[attr-defined]
    promoted.slot = 1  # type: ignore[misc]
    str(promoted.incarnation.number)  # type: ignore[attr-defined]


def errors(poison: trio_pool.PoisonRequest, role: trio_pool.WorkerRole, info: trio_pool.WorkerInfo) -> None:
    """Look for what errors and roles do not say."""
    str(poison.worker)  # type: ignore[attr-defined]
    poison.exits.append(None)  # type: ignore[attr-defined]
    str(trio_pool.WorkerRole.SPARE)  # type: ignore[attr-defined]
    str(trio_pool.WorkerRole.LEAVING.pid)  # type: ignore[attr-defined]
    role.name = "x"  # type: ignore[misc]
    str(info.role.value)  # type: ignore[union-attr]
    info.role = role  # type: ignore[misc]
    str(trio_pool.RequestRetry)  # type: ignore[attr-defined]


def greet(name: str) -> str:
    """Stand in for any importable function."""
    return name


@bridge.command(name="hello")  # type: ignore[call-overload, untyped-decorator]
def renamed(name: str) -> str:
    """Stand in for a command with a keyword that there is not."""
    return name


@bridge.command(concurrent="yes")  # type: ignore[call-overload, untyped-decorator]
async def wrongly_concurrent() -> None:
    """Stand in for a command with a flag of the wrong type."""


@bridge.command(interruptible=1)  # type: ignore[call-overload, untyped-decorator]
def wrongly_interruptible() -> None:
    """Stand in for the other one."""


@bridge.command(idempotent=True)  # type: ignore[call-overload, untyped-decorator]
def wrongly_idempotent() -> None:
    """Stand in for a command that says what its callers say."""


@bridge.command("hello")  # type: ignore[call-overload, untyped-decorator]
def named(name: str) -> str:
    """Stand in for a command that would be named."""
    return name


@bridge.on_start  # type: ignore[type-var]
def needs(argument: str) -> None:
    """Stand in for a start hook that wants what nobody gives it."""


@bridge.on_start()  # type: ignore[call-arg, untyped-decorator]
def start() -> None:
    """Stand in for a hook registered with a call too many."""


@bridge.on_session_end  # type: ignore[type-var]
def ends(session_id: str) -> None:
    """Stand in for a hook that takes a session for its id."""


def bridges(session: Session) -> None:
    """Build what cannot be asked."""
    Bridge("my_app")  # type: ignore[call-arg]
    bridge.include("my_app:bridge")  # type: ignore[arg-type]
    bridge.commands["greet"] = greet  # type: ignore[index]
    bridge.flags["greet"] = frozenset()  # type: ignore[index]
    bridge.command(greet, concurrent="yes")  # type: ignore[call-overload]
    session.check(1)  # type: ignore[call-arg]
    session.state = None  # type: ignore[assignment]


async def faults(pool: trio_pool.SessionPool, launcher: chaos.ChaosLauncher, monkey: chaos.ChaosMonkey) -> None:
    """Hurt what cannot be hurt."""
    chaos.ChaosMonkey()  # type: ignore[call-arg]
    chaos.ChaosMonkey("pool", launcher)  # type: ignore[arg-type]
    chaos.ChaosMonkey(pool, trio_pool.LocalLauncher())  # type: ignore[arg-type]
    chaos.ChaosMonkey(pool, launcher, 1)  # type: ignore[call-arg]
    chaos.ChaosMonkey(pool, launcher, seed="x")  # type: ignore[arg-type]
    with chaos.ChaosMonkey(pool, launcher):  # type: ignore[attr-defined]
        pass
    await monkey.kill(1)  # type: ignore[arg-type]
    await monkey.kill()  # type: ignore[call-arg]
    await monkey.kill_random_worker(True)  # type: ignore[call-arg]
    await monkey.kill_random_worker(busy="yes")  # type: ignore[arg-type]
    await monkey.freeze(trio_pool.WorkerRole)  # type: ignore[arg-type]
    await monkey.add_latency("execute")  # type: ignore[call-arg]
    await monkey.add_latency("execute", "1 s")  # type: ignore[arg-type]
    await monkey.add_latency("execute", 1.0, "w")  # type: ignore[call-arg]
    await monkey.consume_memory("half")  # type: ignore[arg-type]
    await monkey.consume_memory(0.5, budget=0.5)  # type: ignore[arg-type]
    (await monkey.kill("w")).thaw()  # type: ignore[attr-defined]
