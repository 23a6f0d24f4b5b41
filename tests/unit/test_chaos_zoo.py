"""The zoo: pools with one planted bug each, every one flagged by its checkers and by no other, and a whole one by none.

The pools are no part of the package: nobody but these tests has a use for a pool that is broken on purpose.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import pytest
from _zoo_run import crash_loop, standstill, storm
from _zoo_world import Bug

from chaos.checking._finding import Judgement, verdict
from chaos.checking._table import CHECKERS, check_all

if TYPE_CHECKING:
    from pathlib import Path

    from chaos.checking._finding import Finding

SCRIPTS = (storm, crash_loop, standstill)

MATRIX: dict[Bug, set[str]] = {
    Bug.NONE: set(),
    Bug.DROPS_ON_DEATH: {"C1", "C22"},  # a request that is in no state any more is missing from the metrics' law
    Bug.RETRIES_EVERYTHING: {"C5", "C23"},  # and an append whose worker was killed in W5 succeeds
    Bug.RETRIES_FOR_EVER: {"C5"},
    Bug.RESOLVES_BY_ARRIVAL: {"C3", "C4", "C6", "C7", "C9", "C10"},  # crossed replies hold others' lists and outcomes
    Bug.GIVES_STALE_REPLIES: {"C4", "C6", "C9", "C10"},  # and workers are given more while they still run
    Bug.SHARES_STATE: {"C7", "C9"},
    Bug.REBINDS_SILENTLY: {"C8", "C9"},
    Bug.LETS_ALL_IN: {"C11"},
    Bug.HAS_NO_BACKOFF: {"C15"},
    Bug.FORGIVES_AT_HANDSHAKE: {"C15"},
    Bug.GIVES_UP_EARLY: {"C15"},
    Bug.LEAKS_DESCRIPTORS: {"C20"},
    Bug.FORGETS_TO_REAP: {"C16", "C17"},  # and whose death nobody tells was not noticed either
    Bug.WAITS_FOR_FROZEN: {"C13"},
    Bug.BLOCKS_ON_FULL_PIPE: {"C13"},
    Bug.DEFINITE_AFTER_WRITE: {"C3", "C23"},  # not executed is no outcome of W5
    Bug.CUTS_FRAMES: {"C6", "C23", "C24"},  # the worker gets another frame at once, and dies of it
    Bug.LAST_IN_FIRST_OUT: {"C12", "C14"},  # who comes first is passed over
    Bug.HAS_NO_GRACE: {"C21"},
    Bug.COUNTS_TWICE: {"C22"},
    Bug.LEAVES_ORPHANS: {"C19"},
    Bug.RAISES_ANYTHING: {"C2"},
    Bug.ANSWERS_TWICE: {"C1"},
    Bug.STARTS_TOO_SOON: {"C16"},
    Bug.GOES_SHORT: {"C16", "C17", "C18"},  # who restarts nobody does not come back
    Bug.NOTICES_LATE: {"C17"},
    Bug.NEGLECTS_A_SESSION: {"C14"},
    Bug.OVERLOADS_WORKERS: {"C10", "C23"},  # who was sent a second request loses the first in W4
    Bug.KILLS_NEIGHBOURS: {"C23"},
    Bug.READS_OUTPUT: {"C17", "C21", "C23", "C25"},  # and the deaths come when none may: at a standstill, at the end
    Bug.COMPLAINS: {"C26"},
    Bug.HOLDS_CALLERS: {"C24"},
    Bug.FORGETS_THE_TIME: {"C13"},
    Bug.HURRIES: {"C16"},
    Bug.RESTARTS_ALL: {"C16"},
    Bug.RISES_AGAIN: {"C15", "C16"},  # both know the end of a pool
    Bug.PASSES_OVER: {"C14"},
    Bug.BOASTS: {"C22"},
    Bug.LEAKS_TASKS: {"C20"},
    Bug.STRANDS: {"C12", "C14", "C18"},  # and who is stranded is passed over
}
"""Who flags whom. Where more than one does, the others see a consequence, which stands beside it."""


def flagged(findings: list[Finding]) -> set[str]:
    """The checkers that found a violation."""
    return {finding.checker for finding in findings if finding.judgement is Judgement.FAIL}


@pytest.mark.slow
@pytest.mark.parametrize("bug", Bug)
def test_each_planted_bug_is_flagged_by_its_checkers_alone(bug: Bug, tmp_path: Path) -> None:
    """Of all checkers, over a storm, a crash loop and a standstill, exactly those see it whose rule it breaks."""
    found: set[str] = set()
    for number, script in enumerate(SCRIPTS):
        directory = tmp_path / str(number)
        directory.mkdir()
        findings = check_all(script(directory, bug))
        assert not [finding.text for finding in findings if "the checker itself failed" in finding.text]
        assert all(finding.witnesses for finding in findings if finding.judgement is Judgement.FAIL)
        found |= flagged(findings)
    assert found == MATRIX[bug]


def test_every_bug_has_its_place_in_the_matrix() -> None:
    """There are at least eighteen, and each checker but the one for empty runs flags at least one."""
    assert set(MATRIX) == set(Bug)
    assert len(MATRIX) > 18
    assert set.union(*MATRIX.values()) == {checker.number for checker in CHECKERS} - {"C27"}


@pytest.mark.slow
def test_every_checker_proves_something_of_the_whole_pool(tmp_path: Path) -> None:
    """Over all runs each checker passes at least once: none is silent because it never looks."""
    judgements: dict[str, list[Judgement]] = defaultdict(list)
    for number, script in enumerate(SCRIPTS):
        directory = tmp_path / str(number)
        directory.mkdir()
        findings = check_all(script(directory, Bug.NONE))
        assert verdict(findings) is Judgement.PASS
        for finding in findings:
            judgements[finding.checker].append(finding.judgement)
    assert [number for number, found in judgements.items() if Judgement.PASS not in found] == []


@pytest.mark.slow
def test_a_run_is_the_same_each_time(tmp_path: Path) -> None:
    """The zoo leaves nothing to chance: two runs of one animal leave the same bytes."""
    left: list[tuple[bytes, bytes]] = []
    for name in ("one", "two"):
        directory = tmp_path / name
        directory.mkdir()
        crash_loop(directory, Bug.NONE)
        left.append(((directory / "history.jsonl").read_bytes(), (directory / "ledger.bin").read_bytes()))
    assert left[0] == left[1]
