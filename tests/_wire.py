"""A worker's parent in its barest form, for tests of the worker's side: a blocking socket and the messages over it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import trio_pool
from trio_pool._core._messages import MessageDecoder, encode, encode_json, pieces
from trio_pool.bridge._executor import Executor
from trio_pool.bridge._loading import Loader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from trio_pool.bridge import Bridge

PATIENCE = 20.0
"""Seconds after which a test that waits for a worker has failed: far beyond what even a loaded machine needs."""

MAX_FRAME = 16 * 2**20
"""The largest message, unless a test wants another."""

LIBRARY = str(Path(trio_pool.__file__ or "").parents[1])
"""The folder this library is imported from."""

BOOTSTRAP = str(Path(LIBRARY, "trio_pool", "bridge", "_bootstrap.py"))
"""The script a worker runs."""


def executor_of(
    bridge: Bridge, *, max_frame: int = MAX_FRAME, begun: list[int] | None = None, main: Mapping[str, str] | None = None
) -> Executor:
    """Return an executor for ``bridge`` in this process."""
    return Executor(bridge, Loader(main), worker_id="w", max_frame=max_frame, begun=[0] if begun is None else begun)


def ask(
    executor: Executor, command: object, args: object = None, *, session: object = None, request_id: int = 1
) -> dict[str, Any]:
    """Have an executor handle one request, and decode its reply from the bytes."""
    fields = {"command": command, "args": {} if args is None else args}
    if session is not None:
        fields["session"] = session
    [request] = decoded(pieces(request_id, encode(fields, MAX_FRAME)))
    [reply] = decoded(executor.handle(request))
    return reply


def decoded(data: Sequence[bytes | memoryview]) -> list[dict[str, Any]]:
    """Return the messages that these bytes carry, which follow a hello or ready frame."""
    decoder = MessageDecoder(MAX_FRAME)
    decoder.feed(encode_json({}))
    return decoder.feed(b"".join(data))


def result_of(executor: Executor, command: str, args: object = None, *, session: str | None = None) -> Any:
    """Return the result of a request that must succeed."""
    reply = ask(executor, command, args, session=session)
    assert reply["success"], reply["error"]
    return reply["result"]


def error_of(executor: Executor, command: object, args: object = None, *, session: object = None) -> dict[str, Any]:
    """Return the error of a request that must fail."""
    reply = ask(executor, command, args, session=session)
    assert reply["success"] is False
    error: dict[str, Any] = reply["error"]
    return error


class RawWorker:
    """A worker process and this end of its socket.

    Args:
        app: The application it is told to load.
        sys_path: What comes before this process's ``sys.path``.
        main: What the hello says of the main module.
        max_frame: What the hello says of the largest frame.
        hello: Fields to replace in the hello; None sends no hello at all.
        env: Further environment variables.
        flags: Interpreter flags.
        page: Whether to offer a progress page.
    """

    def __init__(
        self,
        app: str = "trio_pool.bridge:builtin",
        *,
        sys_path: Sequence[str] = (),
        main: Mapping[str, str] | None = None,
        max_frame: int = MAX_FRAME,
        hello: Mapping[str, object] | None = MappingProxyType({}),
        env: Mapping[str, str] | None = None,
        flags: Sequence[str] = (),
        page: bool = True,
    ) -> None:
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(PATIENCE)
        self.page = os.memfd_create("page") if page else None
        output, output_write = os.pipe()
        lifeline, self.lifeline = os.pipe()
        fds = {"TRIO_POOL_FD": theirs.fileno(), "TRIO_POOL_LIFELINE_FD": lifeline}
        if self.page is not None:
            os.ftruncate(self.page, 4096)
            fds["TRIO_POOL_PAGE_FD"] = self.page
        self.process = subprocess.Popen(
            [sys.executable, *flags, "-P", BOOTSTRAP],
            stdin=subprocess.DEVNULL,
            stdout=output_write,
            stderr=output_write,
            pass_fds=tuple(fds.values()),
            env={**os.environ, **{name: str(fd) for name, fd in fds.items()}, **(env or {})},
            start_new_session=True,
        )
        theirs.close()
        os.close(lifeline)
        os.close(output_write)
        self.output = open(output, "rb")  # noqa: SIM115  # closed by close()
        self.decoder = MessageDecoder(MAX_FRAME)
        self.replies: list[dict[str, Any]] = []
        if hello is not None:
            said = {
                "type": "hello",
                "protocol": 1,
                "codec": "msgpack",
                "worker_id": "w-1",
                "incarnation": 1,
                "app": app,
                "sys_path": [*sys_path, *sys.path],
                "main": main,
                "max_frame": max_frame,
            }
            self.socket.sendall(encode_json({**said, **hello}))

    def close(self) -> None:
        """Hang up, and kill what does not go by itself."""
        self.socket.close()
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
            self.output.close()
            os.close(self.lifeline)
            if self.page is not None:
                os.close(self.page)

    def send(self, request_id: int, command: object, args: object = None, *, session: str | None = None) -> None:
        """Write one request."""
        fields = {"command": command, "args": {} if args is None else args}
        if session is not None:
            fields["session"] = session
        for piece in pieces(request_id, encode(fields, MAX_FRAME)):
            self.socket.sendall(piece)

    def send_together(self, *commands: str) -> None:
        """Write several requests in one piece, numbered from 1: the worker cannot end between them."""
        messages = [encode({"command": command, "args": {}}, MAX_FRAME) for command in commands]
        frames = (pieces(number, message) for number, message in enumerate(messages, 1))
        self.socket.sendall(b"".join(piece for parts in frames for piece in parts))

    def receive(self) -> dict[str, Any]:
        """Return the next message of the worker."""
        while not self.replies:
            data = self.socket.recv(2**18)
            if not data:
                raise EOFError(f"the worker hung up; it printed {self.output.read()!r}")
            self.replies += self.decoder.feed(data)
            assert self.decoder.error is None
        return self.replies.pop(0)

    def call(self, request_id: int, command: object, args: object = None, *, session: str | None = None) -> Any:
        """Send a request and return its reply, which must be the next message."""
        self.send(request_id, command, args, session=session)
        reply = self.receive()
        assert reply["id"] == request_id
        return reply

    def begun(self) -> int:
        """Return the id of the request begun last."""
        assert self.page is not None
        return int.from_bytes(os.pread(self.page, 8, 0), sys.byteorder)

    def exit_code(self) -> int:
        """Wait for the process to end by itself; return its code."""
        return self.process.wait(PATIENCE)

    def at_end_of_stream(self) -> bool:
        """Wait for the worker to hang up; False if it sends something more."""
        try:
            return not self.replies and not self.socket.recv(1)
        except ConnectionResetError:
            return True


@contextmanager
def raw_worker(app: str = "trio_pool.bridge:builtin", **options: Any) -> Iterator[RawWorker]:
    """Start a worker for the length of the block; its first message is left to be received."""
    worker = RawWorker(app, **options)
    try:
        yield worker
    finally:
        worker.close()


@contextmanager
def ready_worker(app: str = "trio_pool.bridge:builtin", **options: Any) -> Iterator[RawWorker]:
    """Start a worker for the length of the block and wait until it is ready."""
    with raw_worker(app, **options) as worker:
        ready = worker.receive()
        assert ready["type"] == "ready", ready
        yield worker
