"""A run from Python: a plan carried out and judged, in processes of its own.

The process that watches over a run becomes the parent of every orphan, takes SIGINT and SIGTERM over, and kills what
its application leaves behind: none of which may happen to a process that has other things to do. So it is a new one,
whoever asks for the run, save the command line, which has nothing else to do.

It dies with its caller. The write end of a pipe is held here alone; when it closes, however its holder ended, the
kernel kills the watching process by its read end, the application follows by the pipe between those two, and the
workers by theirs.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

import attrs

from ._exits import EXIT_BUG, EXIT_CANNOT_WRITE, EXIT_PASS, EXIT_SIGNAL
from ._experiment import analyze, carry_out, read_plan
from ._output import CannotWrite, Console, writing
from ._signals import Terminations
from .checking._finding import Judgement
from .checking._results import Results, read_results
from .reporting._files import PAGE, RESULTS
from .running._lifeline import LIFELINE, hold_on
from .running._lines import Lines
from .scenario._plan_file import to_json
from .targets._registry import check_target
from .workload._work import check_work

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from .scenario._plan import Plan

_TOLD = 60
"""Lines of the summary that `Run.require_pass` shows."""

_PROGRAM = f"import sys; from {__package__}._run import main; sys.exit(main())"


class HarnessError(RuntimeError):
    """The harness itself failed, which says nothing about the pool: it could not write its files, or has a bug.

    Args:
        message: What it said.
        directory: Of the run: what there is of it can still be judged, by `analyze`.
        exit_code: Of the process that watched over the run: 74 if a file could not be written, 70 for a bug, negative
            if it was killed by a signal.
    """

    def __init__(self, message: str, directory: Path, exit_code: int) -> None:
        super().__init__(message, directory, exit_code)
        self.message = message
        self.directory = directory
        self.exit_code = exit_code

    def __str__(self) -> str:
        return self.message or f"the harness ended with exit code {self.exit_code}; what it left is in {self.directory}"


@attrs.frozen(kw_only=True)
class Run:
    """What a run came to.

    Args:
        results: The verdict, and everything it rests on, as in ``results.json``.
        directory: Where the files of the run are, ``report.html`` among them.
    """

    results: Results
    directory: Path

    @property
    def passed(self) -> bool:
        """Whether every guarantee was kept, every objective met, and the faults did hit."""
        return self.results.verdict is Judgement.PASS

    def summary(self) -> str:
        """Return what the command line would print below the run; made anew, by judging it again.

        Raises:
            NoEvidence: The directory has gone, or was changed.
        """
        return "\n".join(analyze(self.directory).lines(self.directory)) + "\n"

    def require_pass(self) -> None:
        """Fail a test unless the run has passed.

        Raises:
            AssertionError: It has not: something was broken, or too little was tested to say. The message is the
                summary, with the command that does the same again.
        """
        if not self.passed:
            lines = self.summary().splitlines()[:_TOLD]
            raise AssertionError("\n".join([*lines, f"the whole report: {self.directory / PAGE}"]))


def run(
    plan: Plan,
    directory: str | PathLike[str],
    *,
    target: str = "trio_pool",
    say: Callable[[str], object] | None = None,
) -> Run:
    """Carry out a plan against a real pool, judge it, write its reports, and return what it came to, good or bad.

    Everything happens in processes of its own, none of which outlives the call: neither signal handlers nor children of
    this one are touched, and it may be called from any thread. It blocks for as long as the plan takes and a few
    seconds more; within Trio, call it by `trio.to_thread.run_sync`, which waits for its end.

    A crash is a finding, and no error: whatever becomes of workers, pool and application, there is a verdict. Ctrl-C
    ends the load, heals every fault, drains and closes the pool, and reports on what there was, before
    `KeyboardInterrupt` goes on; a second one does not drain. If this process dies, of SIGKILL too, so do all of the
    run's, unless it has forked a child that lives on without having started another program: that holds the run, too.
    What was written until then stays, and `analyze` judges it.

    Args:
        plan: What to do, as `make_plan` or `read_plan` returns it.
        directory: Where its files go: an empty directory, or one that is made.
        target: The kind of pool: ``trio_pool``, another that ``python -m chaos list targets`` names, or
            ``python:package.module:attribute`` for a `chaos.targets.Target` of your own.
        say: Takes a line whenever something happens, and one every second; None for silence. What it raises ends the
            run as Ctrl-C does.

    Raises:
        ScenarioError: The scenario's own workload cannot be imported, or does not fit. Nothing was started.
        ValueError: There is no such target here, or it cannot do the workload. Nothing was started.
        FileExistsError: There is something in the directory already.
        CannotWrite: The directory or the plan could not be written. Nothing was started.
        HarnessError: The harness itself failed, before it had judged or after it.
    """
    check_target(target, plan.scenario)
    check_work(plan.scenario)
    place = Path(directory).absolute()
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
        occupied = any(place.iterdir())
    if occupied:
        # Two runs in one directory would be read as one.
        raise FileExistsError(f"there is something in {place} already")
    with writing(place / "plan.json"):
        (place / "plan.json").write_text(to_json(plan), encoding="utf-8")
    with tempfile.TemporaryFile() as complaints:
        code = _watched([sys.executable, "-c", _PROGRAM, str(place), target], complaints, say)
        complaints.seek(0)
        told = complaints.read().decode(errors="replace").strip()
    written = place / RESULTS
    if not written.exists():
        raise HarnessError(told, place, code)
    results = read_results(written)
    if code != EXIT_PASS:
        # The verdict is written first. Whatever failed after it, nobody is to take half a report for a whole one.
        raise HarnessError(told, place, code)
    return Run(results=results, directory=place)


def _watched(command: list[str], complaints: IO[bytes], say: Callable[[str], object] | None) -> int:
    """Have the watching process do its work, and return its exit code; whatever comes here in between ends it first."""
    reading, held = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            process = subprocess.Popen(  # noqa: S603  # this very package
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if say is None else subprocess.PIPE,
                stderr=complaints,
                text=True,
                errors="replace",
                pass_fds=[reading],
                # Ctrl-C is for this process, which passes it on once.
                start_new_session=True,
                env={**os.environ, LIFELINE: str(reading), "PYTHONPATH": os.pathsep.join(sys.path)},
            )
        finally:
            os.close(reading)
        try:
            if say is not None and process.stdout is not None:
                for line in process.stdout:
                    say(line.rstrip("\n"))
            return process.wait()
        except BaseException:
            _end(process)
            raise
        finally:
            if process.stdout is not None:
                process.stdout.close()
    finally:
        os.close(held)


def _end(process: subprocess.Popen[str]) -> None:
    """Have a run end in an orderly way, and wait for that; each further Ctrl-C is passed on."""
    if process.stdout is not None:
        process.stdout.close()  # nobody reads any more, and it must not wait for somebody who does
    while True:
        # The process is our own child and not waited for yet, so the number is still its.
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        try:
            process.wait()
        except KeyboardInterrupt:
            continue
        return


def main() -> int:
    """Carry out the plan in a directory, judge it and write the reports; return 0, whatever the verdict."""
    hold_on(int(os.environ.pop(LIFELINE)))
    directory, target = Path(sys.argv[1]), sys.argv[2]
    replay = shlex.join([Path(sys.executable).name, "-m", __package__ or "chaos", "replay", str(directory)])
    if target != "trio_pool":
        replay += f" --target {shlex.quote(target)}"
    console = Console(plain=True)
    with Terminations():
        try:
            carry_out(read_plan(directory), directory, target=target, replay=replay, viewer=Lines(console.say))
            analyze(directory).write(directory)
        except CannotWrite as exc:
            sys.stderr.write(f"{exc}\n")
            return EXIT_CANNOT_WRITE
        except KeyboardInterrupt:
            # Before the application had begun, or while it was judged; within the run it is heeded there.
            sys.stderr.write("interrupted\n")
            return EXIT_SIGNAL + signal.SIGINT
        except Exception:  # the last line of defence: whatever this is, the pool has no part in it
            traceback.print_exc()
            return EXIT_BUG
    return EXIT_PASS
