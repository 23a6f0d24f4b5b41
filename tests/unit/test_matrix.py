"""The matrix: which Pythons it finds, and what it runs with them."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

matrix: dict[str, Any] = runpy.run_path(str(Path(__file__).parents[2] / ".ci" / "matrix.py"), run_name="matrix")
find_pythons: Callable[[list[str]], dict[str, str]] = matrix["find_pythons"]
plan: Callable[..., list[Any]] = matrix["plan"]


def interpreter(folder: Path, name: str, says: str) -> str:
    """Write a program that answers as a Python of some version would."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{says}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.document("F-083")
def test_the_first_working_python_of_each_version_is_taken(tmp_path: Path) -> None:
    """Shims without a Python behind them, other implementations and other versions are passed over."""
    broken = interpreter(tmp_path, "python3.12", "exit 127")
    pypy = interpreter(tmp_path, "pypy3", "echo 3.12 pypy /x")
    old = interpreter(tmp_path, "python3.10", "echo 3.10 cpython /x")
    good = interpreter(tmp_path, "python3.12-real", "echo 3.12 cpython /x")
    second = interpreter(tmp_path, "python3.12-too", "echo 3.12 cpython /y")
    newer = interpreter(tmp_path, "python3.13", "echo 3.13 cpython /z")
    missing = str(tmp_path / "nowhere")
    found = find_pythons([newer, broken, pypy, old, missing, good, second])
    assert list(found.items()) == [("3.12", good), ("3.13", newer)]


def test_this_python_is_found() -> None:
    """The interpreter that runs the matrix is one of its Pythons."""
    version = "{}.{}".format(*sys.version_info[:2])
    expected = {version} if version in ("3.11", "3.12", "3.13") else set()
    assert set(find_pythons([sys.executable])) == expected


@pytest.mark.document("F-083")
def test_every_python_meets_every_size_and_load_only_at_sixteen() -> None:
    """All layers once for each Python, what depends on the size for each size, load at 16, chaos on request."""
    cells = plan(["3.11", "3.13"], (1, 4, 16), chaos=False)
    assert [(cell.python, cell.what) for cell in cells] == [
        (version, what)
        for version in ("3.11", "3.13")
        for what in ("layers 1-3", "pool of 1", "pool of 4", "pool of 16", "load, pool of 16")
    ]
    assert [cell.arguments for cell in cells if cell.what == "load, pool of 16"] == [
        ("-m", "load", "--pool-size", "16")
    ] * 2
    assert [cell.what for cell in plan(["3.12"], (1,), chaos=True)] == ["layers 1-3", "pool of 1", "chaos"]
