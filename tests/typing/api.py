"""The public API as users write it; never run, only type checked: what is wrong here is a broken promise."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, assert_type

import trio_pool
from trio_pool import testing, wire
from trio_pool.bridge import Bridge, Interrupted, Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import trio

bridge = Bridge()


@bridge.command
def greet(name: str, excited: bool = False) -> str:
    """Show a typed command."""
    return f"hello {name}" + "!" * excited


@bridge.command()
def remember(session: Session, key: str, value: int) -> None:
    """Show a command with a session."""
    session.state[key] = value


@bridge.command(concurrent=True)
async def fetch(url: str) -> bytes:
    """Show an async command."""
    async with trio_pool.open_worker() as worker:
        await worker.health_check()
    return url.encode()


@bridge.command(interruptible=True)
def crunch(session: Session) -> None:
    """Show a command that may be stopped, and one way to notice."""
    try:
        session.check()
    except Interrupted:
        raise


@bridge.on_start
def start() -> None:
    """Show the start hook."""


@bridge.on_session_end
def end(session: Session) -> None:
    """Show the session-end hook."""


def add(a: int, b: int) -> int:
    """Stand in for any importable function."""
    return a + b


async def pools() -> None:
    """Use a pool."""
    config = trio_pool.PoolConfig(size=2, restart=trio_pool.RestartPolicy(max_restarts=None))
    async with trio_pool.open_pool("my_app:bridge", config, name="pool", timeout=1.0, health={"interval": 1.0}) as pool:
        assert_type(pool, trio_pool.SessionPool)
        await pool.execute_anonymous("greet", {"name": "you"}, timeout=1.0, checkout_timeout=0.5)
        await pool.execute_in_session("user_1", "remember", {"key": "a", "value": 1})
        assert_type(await pool.run_sync(add, 1, 2), int)
        assert_type(await pool.run_sync(add, 1, 2, idempotent=True), int)
        await pool.execute_anonymous("greet", {"name": "you"}, idempotent=True)
        await pool.run_sync(add, 1, "2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # checked
        async with pool.session() as session:
            assert_type(session.session_id, str)
            await session.execute("remember", {"key": "a", "value": 1}, idempotent=True)
        async with pool.checkout("user_1", checkout_timeout=1.0) as worker:
            assert_type(worker, trio_pool.PoolWorker)
            response = await worker.send_command("ping", {}, timeout=5.0)
            assert_type(response.error, trio_pool.TrioPoolError | None)
        pool.track_session("user_2")
        assert_type(pool.get_sessions()["user_2"], trio_pool.SessionInfo)
        await pool.end_session("user_2")
        assert_type(pool.get_pool_status().metrics.total_operations, int)
        assert_type((await pool.health_check()).status, trio_pool.HealthStatus)
        assert_type(pool.get_pool_status().uptime, float)
        try:
            await pool.broadcast("load", {"model": "m"}, key="model")
        except trio_pool.BroadcastFailed as exc:
            assert_type(exc.errors, dict[str, trio_pool.TrioPoolError])
            assert_type(exc.key, str | None)
        with pool.events(max_buffer=10) as events:
            async for event in events:
                assert_type(event, trio_pool.PoolEvent)


async def retries(pool: trio_pool.SessionPool) -> None:
    """Use what tells of retries."""
    assert_type(pool.config.retry, trio_pool.RetryPolicy)
    assert_type(trio_pool.PoolConfig(retry={"max_retries": 2}).retry.poison_after, int)
    assert_type(pool.get_pool_status().metrics.retries, int)
    try:
        await pool.execute_in_session("user_1", "recall", idempotent=True)
    except trio_pool.PoisonRequest as exc:
        assert_type(exc.workers, tuple[str, ...])
        assert_type(exc.exits, tuple[trio_pool.Exit | None, ...])
        assert_type(exc.what + exc.advice + exc.outcome.words, str)
    with pool.events() as events:
        async for event in events:
            if isinstance(event, trio_pool.RequestRetried):
                assert_type(event.retries, int)


async def staffing(config: trio_pool.PoolConfig) -> None:
    """Use more workers than serve, and another number of them."""
    options: trio_pool.PoolOptions = {"overflow": 2, "standby": 1, "concurrency": 8}
    async with trio_pool.open_pool("my_app:bridge", config.evolve(lease_warning=5.0), **options) as pool:
        assert_type(pool.config.overflow + pool.config.standby + pool.config.concurrency, int)
        assert_type(pool.config.lease_warning, float)
        assert_type(pool.supervisor.tree(), trio_pool.SupervisorNode)
        await pool.resize(3)
        status = pool.get_pool_status()
        assert_type(status.size + status.ready + status.standby, int)
        for info in status.workers:
            assert_type(info.role, trio_pool.WorkerRole | None)
            assert_type(info.request_ids, tuple[int, ...])
            assert_type(info.role is trio_pool.WorkerRole.STANDBY, bool)
        with pool.events() as events:
            async for event in events:
                match event:
                    case trio_pool.WorkerPromoted():
                        assert_type((event.slot, event.worker_id, event.incarnation), tuple[int, str, int])
                    case trio_pool.RequestRetried():
                        assert_type((event.request_id, event.incarnation), tuple[int, int])
                        assert_type(event.session_id, str | None)
                        assert_type(event.command, str)
                    case _:
                        assert_type(event.pool, str)
        await pool.drain()


async def workers() -> None:
    """Use one worker."""
    async with trio_pool.open_worker(["./worker"], "w1", trio_pool.PoolConfig(start_timeout=1.0)) as worker:
        worker.checkout("user_1")
        worker.checkin("session_cleanup")
        assert_type(await worker.health_check(), trio_pool.Health)
        assert_type(worker.flags["fetch"], frozenset[str])
        worker.cancel(1)
        await worker.terminate()


async def supervisors() -> None:
    """Use a supervisor."""

    async def service(*, task_status: trio.TaskStatus[str]) -> None:  # noqa: ASYNC124  # startables are async
        task_status.started("ready")

    async with trio_pool.open_supervisor("one_for_one", max_restarts=3, within=5.0) as supervisor:
        child = await supervisor.start_child(trio_pool.ChildSpec(id="db", start=service, restart="permanent"))
        assert_type(child, trio_pool.Child)
        assert_type(child.status, trio_pool.ChildStatus)
        assert_type(supervisor.which_children(), tuple[trio_pool.Child, ...])
        assert_type(supervisor.count_children().workers, int)
        assert_type(supervisor.get_childspec("db"), trio_pool.ChildSpec)
        assert_type(supervisor.tree(), trio_pool.SupervisorNode)
        await supervisor.restart_child("db")
        await supervisor.terminate_child("db")
        await supervisor.delete_child("db")
        await supervisor.wait()


async def trees() -> None:
    """Use every kind of child."""

    @asynccontextmanager
    async def connection(url: str) -> AsyncIterator[int]:
        yield len(url)

    def observe(event: trio_pool.SupervisorEvent) -> None:
        match event:
            case trio_pool.ChildExited():
                assert_type(event.reason, trio_pool.Ending | None)
            case trio_pool.SupervisorGaveUp():
                assert_type(event.error, BaseException)
            case _:
                assert_type(event.supervisor, tuple[str, ...])

    proxy = trio_pool.CommandLine(["proxy", "--port", "80"], cwd="/srv", env={"A": "1"}, clean_codes=[0, 3])
    job = trio_pool.ChildSpec(id="job", start=proxy, restart=trio_pool.Restart.TEMPORARY, shutdown="brutal_kill")
    children = [
        trio_pool.ChildSpec(id="db", start=trio_pool.HeldOpen(connection), args=("tcp://db",), shutdown=1.0),
        trio_pool.ChildSpec(id="proxy", start=proxy, backoff=trio_pool.Backoff(initial=1.0), start_timeout=1.0),
        trio_pool.supervisor_spec("sub", [job], trio_pool.Strategy.ONE_FOR_ALL, max_restarts=1, within=60.0),
        trio_pool.dynamic_supervisor_spec("jobs", job, max_children=10, restart="transient", significant=True),
    ]
    async with trio_pool.open_supervisor(
        children=children, auto_shutdown="any_significant", stop_order="together", name="app", on_event=observe
    ) as supervisor:
        assert_type(supervisor, trio_pool.Supervisor)
    async with trio_pool.open_dynamic_supervisor(job, max_children=10, backoff=None) as jobs:
        assert_type(jobs, trio_pool.DynamicSupervisor)
        child = await jobs.start_child("--fast", 1)
        await jobs.terminate_child(child)


async def adapters(pool: trio_pool.SessionPool) -> None:
    """Use programs."""
    signature = trio_pool.Signature.parse("question -> answer: float")
    assert_type(signature.inputs, tuple[trio_pool.Field, ...])
    assert_type(signature.outputs[0].type, trio_pool.FieldType)
    programs = trio_pool.PythonPool(pool)
    program_id = await programs.create_program(
        {"program_type": "python", "function": "my_app:answer", "signature": "question -> answer"}
    )
    await programs.execute_program(program_id, {"question": "why"}, {"timeout": 1.0})
    assert_type(await programs.session_adapter("user_1").list_programs(), list[str])
    assert_type(programs.supports_test_layer(trio_pool.Layer.SYSTEM), bool)
    assert_type(programs.get_stats()["layer"], Any)
    assert_type(programs.get_test_capabilities(), dict[str, Any])
    await trio_pool.PythonPool(pool, layer="production").configure_lm({"model": "openai/gpt", "temperature": 0.0})


async def tests(port: testing.MockPort, worker: trio_pool.PoolWorker) -> None:
    """Use what tests are made of."""
    data = testing.TestDataGenerators(seed=7)
    assert_type(data.session_ids(3), list[str])
    for operation in data.bulk_operations(10):
        assert_type(operation.type, testing.OperationType)
    inputs = data.inputs_for_signature(testing.TestSignatures.custom(["a: int"], ["b"]))
    testing.expected_output("a: int -> b", inputs)
    assert_type(testing.Workload.burst(50, every=10, base=2).arrivals(60, seed=1), list[float])
    testing.NetworkFailure("intermittent", 1.0).apply_to(port, seed=1)
    testing.WorkerCrash("busiest", 2).apply_to(port)
    testing.ResourceExhaustion(testing.Resource.MEMORY, 0.8).apply_to(port)
    assert_type(data.error_scenario(), testing.ErrorScenario)
    testing.WorkerCommand.checkin("ok").apply_to(worker)
    assert_type(await testing.measure_operation(lambda: 1), tuple[int, float])
    assert_type(await testing.measure_operation(worker.health_check), tuple[trio_pool.Health, float])
    timings = await testing.benchmark_pool(lambda: worker.send_command("ping"), warmup=1, iterations=10)
    assert_type(timings, testing.Timings)
    assert_type(testing.EXPECTATIONS["pool_checkout"].missed(timings), tuple[str, ...])
    with testing.with_config({"MY_POOL_SIZE": "2"}, prefix="MY_POOL", timeout=1.0) as config:
        assert_type(config, trio_pool.PoolConfig)
    with testing.isolated_port() as own:
        assert_type(own, testing.IsolatedPort)


async def workers_in_memory(bridge: Bridge) -> None:
    """Tell workers in memory what to answer and what to get wrong."""
    with testing.MockPort(chunk=16, seed=1) as port:
        port.include(bridge)
        port.command("add", lambda a, b: a + b)
        port.command("fetch", fetch, flags=["async"])
        assert_type(bridge.flags["fetch"], frozenset[str])
        port.expect_command("add", 3, args={"a": 1, "b": 2}, worker="w")
        port.expect_command("add", error=trio_pool.InvalidArguments("no"), worker=1)
        port.expect_sequence(["ping", ("echo", 1), ("add", 3, {"a": 1, "b": 2})])
        port.simulate_timeout("sleep", times=1)
        port.simulate_slow_response(1.5)
        port.simulate_slow_response(lambda received: float(received.wire_id))
        port.simulate_crash(after=testing.CrashPoint.READ)
        port.simulate_garbage(b"\xff", "echo")
        port.simulate_spawn_failure(PermissionError())
        port.simulate_init_failure("broken", worker="w")
        port.heal()
        launcher: trio_pool.Launcher = port
        async with trio_pool.open_worker(config=trio_pool.PoolConfig(launcher=launcher)):
            assert_type(port.workers, tuple[testing.MockWorker, ...])
            handle: trio_pool.WorkerHandle = port.workers[0]
            await handle.kill()
        received: testing.ReceivedCommand = port.history[0]
        assert_type(received.at, float)
        assert_type(testing.MockPort.unhealthy(), testing.MockPort)


def foreign_worker(data: bytes) -> list[bytes | memoryview]:
    """Speak the protocol without the rest of the library."""
    decoder = wire.MessageDecoder(2**20)
    requests = decoder.feed(data)
    reply = wire.encode({"success": True, "result": None}, 2**20)
    assert_type(wire.encode_json({"type": "ready", "protocol": wire.PROTOCOL, "codec": wire.CODEC}), bytes)
    return wire.pieces(requests[0]["id"], reply)
