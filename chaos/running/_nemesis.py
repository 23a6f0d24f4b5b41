"""The nemesis: strikes with the plan's faults, heals them, and stays within the scenario's limits.

A fault that is due waits, for a bounded time, for somebody it may hit; one that finds nobody is written down as missed,
and the checks take it from there. What was injected is healed whatever happens to the run: when its time is over, when
a phase of healing begins, when the load ends, and when all this is cancelled.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import attrs
import trio

from .._fault import FaultMissed, FaultUnavailable
from ..faults._injection import FaultFailed
from ..scenario._expressions import parse_expression
from ..scenario._streams import stream
from ..scenario._trace_points import capability
from ._sightings import sighting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from .._history import History
    from ..faults._injection import Arena, Injected, Injector, Victim
    from ..scenario._fault import Capability, FaultSpec
    from ..scenario._plan import Plan, Strike
    from ._live import LiveMetrics
    from ._observer import Observer
    from ._sampler import Sampler
    from ._sightings import Sighted
    from ._targets import Targets

AIM_LIMIT = 3.0
"""Seconds a fault that is due waits for a worker that fits: under load one does at almost any moment."""

HEAL_LIMIT = 10.0
"""Seconds a fault has to heal: signals and numbers take none, a process that lets go of its memory takes a few."""


class Nemesis:
    """Carries out the strikes of a plan.

    Args:
        plan: Whose strikes.
        injectors: What carries out each kind of fault.
        capabilities: How the pool can be reached.
        targets: Finds whom to hit.
        arena: What injectors may touch.
        observer: Sees the pool's events, for strikes that wait for one.
        sampler: Wakes at every sample, for strikes that wait for a condition.
        live: Judges conditions.
        history: Where all this is written down.
        say: Takes a line for the user.
    """

    def __init__(
        self,
        plan: Plan,
        injectors: Mapping[str, Injector],
        capabilities: frozenset[Capability],
        targets: Targets,
        arena: Arena,
        observer: Observer,
        sampler: Sampler,
        live: LiveMetrics,
        history: History,
        say: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._injectors = injectors
        self._capabilities = capabilities
        self._targets = targets
        self._arena = arena
        self._observer = observer
        self._sampler = sampler
        self._live = live
        self._history = history
        self._say = say
        self._over = trio.Event()
        self._active = 0

    def heal(self) -> None:
        """Have everything healed that lasts; what strikes later lasts until the next time."""
        self._over.set()
        self._over = trio.Event()

    async def run(self, origin: float) -> None:
        """Strike when the plan says. Ends when all has struck and healed; cancelled, it heals what lasts.

        Args:
            origin: Where the plan's time zero lies, in Trio's time.
        """
        async with trio.open_nursery() as nursery:
            for strike in self._plan.strikes:
                spec = self._plan.fault(strike.fault)
                missing = (spec.needs | capability(spec.at)) - self._capabilities
                refusal = self._targets.refusal(spec.target) if spec.aims else None
                if refusal is not None:
                    self._missed(strike, refusal)
                elif missing:
                    self._missed(strike, f"this pool gives no way to it: {', '.join(sorted(missing))}")
                elif strike.at is not None:
                    nursery.start_soon(self._at, spec, strike, origin + strike.at)
                elif spec.at.on is not None:
                    nursery.start_soon(self._on, spec, strike, origin)
                else:
                    nursery.start_soon(self._when, spec, strike, origin)

    async def _at(self, spec: FaultSpec, strike: Strike, due: float) -> None:
        await trio.sleep_until(due)
        await self._strike(spec, strike, None)

    async def _on(self, spec: FaultSpec, strike: Strike, origin: float) -> None:
        done = 0
        chance = stream(self._plan.seed, f"trigger:{strike.fault}")
        await trio.sleep_until(origin + self._begin(spec))
        async with (
            sighting(spec.at, chance, self._observer, self._arena) as waiting,
            trio.open_nursery() as nursery,
        ):
            with trio.move_on_at(origin + self._end(spec)):
                while True:
                    sighted = await waiting.next()
                    if self._heals(trio.current_time() - origin):
                        sighted.go_on()
                        continue
                    nursery.start_soon(self._strike, spec, self._again(strike, done), sighted)
                    done += 1
                    if done == (spec.at.count or 1):
                        break
            # What stands still does so until its fault has struck; nobody else comes to stand.
            waiting.over = True
        if not done:
            self._missed(strike, f"there was no {spec.at.on} to wait for")

    async def _when(self, spec: FaultSpec, strike: Strike, origin: float) -> None:
        assert spec.at.when is not None  # noqa: S101  # as above
        condition = parse_expression(spec.at.when)
        done = 0
        with trio.move_on_at(origin + self._end(spec)):
            await trio.sleep_until(origin + self._begin(spec))
            while done < (spec.at.count or 1):
                await self._sampler.next_sample()
                if self._heals(trio.current_time() - origin):
                    continue
                if self._live.value(condition.left) is not None and self._live.holds(condition):
                    await self._strike(spec, self._again(strike, done), None)
                    done += 1
        if not done:
            self._missed(strike, f"it was never true that {spec.at.when}")

    def _again(self, strike: Strike, occurrence: int) -> Strike:
        if not occurrence:
            return strike
        chance = stream(self._plan.seed, f"strike:{strike.fault}", occurrence)
        return attrs.evolve(strike, occurrence=occurrence, choice=chance.random(), offset=chance.random())

    def _begin(self, spec: FaultSpec) -> float:
        begin = 0.0
        for phase in self._plan.scenario.phases:
            if phase.name == spec.at.phase:
                return begin
            begin += phase.duration
        return 0.0

    def _end(self, spec: FaultSpec) -> float:
        phases = {phase.name: phase.duration for phase in self._plan.scenario.phases}
        if spec.at.phase is None:
            return sum(phases.values())
        return self._begin(spec) + phases[spec.at.phase]

    def _heals(self, elapsed: float) -> bool:
        """Return whether a phase of healing is under way, in which nothing strikes."""
        begin = 0.0
        for phase in self._plan.scenario.phases:
            if phase.heal and begin <= elapsed < begin + phase.duration:
                return True
            begin += phase.duration
        return False

    async def _strike(self, spec: FaultSpec, strike: Strike, sighted: Sighted | None) -> None:
        try:
            if sighted is not None and sighted.detail is not None:
                fields = {"fault": strike.fault, "occurrence": strike.occurrence, "point": spec.at.on}
                self._history.record("chaos", "trace", urgent=True, **fields, **sighted.detail)
            victims = await self._aim(spec, strike, sighted)
            self._active += 1
            try:
                await self._inject(spec, strike, victims, _nothing if sighted is None else sighted.go_on)
            finally:
                self._active -= 1
        except (FaultMissed, FaultUnavailable, FaultFailed, OSError) as exc:
            # OSError: another fault may have left this process without the descriptors that this one takes.
            self._missed(strike, str(exc))
            await trio.lowlevel.checkpoint()
        finally:
            if sighted is not None:
                sighted.go_on()

    async def _aim(self, spec: FaultSpec, strike: Strike, sighted: Sighted | None) -> Sequence[Victim]:
        await trio.lowlevel.checkpoint()
        limits = self._plan.scenario.limits
        why = ""
        told = False
        over = self._over
        patience = trio.current_time() + AIM_LIMIT / 2
        with trio.move_on_after(AIM_LIMIT):
            while True:
                if over.is_set():
                    raise FaultMissed(f"{why}, until everything was to heal")
                if self._active >= limits.max_concurrent_faults:
                    why = f"{self._active} faults last already"
                elif not spec.aims:
                    return ()
                else:
                    victims = self._targets.find(
                        spec.target,
                        strike,
                        incarnation=None if sighted is None else sighted.incarnation,
                        pid=None if sighted is None else sighted.pid,
                        patient=trio.current_time() < patience,
                    )
                    serving = self._targets.serving()
                    if not victims:
                        why = f"no worker is {spec.target.state}"
                    elif serving - len(victims) < limits.min_live_workers:
                        why = f"{serving} workers serve, and {limits.min_live_workers} must be left"
                    else:
                        self._targets.hit(victims)
                        return victims
                if not told:
                    told = True
                    self._history.record(
                        "chaos", "postponed", fault=strike.fault, occurrence=strike.occurrence, why=why
                    )
                with trio.move_on_after(0.05):
                    await self._observer.watch.next_event()
        raise FaultMissed(f"{why}, for {AIM_LIMIT:g} s")

    async def _inject(
        self, spec: FaultSpec, strike: Strike, victims: Sequence[Victim], go_on: Callable[[], None]
    ) -> None:
        arena = attrs.evolve(self._arena, armed=go_on)
        force = _Force(self._injectors[spec.kind](spec, strike, victims, arena), self._over)

        def entered(injected: Injected) -> None:
            self._injected(spec, strike, victims, injected)
            go_on()

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(force.give_way)
                await force.run(entered, spec.hold if spec.heals else 0.0)
                nursery.cancel_scope.cancel()
        finally:
            if force.injected is not None:
                self._ended(spec, strike, force, force.injected)
        if force.injected is None and force.error is not None:
            raise force.error

    def _ended(self, spec: FaultSpec, strike: Strike, force: _Force, injected: Injected) -> None:
        fields: dict[str, Any] = {"fault": strike.fault, "occurrence": strike.occurrence}
        self._history.record("chaos", "effect", urgent=True, **fields, effect=dict(injected.effect))
        if spec.heals:
            ok = force.error is None and injected.healed()
            error = None if force.error is None else f"{type(force.error).__name__}: {force.error}"
            self._history.record("chaos", "heal", urgent=True, **fields, ok=ok, took=force.took, error=error)
            self._say(f"{strike.fault}  {'healed' if ok else 'did NOT heal'}")

    def _injected(self, spec: FaultSpec, strike: Strike, victims: Sequence[Victim], injected: Injected) -> None:
        effect = dict(injected.effect)
        rows: list[dict[str, Any]] = [_row(victim) for victim in victims]
        if not rows:
            # Whoever found its own victim says so.
            names = ("slot", "worker_id", "incarnation", "pid", "begun", "request_id", "session_id", "requests")
            rows = [{name: effect.get(name) for name in names}]
        for row in rows:
            self._history.record(
                "chaos",
                "inject",
                urgent=True,
                fault=strike.fault,
                occurrence=strike.occurrence,
                kind=spec.kind,
                **row,
                detail=effect,
            )
            whom = "" if row["pid"] is None else f"  worker {row['worker_id'] or row['slot']} (pid {row['pid']})"
            asked = "a request" if row["request_id"] is None else f"pool request {row['request_id']}"
            doing = f", running {asked}" if row["begun"] else ""
            self._say(f"{strike.fault}  {spec.kind}{whom}{doing}")

    def _missed(self, strike: Strike, why: str) -> None:
        self._history.record("chaos", "missed", urgent=True, fault=strike.fault, occurrence=strike.occurrence, why=why)
        self._say(f"{strike.fault}  missed: {why}")


class _Force:
    """One fault from its injection to its healing, which is shielded from the run's end.

    Injecting can be cancelled at any moment. From then on nothing cuts the fault off: the end of the run only makes it
    heal sooner. Entering and leaving the injector are in one scope, because it may hold a nursery open.

    Args:
        injector: What strikes on entering and heals on leaving.
        over: Set when everything is to be healed.
    """

    def __init__(self, injector: AbstractAsyncContextManager[Injected], over: trio.Event) -> None:
        self._injector = injector
        self._over = over
        self._leave = trio.Event()
        self._guard = trio.CancelScope(shield=True)
        self.injected: Injected | None = None
        self.error: Exception | None = None
        """Why it was not injected, or has not healed."""
        self.took = 0.0
        """Seconds the healing took."""

    async def run(self, entered: Callable[[Injected], None], hold: float | None) -> None:
        """Inject, hold for so long (None for until all is healed), and heal."""
        await trio.lowlevel.checkpoint()
        began: float | None = None
        try:
            with self._guard:
                async with self._injector as injected:
                    self.injected = injected
                    entered(injected)
                    with trio.move_on_after(math.inf if hold is None else hold):
                        await self._leave.wait()
                    began = trio.current_time()
                    self._guard.deadline = began + HEAL_LIMIT
        except* (FaultMissed, FaultUnavailable, FaultFailed, OSError) as group:
            # One of them: those that strike or heal several workers at once may raise one for each.
            self.error = _first(group)
        if self._guard.cancelled_caught and self.injected is not None:
            self.error = FaultFailed(f"not healed within {HEAL_LIMIT:g} s")
        if began is not None:
            self.took = round(trio.current_time() - began, 6)

    async def give_way(self) -> None:
        """Have the fault healed when it is time, or when this is cancelled; one not yet injected is called off."""
        try:
            await self._over.wait()
            self._leave.set()
            await trio.sleep_forever()
        finally:
            if self.injected is None:
                self._guard.cancel()
            self._leave.set()


def _nothing() -> None:
    """Where nothing stands still."""


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    """Return the first exception of a group that is none itself."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Exception)  # noqa: S101  # narrows the type
    return error


def _row(victim: Victim) -> dict[str, Any]:
    info = victim.info
    return {
        "slot": victim.slot,
        "worker_id": None if info is None else info.worker_id,
        "incarnation": victim.incarnation,
        "pid": victim.pid,
        "begun": victim.request is not None if info is None else info.begun,
        "request_id": None if info is None else info.request_id,
        "session_id": None if info is None else info.session_id,
        "requests": int(victim.request is not None) if info is None else len(info.request_ids),
    }
