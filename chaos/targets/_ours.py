"""Our own pool as a target."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs

import trio_pool

from .._about import installed
from .._launcher import ChaosLauncher
from ..scenario._fault import Capability
from ..workload._register import COMMANDS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from ._target import Call, Setup

_REACH = frozenset(Capability)
"""Every fault can reach our pool."""


class OurPool:
    """A pool of ours that is open.

    Args:
        pool: The pool.
        launcher: What it starts its workers through.
    """

    def __init__(self, pool: trio_pool.SessionPool, launcher: ChaosLauncher) -> None:
        self._pool = pool
        self.launcher = launcher

    @property
    def pool(self) -> trio_pool.SessionPool:
        """The pool itself."""
        return self._pool

    @property
    def capabilities(self) -> frozenset[Capability]:
        """All."""
        return _REACH

    async def call(self, call: Call) -> Any:
        """Send a request, as `OpenTarget.call` says."""
        options: dict[str, Any] = {"idempotent": call.idempotent}
        if call.timeout is not None:
            options["timeout"] = call.timeout
        command = COMMANDS.get(call.command, call.command)
        args = {"args": dict(call.args)}
        if call.session is None:
            return await self._pool.execute_anonymous(command, args, **options)
        return await self._pool.execute_in_session(call.session, command, args, **options)

    async def end_session(self, session: str) -> None:
        """End a session, as `OpenTarget.end_session` says."""
        await self._pool.end_session(session)

    def pids(self) -> Sequence[int]:
        """Return the workers' process ids by slot."""
        workers = sorted(self._pool.get_pool_status().workers, key=lambda worker: (worker.slot, worker.incarnation))
        return [worker.pid for worker in workers if worker.pid is not None]


class Ours:
    """trio_pool's own pool."""

    name = "trio_pool"
    sessions = True
    workloads: frozenset[str] | None = None

    @property
    def version(self) -> str:
        """Of the distribution."""
        return installed("trio-pool")

    @asynccontextmanager
    async def open(self, setup: Setup) -> AsyncGenerator[OurPool, None]:
        """Open a pool with the scenario's settings, its workers through a `ChaosLauncher`."""
        given = setup.scenario.pool
        launcher = ChaosLauncher()
        config = attrs.evolve(
            given,
            env={**(given.env or {}), **setup.env},
            seed=setup.seed,
            launcher=launcher,
            on_event=setup.on_event,
        )
        async with trio_pool.open_pool(setup.app, config, name=setup.scenario.name) as pool:
            yield OurPool(pool, launcher)
