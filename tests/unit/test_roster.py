"""The roster alone: what it rules and which steps it orders, without tasks and without a clock."""

from __future__ import annotations

from random import Random

import pytest

from trio_pool._core._restart import Backoff, BackoffTimer, Restart, RestartWindow
from trio_pool._core._roster import Halt, Launch, Member, Roster, Ruling, Verdict
from trio_pool._core._strategy import AutoShutdown, ChildStatus, ChildType, Ending, Strategy, member_of

BACKOFF = Backoff(initial=4.0, maximum=4.0, jitter="none")


class Crew:
    """A roster whose steps are obeyed at once: who is launched has started, who is halted has ended."""

    def __init__(
        self,
        names: str,
        strategy: Strategy | str = "one_for_one",
        auto_shutdown: AutoShutdown | str = "never",
        *,
        limit: float = 9,
        obey: bool = True,
        **restarts: str,
    ) -> None:
        self.now = 0.0
        self.log: list[str] = []
        self.roster: Roster[Member] = Roster(RestartWindow(limit, 5.0), Strategy(strategy), AutoShutdown(auto_shutdown))
        for name in names:
            self.add(name, restarts.get(name, "permanent"))
        self.advance()
        self.log.clear()
        self.obey = obey

    obey = True

    def add(self, name: str, restart: str = "permanent", *, significant: bool = False) -> Member:
        """Begin a member."""
        timer = BackoffTimer(BACKOFF, Random(1))  # noqa: S311  # it has no jitter
        member = Member(name, timer, Restart(restart), significant=significant)
        self.roster.begin(member)
        return member

    def __getitem__(self, name: str) -> Member:
        return self.roster.members[name]

    def advance(self) -> None:
        """Take all steps there are, or one batch of them."""
        while steps := self.roster.steps(self.now):
            for step in steps:
                if isinstance(step, Launch):
                    self.log.append(f"+{step.member.id}" + (f"@{step.delay:g}" if step.delay else ""))
                    if self.obey:
                        self.roster.started(step.member, self.now)
                else:
                    assert isinstance(step, Halt)
                    self.log.append(f"-{step.member.id}")
                    if self.obey:
                        self.roster.halted(step.member, self.now)
            if not self.obey:
                break

    def end(self, name: str, ending: Ending = Ending.CRASHED) -> Verdict:
        """End a member by itself and carry on."""
        ruling = self.roster.ended(self[name], ending, self.now)
        self.advance()
        return ruling.verdict

    def take(self) -> list[str]:
        """Return the log and clear it."""
        log, self.log = self.log, []
        return log


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("one_for_one", ["+b"]),
        ("rest_for_one", ["-d", "-c", "+b", "+c", "+d"]),
        ("one_for_all", ["-d", "-c", "-a", "+a", "+b", "+c", "+d"]),
    ],
)
def test_the_order_of_a_restart(strategy: str, expected: list[str]) -> None:
    """Newest first down, oldest first up."""
    crew = Crew("abcd", strategy)
    assert crew.end("b") is Verdict.RESTART
    assert crew.take() == expected
    assert {member.status for member in crew.roster.members.values()} == {ChildStatus.RUNNING}


@pytest.mark.parametrize(
    ("restart", "ending", "verdict", "kept"),
    [
        ("permanent", Ending.CLEAN, Verdict.RESTART, True),
        ("permanent", Ending.CRASHED, Verdict.RESTART, True),
        ("transient", Ending.CLEAN, Verdict.LEAVE, True),
        ("transient", Ending.PLANNED, Verdict.RESTART, True),
        ("transient", Ending.CRASHED, Verdict.RESTART, True),
        ("temporary", Ending.CLEAN, Verdict.LEAVE, False),
        ("temporary", Ending.CRASHED, Verdict.LEAVE, False),
    ],
)
def test_restart_types(restart: str, ending: Ending, verdict: Verdict, kept: bool) -> None:
    """Permanent always, transient unless clean, temporary never; only that one's place is lost."""
    crew = Crew("a", a=restart)
    assert crew.end("a", ending) is verdict
    assert ("a" in crew.roster.members) is kept


def test_the_limit() -> None:
    """One charge per failure whatever it takes along; planned ends are free; one more than the limit is a give-up."""
    crew = Crew("ab", "one_for_all", limit=2)
    assert [crew.end("a", Ending.PLANNED) for _ in range(5)] == [Verdict.RESTART] * 5
    assert [crew.end("a"), crew.end("b"), crew.end("a")] == [Verdict.RESTART, Verdict.RESTART, Verdict.GIVE_UP]
    assert crew["a"].status is ChildStatus.STOPPED


def test_a_delay_stands_before_the_first_start() -> None:
    """The first to be launched waits, for the longest delay of any; if it is called off the next one does."""
    crew = Crew("abc", "one_for_all")
    crew.end("b")
    crew.take()
    crew.obey = False
    crew.end("b")  # its second restart in a row: in 4 seconds
    crew.now = 1.0
    crew.roster.ended(crew["a"], Ending.CRASHED, crew.now)  # its first: at once, but not before the other's
    crew.roster.halted(crew["c"], crew.now)
    crew.advance()
    assert crew.take() == ["-c", "+a@3"]
    crew.now = 2.0
    crew.roster.stop(crew["a"])
    crew.roster.halted(crew["a"], crew.now)
    crew.advance()
    assert crew.take() == ["+b@2"]
    crew.roster.started(crew["b"], 4.0)
    crew.now = 4.0
    crew.advance()
    assert crew.take() == ["+c"]


def test_a_launch_says_whether_it_is_a_restart_and_how_long_it_waits() -> None:
    """None is a start that somebody waits for, unless it has to wait in a restart's place; 0 is a restart at once."""
    crew = Crew("a", "one_for_all")
    a, b = crew["a"], crew.add("b")
    assert crew.roster.steps(7.0) == [Launch(b, None)]
    assert crew.roster.ended(a, Ending.CRASHED, 7.0) == Ruling(Verdict.RESTART, 0.0)
    assert crew.roster.steps(7.0) == [Halt(b)]
    crew.roster.halted(b, 7.0)
    assert crew.roster.steps(8.0) == [Launch(a, 0.0)]
    assert crew.roster.ended(a, Ending.CRASHED, 8.0) == Ruling(Verdict.RESTART, 4.0)
    assert crew.roster.steps(9.0) == [Launch(a, 3.0)]
    crew.roster.stop(a)
    crew.roster.halted(a, 11.0)
    assert crew.roster.steps(11.0) == [Launch(b, 1.0)]
    for now in (12.0, 13.0):
        crew.roster.stop(b)
        crew.roster.halted(b, now)
        crew.roster.begin(b)
        assert crew.roster.steps(now) == [Launch(b, None)]
    crew.roster.started(b, 13.0)
    b.restart = Restart.TEMPORARY
    assert crew.roster.ended(b, Ending.CRASHED, 13.0) == Ruling(Verdict.LEAVE, 0.0)


@pytest.mark.parametrize("way", ["crashes", "makes way for a restart", "is stopped", "comes to its end"])
def test_a_stable_run_counts_whatever_ended_it(way: str) -> None:
    """Earlier restarts are forgotten after five seconds of running, so the next one is at once again."""
    crew = Crew("ab", "one_for_all", b="transient")
    assert [crew.roster.ended(crew["b"], Ending.CRASHED, 0.0).delay for _ in range(2)] == [0.0, 4.0]
    crew.now = 4.0
    crew.advance()
    crew.now = 9.0
    if way == "makes way for a restart":
        crew.end("a")
    elif way == "is stopped":
        crew.roster.stop(crew["b"])
        crew.roster.halted(crew["b"], crew.now)
    elif way == "comes to its end":
        crew.end("b", Ending.CLEAN)
    if not crew["b"].alive:
        crew.roster.begin(crew["b"])
        crew.advance()
    assert crew.roster.ended(crew["b"], Ending.CRASHED, 9.0).delay == 0.0


def test_one_for_one_restarts_side_by_side() -> None:
    """Nobody waits for anybody else's restart."""
    crew = Crew("ab")
    for name in "ab":
        crew.roster.ended(crew[name], Ending.CRASHED, 0.0)
    crew.obey = False
    crew.advance()
    assert crew.take() == ["+a", "+b"]


def test_a_restart_that_was_called_off_is_waited_for_until_it_has_ended() -> None:
    """Whoever is behind one that is told to stop does not rely on it any more, but comes no earlier for that."""
    crew = Crew("ab", "one_for_all")
    crew.obey = False
    crew.end("a")
    crew.roster.halted(crew["b"], 0.0)
    crew.advance()
    assert crew.take() == ["-b", "+a"]
    crew.roster.stop(crew["a"])
    crew.advance()
    assert crew.take() == []
    crew.roster.halted(crew["a"], 0.0)
    crew.advance()
    assert crew.take() == ["+b"]


def test_a_failure_widens_what_is_under_way() -> None:
    """A restart being started is called off when one before it fails."""
    crew = Crew("abc", "rest_for_one")
    crew.obey = False
    crew.end("c")
    assert crew.take() == ["+c"]
    crew.advance()
    assert crew.take() == []
    crew.end("a")
    assert crew.take() == ["-c"]
    crew.advance()
    assert crew.take() == []
    crew.roster.halted(crew["c"], 0.0)
    crew.advance()
    assert crew.take() == ["-b"]
    crew.roster.halted(crew["b"], 0.0)
    crew.obey = True
    crew.advance()
    assert crew.take() == ["+a", "+b", "+c"]


def test_a_member_that_is_stopping_by_hand_is_waited_for_and_started_along() -> None:
    """OTP would have finished stopping it before it heard of the failure, and then starts everybody."""
    crew = Crew("ab", "one_for_all")
    crew.roster.stop(crew["b"])
    crew.end("a")
    assert crew.take() == []
    crew.roster.halted(crew["b"], 0.0)
    crew.advance()
    assert crew.take() == ["+a", "+b"]


def test_a_member_told_to_stop_in_a_restart_stays_down() -> None:
    """Whether it is in the way, waits for its turn, or is being started."""
    crew = Crew("abc", "one_for_all")
    crew.obey = False
    crew.end("a")
    assert crew.take() == ["-c"]
    crew.roster.stop(crew["c"])
    crew.roster.halted(crew["c"], 0.0)
    crew.advance()
    crew.roster.halted(crew["b"], 0.0)
    crew.roster.stop(crew["b"])
    crew.obey = True
    crew.advance()
    assert crew.take() == ["-b", "+a"]
    assert [member.status for member in crew.roster.members.values()] == ["running", "stopped", "stopped"]
    crew.roster.stop(crew["b"])


def test_a_halting_member_that_comes_up_first_is_halted_all_the_same() -> None:
    """It started too late to be of use."""
    crew = Crew("a", "one_for_all")
    crew.obey = False
    new = crew.add("b")
    crew.advance()
    crew.roster.ended(crew["a"], Ending.CRASHED, 0.0)
    crew.roster.started(new, 0.0)
    assert new.status is ChildStatus.RUNNING
    crew.advance()
    assert crew.take() == ["+b", "-b"]
    assert crew.roster.steps(0.0) == []  # it is stopping, and waited for


def test_starts_asked_for_run_side_by_side_but_behind_restarts() -> None:
    """And one that a restart interrupts is begun anew, still as somebody's."""
    crew = Crew("a", "one_for_all")
    crew.obey = False
    crew.add("b", "temporary")
    crew.add("c")
    crew.advance()
    assert crew.take() == ["+b", "+c"]
    crew.end("a")
    for name in "cb":
        assert crew.take() == [f"-{name}"]
        crew.roster.halted(crew[name], 0.0)
        crew.advance()
    assert crew.take() == ["+a"]
    assert crew["b"].status is ChildStatus.STARTING
    crew.roster.started(crew["a"], 0.0)
    crew.advance()
    assert crew.take() == ["+b", "+c"]


def test_ignored_starts() -> None:
    """They keep their place, save for temporary members."""
    crew = Crew("")
    for name, restart in (("a", "permanent"), ("b", "temporary")):
        crew.roster.ignored(crew.add(name, restart))
    assert list(crew.roster.members) == ["a"]
    assert crew["a"].starts == 0


def test_a_restart_of_one_that_never_ran_is_charged_like_any_other() -> None:
    """One whose first start was ignored is started along with its siblings; if that fails again and again, it ends."""
    crew = Crew("a", "one_for_all", limit=2)
    crew.roster.ignored(crew.add("b"))
    crew.obey = False
    crew.end("a")
    crew.roster.started(crew["a"], 0.0)
    crew.advance()
    assert crew.take() == ["+a", "+b"]
    assert [crew.end("b"), crew.end("b")] == [Verdict.RESTART, Verdict.GIVE_UP]


def test_members_that_never_came_up_or_are_unwanted_are_forgotten() -> None:
    """And a member that has taken the place of another is not forgotten with it."""
    crew = Crew("a")
    crew.roster.retire(crew.add("b"))
    old = crew["a"]
    old.unwanted = True
    crew.roster.stop(old)
    crew.roster.halted(old, 0.0)
    assert not crew.roster.members
    crew.add("a")
    crew.roster.retire(old)
    assert list(crew.roster.members) == ["a"]


def test_closing_calls_off_what_waits() -> None:
    """Nothing is due any more; who is alive is left to be stopped."""
    crew = Crew("abc", "one_for_all")
    crew.obey = False
    crew.end("a")
    new = crew.add("d")
    assert [member.id for member in crew.roster.close()] == ["a", "d"]
    assert (crew["a"].status, new.status) == (ChildStatus.STOPPED, ChildStatus.STOPPED)
    assert "d" not in crew.roster.members  # it never came up
    crew.roster.halted(crew["c"], 0.0)
    assert crew["c"].status is ChildStatus.STOPPED
    crew.take()
    crew.advance()
    assert crew.take() == []


@pytest.mark.parametrize(
    ("auto_shutdown", "verdicts"),
    [
        ("never", [Verdict.LEAVE, Verdict.LEAVE]),
        ("any_significant", [Verdict.SHUT_DOWN, Verdict.SHUT_DOWN]),
        ("all_significant", [Verdict.LEAVE, Verdict.SHUT_DOWN]),
    ],
)
def test_significant_members(auto_shutdown: str, verdicts: list[Verdict]) -> None:
    """Their own ends count; a stopped one is gone, one to be restarted is not."""
    crew = Crew("x", auto_shutdown=auto_shutdown, x="temporary")
    for name in "abc":
        crew.add(name, "transient", significant=True)
    crew.advance()
    assert crew.end("x") is Verdict.LEAVE
    crew.roster.stop(crew["c"])
    crew.roster.halted(crew["c"], 0.0)
    crew.obey = False
    assert crew.end("b") is Verdict.RESTART
    assert crew.end("a", Ending.CLEAN) is verdicts[0]
    crew.roster.started(crew["b"], 0.0)
    assert crew.end("b", Ending.CLEAN) is verdicts[1]


def test_words_are_checked_by_name() -> None:
    """The message names the field and lists what it takes."""
    assert member_of(Strategy, "strategy", "one_for_all") is Strategy.ONE_FOR_ALL
    with pytest.raises(ValueError, match="strategy must be one of one_for_one, one_for_all, rest_for_one, not 'x'"):
        member_of(Strategy, "strategy", "x")


def test_a_member_says_who_it_is() -> None:
    """In a debugger."""
    assert repr(Crew("a")["a"]) == "<Member 'a' running>"
    plain = Member("b", BackoffTimer(BACKOFF, Random(1)))  # noqa: S311  # as above
    assert (plain.restart, plain.significant, plain.kind) == (Restart.PERMANENT, False, ChildType.WORKER)
    assert (plain.status, plain.starts, plain.alive) == (ChildStatus.STOPPED, 0, False)


def test_a_temporary_member_that_comes_up_while_it_is_in_the_way_is_not_due() -> None:
    """Whoever asked for it has got it, so the restart of all ends it and does not begin it again."""
    crew = Crew("a", "one_for_all", obey=False)
    late = crew.add("b", "temporary")
    crew.advance()
    crew.end("a")
    assert crew.take() == ["+b", "-b"]
    crew.roster.started(late, 0.0)
    crew.roster.halted(late, 0.0)
    crew.advance()
    assert crew.take() == ["+a"]
    assert "b" not in crew.roster.members


@pytest.mark.parametrize("now", [0.0, 0.5, 20.0])
def test_a_start_that_somebody_asked_for_has_no_delay_at_all(now: float) -> None:
    """Not one of no seconds either, as a restart has: it begins where it was asked for."""
    crew = Crew("")
    crew.add("a")
    (step,) = crew.roster.steps(now)
    assert isinstance(step, Launch)
    assert step.delay is None


def test_a_start_that_is_called_off_holds_up_no_other() -> None:
    """Starts that somebody asked for run side by side, also beside one that has yet to end."""
    crew = Crew("", "one_for_all", obey=False)
    called_off = crew.add("a")
    crew.advance()
    crew.roster.stop(called_off)
    crew.add("b")
    crew.advance()
    assert crew.take() == ["+a", "+b"]
