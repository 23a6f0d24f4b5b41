"""The wire: frames and messages, for whoever writes a worker, a launcher or a fake that speaks the protocol.

Any executable that does what follows can be a worker: ``open_pool(["/path/to/program", "argument"])``. In Python the
functions below do the packing; nothing here imports Trio, attrs or typing, so that a worker starts fast.

**Where.** The worker is started in a session of its own, its standard input empty, its standard output and error
read as log lines. The environment variable ``TRIO_POOL_FD`` (`SOCKET_VARIABLE`) has the number of a connected,
blocking stream socket. Two more descriptors may be named, and both may be ignored: ``TRIO_POOL_LIFELINE_FD``
(`LIFELINE_VARIABLE`), already armed, kills the worker's group when the application dies; ``TRIO_POOL_PAGE_FD``
(`PAGE_VARIABLE`) is the page of begun marks, see *Begun*. A child the worker starts should inherit none of the three.

**Frame.** Four bytes, big-endian: a length; then that many bytes. See `encode_header` and `FrameDecoder`. A length
beyond ``max_frame`` of the hello ends the connection before anything is allocated.

**Hello**, the parent's first frame, is JSON: ``{"type": "hello", "protocol": 1, "codec": "msgpack", "worker_id": str,
"incarnation": int, "app": "module:attribute" | null, "sys_path": [str], "argv": [str], "main": {"name": str} | {"path":
str} | null, "max_frame": int, "concurrency": int, "now": float}``. ``app`` is null where the pool was given an
executable; ``sys_path``, ``argv`` and ``main`` are the application's own, for workers that import its modules; ``now``
is the time, in seconds, on the parent's clock when it wrote the hello; ``concurrency`` is how many async commands it is
going to send at once. Fields not known are to be ignored.

**Ready**, the worker's first frame and its answer to the hello, is JSON too (`encode_json`): ``{"type": "ready",
"protocol": 1, "codec": "msgpack", "pid": int | null, "begun": "page" | null, "commands": [str], "flags": {command:
[str]}}``. The flags may be left out; they have the commands that are more than plain ones, with any of ``"async"`` (up
to ``concurrency`` of these are sent at once), ``"concurrent"`` (it may run beside others of its session) and
``"interruptible"`` (see *Cancel*). A worker that cannot start says ``{"type": "failed", "error": {"kind": "init",
"type": str, "message": str, "traceback": str}}`` instead and ends; the caller gets a `WorkerInitFailed` with these
words. Nothing else is said before the first request.

**Messages.** Every later frame is a msgpack map with str keys. Values are None, bool, int from -2**63 to 2**64 - 1,
float, str, bytes, list, and map with str keys, nested up to 500 deep.

**Request** ``{"id": int, "command": str, "args": map, "session": str, "deadline": float}``; ``session`` is absent
outside a session, ``deadline`` where there is none. Ids count from 1 and are never used again in a worker's life. The
deadline is a time on the parent's clock. A worker that remembers how much its own clock was ahead of ``now`` when the
hello came knows the parent's time, or an earlier one by what the hello took to arrive; where the deadline has passed it
may refuse a request it has not begun, with an error of kind ``expired``. What takes longer than that need not be ended.

**Cancel** ``{"id": int, "type": "cancel"}``: nobody waits for the reply to this request any more. It may be ignored;
the reply is owed all the same. A worker that has not begun the request should answer it with an error of kind
``cancelled`` whose ``begun`` is false, and never run it; if it can end a command that runs, it answers the same with
``begun`` true. For a command whose flags have ``"interruptible"`` the pool also sends SIGUSR1, after the cancel, to a
worker which may be too busy to read: the signal is meant for no command but the one that the message names.

**Reply** ``{"id": int, "success": true, "result": value, "session_used": true}`` or ``{"id": int, "success": false,
"error": map, "session_used": true}``: exactly one for each request, in any order, to be written in one piece. The error
has ``kind``, ``type`` (the exception's qualified name), ``message`` and ``traceback``, all str. The kind decides what
the caller gets: ``unknown_command`` (with ``known``, a list of names), ``invalid_arguments``, ``program_not_found``
(``program_id``), ``unserializable`` (``path``, ``type_name``), ``frame_too_large`` (``size``, ``max_frame``),
``expired``, ``busy`` (too many wait) and ``leaving`` (the worker has been told to end, and finishes what it has begun:
the pool sends it nothing more, and this elsewhere) for what was not begun, ``cancelled`` (``begun``: whether it had
begun; if that is absent it counts as begun), and ``remote`` for what the command itself raised. ``session_used`` is
there, and true, if the request used state of its session that dies with the worker: such a session is lost with it,
while others move on silently.

**Standard commands** are asked of every worker: ``ping`` by health checks, and a worker that does not answer it with
success is replaced; ``cleanup_session`` with ``{"session_id": str}`` when a session ends; ``shutdown``, to which a
worker replies and then ends. A pool does not mind if the last two are errors; the worker is then stopped by SIGTERM. A
worker that runs several commands at once cleans a session up when all that came before in it have ended, and begins
what comes after in it when that is done.

**Leaving** ``{"type": "leaving"}`` (`encode_leaving`) is the last message of a worker that ends by plan: after
``shutdown``, or after SIGTERM, when it has finished its command and takes no other. A worker that ends without it has
crashed, whatever its exit code.

**Envelope.** Bytes of 64 KiB (`DIRECT_SIZE`) and more leave the map. In place of the map comes a two-element array
``[[size, …], packed map]``, then each buffer as a frame of its own, in order; in the map stands, for each, an extension
value of type 1 whose four bytes are the buffer's big-endian index. `pieces` and `MessageDecoder` do that.

**Begun.** The first eight bytes of the page are an unsigned integer in native order. A worker whose ready says
``"begun": "page"`` stores a request's id there when it is about to run the command, not before. When the worker dies, a
request it had not begun is given to another, and the caller never knows. Of a worker that says null, every request
written counts as begun.

**End.** A worker exits with 0 when the stream ends or breaks: nobody is left to answer.

A whole worker::

    import os
    from trio_pool import wire

    fd = int(os.environ[wire.SOCKET_VARIABLE])
    decoder = wire.MessageDecoder(2**26)

    def messages():
        while data := os.read(fd, 65536):
            yield from decoder.feed(data)

    def say(*data):
        for piece in data:
            while piece:
                piece = piece[os.write(fd, piece):]

    arriving = messages()
    hello = next(arriving)
    say(wire.encode_json({"type": "ready", "protocol": wire.PROTOCOL, "codec": wire.CODEC, "pid": os.getpid(),
                          "begun": None, "commands": ["ping", "double"]}))
    for request in arriving:
        if request.get("type") == "cancel":
            continue
        if request["command"] == "double":
            answer = {"success": True, "result": request["args"]["value"] * 2}
        else:
            answer = {"success": True, "result": {"status": "ok"}}
        say(*wire.pieces(request["id"], wire.encode(answer, hello["max_frame"])))
        if request["command"] == "shutdown":
            say(wire.encode_leaving())
            break

.. versionadded:: 0.1
"""

from __future__ import annotations

from ._core._frames import DIRECT_SIZE, HEADER_SIZE, FrameDecoder, encode_header
from ._core._messages import (
    CODEC,
    PROTOCOL,
    Encoded,
    MessageDecoder,
    encode,
    encode_json,
    encode_leaving,
    pieces,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

SOCKET_VARIABLE: Final = "TRIO_POOL_FD"
"""The environment variable with the number of a worker's socket."""
LIFELINE_VARIABLE: Final = "TRIO_POOL_LIFELINE_FD"
"""The environment variable with the number of the read end of the lifeline."""
PAGE_VARIABLE: Final = "TRIO_POOL_PAGE_FD"
"""The environment variable with the number of the page of begun marks."""

__all__ = [
    "CODEC",
    "DIRECT_SIZE",
    "HEADER_SIZE",
    "LIFELINE_VARIABLE",
    "PAGE_VARIABLE",
    "PROTOCOL",
    "SOCKET_VARIABLE",
    "Encoded",
    "FrameDecoder",
    "MessageDecoder",
    "encode",
    "encode_header",
    "encode_json",
    "encode_leaving",
    "pieces",
]
