"""The checkers of sessions, C7 to C9, on histories written by hand."""

from __future__ import annotations

import pytest
from _chaos_story import Story, nonce_of
from hypothesis import given
from hypothesis import strategies as st

from chaos.checking._finding import Judgement

A, B = "s-0", "s-1"


def names(*numbers: int) -> list[str]:
    """The items that requests of these numbers append."""
    return [nonce_of(number) for number in numbers]


# -- C7 ----------------------------------------------------------------------------------------------------------------


def test_sessions_in_one_worker_that_see_their_own_state_are_isolated() -> None:
    """Each reads what it has written itself, and its name on it."""
    story = Story()
    story.served(0, "append", A, items=names(0))
    story.served(1, "append", B, items=names(1))
    story.served(2, "read", A, items=names(0))
    story.ends()
    assert story.says("C7") == "pass"


def test_a_state_with_anothers_name_is_contamination() -> None:
    """The state itself says whose it was first; the guarantee is the fifth."""
    story = Story()
    story.served(0, "append", A, items=names(0))
    story.invoke(1, "append", B)
    story.ok(1, session=A, items=names(0, 1))
    finding = story.judged("C7")
    assert finding.judgement is Judgement.FAIL
    assert finding.guarantee == 5


@pytest.mark.parametrize("item", [nonce_of(0), "rubbish"])
def test_an_item_of_somebody_else_is_contamination(item: str) -> None:
    """Whether another session wrote it or nobody."""
    story = Story()
    story.served(0, "append", A, items=names(0))
    story.served(1, "append", B, items=[item, nonce_of(1)])
    assert story.says("C7") == "fail"


def test_without_two_sessions_in_one_worker_isolation_is_idle() -> None:
    """They could not have met."""
    story = Story()
    story.served(0, "append", A, items=names(0), pid=101)
    story.served(1, "append", B, items=names(1), pid=102)
    assert story.says("C7") == "idle"


# -- C8 ----------------------------------------------------------------------------------------------------------------


def test_a_session_that_stays_where_its_state_is_has_affinity() -> None:
    """All of it in one process."""
    story = Story()
    story.served(0, "append", A, items=names(0))
    story.served(1, "read", A, items=names(0))
    assert story.says("C8") == "pass"


def test_a_session_that_moves_and_says_nothing_is_flagged() -> None:
    """Its state stayed behind."""
    story = Story()
    story.served(0, "append", A, items=names(0), pid=101)
    story.served(1, "append", A, items=names(1), pid=102)
    assert story.says("C8") == "fail"


def test_processes_with_one_number_are_told_apart_by_their_times() -> None:
    """The system gives a number away again; the pool says whose it was when."""
    story = Story()
    story.started(1)
    story.served(0, "append", A, items=names(0))
    story.worker("WorkerExited", 1)
    story.worker("WorkerStarting", 2)
    story.worker("WorkerReady", 2, pid=101)
    story.served(1, "append", A, items=names(1))
    assert story.says("C8") == "fail"


def test_a_session_that_was_ended_begins_anew_anywhere() -> None:
    """Its name is free."""
    story = Story()
    story.served(0, "append", A, items=names(0), pid=101)
    story.note("client", "ended", session=A)
    story.served(1, "append", A, items=names(1), pid=102)
    assert story.says("C8") == "pass"


@pytest.mark.parametrize(("first", "expected"), [(True, "pass"), (False, "fail")])
def test_a_first_request_that_is_tried_again_may_move(first: bool, expected: str) -> None:
    """Nobody was told of any state yet; one that follows others would meet a state without theirs."""
    story = Story()
    if not first:
        story.served(0, "append", A, items=names(0), pid=101)
    story.invoke(1, "read", A, idempotent=True)
    story.ran(1, pid=101)
    story.ran(1, pid=102, begin=story.now + 0.1)
    story.ok(1, items=[])
    assert story.says("C8") == expected


def test_a_session_without_state_may_move() -> None:
    """What left nothing in a worker is at home everywhere."""
    story = Story()
    story.served(0, "work", A, pid=101)
    story.served(1, "append", A, items=names(1), pid=102)
    assert story.says("C8") == "pass"


def test_without_state_affinity_is_idle() -> None:
    """Nobody had a home to leave."""
    story = Story()
    story.served(0)
    assert story.says("C8") == "idle"


# -- C9 ----------------------------------------------------------------------------------------------------------------


def test_answers_that_one_list_gives_are_in_order() -> None:
    """Appends, reads, one that failed for certain and two that may have happened, of which one did."""
    story = Story()
    story.served(0, "append", A, items=names(0))
    story.invoke(1, "append", A)
    story.failed(1, "PoolTimeout", "not_executed")
    story.invoke(2, "append", A)
    story.failed(2, "CommandTimeout")
    story.invoke(3, "append", A)
    story.cancelled(3)
    story.served(4, "read", A, items=names(0))
    story.served(5, "append", A, items=names(0, 3, 5))
    story.served(6, "read", A, items=names(0, 3, 5))
    assert story.says("C9") == "pass"


@pytest.mark.parametrize(
    "items",
    [
        names(2),  # the first is lost
        names(0),  # its own is missing
        names(0, 1, 2),  # what failed as not executed is there
        names(2, 0),  # in another order than before
        names(0, 7, 2),  # what was never sent
        names(0, 0, 2),  # twice the same
    ],
)
def test_answers_that_no_list_gives_are_flagged(items: list[str]) -> None:
    """Lost, phantom, reordered and doubled appends."""
    story = Story()
    story.served(0, "append", A, items=names(0))
    story.invoke(1, "append", A)
    story.failed(1, "PoolTimeout", "not_executed")
    story.served(2, "append", A, items=items)
    assert story.says("C9") == "fail"


def test_a_read_that_is_behind_what_had_been_read_is_flagged() -> None:
    """Once seen, an item does not disappear."""
    story = Story()
    story.served(0, "append", A, items=names(0))
    story.served(1, "append", A, items=names(0, 1))
    story.served(2, "read", A, items=names(0))
    assert story.says("C9") == "fail"


def test_a_read_that_is_ahead_of_an_append_is_flagged() -> None:
    """An item cannot be there before it was sent."""
    story = Story()
    story.served(0, "append", A, items=names(0))
    story.served(1, "read", A, items=names(0, 2))
    story.invoke(2, "append", A)
    story.failed(2, "CommandTimeout")
    assert story.says("C9") == "fail"


def test_without_an_answer_order_is_idle() -> None:
    """Nobody saw any state."""
    story = Story()
    story.invoke(0, "append", A)
    story.failed(0, "WorkerCrashed")
    assert story.says("C9") == "idle"


KINDS = st.lists(st.sampled_from(["append", "read", "failed", "maybe", "happened"]), min_size=1, max_size=12)


def tell(kinds: list[str], story: Story) -> list[tuple[int, list[str]]]:
    """Have one list carried through these operations; return the answers, as number and items."""
    done: list[str] = []
    answers: list[tuple[int, list[str]]] = []
    for number, kind in enumerate(kinds):
        story.invoke(number, "read" if kind == "read" else "append", A)
        if kind in ("append", "happened"):
            done.append(nonce_of(number))
        if kind in ("append", "read"):
            answers.append((number, list(done)))
            story.ok(number, items=list(done))
        else:
            outcome = "not_executed" if kind == "failed" else "maybe_executed"
            story.failed(number, "PoolTimeout" if kind == "failed" else "CommandTimeout", outcome)
    return answers


@given(KINDS)
def test_whatever_a_real_list_answers_is_in_order(kinds: list[str]) -> None:
    """No false alarm: operations that happened, failed and may have happened, as they come."""
    story = Story()
    answers = tell(kinds, story)
    assert story.says("C9") == ("pass" if answers else "idle")


@given(KINDS, st.data())
def test_a_forgotten_item_is_found(kinds: list[str], data: st.DataObject) -> None:
    """Take an item that was answered before out of a later answer, and it is flagged."""
    story = Story()
    answers = tell(kinds, story)
    later = [
        (number, items)
        for place, (number, items) in enumerate(answers)
        if place and set(items) & set(answers[place - 1][1])
    ]
    if not later:
        return
    number, items = data.draw(st.sampled_from(later))
    before = next(known for other, known in reversed(answers) if other < number)
    lost = data.draw(st.sampled_from(sorted(set(items) & set(before))))
    entry = next(e for e in story.records if e["type"] == "ok" and e["id"] == number)
    entry["reply"]["items"] = [item for item in items if item != lost]
    assert story.says("C9") == "fail"
