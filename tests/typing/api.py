"""The public API as users write it; never run, only type checked: what is wrong here is a broken promise."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_type

import trio_pool
from trio_pool.bridge import Bridge, Session

if TYPE_CHECKING:
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
        await pool.run_sync(add, 1, "2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # checked
        async with pool.session() as session:
            assert_type(session.session_id, str)
            await session.execute("remember", {"key": "a", "value": 1})
        async with pool.checkout("user_1", checkout_timeout=1.0) as worker:
            assert_type(worker, trio_pool.PoolWorker)
            response = await worker.send_command("ping", {}, timeout=5.0)
            assert_type(response.error, trio_pool.TrioPoolError | None)
        pool.track_session("user_2")
        assert_type(pool.get_sessions()["user_2"], trio_pool.SessionInfo)
        await pool.end_session("user_2")
        assert_type(pool.get_pool_status().metrics.total_operations, int)
        assert_type((await pool.health_check()).status, trio_pool.HealthStatus)
        with pool.events(max_buffer=10) as events:
            async for event in events:
                assert_type(event, trio_pool.PoolEvent)


async def workers() -> None:
    """Use one worker."""
    async with trio_pool.open_worker(["./worker"], "w1", trio_pool.PoolConfig(start_timeout=1.0)) as worker:
        worker.checkout("user_1")
        worker.checkin("session_cleanup")
        assert_type(await worker.health_check(), trio_pool.Health)
        await worker.terminate()


async def supervisors() -> None:
    """Use a supervisor."""

    async def service(*, task_status: trio.TaskStatus[str]) -> None:  # noqa: ASYNC124  # startables are async
        task_status.started("ready")

    async with trio_pool.open_supervisor("one_for_one", max_restarts=3, within=5.0) as supervisor:
        child = await supervisor.start_child(trio_pool.ChildSpec(id="db", start=service, restart="permanent"))
        assert_type(child, trio_pool.Child)
        await supervisor.wait()


async def adapters(pool: trio_pool.SessionPool) -> None:
    """Use programs."""
    programs = trio_pool.PythonPool(pool)
    program_id = await programs.create_program(
        {"program_type": "python", "function": "my_app:answer", "signature": "question -> answer"}
    )
    await programs.execute_program(program_id, {"question": "why"}, {"timeout": 1.0})
    assert_type(await programs.session_adapter("user_1").list_programs(), list[str])
