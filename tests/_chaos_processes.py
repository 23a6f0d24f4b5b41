"""Runs of the harness as processes of their own: started, followed by their history, and looked after."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import _chaos_control
from _workers import PATIENCE

from chaos.evidence._evidence import Evidence, read_evidence

SCENARIO = """
schema = 1
name = "brief"
# So many restarts that it does not give up and end the run by itself, however long that is to last.
pool = { size = 2, timeout = "3s", abandon_grace = "0.1s", restart = { max_restarts = 1000, within = "6000s" } }
steady_state = { require = ["pool.ready == pool.size"], before = { hold = "0.2s" }, after = { hold = "0.2s" } }
phase = [
  { name = "main", duration = "SECONDS", load = { model = "partly-open", session_rate = "15/s" } },
  { name = "heal", duration = "0.5s", heal = true, load = { model = "partly-open", session_rate = "10/s" } },
]
fault = [
  { name = "k", kind = "kill", at = { phase = "main", every = "0.5s" }, target = { state = "busy" } },
  { name = "f", kind = "freeze", at = { phase = "main", time = "0.4s" }, for = "0.5s" },
]
"""


class Run:
    """One run as a process of its own."""

    def __init__(self, path: Path, *, seconds: float = 2.0, seed: int = 1, edit: tuple[str, str] = ("", "")) -> None:
        scenario = path / "scenario.toml"
        scenario.write_text(SCENARIO.replace("SECONDS", f"{seconds}s").replace(*edit), encoding="utf-8")
        self.directory = path / "run"
        self.process = subprocess.Popen(
            [sys.executable, _chaos_control.__file__, str(scenario), str(self.directory), str(seed)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.output = ""

    def finish(self) -> str:
        """Wait for its end and return what it printed."""
        self.output, _ = self.process.communicate(timeout=60 + PATIENCE)
        return self.output

    def end(self) -> None:
        """Kill it, if it lives; what it started goes with it."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def records(self) -> list[dict[str, Any]]:
        """Return the whole lines of the history as it is now."""
        try:
            data = (self.directory / "history.jsonl").read_bytes()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines()]

    def until(self, src: str, kind: str) -> None:
        """Wait for a record."""
        deadline = time.monotonic() + PATIENCE
        while not any((record["src"], record["type"]) == (src, kind) for record in self.records()):
            assert time.monotonic() < deadline, f"no {kind}"
            assert self.process.poll() is None, self.output
            time.sleep(0.01)

    def evidence(self) -> Evidence:
        return read_evidence(self.directory)

    def pids(self) -> set[int]:
        """Return the processes of the application and its workers, as far as the history names them."""
        return {
            record["pid"]
            for record in self.records()
            if record["type"] in ("start", "WorkerReady") and record["pid"] is not None
        }


def living(pids: set[int]) -> set[int]:
    """Return those that live, be it stopped; the number of a process that ended may have gone to a stranger."""
    found = set()
    for pid in pids:
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if stat[0] not in (b"Z", b"X") and (b"trio_pool" in command or b"chaos" in command):
            found.add(pid)
    return found


def await_gone(pids: set[int]) -> None:
    """Wait until none of them lives."""
    deadline = time.monotonic() + PATIENCE
    while living(pids):
        assert time.monotonic() < deadline, f"{living(pids)} live"
        time.sleep(0.01)
