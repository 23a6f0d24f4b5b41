"""A worker process as its parent sees it: real bytes over a real socket, good and bad."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
from _wire import BOOTSTRAP, MAX_FRAME, PATIENCE, ready_worker

from trio_pool._core._frames import encode_header
from trio_pool._core._messages import encode, encode_json, pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _wire import RawWorker

APP = "_wire_app:bridge"


@pytest.fixture(scope="module")
def standing() -> Iterator[RawWorker]:
    """One worker for all the tests that leave it as it was."""
    with ready_worker(APP) as worker:
        yield worker


@pytest.fixture
def worker(standing: RawWorker) -> RawWorker:
    """The standing worker, which must still be alive."""
    assert standing.process.poll() is None
    return standing


@pytest.fixture
def meeting(tmp_path: Path) -> str:
    """A named pipe for the command ``meet``."""
    path = str(tmp_path / "meeting")
    os.mkfifo(path)
    return path


def inside(path: str) -> None:
    """Return once the command ``meet`` is running, and leave it waiting for `release`."""
    assert Path(path).read_text() == "here"


def release(path: str) -> None:
    """Let the command ``meet`` come to its end."""
    Path(path).write_text("go on")


def test_requests_of_every_outcome_leave_the_worker_serving(worker: RawWorker) -> None:
    """Whatever is wrong with a request, the next one is answered."""
    cases: list[tuple[str, object, str]] = [
        ("no_such_command", {}, "unknown_command"),
        ("say", {}, "invalid_arguments"),
        ("say", {"text": 5}, "invalid_arguments"),
        ("say", {"text": "x", "more": 1}, "invalid_arguments"),
        ("say", [], "invalid_arguments"),
        ("bad_result", {}, "unserializable"),
        ("large", {"size": MAX_FRAME + 1}, "frame_too_large"),
        ("sleep", {"duration": -1}, "remote"),
    ]
    for number, (command, args, kind) in enumerate(cases, 1):
        reply = worker.call(number, command, args)
        assert reply["success"] is False
        assert reply["error"]["kind"] == kind, reply
    assert worker.call(100, "echo", {"value": 1})["result"] == 1


def test_replies_come_in_the_order_of_requests_each_with_its_own_id(worker: RawWorker) -> None:
    """A slow command's reply is late, and still its own."""
    worker.send(201, "sleep", {"duration": 0.01})
    worker.send(202, "echo", {"value": "second"})
    worker.send(203, "no_such_command")
    assert [worker.receive()["id"] for _ in range(3)] == [201, 202, 203]


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 300_000, 3 * 2**20])
def test_values_of_any_size_go_there_and_back(worker: RawWorker, size: int) -> None:
    """In band, out of band, and larger than any socket's buffer, in both directions at once."""
    value = os.urandom(size)
    received: list[Any] = []
    reader = threading.Thread(target=lambda: received.append(worker.receive()))
    reader.start()
    worker.send(300, "echo", {"value": {"a": value, "b": [value, 1]}})
    reader.join(PATIENCE)
    assert received[0]["result"] == {"a": value, "b": [value, 1]}


def test_a_reply_of_many_buffers_arrives_whole(worker: RawWorker) -> None:
    """More pieces than one system call takes."""
    with ready_worker(APP, max_frame=2**28) as roomy:
        roomy.decoder = type(roomy.decoder)(2**28)
        roomy.decoder.feed(encode_json({}))
        result = roomy.call(1, "many", {"count": 1100, "size": 65536})["result"]
    assert [bytes(item[:2]) for item in result] == [bytes([index % 256]) * 2 for index in range(1100)]


def test_bytes_that_arrive_one_by_one_make_a_request(worker: RawWorker) -> None:
    """Frames have nothing to do with reads."""
    [data] = pieces(400, encode({"command": "echo", "args": {"value": "slow"}}, MAX_FRAME))
    for position in range(len(data)):
        worker.socket.sendall(data[position : position + 1])
    assert worker.receive()["result"] == "slow"


def test_the_begun_word_is_stored_before_the_function_runs(worker: RawWorker, meeting: str) -> None:
    """The parent can tell from the page that the command was entered, while it runs."""
    assert worker.call(500, "no_such_command")["success"] is False
    assert worker.begun() != 500
    worker.send(501, "meet", {"path": meeting})
    inside(meeting)
    assert worker.begun() == 501
    release(meeting)
    assert worker.receive()["result"] == "go on"


def test_a_session_lives_in_its_worker_until_it_is_ended(worker: RawWorker) -> None:
    """State stays between requests, and the reply tells that the session was used."""
    first = worker.call(601, "remember", {"value": 1}, session="s")
    assert (first["result"], first["session_used"]) == (None, True)
    assert worker.call(602, "remember", {"value": 2}, session="s")["result"] == 1
    assert "session_used" not in worker.call(603, "echo", {"value": 1}, session="s")
    assert worker.call(604, "cleanup_session", {"session_id": "s"})["result"]["status"] == "cleaned"
    assert worker.call(605, "remember", {"value": 3}, session="s")["result"] is None


def test_nothing_a_command_prints_touches_the_protocol() -> None:
    """Megabytes from print, from C and to stderr, even such as look like frames, come out of the output pipe."""
    with ready_worker(APP) as worker:
        drained: list[bytes] = []
        reader = threading.Thread(target=lambda: drained.append(worker.output.read()))
        reader.start()
        assert worker.call(1, "flood", {"size": 300_000})["result"] == 300_000
        assert worker.call(2, "echo", {"value": 1})["result"] == 1
        worker.socket.close()
        reader.join(PATIENCE)
        assert len(drained[0]) > 300_000 * 8


def test_a_printed_line_is_there_when_the_reply_is() -> None:
    """Output is line-buffered, and no character makes printing fail."""
    with ready_worker(APP, env={"PYTHONIOENCODING": "ascii", "PYTHONUNBUFFERED": ""}) as worker:
        assert worker.call(1, "say", {"text": "a \N{SNOWMAN}"})["success"]
        # Read without waiting: a line that is not there yet stays away as long as the worker lives.
        os.set_blocking(worker.output.fileno(), False)
        printed = os.read(worker.output.fileno(), 65536)
        assert printed.endswith(b"\na \\u2603\n")


def test_the_worker_keeps_its_descriptors_and_its_environment_to_itself(worker: RawWorker) -> None:
    """A program started by a command inherits neither the socket nor its number."""
    # Beside the three standard ones, the descriptor of the folder that is being listed.
    assert worker.call(700, "spawned")["result"] == ["0", "1", "2", "3"]


def test_the_worker_ignores_sigint_and_offers_itself_when_memory_runs_out(worker: RawWorker) -> None:
    """Ctrl-C is the application's to handle, and the kernel's victim is the part that can be replaced."""
    ignored, score = worker.call(800, "own_signals")["result"]
    assert ignored
    assert score >= 300
    worker.process.send_signal(signal.SIGINT)
    assert worker.call(801, "ping")["success"]


def test_a_forked_child_does_not_hide_the_workers_death() -> None:
    """The stream ends with the worker although a child of it lives on."""
    with ready_worker(APP) as worker:
        worker.call(1, "leave_child")
        worker.process.kill()
        assert worker.at_end_of_stream()
        os.killpg(worker.process.pid, signal.SIGKILL)


def test_end_of_stream_ends_an_idle_worker() -> None:
    """A parent that hangs up needs no word of goodbye."""
    with ready_worker() as worker:
        worker.socket.close()
        assert worker.exit_code() == 0


def test_end_of_stream_in_the_middle_of_a_frame_ends_the_worker() -> None:
    """Half a request is none."""
    with ready_worker() as worker:
        worker.socket.sendall(encode_header(1000) + b"half")
        worker.socket.close()
        assert worker.exit_code() == 0


def test_a_parent_that_hangs_up_during_a_command_ends_the_worker_after_it(meeting: str) -> None:
    """The reply has nowhere to go, which is no error of the worker's."""
    with ready_worker(APP) as worker:
        worker.send(1, "meet", {"path": meeting})
        inside(meeting)
        worker.socket.close()
        release(meeting)
        assert worker.exit_code() == 0


def test_shutdown_is_answered_and_then_obeyed() -> None:
    """Its leave follows, as after SIGTERM: a planned end, whoever asked. Requests behind it are not taken."""
    with ready_worker() as worker:
        worker.send_together("shutdown", "ping")
        assert worker.receive()["result"]["status"] == "shutting_down"
        assert worker.receive() == {"type": "leaving"}
        assert worker.at_end_of_stream()
        assert worker.exit_code() == 0
        assert worker.begun() == 1


def test_shutdown_and_sigterm_together_end_the_worker_once() -> None:
    """There is one leave, whichever comes first."""
    with ready_worker() as worker:
        worker.send(1, "shutdown")
        worker.process.terminate()
        messages = [worker.receive()]
        if "id" in messages[0]:
            messages.append(worker.receive())
        assert messages[-1] == {"type": "leaving"}
        assert worker.at_end_of_stream()
        assert worker.exit_code() == 0


def test_a_parent_that_hangs_up_behind_its_shutdown_is_obeyed_all_the_same() -> None:
    """Neither reply nor leave has anywhere to go."""
    with ready_worker() as worker:
        worker.send(1, "shutdown")
        worker.socket.close()
        assert worker.exit_code() == 0


def test_sigterm_ends_an_idle_worker_at_once() -> None:
    """It exits 0: a planned end."""
    with ready_worker() as worker:
        worker.process.terminate()
        assert worker.exit_code() == 0


@pytest.mark.slow
def test_sigterm_is_never_overlooked() -> None:
    """Whenever it comes, between two requests or on the way into the wait, the worker ends without a further word."""
    for number in range(20):
        with ready_worker() as worker:
            for request in range(1, 4 + number):
                worker.call(request, "echo", {"value": 1})
            worker.process.terminate()
            assert worker.exit_code() == 0


def test_sigterm_lets_a_running_command_finish(meeting: str) -> None:
    """Its reply is sent, then its leave; a request behind it is not begun; a second SIGTERM is nothing."""
    with ready_worker(APP) as worker:
        worker.send(1, "meet", {"path": meeting})
        inside(meeting)
        worker.process.terminate()
        worker.process.terminate()
        worker.send(2, "ping")
        release(meeting)
        assert worker.receive()["result"] == "go on"
        assert worker.receive() == {"type": "leaving"}
        assert worker.at_end_of_stream()
        assert worker.exit_code() == 0
        assert worker.begun() == 1


def test_sigterm_in_the_middle_of_a_long_reply_cuts_nothing_off() -> None:
    """A reply begun is a reply sent, however often its writing is interrupted."""
    with ready_worker(APP) as worker:
        worker.send(1, "large", {"size": 8 * 2**20})
        worker.replies += worker.decoder.feed(worker.socket.recv(4))
        worker.process.terminate()
        assert len(worker.receive()["result"]) == 8 * 2**20
        assert worker.exit_code() == 0


def test_sys_exit_in_a_command_ends_the_worker_with_its_code() -> None:
    """There is no reply: the parent sees the exit."""
    with ready_worker(APP) as worker:
        worker.send(1, "leave", {"code": 5})
        assert worker.at_end_of_stream()
        assert worker.exit_code() == 5
        assert worker.begun() == 1


def test_a_fatal_signal_leaves_its_stack_in_the_output() -> None:
    """Whoever reads the output tail learns where the worker died."""
    with ready_worker(APP) as worker:
        worker.send(1, "abort")
        assert worker.exit_code() == -signal.SIGABRT
        output = worker.output.read()
        assert b"Fatal Python error: Aborted" in output
        assert b"in abort" in output


def test_a_worker_whose_application_is_gone_before_it_has_armed_its_lifeline_ends() -> None:
    """No signal comes of an end that was there already, so it looks; its socket, held by a stranger, says nothing."""
    ours, theirs = socket.socketpair()
    lifeline, application = os.pipe()
    os.close(application)
    numbers = {"TRIO_POOL_FD": theirs.fileno(), "TRIO_POOL_LIFELINE_FD": lifeline}
    with ours, theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", BOOTSTRAP],
            pass_fds=tuple(numbers.values()),
            env={**os.environ, **{name: str(fd) for name, fd in numbers.items()}},
            start_new_session=True,
        )
        os.close(lifeline)
        try:
            assert process.wait(PATIENCE) == 1
        finally:
            process.kill()
            process.wait()


def test_the_lifeline_takes_the_worker_and_its_group() -> None:
    """When the last write end of the pipe is closed, nothing of the worker is left."""
    with ready_worker(APP) as worker:
        child = worker.call(1, "leave_child")["result"]
        child_fd = os.pidfd_open(child)
        os.close(worker.lifeline)
        worker.lifeline = os.open(os.devnull, os.O_RDONLY)
        try:
            assert worker.exit_code() == -signal.SIGKILL
            ended = select.poll()
            ended.register(child_fd, select.POLLIN)
            assert ended.poll(PATIENCE * 1000)
        finally:
            os.close(child_fd)


GARBAGE = {
    "an oversized header": (2**32 - 1).to_bytes(4, "big"),
    "an oversized frame": encode_header(MAX_FRAME + 1),
    "an empty frame": encode_header(0),
    "undecodable msgpack": encode_header(3) + b"\xc1\xc1\xc1",
    "no map": encode_header(1) + b"\x05",
    "a request without an id": encode_header(len(body := msgpack.packb({"command": "ping"}))) + body,
    "a hello in place of a request": encode_json({"type": "hello"}),
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
def test_garbage_ends_the_worker_with_a_word_in_its_output(data: bytes) -> None:
    """What follows garbage cannot be trusted; the requests before it are answered."""
    with ready_worker() as worker:
        [good] = pieces(1, encode({"command": "ping", "args": {}}, MAX_FRAME))
        worker.socket.sendall(b"".join((good, data)))
        assert worker.receive()["success"]
        assert worker.at_end_of_stream()
        assert worker.exit_code() == os.EX_PROTOCOL
        assert b"trio_pool worker: " in worker.output.read()


def test_a_command_that_asks_is_not_told_of_a_broken_connection(tmp_path: Path) -> None:
    """A parent that hangs up with replies unread resets it: that is the worker's affair, not the command's."""
    path = tmp_path / "ask"
    with ready_worker(APP) as worker:
        worker.send(1, "ping")
        worker.send(2, "ask", {"path": str(path)}, session="s")
        while not Path(f"{path}-begun").exists():
            pass
        worker.socket.close()
        path.touch()
        while not Path(f"{path}-outcome").exists():
            pass
        assert Path(f"{path}-outcome").read_text() == "went on"
        assert worker.exit_code() == 0
