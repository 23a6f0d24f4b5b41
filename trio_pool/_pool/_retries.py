"""Retries: which of the requests that a worker had begun when it died are tried again, and what the others are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from ._failures import not_retried, poisonous
from ._slot import planned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._core._errors import WorkerError
    from .._core._session_table import SessionRecord
    from .._process._worker import PoolWorker
    from ._request import Request
    from ._router import Router


def judge(router: Router, worker: PoolWorker, begun: Sequence[Request]) -> dict[Request, WorkerError]:
    """Return the errors of the requests that are not tried again; those without one are, and have been counted.

    Retrying is only for what cannot do harm twice (``idempotent``), has retries and time left, and has not cost too
    many workers. Beside that:

    **Sessions.** What a request finds in its session must be what it found the first time. So it is tried again if the
    session had never used its state: what this request may have put there has died with the worker, and it begins as
    empty again. Any other request that had begun in the session, and is not tried again itself, counts as use.

    **Poison.** Deaths that the pool itself caused, for the sake of another request there, prove nothing against this
    one. They use up a retry, but do not count towards ``poison_after``.

    **Budget.** Asked last, so that what is refused for another reason takes nothing from it.

    Args:
        router: The pool's router.
        worker: The worker that died.
        begun: The requests it ran that it had begun, the oldest first, those that have an outcome included.
    """
    by_itself = not planned(worker)
    errors: dict[Request, WorkerError] = {}
    hopeful: list[Request] = []
    spoiled: set[SessionRecord] = set()
    for request in begun:
        death = request.left_by = worker.crashed(begun=True, command=request.command, request_id=request.request_id)
        death.session_id = request.session_id
        request.may_have_run = True
        if by_itself:
            request.deaths += (death,)
        if len(request.deaths) >= router.config.retry.poison_after:
            errors[request] = poisonous(request)
        elif request.idempotent and not request.finished:
            why = _hindrance(router, request)
            if why is None:
                hopeful.append(request)
                continue
            errors[request] = not_retried(request, why)
        else:
            errors[request] = not_retried(request, "")
        if request.session is not None and not request.answered:
            spoiled.add(request.session)
    for request in hopeful:
        # One that is refused now spoils its session for those that come after; those before it share its fate below.
        if request.session not in spoiled and not router.retry_budget.take(trio.current_time()):
            errors[request] = not_retried(request, f"the pool's retry budget is spent ({_spent(router)})")
            if request.session is not None:
                spoiled.add(request.session)
    for request in hopeful:
        if request.session in spoiled and request not in errors:
            errors[request] = not_retried(request, "the state of its session died with the worker")
    return errors


def _hindrance(router: Router, request: Request) -> str | None:
    """Return why an idempotent request cannot be tried again, None if it can."""
    session = request.session
    most = router.config.retry.max_retries
    if request.retries >= most:
        return f"that was try {request.retries + 1} of {most + 1} (retry.max_retries = {most})"
    if not router.redispatches:
        return "the pool is closing"
    if request.deadline <= trio.current_time():
        return "its time was over"
    if session is not None and router.sessions.get(session.session_id) is not session:
        return "its session has been ended"
    if session is not None and session.used:
        return "the state of its session died with the worker"
    return None


def _spent(router: Router) -> str:
    limit = router.retry_budget.limit(trio.current_time())
    return f"{limit:.3g} in ten seconds"
