"""Broadcasts: one command run once in every worker and, under a key, in every worker there will be.

A broadcast gives each slot an *errand*, which takes its turn on that slot's worker by the time of the call, older than
every request submitted later. A slot between two workers gets its errand when the next is ready. An errand that its
worker had not begun when it died goes to the replacement, as a request would.

**Keys.** A keyed broadcast is state of the pool, so it must not end half done. It is *kept* from the moment one worker
has answered it with success, be its caller still there or not, and from then on

* a worker that starts runs it before it is ready (`Broadcasts.prepare`);
* a live worker whose errand was given up unsent, because the caller left or had waited long enough, still gets one, a
  late one, in the place of the call;
* a worker in which a late one fails is killed, for nobody else would hear of it, and its replacement must do better.

The latest call under a key wins, not the latest answer: every worker runs those of one key in the order of the calls,
and an older one is never kept in place of a newer. One that no worker accepted is not kept: it would be poison for all
later workers. A worker whose failure the caller was told of stays as it is, which is the caller's to judge.

As everywhere in the router, no checkpoint divides a change of state.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, Final

import trio

from .._core._errors import InvalidArguments, PoolSaturated
from .._core._session_table import MAX_ID_BYTES, is_id
from .._core._ticket import Phase
from .._process._commands import request as pack
from ._failures import (
    answered_too_late,
    broadcast_failed,
    closed_on,
    left_alone,
    not_free_in_time,
    not_replaced,
    refused,
    replay_failed,
)
from ._request import MAX_DISPATCHES, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .._core._errors import TrioPoolError, WorkerInitFailed
    from .._core._messages import Encoded, Message
    from .._process._worker import PoolWorker
    from ._router import Router
    from ._slot import Slot

_log = logging.getLogger("trio_pool.broadcast")

# Keys are names in a program's text, not data: more than this is a key made from data, which would never be freed.
MAX_KEYS: Final = 100
# Calls under way at once; each has an errand a worker. Pretty arbitrary, and far beyond what configuring a pool needs.
MAX_CALLS: Final = 100
# Replays in one start. Only who broadcasts faster than a worker can replay gets here; the rest is then run late.
MAX_REPLAYS: Final = 4 * MAX_KEYS


class Broadcast:
    """One call: its command, and what came of it in each worker."""

    __slots__ = ("called_at", "command", "done", "encoded", "ended", "key", "number", "open", "reached")

    def __init__(self, command: str, encoded: Encoded, key: str | None, number: int) -> None:
        self.command = command
        self.encoded = encoded
        self.key = key
        self.number = number
        """Its place among requests and broadcasts."""
        self.called_at = trio.current_time()
        self.open: dict[Errand, None] = {}
        """The errands the caller waits for."""
        self.reached: dict[int, int] = {}
        """By slot, the last incarnation that has run it or has an errand of it."""
        self.done = trio.Event()
        self.ended: dict[int, tuple[str, TrioPoolError | None, Any]] = {}
        """Worker id, error and result by slot, until the caller has them: what is kept must not keep those."""

    def end(self, errand: Errand, error: TrioPoolError | None, result: object) -> None:
        """Write down what came of an errand; the last one wakes the caller."""
        del self.open[errand]
        if error is not None:
            error.request_id = None  # no request of anybody's
        self.ended[errand.slot.index] = (errand.slot.worker_id, error, result)
        if not self.open:
            self.done.set()

    def outcome(self) -> dict[str, Any]:
        """Hand over the results by worker id, in the order of the slots.

        Raises:
            BroadcastFailed: It failed in a worker.
        """
        ended = [self.ended[index] for index in sorted(self.ended)]
        self.ended.clear()
        results = {worker_id: result for worker_id, error, result in ended if error is None}
        errors = {worker_id: error for worker_id, error, _ in ended if error is not None}
        if errors:
            raise broadcast_failed(self, results, errors)
        return results


class Errand(Request):
    """A broadcast's run in one slot's worker; ``finished`` once nobody is to be told what comes of it.

    No submission: it is in no count, and its ``request_id`` means nothing.
    """

    __slots__ = ("broadcast", "died_with", "slot")

    def __init__(self, router: Router, broadcast: Broadcast, slot: Slot, *, queue_deadline: float) -> None:
        super().__init__(
            router,
            0,
            broadcast.command,
            broadcast.encoded,
            None,
            submitted_at=broadcast.called_at,
            queue_deadline=queue_deadline,
            deadline=math.inf,
        )
        self.broadcast = broadcast
        self.slot = slot
        self.died_with: TrioPoolError | None = None
        """What to tell the caller unless the worker's replacement runs it as kept."""

    @property
    def due(self) -> float:
        """When the timer must look at it."""
        return self.deadline if self.phase is Phase.RUNNING else self.queue_deadline

    def replied(self, message: Message) -> None:
        """Take the worker's reply."""
        self._router.broadcasts.replied(self, message)


class Broadcasts:
    """The broadcasts of one pool: those under way, and the latest of each key.

    Args:
        router: The pool's router.
    """

    def __init__(self, router: Router) -> None:
        self._router = router
        self._kept: dict[str, Broadcast] = {}
        self._calls: dict[Broadcast, None] = {}
        """The calls somebody waits for."""
        self._errands: dict[Errand, None] = {}
        """All errands to come and all that run, in the order they were made."""
        self._ping = pack("ping", None, None, router.config.max_frame)

    @property
    def under_way(self) -> bool:
        """Whether a caller waits."""
        return bool(self._calls)

    @property
    def next_due(self) -> float:
        """When the timer must look at an errand."""
        return min((errand.due for errand in self._errands), default=math.inf)

    # -- calls ---------------------------------------------------------------------------------------------------------

    def start(self, command: str, encoded: Encoded, key: str | None, slots: Iterable[Slot]) -> Broadcast:
        """Take a call in and send it to the workers that are idle; its caller waits for ``done``, or leaves it.

        Raises:
            ValueError: ``key`` is not a non-empty str of up to 255 bytes.
            InvalidArguments, PoolSaturated, PoolClosed: It was refused; nothing is left of it.
        """
        if key is not None and not is_id(key):
            raise ValueError(f"a key is a non-empty str of up to {MAX_ID_BYTES} bytes, not {key!r:.80}")
        router = self._router
        router.check_open()
        # Also those nobody waits for any more: what still runs may yet be kept.
        keys = {*self._kept, *(errand.broadcast.key for errand in self._errands)} - {None}
        if key is not None and key not in keys and len(keys) >= MAX_KEYS:
            # Not PoolSaturated, which waiting cures.
            raise InvalidArguments(f"{command} did not run: there are {MAX_KEYS} keys already", command=command)
        if len(self._calls) >= MAX_CALLS:
            message = f"{command} did not run: {len(self._calls)} broadcasts are under way already"
            raise PoolSaturated(message, queued=len(self._calls), max_queue=MAX_CALLS, command=command)
        # What is kept must not change when the caller writes into a buffer it has sent.
        encoded = encoded if key is None else encoded.detached()
        broadcast = Broadcast(command, encoded, key, router.queue.next_number())
        deadline = broadcast.called_at + router.config.timeout
        for slot in slots:
            # One of the overflow that is still starting may not come; if it does it gets what is kept.
            if not slot.retired and not (slot.overflow and slot.incarnation not in router.slots):
                broadcast.open[Errand(router, broadcast, slot, queue_deadline=deadline)] = None
        errands = list(broadcast.open)
        self._errands.update(broadcast.open)
        if errands:
            self._calls[broadcast] = None
        else:
            broadcast.done.set()
        router.deadlines.by(deadline)
        for errand in errands:
            self._place(errand)
        return broadcast

    def leave(self, broadcast: Broadcast) -> None:
        """Take note that the caller has left.

        What was not sent is withdrawn. A worker that runs it without a key has ``abandon_grace`` to end, as after any
        command. With a key it runs on, for the state of the pool is at stake, within the time it has anyway.
        """
        for errand in list(broadcast.open):
            if errand.phase is not Phase.RUNNING:
                self._give_up(errand, None)
                continue
            self._close(errand, None)
            if broadcast.key is None:
                self._abandon(errand, "cancelled")
            elif errand.incarnation in self._router.slots:  # in a worker that starts it has its limit anyway
                errand.deadline = min(errand.deadline, trio.current_time() + self._limit)
                self._router.deadlines.by(errand.deadline)
        broadcast.ended.clear()

    # -- an errand's way -----------------------------------------------------------------------------------------------

    @property
    def _limit(self) -> float:
        """How long a run may take for which no caller waits, and so no caller's scope bounds it."""
        config = self._router.config
        return config.timeout if config.timeout < math.inf else config.start_timeout

    def _place(self, errand: Errand) -> None:
        """Give an errand to its slot's worker, now or in its turn, or leave it for the slot's next worker."""
        router, slot = self._router, errand.slot
        if slot.serving is None or slot.incarnation not in router.slots:
            return
        errand.broadcast.reached[slot.index] = slot.incarnation
        if router.queue.pin(errand, slot.incarnation, errand.broadcast.number):
            router.queue.started.append(errand)
            router.carry_out()

    def sent(self, errand: Errand) -> None:
        """Take note that a worker has it: from now on it has the pool's ``timeout``."""
        errand.submitted_at = trio.current_time()
        errand.deadline = errand.submitted_at + (self._limit if errand.finished else self._router.config.timeout)
        self._router.deadlines.by(errand.deadline)

    def replied(self, errand: Errand, message: Message) -> None:
        """Take a worker's reply and free the worker."""
        router, broadcast = self._router, errand.broadcast
        slot, worker = router.holder(errand)
        del self._errands[errand]
        if left_alone(message):
            router.worker_leaving(worker, errand)
            router.release(errand, slot, worker)
            router.staff.part(worker.incarnation)
            if not errand.finished:  # it waits on, for the replacement; else that runs what is kept
                self._errands[errand] = None
                errand.phase, errand.incarnation, errand.deadline = Phase.NEW, None, math.inf
            return
        if message["success"]:
            self._keep(broadcast)
            self._close(errand, None, message["result"])
        else:
            worker.stats.errors += 1
            error = refused(message["error"], errand.command, worker)
            if not errand.finished:
                self._close(errand, error)
            elif broadcast.key is not None:
                self._failed_unheard(errand, worker, error)
        router.release(errand, slot, worker)

    def _failed_unheard(self, errand: Errand, worker: PoolWorker, error: TrioPoolError) -> None:
        """Settle a failure of which the caller can no longer be told."""
        broadcast = errand.broadcast
        if self._kept.get(broadcast.key or "") is broadcast:
            what = "%s (pid %s) is replaced, for it failed in the broadcast kept under key %r: %s"
            _log.warning(what, worker.worker_id, worker.pid, broadcast.key, error)
            self._router.kill(errand.slot, worker, "broadcast")
        else:
            broadcast.reached.pop(errand.slot.index, None)  # should another accept it, this one is asked again

    def _keep(self, broadcast: Broadcast) -> None:
        """Keep what a worker has accepted, and see to the workers that were not to get it any more."""
        key = broadcast.key
        if key is None:
            return
        before = self._kept.get(key)
        if before is not None:
            if before.number >= broadcast.number:
                return
            for errand in list(self._errands):
                if errand.broadcast is before and errand.finished and self._router.queue.unpin(errand):
                    del self._errands[errand]
        self._kept[key] = broadcast
        for slot in list(self._router.slots.values()):
            self._make_up(broadcast, slot)

    def _make_up(self, broadcast: Broadcast, slot: Slot) -> None:
        """Give a worker what is kept, late, unless it has it or will get it."""
        if broadcast.reached.get(slot.index) == slot.incarnation or slot.serving is None:
            return
        errand = Errand(self._router, broadcast, slot, queue_deadline=math.inf)
        errand.finished = True
        self._errands[errand] = None
        self._place(errand)

    def _close(self, errand: Errand, error: TrioPoolError | None, result: object = None) -> None:
        """Tell the caller what came of an errand, if that was not done before."""
        if errand.finished:
            return
        errand.finished = True
        broadcast = errand.broadcast
        broadcast.end(errand, error, result)
        if not broadcast.open:
            del self._calls[broadcast]
            self._router.check_idle()

    def _give_up(self, errand: Errand, error: TrioPoolError | None) -> None:
        """End the caller's wait for an errand that was not sent; what is kept is run late all the same."""
        self._close(errand, error)
        if errand.phase is Phase.WAITING:
            if self._is_kept(errand.broadcast):
                errand.queue_deadline = math.inf
                return
            self._router.queue.unpin(errand)
            errand.broadcast.reached.pop(errand.slot.index, None)
        self._errands.pop(errand, None)

    def _abandon(self, errand: Errand, reason: str) -> None:
        errand.deadline = math.inf  # from here on the grace counts
        self._router.deadlines.abandon(errand, reason)

    def _is_kept(self, broadcast: Broadcast) -> bool:
        return broadcast.key is not None and self._kept.get(broadcast.key) is broadcast

    def expire(self, now: float) -> None:
        """Settle the errands whose time is up."""
        for errand in [errand for errand in self._errands if errand.due <= now]:
            if errand.phase is Phase.RUNNING:
                _, worker = self._router.holder(errand)
                self._close(errand, answered_too_late(errand, now, worker))
                self._abandon(errand, "timeout")
            else:
                self._give_up(errand, errand.died_with or not_free_in_time(errand, now, self._router))

    def fail_waiting(self, cause: BaseException) -> None:
        """Fail every errand that no worker has: the pool closes."""
        waiting = [errand for errand in self._errands if errand.phase is not Phase.RUNNING]
        self._fail(waiting, lambda errand: closed_on(errand, cause))

    def fail_all(self, cause: BaseException) -> None:
        """Fail every errand that is left when no worker is left: a backstop, for none should be."""
        self._fail(list(self._errands), lambda errand: closed_on(errand, cause))

    def _fail(self, errands: list[Errand], error: Callable[[Errand], TrioPoolError]) -> None:
        for errand in errands:
            self._router.queue.unpin(errand)
            self._errands.pop(errand, None)
            self._close(errand, errand.died_with or error(errand))

    # -- workers -------------------------------------------------------------------------------------------------------

    def _pending(self, slot: Slot) -> list[Errand]:
        """Return the errands that wait for a slot's next worker, in the order of the calls."""
        found = [errand for errand in self._errands if errand.slot is slot and errand.phase is Phase.NEW]
        return sorted(found, key=lambda errand: errand.broadcast.number)

    async def prepare(self, slot: Slot, worker: PoolWorker) -> WorkerInitFailed | None:
        """Run in a worker that is about to be ready what is kept under each key; return why it cannot be, if it cannot.

        Between the last look at what is kept and the return there is no checkpoint, and there must be none from there
        to `worker_ready`: then no request can find the worker without it.
        """
        applied: set[int] = set()
        last: Broadcast | None = None
        for _ in range(MAX_REPLAYS):
            broadcast = self._next_replay(slot, applied)
            if broadcast is not None:
                applied.add(broadcast.number)
                failure = await self._replay(slot, worker, broadcast)
                if failure is not None:
                    return failure  # noqa: ASYNC910  # `ask` has checkpoints
                last = broadcast
            elif last is None:
                break
            else:
                # It has answered, but does it go on? One that the command told to end (`shutdown`, a SIGTERM of its
                # own) would otherwise get ready first and end by plan, uncharged and undelayed, again and again.
                if await worker.ask(self._ping, self._limit) is None:
                    return replay_failed(last, worker, None, self._limit)  # noqa: ASYNC910  # as above
                last = None
        return None  # noqa: ASYNC910  # nothing to run, nothing to wait for; `run_worker` has checkpoints

    async def _replay(self, slot: Slot, worker: PoolWorker, broadcast: Broadcast) -> WorkerInitFailed | None:
        """Run one broadcast in a worker that starts; return why that cannot get ready for it, if it cannot.

        Somebody may wait for just this: the errand is then the worker's, and settled with it should it end.
        """
        limit = self._limit
        errand = next((errand for errand in self._pending(slot) if errand.broadcast is broadcast), None)
        if errand is not None:
            errand.phase, errand.incarnation = Phase.RUNNING, worker.incarnation
            errand.submitted_at = trio.current_time()
            errand.wire_id = worker.link.last_id + 1
            errand.dispatches += 1
        message = await worker.ask(broadcast.encoded, limit)
        if message is not None and left_alone(message):
            message = None  # not begun: it was told to leave, and is about to be gone
            with trio.move_on_after(limit):
                await worker.link.ended.wait()
        if message is not None and message["success"]:
            broadcast.reached[slot.index] = worker.incarnation
            self._told(errand, None, message["result"])
            return None  # noqa: ASYNC910  # `ask` has checkpoints
        if errand is not None and message is not None:
            self._told(errand, refused(message["error"], broadcast.command, worker))
        elif errand is not None and not worker.link.ended.is_set():
            now = errand.deadline = trio.current_time()
            self._told(errand, answered_too_late(errand, now, worker))
        if message is None or self._is_kept(broadcast):
            return replay_failed(broadcast, worker, message, limit)  # noqa: ASYNC910  # as above
        return None  # noqa: ASYNC910  # as above

    def _told(self, errand: Errand | None, error: TrioPoolError | None, result: object = None) -> None:
        if errand is not None:
            self._errands.pop(errand, None)
            self._close(errand, error, result)

    def _next_replay(self, slot: Slot, applied: set[int]) -> Broadcast | None:
        """Return what a starting worker is to run next: the oldest of what is kept and not yet run.

        A caller may wait for this slot with a broadcast that a later one of its key has overtaken meanwhile. Run after
        the worker is ready it would undo the later one, so it comes before that.
        """
        overtaken = [errand.broadcast for errand in self._pending(slot) if self._is_overtaken(errand)]
        steps = [each for each in (*self._kept.values(), *overtaken) if each.number not in applied]
        return min(steps, key=lambda each: each.number, default=None)

    def _is_overtaken(self, errand: Errand) -> bool:
        key = errand.broadcast.key
        kept = None if key is None or errand.died_with is not None else self._kept.get(key)
        return kept is not None and kept.number > errand.broadcast.number

    def worker_ready(self, slot: Slot) -> None:
        """Give a worker that comes into service the errands that waited for it, before it is given any request."""
        for errand in self._pending(slot):
            if errand.died_with is not None:
                self._give_up(errand, errand.died_with)
            else:
                self._place(errand)
        for broadcast in self._kept.values():
            self._make_up(broadcast, slot)

    def worker_dead(self, worker: PoolWorker) -> None:
        """Settle the errands a worker leaves behind: the one it ran, and those that waited for it."""
        for errand in [errand for errand in self._errands if errand.incarnation == worker.incarnation]:
            ran = errand.phase is not Phase.NEW  # the queue has given the others back
            begun = ran and errand.begun(worker)
            errand.phase, errand.incarnation, errand.deadline = Phase.NEW, None, math.inf
            if errand.finished:
                del self._errands[errand]  # the replacement runs what is kept
            elif ran:
                self._died(errand, worker, begun=begun)

    def _died(self, errand: Errand, worker: PoolWorker, *, begun: bool) -> None:
        """Settle the errand a worker ran when it died; one that has waited only waits on, for the replacement."""
        error = worker.crashed(begun=begun, command=errand.command)
        if errand.dispatches >= MAX_DISPATCHES or (begun and errand.broadcast.key is None):
            self._give_up(errand, error)
            return
        errand.queue_deadline = trio.current_time() + self._router.config.timeout  # it waits for another worker anew
        self._router.deadlines.by(errand.queue_deadline)
        if begun:
            # The replacement runs it anyhow if another worker accepts it by then, and if so, that counts.
            errand.died_with = error

    def retire(self, slot: Slot) -> None:
        """Settle the errands of a slot that gets no other worker."""
        self._fail(self._pending(slot), not_replaced)
