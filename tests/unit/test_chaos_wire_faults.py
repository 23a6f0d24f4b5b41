"""Faults of links as data: what makes no sense is refused by name, and every kind can be read and carried out."""

from __future__ import annotations

from typing import Any

import pytest

from chaos.faults._registry import INJECTORS
from chaos.faults._wire import INJECTORS as WIRE
from chaos.scenario import _wire_faults as wire
from chaos.scenario._catalogue import explain, fault_kinds
from chaos.scenario._fault import Capability, Direction, FramePart, Trigger
from chaos.scenario._problems import ScenarioError
from chaos.scenario._reading import read_mapping, to_mapping

KINDS = sorted(kind for kind in fault_kinds() if kind.startswith("wire."))


def fault(cls: type[wire.WireFault], **fields: Any) -> wire.WireFault:
    return cls(name="fault", at=Trigger(time=0.0), **fields)


def scenario(**fields: Any) -> dict[str, Any]:
    given = {"name": "fault", "at": {"time": "1s"}, "for": "2s", **fields}
    return {"name": "test", "pool": {"size": 2}, "phase": [{"name": "main", "duration": "5s"}], "fault": [given]}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_explained_and_carried_out(kind: str) -> None:
    """By its name alone: the defaults make sense."""
    read = read_mapping(scenario(kind=kind))
    (spec,) = read.faults
    assert isinstance(spec, wire.WireFault)
    assert spec.kind == kind
    assert spec.needs == {Capability.LAUNCHER}
    assert spec.direction in spec.directions
    assert read_mapping(to_mapping(read)) == read
    assert explain(kind)[0] == f"{kind}: {spec.summary}"
    assert INJECTORS[kind] is WIRE[kind]


def test_there_are_the_eleven_of_the_catalogue() -> None:
    """Neither more are offered nor fewer."""
    assert [kind.partition(".")[2] for kind in KINDS] == [
        "bandwidth",
        "coalesce",
        "corrupt",
        "drop",
        "duplicate",
        "latency",
        "reorder",
        "slice",
        "stall",
        "truncate",
        "unsolicited",
    ]
    assert set(KINDS) == set(WIRE)


def test_numbers_are_read_in_their_units() -> None:
    """Times, sizes and shares as people write them."""
    (spec,) = read_mapping(scenario(kind="wire.latency", delay="20ms", jitter="5ms", share="30%")).faults
    assert spec == wire.Latency(name="fault", at=Trigger(time=1.0), hold=2.0, delay=0.02, jitter=0.005, share=0.3)
    (spec,) = read_mapping(scenario(kind="wire.bandwidth", rate="64KiB/s", burst="1kB")).faults
    assert isinstance(spec, wire.Bandwidth)
    assert (spec.rate, spec.burst) == (65536, 1000)
    (spec,) = read_mapping(scenario(kind="wire.corrupt", where="length", direction="to_worker")).faults
    assert isinstance(spec, wire.Corrupt)
    assert (spec.where, spec.direction) == (FramePart.LENGTH, Direction.TO_WORKER)


@pytest.mark.parametrize(
    ("cls", "fields", "wrong"),
    [
        (wire.Latency, {"delay": -0.1}, "delay: must be at least 0"),
        (wire.Latency, {"jitter": -0.1}, "jitter: must be at least 0"),
        (wire.Latency, {"share": 0.0}, "share: must be above 0"),
        (wire.Latency, {"share": 1.1}, "share: must be above 0 and at most 1"),
        (wire.Latency, {"nth": 0}, "nth: must be at least 1"),
        (wire.Latency, {"count": 0}, "count: must be at least 1"),
        (wire.Latency, {"nth": 2, "share": 0.5}, "nth: say either"),
        (wire.Bandwidth, {"rate": 0}, "rate: must be above 0"),
        (wire.Bandwidth, {"burst": -1}, "burst: must be at least 0"),
        (wire.Slice, {"size": 0}, "size: must be at least 1"),
        (wire.Slice, {"pause": -1.0}, "pause: must be at least 0"),
        (wire.Coalesce, {"batch": 1}, "batch: must be at least 2"),
        (wire.Coalesce, {"wait": 0.0}, "wait: must be above 0"),
        (wire.Truncate, {"size": -1}, "size: must be at least 0"),
        (wire.Truncate, {"direction": "both"}, "direction: wire.truncate is for to_worker or from_worker"),
        (wire.Corrupt, {"direction": "both"}, "direction: wire.corrupt is for"),
        (wire.Corrupt, {"bits": 0}, "bits: must be at least 1"),
        (wire.Duplicate, {"direction": "to_worker"}, "direction: wire.duplicate is for from_worker, not"),
        (wire.Reorder, {"wait": 0.0}, "wait: must be above 0"),
        (wire.Drop, {"direction": "both"}, "direction: wire.drop is for"),
        (wire.Unsolicited, {"direction": "both"}, "direction: wire.unsolicited is for from_worker, not"),
    ],
)
def test_what_makes_no_sense_is_refused(cls: type[wire.WireFault], fields: dict[str, Any], wrong: str) -> None:
    """With the field's name, built in Python as well as read from a file."""
    with pytest.raises(ValueError, match=wrong):
        fault(cls, **fields)
    name = wrong.partition(":")[0]
    with pytest.raises(ScenarioError, match=rf"\$\.fault\[0\].*{name}"):
        read_mapping(scenario(kind=cls.kind, **fields))
