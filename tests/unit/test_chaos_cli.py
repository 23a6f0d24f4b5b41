"""The chaos command line where it meets the world: what it refuses, what it promises to repeat, where it writes."""

from __future__ import annotations

import errno
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from _chaos_runs import RUNS, VERDICTS, store

from chaos import _cli
from chaos._output import MAX_SHOWN, CannotWrite, Console, clean, write_text

CLI = [sys.executable, "-m", "chaos"]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@pytest.mark.parametrize("seconds", ["10.1234567", "8", "12.300000000000001"])
def test_the_replay_command_makes_the_same_plan(seconds: str) -> None:
    """What the report tells to call gives the plan of the run, also for times no short format holds."""
    parser = _cli._parser()
    first = parser.parse_args(["plan", "first-light", "--seed", "3", "--seconds", seconds])
    plan = _cli._planned(first)
    words = shlex.split(_cli._replay(first, plan))
    again = parser.parse_args(words[words.index("run") :])
    assert _cli._planned(again).sha256 == plan.sha256


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run", "first-light", "--out", ""], "--out: an empty name is no directory"),
        (["plan", "first-light", "--seed", str(2**63)], "--seed: a seed is at most 9223372036854775807"),
        (["plan", "first-light", "--seed", "9" * 5000], "--seed: a seed is at most 9223372036854775807"),
        (["plan", "first-light", "--seed", "x" * 5000], "--seed: a seed is a whole number >= 0, not 'xxx"),
        (["plan", "first-light", "--seconds", "x" * 5000], "--seconds: must be a number of seconds from 8 on, not 'xx"),
    ],
)
def test_wrong_values_are_refused_in_a_short_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    """Whatever was given, the complaint stays short, and the code says wrong usage."""
    with pytest.raises(SystemExit) as ended:
        _cli.main(arguments)
    assert ended.value.code == 64
    told = capsys.readouterr().err
    assert complaint in told
    assert max(map(len, told.splitlines())) < 200


def test_the_largest_seed_is_accepted() -> None:
    """The bound itself is a seed, and so is a number with zeros in front."""
    arguments = _cli._parser().parse_args(["plan", "first-light", "--seed", "0" * 30 + str(2**63 - 1)])
    assert arguments.seed == 2**63 - 1


@pytest.mark.parametrize("arguments", [["plan", "first-light", "--seed", "3"], ["list"], ["--help"], ["--version"]])
def test_nobody_reading_is_no_failure(tmp_path: Path, arguments: list[str]) -> None:
    """A reader that has left, as `head` does, changes no exit code and earns no complaint."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [*CLI, *arguments], stdout=writer, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment()
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [["plan", "first-light", "--seed", "3"], ["run", "first-light"], ["--help"]])
def test_a_full_output_is_told_in_a_line_with_a_code_of_its_own(tmp_path: Path, arguments: list[str]) -> None:
    """Output that cannot be written is neither a finding nor a bug, and nothing is left behind."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*CLI, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment()
        )
    assert done.returncode == 74
    assert done.stderr == "python -m chaos: cannot write standard output: No space left on device\n"
    assert list(tmp_path.iterdir()) == []


def test_no_output_at_all_is_no_failure(tmp_path: Path) -> None:
    """A program started with standard output closed has nobody to tell, and does its work."""
    done = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *CLI, "list"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment(),
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", RUNS)
def test_a_report_has_the_code_of_its_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Judged from its files, a run passes, fails or is unknown by its exit code too, or had no pool at all."""
    store(RUNS[name](), tmp_path)
    code = _cli.main(["report", str(tmp_path)])
    assert code == {"passed": 0, "broken": 1, "not started": 4}.get(name, 2)
    told = capsys.readouterr()
    assert told.out.splitlines()[1].startswith(f"verdict    {VERDICTS.get(name, 'unknown').upper()}")
    assert told.out.splitlines()[-1] == f"open       {tmp_path / 'report.html'}"
    assert bool(told.err) == (name == "not started")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\ud800]", told.out + told.err)


def test_a_report_is_the_same_each_time(tmp_path: Path) -> None:
    """The same files give the same reports, byte for byte."""
    store(RUNS["broken"](), tmp_path)
    made = []
    for _ in range(2):
        _cli.main(["report", str(tmp_path)])
        made.append({path.name: path.read_bytes() for path in tmp_path.iterdir()})
    assert made[0] == made[1]
    assert {"report.html", "junit.xml", "results.json"} <= set(made[0])


def test_what_an_encoding_does_not_know_is_told_as_an_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name in letters the terminal lacks neither stops the program nor is left out."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    Console(plain=True).say("caf\u00e9")
    assert written.getvalue() == b"caf\\xe9\n"


def test_text_that_is_shown_holds_no_controls() -> None:
    """Escape sequences, direction marks and halves of characters are replaced, line ends become spaces."""
    assert clean("a\tb\r\nc\u2028d") == "a b  c d"
    assert clean("\x1b[2J\u202e\ud800\x00\ufffe") == "\ufffd[2J\ufffd\ufffd\ufffd\ufffd"
    assert clean(7) == "7"
    assert len(clean("x" * 10_000_000)) == MAX_SHOWN + 3
    assert clean("caf\u00e9 \U0001f600") == "caf\u00e9 \U0001f600"


class Stream:
    """A standard output whose every write fails."""

    def __init__(self, reason: int) -> None:
        self._reason = reason
        self.writes = 0

    def isatty(self) -> bool:
        return False

    def write(self, _text: str) -> int:
        self.writes += 1
        raise OSError(self._reason, os.strerror(self._reason))

    def flush(self) -> None:
        pass

    def fileno(self) -> int:
        raise OSError(errno.EBADF, "no descriptor")


def test_the_console_falls_silent_at_a_broken_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first line is tried: whoever read the output has gone, and the run goes on."""
    stream = Stream(errno.EPIPE)
    monkeypatch.setattr(sys, "stdout", stream)
    console = Console(plain=True)
    console.say("one")
    console.say("two")
    assert stream.writes == 1


def test_the_console_complains_once_of_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first failure is raised, in words for the user; the lines said while everything closes down are not."""
    monkeypatch.setattr(sys, "stdout", Stream(errno.ENOSPC))
    console = Console(plain=True)
    with pytest.raises(CannotWrite, match=r"^cannot write standard output: No space left on device$"):
        console.say("one")
    console.say("two")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The error names the file and the reason."""
    with pytest.raises(CannotWrite, match=r"^cannot write /dev/full: No space left on device$"):
        write_text(Path("/dev/full"), "text")
    missing = tmp_path / "missing" / "results.json"
    with pytest.raises(CannotWrite, match=r"results\.json: No such file or directory$"):
        write_text(missing, "text")


def test_a_directory_nothing_was_written_to_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the run made goes again, parents included; what was there before, or holds something, stays."""
    monkeypatch.chdir(tmp_path)
    plan = _cli._planned(_cli._parser().parse_args(["plan", "first-light", "--seed", "3"]))
    with _cli._directory(None, plan) as out:
        assert out.is_dir()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    with _cli._directory(Path("mine/inner/out"), plan) as out:
        pass
    with _cli._directory(Path("mine"), plan):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]
    with _cli._directory(Path("mine/out"), plan) as out:
        (out / "plan.json").touch()
    assert (tmp_path / "mine" / "out" / "plan.json").exists()
