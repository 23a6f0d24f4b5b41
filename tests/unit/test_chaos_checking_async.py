"""The checkers where a worker runs several requests at once: C6, C10 and C12, on histories written by hand."""

from __future__ import annotations

import pytest
from _chaos_story import Story

from chaos.workload._ledger import BEGIN, END, STOPPED


@pytest.mark.parametrize(("stopped", "verdict"), [(0.7, "pass"), (0.9, "fail")])
def test_a_cancelled_async_command_keeps_its_worker_until_it_has_stopped(stopped: float, verdict: str) -> None:
    """Though others may run beside one that somebody waits for."""
    story = Story(pool={"concurrency": 4})
    story.started(1)
    story.invoke(0, "fetch", asynchronous=True, at=0.1)
    story.handed(1, at=0.11, command="fetch")
    story.step(0, BEGIN, at=0.12, execution=1)
    story.invoke(1, "fetch", asynchronous=True, at=0.2)
    story.handed(2, at=0.21, command="fetch")
    story.finished(1, result="cancelled", at=0.5, command="fetch")
    story.cancelled(0, at=0.5)
    story.step(0, STOPPED, at=stopped, execution=1)
    story.invoke(2, "fetch", asynchronous=True, at=0.6)
    story.handed(3, at=0.8, command="fetch")
    assert story.says("C6") == verdict


@pytest.mark.parametrize(("asyncs", "verdict"), [(2, "pass"), (3, "fail")])
def test_a_worker_holds_so_many_async_requests_and_one_other(asyncs: int, verdict: str) -> None:
    """As many as ``concurrency``, whatever its main thread does meanwhile."""
    story = Story(pool={"concurrency": 2})
    story.handed(1, 1)
    for number in range(asyncs):
        story.invoke(number, "fetch", asynchronous=True)
        story.handed(number + 2, 1, command="fetch")
    assert story.says("C10") == verdict


@pytest.mark.parametrize(("concurrency", "verdict"), [(1, "fail"), (2, "pass")])
def test_async_executions_overlap_as_often_as_they_may(concurrency: int, verdict: str) -> None:
    """And beside one that is not async."""
    story = Story(pool={"concurrency": concurrency})
    story.invoke(0)
    for number in (1, 2):
        story.invoke(number, "fetch", asynchronous=True)
    for number in range(3):
        story.step(number, BEGIN, at=1.0 + 0.1 * number, execution=number)
    for number in range(3):
        story.step(number, END, at=2.0, execution=number)
    assert story.says("C10") == verdict


@pytest.mark.parametrize(("stopped", "verdict"), [(1.05, "pass"), (1.2, "fail"), (None, "pass")])
def test_a_cancelled_execution_has_its_place_until_it_has_stopped(stopped: float | None, verdict: str) -> None:
    """One whose end is not on record went with its process, nobody knows when."""
    story = Story()
    for number in (0, 1):
        story.invoke(number, "fetch", asynchronous=True)
    story.step(0, BEGIN, at=1.0, execution=1)
    if stopped is not None:
        story.step(0, STOPPED, at=stopped, execution=1)
    story.step(1, BEGIN, at=1.1, execution=2)
    assert story.says("C10") == verdict


def test_an_async_request_passes_by_those_that_wait_for_a_main_thread() -> None:
    """Each kind has its own line among those without session; within one, first come is first served."""
    for first, verdict in ((1, "pass"), (2, "fail")):
        story = Story(pool={"concurrency": 2})
        story.invoke(0)
        story.handed(1)
        for number, operation in enumerate(("work", "fetch", "fetch"), start=1):
            story.invoke(number, operation, asynchronous=operation == "fetch")
        for number in (first + 1, *({2, 3} - {first + 1}), 1):
            story.handed(number + 1, command="work" if number == 1 else "fetch")
        assert story.says("C12") == verdict
