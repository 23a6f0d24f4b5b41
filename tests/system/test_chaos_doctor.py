"""The doctor: what it says works has worked, and what does not is said with its reason and what that costs."""

from __future__ import annotations

import json
import os
import sys
import tempfile

import pytest
import trio

from chaos import FaultUnavailable
from chaos.faults import _grip, _process_limits
from chaos.faults._doctor import FAULTS, diagnose, examine
from chaos.scenario import _application_faults, _process_faults
from chaos.scenario._fault import Capability, FaultSpec
from chaos.scenario._process_faults import FdLimit, Freeze, Kill, MemoryGrowth, MemoryLimit

pytestmark = pytest.mark.slow


def test_everything_there_is_gets_examined() -> None:
    """Every kind of fault of a process, and every capability, is looked at, and nothing is left behind."""
    kinds = {
        kind.kind
        for module in (_process_faults, _application_faults)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, FaultSpec) and kind is not FaultSpec
    }
    assert {kind.kind for kind in FAULTS} == kinds
    diagnosis = diagnose()
    assert {finding.name for finding in diagnosis.faults} == kinds
    assert {finding.name for finding in diagnosis.capabilities} == set(Capability)
    assert [finding for finding in (*diagnosis.capabilities, *diagnosis.faults) if not finding.ok] == []
    assert diagnosis.ok
    assert json.loads(json.dumps(diagnosis.data()))["faults"]["gil-hog"] == {"ok": True, "reason": None}
    assert diagnosis.lines()[1] == "  OK   pids"
    assert os.listdir(tempfile.gettempdir()) == []


async def test_what_a_fault_needs_and_cannot_have_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that lets nobody set limits loses just the faults that set some."""

    def refuse(*_: object) -> None:
        raise FaultUnavailable("not here")

    monkeypatch.setattr(_grip.Grip, "limits", refuse)
    diagnosis = await examine((FdLimit, Kill))
    assert not diagnosis.ok
    assert "  no   prlimit      not here" in diagnosis.lines()
    assert "                    disables fd-limit" in diagnosis.lines()
    assert diagnosis.data()["capabilities"]["prlimit"] == {"ok": False, "reason": "not here", "disables": ["fd-limit"]}
    assert [(finding.name, finding.reason) for finding in diagnosis.faults] == [
        ("fd-limit", "needs prlimit"),
        ("kill", None),
    ]


async def test_a_fault_that_does_not_heal_is_not_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where SIGCONT did nothing, the doctor sees the process stand."""

    async def leave_standing(_: _grip.Grip) -> None:
        await trio.lowlevel.checkpoint()

    monkeypatch.setattr(_grip.Grip, "go_on", leave_standing)
    diagnosis = await examine((Freeze,))
    (pids,) = [finding for finding in diagnosis.capabilities if finding.name == "pids"]
    assert pids.reason == "a process that was stopped does not go on"
    assert [finding.reason for finding in diagnosis.faults] == ["needs pids"]


async def test_a_fault_that_shows_nowhere_is_not_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that takes a limit and does not keep to it loses the fault, not what it needs."""
    lowered = _process_limits.Limited.lower

    def pretend(limited: _process_limits.Limited, grip: _grip.Grip, soft: int) -> None:
        lowered(limited, grip, soft)
        limited.restore()

    monkeypatch.setattr(_process_limits.Limited, "lower", pretend)
    diagnosis = await examine((MemoryLimit, Kill))
    assert [finding.reason for finding in diagnosis.faults] == [
        "the kernel takes the limit and does not keep to it",
        None,
    ]
    assert all(finding.ok for finding in diagnosis.capabilities)


async def test_a_machine_without_python_for_workers_has_no_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that cannot even be started says why, in its own last words."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    diagnosis = await examine((MemoryGrowth,))
    reasons = {finding.name: finding.reason for finding in diagnosis.capabilities}
    assert reasons["agent"] == "a process to try it on could not be started: it said nothing"
    assert [finding.reason for finding in diagnosis.faults] == ["needs agent, pids"]
