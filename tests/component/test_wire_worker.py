"""Workers that know nothing of the library but `trio_pool.wire`, and the worker its reference shows."""

from __future__ import annotations

import sys
from textwrap import dedent

import pytest
import trio
from _workers import PATIENCE

import trio_pool
from trio_pool import Exited, WorkerExited, open_pool, open_worker, wire

EXAMPLE = dedent((wire.__doc__ or "").partition("A whole worker::")[2].partition(".. versionadded")[0])

# Everything the reference speaks of: the page of begun marks, errors by kind, sessions, SIGTERM.
WHOLE = """
import mmap, os, select, signal, sys
from trio_pool import wire

fd = int(os.environ[wire.SOCKET_VARIABLE])
page = memoryview(mmap.mmap(int(os.environ[wire.PAGE_VARIABLE]), 4096)).cast("Q")
decoder = wire.MessageDecoder(2**26)
sessions = {}
leaving = False
wake, waker = os.pipe()
os.set_blocking(waker, False)
signal.set_wakeup_fd(waker)
signal.signal(signal.SIGTERM, lambda *_: None)

def messages():
    global leaving
    while not leaving:
        if wake in select.select([fd, wake], [], [])[0]:
            leaving = True
        elif data := os.read(fd, 65536):
            yield from decoder.feed(data)
        else:
            return

def say(*data):
    for piece in data:
        while piece:
            piece = piece[os.write(fd, piece):]

arriving = messages()
hello = next(arriving)
if sys.argv[1:] == ["broken"]:
    why = {"kind": "init", "type": "OSError", "message": "no good today", "traceback": "Traceback: none"}
    say(wire.encode_json({"type": "failed", "error": why}))
    sys.exit(1)
say(wire.encode_json({"type": "ready", "protocol": wire.PROTOCOL, "codec": wire.CODEC, "pid": os.getpid(),
                      "begun": "page", "commands": ["ping", "echo", "remember", "die"]}))
for request in arriving:
    page[0] = request["id"]
    reply = {"success": True, "result": None}
    match request:
        case {"command": "ping"}:
            reply["result"] = {"status": "ok"}
        case {"command": "echo", "args": {"value": value}}:
            reply["result"] = value
        case {"command": "remember", "args": {"value": value}, "session": session}:
            reply["result"] = sessions.get(session)
            reply["session_used"] = True
            sessions[session] = value
        case {"command": "cleanup_session", "args": {"session_id": session}}:
            sessions.pop(session, None)
        case {"command": "die"}:
            os._exit(3)
        case {"command": "shutdown"}:
            leaving = True
        case {"command": name}:
            error = {"kind": "unknown_command", "type": "Unknown", "message": "?", "traceback": "", "known": ["ping"]}
            reply = {"success": False, "error": error}
    say(*wire.pieces(request["id"], wire.encode(reply, hello["max_frame"])))
if leaving:
    say(wire.encode_leaving())
"""


async def test_the_worker_in_the_reference_serves_a_pool() -> None:
    """What the reference shows is a program: it answers, it is healthy, and it ends when it is told to."""
    exits: list[object] = []

    def note(event: object) -> None:
        if isinstance(event, WorkerExited):
            exits.append((event.exit, event.planned))

    with trio.fail_after(PATIENCE):
        async with open_pool([sys.executable, "-c", EXAMPLE], size=2, on_event=note) as pool:
            assert await pool.execute_anonymous("double", {"value": 21}) == 42
            assert await pool.execute_in_session("s", "double", {"value": b"x" * 40_000}) == b"x" * 80_000
            assert (await pool.health_check()).status == "healthy"
    assert exits == [(Exited(0), True)] * 2


async def test_a_worker_of_somebody_else_s_has_all_the_guarantees() -> None:
    """Sessions, begun marks, errors by kind, planned ends and crashes: each as the reference says it."""
    with trio.fail_after(PATIENCE):
        async with open_worker([sys.executable, "-c", WHOLE]) as worker:
            assert worker.marks_begun
            large = b"x" * 200_000
            assert (await worker.send_command("echo", {"value": [large, 1]})).result == [large, 1]
            error = (await worker.send_command("nope")).error
            assert isinstance(error, trio_pool.UnknownCommand)
            assert error.known == ("ping",)
            worker.checkout("s")
            assert (await worker.send_command("remember", {"value": 1})).result is None
            assert (await worker.send_command("remember", {"value": 2})).result == 1
            worker.checkin("session_cleanup")
            worker.checkout("s")
            assert (await worker.send_command("remember", {"value": 3})).result is None
            await worker.handle.terminate()
            await worker.dead.wait()
            assert (worker.exit, worker.leaving) == (Exited(0), True)
        async with open_pool([sys.executable, "-c", WHOLE], size=1) as pool:
            await pool.execute_in_session("s", "remember", {"value": 1})
            with pytest.raises(trio_pool.WorkerCrashed) as caught:
                await pool.execute_in_session("t", "die")
            assert (caught.value.exit, caught.value.outcome) == (Exited(3), "maybe_executed")
            with pytest.raises(trio_pool.SessionLost):
                await pool.execute_in_session("s", "remember", {"value": 2})


QUIET = """
import os
from trio_pool import wire

fd = int(os.environ[wire.SOCKET_VARIABLE])
decoder = wire.MessageDecoder(2**26)
types = []

def say(*data):
    for piece in data:
        os.write(fd, piece)

while not decoder.feed(os.read(fd, 65536)):
    pass
say(wire.encode_json({"type": "ready", "protocol": wire.PROTOCOL, "codec": wire.CODEC, "begun": None, "commands": []}))
while data := os.read(fd, 65536):
    for message in decoder.feed(data):
        types.append(message.get("command", message.get("type")))
        if types[-1] == "seen":
            say(*wire.pieces(message["id"], wire.encode({"success": True, "result": types}, 2**20)))
"""


async def test_a_worker_that_announced_no_flags_is_never_told_to_cancel() -> None:
    """It may know nothing of this message, and take it for a request without a command."""
    with trio.fail_after(PATIENCE):
        async with open_worker([sys.executable, "-c", QUIET]) as worker:
            with pytest.raises(trio_pool.CommandTimeout):
                await worker.send_command("quiet", timeout=0.01)
            assert (await worker.send_command("seen")).result == ["quiet", "seen"]


async def test_a_worker_that_cannot_start_says_why_in_its_own_words() -> None:
    """What it calls ``failed`` reaches whoever opened it."""
    with trio.fail_after(PATIENCE), pytest.raises(trio_pool.WorkerInitFailed, match="no good today") as caught:
        async with open_worker([sys.executable, "-c", WHOLE, "broken"]):
            pytest.fail("it cannot be ready")
    assert (caught.value.reason, caught.value.remote_traceback) == ("application", "Traceback: none")
