"""Whether sessions are honest: their state is theirs alone, in one worker, and what they were told it is: C7 to C9."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ._cases import Cases, count
from ._replies import reply_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..evidence._evidence import Evidence
    from ..evidence._ledger_reading import Execution
    from ..evidence._requests import Request
    from ._cases import Answer


def items_of(request: Request) -> tuple[str, ...] | None:
    """Return the list a request was answered with; None if it was not."""
    reply = reply_of(request)
    items = None if reply is None else reply.get("items")
    return tuple(str(item) for item in cast("list[object]", items)) if isinstance(items, list) else None


def isolation(evidence: Evidence) -> Answer:
    """What a session reads it has written itself: the state it meets has its name, and nobody else's items."""
    cases = Cases()
    writers = {
        request.invoke["nonce"]: request.session
        for request in evidence.requests.values()
        if request.touches == "append" and request.session is not None
    }
    homes: dict[int, set[str]] = {}
    for request in evidence.requests.values():
        reply = reply_of(request)
        if request.session is None or reply is None or request.touches is None:
            continue
        pid = reply.get("pid")
        if isinstance(pid, int):
            homes.setdefault(pid, set()).add(request.session)
        if reply.get("session") != request.session:
            cases.add(f"{request.name} met the state of session {reply.get('session')!r:.60}", request.seqs)
            continue
        for item in items_of(request) or ():
            writer = writers.get(item)
            if writer != request.session:
                whose = "that nobody wrote" if writer is None else f"of session {writer}"
                cases.add(f"{request.name} read {item:.40}, an item {whose}", request.seqs)
                break
    shared = sum(1 for sessions in homes.values() if len(sessions) > 1)
    return cases.answer(
        f"{count(shared, 'worker')} held the state of several sessions, and none saw another's",
        idle=None if shared else "no two sessions lived in one worker",
    )


def affinity(evidence: Evidence) -> Answer:
    """A session with state stays in the incarnation that holds it; it may lose it, never change it unnoticed."""
    cases = Cases()
    ends: dict[str, list[float]] = {}
    for entry in evidence.records:
        if (entry["src"], entry["type"]) == ("client", "ended"):
            ends.setdefault(entry["session"], []).append(float(entry["t"]))
    used = 0
    for session, executions in _by_session(evidence).items():
        home: tuple[Execution, Request] | None = None
        for request, execution in executions:
            begun = execution.begin or 0.0
            if home is not None and any((home[0].begin or 0.0) < end <= begun for end in ends.get(session, ())):
                home = None  # it was ended, and its name is free for another
            moved = home is not None and _place(home[0]) != _place(execution)
            # The first request of a session that is tried again elsewhere leaves nothing behind that anybody was told.
            if home is not None and moved and home[1] is not request:
                cases.add(
                    f"session {session} had its state in {home[0].where}, and {request.name} ran in {execution.where}"
                    " as if nothing were lost",
                    (*home[1].seqs, *request.seqs),
                )
            if request.touches is not None and (home is None or moved):
                home = execution, request
        used += home is not None
    return cases.answer(
        f"{count(used, 'session')} with state, each in one incarnation",
        idle=None if used else "no session left state in a worker that the ledger shows",
    )


def _by_session(evidence: Evidence) -> Mapping[str, Sequence[tuple[Request, Execution]]]:
    found: dict[str, list[tuple[Request, Execution]]] = {}
    for request in evidence.requests.values():
        if request.session is not None:
            begun = [(request, each) for each in request.executions if each.begin is not None]
            found.setdefault(request.session, []).extend(begun)
    for executions in found.values():
        executions.sort(key=lambda pair: pair[1].begin or 0.0)
    return found


def _place(execution: Execution) -> tuple[str, int]:
    """Return the worker an execution ran in: its process where the pool does not name its workers."""
    if execution.life is None:
        return "process", execution.pid
    return "incarnation", execution.life.incarnation


def order_and_state(evidence: Evidence) -> Answer:
    """Each session's answers are those of one list that its appends went into one after another, in real-time order."""
    cases = Cases()
    sessions: dict[str, list[Request]] = {}
    for request in evidence.requests.values():
        if request.session is not None and request.touches is not None:
            sessions.setdefault(request.session, []).append(request)
    judged = 0
    for session, requests in sessions.items():
        if any(items_of(request) is not None for request in requests):
            judged += 1
            for text, request in _contradictions(requests):
                cases.add(f"session {session}: {request.name} {text}", request.seqs)
    return cases.answer(
        f"{count(judged, 'session')}, each with answers that one list gives",
        idle=None if judged else "no session's state was read",
    )


def _contradictions(requests: Sequence[Request]) -> Iterator[tuple[str, Request]]:
    """Yield what of a session's answers no order of its operations explains.

    In general this is a search through all orders (Wing and Gong 1993), which has to be cut off when too many
    operations may or may not have happened. Here every answer is the whole list and every item is unique, so each
    answer says how many appends came before it, and there is only one order to try. Nothing has to be cut off:

    - all answers are beginnings of the longest;
    - an item is there because it was appended by then, by an operation that did not fail for certain;
    - an append that succeeded is last in its own answer;
    - whatever had ended before an operation began stands before it.

    An operation without a definite end may have happened at any time after it was sent, or never: it stands where its
    item does, or nowhere.
    """
    answers = [(items, request) for request in requests if (items := items_of(request)) is not None]
    longest = max((items for items, _ in answers), key=len)
    appends = {request.invoke["nonce"]: request for request in requests if request.touches == "append"}
    at = {item: position for position, item in enumerate(longest, start=1)}
    if len(at) < len(longest):
        holder = next(request for items, request in answers if items == longest)
        yield "was answered with an item twice", holder
        return
    for items, request in answers:
        if items != longest[: len(items)]:
            yield f"was answered with {_shown(items)}, where another got {_shown(longest)}", request
            return
        if request.touches == "append" and (not items or items[-1] != request.invoke["nonce"]):
            yield f"was answered with {_shown(items)}, which does not end with its own item", request
            return
    strange = next((item for item in longest if item not in appends), None)
    if strange is not None:
        holder = next(request for items, request in answers if strange in items)
        yield f"was answered with {strange:.40}, which this session never appended", holder
        return
    for request in appends.values():
        if request.invoke["nonce"] in at and request.type == "fail":
            yield f"failed with {request.error} as not executed, and its item is in the list", request
            return
    yield from _out_of_order(answers, [request for item, request in appends.items() if item in at], at)


def _out_of_order(
    answers: Sequence[tuple[tuple[str, ...], Request]], appends: Sequence[Request], at: Mapping[str, int]
) -> Iterator[tuple[str, Request]]:
    """Yield what was answered as if something had not happened that had ended before it began, or had already happened
    that had not begun."""
    # Each operation stands at the number of appends that it saw, itself included; at the same number appends go first.
    places: list[tuple[float, float, tuple[int, int], Request]] = [
        (request.sent, request.ended, (len(items), 1), request)
        for items, request in answers
        if request.touches != "append"
    ]
    for request in appends:
        ended = request.ended if request.type == "ok" else float("inf")
        places.append((request.sent, ended, (at[request.invoke["nonce"]], 0), request))
    by_end = sorted(places, key=lambda place: place[1])
    highest: tuple[tuple[int, int], Request] | None = None
    passed = 0
    for sent, _, place, request in sorted(places, key=lambda place: place[0]):
        while passed < len(by_end) and by_end[passed][1] < sent:
            if highest is None or by_end[passed][2] > highest[0]:
                highest = by_end[passed][2], by_end[passed][3]
            passed += 1
        if highest is not None and place < highest[0]:
            before = f"{highest[1].name} was over before it began, and stood at {highest[0][0]}"
            yield f"stands at {place[0]} in the list, though {before}", request
            return


def _shown(items: Sequence[str]) -> str:
    """Return a list's length and its end."""
    tail = ", ".join(item[:8] for item in items[-3:])
    return f"{count(len(items), 'item')} (… {tail})" if items else "no items"
