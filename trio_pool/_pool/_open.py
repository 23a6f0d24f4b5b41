"""Opening a pool: the supervisor tree, from the first worker's start to the last one's burial."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING

import trio

from .._core._config import PoolConfig
from .._core._errors import WorkerInitFailed
from .._core._events import GaveUp, RestartScheduled
from .._core._groups import interrupt_in
from .._process._running import WorkerSetup
from .._supervision import ChildRestartScheduled, ChildSpec, SupervisorGaveUp, open_supervisor
from ._health import watch_health
from ._observers import Observers
from ._pool import SessionPool
from ._router import Router
from ._slot import Slot

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from typing import Unpack

    from .._core._config import PoolOptions
    from .._supervision import Supervisor, SupervisorEvent

# How long a slot may take to stop before the supervisor says so: a worker's own stop ladder is done in two seconds.
_SLOT_STOP = 2.0


@asynccontextmanager
async def open_pool(
    app: str | Sequence[str] = "trio_pool.bridge:builtin",
    config: PoolConfig | None = None,
    *,
    name: str = "pool",
    **overrides: Unpack[PoolOptions],
) -> AsyncGenerator[SessionPool, None]:
    """Open a pool of worker processes for the length of an ``async with``; it is entered when every worker is ready.

    Workers that die are replaced as ``config.restart`` says. When that is exceeded, the body is cancelled and
    `RestartIntensityExceeded` leaves the ``async with``.

    Leaving the body normally takes no more requests and lets those that are there end, for up to ``shutdown_grace``
    seconds; leaving by exception or cancellation does not wait. Either way every worker is then stopped, killed if need
    be, and reaped within two seconds, whatever it does. The body's own exception leaves unchanged, never in a group.

    Args:
        app: ``"module:attribute"`` naming a `Bridge`, or the argv of an executable that speaks the protocol.
        config: The settings; None for the defaults.
        name: The pool's name, in worker ids, logs and events. Several pools may be open side by side.
        overrides: Single fields of the settings.

    Raises:
        WorkerInitFailed: A worker did not become ready; the others are stopped. It says what that worker printed.
        ValueError: ``app`` or a setting is wrong; the message names the field.
        RestartIntensityExceeded: The pool gave up on its workers. A body error is its ``__cause__``.
    """
    config = (config or PoolConfig()).evolve(**overrides)
    # Twice the CPUs: requests that wait for something outside the worker then leave no CPU idle.
    size = config.size or 2 * len(os.sched_getaffinity(0))
    config.restart.check(size)
    setup = WorkerSetup.make(app, config)
    observers = Observers(name, config.on_event)
    router = Router(config, size, observers)
    slots = tuple(Slot(index, name, router, setup) for index in range(size))
    pool = SessionPool(name, router, slots, observers)

    def observe(event: SupervisorEvent) -> None:
        if isinstance(event, ChildRestartScheduled) and event.child_id in indexes:
            router.emit(RestartScheduled, slot=indexes[event.child_id], delay=event.delay)
        elif isinstance(event, SupervisorGaveUp):
            # At once: those who wait must not wait for the tree to stop.
            router.close(event.error)
            router.fail_waiting()
            router.emit(GaveUp, error=event.error)

    indexes = {slot.worker_id: slot.index for slot in slots}
    try:
        async with open_supervisor(
            stop_order="together",  # the workers share one deadline, whatever their number
            max_restarts=config.restart.limit(size),
            within=config.restart.within,
            backoff=config.restart.backoff,
            rng=Random(config.seed),  # noqa: S311  # it spreads delays, it guards nothing
            name=name,
            on_event=observe,
        ) as supervisor:
            await supervisor.start_child(ChildSpec(id=f"{name}-timer", start=router.deadlines.timer.run))
            await _start_all(supervisor, slots, config)
            router.opened_at = trio.current_time()
            await supervisor.start_child(ChildSpec(id=f"{name}-health", start=watch_health, args=(router,)))
            try:
                yield pool
            except BaseException:
                # No drain, for whatever reason it is left; the supervisor stops the workers next.
                router.close()
                router.fail_waiting()
                raise
            await _drain(router, config.shutdown_grace)
    finally:
        router.close()
        router.fail_all()
        router.closed_at = trio.current_time()
        observers.close()


async def _drain(router: Router, grace: float) -> None:
    """Take nothing more and let what is there end, for up to ``grace`` seconds."""
    router.close()
    router.draining = True
    try:
        with trio.move_on_after(grace):
            await router.wait_idle()
    finally:
        # Also when this is cut short: those who wait must not wait for the tree to stop.
        router.draining = False
        router.fail_waiting()


async def _start_all(supervisor: Supervisor, slots: Sequence[Slot], config: PoolConfig) -> None:
    """Start all workers side by side; the first failure stops the rest and is raised."""
    failures: list[WorkerInitFailed] = []

    async def start(slot: Slot) -> None:  # noqa: ASYNC910  # starting a child has checkpoints
        spec = ChildSpec(id=slot.worker_id, start=slot.run, restart=config.restart.restart, shutdown=_SLOT_STOP)
        try:
            await supervisor.start_child(spec)
        except WorkerInitFailed as exc:
            failures.append(exc)
            nursery.cancel_scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            for slot in slots:
                nursery.start_soon(start, slot)
    except BaseExceptionGroup as group:
        raise interrupt_in(group) from None  # the group adds nothing: it is this nursery's
    if failures:
        raise failures[0]
