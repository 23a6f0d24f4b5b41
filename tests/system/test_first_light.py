"""The demo as its users run it: through the command line, with real workers, to the verdict."""

from __future__ import annotations

import hashlib
import json
import re
import resource
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from _chaos_runs import parsed, passed, store
from _demo import LIMIT, brisk, call, command, environment, survivors, wait_for_none

from chaos._check import OUTCOMES
from chaos._history import read_history

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


DERIVED = ("report.html", "junit.xml", "results.json")


def remade(out: Path, cwd: Path) -> tuple[int, list[str]]:
    """Make a run's reports again from its other files, see that they are the same, and return code and report."""
    before = {name: (out / name).read_bytes() for name in DERIVED}
    for name in DERIVED:
        (out / name).unlink()
    done = call("report", str(out), cwd=cwd)
    assert done.stderr == ""
    assert {name: (out / name).read_bytes() for name in DERIVED} == before
    return done.returncode, done.stdout.splitlines()[1:]


def test_the_same_seed_prints_the_same_plan(tmp_path: Path) -> None:
    """Two runs of `plan` print the same bytes for one seed, and others for another."""
    one, two, other = (call("plan", "first-light", "--seed", seed, cwd=tmp_path) for seed in ("7", "7", "8"))
    assert one.returncode == two.returncode == other.returncode == 0
    assert one.stdout == two.stdout != other.stdout
    assert json.loads(one.stdout)["seed"] == 7


def test_a_short_run_passes_and_says_so(tmp_path: Path) -> None:
    """Every promise is kept under kills, a freeze and latency, and report, files and exit code agree about it."""
    out = tmp_path / "out"
    done = call("run", "first-light", "--seed", "3", "--seconds", "12", "--out", str(out), cwd=tmp_path)
    report = done.stdout.partition("\n\n")[2].splitlines()
    results = json.loads((out / "results.json").read_text())
    assert done.returncode == 0, done.stdout + done.stderr
    assert report[0].startswith("verdict    PASS")
    assert done.stderr == ""
    assert results["verdict"] == "pass"
    assert results["violations"] == []
    assert set(results["breaches"].values()) == {0}
    assert results["sessions"]["untouched_ok"] == results["sessions"]["untouched_requests"] > 0
    kinds = [fault["kind"] for fault in results["faults"] if fault["hit"]]
    assert kinds.count("kill") >= 3
    assert {"freeze", "latency"} <= set(kinds)
    assert report[-2] == f"replay     {results['replay']}"
    assert report[-1] == f"open       {out / 'report.html'}"
    assert "\x1b" not in done.stdout
    (suite,) = parsed((out / "junit.xml").read_text())
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["10", "0", "0", "0"]
    page = parsed((out / "report.html").read_text())
    assert [heading.text for heading in page.iter("h1")] == ["Every promise was kept"]
    assert remade(out, tmp_path) == (0, report)
    plan = (out / "plan.json").read_bytes()
    assert hashlib.sha256(plan).hexdigest() == results["plan_sha256"]
    again = call("plan", "first-light", "--seed", "3", "--seconds", "12", cwd=tmp_path)
    assert again.stdout.encode() == plan
    records = read_history(out / "history.jsonl")
    assert [entry["t"] for entry in records] == sorted(entry["t"] for entry in records)
    assert records[-1]["type"] == "end"
    aimed = [entry for entry in records if entry["type"] == "inject" and entry["begun"]]
    outcomes = {entry["id"]: entry for entry in records if "id" in entry and entry["type"] in OUTCOMES}
    for entry in aimed:
        pooled = f"pool request {entry['request_id']}"
        named = pooled if entry["id"] is None else f"request {entry['id']} ({pooled})"
        assert f"{entry['fault']}  " in done.stdout
        assert f"(incarnation {entry['incarnation']}, pid {entry['pid']}), running {named}\n" in done.stdout
        # An outcome tells the pool's number where there was an error, or with the program's creation came another.
        if entry["id"] is not None and outcomes[entry["id"]].get("request_id") is not None:
            assert outcomes[entry["id"]]["request_id"] == entry["request_id"]
    assert any(entry["id"] is not None for entry in aimed)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_reports_and_leaves_no_process(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """Ctrl-C while a worker is frozen: it is healed, the pool closes, what there was is judged, nothing is left."""
    out = tmp_path / "out"
    marker = f"CHAOS_TEST_MARKER={tmp_path.name}-{number}"
    name, _, value = marker.partition("=")
    running = subprocess.Popen(
        brisk("run", "brisk", "--seed", "3", "--out", str(out)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
        env=environment(**{name: value}),
        start_new_session=True,
    )
    assert running.stdout is not None
    printed = ""
    with running:
        for line in running.stdout:
            printed += line
            # The worker may have been idle when it was frozen: what is to be cut off has to be there first.
            if "SIGSTOP to" in printed and re.search(r"in flight [1-9]", line):
                running.send_signal(number)
                break
        printed += running.stdout.read()
    assert running.returncode == code, printed
    assert survivors(marker) == []
    assert "verdict    UNKNOWN" in printed
    assert "not proved: the run was interrupted" in printed
    results = json.loads((out / "results.json").read_text())
    assert results["interrupted"]
    cut_off, untouched = results["requests"]["cut_off"], results["sessions"]
    assert cut_off >= 1
    assert f"; cut off by the interruption: {cut_off}" in printed
    assert untouched["untouched_ok"] == untouched["untouched_requests"] - untouched["untouched_cut_off"]
    assert " never faulted: 100 % of their " in printed
    assert results["violations"] == []
    assert [entry["fault"] for entry in read_history(out / "history.jsonl") if entry["type"] == "heal"] == ["f1"]
    (suite,) = parsed((out / "junit.xml").read_text())
    assert [suite.get(name) for name in ("failures", "errors", "skipped")] == ["0", "1", "0"]
    # Not interrupted itself, the second report has the verdict's own code.
    assert remade(out, tmp_path) == (2, printed.partition("\n\n")[2].splitlines())


def test_a_run_whose_harness_was_killed_can_be_reported_on(tmp_path: Path) -> None:
    """What the history holds is judged, and what nobody lived to write down is held against nobody."""
    out = tmp_path / "out"
    name, value = "CHAOS_TEST_MARKER", f"{tmp_path.name}-killed"
    running = subprocess.Popen(
        brisk("run", "brisk", "--seed", "3", "--out", str(out)),
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment(**{name: value}),
    )
    assert running.stdout is not None
    with running:
        for line in running.stdout:
            if "SIGSTOP to" in line:
                running.kill()
                break
    assert sorted(path.name for path in out.iterdir()) == ["executions.log", "history.jsonl", "plan.json", "pool.log"]
    done = call("report", str(out), cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "verdict    UNKNOWN" in done.stdout
    assert "not proved: the history stops before the run's end" in done.stdout
    assert "cut off by the end of the history: " in done.stdout
    results = json.loads((out / "results.json").read_text())
    assert (results["ending"], results["violations"]) == ("cut short", [])
    assert results["requests"]["cut_off"] >= 1
    (suite,) = parsed((out / "junit.xml").read_text())
    assert suite.get("errors") == "1"
    parsed((out / "report.html").read_text())
    code, report = remade(out, tmp_path)
    assert (code, ["", *report]) == (2, done.stdout.splitlines())
    wait_for_none(f"{name}={value}")


def test_a_report_that_cannot_be_written_is_printed_all_the_same(tmp_path: Path) -> None:
    """A file that is in the way costs that file: the others are there, the report is printed, and the code says so."""
    for number in (1, 2):
        out = tmp_path / f"out{number}"
        out.mkdir()
        store(passed(), out)
    (out / "results.json").mkdir()
    done = call("report", str(out), cwd=tmp_path)
    assert done.returncode == 74
    assert [line.partition(": ")[2] for line in done.stderr.splitlines()] == [
        f"cannot write {out / 'results.json'}: Is a directory"
    ]
    assert "verdict    PASS" in done.stdout
    assert done.stdout.splitlines()[-1] == f"open       {out / 'report.html'}"
    parsed((out / "report.html").read_text())
    assert call("report", "out1", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("broken", ["missing", "empty", "changed"])
def test_a_directory_without_a_run_is_refused(tmp_path: Path, broken: str) -> None:
    """There is nothing to report on, which is told in a line with a code of its own, and nothing is written."""
    out = tmp_path / "out"
    if broken != "missing":
        out.mkdir()
    if broken == "changed":
        store(passed(), out)
        (out / "history.jsonl").write_text("[]\n")
    before = sorted(out.iterdir()) if out.exists() else []
    done = call("report", str(out), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (66, "")
    assert len(done.stderr.splitlines()) == 1
    assert "cannot read" in done.stderr
    assert (sorted(out.iterdir()) if out.exists() else []) == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_during_set_up_ends_it(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """Before the clock starts there is nothing to heal and nothing to report, and the exit code says interrupted."""
    running = subprocess.Popen(
        command("run", "first-light", "--seed", "3"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment(),
        start_new_session=True,
    )
    assert running.stdout is not None
    with running:
        for line in running.stdout:
            if "counted" in line:
                running.send_signal(number)
                break
        _, complaint = running.communicate(timeout=LIMIT)
    assert running.returncode == code
    assert complaint.splitlines() == [complaint.strip()]
    assert "nothing was tested" in complaint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("last", ["scenario", "SIGSTOP to"])
def test_a_run_goes_on_when_its_reader_leaves(tmp_path: Path, last: str) -> None:
    """Piped into `head`, whether that leaves in set-up or later, a run ends with its files and its verdict's code."""
    running = subprocess.Popen(
        brisk("run", "brisk", "--seed", "3", "--out", "out"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment(),
    )
    assert running.stdout is not None
    assert running.stderr is not None
    with running:
        for line in running.stdout:
            if last in line:
                break
        running.stdout.close()
        complaint = running.stderr.read()
    assert (running.returncode, complaint) == (2, "")
    assert json.loads((tmp_path / "out" / "results.json").read_text())["verdict"] == "unknown"
    assert read_history(tmp_path / "out" / "history.jsonl")[-1]["type"] == "end"


def test_a_disk_that_fills_during_a_run_ends_it_in_order(tmp_path: Path) -> None:
    """A history that cannot be written is told in a line with a code of its own, and no worker is left behind."""
    limit = 10_000  # bytes a file may have: more than the plan, less than the history
    running = subprocess.run(
        brisk("run", "brisk", "--seed", "3", "--out", "out"),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        cwd=tmp_path,
        env=environment(CHAOS_TEST_MARKER=tmp_path.name),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    told = running.stderr.splitlines()
    assert running.returncode == 74, running.stdout + running.stderr
    assert [line.partition(": ")[2] for line in told] == ["cannot write out/history.jsonl: File too large"]
    assert survivors(f"CHAOS_TEST_MARKER={tmp_path.name}") == []
    assert "load ended, closing the pool" in running.stdout
    assert not (tmp_path / "out" / "results.json").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "required: COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["run"], "required: SCENARIO"),
        (["report"], "required: DIR"),
        (["run", "second-light"], "invalid choice: 'second-light'"),
        (["run", "first-light", "--seed", "x"], "--seed: a seed is a whole number >= 0, not 'x'"),
        (["run", "first-light", "--seed", "-1"], "--seed: a seed is a whole number >= 0, not '-1'"),
        (["plan", "first-light", "--seconds", "1"], "--seconds: must be a number of seconds from 8 on, not '1'"),
        (["bench", "--seconds", "nan"], "--seconds: must be a number of seconds from 1 on, not 'nan'"),
        (["run", "first-light", "--out", "file"], "--out: File exists: file"),
        (["run", "first-light", "--out", "full"], "--out: the directory is not empty: full"),
    ],
)
def test_wrong_usage_is_told_in_a_line_with_a_code_of_its_own(
    tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    """Every mistake on the command line ends with 64, says what was wrong, and starts nothing."""
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "results.json").touch()
    done = call(*arguments, cwd=tmp_path)
    assert done.returncode == 64
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_help_version_and_list_answer(tmp_path: Path) -> None:
    """The commands that start nothing say what there is, with success."""
    for arguments, expected in (
        (["--help"], "exit codes:"),
        (["run", "--help"], "--out DIR"),
        (["--version"], "trio_pool"),
        (["list"], "first-light"),
    ):
        done = call(*arguments, cwd=tmp_path)
        assert done.returncode == 0
        assert expected in done.stdout


def test_the_bench_prints_both_ratios(tmp_path: Path) -> None:
    """A request is compared with a bare echo, a worker's start with a bare interpreter's."""
    done = call("bench", "--seconds", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ratios = [line for line in done.stdout.splitlines() if line.startswith("ratio")]
    assert len(ratios) == 2
    assert "pool echo" in ratios[0]
    assert "worker ready" in ratios[1]
