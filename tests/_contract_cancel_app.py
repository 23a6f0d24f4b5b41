"""The application of the workers whose cancelling is checked: with async commands, or without any."""

from __future__ import annotations

import os
import time

import trio

from trio_pool.bridge import Bridge, Interrupted, Session

plain = Bridge()
together = Bridge()


@plain.command
def hold(path: str) -> str:
    """Occupy the worker until there is a file, and leave a trace at once."""
    write(f"{path}-begun")
    while not os.path.exists(path):
        time.sleep(0.002)
    return "released"


@plain.command
def write(path: str) -> str:
    """Leave a trace."""
    with open(path, "x", encoding="ascii"):
        return "written"


@plain.command(interruptible=True)
def occupy(path: str) -> None:
    """Occupy the worker until it is interrupted, and leave a trace then."""
    try:
        # In here, for the interrupt may come as soon as there is this trace.
        write(f"{path}-begun")
        while True:
            time.sleep(0.002)
    finally:
        write(path)


@plain.command
def ask(session: Session, path: str) -> None:
    """Occupy the worker until nobody waits any more, and leave a trace then."""
    write(f"{path}-begun")
    try:
        while True:
            session.check()
            time.sleep(0.002)
    finally:
        write(path)


@plain.command
def ask_in_group(session: Session, path: str) -> None:
    """Do the same in a nursery, which makes a group of what comes out of it."""
    try:
        ask(session, path)
    except Interrupted as exc:
        raise BaseExceptionGroup("a nursery's", [BaseExceptionGroup("another's", [exc]), ValueError()]) from None


@plain.command
def raise_group() -> None:
    """Raise an interrupt of its own making."""
    raise BaseExceptionGroup("a nursery's", [Interrupted("by itself")])


together.include(plain)


@together.command
async def nap(seconds: float, value: int = 0) -> int:
    """Take so long."""
    await trio.sleep(seconds)
    return value


@together.command
async def linger(path: str) -> None:
    """Wait until it is cancelled, and leave a trace then."""
    write(f"{path}-begun")
    try:
        await trio.sleep_forever()
    finally:
        write(path)


@together.command(concurrent=True)
async def insist(path: str) -> str:
    """Wait until there is a file, whoever cancels it."""
    write(f"{path}-begun")
    with trio.CancelScope(shield=True):
        while not os.path.exists(path):  # noqa: ASYNC110, ASYNC240  # of a file nobody tells
            await trio.sleep(0.002)
    return "done all the same"


@together.command
async def stumble(text: str) -> None:
    """Raise."""
    await trio.lowlevel.checkpoint()
    raise LookupError(text)


@together.command
async def remember(session: Session, value: int) -> list[int]:
    """Keep what this session was told."""
    kept: list[int] = session.state.setdefault("kept", [])
    kept.append(value)
    await trio.lowlevel.checkpoint()
    return list(kept)


@together.command(concurrent=True)
async def remember_late(session: Session, path: str, value: int) -> list[int]:
    """Keep what this session was told, once there is a file."""
    write(f"{path}-begun")
    while not os.path.exists(path):  # noqa: ASYNC110, ASYNC240  # of a file nobody tells
        await trio.sleep(0.002)
    kept: list[int] = session.state.setdefault("kept", [])
    kept.append(value)
    return list(kept)


@together.command
async def produce(size: int) -> bytes:
    """Return so many bytes."""
    await trio.lowlevel.checkpoint()
    return b"x" * size


@together.command
async def leave(code: int) -> None:
    """End the worker, out of a nursery."""
    async with trio.open_nursery():
        raise SystemExit(code)


@together.command
async def fork(how: str) -> int:
    """Fork, and come back in both processes."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])  # noqa: ASYNC200, ASYNC222  # that is the test
    if how == "waiting":
        await trio.sleep_forever()
    return 0
