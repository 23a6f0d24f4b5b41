"""Error replies: how a failure in the worker is put into words that travel.

There is one error channel: every failure is an ``error`` map of a ``success: false`` reply, with a ``kind`` that tells
the parent which of its errors to raise. Nothing a command raises, not even an exception whose ``__str__`` raises, may
cost more than this reply.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Final

    from ._secrets import Secrets

TRACEBACK_LIMIT: Final = 64 * 1024
# Long enough for any message meant for people; a program that puts a data set into its exception gets it cut here.
MESSAGE_LIMIT: Final = 16 * 1024
_CUT: Final = "\n[… cut …]\n"

_ERROR_NAMES: Final = {
    "unknown_command": "UnknownCommand",
    "invalid_arguments": "InvalidArguments",
    "program_not_found": "ProgramNotFound",
    "expired": "CommandTimeout",
    "cancelled": "CommandTimeout",
    "busy": "PoolSaturated",
    "leaving": "WorkerCrashed",
    "unserializable": "Unserializable",
    "frame_too_large": "FrameTooLarge",
}


class Refused(Exception):  # it is an answer on its way out, not an error anyone sees
    """A request that is answered with an error of the protocol's own instead of being run.

    Private on purpose: were commands of applications able to raise it, a command that had already acted could claim
    that it never ran.

    Args:
        kind: The ``kind`` of the reply.
        message: One line.
        cause: The error of the application's own whose traceback the reply is to carry, if there is one.
        data: Further fields of the error map.
    """

    def __init__(self, kind: str, message: str, *, cause: BaseException | None = None, **data: object) -> None:
        super().__init__(message)
        self.kind = kind
        # Not __cause__, which other refusals have too: for a wrong argument nobody should pay for a traceback.
        self.cause = cause
        self.data = data


def invalid_arguments(message: str, cause: BaseException | None = None) -> Refused:
    """Return the refusal of a request whose arguments are wrong, for raising."""
    return Refused("invalid_arguments", message, cause=cause)


def taken_back() -> Refused:
    """Return the refusal of a request that was cancelled before it was begun, for raising."""
    return Refused("cancelled", "it was taken back", begun=False)


def refusal(
    kind: str, message: str, *, cause: BaseException | None = None, secrets: Secrets | None = None, **data: object
) -> dict[str, object]:
    """Return the error map of a failure that is the protocol's own, with the traceback of its cause, if it has one."""
    error: dict[str, object] = {
        "kind": kind,
        "type": f"trio_pool.errors.{_ERROR_NAMES[kind]}",
        "message": printable(message, MESSAGE_LIMIT, secrets),
        "traceback": "" if cause is None else printable(_traceback(cause), TRACEBACK_LIMIT, secrets),
    }
    for name, value in data.items():
        error[name] = printable(value, MESSAGE_LIMIT, secrets) if isinstance(value, str) else value
    return error


def failure(kind: str, exc: BaseException, *, secrets: Secrets | None = None) -> dict[str, object]:
    """Return the error map of an exception that a command or an application raised."""
    return {
        "kind": kind,
        "type": printable(_type_name(type(exc)), MESSAGE_LIMIT, secrets),
        "message": printable(_text(exc), MESSAGE_LIMIT, secrets),
        "traceback": printable(_traceback(exc), TRACEBACK_LIMIT, secrets),
    }


def summary(exc: BaseException) -> str:
    """Return an exception's type and message, whatever its ``__str__`` does."""
    return f"{type(exc).__name__}: {_text(exc)}"


def printable(text: str, limit: int, secrets: Secrets | None = None) -> str:
    """Return ``text`` without secrets, and without lone surrogates, which UTF-8 refuses, in at most ``limit`` bytes."""
    if secrets is not None:
        # Before anything is cut: half a secret would not be found.
        text = secrets.cover(text)
    data = text.encode("utf-8", "backslashreplace")
    if len(data) > limit:
        # The head has where it happened, the tail what happened: keep both.
        half = (limit - len(_CUT.encode())) // 2
        return data[:half].decode("utf-8", "ignore") + _CUT + data[-half:].decode("utf-8", "ignore")
    return data.decode()


def _type_name(kind: type) -> str:
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _text(exc: BaseException) -> str:
    try:
        return str(exc)
    except BaseException as broken:  # noqa: ASYNC103  # user code: whatever it raises, the reply must still be made
        return f"<the message cannot be shown: {_type_name(type(broken))}>"  # noqa: ASYNC104  # as above


def _traceback(exc: BaseException) -> str:
    try:
        import traceback  # 5 ms that a worker pays at its first error, not at its start

        entry = _own_frames_skipped(exc.__traceback__)
        return "".join(traceback.format_exception(type(exc), exc, entry))
    except BaseException as broken:  # noqa: ASYNC103  # MemoryError while formatting one, or a hostile __str__ or __cause__
        return f"<the traceback cannot be shown: {_type_name(type(broken))}>"  # noqa: ASYNC104  # as above


def _own_frames_skipped(entry: TracebackType | None) -> TracebackType | None:
    """Start the traceback at the first frame that is neither ours nor the import system's."""
    first = entry
    folder = __file__.rpartition("/")[0] + "/"
    while entry is not None:
        name = entry.tb_frame.f_code.co_filename
        if not name.startswith((folder, "<frozen importlib")):
            return entry
        entry = entry.tb_next
    return first
