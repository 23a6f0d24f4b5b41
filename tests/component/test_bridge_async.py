"""The worker of an application with async commands: two threads, one socket, and what is left of a fork."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from _wire import PATIENCE, ready_worker

from trio_pool._core._messages import encode, pieces

if TYPE_CHECKING:
    from pathlib import Path

APP = "_contract_cancel_app:together"
IMPORTED = {"function": "sys:modules.__contains__", "args": ["trio"]}


def frame(request_id: int, **fields: object) -> bytes:
    """Return the bytes of one message."""
    return b"".join(pieces(request_id, encode(fields, 2**20)))


def test_only_an_application_with_async_commands_has_trio_and_a_second_thread() -> None:
    """Every other worker is spared both."""
    threads = {"function": "threading:active_count", "args": []}
    with ready_worker(APP) as worker:
        assert worker.call(1, "__call__", IMPORTED)["result"]
        assert worker.call(2, "__call__", threads)["result"] == 2
    with ready_worker() as worker:
        assert not worker.call(1, "__call__", IMPORTED)["result"]
        assert worker.call(2, "__call__", threads)["result"] == 1


def test_sync_commands_run_in_the_main_thread() -> None:
    """Libraries that insist on it work, whatever else the application has."""
    with ready_worker(APP) as worker:
        number = worker.call(1, "__call__", {"function": "threading:get_native_id", "args": []})["result"]
        assert number == worker.process.pid


def test_the_begun_mark_only_grows(tmp_path: Path) -> None:
    """A sync command that ends, or begins, behind an async one does not take back that this has begun."""
    gate, path = str(tmp_path / "gate"), str(tmp_path / "insist")
    with ready_worker(APP) as worker:
        worker.send(1, "hold", {"path": gate})
        worker.send(2, "write", {"path": str(tmp_path / "second")})
        worker.send(3, "insist", {"path": path})
        worker.send(4, "nap", {"seconds": 0.0})  # no room: it waits for the one before it
        while not os.path.exists(f"{path}-begun"):
            pass
        assert worker.begun() == 3
        open(gate, "x", encoding="ascii").close()
        assert [worker.receive()["id"], worker.receive()["id"]] == [1, 2]
        assert worker.begun() == 3
        open(path, "x", encoding="ascii").close()
        assert [worker.receive()["id"], worker.receive()["id"]] == [3, 4]
        assert worker.begun() == 4


@pytest.mark.parametrize("how", ["returning", "waiting"])
def test_a_process_forked_by_an_async_command_ends_with_its_next_step(how: str) -> None:
    """It must neither answer nor go on with the worker's own loop."""
    with ready_worker(APP) as worker:
        assert worker.call(1, "fork", {"how": how})["result"] == 1
        assert worker.call(2, "nap", {"seconds": 0.0, "value": 5})["result"] == 5
        assert worker.call(3, "echo", {"value": 6})["result"] == 6


def test_a_parent_that_hangs_up_ends_the_worker_whatever_its_async_commands_wait_for(tmp_path: Path) -> None:
    """Nobody is left to answer to: they are cancelled, and tidy up."""
    path = str(tmp_path / "linger")
    with ready_worker(APP) as worker:
        worker.send(1, "linger", {"path": path})
        while not os.path.exists(f"{path}-begun"):
            pass
        worker.socket.close()
        assert worker.exit_code() == 0
        assert os.path.exists(path)


def test_a_frozen_worker_finds_the_cancel_behind_its_request(tmp_path: Path) -> None:
    """What came while it could not read is decoded before any of it is run."""
    for app in (APP, "_contract_cancel_app:plain"):
        path = str(tmp_path / app.rpartition(":")[2])
        with ready_worker(app) as worker:
            os.kill(worker.process.pid, signal.SIGSTOP)
            os.waitid(os.P_PID, worker.process.pid, os.WSTOPPED | os.WNOWAIT)
            worker.socket.sendall(frame(1, command="write", args={"path": path}))
            worker.socket.sendall(frame(1, type="cancel"))
            os.kill(worker.process.pid, signal.SIGCONT)
            error = worker.receive()["error"]
            assert (error["kind"], error["begun"]) == ("cancelled", False)
            assert worker.begun() == 0
        assert not os.path.exists(path)


def test_more_requests_than_may_wait_are_refused_and_the_others_answered(tmp_path: Path) -> None:
    """A flood costs its sender answers, and this worker no memory."""
    gate = str(tmp_path / "gate")
    with ready_worker(APP) as worker:
        worker.send(1, "hold", {"path": gate})
        for request_id in range(2, 700):
            worker.send(request_id, "echo", {"value": request_id})
        refused = [worker.receive() for _ in range(198)]  # all it has no room for, before there is room again
        assert {reply["error"]["kind"] for reply in refused} == {"busy"}
        open(gate, "x", encoding="ascii").close()
        assert all(worker.receive()["success"] for _ in range(501))


@pytest.mark.slow
def test_no_clean_up_is_refused_however_many_wait(tmp_path: Path) -> None:
    """Each is for state that would be left behind; while too many wait nothing more is read, and nobody spins."""
    gate = str(tmp_path / "gate")
    count = 1200
    with ready_worker(APP, hello={"concurrency": 2}) as worker:
        for n in range(count):
            assert worker.call(1 + n, "remember", {"value": n}, session=f"s{n}")["success"]
        worker.send(2000, "hold", {"path": gate})
        ends = (frame(3000 + n, command="cleanup_session", args={"session_id": f"s{n}"}) for n in range(count))
        worker.socket.sendall(b"".join(ends))
        worker.send(5000, "remember", {"value": -1}, session="other")
        other = max(int(name) for name in os.listdir(f"/proc/{worker.process.pid}/task"))
        assert any(rests(worker.process.pid, other) for _ in range(100))
        open(gate, "x", encoding="ascii").close()
        replies = {reply["id"]: reply for reply in (worker.receive() for _ in range(count + 2))}
        assert all(replies[3000 + n]["result"]["status"] == "cleaned" for n in range(count))
        assert replies[5000]["result"] == [-1]
        assert worker.call(6000, "get_stats")["result"]["sessions_count"] == 1


def rests(pid: int, thread: int) -> bool:
    """Tell whether a thread has not run at all while the main thread has gone to sleep twenty times more."""
    before = steps(pid, thread)
    until = steps(pid, pid)[1] + 20
    while steps(pid, pid)[1] < until:
        pass
    return steps(pid, thread) == before


def steps(pid: int, thread: int) -> tuple[int, int]:
    """Return for how many nanoseconds a thread has run, and how often it was given the processor."""
    with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
        ran, _, times = map(int, file.read().split())
    return ran, times


def test_a_parent_that_takes_no_replies_holds_up_nothing_but_those(tmp_path: Path) -> None:
    """A reply larger than the socket's buffer is waited for in the background: cancels are found all the same."""
    path = str(tmp_path / "insist")
    with ready_worker(APP, hello={"concurrency": 2}) as worker:
        worker.send(1, "insist", {"path": path})
        worker.send(2, "produce", {"size": 8_000_000})
        open(path, "x", encoding="ascii").close()
        replies = {reply["id"]: reply for reply in (worker.receive(), worker.receive())}
        assert len(replies[2]["result"]) == 8_000_000
        assert replies[1]["result"] == "done all the same"


def test_garbage_ends_a_worker_of_two_threads_too() -> None:
    """With a word in its output, and with the exit code for it."""
    with ready_worker(APP) as worker:
        worker.socket.sendall(b"\xff" * 16)
        assert worker.exit_code() == os.EX_PROTOCOL
        assert b"max_frame" in worker.output.read()


def test_sys_exit_in_a_sync_command_does_not_wait_for_the_async_ones(tmp_path: Path) -> None:
    """The worker ends with the code it was given, and without announcing a plan."""
    path = str(tmp_path / "insist")
    with ready_worker(APP) as worker:
        worker.send(1, "insist", {"path": path})
        while not os.path.exists(f"{path}-begun"):
            pass
        worker.send(2, "__call__", {"function": "sys:exit", "args": [7]})
        assert worker.process.wait(PATIENCE) == 7
        assert worker.at_end_of_stream()


def test_sys_exit_in_an_async_command_does_not_wait_for_the_sync_one(tmp_path: Path) -> None:
    """Nobody could send its reply any more."""
    with ready_worker(APP) as worker:
        worker.send(1, "hold", {"path": str(tmp_path / "never")})
        worker.send(2, "leave", {"code": 7})
        assert worker.process.wait(PATIENCE) == 7
        assert worker.at_end_of_stream()


def test_sigterm_is_never_overlooked_by_two_threads() -> None:
    """However it falls, an idle worker of two threads announces its end and leaves with 0."""
    for _ in range(5):
        with ready_worker(APP) as worker:
            worker.process.terminate()
            assert worker.receive() == {"type": "leaving"}
            assert worker.exit_code() == 0


@pytest.mark.parametrize("app", ["plain", "together"])
def test_a_request_read_before_another_ran_is_still_taken_back(app: str, tmp_path: Path) -> None:
    """Its cancel came while that ran, and is looked for before it is begun."""
    gate, never = str(tmp_path / "gate"), str(tmp_path / "never")
    with ready_worker(f"_contract_cancel_app:{app}") as worker:
        worker.socket.sendall(
            frame(1, command="hold", args={"path": gate}) + frame(2, command="write", args={"path": never})
        )
        while worker.begun() != 1:
            pass
        worker.socket.sendall(frame(2, type="cancel"))
        open(gate, "x", encoding="ascii").close()
        replies = {reply["id"]: reply for reply in (worker.receive(), worker.receive())}
        assert replies[1]["result"] == "released"
        assert (replies[2]["error"]["kind"], replies[2]["error"]["begun"]) == ("cancelled", False)
    assert not os.path.exists(never)


@pytest.mark.parametrize("app", ["plain", "together"])
def test_an_application_s_own_handler_of_the_signal_is_replaced(app: str, tmp_path: Path) -> None:
    """It was installed at import, and would leave the worker deaf to interrupts."""
    path = str(tmp_path / "occupy")
    with ready_worker(f"_signal_taking_app:{app}") as worker:
        worker.send(1, "occupy", {"path": path})
        while not os.path.exists(f"{path}-begun"):
            pass
        worker.socket.sendall(frame(1, type="cancel"))
        worker.process.send_signal(signal.SIGUSR1)
        assert worker.receive()["error"]["kind"] == "cancelled"
        assert worker.receive() == {"type": "leaving"}
        assert worker.exit_code() == 0


def test_what_comes_to_a_worker_that_is_leaving_is_refused_at_once(tmp_path: Path) -> None:
    """It finishes what it has begun, however long that takes, and says meanwhile that it begins nothing more."""
    gate = str(tmp_path / "gate")
    with ready_worker("_contract_cancel_app:together") as worker:
        worker.send(1, "hold", {"path": gate})
        while worker.begun() != 1:
            pass
        worker.process.terminate()
        worker.send(2, "echo", {"value": 1})
        assert worker.receive()["error"]["kind"] == "leaving"
        assert worker.begun() == 1
        open(gate, "x", encoding="ascii").close()
        assert worker.receive()["result"] == "released"
        assert worker.receive() == {"type": "leaving"}
        assert worker.exit_code() == 0
