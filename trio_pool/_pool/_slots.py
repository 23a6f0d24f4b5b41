"""The slots of a pool, all children of one dynamic supervisor, and what else keeps house beside them."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final, cast

import trio

from .._core._errors import WorkerInitFailed
from .._core._groups import interrupt_in
from .._supervision import ChildSpec, dynamic_supervisor_spec, supervisor_spec
from ._health import watch_health
from ._slot import Slot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._process._running import WorkerSetup
    from .._supervision import DynamicSupervisor, Supervisor
    from ._router import Router

# How long a slot may take to stop before the supervisor says so: a worker's own stop ladder is done in two seconds.
_SLOT_STOP: Final = 2.0


class Slots:
    """The slots there are, by index, and the supervisor that keeps their workers running.

    Args:
        name: The pool's.
        router: The pool's router.
        setup: How its workers are started.
    """

    def __init__(self, name: str, router: Router, setup: WorkerSetup) -> None:
        self._name = name
        self._router = router
        self._slots = {index: Slot(index, name, router, setup) for index in range(router.size)}
        self._supervisor: DynamicSupervisor

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._slots.values())

    def __len__(self) -> int:
        return len(self._slots)

    def index_of(self, worker_id: str) -> int | None:
        """Return the index of the slot of this name; None if it is none."""
        return next((slot.index for slot in self if slot.worker_id == worker_id), None)

    async def start(self, root: Supervisor) -> None:
        """Start the slots' supervisor below ``root`` and all workers side by side.

        Raises:
            WorkerInitFailed: The first worker that did not get ready; the starts of the others are called off.
        """
        config = self._router.config
        spec = dynamic_supervisor_spec(
            "slots",
            ChildSpec(id=self._name, start=Slot.run, restart=config.restart.restart, shutdown=_SLOT_STOP),
            max_restarts=config.restart.limit(self._router.size),
            within=config.restart.within,
            backoff=config.restart.backoff,
            rng=Random(config.seed),  # noqa: S311  # it spreads delays, it guards nothing
        )
        child = await root.start_child(spec)
        self._supervisor = cast("DynamicSupervisor", child.value)
        failures: list[WorkerInitFailed] = []

        async def start(slot: Slot) -> None:  # noqa: ASYNC910  # starting a child has checkpoints
            try:
                await self._supervisor.start_child(slot, id=slot.worker_id)
            except WorkerInitFailed as exc:
                failures.append(exc)
                nursery.cancel_scope.cancel()

        try:
            async with trio.open_nursery() as nursery:
                for slot in self:
                    nursery.start_soon(start, slot)
        except BaseExceptionGroup as group:
            raise interrupt_in(group) from None  # the group adds nothing: it is this nursery's
        if failures:
            raise failures[0]


def housekeeping(router: Router) -> ChildSpec:
    """Return the specification of what keeps house: the timer of all deadlines, and who looks after idle workers."""
    return supervisor_spec(
        "housekeeping",
        (
            ChildSpec(id="timer", start=router.deadlines.timer.run),
            ChildSpec(id="health", start=watch_health, args=(router,)),
        ),
    )
