"""The moments of the kill windows on a link in memory: what had gone which way when the worker was to die."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio.testing
from _memory_wire import Wire, every, hello, large, on_link, read, read_now, reply, request

from chaos.faults._moments import SMALL, Fatal, Hand, fatal
from chaos.link._delaying import Stall
from chaos.scenario._fault import Direction, Window

if TYPE_CHECKING:
    from chaos.link._frames import Message
    from chaos.link._interposer import Interposer


@attrs.define
class Scene:
    """A link, and what was seen on it at each deed."""

    link: Interposer
    wire: Wire
    nth: int = 1
    came: int = 0
    heard: bytes = b""
    deeds: list[tuple[str, bytes, bytes]] = attrs.field(factory=list[tuple[str, bytes, bytes]])
    """What was done, what the worker had been sent by then since its greeting, and what the pool had heard."""

    def watch(self, window: Window) -> tuple[Fatal, Direction]:
        moment, direction = fatal(window, Hand(comes=self.comes, stop=self.stop, end=self.end))
        self.link.add(moment, direction)
        return moment, direction

    def comes(self) -> bool:
        self.came += 1
        return self.came == self.nth

    def stop(self) -> None:
        self.note("stop")

    def end(self, message: Message) -> None:
        self.note(f"end {message.command}")

    def note(self, what: str) -> None:
        self.deeds.append((what, self.wire.received.removeprefix(hello()), self.heard))

    def greet(self) -> None:
        """Have both greet each other."""
        self.link.send(hello())
        self.wire.deliver(hello())
        read(self.link)

    def hear(self) -> None:
        """Receive all that is due, one receive after the other."""
        while True:
            try:
                part = read(self.link)
            except BlockingIOError:
                return
            if not part:
                return
            self.heard += part


def play(window: Window, sent: bytes, said: bytes = b"", **fields: Any) -> Scene:
    """Send to the worker, then hear what it says, with a window on the link."""
    scenes: list[Scene] = []

    def test(link: Interposer, wire: Wire) -> None:
        scene = Scene(link, wire, **fields)
        scenes.append(scene)
        scene.greet()
        moment, _ = scene.watch(window)
        link.send(sent)
        wire.deliver(said)
        scene.hear()
        link.remove(moment)

    on_link(test)
    return scenes[0]


ASKED, ANSWERED = request(1), reply(1, "the answer")


def test_w2_is_before_the_first_byte() -> None:
    """Nothing of the request has been sent, and all that was sent before has."""
    ping = request(1, "ping")
    assert play(Window.W2, ping + request(2)).deeds == [("end work", ping, b"")]


def test_w3_is_between_the_halves() -> None:
    """Half of the frame has been sent; after it, and only then, the other half is."""
    scene = play(Window.W3, ASKED)
    assert scene.deeds == [("end work", ASKED[: len(ASKED) // 2], b"")]
    assert scene.wire.received == hello() + ASKED
    large_request = request(1, data=bytes(100_000))
    ((_, sent, _),) = play(Window.W3, large_request).deeds
    assert 0 < len(sent) < 100


def test_w4_is_after_the_last_byte_for_a_worker_that_stands() -> None:
    """It is stopped with nothing sent, and dies with all of the request sent and nothing behind it."""
    scene = play(Window.W4, ASKED + request(2))
    assert scene.deeds == [("stop", b"", b""), ("end work", ASKED, b"")]
    assert scene.wire.received == hello() + ASKED + request(2)


def test_w4_waits_until_a_full_socket_has_taken_the_request() -> None:
    """What is left over by one send belongs to the window as well."""

    async def test(link: Interposer, wire: Wire) -> None:
        scene = Scene(link, wire)
        scene.greet()
        moment, _ = scene.watch(Window.W4)
        wire.room(7)
        assert link.send(ASKED) == len(ASKED)
        assert scene.deeds == [("stop", b"", b"")]
        wire.room(1000)
        await trio.testing.wait_all_tasks_blocked()
        assert scene.deeds[1:] == [("end work", ASKED, b"")]
        link.remove(moment)

    on_link(test)


def test_w4_is_only_for_requests_that_fit_into_a_socket() -> None:
    """A worker that stands still reads nothing, so a larger one would never be written; the next is hit."""
    scene = play(Window.W4, request(1, data="x" * SMALL) + request(2))
    assert [deed for deed, _, _ in scene.deeds] == ["stop", "end work"]
    assert scene.came == 1
    assert scene.deeds[0][1] == request(1, data="x" * SMALL)


def test_w7_is_after_half_of_the_reply() -> None:
    """The pool has half of the frame, and hears nothing more but the end."""
    scene = play(Window.W7, ASKED, ANSWERED + reply(2))
    half = ANSWERED[: len(ANSWERED) // 2]
    assert scene.deeds == [("end work", ASKED, b"")]  # in the very receive that hands the half over
    assert scene.heard == half


@pytest.mark.parametrize("cut", [5, 20])
def test_w8_is_when_all_of_the_reply_has_left_the_worker_and_none_is_heard(cut: int) -> None:
    """Half a reply is kept until the other half has come; then the worker dies, and all of it is heard."""

    def test(link: Interposer, wire: Wire) -> None:
        scene = Scene(link, wire)
        scene.greet()
        moment, _ = scene.watch(Window.W8)
        link.send(ASKED)
        wire.deliver(ANSWERED[:cut])
        scene.hear()
        assert (scene.heard, scene.deeds) == (b"", [])
        wire.deliver(ANSWERED[cut:])
        scene.heard += read(link, 10)
        assert scene.deeds == [("end work", ASKED, b"")]
        scene.hear()
        assert scene.heard == ANSWERED
        assert moment.struck == 1
        link.remove(moment)
        scene.hear()
        assert scene.heard == ANSWERED  # once

    on_link(test)


def test_w9_is_within_the_receive_of_the_last_byte() -> None:
    """All of the reply is in the pool's hands, and nothing behind it."""

    def test(link: Interposer, wire: Wire) -> None:
        scene = Scene(link, wire)
        scene.greet()
        moment, _ = scene.watch(Window.W9)
        link.send(ASKED)
        wire.deliver(ANSWERED + reply(2))
        scene.heard += read(link, 10)
        assert scene.deeds == []
        assert read(link) == ANSWERED[10:]
        assert scene.deeds == [("end work", ASKED, ANSWERED[:10])]
        link.remove(moment)

    on_link(test)


@pytest.mark.parametrize("cut", [2, 8])
def test_w10_is_when_the_ready_frame_has_come_and_is_not_heard(cut: int) -> None:
    """In its place comes the end, once, in however many pieces it came."""

    def test(link: Interposer, wire: Wire) -> None:
        scene = Scene(link, wire)
        moment, _ = scene.watch(Window.W10)
        link.send(hello())
        wire.deliver(hello()[:cut])
        wire.deliver(hello()[cut:])
        assert read(link) == b""
        assert scene.deeds == [("end None", b"", b"")]
        link.remove(moment)

    on_link(test)


@pytest.mark.parametrize(("window", "command"), [(Window.W11, "ping"), (Window.W12, "shutdown")])
def test_pings_and_stops_have_windows_of_their_own(window: Window, command: str) -> None:
    """No other message is theirs, and theirs is no other's."""
    others = request(1) + request(2, "cleanup_session")
    scene = play(window, others + request(3, command))
    assert [deed for deed, _, _ in scene.deeds][-1] == f"end {command}"
    assert scene.came == 1
    for other in (Window.W2, Window.W3, Window.W4, Window.W7, Window.W8, Window.W9):
        assert play(other, request(1, command), reply(1)).deeds == []


@pytest.mark.parametrize("window", [Window.W7, Window.W8, Window.W9])
def test_replies_with_large_buffers_have_windows_too(window: Window) -> None:
    """Half of the envelope, and the last byte of the last buffer; only W8 needs one frame, and lets these pass."""
    said = large(1, 10, 20)
    scene = play(window, ASKED, said)
    if window is Window.W7:
        assert scene.heard == said[: (4 + int.from_bytes(said[:4], "big")) // 2]
    else:
        assert scene.heard == said
    assert len(scene.deeds) == (window is not Window.W8)


def test_the_nth_is_asked_for_each_time() -> None:
    """Who counts decides; after that nothing is asked any more."""
    scene = play(Window.W2, request(1) + request(2) + request(3) + request(4), nth=3)
    assert scene.deeds == [("end work", request(1) + request(2), b"")]
    assert scene.came == 3


def test_a_window_that_is_taken_away_kills_nobody() -> None:
    """Also when the request is on its way and stands before the moment."""

    def test(link: Interposer, wire: Wire) -> None:
        scene = Scene(link, wire)
        scene.greet()
        moment, direction = scene.watch(Window.W4)
        stall = Stall(every())
        link.add(stall, direction)
        link.send(ASKED)
        assert scene.came == 1
        link.remove(moment)
        link.remove(stall)
        assert wire.received == hello() + ASKED
        assert scene.deeds == []

    on_link(test)


def test_a_reply_that_is_kept_goes_on_when_its_window_is_taken_away() -> None:
    """The half that has come is heard, and the other when it comes."""

    async def test(link: Interposer, wire: Wire) -> None:
        scene = Scene(link, wire)
        scene.greet()
        moment, _ = scene.watch(Window.W8)
        link.send(ASKED)
        wire.deliver(ANSWERED[:20])
        assert read_now(link) == b""
        link.remove(moment)
        assert read_now(link) == ANSWERED[:20]
        wire.deliver(ANSWERED[20:])
        assert read_now(link) == ANSWERED[20:]
        assert scene.deeds == []
        await trio.lowlevel.checkpoint()

    on_link(test)
