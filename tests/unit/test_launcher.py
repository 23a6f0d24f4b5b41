"""The command and the environment of a Python worker."""

from __future__ import annotations

import subprocess
import sys

import pytest

from trio_pool._process._launcher import python_argv, worker_env


def test_a_worker_runs_our_bootstrap_by_path() -> None:
    """The interpreter is this one unless another is given; -P keeps the script's folder out of the import path."""
    executable, *_, safe_path, script = python_argv()
    assert executable == sys.executable
    assert safe_path == "-P"
    assert script.endswith("/trio_pool/bridge/_bootstrap.py")
    assert python_argv("/opt/python")[0] == "/opt/python"


def test_a_worker_gets_the_interpreter_s_flags() -> None:
    """An application run with -O, -W or -X has workers run with the same."""
    code = "from trio_pool._process._launcher import python_argv; print(*python_argv()[1:-2])"
    argv = [sys.executable, "-O", "-Werror", "-Xutf8", "-c", code]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=True, timeout=30, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert {"-O", "-Werror"} <= set(done.stdout.split())
    assert "utf8" in done.stdout


def test_an_interpreter_that_does_not_know_itself_must_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """An embedded interpreter has no path of its own to start workers with."""
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(ValueError, match="python"):
        python_argv()
    assert python_argv("/opt/python")[0] == "/opt/python"


def test_numeric_libraries_get_one_thread_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The application's own setting counts, and what is given counts most."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    env = worker_env({"OPENBLAS_NUM_THREADS": "2", "OTHER": "x"})
    assert (env["OMP_NUM_THREADS"], env["MKL_NUM_THREADS"], env["OPENBLAS_NUM_THREADS"]) == ("1", "3", "2")
    assert env["OTHER"] == "x"


def test_a_worker_inherits_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given names win over inherited ones, and the application's own environment stays as it is."""
    monkeypatch.setenv("SOME_NAME", "inherited")
    assert worker_env()["SOME_NAME"] == "inherited"
    assert worker_env({"SOME_NAME": "given"})["SOME_NAME"] == "given"
    assert worker_env() is not worker_env()
