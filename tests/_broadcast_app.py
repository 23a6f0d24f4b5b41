"""An application whose commands change what a whole worker process holds, for tests of broadcasts."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import _apps

from trio_pool.bridge import Bridge, Session

GATE = "TRIO_POOL_TEST_GATE"
"""The environment variable with the path of a file: while it exists, no worker gets through its start hook."""

bridge = Bridge()
bridge.include(_apps.bridge)
held: dict[str, object] = {}


@bridge.on_start
def start() -> None:
    """Hold what a worker holds that has been told nothing yet."""
    held["k"] = "untold"
    gate = os.environ.get(GATE)
    while gate and os.path.exists(gate):
        time.sleep(0.005)


@bridge.command
def get(key: str = "k") -> object:
    """Return what this worker holds."""
    return held.get(key)


@bridge.command
def put(value: object, key: str = "k", note: str | None = None) -> object:
    """Hold a value."""
    if note is not None:
        _apps.note(note, f"{value} {os.getpid()}")
    held[key] = value
    return value


@bridge.command
def put_unless(path: str, value: object) -> object:
    """Hold a value, or raise if there is such a file."""
    if os.path.exists(path):
        raise LookupError("not with this file about")
    held["k"] = value
    return value


@bridge.command
def put_when(path: str, value: object, note: str) -> object:
    """Hold a value as soon as there is such a file."""
    _apps.note(note, str(os.getpid()))
    while not os.path.exists(path):
        time.sleep(0.005)
    held["k"] = value
    return value


@bridge.command
def put_as_told(folder: str, value: object, note: str) -> object:
    """Hold a value, or raise, as a file named after this process, or ``anybody``, says once it is there."""
    _apps.note(note, str(os.getpid()))
    files = [Path(folder) / str(os.getpid()), Path(folder) / "anybody"]
    while not (told := [line for file in files for line in _apps.notes(file)]):
        time.sleep(0.005)
    if told[0] == "raise":
        raise LookupError("as told")
    held["k"] = value
    return value


@bridge.command
def put_if_first(path: str, value: object) -> object:
    """Hold a value in the one worker that is the first to make such a file, and raise in all others."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    held["k"] = value
    return value


@bridge.command
def put_or_die(path: str, value: object) -> object:
    """Hold a value; but die if there is a file that names this process, or anybody."""
    if set(_apps.notes(Path(path))) & {"anybody", str(os.getpid())}:
        os.kill(os.getpid(), signal.SIGKILL)
    held["k"] = value
    return value


@bridge.command
def put_unless_told(path: str, value: object) -> object:
    """Hold a value; but spoil the protocol, or begin to leave, if a file says so."""
    told = _apps.notes(Path(path))
    if told == ["garbage"]:
        _apps.write_garbage(b"\xff" * 8)
    elif told == ["leave"]:
        os.kill(os.getpid(), signal.SIGTERM)
    held["k"] = value
    return value


@bridge.command
def die_or_raise(path: str) -> None:
    """Die if this process is the one a file names, and raise if not."""
    put_or_die(path, None)
    raise LookupError("not for me")


@bridge.command
def measure(data: bytes) -> object:
    """Hold the first byte of the data."""
    held["k"] = data[0]
    return data[0]


sessions = Bridge()


@sessions.command
def remember_note(session: Session, path: str) -> None:
    """Keep the path of a file, to be noted in when the session ends."""
    session.state["path"] = path


@sessions.on_session_end
def tell(session: Session) -> None:
    """Note the end of a session."""
    _apps.note(session.state["path"], f"{session.session_id} ended")
