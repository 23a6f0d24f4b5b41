"""One absolute deadline for everything: what is sent of it, and what a worker's refusal becomes."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
import trio
from _pools import obeys_the_law
from _workers import PATIENCE

import trio_pool

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

# A worker that keeps each request as it came, in a file of the request's number, and then answers it in one way.
RECORDER = """
import json, os, sys
fd, path, how = int(os.environ["TRIO_POOL_FD"]), sys.argv[1], sys.argv[2]
def read():
    size = int.from_bytes(os.read(fd, 4), "big")
    body = b""
    while len(body) < size:
        part = os.read(fd, size - len(body))
        if not part:
            os._exit(0)
        body += part
    return body
def say(body):
    os.write(fd, len(body).to_bytes(4, "big") + body)
def text(value):
    return bytes([0xA0 + len(value)]) + value.encode()
read()
say(json.dumps({"type": "ready", "protocol": 1, "codec": "msgpack", "begun": None, "commands": []}).encode())
while True:
    body = read()
    number = 1
    while os.path.exists(f"{path}/{number}"):
        number += 1
    with open(f"{path}/part", "wb") as file:
        file.write(body)
    os.rename(f"{path}/part", f"{path}/{number}")
    if how == "die" and number == 1:
        os._exit(1)
    wire_id = body[1:13]  # the key and the eight bytes of the number
    if how == "expired":
        words = {"kind": "expired", "type": "x", "message": "too late", "traceback": ""}
        error = bytes([0x80 + len(words)]) + b"".join(text(key) + text(value) for key, value in words.items())
        say(b"\\x83" + wire_id + text("success") + b"\\xc2" + text("error") + error)
    else:
        say(b"\\x83" + wire_id + text("success") + b"\\xc3" + text("result") + b"\\xc0")
"""


def recorder(path: Path, how: str = "ok") -> list[str]:
    """Return the argv of such a worker."""
    return [sys.executable, "-c", RECORDER, str(path), how]


def requests(path: Path) -> list[dict[str, Any]]:
    """Return what its workers were sent, shutdown left out."""
    files = sorted((file for file in path.iterdir() if file.name.isdigit()), key=lambda file: int(file.name))
    found = [msgpack.unpackb(file.read_bytes()) for file in files]
    return [request for request in found if request["command"] != "shutdown"]


async def test_a_request_carries_its_deadline(tmp_path: Path) -> None:
    """Absolute, on Trio's clock, counted from the call; a request without a limit carries none."""
    async with trio_pool.open_pool(recorder(tmp_path), size=1, timeout=7.0) as pool:
        start = trio.current_time()
        await pool.execute_anonymous("own", timeout=3.0)
        await pool.execute_in_session("s", "default")
        await pool.execute_anonymous("none", timeout=math.inf)
        await pool.run_sync(math.sqrt, 4.0)
        took = trio.current_time() - start
    own, default, none, function = requests(tmp_path)
    assert 3.0 <= own["deadline"] - start <= 3.0 + took
    assert 7.0 <= default["deadline"] - start <= 7.0 + took
    assert "deadline" not in none
    assert "deadline" not in function


async def test_it_is_no_later_than_that_of_the_callers_scopes(tmp_path: Path) -> None:
    """The worker need not begin what the caller will not wait for; a later scope changes nothing."""
    async with trio_pool.open_pool(recorder(tmp_path), size=1) as pool:
        with trio.fail_after(PATIENCE) as scope:
            await pool.execute_anonymous("sooner", timeout=math.inf)
            await pool.run_sync(math.sqrt, 4.0)
            await pool.execute_anonymous("later", timeout=1.0)
    sooner, function, later = requests(tmp_path)
    assert sooner["deadline"] == function["deadline"] == scope.deadline
    assert later["deadline"] < scope.deadline


async def test_a_retry_has_the_deadline_of_the_first_try(tmp_path: Path) -> None:
    """It is packed once, and stays right however often the request is sent."""
    async with trio_pool.open_pool(recorder(tmp_path, "die"), size=1) as pool:
        await pool.execute_anonymous("twice", timeout=PATIENCE, idempotent=True)
    first, second = requests(tmp_path)
    assert first == second
    assert "deadline" in first


async def test_a_worker_that_finds_the_deadline_over_has_not_run_the_command(tmp_path: Path) -> None:
    """Its refusal is a CommandTimeout, for the request was written, and certain to have done nothing."""
    async with trio_pool.open_pool(recorder(tmp_path, "expired"), size=1) as pool:
        with pytest.raises(trio_pool.CommandTimeout) as caught:
            await pool.execute_in_session("s", "late", timeout=PATIENCE)
        error = caught.value
        assert (error.outcome, error.worker_id, error.session_id) == ("not_executed", "pool-0", "s")
        assert (error.command, error.request_id) == ("late", 1)
        assert pool.get_pool_status().metrics.timed_out == 1
        assert pool.get_pool_status().metrics.pool_timeouts == 0
        assert obeys_the_law(pool)


async def test_refused_by_the_callers_own_deadline_it_is_plain_cancellation(tmp_path: Path) -> None:
    """A refusal that comes as the caller's scope expires is no error of the pool's."""
    scope = trio.CancelScope()

    def expire(event: trio_pool.PoolEvent) -> None:
        if isinstance(event, trio_pool.RequestFinished):
            scope.deadline = -math.inf

    async with trio_pool.open_pool(recorder(tmp_path, "expired"), size=1, on_event=expire) as pool:
        with scope:
            await pool.execute_anonymous("late", timeout=PATIENCE)
        assert scope.cancelled_caught
        assert obeys_the_law(pool)


@pytest.mark.parametrize("seconds", [-1, math.nan, "1", True])
async def test_a_time_limit_is_a_number_of_seconds(seconds: Any) -> None:
    """Anything else is a ValueError that names the argument, before anything is submitted."""
    async with trio_pool.open_pool(size=1) as pool:
        with pytest.raises(ValueError, match=r"^timeout must be"):
            await pool.execute_anonymous("ping", timeout=seconds)
        with pytest.raises(ValueError, match=r"^checkout_timeout must be"):
            await pool.execute_anonymous("ping", checkout_timeout=seconds)
        assert pool.get_pool_status().metrics.submitted == 0
