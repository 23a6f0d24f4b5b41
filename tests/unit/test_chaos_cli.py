"""The chaos command line where it meets the world: what it refuses, what it promises to repeat, where it writes."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
from _chaos_made import made
from _chaos_reported import store

from chaos._output import MAX_SHOWN, CannotWrite, Console, clean, write_text
from chaos._program import program
from chaos.checking._table import CHECKERS
from chaos.cli._arguments import FORMATS
from chaos.cli._main import main
from chaos.cli._running import _directory
from chaos.scenario._catalogue import fault_kinds
from chaos.scenario._plan_file import read_plan, to_json
from chaos.scenario._reading import read_file
from chaos.scenario._shipped import shipped
from chaos.scenario._templates import TEMPLATES
from chaos.workload._work import Register

CLI = [sys.executable, "-m", "chaos"]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


SCENARIO = """
schema = 1
name = "mine"
phase = [{ name = "main", duration = "2s", load = { model = "open", rate = 10.0 } }]
fault = [{ name = "k", kind = "kill", at = { time = "1s" } }]
"""


@pytest.fixture
def mine(tmp_path: Path) -> str:
    """A file with a scenario."""
    path = tmp_path / "mine.toml"
    path.write_text(SCENARIO, encoding="utf-8")
    return str(path)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """The directory of a run that was made up."""
    return store(made(), tmp_path / "stored")


def call(*arguments: str) -> int:
    """Return the exit code of a command line, wrong ones included."""
    try:
        return main(arguments)
    except SystemExit as ended:
        return int(str(ended.code))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run", "kill", "--out", ""], "--out: an empty name is no file and no directory"),
        (["plan", "kill", "--seed", str(2**63)], "--seed: a seed is at most 9223372036854775807"),
        (["plan", "kill", "--seed", "9" * 5000], "--seed: a seed is at most 9223372036854775807"),
        (["plan", "kill", "--seed", "x" * 5000], "--seed: must be a whole number"),
        (["run", "kill", "--repeat", "0"], "--repeat: must be a whole number from 1 on"),
        (["run", "smoke", "--out", "x"], "--out is for one run, and these are"),
        (["run", "kill", "--target", "nothing"], "there is no target 'nothing'"),
        (["run", "kill", "--set", "workload.kind=python:no_such:Work"], "cannot import 'python:no_such:Work'"),
        (["run", "kil"], "did you mean 'kill'?"),
        (["plan", "kill", "--set", "pool.size"], "is not of the form path=value"),
        (["plan", "kill", "--set", "phase[9].duration=1s"], "the scenario has no phase[9].duration"),
        (["plan", "kill", "--set", "pool.sise=3"], "did you mean 'size'?"),
        (["explain", "frezee"], "did you mean 'freeze'?"),
        (["new", "x", "--template", "kil"], "did you mean 'kill'?"),
    ],
)
def test_wrong_values_are_refused_in_a_short_line(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    complaint: str,
) -> None:
    """Whatever was given, the complaint stays short, the code says wrong usage, and nothing is made."""
    monkeypatch.chdir(tmp_path)
    assert call(*arguments) == 64
    told = capsys.readouterr().err
    assert complaint in told
    assert max(map(len, told.splitlines())) < 600
    assert list(tmp_path.iterdir()) == []


def test_all_mistakes_of_a_scenario_are_told_at_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Each in a line with its file and its place."""
    path = tmp_path / "wrong.toml"
    path.write_text(SCENARIO.replace('"kill"', '"kil"').replace("rate =", "rat ="), encoding="utf-8")
    assert call("run", str(path)) == 64
    told = capsys.readouterr().err.splitlines()
    assert [
        f"{path}: $.{place}" in line
        for line, place in zip(told, ("phase[0].load", "phase[0].load", "fault[0].kind"), strict=True)
    ] == [True] * 3
    assert call("validate", str(path)) == 64
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["error"] * 3


def test_validate_tells_what_is_right(capsys: pytest.CaptureFixture[str], mine: str) -> None:
    """And of what comes with the harness everything is."""
    assert call("validate", mine) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(("ok", "warning"))
    assert call("validate", *shipped()) == 0
    assert not [line for line in capsys.readouterr().out.splitlines() if line.startswith("error")]


OWN = """
class Mine:
    app = "mine_work:bridge"
    operations = ("look_up", "forget")

    def touches(self, operation): return None
    def args(self, request, session, step): return {}
    def expect(self, request, session, step): return {}

class Partly:
    app = "mine_work:bridge"
    operations = ("look_up",)

class Failing:
    def __init__(self): raise LookupError("no dictionary here")
"""


@pytest.mark.parametrize(
    ("kind", "operation", "complaint"),
    [
        ("python:mine_work:Mine", "look_up", None),
        (
            "python:mine_work:Mine",
            "lookup",
            "$.workload.op[0].name: python:mine_work:Mine has no operation 'lookup'",
        ),
        (
            "python:mine_work:Mined",
            "look_up",
            "$.workload.kind: cannot import 'python:mine_work:Mined': module",
        ),
        ("python:mine_wrok:Mine", "look_up", "cannot import 'python:mine_wrok:Mine': No module named 'mine_wrok'"),
        ("python:mine_work:Partly", "look_up", "'python:mine_work:Partly' has no touches, which a Work must have"),
        ("python:mine_work:Failing", "look_up", "cannot make 'python:mine_work:Failing': LookupError: no dictionary"),
        ("python:mine_broken:Mine", "look_up", "cannot import 'python:mine_broken:Mine': SyntaxError: "),
    ],
)
@pytest.mark.parametrize("command", ["validate", "run"])
def test_a_workload_of_ones_own_is_looked_at(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    operation: str,
    complaint: str | None,
    command: str,
) -> None:
    """Its module is imported, and what is wrong there is told as any other mistake of the scenario."""
    (tmp_path / "mine_work.py").write_text(OWN, encoding="utf-8")
    (tmp_path / "mine_broken.py").write_text("class Mine(:\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "mine.toml"
    path.write_text(
        f'{SCENARIO}workload = {{ kind = "{kind}", op = [{{ name = "{operation}" }}] }}\n', encoding="utf-8"
    )
    try:
        if complaint is None:
            assert call("validate", str(path)) == 0
        else:
            assert call(command, str(path)) == 64
            told = capsys.readouterr()
            assert complaint in told.out + told.err
            assert "bug in the harness" not in told.err
    finally:
        sys.modules.pop("mine_work", None)


@pytest.mark.parametrize(
    "name", ["own:no_such:Target", "python:no_such:Target", "python:chaos.cli._main:main", "python:x"]
)
def test_a_target_of_ones_own_must_be_one(capsys: pytest.CaptureFixture[str], mine: str, name: str) -> None:
    """What cannot be imported, or is none, is wrong usage."""
    assert call("run", mine, "--target", name) == 64
    assert capsys.readouterr().err.startswith(f"{program()}: --target: ")


def test_a_report_that_cannot_be_written_is_told_in_place_of_the_verdicts_code(
    capsys: pytest.CaptureFixture[str], stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The summary is printed all the same, and names the code with which the command ends."""

    def full(*_arguments: object) -> str:
        raise CannotWrite("report.html", OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr("chaos.reporting._reports.make_page", full)
    assert call("analyze", str(stored)) == 74
    told = capsys.readouterr()
    assert "exit 74: cannot write report.html: No space left on device\n" in told.out
    assert told.out.count("exit ") == 1
    assert "cannot write report.html" in told.err


def test_the_largest_seed_is_accepted(capsys: pytest.CaptureFixture[str], mine: str) -> None:
    """The bound itself is a seed, and so is a number with zeros in front, and a commit."""
    for seed in ("0" * 30 + str(2**63 - 1), "f" * 40):
        assert call("plan", mine, "--seed", seed) == 0
    assert "9223372036854775807" in capsys.readouterr().out


def test_a_setting_changes_the_plan(capsys: pytest.CaptureFixture[str], mine: str) -> None:
    """Values are as in a file, text such as 30s without its quotes too; what is not set stays."""
    assert call("plan", mine, "--seed", "1", "--json", "--set", "phase[0].duration=4s", "--set", "pool.size=7") == 0
    plan = read_plan(capsys.readouterr().out)
    assert plan.scenario.phases[0].duration == 4.0
    assert plan.scenario.pool.size == 7
    assert plan.scenario.faults[0].name == "k"


def test_the_plan_is_the_one_that_is_run(capsys: pytest.CaptureFixture[str], mine: str) -> None:
    """`plan --json` prints the bytes whose SHA-256 names it, the same each time; drawn, it shows the faults."""
    printed = []
    for _ in range(2):
        assert call("plan", mine, "--seed", "5", "--json") == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] == to_json(read_plan(printed[0]))
    assert call("run", mine, "--seed", "5", "--leashed") == 0
    drawn = capsys.readouterr().out
    assert call("plan", mine, "--seed", "5") == 0
    assert capsys.readouterr().out == drawn
    assert re.search(r"k +kill", drawn)


@pytest.mark.parametrize(
    ("what", "sample"),
    [
        ("scenarios", "first-light "),
        ("scenarios", "smoke "),
        ("faults", "wire.corrupt "),
        ("checkers", "C22 "),
        ("metrics", "latency.p99 "),
        ("workloads", "register append"),
        ("targets", "trio_pool "),
        ("templates", "freeze "),
    ],
)
def test_there_is_a_list_of_everything(capsys: pytest.CaptureFixture[str], what: str, sample: str) -> None:
    """One a line, each with what it is."""
    assert call("list", what) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = (line for line in lines if line.startswith(sample))
    assert len(line.split(maxsplit=1)[1].strip()) > 3


@pytest.mark.parametrize("what", [*fault_kinds(), *(checker.number for checker in CHECKERS)])
def test_everything_is_explained(capsys: pytest.CaptureFixture[str], what: str) -> None:
    """Every kind of fault and every checker."""
    assert call("explain", what) == 0
    assert capsys.readouterr().out.startswith(what)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_new_scenario_can_be_run_as_it_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str
) -> None:
    """It is valid, has the name that was asked for, and says in comments what can be changed."""
    module = types.ModuleType("my_package.my_module")
    vars(module)["MyWork"] = type("MyWork", (Register,), {"operations": ("my_command",)})
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sys.modules, "my_package", types.ModuleType("my_package"))
    assert call("new", "mine", "--template", template) == 0
    text = capsys.readouterr().out
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    assert call("validate", str(path)) == 0
    assert "error" not in capsys.readouterr().out
    assert read_file(path).name == "mine"
    assert text.count("#") > 3


def test_the_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    """For editors, which find it by its dialect."""
    assert call("schema") == 0
    assert "json-schema.org" in json.loads(capsys.readouterr().out)["$schema"]


@pytest.mark.parametrize("arguments", [["plan", "kill", "--seed", "3"], ["list"], ["--help"], ["--version"]])
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


@pytest.mark.parametrize("arguments", [["plan", "kill", "--seed", "3"], ["run", "kill"], ["--help"]])
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


def test_analyzing_writes_every_report_anew(capsys: pytest.CaptureFixture[str], stored: Path) -> None:
    """The same files give the same reports, byte for byte, and the code is that of the verdict."""
    written = []
    codes = set()
    for _ in range(2):
        codes.add(call("analyze", str(stored), "--plain"))
        written.append({path.name: path.read_bytes() for path in stored.iterdir()})
    assert written[0] == written[1]
    assert {"report.html", "report.md", "junit.xml", "results.json", "latency.hgrm"} <= set(written[0])
    assert codes == {json.loads(written[0]["results.json"])["exit_code"]}
    told = capsys.readouterr()
    assert "made@7" in told.out
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\ud800]", told.out + told.err)


@pytest.mark.parametrize("form", FORMATS)
def test_a_report_is_printed_in_the_form_that_is_asked_for(
    capsys: pytest.CaptureFixture[str], stored: Path, form: str
) -> None:
    """And nothing else is, so that it can be led into a file."""
    call("analyze", str(stored))
    capsys.readouterr()
    call("report", str(stored), "--format", form)
    printed = capsys.readouterr().out
    names = {
        "html": "report.html",
        "md": "report.md",
        "json": "results.json",
        "junit": "junit.xml",
        "hgrm": "latency.hgrm",
    }
    if form in names:
        assert printed == (stored / names[form]).read_text(encoding="utf-8")
    else:
        assert "made@7" in printed


def test_a_run_is_no_worse_than_itself(capsys: pytest.CaptureFixture[str], stored: Path) -> None:
    """Two runs are compared by what is in their directories."""
    assert call("compare", str(stored), str(stored)) == 0
    assert "latency" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["analyze"], ["report"], ["compare", "."], ["replay"]])
def test_a_directory_without_a_run_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[str]
) -> None:
    """In a line, with the code for input that is missing."""
    assert call(*command, str(tmp_path)) == 66
    said = capsys.readouterr().err
    assert "cannot read" in said
    assert "plan.json" in said
    if command == ["replay"]:
        assert f"cannot read a plan: {tmp_path / 'plan.json'}: No such file or directory\n" in said
    else:
        assert "cannot read a run in " in said
        assert "it has no plan.json" in said


@pytest.mark.parametrize("command", [["analyze"], ["report"], ["replay"]])
def test_a_directory_that_is_none_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[str]
) -> None:
    """A path with a slip in it is not taken for a run that lacks its files."""
    assert call(*command, str(tmp_path / "nowhere")) == 66
    assert "o such " in capsys.readouterr().err


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
    plan = made().plan
    with _directory(None, plan) as out:
        assert out.is_dir()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    with _directory(Path("mine/inner/out"), plan) as out:
        pass
    with _directory(Path("mine"), plan):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]
    with _directory(Path("mine/out"), plan) as out:
        (out / "plan.json").touch()
    assert (tmp_path / "mine" / "out" / "plan.json").exists()
    with pytest.raises(SystemExit), _directory(Path("mine"), plan):
        pass
