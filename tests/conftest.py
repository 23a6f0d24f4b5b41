"""What every test gets: a temporary folder of the run's own, and the check that nothing is left behind."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
import time
from typing import TYPE_CHECKING

import _leaks
import pytest
from hypothesis import HealthCheck, Phase, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["_layers"]

# No test judges how long an example takes: a loaded machine is no failure.
settings.register_profile("trio_pool", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("trio_pool")
# For `make document` and `make guarantees`, which see tests fail on purpose: nobody reads the example, and to make that
# of a state machine small may take minutes.
settings.register_profile(
    "mutation", settings.get_profile("trio_pool"), phases=set(Phase) - {Phase.shrink, Phase.explain}
)

RUN = "TRIO_POOL_TEST_RUN"
"""The environment variable that every process of one test run inherits."""


def report(what: str, lines: list[str]) -> str:
    """One line a leftover, under a line that says what they are."""
    return "\n  ".join([f"{what}:", *lines])


@pytest.fixture(scope="session", autouse=True)
def interrupts_are_heard() -> Iterator[None]:
    """Undo what a shell does to its background jobs: it has them ignore SIGINT, and all their children with them."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def children_die_of_every_signal() -> Iterator[None]:
    """Undo what `nohup` and a shell's background do to all children, while this process stays as deaf as it was.

    A handler is not inherited by a program that is started, as being ignored is.
    """
    ignored = [each for each in (signal.SIGHUP, signal.SIGQUIT) if signal.getsignal(each) is signal.SIG_IGN]
    for each in ignored:
        signal.signal(each, lambda _number, _frame: None)
    yield
    for each in ignored:
        signal.signal(each, signal.SIG_IGN)


@pytest.fixture(scope="session", autouse=True)
def own_temporary_folder() -> Iterator[None]:
    """Point `tempfile`, here and in every child, at an empty folder, so that whatever appears in it is of this run.

    pytest's own ``tmp_path`` stays where pytest keeps it, for looking at after a failure.
    """
    usual = tempfile.gettempdir()
    folder = tempfile.mkdtemp(prefix="trio-pool-tests-")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_DEBUG_TEMPROOT", os.environ.get("PYTEST_DEBUG_TEMPROOT", usual))
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield
    shutil.rmtree(folder)


@pytest.fixture(scope="session", autouse=True)
def no_process_survives_the_run() -> Iterator[None]:
    """Fail if a process that any test started, at whatever remove, is alive after the last one."""
    value = secrets.token_hex(8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(RUN, value)
        yield
    deadline = time.monotonic() + _leaks.PATIENCE
    while (left := _leaks.processes_marked(RUN, value)) and time.monotonic() < deadline:
        time.sleep(_leaks.PAUSE)
    if left:
        pytest.fail(report("processes of this test run still live", [f"{pid}: {what}" for pid, what in left.items()]))


@pytest.fixture(autouse=True)
def nothing_left_behind(own_temporary_folder: None) -> Iterator[None]:
    """Fail the test that leaves a child process, a thread, a file descriptor or a temporary file behind."""
    before = _leaks.Snapshot.take()
    yield
    left = _leaks.leaks(before, _leaks.PATIENCE)
    if left:
        _leaks.kill_children(before)
        pytest.fail(report("the test left behind", left))
