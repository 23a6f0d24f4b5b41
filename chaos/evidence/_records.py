"""The history, read back from the disk: strict about what was written, patient with a writer that was killed.

A history may be that of a harness that was killed at any instant, or of somebody who means no good. So a line that was
cut short is left out, and only as the last one; what there is, is checked field by field before anything relies on it.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Final, NoReturn, cast

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .._history import Record

_NUMBER: Final = (int, float)
_MAYBE_NUMBER: Final = (int, float, type(None))
_MAYBE_INT: Final = (int, type(None))
_MAYBE_TEXT: Final = (str, type(None))

_WORKER: Final[Mapping[str, tuple[type, ...]]] = {"slot": (int,), "incarnation": (int,)}
_POOL_REQUEST: Final[Mapping[str, tuple[type, ...]]] = {"request_id": (int,), "session_id": _MAYBE_TEXT}
_FAILED: Final[Mapping[str, tuple[type, ...]]] = {
    "id": (int,),
    "error": (str,),
    "outcome": _MAYBE_TEXT,
    "message": (str,),
    "request_id": _MAYBE_INT,
    "public": (bool,),
    "chain": (list,),
    "group": (bool,),
}

FIELDS: Final[Mapping[tuple[str, str], Mapping[str, tuple[type, ...]]]] = {
    ("run", "start"): {"plan": (str,), "scenario": (str,), "seed": (int,), "target": (str,)},
    ("run", "steady"): {"after": (str,), "ok": (bool,), "took": _NUMBER},
    ("run", "phase"): {"name": (str,), "duration": _NUMBER},
    ("run", "phase_end"): {"name": (str,)},
    ("run", "closed"): {"took": _NUMBER},
    ("run", "interrupted"): {"signal": (str,)},
    ("run", "not_started"): {"error": (str,)},
    ("run", "pool_failed"): {"error": (str,)},
    ("run", "leftover"): {"pid": (int,)},
    ("client", "invoke"): {
        "id": (int,),
        "phase": (str,),
        "session": _MAYBE_TEXT,
        "operation": (str,),
        "nonce": (str,),
        "t_int": _NUMBER,
        "idempotent": (bool,),
        "timeout": _MAYBE_NUMBER,
        "service": _NUMBER,
        "size": (int,),
        "cancel_after": _MAYBE_NUMBER,
        "touches": _MAYBE_TEXT,
        "expect": (dict,),
    },
    ("client", "ok"): {"id": (int,), "reply": (object,)},  # as the worker said, whatever that was
    ("client", "fail"): _FAILED,
    ("client", "info"): {"id": (int,), "error": (str,)},  # what its own caller gave up has no more
    ("client", "raised"): _FAILED,
    ("client", "drop"): {"id": (int,), "t_int": _NUMBER},
    ("client", "ended"): {"session": (str,)},
    ("client", "end_failed"): {"session": (str,), "error": (str,)},
    ("chaos", "inject"): {
        "fault": (str,),
        "occurrence": (int,),
        "kind": (str,),
        "slot": _MAYBE_INT,
        "incarnation": _MAYBE_INT,
    },
    ("chaos", "effect"): {"fault": (str,), "occurrence": (int,)},
    ("chaos", "heal"): {"fault": (str,), "occurrence": (int,), "ok": (bool,)},
    ("chaos", "missed"): {"fault": (str,), "occurrence": (int,), "why": (str,)},
    ("chaos", "trace"): {"fault": (str,), "occurrence": (int,), "point": (str,)},
    ("chaos", "postponed"): {"fault": (str,), "occurrence": (int,)},
    ("pool", "WorkerStarting"): _WORKER,
    ("pool", "WorkerReady"): {**_WORKER, "pid": _MAYBE_INT},
    ("pool", "WorkerKilled"): {**_WORKER, "reason": (str,)},
    ("pool", "WorkerExited"): {**_WORKER, "pid": _MAYBE_INT, "reason": (str,), "planned": (bool,)},
    ("pool", "HealthMissed"): _WORKER,
    ("pool", "StaleReply"): _WORKER,
    ("pool", "RestartScheduled"): {"slot": (int,), "delay": _NUMBER},
    ("pool", "RequestDispatched"): {**_POOL_REQUEST, "command": (str,), **_WORKER},
    ("pool", "RequestRedispatched"): {**_POOL_REQUEST, "incarnation": (int,)},
    ("pool", "RequestRetried"): {**_POOL_REQUEST, "incarnation": (int,)},
    ("pool", "RequestFinished"): {**_POOL_REQUEST, "command": (str,), "incarnation": _MAYBE_INT, "result": (str,)},
    ("pool", "SessionBound"): {"session_id": (str,), "incarnation": (int,)},
    ("pool", "SessionForgotten"): {"session_id": (str,), "incarnation": (int,), "lost": (bool,)},
}
"""What whoever reads a history relies on: the fields of a record, by its source and type, and what they may be."""


class NoEvidence(Exception):
    """The directory holds no run that can be judged; the message says why, in a line."""


def read_records(path: Path) -> list[Record]:
    """Read a history back; a last line without its end is one whose writer was killed, and is left out.

    Raises:
        NoEvidence: It cannot be read, or holds what no run writes.
    """
    records: list[Record] = []
    try:
        lines = path.read_bytes().split(b"\n")
        for number, line in enumerate(lines[:-1]):
            entry = json.loads(line, parse_constant=_no_number)
            if not isinstance(entry, dict):
                raise TypeError(f"line {number + 1} is no record")
            records.append(cast("Record", entry))
        check_records(records)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as exc:
        refuse(path, exc)
    return records


def check_records(records: list[Record]) -> None:
    """Check every record that anything relies on.

    Raises:
        ValueError: One is not as a run writes it, or one is missing.
    """
    latest = 0.0
    for number, entry in enumerate(records):
        if entry.get("seq") != number or isinstance(entry["seq"], bool):
            raise ValueError(f"record {number} carries seq {entry.get('seq')!r:.40}")
        src, kind = entry.get("src"), entry.get("type")
        if not (isinstance(src, str) and isinstance(kind, str)):
            raise ValueError(f"record {number}: src and type must be text")  # it is the file that is bad
        for name, kinds in {"t": _NUMBER, **FIELDS.get((src, kind), {})}.items():
            _check_field(number, entry, name, kinds)
        if entry["t"] < latest:
            raise ValueError(f"record {number}: its time lies before that of the one before it")
        latest = entry["t"]


def _check_field(number: int, entry: Record, name: str, kinds: tuple[type, ...]) -> None:
    if name not in entry:
        raise ValueError(f"record {number}: {name} is missing")
    value = entry[name]
    # A bool is an int to Python, and to nobody else.
    if not isinstance(value, kinds) or (isinstance(value, bool) and not {bool, object}.intersection(kinds)):
        raise ValueError(f"record {number}: {name} cannot be {value!r:.80}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"record {number}: {name} is no number")


def refuse(path: Path, exc: Exception) -> NoReturn:
    """Say in a line why a file is no evidence.

    Raises:
        NoEvidence: Always.
    """
    if isinstance(exc, (FileNotFoundError, NotADirectoryError)):
        lacks = f"it has no {path.name}" if path.parent.is_dir() else "there is no such directory"
        raise NoEvidence(f"cannot read a run in {path.parent}: {lacks}") from exc
    why = exc.strerror if isinstance(exc, OSError) else None
    raise NoEvidence(f"cannot read {path}: {why or f'{type(exc).__name__}: {exc}'}") from exc


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
