"""Completion in real shells: the script is sourced, and a line is completed as the shell does it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.cli._arguments import SHELLS
from chaos.scenario._shipped import groups, shipped

pytestmark = pytest.mark.slow

COMPLETE = """
source <("$PYTHON" -m chaos completion bash)
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
[[ $(complete -p python) == *"-F _trio_pool_chaos python" ]] || exit 1
_trio_pool_chaos
printf '%s\\n' "${COMPREPLY[@]}"
"""


def bash(folder: Path, *words: str) -> list[str]:
    """Return how bash completes the last of these words."""
    environment = {
        **os.environ,
        "PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(Path(each).absolute()) for each in sys.path if each))),
    }
    command = ["bash", "--norc", "-c", COMPLETE, "bash", *words]
    done = subprocess.run(command, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.split("\n")[:-1]


PYTHON = (sys.executable, "-m", "chaos")


def test_bash_completes_words(tmp_path: Path) -> None:
    """Commands, options, choices and names, by what was typed of them."""
    assert set(bash(tmp_path, *PYTHON, "comp")) == {"compare", "compare-pools", "completion"}
    assert bash(tmp_path, *PYTHON, "run", "--targ") == ["--target"]
    assert bash(tmp_path, *PYTHON, "report", "--format", "=", "ht") == ["html"]
    assert set(bash(tmp_path, *PYTHON, "run", "kill", "")) == {*shipped(), *groups()}


def test_bash_completes_files(tmp_path: Path) -> None:
    """Scenarios of one's own and directories, with whatever is in their names, and no other file."""
    for name in ("mine.toml", "other one.toml", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "my runs").mkdir()
    assert set(bash(tmp_path, *PYTHON, "plan", "")) - {*shipped(), *groups()} == {
        "mine.toml",
        "other one.toml",
        "my runs",
    }
    assert bash(tmp_path, *PYTHON, "replay", "m") == ["my runs"]
    assert set(bash(tmp_path, *PYTHON, "run", "--html", "")) == {"mine.toml", "other one.toml", "notes.txt", "my runs"}


def test_bash_leaves_other_uses_of_python_alone(tmp_path: Path) -> None:
    """What is no line of the harness has nothing to do with it."""
    assert bash(tmp_path, sys.executable, "-m", "pyte") == [""]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_that_is_here_can_read_its_script(shell: str) -> None:
    """Bash always is; the others' grammar is looked at where they are."""
    script = subprocess.run([*PYTHON, "completion", shell], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert script.endswith("\n")
    if shutil.which(shell) is not None:
        subprocess.run([shell, "-n"], input=script, text=True, check=True)
