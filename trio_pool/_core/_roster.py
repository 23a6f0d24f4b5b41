"""The roster: the children of one supervisor in start order, and every decision about them.

It is told what happened (`begin`, `started`, `ended`, `stop`, `close`) and answers what follows: a `Ruling` on an exit,
and from `steps` what to do next. It starts and stops nothing itself and knows no clock, so that one test can drive it
beside a model, and the supervisor that obeys it has nothing left to decide.

Nothing in here is a plan made once and followed to its end, for while siblings are stopped and started again anything
may happen: another one fails, somebody terminates a third, the supervisor stops. Each event only marks members, as
``halting`` (it has to end first) and ``due`` (it is to be started), and `steps` always reads off the marks what may be
done now. A failure in the middle of a restart widens the marks and nothing else, which gives OTP's rules for restarts
that fail: under ``one_for_all`` the siblings just restarted go down again, under ``rest_for_one`` only the later ones.

A member counts as alive from the step that launches it to the report that it ended, whether it has started or not.
"""

from __future__ import annotations

import itertools
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar

import attrs

from ._restart import Restart
from ._strategy import AutoShutdown, ChildStatus, ChildType, Ending, Strategy

if TYPE_CHECKING:
    from ._restart import BackoffTimer, RestartWindow

M = TypeVar("M", bound="Member")

_SERIAL = itertools.count()


class Member:
    """What the roster knows of one child; the supervisor's own class for children derives from it.

    Args:
        member_id: Its id.
        timer: The backoff of its restarts.
        restart: After which exits it is started again.
        significant: Whether its end may end the supervisor.
        kind: What it is.
    """

    __slots__ = (
        "alive", "asked", "due", "established", "halting", "id", "kind", "not_before", "restart", "serial",
        "significant", "starts", "status", "timer", "unwanted",
    )  # fmt: skip

    def __init__(
        self,
        member_id: str,
        timer: BackoffTimer,
        restart: Restart = Restart.PERMANENT,
        *,
        significant: bool = False,
        kind: ChildType = ChildType.WORKER,
    ) -> None:
        self.id = member_id
        self.timer = timer
        self.restart = restart
        self.significant = significant
        self.kind = kind
        self.serial = next(_SERIAL)  # the start order, which a set of members has not
        self.status = ChildStatus.STOPPED
        self.starts = 0
        self.established = False  # its first start succeeded, so it may be started again once it has ended
        self.alive = False
        self.asked = False  # somebody waits for this start and gets its failure; else failing is charged
        self.due = False
        self.halting = False
        self.unwanted = False  # to be forgotten when it has ended
        self.not_before = 0.0

    def __repr__(self) -> str:
        return f"<Member {self.id!r} {self.status}>"


@attrs.frozen
class Launch(Generic[M]):
    """Start this member in ``delay`` seconds; 0 is a restart at once, None a start somebody waits for."""

    member: M
    delay: float | None


@attrs.frozen
class Halt(Generic[M]):
    """Stop this member, which is in the way of a restart."""

    member: M


class Verdict(StrEnum):
    """What follows the end of a child that nobody asked to stop."""

    RESTART = "restart"
    """It is started again, and whoever the strategy says with it."""
    LEAVE = "leave"
    """It stays ended."""
    GIVE_UP = "give_up"
    """It would be one restart too many: the supervisor stops with an error."""
    SHUT_DOWN = "shut_down"
    """It was significant: the supervisor stops without one."""


@attrs.frozen
class Ruling:
    """A verdict, and in how many seconds the restart is due if it is one."""

    verdict: Verdict
    delay: float = 0.0


class Roster(Generic[M]):
    """The children of one supervisor, and what has to be done with them.

    Args:
        window: The restart limit.
        strategy: Who is restarted with whom.
        auto_shutdown: Whether the end of significant children is the supervisor's.
        forgetful: Forget every child that has ended for good, as dynamic supervisors do.
    """

    __slots__ = ("_auto_shutdown", "_forgetful", "_work", "members", "strategy", "window")

    def __init__(
        self,
        window: RestartWindow,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        auto_shutdown: AutoShutdown = AutoShutdown.NEVER,
        *,
        forgetful: bool = False,
    ) -> None:
        self.members: dict[str, M] = {}
        self.window = window
        self.strategy = strategy
        self._auto_shutdown = auto_shutdown
        self._forgetful = forgetful
        # Who is due or halting. A set beside the members, for a supervisor may have a hundred thousand children and
        # must not look at all of them whenever one ends.
        self._work: set[M] = set()

    # ------------------------------------------------------------------------------------------------ what happened

    def begin(self, member: M) -> None:
        """Somebody wants this member started, a new one or one that is stopped, and waits for it."""
        self.members[member.id] = member
        member.status = ChildStatus.STARTING
        member.asked = member.due = True
        self._work.add(member)

    def started(self, member: M, now: float) -> None:
        """An incarnation has started."""
        member.timer.started(now)
        member.starts += 1
        member.established = True
        member.asked = False
        member.status = ChildStatus.RUNNING
        if not member.halting:
            self._work.discard(member)
        elif member.restart is Restart.TEMPORARY:
            member.due = False  # it came up before its turn to make way: its starter has it, and it is not restarted

    def halted(self, member: M, now: float) -> None:
        """A member that is stopping, or that was in the way of a restart, has ended: no exit to rule on."""
        member.timer.ended(now)
        member.alive = member.halting = False
        if member.due:
            member.status = ChildStatus.STARTING if member.asked else ChildStatus.RESTARTING
        else:
            self.retire(member)

    def retire(self, member: M) -> None:
        """Note that a member has ended for good; forget it unless it may be started again."""
        member.alive = member.halting = member.due = member.asked = False
        member.not_before = 0.0  # a delay that was called off is nobody's any more
        member.status = ChildStatus.STOPPED
        self._work.discard(member)
        gone = member.unwanted or not member.established or member.restart is Restart.TEMPORARY or self._forgetful
        if gone and self.members.get(member.id) is member:
            del self.members[member.id]

    def ignored(self, member: M) -> None:
        """The start of a member declined to run: its specification is kept without a child, a temporary one is not."""
        member.established = True
        self.retire(member)

    def ended(self, member: M, ending: Ending, now: float) -> Ruling:
        """Rule on the end of a member that nobody asked to stop, or on an automatic restart that failed."""
        member.alive = False
        if not self._restarts(member, ending):
            member.timer.ended(now)
            self.retire(member)
            return Ruling(Verdict.SHUT_DOWN if self._shuts_down(member) else Verdict.LEAVE)
        delay = 0.0
        if ending is Ending.PLANNED:
            member.timer.ended(now)
        else:
            # Charged once, however many siblings the strategy takes along.
            if not self.window.charge(now):
                self.retire(member)
                return Ruling(Verdict.GIVE_UP)
            delay = member.timer.next_delay(now)
        self._mark(member, now + delay)
        return Ruling(Verdict.RESTART, delay)

    def stop(self, member: M) -> None:
        """Somebody wants this member stopped: it is not restarted, neither for itself nor with the others.

        An alive one is stopping from now on and has to be cancelled; any other has ended for good. Until it has ended
        it stays in the way of whom it was in the way of: no sibling is stopped or started early because of this.
        """
        if member.alive:
            member.status = ChildStatus.STOPPING
            if member.asked and not member.halting:
                self._work.discard(member)
            member.due = member.asked = False
        elif member.status is not ChildStatus.STOPPED:
            self.retire(member)

    def close(self) -> list[M]:
        """The supervisor stops: nothing is started any more. Return the members that had been waiting to be."""
        waiting = [member for member in self._ordered(self._work) if not member.alive]
        for member in waiting:
            self.retire(member)
        for member in self._work:
            member.due = member.halting = False
        self._work.clear()
        return waiting

    # -------------------------------------------------------------------------------------------------- what to do now

    def steps(self, now: float) -> list[Launch[M] | Halt[M]]:
        """Return what is to be done now; each step counts as taken when it is returned.

        Whoever has to end is stopped, the newest first and one at a time, and only when all have ended is anybody
        started. Then those due start, the oldest first. A restart holds up the starts after it until it has come up,
        for these may rely on it; starts that somebody asked for run side by side. ``one_for_one`` knows no others to
        wait for, so there each starts at once.
        """
        work = self._ordered(self._work)
        if self.strategy is Strategy.ONE_FOR_ONE:
            self._work.clear()
            return [self._launch(member, now) for member in work]
        halting = [member for member in work if member.halting]
        if halting:
            newest = halting[-1]
            if newest.status is ChildStatus.STOPPING:
                return []
            newest.status = ChildStatus.STOPPING
            return [Halt(newest)]
        steps: list[Launch[M] | Halt[M]] = []
        for member in work:
            if not member.alive:
                steps.append(self._launch(member, now))
            if not member.asked:
                break
        return steps

    def _launch(self, member: M, now: float) -> Launch[M]:
        member.due = False
        member.alive = True
        wait = member.not_before - now
        return Launch(member, None if member.asked and wait <= 0 else max(0.0, wait))

    # -------------------------------------------------------------------------------------------------------- the rules

    def _restarts(self, member: M, ending: Ending) -> bool:
        if member.restart is Restart.TRANSIENT:
            return ending is not Ending.CLEAN
        return member.restart is Restart.PERMANENT

    def _shuts_down(self, member: M) -> bool:
        if self._auto_shutdown is AutoShutdown.NEVER or not member.significant:
            return False
        if self._auto_shutdown is AutoShutdown.ANY_SIGNIFICANT:
            return True
        return not any(other.significant and other.status is not ChildStatus.STOPPED for other in self.members.values())

    def _mark(self, failed: M, not_before: float) -> None:
        """Mark everybody whom the strategy restarts because ``failed`` did, not before that time.

        Children that are stopped, be it that somebody terminated them or that they had come to their end, are started
        along with the others, as OTP does. Temporary ones are stopped and not started again.
        """
        if self.strategy is Strategy.ONE_FOR_ONE:
            affected = [failed]
        else:
            affected = list(self.members.values())
            if self.strategy is Strategy.REST_FOR_ONE:
                affected = [member for member in affected if member.serial >= failed.serial]
            # One that waits for its own delay is not to be hurried by the failure of another that has none.
            not_before = max(not_before, *(member.not_before for member in affected))
        for member in affected:
            member.halting = member.alive
            # One that stops in its first start was never there, and one that nobody has a handle to must not stay.
            again = member.established and not member.unwanted and member.restart is not Restart.TEMPORARY
            member.due = member.asked or again
            # The first to start waits until then, the others for the first; if that one is called off, the next waits.
            member.not_before = not_before
            if not member.alive:
                member.status = ChildStatus.STARTING if member.asked else ChildStatus.RESTARTING
            self._work.add(member)

    def _ordered(self, members: set[M]) -> list[M]:
        return sorted(members, key=_start_order)


def _start_order(member: Member) -> int:
    return member.serial
