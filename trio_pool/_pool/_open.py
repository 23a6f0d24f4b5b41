"""Opening a pool: the supervisor tree, from the first worker's start to the last one's burial."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from .._core._config import PoolConfig
from .._core._events import GaveUp, RestartScheduled
from .._process._running import WorkerSetup
from .._supervision import ChildRestartScheduled, SupervisorGaveUp, open_supervisor
from ._observers import Observers
from ._pool import SessionPool
from ._router import Router
from ._slots import Slots, housekeeping

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from typing import Unpack

    from .._core._config import PoolOptions
    from .._supervision import SupervisorEvent


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
    config.restart.check(size + config.standby)
    setup = WorkerSetup.make(app, config)
    observers = Observers(name, config.on_event)
    router = Router(config, size, observers)
    slots = Slots(name, router, setup)
    given_up: list[BaseException] = []
    hit: BaseException | None = None

    def observe(event: SupervisorEvent) -> None:
        if isinstance(event, ChildRestartScheduled):
            slot = slots.index_of(event.child_id)
            if slot is not None:
                router.emit(RestartScheduled, slot=slot, delay=event.delay)
        elif isinstance(event, SupervisorGaveUp):
            given_up.append(event.error)
            if len(given_up) == 1:
                # At once: those who wait must not wait for the tree to stop.
                router.close(event.error)
                router.fail_waiting()
                router.emit(GaveUp, error=event.error)

    try:
        # Whatever gives up below takes all down: the limits that matter are those of the supervisors below.
        async with open_supervisor(name=name, max_restarts=0, on_event=observe) as supervisor:
            await supervisor.start_child(housekeeping(router, slots))
            await slots.start(supervisor)
            router.opened_at = trio.current_time()
            pool = SessionPool(name, router, slots, supervisor, observers)
            try:
                yield pool
            except BaseException:
                # No drain, for whatever reason it is left; the supervisor stops the workers next.
                router.close()
                router.fail_waiting()
                raise
            await _drain(router, config.shutdown_grace)
    except (Exception, trio.Cancelled) as exc:  # noqa: ASYNC103  # raised below, if it is what has to leave
        if not given_up:
            raise
        hit = exc.__cause__ if exc in given_up else exc
    finally:
        router.close()
        router.fail_all()
        router.closed_at = trio.current_time()
        observers.close()
    if given_up:
        # Who gave up first, and why, is worth knowing; that it went up the tree from there is not. A Cancelled is not
        # the body's error: if it met the give-up on its way, this takes its place.
        if isinstance(hit, Exception) and hit not in given_up:
            raise given_up[0] from hit
        raise given_up[0]


async def _drain(router: Router, grace: float) -> None:
    """Take nothing more and let what is there end, for up to ``grace`` seconds."""
    router.drain()
    try:
        with trio.move_on_after(grace):
            await router.wait_idle()
    finally:
        # Also when this is cut short: those who wait must not wait for the tree to stop.
        router.draining = False
        router.fail_waiting()
