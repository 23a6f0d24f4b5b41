"""What `test_pool_every_checkpoint` does, with processes: none is left, no descriptor, and no task."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import _leaks
import _struck_app
import pytest
import trio
from _cancelling import strike_at_each_checkpoint
from _pool_operations import (
    PATIENCE,
    TIMEOUT,
    attempt,
    behind_others,
    broadcast,
    function,
    in_session,
    lease,
    resize,
    session,
    whole,
)

import trio_pool
from trio_pool import PoolConfig

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from trio_pool import SessionPool

pytestmark = pytest.mark.slow

APP = "_struck_app:bridge"


class FileLedger:
    """What workers have run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._next = 0

    def token(self) -> int:
        """Return a number that names one request."""
        self._next += 1
        return self._next

    @property
    def begun(self) -> list[int]:
        """The tokens of the commands that were entered, in order."""
        return [int(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []


def settings(ledger: FileLedger) -> PoolConfig:
    """Return the settings of a pool of one worker."""
    return PoolConfig(
        size=1,
        timeout=PATIENCE,
        checkout_timeout=PATIENCE,
        abandon_grace=TIMEOUT,
        restart={"max_restarts": float("inf"), "backoff": {"initial": 0.0, "maximum": 0.0}},
        env={**os.environ, _struck_app.LEDGER: str(ledger.path)},
    )


def striking(kill: bool) -> Callable[[], None]:
    """Return what strikes: it kills every child of this process, or does nothing."""

    def strike() -> None:
        for pid in list(_leaks.child_pids()) if kill else ():
            # One that is not reaped has its number still, so nobody else is hit.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    return strike


def held() -> tuple[int, int, int]:
    """Return how many tasks, children and descriptors there are."""
    return trio.lowlevel.current_statistics().tasks_living, len(_leaks.children()), len(_leaks.descriptors())


STRIKES = pytest.mark.parametrize(("kill", "cancel"), [(False, True), (True, True)], ids=["cancelled", "both"])


@STRIKES
@pytest.mark.parametrize(
    "operation",
    [in_session, behind_others, function, broadcast, lease, session, resize],
    ids=lambda each: each.__name__,
)
async def test_a_pool_of_processes_is_whole_after_any_call_was_struck_anywhere(
    operation: Callable[[SessionPool, int], Awaitable[None]], kill: bool, cancel: bool, tmp_path: Path
) -> None:
    """Nothing is lost, nothing runs twice, errors are typed and true, and the next caller is served."""
    ledger = FileLedger(tmp_path / "ledger")
    async with trio_pool.open_pool(APP, settings(ledger)) as pool:
        await whole(pool, ledger)
        before = held()

        async def operate() -> None:
            token = ledger.token()
            await attempt(lambda: operation(pool, token), ledger, token, kill=kill)

        async def look() -> None:
            await whole(pool, ledger)
            with trio.move_on_after(TIMEOUT):
                while held() != before:  # noqa: ASYNC110  # a descriptor that is closed has no event
                    await trio.sleep(_leaks.PAUSE)
            assert held() == before

        assert await strike_at_each_checkpoint(operate, striking(kill), look, cancel=cancel) > 1


@STRIKES
async def test_no_process_is_left_of_a_pool_struck_anywhere_between_opening_and_closing(
    kill: bool, cancel: bool, tmp_path: Path
) -> None:
    """No process, descriptor or task, wherever it was struck; errors are typed and true."""
    ledger = FileLedger(tmp_path / "ledger")
    before = held()

    async def operate() -> None:
        token = ledger.token()

        async def live() -> None:
            async with trio_pool.open_pool(APP, settings(ledger)) as pool:
                await in_session(pool, token)

        await attempt(live, ledger, token, kill=kill)

    async def look() -> None:
        await trio.lowlevel.checkpoint()
        assert held() == before

    assert await strike_at_each_checkpoint(operate, striking(kill), look, cancel=cancel) > 3
