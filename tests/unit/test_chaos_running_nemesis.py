"""The nemesis: when it strikes, whom, what it writes down, and that it heals whatever happens."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import pytest
import trio
from _chaos_nemesis import Stage
from _chaos_plans import plan, scenario, strike

from chaos._fault import FaultMissed
from chaos.faults._injection import FaultFailed
from chaos.running._nemesis import AIM_LIMIT, HEAL_LIMIT
from chaos.scenario._fault import Capability, Selector, Trigger, WorkerState
from chaos.scenario._model import Limits, Phase
from chaos.scenario._process_faults import Freeze, Kill
from chaos.workload._ledger import BEGIN, EFFECT, END, MAGIC, RECORD, STOPPED
from trio_pool import SessionBound, WorkerReady

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock


@pytest.fixture
def stage(tmp_path: Path, autojump_clock: MockClock) -> Any:
    """Two workers."""
    stage = Stage(tmp_path, autojump_clock, 11, 12)
    with stage.history:
        yield stage


def entry(pid: int, step: int) -> bytes:
    """Return a record of the ledger."""
    packed = RECORD.pack(MAGIC, step, 1, 1, pid, 1, 1, b"")
    return packed + zlib.crc32(packed).to_bytes(4, "big")


def kill(name: str = "k", **fields: Any) -> Kill:
    return Kill(name=name, **{"at": Trigger(time=1.0), **fields})


def freeze(name: str = "f", **fields: Any) -> Freeze:
    return Freeze(name=name, **{"at": Trigger(time=1.0), **fields})


async def test_a_fault_strikes_on_time_and_is_healed_after_its_hold(stage: Stage, autojump_clock: MockClock) -> None:
    """And each of both is on record, with whom it hit."""
    of = plan(scenario(freeze(hold=3.0)), strikes=[strike("f", 1.0, choice=0.6)])
    await stage.run(of)
    assert stage.deeds == [(1.0, "f", (12,)), (4.0, "f healed", ())]
    (injected,) = stage.told("inject")
    assert (injected["fault"], injected["kind"], injected["pid"], injected["t"]) == ("f", "freeze", 12, 1.0)
    (healed,) = stage.told("heal")
    assert (healed["fault"], healed["ok"], healed["t"]) == ("f", True, 4.0)


async def test_of_another_pool_the_ledger_tells_who_is_busy(stage: Stage, autojump_clock: MockClock) -> None:
    """Whoever has begun a request and not ended it; a record that is not whole yet counts once it is."""
    busy, idle = Selector(state=WorkerState.BUSY, count=2), Selector(state=WorkerState.IDLE, count=2)
    steps = [(12, BEGIN), (12, END), (11, BEGIN), (12, BEGIN), (12, EFFECT), (11, STOPPED), (11, BEGIN)]
    packed = b"".join(entry(pid, step) for pid, step in steps)
    stage.ledger.write_bytes(packed[:-1])
    of = scenario(kill("b", target=busy), kill("i", target=idle), kill("c", target=busy))

    def rest() -> None:
        if stage.deeds:
            stage.ledger.write_bytes(packed)

    stage.at_strike = rest
    await stage.run(plan(of, strikes=[strike("b", 1.0), strike("i", 2.0), strike("c", 3.0)]))
    struck = [deed[1:] for deed in stage.deeds if "healed" not in deed[1]]
    assert struck == [("b", (12,)), ("i", (11,)), ("c", (11, 12))]
    injects = [(record["fault"], record["pid"], record["begun"], record["requests"]) for record in stage.told("inject")]
    assert injects == [("b", 12, True, 1), ("i", 11, False, 0), ("c", 11, True, 1), ("c", 12, True, 1)]


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ({"state": "starting"}, "nobody can tell which workers are starting"),
        ({"session": 0}, "has no sessions"),
        ({"trigger": True}, "tells no events"),
    ],
)
async def test_what_another_pool_cannot_be_asked_for_is_missed_at_once(
    stage: Stage, autojump_clock: MockClock, target: dict[str, Any], why: str
) -> None:
    """And the record says why: a selector that nobody heeds would strike anybody."""
    await stage.run(plan(scenario(kill(target=Selector(**target))), strikes=[strike("k", 1.0)]))
    (missed,) = stage.told("missed")
    assert why in missed["why"]
    assert missed["t"] == 0.0
    assert stage.deeds == []


async def test_a_kill_is_not_healed(stage: Stage, autojump_clock: MockClock) -> None:
    """There is nothing to take back; what it did is on record all the same."""
    await stage.run(plan(scenario(kill()), strikes=[strike("k", 1.0)]))
    assert stage.told("heal") == []
    assert [record["effect"] for record in stage.told("effect")] == [{"did": "it"}]


async def test_several_are_hit_at_once(stage: Stage, autojump_clock: MockClock) -> None:
    """By number, or by share, rounded up."""
    all_of_them, half = Selector(count=5), Selector(fraction=0.4)
    of = scenario(kill("all", target=all_of_them), kill("half", target=half))
    await stage.run(plan(of, strikes=[strike("all", 1.0), strike("half", 2.0)]))
    assert [deed[2] for deed in stage.deeds if "healed" not in deed[1]] == [(11, 12), (11,)]


async def test_a_phase_of_healing_heals(stage: Stage, autojump_clock: MockClock) -> None:
    """What lasts ends there, whatever its hold."""
    of = plan(scenario(freeze(hold=100.0)), strikes=[strike("f", 1.0)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.run, of)
        await trio.sleep(5.0)
        assert stage.nemesis is not None
        stage.nemesis.heal()
    assert stage.deeds[-1] == (5.0, "f healed", ())


async def test_a_cancelled_run_heals(stage: Stage, autojump_clock: MockClock) -> None:
    """Shielded: healing that takes a while is let finish, within its bound."""
    stage.heal_time = 2.0
    with trio.move_on_after(5.0):
        await stage.run(plan(scenario(freeze()), strikes=[strike("f", 1.0)]))
    assert stage.deeds[-1] == (7.0, "f healed", ())
    assert [record["ok"] for record in stage.told("heal")] == [True]


async def test_healing_that_hangs_is_given_up(stage: Stage, autojump_clock: MockClock) -> None:
    """And on record as not healed."""
    stage.heal_time = 1000.0
    await stage.run(plan(scenario(freeze(hold=1.0)), strikes=[strike("f", 1.0)]))
    (healed,) = stage.told("heal")
    assert (healed["ok"], healed["t"]) == (False, 2.0 + HEAL_LIMIT)


@pytest.mark.parametrize("how", ["raises", "raises at two workers", "says so"])
async def test_what_did_not_heal_is_on_record(stage: Stage, autojump_clock: MockClock, how: str) -> None:
    """Whether the injector raises, once or for each worker, or finds that something of it lasts."""

    def refuse() -> None:
        error = FaultFailed("the machine refused")
        raise error if how == "raises" else ExceptionGroup("two workers", [ExceptionGroup("one", [error]), OSError()])

    if how == "says so":
        stage.whole = False
    else:
        stage.at_heal = refuse
    await stage.run(plan(scenario(freeze(hold=1.0)), strikes=[strike("f", 1.0)]))
    (healed,) = stage.told("heal")
    assert not healed["ok"]
    assert healed["error"] == (None if how == "says so" else "FaultFailed: the machine refused")


async def test_nobody_to_hit_is_a_miss(stage: Stage, autojump_clock: MockClock) -> None:
    """After a bounded wait, on record with the reason; the run goes on."""
    stage.workers.workers.clear()
    await stage.run(plan(scenario(kill()), strikes=[strike("k", 1.0)]))
    (missed,) = stage.told("missed")
    assert (missed["fault"], missed["t"]) == ("k", 1.0 + AIM_LIMIT)
    assert "no worker is serving" in missed["why"]
    assert stage.deeds == []


async def test_a_fault_waits_for_its_victim(stage: Stage, autojump_clock: MockClock) -> None:
    """It strikes once there is one."""
    stage.workers.workers.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.run, plan(scenario(kill()), strikes=[strike("k", 1.0)]))
        await trio.sleep(2.0)
        stage.workers.workers.append(13)
    assert stage.deeds[0][2] == (13,)
    assert 2.0 <= stage.deeds[0][0] < 2.1


async def test_a_fault_waits_a_while_for_somebody_unharmed(stage: Stage, autojump_clock: MockClock) -> None:
    """Two faults on one worker blur what each did; where there is nobody else, it is hit again in the end."""
    stage.workers.workers[:] = [11]
    unharmed = Selector(unharmed=True)
    of = plan(
        scenario(kill("a"), kill("b", target=unharmed), kill("c", target=unharmed), seconds=20.0),
        strikes=[strike("a", 1.0), strike("b", 2.0), strike("c", 10.0)],
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.run, of)
        await trio.sleep(3.0)
        stage.workers.workers.append(12)
    begins = [(round(at, 1), name, pids) for at, name, pids in stage.deeds if "healed" not in name]
    assert begins == [(1.0, "a", (11,)), (3.0, "b", (12,)), (10.0 + AIM_LIMIT / 2, "c", (11,))]


async def test_nothing_strikes_once_all_is_to_heal(stage: Stage, autojump_clock: MockClock) -> None:
    """A fault that still waits for its victim then has missed it."""
    stage.workers.workers.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.run, plan(scenario(kill()), strikes=[strike("k", 1.0)]))
        await trio.sleep(2.0)
        assert stage.nemesis is not None
        stage.nemesis.heal()
        stage.workers.workers.append(13)
    assert stage.deeds == []
    assert [record["why"] for record in stage.told("missed")] == ["no worker is serving, until everything was to heal"]


async def test_a_victim_that_is_gone_is_a_miss(stage: Stage, autojump_clock: MockClock) -> None:
    """As the injector says."""

    def gone() -> None:
        raise FaultMissed("gone already")

    stage.at_strike = gone
    await stage.run(plan(scenario(kill()), strikes=[strike("k", 1.0)]))
    assert [record["why"] for record in stage.told("missed")] == ["gone already"]
    assert stage.told("inject") == []


async def test_what_the_pool_gives_no_way_to_is_a_miss(stage: Stage, autojump_clock: MockClock) -> None:
    """It names what lacks, so that a run that tested nothing of it is not green."""
    await stage.run(plan(scenario(kill()), strikes=[strike("k", 1.0)]), capabilities=frozenset())
    assert [record["why"] for record in stage.told("missed")] == ["this pool gives no way to it: pids"]


async def test_enough_workers_must_be_left(stage: Stage, autojump_clock: MockClock) -> None:
    """A fault that would leave fewer waits, and then misses."""
    of = scenario(kill(), limits=Limits(min_live_workers=2))
    await stage.run(plan(of, strikes=[strike("k", 1.0)]))
    assert [record["why"] for record in stage.told("postponed")] == ["2 workers serve, and 2 must be left"]
    assert len(stage.told("missed")) == 1


async def test_only_so_many_faults_last_at_once(stage: Stage, autojump_clock: MockClock) -> None:
    """The next waits until one is healed."""
    of = scenario(freeze("a", hold=2.0), freeze("b", hold=2.0), limits=Limits(max_concurrent_faults=1))
    await stage.run(plan(of, strikes=[strike("a", 1.0), strike("b", 1.0)]))
    begins = sorted(at for at, name, _pids in stage.deeds if "healed" not in name)
    assert begins[0] == 1.0
    assert begins[1] == pytest.approx(3.0, abs=0.1)


async def test_a_fault_strikes_at_the_nth_event_that_matches(stage: Stage, autojump_clock: MockClock) -> None:
    """Events of other kinds, of other values and before its phase do not count."""
    at = Trigger(on="WorkerReady", nth=2, match={"slot": 1}, phase="main")
    of = scenario(kill(at=at), phases=(Phase(name="warm-up", duration=1.0), Phase(name="main", duration=9.0)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.run, plan(of, strikes=[strike("k", None)]))
        for second in range(6):
            await trio.sleep(1.0)
            stage.observer(SessionBound(at=0.0, pool="p", session_id="s", incarnation=1))
            stage.observer(
                WorkerReady(at=0.0, pool="p", slot=second % 2, worker_id="w", incarnation=second, pid=1, startup=0.1)
            )
    assert next(deed[0] for deed in stage.deeds) == 4.0
    assert len(stage.told("inject")) == 1


async def test_what_happened_before_its_phase_strikes_nobody(stage: Stage, autojump_clock: MockClock) -> None:
    """Events are counted from the beginning of the phase."""
    at = Trigger(on="WorkerReady", phase="main")
    of = scenario(kill(at=at), phases=(Phase(name="warm-up", duration=2.0), Phase(name="main", duration=8.0)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.run, plan(of, strikes=[strike("k", None)]))
        for second in (1, 2):
            await trio.sleep(1.5)
            stage.observer(WorkerReady(at=0.0, pool="p", slot=0, worker_id="w", incarnation=second, pid=1, startup=0.1))
    assert [record["t"] for record in stage.told("inject")] == [3.0]


async def test_what_strikes_after_a_healing_lasts_its_own_time(stage: Stage, autojump_clock: MockClock) -> None:
    """Until it is over, or until the next healing."""
    of = plan(scenario(freeze(hold=2.0)), strikes=[strike("f", 3.0)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.run, of)
        await trio.sleep(1.0)
        assert stage.nemesis is not None
        stage.nemesis.heal()
    assert [(at, name) for at, name, _pids in stage.deeds] == [(3.0, "f"), (5.0, "f healed")]


async def test_a_machine_that_refuses_makes_a_miss(stage: Stage, autojump_clock: MockClock) -> None:
    """Another fault may have left no descriptors for this one."""

    def refuse() -> None:
        raise OSError(24, "Too many open files")

    stage.at_strike = refuse
    await stage.run(plan(scenario(kill()), strikes=[strike("k", 1.0)]))
    (missed,) = stage.told("missed")
    assert "Too many open files" in missed["why"]


async def test_a_strike_that_has_not_come_is_called_off_with_the_run(stage: Stage, autojump_clock: MockClock) -> None:
    """Nobody waits for it, and nothing was done."""
    stage.strike_time = 60.0
    with trio.move_on_after(2.0):
        await stage.run(plan(scenario(freeze(hold=3.0)), strikes=[strike("f", 1.0)]))
    assert stage.history.now == pytest.approx(2.0)
    assert stage.deeds == []
    assert stage.told("inject") == []


async def test_a_strike_on_its_way_when_all_is_healed_lasts_no_time(stage: Stage, autojump_clock: MockClock) -> None:
    """It comes, and is healed at once: it cannot be known whether it had come already."""
    stage.strike_time = 2.0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.run, plan(scenario(freeze(hold=30.0)), strikes=[strike("f", 1.0)]))
        await trio.sleep(2.0)
        assert stage.nemesis is not None
        stage.nemesis.heal()
    assert [(at, name) for at, name, _pids in stage.deeds] == [(3.0, "f"), (3.0, "f healed")]


async def test_a_fault_strikes_again_at_every_nth_event(stage: Stage, autojump_clock: MockClock) -> None:
    """As often as it may, each time with a number of its own."""
    of = scenario(kill(at=Trigger(on="SessionBound", count=2)), seconds=10.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.run, plan(of, strikes=[strike("k", None)]))
        for _second in range(4):
            await trio.sleep(1.0)
            stage.observer(SessionBound(at=0.0, pool="p", session_id="s", incarnation=1))
    assert [(record["t"], record["occurrence"]) for record in stage.told("inject")] == [(1.0, 0), (2.0, 1)]


def bound() -> SessionBound:
    return SessionBound(at=0.0, pool="p", session_id="s", incarnation=1)


async def test_nothing_waits_for_events_while_all_is_to_heal(stage: Stage, autojump_clock: MockClock) -> None:
    """Neither an event nor a condition strikes in a phase of healing, for those that have no phase of their own."""
    of = scenario(
        kill(at=Trigger(on="SessionBound", count=9)),
        kill("c", at=Trigger(when="in_flight == 0", count=9)),
        phases=(Phase(name="main", duration=1.4), Phase(name="heal", duration=2.0, heal=True)),
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.run, plan(of, strikes=[strike("k", None), strike("c", None)]))
        for _second in range(3):
            await trio.sleep(1.0)
            stage.observer(bound())
    assert [record["t"] for record in stage.told("inject") if record["fault"] == "k"] == [1.0]
    assert max(record["t"] for record in stage.told("inject")) < 1.4


async def test_what_an_event_struck_lasts_beyond_its_phase(stage: Stage, autojump_clock: MockClock) -> None:
    """As long as it says, as what strikes by the clock does; only the waiting ends with the phase."""
    at = Trigger(on="SessionBound", phase="main")
    of = scenario(freeze(at=at, hold=3.0), phases=(Phase(name="main", duration=2.0), Phase(name="after", duration=9.0)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.run, plan(of, strikes=[strike("f", None)]))
        await trio.sleep(1.0)
        stage.observer(bound())
    assert stage.deeds == [(1.0, "f", (11,)), (4.0, "f healed", ())]


@pytest.mark.parametrize(("on", "lacks"), [("wire.request.half", "launcher"), ("worker.begin", "agent")])
async def test_a_trace_point_that_cannot_be_seen_is_a_miss(
    stage: Stage, autojump_clock: MockClock, on: str, lacks: str
) -> None:
    """Whatever the fault itself needs; it says what lacks."""
    await stage.run(plan(scenario(kill(at=Trigger(on=on))), strikes=[strike("k", None)]))
    assert [record["why"] for record in stage.told("missed")] == [f"this pool gives no way to it: {lacks}"]


@pytest.mark.parametrize("on", ["GaveUp", "worker.end"])
async def test_what_never_comes_is_a_miss(stage: Stage, autojump_clock: MockClock, on: str) -> None:
    """An event or a trace point, once its phase is over."""
    of = plan(scenario(kill(at=Trigger(on=on)), seconds=5.0), strikes=[strike("k", None)])
    await stage.run(of, capabilities=frozenset(Capability))
    assert [(record["t"], record["why"]) for record in stage.told("missed")] == [
        (5.0, f"there was no {on} to wait for")
    ]


async def test_a_fault_strikes_once_its_condition_is_true(stage: Stage, autojump_clock: MockClock) -> None:
    """At the first sample after; what nothing is known of is not true."""
    of = scenario(
        kill("never", at=Trigger(when="queue.depth > 10")), kill(at=Trigger(when="in_flight == 0")), seconds=5.0
    )
    await stage.run(plan(of, strikes=[strike("k", None), strike("never", None)]))
    (injected,) = stage.told("inject")
    assert injected["fault"] == "k"
    assert injected["t"] in (0.0, 0.5)  # which of two tasks begins first is Trio's to say
    assert [record["fault"] for record in stage.told("missed")] == ["never"]
