"""A worker that runs async commands, as a program: it knows of the library only the wire.

`nap` ends when told to cancel, `stubborn` when it is done; both may run many at once. `hog` is sync: while it runs
nothing is read, as by a main thread that serves alone. A cancel found behind its request in one read takes that back.
"""

from __future__ import annotations

import mmap
import os
import select
import time
from typing import TYPE_CHECKING, Any

from trio_pool import wire

if TYPE_CHECKING:
    from collections.abc import Iterable

FLAGS = {"nap": ["async"], "stubborn": ["async"], "aside": ["async", "concurrent"]}
COMMANDS = ["ping", "hog", *FLAGS]


class Worker:
    """The loop: one read, all the commands in it, and whatever has become due."""

    def __init__(self) -> None:
        self.fd = int(os.environ[wire.SOCKET_VARIABLE])
        self.page = memoryview(mmap.mmap(int(os.environ[wire.PAGE_VARIABLE]), 4096)).cast("Q")
        self.decoder = wire.MessageDecoder(2**26)
        self.running: dict[int, tuple[float, Any]] = {}
        self.names: dict[int, str] = {}
        self.most = 0

    def say(self, pieces: Iterable[bytes | memoryview]) -> None:
        for piece in pieces:
            while piece:
                piece = piece[os.write(self.fd, piece) :]  # the rest of it

    def answer(self, wire_id: int, result: object = None, kind: str | None = None) -> None:
        fields: dict[str, object] = {"success": True, "result": result, "session_used": False}
        if kind is not None:
            error = {"kind": kind, "type": kind, "message": "as you wish", "traceback": ""}
            fields = {"success": False, "error": error}
        self.say(wire.pieces(wire_id, wire.encode(fields, 2**20)))

    def serve(self) -> None:
        while not self.decoder.feed(os.read(self.fd, 65536)):
            pass
        ready = {"type": "ready", "protocol": wire.PROTOCOL, "codec": wire.CODEC, "pid": os.getpid()}
        self.say([wire.encode_json({**ready, "begun": "page", "commands": COMMANDS, "flags": FLAGS})])
        while True:
            due = min((at for at, _ in self.running.values()), default=None)
            wait = None if due is None else max(0.0, due - time.monotonic())
            if select.select([self.fd], [], [], wait)[0]:
                data = os.read(self.fd, 65536)
                if not data:
                    return
                messages = self.decoder.feed(data)
                cancelled = {message["id"] for message in messages if message.get("type") == "cancel"}
                for message in messages:
                    if message.get("type") == "cancel":
                        self.cancel(message["id"])
                    elif message["id"] in cancelled:
                        self.answer(message["id"], kind="cancelled")
                    elif not self.begin(message):
                        return
            now = time.monotonic()
            for wire_id, (at, result) in list(self.running.items()):
                if at <= now:
                    del self.running[wire_id]
                    self.answer(wire_id, result)

    def cancel(self, wire_id: int) -> None:
        if wire_id in self.running and self.names[wire_id] != "stubborn":
            del self.running[wire_id]
            self.answer(wire_id, kind="cancelled")

    def begin(self, message: dict[str, Any]) -> bool:
        wire_id, command, args = message["id"], message["command"], message["args"]
        self.page[0] = wire_id
        self.names[wire_id] = command
        if command in FLAGS:
            self.running[wire_id] = time.monotonic() + args["duration"], args.get("value")
            self.most = max(self.most, len(self.running))
        elif command == "hog":
            time.sleep(args["duration"])
            self.answer(wire_id, args.get("value"))
        elif command == "shutdown":
            self.say([wire.encode_leaving()])
            return False
        else:
            self.answer(wire_id, {"status": "ok", "most": self.most})
        return True


if __name__ == "__main__":
    Worker().serve()
