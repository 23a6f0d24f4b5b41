"""The chaos harness as its users start it: by its command line, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

BRISK = """\
import os, sys, sysconfig
from functools import partial
import attrs
from chaos import _cli, _commands, _first_light
freeze = attrs.evolve(_first_light.FIRST_LIGHT.faults[2], hold=0.5)
_cli.SCENARIOS["brisk"] = attrs.evolve(
    _first_light.FIRST_LIGHT, name="brisk", duration=1.5, sessions=12, faults=(freeze,)
)
_commands.make_catalogue = partial(_commands.make_catalogue, os.path.join(sysconfig.get_path("stdlib"), "json"))
sys.exit(_cli.main(sys.argv[1:]))
"""
"""The command line with a scenario for what is not the verdict's business: two seconds, with a set-up of none."""

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 90.0
"""Seconds a command may take: the longest here runs for about 25 on an idle machine."""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "chaos", *arguments]


def environment(**more: str) -> dict[str, str]:
    """This process's environment, with this tree's packages first."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]), **more}


def brisk(*arguments: str) -> list[str]:
    """A command with the brisk scenario."""
    return [sys.executable, "-c", BRISK, *arguments]


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
