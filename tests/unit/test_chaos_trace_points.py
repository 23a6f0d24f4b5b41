"""Trace points: what a scenario may say of them, and what a link in memory does at each of its own."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import jsonschema
import pytest
import trio
import trio.testing
from _memory_wire import Wire, every, hello, large, on_link, read, read_now, reply, request

from chaos.cli._main import main
from chaos.faults._moments import SPOTS, Halting
from chaos.link._delaying import Latency
from chaos.running._sightings import Sighting
from chaos.scenario._fault import Trigger, Window
from chaos.scenario._problems import ScenarioError
from chaos.scenario._reading import read_toml
from chaos.scenario._schema import json_schema
from chaos.scenario._trace_points import HOLD_LIMIT, TRACE_POINTS, Waits

if TYPE_CHECKING:
    from collections.abc import Callable

    from chaos.link._frames import Message
    from chaos.link._interposer import Interposer

SCENARIO = """
schema = 1
name = "mine"
phase = [{ name = "main", duration = "2s", load = { model = "open", rate = 10.0 } }]
fault = [{ name = "k", kind = "kill", at = { AT }, target = { TARGET } }]
"""


def mistakes(at: str, target: str = "") -> list[str]:
    try:
        read_toml(SCENARIO.replace("AT", at).replace("TARGET", target), "mine")
    except ScenarioError as exc:
        return [str(error) for error in exc.errors]
    return []


@pytest.mark.parametrize("point", TRACE_POINTS)
def test_every_trace_point_may_be_waited_for(point: str) -> None:
    """With everything that can be matched there, and with whoever came to it as the victim, in each of its states."""
    fields = {"slot": "1", "incarnation": "1", "command": "'append'", "operation": "'append'", "worker_id": "'w-1'"}
    match = ", ".join(f"{field} = {fields[field]}" for field in TRACE_POINTS[point].fields)
    for state in TRACE_POINTS[point].states:
        at = f"on = '{point}', nth = 3, probability = '50%', match = {{ {match} }}"
        assert mistakes(at, f"trigger = true, state = '{state}'") == []


@pytest.mark.parametrize(
    ("at", "target", "told"),
    [
        ("on = 'wire.request.firstbyte'", "", "did you mean 'wire.request.first-byte'?"),
        ("on = 'WorkerRedy'", "", "did you mean 'WorkerReady'?"),
        ("on = 'worker.begin', match = { command = 'append' }", "", "worker.begin has no field 'command'"),
        ("on = 'wire.reply.half', match = { comand = 'x' }", "", "did you mean 'command'?"),
        ("on = 'worker.begin', probability = 1.5", "", "probability: must be above 0 and at most 1, not 1.5"),
        ("on = 'worker.begin', probability = 0", "", "probability: must be above 0 and at most 1, not 0"),
        ("time = 1.0, probability = 0.5", "", "probability: goes with on alone"),
        ("on = 'worker.begin', nth = 10, probability = '0.1%'", "", "is one in 10000"),
        (
            "on = 'launcher.spawned'",
            "trigger = true",
            "state: never matches: who comes to launcher.spawned is not serving",
        ),
        ("on = 'wire.request.half'", "trigger = true, state = 'busy'", "state: never matches"),
    ],
)
def test_mistakes_about_trace_points_are_told(at: str, target: str, told: str) -> None:
    """Each by its place, and with what was probably meant."""
    (mistake,) = mistakes(at, target)
    assert told in mistake


def test_editors_know_the_trace_points() -> None:
    """The schema has them, each with its meaning, and the pool's events; and nothing else."""
    schema = json_schema()["$defs"]["Trigger"]["properties"]["on"]
    known = {each["const"]: each["description"] for each in schema["anyOf"]}
    assert all(point.meaning in known[name] for name, point in TRACE_POINTS.items())
    assert "WorkerReady" in known
    jsonschema.validate("worker.begin", schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate("worker.begn", schema)


def test_each_is_told_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Listed with a sentence, and explained by its name; a wrong one is answered with the right one."""
    assert main(["list", "points"]) == 0
    listed = capsys.readouterr().out
    for name, point in TRACE_POINTS.items():
        assert f"{name} " in listed
        assert point.meaning in listed
        assert main(["explain", name]) == 0
        told = capsys.readouterr().out
        assert point.meaning in told
        assert ("stands still, for" in told) == (point.waits is not Waits.NOTHING)
    assert main(["explain", "worker.beginn"]) == 64
    assert "did you mean 'worker.begin'?" in capsys.readouterr().err


def test_every_window_of_a_message_has_its_trace_point() -> None:
    """All but W1, in which there is none; and every trace point of a link has its spot."""
    assert {point.window for point in TRACE_POINTS.values()} - {None} == set(Window) - {Window.W1}
    assert set(SPOTS) == {name for name in TRACE_POINTS if name.startswith("wire.")} | {"launcher.ready"}


def test_the_nth_that_counts_is_the_one() -> None:
    """And then every nth again; what matches counts with the probability that is given, by the seed alone."""
    third = Sighting(Trigger(on="GaveUp", nth=3), random.Random(1))  # noqa: S311  # reproducible on purpose
    assert [third.counts() for _ in range(7)] == [False, False, True, False, False, True, False]
    at = Trigger(on="GaveUp", probability=0.25)
    rare = [Sighting(at, random.Random(7)) for _ in range(2)]  # noqa: S311  # as above
    first, second = ([each.counts() for _ in range(400)] for each in rare)
    assert first == second
    assert 60 < sum(first) < 140
    third.over = True
    assert not any(third.counts() for _ in range(5))


class Halt:
    """A link on which messages stop at a trace point, and what was seen there."""

    def __init__(self, link: Interposer, wire: Wire, point: str, *, commands: tuple[str, ...] = ("work",)) -> None:
        self.link, self.wire = link, wire
        self.come: list[tuple[bytes, bytes]] = []
        self.let_go: list[Callable[[], None]] = []
        self.heard = b""
        spot = SPOTS[point]
        self.halting = Halting(spot, lambda message: message.command in (*commands, None), self.note, link.look_again)
        link.add(self.halting, spot.direction)

    def note(self, _message: Message, let_go: Callable[[], None]) -> None:
        self.come.append((self.wire.received.removeprefix(hello()), self.heard))
        self.let_go.append(let_go)

    def hear(self) -> bytes:
        self.heard += read_now(self.link)
        return self.heard


def greeted(link: Interposer, wire: Wire) -> None:
    link.send(hello())
    wire.deliver(hello())
    read(link)


ASKED, ANSWERED = request(1), reply(1, "the answer")
HALF_ASKED, HALF_ANSWERED = ASKED[: len(ASKED) // 2], ANSWERED[: len(ANSWERED) // 2]


@pytest.mark.parametrize(
    ("point", "sent", "heard"),
    [
        ("wire.request.first-byte", b"", b""),
        ("wire.request.half", HALF_ASKED, b""),
        ("wire.reply.first-byte", ASKED, b""),
        ("wire.reply.half", ASKED, HALF_ANSWERED),
        ("wire.reply.written", ASKED, b""),
    ],
)
def test_a_message_stands_still_at_its_moment(point: str, sent: bytes, heard: bytes) -> None:
    """With all that follows it, until it is let go; then everything arrives as it was."""

    def test(link: Interposer, wire: Wire) -> None:
        greeted(link, wire)
        halt = Halt(link, wire, point)
        link.send(ASKED + request(2, "ping"))
        if ".reply." in point:
            wire.deliver(ANSWERED + reply(2))
        assert halt.hear() == heard
        assert len(halt.let_go) == 1
        assert wire.received.removeprefix(hello()) == sent + (request(2, "ping") if sent == ASKED else b"")
        halt.let_go[0]()
        assert halt.hear() == (ANSWERED + reply(2) if ".reply." in point else b"")
        assert wire.received == hello() + ASKED + request(2, "ping")

    on_link(test)


@pytest.mark.parametrize(("point", "sent"), [("wire.request.written", ASKED), ("wire.reply.read", ASKED)])
def test_where_nothing_stands_still_the_moment_is_told_when_all_has_gone(point: str, sent: bytes) -> None:
    """Of the request to the worker, and of the reply to the pool."""

    def test(link: Interposer, wire: Wire) -> None:
        greeted(link, wire)
        halt = Halt(link, wire, point)
        link.send(ASKED)
        assert len(halt.come) == (point == "wire.request.written")
        wire.deliver(ANSWERED)
        assert halt.hear() == ANSWERED
        assert [told[0] for told in halt.come] == [sent]
        halt.let_go[0]()

    on_link(test)


@pytest.mark.parametrize(
    ("point", "command"),
    [("wire.ping.written", "ping"), ("wire.stop.first-byte", "shutdown"), ("launcher.ready", None)],
)
def test_pings_stops_and_greetings_have_trace_points_of_their_own(point: str, command: str | None) -> None:
    """No request is theirs."""

    def test(link: Interposer, wire: Wire) -> None:
        halt = Halt(link, wire, point, commands=("work", "ping", "shutdown"))
        link.send(hello() + ASKED)
        assert halt.come == []
        wire.deliver(hello())
        assert bool(halt.hear()) == (command is not None)
        if command is not None:
            link.send(request(2, command))
        assert len(halt.come) == 1
        halt.let_go[0]()

    on_link(test)


def test_a_fault_of_the_wire_hits_the_message_that_stands_still() -> None:
    """What is put upon the link meanwhile is put upon that message too."""

    async def test(link: Interposer, wire: Wire) -> None:
        greeted(link, wire)
        halt = Halt(link, wire, "wire.request.first-byte")
        link.send(ASKED)
        late = Latency(every(), 0.2, 0.0, random.Random(1))  # noqa: S311  # as above
        link.add(late, SPOTS["wire.request.first-byte"].direction)
        halt.let_go[0]()
        assert wire.received == hello()
        await trio.sleep(0.3)
        assert wire.received == hello() + ASKED

    on_link(test)


@pytest.mark.parametrize("point", ["wire.request.first-byte", "wire.reply.written"])
def test_nothing_stands_still_for_ever(point: str) -> None:
    """A fault may have nobody to strike: after a while the message goes on by itself, and letting go is too late."""

    async def test(link: Interposer, wire: Wire) -> None:
        greeted(link, wire)
        halt = Halt(link, wire, point)
        began = trio.current_time()
        link.send(ASKED)
        wire.deliver(ANSWERED)
        if point == "wire.reply.written":
            await link.wait_readable()
        else:
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert wire.received == hello()
            await trio.sleep(HOLD_LIMIT + 0.1)
            assert wire.arrived[-1][0] - began == pytest.approx(HOLD_LIMIT)
        if point == "wire.reply.written":
            assert trio.current_time() - began == pytest.approx(HOLD_LIMIT)
        assert halt.hear() == ANSWERED
        link.send(request(2))
        halt.let_go[0]()
        assert len(halt.come) == (2 if point == "wire.request.first-byte" else 1)
        assert wire.received.endswith(request(2)) == (len(halt.come) == 1)

    on_link(test)


def test_what_was_kept_has_moments_too() -> None:
    """One message after the other stands still, also where both came in one piece, each until it is let go itself."""

    def test(link: Interposer, wire: Wire) -> None:
        greeted(link, wire)
        halt = Halt(link, wire, "wire.request.half")
        link.send(ASKED + request(2) + request(3, "other"))
        halt.let_go[0]()
        second = request(2)
        assert wire.received == hello() + ASKED + second[: len(second) // 2]
        halt.let_go[0]()
        assert wire.received == hello() + ASKED + second[: len(second) // 2]
        halt.let_go[1]()
        assert wire.received == hello() + ASKED + second + request(3, "other")

    on_link(test)


def test_a_trace_point_that_nobody_watches_any_more_lets_everything_pass() -> None:
    """What stood still goes on, all of it, and no further message is told of."""

    def test(link: Interposer, wire: Wire) -> None:
        greeted(link, wire)
        halt = Halt(link, wire, "wire.reply.written")
        link.send(ASKED + request(2))
        wire.deliver(large(1, 10) + reply(2))
        assert halt.hear() == b""
        halt.halting.stop()
        link.remove(halt.halting)
        assert halt.hear() == large(1, 10) + reply(2)
        assert len(halt.come) == 1

    on_link(test)


def test_what_stands_still_comes_before_the_end_of_the_stream() -> None:
    """A reply that was there when its worker died is still there; of a dead worker nothing stands still any longer."""

    def test(link: Interposer, wire: Wire) -> None:
        greeted(link, wire)
        halt = Halt(link, wire, "wire.reply.first-byte")
        link.send(ASKED + request(2))
        wire.deliver(ANSWERED + reply(2), b"")
        assert halt.hear() == ANSWERED + reply(2)
        assert read(link) == b""
        assert len(halt.come) == 2

    on_link(test)
