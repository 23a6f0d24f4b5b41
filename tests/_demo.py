"""The chaos harness as its users start it: by its command line, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

BRISK = """\
schema = 1
name = "brisk"
pool = { size = 4, timeout = "3s" }
steady_state = { require = ["pool.ready == pool.size"], before = { hold = "0.1s" }, after = { hold = "0.1s" } }
phase = [{ name = "main", duration = "1.5s", load = { model = "partly-open", session_rate = "10/s" } }]
fault = [{ name = "f1", kind = "freeze", at = { phase = "main", time = "0.4s" }, for = "0.5s" }]
"""
"""A scenario for what is not the verdict's business, which is that the pool passes: two seconds."""

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 90.0
"""Seconds a command may take: the longest here runs for about 25 on an idle machine."""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "chaos", *arguments]


def environment(**more: str) -> dict[str, str]:
    """This process's environment, with this tree's packages first."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]), **more}


def brisk(directory: Path) -> str:
    """Write the brisk scenario there, and return what to call it."""
    path = directory / "brisk.toml"
    path.write_text(BRISK, encoding="utf-8")
    return str(path)


def call(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=LIMIT, cwd=cwd, env=environment()
    )


def survivors(marker: str) -> list[str]:
    """Processes that carry the marker in their environment and are not merely waiting to be collected."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                marked = marker.encode() in (entry / "environ").read_bytes()
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if marked and state not in ("Z", "X"):
                found.append(entry.name)
    return found


def wait_for_none(marker: str) -> None:
    """Wait until no process carries the marker: those of a killed harness have a second to follow it."""
    deadline = time.monotonic() + 2.0
    while left := survivors(marker):
        assert time.monotonic() < deadline, left
        time.sleep(0.01)
