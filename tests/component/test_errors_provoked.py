"""Every public error, provoked for real: its outcome against a ledger, its line against what a line must say.

The reference shows one line of each (``docs/reference/errors.md``), and these are compared too, numbers aside.
"""

from __future__ import annotations

import math
import os
import re
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio.testing
from _apps import notes
from _pools import exited, foreign, kill, noted, pid_of, settled
from _workers import PATIENCE

import trio_pool
from trio_pool import Outcome, PythonPool, TrioPoolError, WorkerError, errors

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from trio_pool import SessionPool

pytestmark = pytest.mark.slow

APP = "_delivery_app:bridge"
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"
NO, MAYBE, YES = Outcome.NOT_EXECUTED, Outcome.MAYBE_EXECUTED, Outcome.EXECUTED


@attrs.frozen
class Case:
    """One way to an error, what it says of its command, and how often that was entered in truth."""

    provoke: Callable[[Path], Awaitable[BaseException]]
    cls: type[TrioPoolError]
    outcome: Outcome
    entered: int


CASES: dict[str, Case] = {}


def provokes(
    cls: type[TrioPoolError], outcome: Outcome, entered: int
) -> Callable[[Callable[[Path], Awaitable[BaseException]]], Callable[[Path], Awaitable[BaseException]]]:
    """Enter a function into the table."""

    def enter(function: Callable[[Path], Awaitable[BaseException]]) -> Callable[[Path], Awaitable[BaseException]]:
        CASES[function.__name__] = Case(function, cls, outcome, entered)
        return function

    return enter


async def error_of(call: Callable[..., Awaitable[object]], *args: object, **options: object) -> TrioPoolError:
    """Return what the call raises."""
    with trio.fail_after(PATIENCE):
        try:
            value = await call(*args, **options)
        except TrioPoolError as exc:
            return exc
    pytest.fail(f"it returned {value!r}")


def asked(ledger: Path, **more: object) -> dict[str, object]:
    """Return the arguments of a command that enters ``t`` into the ledger."""
    return {"ledger": str(ledger), "token": "t", **more}


@asynccontextmanager
async def busy_pool(ledger: Path, **options: Any) -> AsyncGenerator[SessionPool, None]:
    """Open a pool whose only worker is busy with something else until the pool closes."""
    other = ledger.with_name("other")
    async with trio.open_nursery() as nursery, trio_pool.open_pool(APP, size=1, shutdown_grace=0.0, **options) as pool:
        nursery.start_soon(error_of, pool.execute_anonymous, "work_long", {"ledger": str(other), "token": "o"})  # noqa: ASYNC111  # it outlives the pool on purpose
        await noted(other, 1)
        yield pool


async def collect(found: list[TrioPoolError], call: Callable[..., Awaitable[object]], *args: object) -> None:
    found.append(await error_of(call, *args))


# -------------------------------------------------------------------------------------------------- refused by the pool


@provokes(trio_pool.PoolSaturated, NO, 0)
async def a_full_queue(ledger: Path) -> BaseException:
    async with busy_pool(ledger, max_queue=0) as pool:
        return await error_of(pool.execute_anonymous, "work", asked(ledger))


@provokes(trio_pool.PoolTimeout, NO, 0)
async def no_worker_in_time(ledger: Path) -> BaseException:
    async with busy_pool(ledger) as pool:
        return await error_of(pool.execute_anonymous, "work", asked(ledger), checkout_timeout=0.05)


@provokes(trio_pool.PoolTimeout, NO, 0)
async def no_budget_at_all(ledger: Path) -> BaseException:
    async with trio_pool.open_pool(APP, size=1) as pool:
        return await error_of(pool.execute_anonymous, "work", asked(ledger), timeout=0)


@provokes(trio_pool.PoolClosed, NO, 0)
async def a_closed_pool(ledger: Path) -> BaseException:
    async with trio_pool.open_pool(APP, size=1) as pool:
        pass
    return await error_of(pool.execute_in_session, "s", "work", asked(ledger))


@provokes(trio_pool.PoolClosed, NO, 0)
async def a_pool_that_closes_while_it_waits(ledger: Path) -> BaseException:
    found: list[TrioPoolError] = []
    async with trio.open_nursery() as nursery, busy_pool(ledger) as pool:
        nursery.start_soon(collect, found, pool.execute_anonymous, "work", asked(ledger))  # noqa: ASYNC111  # it outlives the pool on purpose
        await trio.testing.wait_all_tasks_blocked()
    return found[0]


@provokes(trio_pool.SessionNotFound, NO, 0)
async def a_session_that_is_ended_while_it_waits(ledger: Path) -> BaseException:
    found: list[TrioPoolError] = []
    async with trio.open_nursery() as nursery, busy_pool(ledger) as pool:
        nursery.start_soon(collect, found, pool.execute_in_session, "s", "work", asked(ledger))  # noqa: ASYNC111  # it outlives the pool on purpose
        await trio.testing.wait_all_tasks_blocked()
        await pool.end_session("s")
    return found[0]


@provokes(trio_pool.SessionLimit, NO, 0)
async def one_session_too_many(ledger: Path) -> BaseException:
    async with trio_pool.open_pool(APP, size=1, sessions={"max_sessions": 1}) as pool:
        pool.track_session("a")
        return await error_of(pool.execute_in_session, "b", "work", asked(ledger))


@provokes(trio_pool.SessionLost, NO, 0)
async def a_lost_session(ledger: Path) -> BaseException:
    async with trio_pool.open_pool(APP, size=1) as pool:
        await pool.execute_in_session("s", "work_in", {"ledger": str(ledger.with_name("other")), "token": "o"})
        await exited(pool, 0)
        return await error_of(pool.execute_in_session, "s", "work_in", asked(ledger))


@provokes(trio_pool.SessionMismatch, NO, 0)
async def a_worker_of_another_session(ledger: Path) -> BaseException:
    async with trio_pool.open_pool(APP, size=1) as pool, pool.checkout("s") as worker:

        async def checkout() -> None:
            await trio.lowlevel.checkpoint()
            worker.checkout("other")

        return await error_of(checkout)


# ------------------------------------------------------------------------------------------------ refused by the worker


@provokes(trio_pool.UnknownCommand, NO, 0)
async def an_unknown_command(ledger: Path) -> BaseException:
    async with trio_pool.open_pool(APP, size=1) as pool:
        return await error_of(pool.execute_anonymous, "wrok", asked(ledger))


@provokes(trio_pool.InvalidArguments, NO, 0)
async def wrong_arguments(ledger: Path) -> BaseException:
    async with trio_pool.open_pool(APP, size=1) as pool:
        return await error_of(pool.execute_anonymous, "work", asked(ledger, deaths="none"))


@provokes(trio_pool.ProgramNotFound, NO, 0)
async def an_unknown_program(ledger: Path) -> BaseException:
    async with trio_pool.open_pool(size=1) as pool:
        return await error_of(PythonPool(pool).session_adapter("s").execute_program, "fetch", {"token": "t"})


# ------------------------------------------------------------------------------------------------ values that are wrong


@provokes(trio_pool.Unserializable, NO, 0)
async def an_argument_that_cannot_travel(ledger: Path) -> BaseException:
    async with trio_pool.open_pool(APP, size=1) as pool:
        return await error_of(pool.execute_anonymous, "work", asked(ledger, deaths={1, 2}))


@provokes(trio_pool.Unserializable, NO, 0)
async def a_function_that_cannot_be_imported(ledger: Path) -> BaseException:
    def enter() -> None:
        """Never run."""

    async with trio_pool.open_pool(APP, size=1) as pool:
        return await error_of(pool.run_sync, enter)


@provokes(trio_pool.Unserializable, YES, 1)
async def a_result_that_cannot_travel(ledger: Path) -> BaseException:
    async with trio_pool.open_pool(APP, size=1) as pool:
        return await error_of(pool.execute_anonymous, "work_wrongly", asked(ledger, how="object"))


@provokes(trio_pool.FrameTooLarge, NO, 0)
async def an_argument_that_is_too_large(ledger: Path) -> BaseException:
    async with trio_pool.open_pool(APP, size=1, max_frame=50_000) as pool:
        return await error_of(pool.execute_anonymous, "work", asked(ledger, deaths=b"x" * 50_000))


@provokes(trio_pool.FrameTooLarge, YES, 1)
async def a_result_that_is_too_large(ledger: Path) -> BaseException:
    async with trio_pool.open_pool(APP, size=1, max_frame=50_000) as pool:
        return await error_of(pool.execute_anonymous, "work_wrongly", asked(ledger, how="large"))


# ------------------------------------------------------------------------------------------------- commands that failed


@provokes(trio_pool.RemoteError, YES, 1)
async def a_command_that_raises(ledger: Path) -> BaseException:
    async with trio_pool.open_pool(APP, size=1) as pool:
        return await error_of(pool.execute_anonymous, "work_wrongly", asked(ledger, how="raise"))


@provokes(trio_pool.CommandTimeout, MAYBE, 1)
async def a_command_that_takes_too_long(ledger: Path) -> BaseException:
    async with trio_pool.open_pool(APP, size=1, abandon_grace=0.0) as pool:
        return await error_of(pool.execute_anonymous, "work_long", asked(ledger), timeout=0.5)


@provokes(trio_pool.CommandTimeout, MAYBE, 0)
async def a_worker_that_is_frozen(ledger: Path) -> BaseException:
    async with trio_pool.open_pool(APP, size=1, abandon_grace=0.0) as pool:
        kill(pool.get_pool_status().workers[0], signal.SIGSTOP)
        return await error_of(pool.execute_anonymous, "work", asked(ledger), timeout=0.2)


@provokes(trio_pool.CommandTimeout, MAYBE, 1)
async def a_leased_worker_that_takes_too_long(ledger: Path) -> BaseException:
    async with trio_pool.open_pool(APP, size=1, abandon_grace=0.0) as pool, pool.checkout() as worker:
        return await error_of(worker.send_command, "work_long", asked(ledger), timeout=0.5)


@provokes(trio_pool.CommandTimeout, NO, 0)
async def no_other_worker_for_what_was_not_begun(ledger: Path) -> BaseException:
    found: list[TrioPoolError] = []
    restart = {"max_restarts": math.inf, "backoff": {"initial": 600.0, "maximum": 600.0, "jitter": "none"}}
    async with trio.open_nursery() as nursery, trio_pool.open_pool(APP, size=1, restart=restart) as pool:
        await exited(pool, 0)
        await settled(pool)
        os.kill(pid := pid_of(pool), signal.SIGSTOP)

        async def ask() -> None:
            found.append(await error_of(pool.execute_anonymous, "work", asked(ledger), timeout=0.3))

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        os.kill(pid, signal.SIGKILL)
        with trio.fail_after(PATIENCE):
            while not found:  # noqa: ASYNC110  # its caller is another task
                await trio.sleep(0.01)
    return found[0]


# ---------------------------------------------------------------------------------------------------- workers that died


@provokes(trio_pool.WorkerCrashed, MAYBE, 1)
async def a_worker_that_dies_of_it(ledger: Path) -> BaseException:
    async with trio_pool.open_pool(APP, size=1) as pool:
        return await error_of(pool.execute_anonymous, "work", asked(ledger, deaths=9))


@provokes(trio_pool.WorkerCrashed, MAYBE, 1)
async def a_command_that_exits(ledger: Path) -> BaseException:
    async with trio_pool.open_pool(APP, size=1) as pool:
        return await error_of(pool.execute_anonymous, "work_wrongly", asked(ledger, how="exit"))


@provokes(trio_pool.WorkerCrashed, MAYBE, 2)
async def a_retry_that_dies_too(ledger: Path) -> BaseException:
    async with trio_pool.open_pool(APP, size=1) as pool:
        return await error_of(pool.execute_anonymous, "work", asked(ledger, deaths=9), idempotent=True)


@provokes(trio_pool.WorkerCrashed, MAYBE, 1)
async def a_retry_without_budget(ledger: Path) -> BaseException:
    async with trio_pool.open_pool(APP, size=1, retry={"budget": 0, "min_budget": 0}) as pool:
        return await error_of(pool.execute_anonymous, "work", asked(ledger, deaths=9), idempotent=True)


@provokes(trio_pool.WorkerCrashed, MAYBE, 1)
async def a_pool_that_closes_while_it_runs(ledger: Path) -> BaseException:
    found: list[TrioPoolError] = []
    async with trio.open_nursery() as nursery, trio_pool.open_pool(APP, size=1, shutdown_grace=0.0) as pool:
        nursery.start_soon(collect, found, pool.execute_anonymous, "work_long", asked(ledger))  # noqa: ASYNC111  # it outlives the pool on purpose
        await noted(ledger, 1)
    return found[0]


@provokes(trio_pool.WorkerCrashed, NO, 0)
async def a_leased_worker_that_is_gone(ledger: Path) -> BaseException:
    async with trio_pool.open_pool(APP, size=1) as pool, pool.checkout() as worker:
        await exited(pool, 0)
        return await error_of(worker.send_command, "work", asked(ledger))


@provokes(trio_pool.WorkerCrashed, NO, 0)
async def ten_workers_that_die_unbegun(ledger: Path) -> BaseException:
    marking = [part.replace('"begun": None', '"begun": "page"') for part in foreign("read()")]
    restart = {"max_restarts": math.inf, "backoff": {"initial": 0.0}}
    async with trio_pool.open_pool(marking, size=1, restart=restart) as pool:
        return await error_of(pool.execute_anonymous, "work", asked(ledger))


@provokes(trio_pool.PoisonRequest, MAYBE, 2)
async def a_poison_request(ledger: Path) -> BaseException:
    async with trio_pool.open_pool(APP, size=1, retry={"poison_after": 2}) as pool:
        return await error_of(pool.execute_anonymous, "work", asked(ledger, deaths=9), idempotent=True)


@provokes(trio_pool.ProtocolError, MAYBE, 1)
async def garbage(ledger: Path) -> BaseException:
    async with trio_pool.open_pool(APP, size=1) as pool:
        return await error_of(pool.execute_anonymous, "work_wrongly", asked(ledger, how="garbage"))


@provokes(trio_pool.BroadcastFailed, YES, 1)
async def a_broadcast_that_raises(ledger: Path) -> BaseException:
    async with trio_pool.open_pool(APP, size=1) as pool:
        return await error_of(pool.broadcast, "work_wrongly", asked(ledger, how="raise"))


# ------------------------------------------------------------------------------------------------- of no command at all


@provokes(trio_pool.WorkerInitFailed, NO, 0)
async def an_application_that_cannot_be_imported(ledger: Path) -> BaseException:
    async def opened() -> None:
        async with trio_pool.open_pool("_broken_app:bridge", size=1):
            pytest.fail("it cannot be open")

    return await error_of(opened)


@provokes(trio_pool.RestartIntensityExceeded, NO, 0)
async def a_pool_that_gives_up(ledger: Path) -> BaseException:
    async def served() -> None:
        async with trio_pool.open_pool(APP, size=1, restart={"max_restarts": 0}) as pool:
            kill(pool.get_pool_status().workers[0])
            await trio.sleep_forever()

    return await error_of(served)


@provokes(trio_pool.ChildError, NO, 0)
async def a_refused_management_call(ledger: Path) -> BaseException:
    async with trio_pool.open_supervisor() as supervisor:
        return await error_of(supervisor.restart_child, "db")


@provokes(trio_pool.ProcessFailed, MAYBE, 0)
async def a_program_that_fails(ledger: Path) -> BaseException:
    command = trio_pool.CommandLine([sys.executable, "-c", "raise SystemExit(3)"])
    exits: list[trio_pool.ChildExited] = []

    def watch(event: trio_pool.SupervisorEvent) -> None:
        if isinstance(event, trio_pool.ChildExited):
            exits.append(event)

    with trio.fail_after(PATIENCE):
        async with trio_pool.open_supervisor(on_event=watch, auto_shutdown="any_significant") as supervisor:
            spec = trio_pool.ChildSpec(id="job", start=command, restart="temporary", significant=True)
            await supervisor.start_child(spec)
            await supervisor.wait()
    error = exits[0].error
    assert error is not None
    return error


# ------------------------------------------------------------------------------------------------------------ the tests


def shown(error: BaseException) -> str:
    """Return an error as a log shows it, with the same numbers at every run."""
    line = f"{type(error).__name__}: {error}"
    line = re.sub(r"pid \d+", "pid 4711", line)
    line = re.sub(r"\b\d+(\.\d+)?(e-\d+)? s\b", "0.3 s", line)
    line = re.sub(r"<function .*? at 0x\w+>", "<function enter at 0x7f>", line)
    line = re.sub(r"\d+ bytes", "60000 bytes", line)
    line = re.sub(r"there are [\w, ]+ \[", "there are … [", line)
    return re.sub(r"/\S+ \(process \d+\)", "/usr/bin/python (process 4711)", line)


def on_the_page() -> list[str]:
    """Return the lines that the reference shows."""
    (block,) = re.findall(r"```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [line for line in block.splitlines() if line]


@pytest.mark.parametrize("name", CASES)
async def test_the_outcome_is_true_and_the_line_says_all(tmp_path: Path, name: str) -> None:
    """What the command wrote into the ledger agrees with ``outcome``; the line has worker, outcome and advice."""
    case = CASES[name]
    ledger = tmp_path / "ledger"
    error = await case.provoke(ledger)
    assert type(error) is case.cls
    assert isinstance(error, TrioPoolError)
    assert error.outcome is case.outcome
    # The pool is closed and its workers are dead: nothing is entered after this.
    assert notes(ledger) == ["t"] * case.entered
    line = str(error)
    assert len(line.splitlines()) == 1
    assert error.worker_id is None or f"{error.worker_id}" in line
    assert not isinstance(error, WorkerError) or error.worker_id is not None
    if error.command is not None:
        assert line.startswith(f"{error.command}")
        assert line.endswith(f"; {error.outcome.words}; {error.advice}")
        assert error.advice
    assert shown(error) in on_the_page()


def test_every_public_error_is_provoked_and_shown() -> None:
    """The table leaves no class out, and the page shows nothing that does not happen."""
    abstract = {"TrioPoolError", "WorkerError", "Outcome"}
    assert {case.cls.__name__ for case in CASES.values()} == set(errors.__all__) - abstract
    assert len(on_the_page()) == len(set(on_the_page())) == len(CASES)
