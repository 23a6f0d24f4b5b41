"""The worker-state table, walked against a model that knows the rules in words."""

from __future__ import annotations

import pickle
from itertools import product

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trio_pool._core._worker_states import (
    TRANSITIONS,
    IllegalTransition,
    WorkerEvent,
    WorkerStatus,
    advance,
    table_markdown,
)


class WorkerModel:
    """A worker as a few plain facts, from which its status follows."""

    def __init__(self) -> None:
        self.alive = True
        self.started = False
        self.stopped = False
        self.held = False
        self.silent = False

    def may(self, event: WorkerEvent) -> bool:
        if not self.alive:
            return False
        if event in (WorkerEvent.DIED, WorkerEvent.STOP):
            return True
        if self.stopped:
            return False
        if event is WorkerEvent.STARTED:
            return not self.started
        if event is WorkerEvent.CHECKIN:
            return self.held
        # What is left concerns an idle worker.
        idle = self.started and not self.held
        return idle and not (event is WorkerEvent.CHECKOUT and self.silent)

    def happen(self, event: WorkerEvent) -> None:
        match event:
            case WorkerEvent.STARTED:
                self.started = True
            case WorkerEvent.CHECKOUT:
                self.held = True
            case WorkerEvent.CHECKIN:
                self.held = False
            case WorkerEvent.MISSED:
                self.silent = True
            case WorkerEvent.RECOVERED:
                self.silent = False
            case WorkerEvent.STOP:
                self.stopped = True
            case WorkerEvent.DIED:
                self.alive = False

    @property
    def status(self) -> WorkerStatus:
        if not self.alive:
            return WorkerStatus.DEAD
        if self.stopped:
            return WorkerStatus.STOPPING
        if not self.started:
            return WorkerStatus.STARTING
        if self.held:
            return WorkerStatus.BUSY
        return WorkerStatus.DEGRADED if self.silent else WorkerStatus.READY


class WorkerStates(RuleBasedStateMachine):
    """Any sequence of events leaves table and model in the same status, or is refused by both."""

    def __init__(self) -> None:
        super().__init__()
        self.model = WorkerModel()
        self.status = WorkerStatus.STARTING

    @rule(event=st.sampled_from(WorkerEvent))
    def anything_happens(self, event: WorkerEvent) -> None:
        if self.model.may(event):
            self.model.happen(event)
            self.status = advance(self.status, event)
        else:
            with pytest.raises(IllegalTransition) as caught:
                advance(self.status, event)
            assert (caught.value.status, caught.value.event) == (self.status, event)

    # Most random events end a worker or are illegal: without this rule the walk would rarely see an idle one.
    @precondition(lambda self: self.model.alive and not self.model.stopped)
    @rule(data=st.data())
    def something_harmless_happens(self, data: st.DataObject) -> None:
        fatal = (WorkerEvent.DIED, WorkerEvent.STOP)
        legal = [event for event in WorkerEvent if self.model.may(event) and event not in fatal]
        event = data.draw(st.sampled_from(legal))
        self.model.happen(event)
        self.status = advance(self.status, event)

    @invariant()
    def agree(self) -> None:
        assert self.status is self.model.status


TestWorkerStates = WorkerStates.TestCase
TestWorkerStates.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_every_pair_is_either_in_the_table_or_refused() -> None:
    """advance() gives the table's answer, and `IllegalTransition` for each pair that is not in it."""
    for status, event in product(WorkerStatus, WorkerEvent):
        if (status, event) in TRANSITIONS:
            assert advance(status, event) is TRANSITIONS[status, event]
        else:
            with pytest.raises(IllegalTransition):
                advance(status, event)


@pytest.mark.parametrize("status", [status for status in WorkerStatus if status is not WorkerStatus.DEAD])
def test_every_living_worker_may_die_or_be_stopped(status: WorkerStatus) -> None:
    """Death and the order to stop are never illegal while the worker lives."""
    assert advance(status, WorkerEvent.DIED) is WorkerStatus.DEAD
    assert advance(status, WorkerEvent.STOP) is WorkerStatus.STOPPING


def test_nothing_happens_to_the_dead() -> None:
    """DEAD is final."""
    assert not [event for event in WorkerEvent if (WorkerStatus.DEAD, event) in TRANSITIONS]


def test_every_status_can_be_reached() -> None:
    """No status is there for show."""
    assert {WorkerStatus.STARTING, *TRANSITIONS.values()} == set(WorkerStatus)


def test_an_illegal_transition_says_what_and_pickles() -> None:
    """The error names status and event in one line and survives pickling."""
    error = IllegalTransition(WorkerStatus.DEAD, WorkerEvent.CHECKOUT)
    returned = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert (returned.status, returned.event) == (WorkerStatus.DEAD, WorkerEvent.CHECKOUT)
    assert str(returned) == str(error) == "a worker that is dead cannot have the event checkout"


def test_the_markdown_table_is_the_table() -> None:
    """Read back, the table for the documentation has each transition, and no other."""
    header, rule_line, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table_markdown().splitlines()
    ]
    assert set(rule_line) == {"---"}
    assert len(rule_line) == len(header)
    read = {}
    for status, *cells in rows:
        for event, cell in zip(header[1:], cells, strict=True):
            if cell != "-":
                read[status.strip("*"), event] = cell
    assert read == TRANSITIONS
