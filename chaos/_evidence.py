"""The evidence of a run: what is left of it in its directory, and all that any report is made from.

Whoever holds the directory can judge the run again, on any machine and years later. What is read may have been written
by a harness that was killed, or by somebody who means no good: it is checked field by field before anything uses it.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Final, NoReturn

import attrs
import cattrs

from ._history import read_history
from ._plan import Plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ._history import Record

_NUMBER: Final = (int, float)
_MAYBE_INT: Final = (int, type(None))
_MAYBE_TEXT: Final = (str, type(None))

_FIELDS: Mapping[tuple[str, str], Mapping[str, tuple[type, ...]]] = {
    ("run", "start"): {"plan": (str,)},
    ("run", "interrupted"): {"signal": (str,)},
    ("run", "pool_failed"): {"error": (str,)},
    ("run", "not_started"): {"error": (str,)},
    ("run", "leftover"): {"pid": (int,), "incarnation": (int,)},
    ("client", "invoke"): {"id": (int,), "session": (str,), "nonce": (str,), "t_int": _NUMBER, "expect": (list,)},
    ("client", "ok"): {"id": (int,), "nonce": (object,), "value": (object,)},  # as the worker said, whatever that was
    ("client", "fail"): {"id": (int,), "error": (str,)},
    ("client", "info"): {"id": (int,), "error": (str,)},
    ("client", "raised"): {"id": (int,), "error": (str,)},
    ("client", "drop"): {"id": (int,), "t_int": _NUMBER},
    ("client", "crossed"): {"wanted": (str,), "got": (str,)},
    ("client", "ended"): {"session": (str,)},
    ("client", "end_failed"): {"session": (str,), "error": (str,)},
    ("chaos", "inject"): {
        "fault": (str,),
        "kind": (str,),
        "slot": (int,),
        "worker_id": (str,),
        "incarnation": (int,),
        "request_id": _MAYBE_INT,
        "begun": (bool,),
    },
    ("chaos", "heal"): {"fault": (str,)},
    ("chaos", "missed"): {"fault": (str,), "kind": (str,), "why": (str,)},
    ("pool", "WorkerStarting"): {"slot": (int,), "incarnation": (int,)},
    ("pool", "WorkerReady"): {"slot": (int,), "incarnation": (int,)},
    ("pool", "WorkerKilled"): {"slot": (int,), "incarnation": (int,)},
    ("pool", "WorkerExited"): {"slot": (int,), "incarnation": (int,)},
    ("pool", "RequestDispatched"): {
        "request_id": (int,),
        "session_id": _MAYBE_TEXT,
        "slot": (int,),
        "incarnation": (int,),
    },
    ("pool", "RequestFinished"): {"request_id": (int,), "incarnation": _MAYBE_INT, "result": (str,)},
    ("pool", "SessionBound"): {"session_id": (str,), "incarnation": (int,)},
}
"""What whoever reads a history relies on: the fields of a record, by its source and type, and what they may be."""


class NoEvidence(Exception):
    """The directory holds no run that can be judged; the message says why, in a line."""


@attrs.frozen(kw_only=True)
class Evidence:
    """A run as its files tell it.

    Args:
        plan: What was to happen.
        records: The whole history.
        executions: How often the workers' ledger names each nonce.
    """

    plan: Plan
    records: Sequence[Record]
    executions: Mapping[str, int]

    @property
    def start(self) -> Mapping[str, object]:
        """The first record: what the harness knew before anything happened."""
        return self.records[0] if self.records else {}

    @property
    def replay(self) -> str:
        """The command that does the same again."""
        return str(self.start.get("replay", ""))

    @property
    def environment(self) -> Mapping[str, object]:
        """The versions and the machine the run took place on."""
        about = ("python", "trio", "trio_pool", "machine", "kernel", "cpus")
        return {name: self.start[name] for name in about if name in self.start}


def read_evidence(directory: Path) -> Evidence:
    """Read what a run left, also one that was killed.

    Raises:
        NoEvidence: A file is missing or is not what a run writes, or the history is that of another plan.
    """
    plan = _plan(directory / "plan.json")
    path = directory / "history.jsonl"
    try:
        records = read_history(path)
        for entry in records:
            _check_record(entry)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as exc:
        _refuse(path, exc)
    if records and records[0].get("plan") != plan.sha256:
        raise NoEvidence(f"{path} is the history of another plan than {directory / 'plan.json'}")
    return Evidence(plan=plan, records=records, executions=read_ledger(directory / "executions.log"))


def read_ledger(path: Path) -> Counter[str]:
    """Count the executions the workers noted, by nonce.

    Raises:
        NoEvidence: The ledger cannot be read.
    """
    try:
        # A worker that is killed in the middle of a write leaves half a nonce, which is no request's.
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as exc:
        _refuse(path, exc)
    return Counter(line.split()[0] for line in lines if line.strip())


def _plan(path: Path) -> Plan:
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text, parse_constant=_no_number)
        if not isinstance(data, dict):
            raise TypeError("not an object")
        plan = cattrs.Converter(forbid_extra_keys=True).structure(data, Plan)
    except (OSError, ValueError, TypeError, KeyError, RecursionError, cattrs.BaseValidationError) as exc:
        _refuse(path, exc)
    if plan.to_json() != text:
        # What was converted to fit, and what is written in another way, is not the plan whose SHA-256 is on record.
        raise NoEvidence(f"{path} is not as a plan is written")
    return plan


def _check_record(entry: Record) -> None:
    where = f"record {entry['seq']}"
    if not (isinstance(entry["src"], str) and isinstance(entry["type"], str)):
        raise ValueError(f"{where}: src and type must be text")
    fields = {"t": _NUMBER, **_FIELDS.get((entry["src"], entry["type"]), {})}
    for name, kinds in fields.items():
        if name not in entry:
            raise ValueError(f"{where}: {name} is missing")
        value = entry[name]
        # A bool is an int to Python, and to nobody else.
        if not isinstance(value, kinds) or (isinstance(value, bool) and not {bool, object}.intersection(kinds)):
            raise ValueError(f"{where}: {name} cannot be {value!r:.80}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{where}: {name} is no number")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _refuse(path: Path, exc: Exception) -> NoReturn:
    why = exc.strerror if isinstance(exc, OSError) else None
    raise NoEvidence(f"cannot read {path}: {why or f'{type(exc).__name__}: {exc}'}") from exc
