"""The session table, walked against a naive model: a list of sessions in the order of their use."""

from __future__ import annotations

import math

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trio_pool._core._errors import SessionLimit, SessionNotFound
from trio_pool._core._session_table import MAX_ID_BYTES, SessionRecord, SessionStatus, SessionTable

TTL = 10.0
MAX_SESSIONS = 4

ids = st.sampled_from(["a", "b", "c", "d", "e", "f"])


@attrs.define
class Known:
    """A session as the model sees it."""

    session_id: str
    created_at: float
    last_used: float
    busy: bool = False


class SessionTables(RuleBasedStateMachine):
    """Any sequence of uses, ends and expiries leaves table and model with the same sessions in the same order."""

    def __init__(self) -> None:
        super().__init__()
        self.table = SessionTable(TTL, MAX_SESSIONS)
        self.known: list[Known] = []
        self.created = 0
        self.expired = 0
        self.lifetimes: list[float] = []
        self.now = 100.0

    def find(self, session_id: str) -> Known | None:
        return next((known for known in self.known if known.session_id == session_id), None)

    @rule(seconds=st.sampled_from([0.5, 3.0, TTL / 2, TTL]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(session_id=ids)
    def use(self, session_id: str) -> None:
        known = self.find(session_id)
        if known is None and len(self.known) == MAX_SESSIONS:
            with pytest.raises(SessionLimit) as caught:
                self.table.use(session_id, self.now)
            assert caught.value.session_id == session_id
            return
        record = self.table.use(session_id, self.now)
        if known is None:
            known = Known(session_id, self.now, self.now)
            self.created += 1
        else:
            self.known.remove(known)
            known.last_used = self.now
        self.known.append(known)
        assert record.session_id == session_id

    @rule(session_id=ids)
    def end(self, session_id: str) -> None:
        known = self.find(session_id)
        if known is None:
            with pytest.raises(SessionNotFound) as caught:
                self.table.end(session_id, self.now)
            assert caught.value.session_id == session_id
        else:
            record = self.table.get(session_id)
            assert self.table.end(session_id, self.now) is record
            self.known.remove(known)
            self.lifetimes.append(self.now - known.created_at)

    @rule(session_id=ids)
    def make_in_vain(self, session_id: str) -> None:
        """A session made for a request that is refused never was."""
        if self.find(session_id) is None and len(self.known) < MAX_SESSIONS:
            self.table.use(session_id, self.now)
            self.table.undo(session_id)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), busy=st.booleans())
    def requests_come_and_go(self, data: st.DataObject, busy: bool) -> None:
        known = data.draw(st.sampled_from(self.known))
        known.busy = busy
        record = self.table.get(known.session_id)
        assert record is not None
        record.head = object() if busy else None

    @rule()
    def expire(self) -> None:
        """Idle sessions past their time are named, busy ones are touched; the pool then ends the former."""
        due = [known for known in self.known if known.last_used + TTL <= self.now]
        assert self.table.stale(self.now) == [known.session_id for known in due if not known.busy]
        for known in due:
            self.known.remove(known)
            if known.busy:
                known.last_used = self.now
                self.known.append(known)
            else:
                record = self.table.get(known.session_id)
                assert self.table.expire(known.session_id) is record
                self.expired += 1
                self.lifetimes.append(known.last_used - known.created_at)

    @invariant()
    def the_counts_agree(self) -> None:
        table = self.table
        assert (table.created, table.ended, table.expired) == (self.created, len(self.lifetimes), self.expired)
        mean = math.fsum(self.lifetimes) / len(self.lifetimes) if self.lifetimes else None
        assert table.average_lifetime == (mean if mean is None else pytest.approx(mean))

    @invariant()
    def agree(self) -> None:
        assert len(self.table) == len(self.known) <= MAX_SESSIONS
        found = [(record.session_id, record.created_at, record.last_used) for record in self.table]
        assert found == [(known.session_id, known.created_at, known.last_used) for known in self.known]
        for session_id in ("a", "f"):
            record = self.table.get(session_id)
            assert (record is not None) == (self.find(session_id) is not None)

    @invariant()
    def the_next_expiry_is_never_late(self) -> None:
        expected = min((known.last_used + TTL for known in self.known), default=math.inf)
        assert self.table.next_expiry() == expected


TestSessionTables = SessionTables.TestCase
TestSessionTables.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize("session_id", ["\ud800", [], "", 7, None, b"a", "x" * (MAX_ID_BYTES + 1), "ü" * 128], ids=repr)
def test_a_bad_id_is_refused_and_leaves_nothing(session_id: object) -> None:
    """An id is a non-empty str of up to 255 bytes, in UTF-8."""
    table = SessionTable(TTL, MAX_SESSIONS)
    with pytest.raises(ValueError, match="session id"):
        table.use(session_id, 0.0)  # type: ignore[arg-type]  # untyped callers exist
    assert len(table) == 0


@pytest.mark.parametrize("session_id", ["a", "x" * MAX_ID_BYTES, "ü" * 127, "line\nbreak"])
def test_any_other_id_is_taken(session_id: str) -> None:
    """Length is counted in bytes, and nothing else matters."""
    table = SessionTable(TTL, MAX_SESSIONS)
    assert table.use(session_id, 0.0) is table.get(session_id)


def test_the_status_follows_from_where_the_state_is() -> None:
    """A session is unbound, bound, or lost; lost wins, for the incarnation may be gone or forgotten already."""
    record = SessionRecord("a", 1.0)
    seen = [record.status]
    record.incarnation = 7
    seen.append(record.status)
    record.lost = True
    seen.append(record.status)
    assert seen == [SessionStatus.UNBOUND, SessionStatus.BOUND, SessionStatus.LOST]


def test_the_snapshot_says_what_the_record_says() -> None:
    """`SessionInfo` is a value taken at one moment."""
    table = SessionTable(TTL, MAX_SESSIONS)
    record = table.use("a", 1.0)
    table.use("a", 2.0)
    record.incarnation = 3
    record.operations = 5
    record.waiting.append(object())
    info = record.info()
    record.operations = 6
    assert attrs.asdict(info) == {
        "session_id": "a",
        "status": "bound",
        "incarnation": 3,
        "created_at": 1.0,
        "last_used": 2.0,
        "operations": 5,
        "waiting": 1,
    }


def test_idle_sessions_expire_and_busy_ones_are_touched() -> None:
    """A session with a request in it is in use: its time starts again, and idle ones behind it are still found."""
    table = SessionTable(TTL, MAX_SESSIONS)
    assert table.next_expiry() == math.inf
    for moment, session_id in enumerate("abc"):
        table.use(session_id, float(moment))
    busy = table.get("a")
    assert busy is not None
    busy.head = object()
    assert table.next_expiry() == TTL
    assert table.stale(TTL + 1) == ["b"]
    table.end("b", TTL + 1)
    assert [(record.session_id, record.last_used) for record in table] == [("c", 2.0), ("a", TTL + 1)]
    assert table.next_expiry() == TTL + 2
    busy.head = None
    assert table.stale(3 * TTL) == ["c", "a"]


def test_what_is_not_tracked_cannot_be_ended_and_what_is_too_much_not_be_made() -> None:
    """The errors name the session; using a known one is possible at the limit."""
    table = SessionTable(TTL, 1)
    record = table.use("a", 0.0)
    with pytest.raises(SessionLimit) as limit:
        table.use("b", 0.0)
    assert limit.value.session_id == "b"
    assert table.use("a", 1.0) is record
    assert table.end("a", 2.0) is record
    with pytest.raises(SessionNotFound) as missing:
        table.end("a", 2.0)
    assert missing.value.session_id == "a"


def test_touching_a_session_that_was_ended_changes_nothing() -> None:
    """A request that outlives its session does not bring it back, nor touch another of the same id."""
    table = SessionTable(10.0, 10)
    ended = table.use("s", 0.0)
    table.end("s", 1.0)
    table.touch(ended, 5.0)
    assert len(table) == 0
    anew = table.use("s", 6.0)
    table.touch(ended, 9.0)
    assert (ended.last_used, anew.last_used) == (0.0, 6.0)


def test_a_session_that_expired_lived_until_its_last_use() -> None:
    """The mean lifetime is of sessions that ended, and the time nobody used an expired one is no part of it."""
    table = SessionTable(TTL, MAX_SESSIONS)
    assert table.average_lifetime is None
    table.use("ended", 0.0)
    table.use("expired", 0.0)
    table.use("expired", 2.0)
    table.end("ended", 4.0)
    assert table.average_lifetime == 4.0
    assert table.stale(100.0) == ["expired"]
    table.expire("expired")
    assert table.average_lifetime == 3.0
    assert (table.created, table.ended, table.expired) == (2, 2, 1)
