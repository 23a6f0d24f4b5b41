"""Kills a worker at exactly one of the twelve moments of a request's life.

A window is *armed* on the links of all workers, or of the one slot that is named, those that start later included. The
worker that comes to it first, or the nth time counted over all of them, dies there, and nobody else does.

| window | how it is hit exactly |
|---|---|
| W1 | a worker that owes no reply, between looking at it and its death no other task runs |
| W2 | the link: before the first byte of a request is sent |
| W3 | the link: between two sends, each of half the frame |
| W4 | the link: the worker is stopped, then the whole frame is sent, then it dies without having gone on |
| W5, W6 | the worker's agent: an order for the step `BEGIN`, or `EFFECT`, of a request |
| W7 | the link: half of the reply is handed to the pool, then nothing but the end of the stream |
| W8 | the link: all of the reply has left the worker, and none of it has been handed to the pool |
| W9 | the link: within the call in which the pool receives the reply's last byte |
| W10 | the link: the ready frame has left the worker and is never handed on |
| W11 | as W4, with a ping |
| W12 | the link: before the first byte of the message that tells the worker to stop |

The death. A signal that no worker handles is a death before the worker's next instruction, stopped or not: KILL, SEGV,
ABRT, BUS, FPE, HUP and QUIT are exact in every window. ``exit 0`` and ``exit 3`` need the worker itself: its agent
calls ``_exit``, in W5 and W6 at the very step, else in a signal handler. The interpreter runs that before it goes on
with whatever it was interrupted in, which is the wait for bytes from the pool; a worker that was stopped before a frame
came has not read it when it exits. For all that the pool, its callers and the ledger can see that is exact too. Only a
worker with async commands reads in a side thread, which may go on until the main thread has exited: there, exits in W4
and W11 are not exact. TERM and INT ask a worker to end when it likes, and are refused.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import trio

from .._fault import FaultMissed, FaultUnavailable
from ..scenario._fault import Window
from ..scenario._process_faults import Kill
from ..workload._agent import EXIT, SIGNAL
from ..workload._ledger import BEGIN, EFFECT
from . import _proc
from ._grip import PAUSE
from ._injection import FaultFailed
from ._link_watch import LinkWatch, slot_of
from ._moments import Hand, fatal
from ._orders import Orders, dying

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from trio_pool import WorkerInfo

    from .._launcher import ChaosHandle, ChaosLauncher
    from ..link._frames import Message
    from ..scenario._fault import Direction, FaultSpec
    from ..scenario._plan import Strike
    from ._injection import Arena, Injected, Victim
    from ._moments import Fatal
    from ._orders import Order

DEATH_LIMIT = 5.0
"""Seconds within which a worker that was killed must be dead. It takes a millisecond; a core dump may take a few."""

_SERVING = ("ready", "busy", "degraded")

_STEPS = {Window.W5: BEGIN, Window.W6: EFFECT}


@attrs.define(eq=False)
class Ambush:
    """A window that is armed, and who died in it.

    Args:
        spec: What is to be done.
        strike: Which strike this is.
        arena: What may be touched.
        victims: Whose links; none for everybody's, the selector's slot allowing.
    """

    spec: Kill
    strike: Strike
    arena: Arena
    victims: Sequence[Victim]
    effect: dict[str, Any] = attrs.field(factory=dict[str, Any])
    hit: trio.Event = attrs.field(factory=trio.Event)
    alone: bool = False
    """Nobody waits for it any more: it writes down by itself whom it has hit."""
    error: Exception | None = None
    _came: int = 0
    _taken_by: ChaosHandle | None = None
    _watch: LinkWatch = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._watch = LinkWatch(_launcher(self.arena), self._ambush)

    def healed(self) -> bool:
        """Whether no link is watched any more."""
        return not self._watch.in_force()

    def arm(self) -> None:
        """Watch the links there are, and those to come."""
        known = {victim.handle for victim in self.victims}
        # A greeting that has come already does not come again.
        if self.spec.window is not Window.W10:
            self._watch.watch_all(handle for handle in _launcher(self.arena).handles if not known or handle in known)
        if not known:
            self._watch.watch_starts()

    def _ambush(self, handle: ChaosHandle) -> tuple[Fatal, Direction] | None:
        assert self.spec.window is not None  # noqa: S101  # narrows the type
        if not self.wants(handle):
            return None
        hand = Hand(
            comes=lambda: self._comes(handle),
            stop=lambda: _stop(handle),
            end=lambda message: self.strike_down(handle, message),
        )
        return fatal(self.spec.window, hand)

    def wants(self, handle: ChaosHandle) -> bool:
        """Return whether a worker is in the slot that is meant, if one is."""
        slot = self.spec.target.slot
        return slot is None or slot_of(handle) == str(slot)

    def disarm(self) -> None:
        """Watch no link any more."""
        self._watch.end()

    def hopeless(self) -> bool:
        """Return whether nobody can come to it any more, since all who could are gone."""
        if self._taken_by is not None:
            return self._taken_by.interposer.closed
        return bool(self.victims) and self._watch.all_closed()

    def strike_down(self, handle: ChaosHandle, message: Message | None) -> None:
        """Have a worker die now, and return when it is dead."""
        try:
            info = _info(self.arena, handle)
            _end(handle, self.arena, self.spec)
            self.effect = {"hit": 1, "window": str(self.spec.window), **_whom(handle, info)}
            if message is not None:
                self.effect |= {"command": message.command, "wire_id": message.wire_id}
            if self.alone:
                self.write_down(handle, info)
        except Exception as exc:  # the pool is sending or receiving here, and none of it is its affair
            self.error = exc
        self.hit.set()

    def write_down(self, handle: ChaosHandle, info: WorkerInfo | None, **detail: object) -> None:
        """Write who was hit into the history, for those of whom nobody else knows."""
        self.arena.record(
            "inject",
            urgent=True,
            fault=self.strike.fault,
            occurrence=self.strike.occurrence,
            kind=self.spec.kind,
            **_whom(handle, info),
            detail={**self.effect, **detail},
        )

    def _comes(self, handle: ChaosHandle) -> bool:
        if self._taken_by is not None:
            return False
        self._came += 1
        if self._came < self.spec.nth:
            return False
        self._taken_by = handle
        return True


@asynccontextmanager
async def kill_in_window(
    spec: FaultSpec, strike: Strike, victims: Sequence[Victim], arena: Arena
) -> AsyncGenerator[Injected, None]:
    """Arm a window, and go on when somebody has died in it; see `Injector`.

    Cancelled, it disarms; but W12, whose moment comes when the pool closes, stays armed on the pool's links and writes
    down by itself whom it hits.

    Raises:
        FaultMissed: Who was to come to it is gone.
        FaultUnavailable: The window needs a `ChaosLauncher`, or the death an agent, that is not there.
        FaultFailed: Who should have died did not.
    """
    if not isinstance(spec, Kill) or spec.window is None:
        raise TypeError(f"{spec.kind} is in no window")
    ambush = Ambush(spec, strike, arena, victims)
    try:
        if spec.window is Window.W1:
            await _strike_idle(ambush)
        elif spec.window in _STEPS:
            await _strike_at_step(ambush)
        else:
            ambush.arm()
            if spec.window is Window.W10:
                await _make_start(ambush)
            arena.armed()
            await _wait(ambush)
        if ambush.error is not None:
            raise ambush.error
        yield ambush
    except trio.Cancelled:
        ambush.alone = spec.window is Window.W12 and not ambush.hit.is_set()
        raise
    finally:
        if not ambush.alone:
            ambush.disarm()


async def _wait(ambush: Ambush) -> None:
    """Wait until somebody has died in the window."""
    while not ambush.hit.is_set():
        if ambush.hopeless():
            raise FaultMissed("the worker was gone before it came to the window")
        # Nobody tells of a link that is closed, so it is asked now and then.
        with trio.move_on_after(0.05):
            await ambush.hit.wait()
    await trio.lowlevel.checkpoint()


async def _strike_idle(ambush: Ambush) -> None:
    """Kill a worker that owes no reply as soon as there is one."""
    launcher = _launcher(ambush.arena)
    known = {victim.handle for victim in ambush.victims}
    came = 0
    while True:
        idle = [
            handle
            for handle in launcher.handles
            if (not known or handle in known)
            and ambush.wants(handle)
            and _status(ambush.arena, handle) == "ready"
            and not handle.interposer.in_flight
        ]
        if idle:
            came += 1
            if came == ambush.spec.nth:
                # No checkpoint since the look: nobody can have given it a request.
                ambush.strike_down(idle[int(ambush.strike.choice * len(idle))], None)
                await trio.lowlevel.checkpoint()
                return
        if known and not known & set(launcher.handles):
            raise FaultMissed("the worker was gone before it was idle")
        await trio.sleep(PAUSE)


async def _strike_at_step(ambush: Ambush) -> None:
    """Have a worker's agent kill it at a step of a request."""
    assert ambush.spec.window is not None  # noqa: S101  # narrows the type
    arena, launcher = ambush.arena, _launcher(ambush.arena)
    known = {victim.handle for victim in ambush.victims if victim.handle is not None}
    handles = [handle for handle in launcher.handles if (not known or handle in known) and ambush.wants(handle)]
    serving = [handle for handle in handles if _status(arena, handle) in _SERVING]
    if serving and not any(_proc.catches(_pid(handle), SIGNAL) for handle in serving):
        # All run one program, but one that still starts has not come to it, and one that just died has left it.
        _must_take_orders(serving[0])
    pid = handles[0].ident.pid if len(handles) == 1 and (known or ambush.spec.target.slot is not None) else None
    given = Orders(arena.orders).at_step(
        _STEPS[ambush.spec.window], dying(ambush.spec.death), nth=ambush.spec.nth, pid=pid
    )
    arena.armed()
    try:
        handle = await _taken(given, ambush, pid)
    finally:
        given.withdraw()
    info = _info(arena, handle)
    ambush.effect = {"hit": 1, "window": str(ambush.spec.window), **_whom(handle, info)}
    if handle.ident.pid is not None:
        # The worker itself says at which request it died, of those it may have had.
        ambush.effect["request"] = given.request(handle.ident.pid)
    if info is not None and ambush.spec.window in _STEPS:
        ambush.effect["begun"] = True
    ambush.hit.set()


async def _taken(given: Order, ambush: Ambush, pid: int | None) -> ChaosHandle:
    launcher = _launcher(ambush.arena)
    seen: dict[int | None, ChaosHandle] = {}
    while True:
        seen.update({handle.ident.pid: handle for handle in launcher.handles})
        for taker in given.pids():
            if taker in seen:
                return seen[taker]
        if pid is not None and all(handle.ident.pid != pid for handle in launcher.handles):
            raise FaultMissed("the worker was gone before it came to the window")
        await trio.sleep(PAUSE)


async def _make_start(ambush: Ambush) -> None:
    """Kill a worker that serves, unless one is starting already: another start follows, in which the window comes."""
    await trio.lowlevel.checkpoint()
    launcher = _launcher(ambush.arena)
    serving = [
        handle for handle in launcher.handles if ambush.wants(handle) and _status(ambush.arena, handle) in _SERVING
    ]
    if not serving:
        return
    handle = serving[int(ambush.strike.choice * len(serving))]
    info = _info(ambush.arena, handle)
    await handle.signal(signal.SIGKILL)
    ambush.write_down(handle, info, window="W10", felled="so that another starts")


# -- one worker --------------------------------------------------------------------------------------------------------


def _launcher(arena: Arena) -> ChaosLauncher:
    if arena.launcher is None or arena.pool is None:
        raise FaultUnavailable("windows are reached through the workers' links: open the pool with a ChaosLauncher")
    return arena.launcher


def _info(arena: Arena, handle: ChaosHandle) -> WorkerInfo | None:
    assert arena.pool is not None  # noqa: S101  # narrows the type: asked before anything was armed
    for info in arena.pool.get_pool_status().workers:
        if (info.incarnation, info.pid) == (handle.ident.incarnation, handle.ident.pid):
            return info
    return None


def _status(arena: Arena, handle: ChaosHandle) -> str | None:
    info = _info(arena, handle)
    return None if info is None else str(info.status)


def _whom(handle: ChaosHandle, info: WorkerInfo | None) -> Mapping[str, object]:
    if info is not None and len(info.request_ids) > 1:
        # The pool knows the oldest of them, and not which of them came to the window.
        info = attrs.evolve(info, request_id=None, session_id=None)
    return {
        "slot": None if info is None else info.slot,
        "worker_id": handle.worker_id,
        "incarnation": handle.ident.incarnation,
        "pid": handle.ident.pid,
        "begun": None if info is None else info.begun,
        "request_id": None if info is None else info.request_id,
        "session_id": None if info is None else info.session_id,
        "requests": 0 if info is None else len(info.request_ids),
    }


def _pid(handle: ChaosHandle) -> int:
    pid = handle.ident.pid
    if pid is None or handle.ident.node != os.uname().nodename:
        raise FaultUnavailable(f"{handle.worker_id} runs on {handle.ident.node}, out of reach of this kernel")
    return pid


def _must_take_orders(handle: ChaosHandle) -> None:
    if not _proc.catches(_pid(handle), SIGNAL):
        # Without a handler the signal would be another death than the one that is meant.
        raise FaultUnavailable(f"{handle.worker_id} takes no orders: it runs another program than the harness's")


def _stop(handle: ChaosHandle) -> None:
    """Stop a worker, and return when it stands, or is dead; its handle is not reaped, so the number is its own."""
    pid = _pid(handle)
    pidfd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGSTOP)
        os.waitid(os.P_PIDFD, pidfd, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    finally:
        os.close(pidfd)


def _end(handle: ChaosHandle, arena: Arena, spec: Kill) -> None:
    """Have a worker die, stopped or not, and return when it is dead; it stays unreaped."""
    pid = _pid(handle)
    pidfd = os.pidfd_open(pid)
    try:
        dead = select.poll()
        dead.register(pidfd, select.POLLIN)
        if dead.poll(0):
            raise FaultMissed(f"{handle.worker_id} was dead before it came to the window")
        if spec.death.value.startswith(EXIT):
            _must_take_orders(handle)
            Orders(arena.orders).live(pid, dying(spec.death))
            signal.pidfd_send_signal(pidfd, SIGNAL)
        else:
            signal.pidfd_send_signal(pidfd, signal.Signals[f"SIG{spec.death.value}"])
        signal.pidfd_send_signal(pidfd, signal.SIGCONT)
        if not dead.poll(DEATH_LIMIT * 1000):
            raise FaultFailed(f"{handle.worker_id} (pid {pid}) did not die of {spec.death} within {DEATH_LIMIT:g} s")
    finally:
        os.close(pidfd)
