"""Commands on the wire: packing a request, waiting for its reply, and reading an error reply."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, cast

import trio

from .._core._errors import (
    FrameTooLarge,
    InvalidArguments,
    Outcome,
    PoolSaturated,
    ProgramNotFound,
    RemoteError,
    TrioPoolError,
    UnknownCommand,
    Unserializable,
    WorkerCrashed,
)
from .._core._messages import encode
from ..errors import CommandTimeout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core._messages import Encoded, Message

_LISTED: Final = 400  # the length up to which a list of commands is still read in one line


class PendingCommand:
    """A command whose reply one task waits for."""

    __slots__ = ("command", "done", "message", "wire_id")

    def __init__(self, command: str = "") -> None:
        self.command = command
        self.done = trio.Event()
        self.message: Message | None = None
        self.wire_id = 0

    def replied(self, message: Message) -> None:
        """Take the reply and wake the waiter."""
        self.message = message
        self.done.set()

    def lost(self) -> None:
        """Wake the waiter: no reply will come."""
        self.done.set()


def request(
    command: str,
    args: Mapping[str, object] | None,
    session_id: str | None,
    max_frame: int,
    *,
    deadline: float = math.inf,
) -> Encoded:
    """Pack a request; see `encode` for what it raises.

    Args:
        command: Its command.
        args: Its arguments.
        session_id: Its session.
        max_frame: The largest message allowed, in bytes.
        deadline: The time, on Trio's clock, after which a worker is not to begin it.
    """
    fields: dict[str, object] = {"command": command, "args": {} if args is None else args}
    if session_id is not None:
        fields["session"] = session_id
    if deadline != math.inf:
        fields["deadline"] = deadline
    try:
        return encode(fields, max_frame)
    except (Unserializable, FrameTooLarge) as exc:
        exc.args = (f"{command}: {exc.what}",)
        exc.command, exc.session_id = command, session_id
        raise


def reply_error(
    error: Mapping[str, Any],
    command: str,
    *,
    worker_id: str,
    pid: int | None,
    incarnation: int,
    session_id: str | None = None,
    request_id: int | None = None,
) -> TrioPoolError:
    """Return the exception for a worker's error reply; the other arguments become its data."""
    text: str = error["message"]
    message = f"{command}: {text}"
    common: dict[str, Any] = {
        "worker_id": worker_id,
        "pid": pid,
        "incarnation": incarnation,
        "command": command,
        "session_id": session_id,
        "request_id": request_id,
    }
    match error["kind"]:
        case "unknown_command":
            known = [name for name in cast("list[object]", error.get("known") or ()) if isinstance(name, str)]
            listed = f"{command}: there is no such command; there are {', '.join(known)}"
            return UnknownCommand(listed if len(listed) < _LISTED else message, known=known, **common)
        case "invalid_arguments":
            refusal = InvalidArguments(message, **common)
            if text_of(error, "traceback"):
                refusal.add_note(f"In the worker:\n{text_of(error, 'traceback')}")
            return refusal
        case "expired":
            return CommandTimeout(message, outcome=Outcome.NOT_EXECUTED, **common)
        case "cancelled":
            # Of a worker that does not say whether it had begun, the worse is to be assumed.
            began = error.get("begun") is not False
            outcome = Outcome.MAYBE_EXECUTED if began else Outcome.NOT_EXECUTED
            return CommandTimeout(f"{message}; it {'had' if began else 'had not'} begun", outcome=outcome, **common)
        case "leaving":
            return WorkerCrashed(f"{command}: {message}", outcome=Outcome.NOT_EXECUTED, reason="leaving", **common)
        case "busy":
            return PoolSaturated(message, **common)
        case "program_not_found":
            return ProgramNotFound(message, program_id=text_of(error, "program_id"), **common)
        case "unserializable":
            return Unserializable(
                message,
                path=text_of(error, "path") or "result",
                type_name=text_of(error, "type_name"),
                outcome=Outcome.EXECUTED,
                **common,
            )
        case "frame_too_large":
            return FrameTooLarge(
                message,
                size=_int(error.get("size")),
                max_frame=_int(error.get("max_frame")),
                outcome=Outcome.EXECUTED,
                **common,
            )
        case _:
            return RemoteError(
                f"{command}: {error['type']}: {text}",
                type_name=error["type"],
                remote_message=text,
                remote_traceback=text_of(error, "traceback"),
                **common,
            )


def text_of(error: Mapping[str, Any], field: str) -> str:
    """Return a field that should be a str: of anything else str() may raise, so deeply may it be nested."""
    value = error.get(field)
    return value if isinstance(value, str) else ""


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0
