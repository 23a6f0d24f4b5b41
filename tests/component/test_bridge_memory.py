"""Workers that run out of memory: it is their command that fails, and they who say so."""

from __future__ import annotations

import operator
import resource
from pathlib import Path

import pytest

from trio_pool import open_pool
from trio_pool.errors import RemoteError

pytestmark = pytest.mark.slow

LARGE = 256 * 2**20


def mapped(pid: int) -> int:
    """Return how many bytes a process has mapped."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmSize")]
    return int(line.split()[1]) * 1024


# Not less than 1 MiB, which is what Python takes from the system when it needs room for objects of any size: with less,
# it is luck whether there is any for the error itself.
@pytest.mark.parametrize("headroom", [2**20, 2**20 + 2**18, 2**21])
async def test_a_worker_with_hardly_any_memory_left_still_answers(headroom: int) -> None:
    """A command that wants more than there is fails with its MemoryError, and small ones are served as ever.

    The packer's own buffer is of 256 KiB: where that was not to be had, every reply cost the worker its life.
    """
    async with open_pool(size=1) as pool:
        pid = pool.get_pool_status().workers[0].pid
        assert pid is not None
        resource.prlimit(pid, resource.RLIMIT_AS, (mapped(pid) + headroom, resource.RLIM_INFINITY))
        for _ in range(3):
            with pytest.raises(RemoteError, match="MemoryError"):
                await pool.run_sync(operator.mul, b"x", LARGE)
            assert await pool.execute_anonymous("echo", {"value": "small"}) == "small"
        assert pool.get_pool_status().workers[0].pid == pid
