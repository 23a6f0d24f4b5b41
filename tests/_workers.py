"""Small worker processes for the tests of the process layer, and ways to see what becomes of them."""

from __future__ import annotations

import os
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from trio_pool._process._launcher import WorkerSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator

    from trio_pool._process._launcher import Launcher, WorkerHandle

PATIENCE = 10.0
"""Seconds after which a test that waits for a process has failed: far beyond what even a loaded machine needs."""

PAUSE = 0.005
"""Seconds between two looks into /proc, which nobody tells of a change."""


def python(code: str) -> tuple[str, ...]:
    """Return the command that runs ``code`` in a bare interpreter, which starts in ten milliseconds."""
    return (sys.executable, "-I", "-S", "-c", code)


def spec(*argv: str, env: dict[str, str] | None = None, cwd: str | None = None) -> WorkerSpec:
    """Return the description of a worker that runs ``argv``, in this process's environment unless another is given."""
    return WorkerSpec(worker_id="worker", incarnation=1, argv=argv, env=os.environ if env is None else env, cwd=cwd)


@asynccontextmanager
async def opened(launcher: Launcher, spec: WorkerSpec) -> AsyncIterator[WorkerHandle]:
    """Start a worker for the length of the block, which may take `PATIENCE` seconds, and reap it at the end."""
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            handle = await launcher.open(spec, nursery)
            try:
                yield handle
            finally:
                with trio.move_on_after(PATIENCE, shield=True):
                    await handle.reap()


async def read_line(handle: WorkerHandle) -> str:
    """Return the next line the worker prints, in a world where it prints one line at a time and waits for us."""
    assert handle.output is not None
    line = b""
    while not line.endswith(b"\n"):
        piece = await handle.output.receive_some()
        assert piece, f"the worker ended while a line was awaited, after {line!r}"
        line += piece
    return line.decode().rstrip("\n")


async def read_all(handle: WorkerHandle) -> str:
    """Return all that is printed until the last process that could print is gone."""
    assert handle.output is not None
    return b"".join([piece async for piece in handle.output]).decode()


def state(pid: int) -> str:
    """Return the state letter of a process, X when there is none; Z is as good as gone: it runs and holds nothing."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def living(pids: Collection[int]) -> set[int]:
    """Return those of the processes that are neither gone nor zombies."""
    return {pid for pid in pids if state(pid) not in "XZ"}


def looks(seconds: float) -> Iterator[None]:
    """Yield at once and then every `PAUSE` seconds for ``seconds``; from tests that wait for something in /proc."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(PAUSE)
    yield
