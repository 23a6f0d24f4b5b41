"""The client of a run: what it asks, and what it writes down of the answers."""

from __future__ import annotations

import json
import random
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
import trio
from _chaos_plans import plan, request, scenario, visit

from chaos._history import History
from chaos._pace import AT_ONCE
from chaos.running._client import Client
from chaos.running._load import Load
from chaos.scenario._model import ClosedLoad, OpenLoad, Phase
from chaos.workload._work import Register
from trio_pool import errors
from trio_pool.errors import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from trio.testing import MockClock

    from chaos.scenario._fault import Capability
    from chaos.targets._target import Call


class Answers:
    """A target in memory: answers calls in turn with what it was given, a value, an error, or a wait first."""

    pool = None
    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, *answers: object) -> None:
        self.answers = deque(answers)
        self.calls: list[tuple[float, Call]] = []
        self.ended: list[str] = []
        self.seconds = 0.0
        self.at_end: Callable[[], None] = lambda: None

    async def call(self, call: Call) -> Any:
        self.calls.append((trio.current_time(), call))
        answer = self.answers.popleft() if self.answers else {"request": call.args["request"]}
        await trio.sleep(self.seconds)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def end_session(self, session: str) -> None:
        await trio.lowlevel.checkpoint()
        self.at_end()
        self.ended.append(session)

    def pids(self) -> Sequence[int]:
        return ()


@pytest.fixture
def history(tmp_path: Path, autojump_clock: MockClock) -> Iterator[History]:
    """A history on the virtual clock."""
    with History(tmp_path / "history.jsonl", autojump_clock.current_time) as history:
        yield history


def client(target: Answers, history: History, *, first_spare: int = 100, **fields: Any) -> Client:
    """Return a client whose plan begins now."""
    made = Client(
        scenario(**fields),
        Register(),
        target,
        history,
        sessions=True,
        first_spare=first_spare,
        on_outcome=lambda _ok: None,
    )
    made.origin = trio.current_time()
    return made


def told(history: History, *kinds: str) -> list[dict[str, Any]]:
    """Return the client's records of these types."""
    return [record for record in history.records if record["src"] == "client" and record["type"] in kinds]


async def test_a_visit_asks_in_order_and_ends_its_session(history: History, autojump_clock: MockClock) -> None:
    """Each request is meant for when the last was answered and its time to think over."""
    target = Answers()
    target.seconds = 2.0
    await client(target, history).visit(visit(1.0, request(0), request(1, think=3.0)))
    assert [(at - history.start, call.session) for at, call in target.calls] == [(1.0, "s-0"), (6.0, "s-0")]
    assert [record["t_int"] for record in told(history, "invoke")] == [1.0, 6.0]
    assert [record["id"] for record in told(history, "ok")] == [0, 1]
    assert target.ended == ["s-0"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.PoolSaturated("full"), "fail"),
        (errors.WorkerCrashed("gone"), "info"),
        (errors.RemoteError("raised"), "raised"),
        (KeyError("leaked"), "raised"),
    ],
)
async def test_an_error_is_an_outcome(history: History, autojump_clock: MockClock, error: Exception, kind: str) -> None:
    """By what it says of the execution; what says nothing is no error of the contract."""
    error.__cause__ = OSError("below")
    await client(Answers(error), history).visit(visit(0.0, request(0)))
    (record,) = told(history, "ok", "fail", "info", "raised")
    assert (record["type"], record["error"], record["chain"]) == (kind, type(error).__name__, ["OSError"])
    assert record["public"] is isinstance(error, errors.TrioPoolError)


async def test_a_lost_session_goes_on_under_another_name(history: History, autojump_clock: MockClock) -> None:
    """The old one is ended, and what is asked next is asked of the new one."""
    target = Answers({}, errors.SessionLost("lost", outcome=Outcome.NOT_EXECUTED))
    await client(target, history).visit(visit(0.0, request(0), request(1), request(2)))
    assert [call.session for _at, call in target.calls] == ["s-0", "s-0", "s-0.1"]
    assert target.ended == ["s-0", "s-0.1"]
    (renewed,) = told(history, "renew")
    assert (renewed["session"], renewed["as"]) == ("s-0", "s-0.1")


async def test_a_crash_alone_renews_nothing(history: History, autojump_clock: MockClock) -> None:
    """Whether the state is gone, the next call is told."""
    target = Answers(errors.WorkerCrashed("gone"))
    await client(target, history).visit(visit(0.0, request(0), request(1)))
    assert [call.session for _at, call in target.calls] == ["s-0", "s-0"]


async def test_an_impatient_caller_leaves(history: History, autojump_clock: MockClock) -> None:
    """And the visit goes on."""
    target = Answers()
    target.seconds = 5.0
    await client(target, history).visit(visit(0.0, request(0, cancel_after=1.0), request(1)))
    (cancelled,) = told(history, "info")
    assert (cancelled["id"], cancelled["cancelled"], cancelled["t"]) == (0, True, 1.0)
    assert [record["id"] for record in told(history, "ok")] == [1]


async def test_a_storm_of_cancels_hits_its_share(history: History, autojump_clock: MockClock) -> None:
    """Those under way, drawn one by one; the callers go on with their next request."""
    target = Answers()
    target.seconds = 10.0
    asking = client(target, history)
    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(asking.visit, visit(0.0, request(number), session=number))
        await trio.sleep(1.0)
        assert asking.unanswered == 20
        swept = asking.cancel(0.5, random.Random(1))  # noqa: S311  # a test's
    assert 0 < len(swept) < 20
    assert sorted(record["id"] for record in told(history, "info")) == swept
    assert len(told(history, "ok")) == 20 - len(swept)
    assert asking.unanswered == 0


async def test_a_user_goes_round_until_the_phase_ends(history: History, autojump_clock: MockClock) -> None:
    """Each round is another request with another nonce, and its number is no other's."""
    target = Answers()
    target.seconds = 1.0
    await client(target, history).visit(visit(0.0, request(0), request(1), user=0), until=history.start + 3.5)
    asked = told(history, "invoke")
    assert [record["id"] for record in asked] == [0, 1, 100, 101]
    assert [record["operation"] for record in asked] == ["append"] * 4
    assert len({record["nonce"] for record in asked}) == 4


async def test_bytes_are_kept_as_their_digest(history: History, autojump_clock: MockClock) -> None:
    """The history of a run must not hold what the run carried."""
    await client(Answers({"payload": b"x" * 1000}), history).visit(visit(0.0, request(0, "echo", size=1000)))
    (reply,) = told(history, "ok")
    assert reply["reply"]["payload"]["bytes"] == 1000
    assert len(json.dumps(reply)) < 300


async def test_an_operation_that_stands_alone_has_no_session(history: History, autojump_clock: MockClock) -> None:
    """Also in a visit that has one; a visit that never used its session ends none."""
    target = Answers()
    await client(target, history).visit(visit(0.0, request(0, "work")))
    assert [call.session for _at, call in target.calls] == [None]
    assert target.ended == []


async def test_a_session_that_cannot_be_ended_is_written_down(history: History, autojump_clock: MockClock) -> None:
    """As the pool's error, once the requests have their outcomes."""
    target = Answers()

    def refuse() -> None:
        raise errors.PoolClosed("closed")

    target.at_end = refuse
    await client(target, history).visit(visit(0.0, request(0)))
    (record,) = told(history, "end_failed")
    assert record["error"] == "PoolClosed"


async def test_who_is_cancelled_in_a_storm_is_drawn_by_number(history: History, autojump_clock: MockClock) -> None:
    """Whoever began first: a replay must draw the same."""
    drawn: list[set[int]] = []
    for order in ((0, 1, 2, 3), (3, 2, 1, 0)):
        target = Answers()
        target.seconds = 10.0
        asking = client(target, history)
        before = len(told(history, "info"))
        async with trio.open_nursery() as nursery:
            for place, number in enumerate(order):
                nursery.start_soon(asking.visit, visit(0.1 * place, request(number), session=number))
            await trio.sleep(1.0)
            asking.cancel(0.5, random.Random(3))  # noqa: S311  # a test's
        drawn.append({record["id"] for record in told(history, "info")[before:]})
    assert drawn[0] == drawn[1]
    assert 0 < len(drawn[0]) < 4


async def test_a_session_that_was_lost_and_not_used_again_is_not_ended_twice(
    history: History, autojump_clock: MockClock
) -> None:
    """Under its new name there is nothing to end; that there was nothing under the old one is no failure."""
    target = Answers(errors.SessionLost("lost", outcome=Outcome.NOT_EXECUTED))
    asked: list[str] = []

    def nothing() -> None:
        asked.append("to end")
        raise errors.SessionNotFound("never seen")

    target.at_end = nothing
    await client(target, history).visit(visit(0.0, request(0)))
    assert [record["as"] for record in told(history, "renew")] == ["s-0.1"]
    assert told(history, "ended", "end_failed") == []
    assert len(asked) == 1


async def test_an_operation_that_stands_alone_renews_nobodys_session(
    history: History, autojump_clock: MockClock
) -> None:
    """Whatever its error is: it had none."""
    target = Answers({}, errors.SessionLost("lost", outcome=Outcome.NOT_EXECUTED))
    await client(target, history).visit(visit(0.0, request(0), request(1, "work"), request(2)))
    assert [call.session for _at, call in target.calls] == ["s-0", None, "s-0"]
    assert told(history, "renew") == []


class Deaf(Answers):
    """A target whose answer cannot be called off."""

    async def call(self, call: Call) -> Any:
        with trio.CancelScope(shield=True):
            return await super().call(call)


async def test_who_gives_up_as_the_session_is_lost_hears_of_it(history: History, autojump_clock: MockClock) -> None:
    """The error has come, so the session goes on under its new name."""
    target = Deaf(errors.SessionLost("lost", outcome=Outcome.NOT_EXECUTED))
    target.seconds = 2.0
    await client(target, history).visit(visit(0.0, request(0, cancel_after=1.0), request(1)))
    assert [call.session for _at, call in target.calls] == ["s-0", "s-0.1"]


async def test_of_an_error_no_more_is_kept_than_can_be_read(history: History, autojump_clock: MockClock) -> None:
    """Its message is cut, its causes are counted to ten though they go round, and a group is known for one."""
    error = errors.WorkerCrashed("x" * 10_000)
    error.__cause__ = error
    await client(Answers(error, ExceptionGroup("several", [error])), history).visit(visit(0.0, request(0), request(1)))
    first, second = told(history, "info", "raised")
    assert len(first["message"]) == 500
    assert len(first["chain"]) == 10
    assert (first["group"], second["group"]) == (False, True)


async def test_whoever_counts_outcomes_is_told_each(history: History, autojump_clock: MockClock) -> None:
    """Good ones and others."""
    outcomes: list[bool] = []
    asking = Client(
        scenario(),
        Register(),
        Answers(errors.WorkerCrashed("gone")),
        history,
        sessions=False,
        first_spare=100,
        on_outcome=outcomes.append,
    )
    asking.origin = trio.current_time()
    await asking.visit(visit(0.0, request(0), request(1)))
    assert outcomes == [False, True]
    assert (asking.ok, asking.failed) == (1, 1)


async def test_a_pool_without_sessions_is_asked_without(history: History, autojump_clock: MockClock) -> None:
    """Also for what would belong to one."""
    target = Answers()
    asking = Client(
        scenario(),
        Register(),
        target,
        history,
        sessions=False,
        first_spare=100,
        on_outcome=lambda _ok: None,
    )
    asking.origin = trio.current_time()
    await asking.visit(visit(0.0, request(0)))
    assert [call.session for _at, call in target.calls] == [None]
    assert target.ended == []


async def test_what_is_due_at_once_begins_in_bunches(history: History, autojump_clock: MockClock) -> None:
    """Fifty, then the loop has its turn, in which those under way are counted: the bound is overrun, and it holds."""
    target = Answers()
    target.seconds = 10.0
    phases = (Phase(name="main", duration=5.0, load=OpenLoad(rate=1.0, max_in_flight=60)),)
    asking = client(target, history, phases=phases)
    visits = [visit(0.0, request(number), session=None) for number in range(500)]
    load = Load(plan(scenario(phases=phases), visits), asking)
    await load.run()
    assert 60 <= 500 - load.dropped <= 60 + 5 * AT_ONCE


async def test_users_are_not_dropped_for_what_others_left_open(history: History, autojump_clock: MockClock) -> None:
    """A user begins though the phase before has more under way than there are users."""
    target = Answers()
    target.seconds = 4.0
    phases = (
        Phase(name="before", duration=1.0, load=OpenLoad(rate=1.0, max_in_flight=10)),
        Phase(name="main", duration=3.0, load=ClosedLoad(users=1)),
    )
    visits = [
        *(visit(0.5, request(number), session=None, phase="before") for number in range(3)),
        visit(1.0, request(3), session=3, user=0),
    ]
    load = Load(plan(scenario(phases=phases), visits), client(target, history, phases=phases))
    await load.run()
    assert load.dropped == 0


async def test_what_comes_upon_too_much_is_dropped(history: History, autojump_clock: MockClock) -> None:
    """It is counted with the time it was meant for, and never sent late."""
    target = Answers()
    target.seconds = 10.0
    phases = (Phase(name="main", duration=5.0, load=OpenLoad(rate=1.0, max_in_flight=2)),)
    asking = client(target, history, phases=phases)
    visits = [visit(float(number), request(number), session=None) for number in range(4)]
    load = Load(plan(scenario(phases=phases), visits), asking)
    await load.run()
    assert [record["id"] for record in told(history, "invoke")] == [0, 1]
    assert [(record["id"], record["t_int"]) for record in told(history, "drop")] == [(2, 2.0), (3, 3.0)]
    assert load.dropped == 2


async def test_users_stop_at_the_end_of_their_phase(history: History, autojump_clock: MockClock) -> None:
    """Not at that of the run."""
    target = Answers()
    target.seconds = 1.0
    phases = (
        Phase(name="main", duration=3.0, load=ClosedLoad(users=2)),
        Phase(name="after", duration=30.0),
    )
    visits = [visit(0.0, request(number), session=number, user=number) for number in range(2)]
    await Load(plan(scenario(phases=phases), visits), client(target, history, phases=phases)).run()
    assert [at - history.start for at, _call in target.calls] == [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]
