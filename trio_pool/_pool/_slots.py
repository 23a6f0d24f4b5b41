"""The slots of a pool: how many there are, who of their workers serves, and the supervisors whose children they are.

There is a slot for each worker that is to serve and for each standby; they are all alike, and the worker that is ready
first serves first. Overflow workers have slots of their own, under a supervisor that never restarts them.

What follows from an event is decided at once, in synchronous functions that the router calls; what has to be waited for
(a start, the end of a worker that is not needed any more) is done by the task `Slots.tend`.
"""

from __future__ import annotations

import logging
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final, cast

import trio

from .._core._errors import ChildError, WorkerInitFailed
from .._core._events import WorkerPromoted
from .._core._groups import interrupt_in
from .._core._restart import BackoffTimer, Restart
from .._core._staff import Staff, WorkerRole
from .._supervision import ChildSpec, dynamic_supervisor_spec, supervisor_spec
from ._health import watch_health
from ._slot import Slot

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from .._process._running import WorkerSetup
    from .._supervision import Child, DynamicSupervisor, Supervisor
    from ._router import Router

_log = logging.getLogger("trio_pool.slots")

# How long a slot may take to stop before the supervisor says so: a worker's own stop ladder is done in two seconds.
_SLOT_STOP: Final = 2.0


class Slots:
    """The slots there are, and the roles of their workers.

    Args:
        name: The pool's.
        router: The pool's router.
        setup: How its workers are started.
    """

    def __init__(self, name: str, router: Router, setup: WorkerSetup) -> None:
        router.staff = self
        self._staff = Staff(router.size)
        self._name = name
        self._router = router
        self._setup = setup
        self._slots: dict[int, Slot] = {}
        self._children: dict[int, Child] = {}
        self._permanent: DynamicSupervisor
        self._overflow: DynamicSupervisor
        self._deeds: list[Callable[[], Awaitable[None]]] = []
        """What `tend` is to do."""
        self._woken = trio.Event()
        self._resizing = trio.Lock()
        self._recovering = 0
        """Overflow workers that did not get ready and are tried again after a delay."""
        config = router.config
        self._rng = Random(config.seed)  # noqa: S311  # it spreads delays, it guards nothing
        self._backoff = BackoffTimer(config.restart.backoff, self._rng)
        for _ in range(router.size + config.standby):
            self._add()

    def __iter__(self) -> Iterator[Slot]:
        return iter([self._slots[index] for index in sorted(self._slots)])

    def __len__(self) -> int:
        return len(self._slots)

    def index_of(self, worker_id: str) -> int | None:
        """Return the index of the slot of this name; None if it is none."""
        return next((slot.index for slot in self if slot.worker_id == worker_id), None)

    # -- starting ------------------------------------------------------------------------------------------------------

    async def start(self, root: Supervisor) -> None:
        """Start the slots' supervisors below ``root`` and all workers side by side.

        Raises:
            WorkerInitFailed: The first worker that did not get ready; the starts of the others are called off.
        """
        config = self._router.config
        permanent = dynamic_supervisor_spec(
            "slots",
            ChildSpec(id=self._name, start=Slot.run, restart=config.restart.restart, shutdown=_SLOT_STOP),
            max_restarts=config.restart.limit(len(self)),
            within=config.restart.within,
            backoff=config.restart.backoff,
            rng=self._rng,
        )
        self._permanent = cast("DynamicSupervisor", (await root.start_child(permanent)).value)
        if config.overflow:
            overflow = dynamic_supervisor_spec(
                "overflow",
                ChildSpec(id=self._name, start=Slot.run, restart=Restart.TEMPORARY, shutdown=_SLOT_STOP),
                max_children=config.overflow,
            )
            self._overflow = cast("DynamicSupervisor", (await root.start_child(overflow)).value)
        await self._start_all(tuple(self))

    async def _start_all(self, slots: Iterable[Slot]) -> None:
        failures: list[WorkerInitFailed | ChildError] = []

        async def start(slot: Slot) -> None:  # noqa: ASYNC910  # starting a child has checkpoints
            try:
                self._children[slot.index] = await self._permanent.start_child(slot, id=slot.worker_id)
            except (WorkerInitFailed, ChildError) as exc:
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

    def _add(self, *, overflow: bool = False) -> Slot:
        """Make a slot under the lowest number that is free."""
        index = next(index for index in range(len(self._slots) + 1) if index not in self._slots)
        slot = self._slots[index] = Slot(index, self._name, self._router, self._setup, overflow=overflow)
        return slot

    def forget(self, slot: Slot) -> None:
        """Take out a slot that gets no other worker, and settle what waited for one."""
        self._children.pop(slot.index, None)
        if self._slots.get(slot.index) is slot:
            del self._slots[slot.index]
        self._router.broadcasts.retire(slot)
        self.help()  # there is room for another, if this was one of the overflow

    # -- roles ---------------------------------------------------------------------------------------------------------

    def join(self, slot: Slot) -> WorkerRole:
        """Return the role of a worker that is ready."""
        role = WorkerRole.OVERFLOW if slot.overflow else WorkerRole.LEAVING if slot.leaving else None
        return self._staff.join(slot.incarnation, role)

    def role(self, slot: Slot) -> WorkerRole | None:
        """Return the role of a slot's worker; None while there is none that is ready."""
        return self._staff.role(slot.incarnation)

    def doubt(self, slot: Slot) -> None:
        """Promote no standby that does not answer."""
        if self.role(slot) is WorkerRole.STANDBY:
            self._staff.part(slot.incarnation)

    def trust(self, slot: Slot) -> None:
        """Have a worker that answers again stand by, or serve if that is needed meanwhile."""
        if self.role(slot) is None:
            self._router.assign_role(slot, self.join(slot))

    def part(self, incarnation: int) -> None:
        """Have a standby serve in place of a worker that is lost, before that one is even buried."""
        self._promote(self._staff.part(incarnation))

    def _promote(self, incarnations: Iterable[int]) -> None:
        router = self._router
        for incarnation in incarnations:
            slot = router.slots[incarnation]
            slot.leaving = False
            router.emit(WorkerPromoted, slot=slot.index, worker_id=slot.worker_id, incarnation=incarnation)
            router.assign_role(slot, WorkerRole.SERVING)

    def dismiss_idle(self, slot: Slot) -> None:
        """Dismiss a worker that is here only as long as it is needed, if it is not any more."""
        queue, role, worker = self._router.queue, self.role(slot), slot.serving
        if worker is None or queue.load(slot.incarnation):
            return
        if role is WorkerRole.OVERFLOW:
            worker.stop()
        elif role is WorkerRole.LEAVING and not queue.sessions(slot.incarnation):
            self.dismiss(slot)

    def dismiss(self, slot: Slot) -> None:
        """Have a slot stopped for good, if it has started and that is not under way already."""
        slot.leaving = slot.retired = True
        self.part(slot.incarnation)
        child = self._children.pop(slot.index, None)
        if child is not None:
            self._do(partial(self._stop, slot, child))

    @trio.lowlevel.enable_ki_protection
    async def _stop(self, slot: Slot, child: Child) -> None:
        supervisor = self._overflow if slot.overflow else self._permanent
        await supervisor.terminate_child(child)
        self.forget(slot)  # not before, for its number goes to the next

    # -- the size ------------------------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def resize(self, size: int) -> None:
        """Change how many workers serve; see `SessionPool.resize`."""
        async with self._resizing:
            before = self._router.size
            # Until others are there instead, they show what has become of the pool.
            done_for = [slot for slot in self if slot.retired and not slot.passing]
            new = self._fit(size)
            try:
                await self._start_all(new)
            except BaseException as exc:
                for slot in new:
                    if slot.index in self._children:
                        self.dismiss(slot)
                    else:
                        self.forget(slot)
                for slot in self._fit(before):
                    self.forget(slot)  # in place of one that ended for good meanwhile: nobody asked for another
                if isinstance(exc, ChildError):
                    self._router.check_open()  # the supervisor takes no more, for the pool closes
                raise
            for slot in done_for:
                self.forget(slot)

    def _fit(self, size: int) -> list[Slot]:
        """Give each worker its role in a pool of this size; return the slots that are to be started for it."""
        router = self._router
        router.size = size
        promoted, leaving = self._staff.resize(size, self._burden)
        self._promote(promoted)
        for incarnation in leaving:
            slot = router.slots[incarnation]
            slot.leaving = True
            router.assign_role(slot, WorkerRole.LEAVING)
        kept = [slot for slot in self if not slot.passing and not slot.retired]
        excess = len(kept) - size - router.config.standby
        # The others are those without a worker just now, or with one that finishes what it has begun. None stands by
        # that would be too many: while they do, as many serve as shall.
        others = [slot for slot in kept if self.role(slot) is None]
        for slot in others[: max(0, excess)]:
            if slot.announced:
                slot.leaving = True  # dismissed when it has left
            else:
                self.dismiss(slot)
        return [self._add() for _ in range(-excess)]

    def _burden(self, incarnation: int) -> tuple[int, int, int]:
        """Return what speaks against dismissing a worker: sessions, then what it runs; the newest slots go first."""
        queue = self._router.queue
        return queue.sessions(incarnation), queue.load(incarnation), -self._router.slots[incarnation].index

    # -- overflow ------------------------------------------------------------------------------------------------------

    def help(self) -> None:
        """Start an overflow worker for each request that waits and that one could take, as far as there may be some."""
        router = self._router
        if not router.config.overflow:
            return
        there = [slot for slot in self if slot.overflow]
        coming = self._recovering + sum(slot.incarnation not in router.slots for slot in there)
        wanted = router.queue.anonymous - coming
        for _ in range(min(wanted, router.config.overflow - len(there) - self._recovering)):
            self._do(partial(self._start_overflow, self._add(overflow=True)))

    @trio.lowlevel.enable_ki_protection
    async def _start_overflow(self, slot: Slot) -> None:
        try:
            self._children[slot.index] = await self._overflow.start_child(slot, id=slot.worker_id)
            self._backoff.started(trio.current_time())
            if slot.retired:
                self.dismiss(slot)  # it came and went before this task heard of it
        except WorkerInitFailed as exc:
            self.forget(slot)
            delay = self._backoff.next_delay(trio.current_time())
            _log.warning("overflow worker %s is tried again in %.3g s: %s", slot.worker_id, delay, exc)
            self._recovering += 1
            try:
                await trio.sleep(delay)
            finally:
                self._recovering -= 1
            self.help()

    # -- what takes time -----------------------------------------------------------------------------------------------

    def _do(self, deed: Callable[[], Awaitable[None]]) -> None:
        self._deeds.append(deed)
        self._woken.set()

    @trio.lowlevel.enable_ki_protection
    async def tend(self) -> None:
        """Do what has to be waited for, for as long as the pool lives."""
        async with trio.open_nursery() as nursery:
            while True:
                await self._woken.wait()
                self._woken = trio.Event()
                deeds, self._deeds = self._deeds, []
                for deed in deeds:
                    nursery.start_soon(self._carry_out, deed)

    async def _carry_out(self, deed: Callable[[], Awaitable[None]]) -> None:
        try:
            await deed()
        except ChildError:
            await trio.lowlevel.checkpoint()  # the pool closes, which ends all workers anyway


def housekeeping(router: Router, slots: Slots) -> ChildSpec:
    """Return the specification of what keeps house: the timer of all deadlines, who looks after idle workers, and who
    starts and dismisses those of which more or fewer are needed.
    """
    return supervisor_spec(
        "housekeeping",
        (
            ChildSpec(id="timer", start=router.deadlines.timer.run),
            ChildSpec(id="health", start=watch_health, args=(router,)),
            ChildSpec(id="staff", start=slots.tend),
        ),
    )
