"""The two threads of a worker with async commands when one of them fails the other."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from _wire import PATIENCE, ready_worker

from trio_pool._core._messages import encode, pieces

if TYPE_CHECKING:
    from pathlib import Path

APP = "_side_thread_app:bridge"


def frame(request_id: int, **fields: object) -> bytes:
    """Return the bytes of one message."""
    return b"".join(pieces(request_id, encode(fields, 2**20)))


def until(path: str) -> None:
    """Wait for a command's trace."""
    while not os.path.exists(path):
        pass


def touch(path: str) -> None:
    """Make a file."""
    open(path, "x", encoding="ascii").close()


def test_a_process_that_an_async_command_forks_in_c_does_not_answer() -> None:
    """The C library's own fork runs no hook that would take the socket from the child."""
    with ready_worker(APP) as worker:
        assert worker.call(1, "fork_in_c")["result"] == 1
        assert worker.call(2, "echo", {"value": 2})["result"] == 2


def test_a_side_thread_that_fails_ends_the_worker_whatever_the_main_thread_does(tmp_path: Path) -> None:
    """Nobody could send the sync command's reply any more, and nobody reads: the parent is to see the end at once."""
    path = str(tmp_path / "never")
    with ready_worker(APP) as worker:
        worker.send(1, "hold", {"path": path})
        while worker.begun() != 1:
            pass
        worker.send(2, "undermine")
        assert worker.process.wait(PATIENCE) == 1
        assert worker.at_end_of_stream()
        assert b"in a system task" in worker.output.read()


def test_a_side_thread_that_fails_ends_a_worker_whose_main_thread_is_idle() -> None:
    """With the traceback in its output."""
    with ready_worker(APP) as worker:
        worker.send(1, "undermine")
        assert worker.process.wait(PATIENCE) == 1
        assert b"in a system task" in worker.output.read()


@pytest.mark.parametrize("main_thread", ["idle", "busy"])
def test_sys_exit_in_an_async_command_does_not_wait_for_one_that_cannot_be_cancelled(
    main_thread: str, tmp_path: Path
) -> None:
    """A worker that serves nobody any more is not to stay."""
    path = str(tmp_path / "insist")
    with ready_worker(APP, hello={"concurrency": 2}) as worker:
        worker.send(1, "insist", {"path": path})
        if main_thread == "busy":
            worker.send(2, "hold", {"path": str(tmp_path / "never")})
            while worker.begun() != 2:
                pass
        until(f"{path}-begun")
        worker.send(3, "leave", {"code": 7})
        assert worker.process.wait(PATIENCE) == 7
        assert worker.at_end_of_stream()


def test_what_dies_with_a_worker_that_exits_is_not_answered_as_if_it_had_failed(tmp_path: Path) -> None:
    """A command torn down for another's ``sys.exit`` has no outcome of its own, whatever its tasks raise then."""
    path = str(tmp_path / "gather")
    with ready_worker(APP, hello={"concurrency": 2}) as worker:
        worker.send(1, "gather", {"path": path})
        until(f"{path}-begun")
        worker.send(2, "leave", {"code": 7})
        assert worker.process.wait(PATIENCE) == 7
        assert worker.at_end_of_stream()


def test_a_cancel_read_while_its_request_is_being_sorted_takes_that_back(tmp_path: Path) -> None:
    """The main thread reads it, for a command that asks; the side thread has the request in its hands just then."""
    asking, gate, never = (str(tmp_path / name) for name in ("asking", "gate", "never"))
    with ready_worker(APP) as worker:
        worker.send(1, "ask_once", {"path": asking}, session="s")
        until(f"{asking}-begun")
        worker.socket.sendall(
            frame(2, command="write", args={"path": never})
            + frame(3, command="pass_gate", args={"gated": {"path": gate}})
        )
        until(f"{gate}-begun")
        worker.socket.sendall(frame(2, type="cancel"))
        touch(asking)
        until(f"{asking}-asked")
        touch(gate)
        replies = {reply["id"]: reply for reply in (worker.receive(), worker.receive())}
        touch(f"{asking}-end")
        assert replies[2]["error"]["kind"] == "cancelled"
        assert replies[2]["error"]["begun"] is False
        assert replies[3]["result"] == gate
        assert worker.receive()["id"] == 1
    assert not os.path.exists(never)


def test_a_command_that_asks_leaves_the_other_thread_asleep_while_there_is_nothing_new() -> None:
    """To ask is to look at the socket, in a worker of two threads too."""
    with ready_worker(APP) as worker:
        worker.call(1, "ask_often", {"times": 1}, session="s")
        assert worker.call(2, "ask_often", {"times": 20_000}, session="s")["result"] < 100
