"""The two properties of the testing strategy, over workers in memory.

Each example runs under a loop and a clock of its own: with a clock shared between examples, the time one has used up
would be another's.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

import trio_pool
from trio_pool import Checkin, PoolConfig, WorkerStatus, open_pool, open_worker
from trio_pool.testing import MockPort

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

ALPHANUMERIC = st.text(string.ascii_letters + string.digits, min_size=1)
ANY_TEXT = st.text(st.characters(codec="utf-8"), min_size=1)
PECULIAR = st.sampled_from([" ", " padded ", "a b", "\n", "\0", "ü", "\U0001f41d", "None", "0"])
VALID = st.one_of(ALPHANUMERIC, ANY_TEXT, PECULIAR).filter(lambda text: len(text.encode()) <= 255)
INVALID = st.one_of(st.just(""), ANY_TEXT.map(lambda text: text * (256 // len(text.encode()) + 1)))

# An example opens a pool or a worker, which costs ten milliseconds; this many stay below a second. No deadline: on a
# busy machine an example may take any time.
EXAMPLES = settings(max_examples=20, deadline=None)


def run(main: Callable[..., Awaitable[None]], *args: object) -> None:
    """Run an example in virtual time."""
    trio.run(main, *args, clock=MockClock(autojump_threshold=0))


@pytest.mark.document("T-23", "F-050")
@EXAMPLES
@given(ids=st.lists(VALID, min_size=1, max_size=8, unique=True))
def test_pool_handles_any_valid_session_id(ids: Sequence[str]) -> None:
    """Whatever the id, a ping in its session is answered there, and the session can be ended, once."""

    async def use_them() -> None:
        port = MockPort()
        async with open_pool(launcher=port, size=1) as pool:
            for session_id in ids:
                assert (await pool.execute_in_session(session_id, "ping"))["status"] == "ok"
                assert port.history[-1].session == session_id
            assert set(pool.get_sessions()) == set(ids)
            for session_id in ids:
                await pool.end_session(session_id)
                with pytest.raises(trio_pool.SessionNotFound):
                    await pool.end_session(session_id)
            assert not pool.get_sessions()

    run(use_them)


@pytest.mark.document("T-23", "F-050")
@EXAMPLES
@given(ids=st.lists(INVALID, min_size=1, max_size=8))
def test_pool_refuses_any_invalid_session_id(ids: Sequence[str]) -> None:
    """An id that is empty, or longer than 255 bytes, is the caller's mistake, and leaves no session."""

    async def try_them() -> None:
        port = MockPort()
        async with open_pool(launcher=port, size=1) as pool:
            for session_id in ids:
                with pytest.raises(ValueError, match="session id"):
                    await pool.execute_in_session(session_id, "ping")
            assert not pool.get_sessions()
        assert [each.command for each in port.history] == ["shutdown"]

    run(try_them)


Step = tuple[str, str]
KINDS = st.sampled_from(["checkout", "checkin"])
ANY_SESSIONS = st.text(string.ascii_letters + string.digits, min_size=1, max_size=10)
FEW_SESSIONS = st.sampled_from(["a", "b"])  # so that one comes again while it holds the worker


@pytest.mark.document("T-24", "F-051")
@EXAMPLES
@given(steps=st.lists(st.tuples(KINDS, st.one_of(FEW_SESSIONS, ANY_SESSIONS)), min_size=1, max_size=20))
def test_worker_state_transitions_are_valid(steps: Sequence[Step]) -> None:
    """After any checkouts and check-ins the worker is ready or busy; what is refused leaves it as it was."""

    async def take_them() -> None:
        async with open_worker(config=PoolConfig(launcher=MockPort())) as worker:
            holder: str | None = None  # whose it is
            remembered: str | None = None
            for kind, session in steps:
                before = (worker.status, worker.session_id)
                if kind == "checkout" and holder in (None, session):
                    worker.checkout(session)
                    holder = remembered = session
                elif kind == "checkout":
                    with pytest.raises(trio_pool.SessionMismatch):
                        worker.checkout(session)
                    assert (worker.status, worker.session_id) == before
                elif holder is not None:
                    worker.checkin(Checkin.OK)
                    holder = None
                else:
                    with pytest.raises(trio_pool.IllegalTransition):
                        worker.checkin(Checkin.OK)
                    assert (worker.status, worker.session_id) == before
                assert worker.status is (WorkerStatus.READY if holder is None else WorkerStatus.BUSY)
                assert worker.session_id == remembered
            assert (await worker.send_command("ping")).success

    run(take_them)
