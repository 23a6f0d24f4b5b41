"""A language model on this machine: a server that speaks OpenAI's chat completions and says what it is told to.

It lives in the test's own nursery, on a port of 127.0.0.1 that the kernel picks, so that what a worker does with it,
through DSPy and LiteLLM, is all real but for the thoughts.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import trio
from _program_parts import said_to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

KEY = "sk-test-5f3c9a71e2"
"""The key the model accepts."""


class Asked(NamedTuple):
    """One request to the model."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def prompt(self) -> str:
        """The last message."""
        content = self.body["messages"][-1]["content"]
        return content if isinstance(content, str) else "".join(part["text"] for part in content)


class LanguageModel:
    """What a test sees of the server, and tells it.

    Attributes:
        api_base: Where it is.
        requests: What it was asked, in order, refused requests included.
        answers: What it says, output by output; see `_program_parts.said_to`.
        script: The answers to the next requests, one entry each, before ``answers`` hold again.
        released: Where not None, requests are answered only once this is set.
        came: Set when a request has come.
    """

    def __init__(self, port: int) -> None:
        self.api_base = f"http://127.0.0.1:{port}/v1"
        self.requests: list[Asked] = []
        self.answers: dict[str, str] = {}
        self.script: list[dict[str, str]] = []
        self.released: trio.Event | None = None
        self.came = trio.Event()

    def config(self, **fields: object) -> dict[str, object]:
        """Return a configuration for ``configure_lm`` that leads here."""
        return {"model": "openai/test-model", "api_key": KEY, "api_base": self.api_base, **fields}

    async def _serve(self, stream: trio.SocketStream) -> None:
        try:
            async with stream:
                data = b""
                while True:
                    while b"\r\n\r\n" not in data:
                        piece = await stream.receive_some()
                        if not piece:
                            return
                        data += piece
                    head, _, data = data.partition(b"\r\n\r\n")
                    first, *lines = head.decode("latin-1").split("\r\n")
                    pairs = (line.partition(":") for line in lines)
                    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
                    size = int(headers["content-length"])
                    while len(data) < size:
                        data += await stream.receive_some()
                    body, data = data[:size], data[size:]
                    asked = Asked(first.split()[1], headers, json.loads(body))
                    self.requests.append(asked)
                    self.came.set()
                    if self.released is not None:
                        await self.released.wait()
                    await stream.send_all(self._reply(asked))
        except trio.BrokenResourceError:
            # The worker was killed while it waited for us, or while we waited for it.
            return

    def _reply(self, asked: Asked) -> bytes:
        given = asked.headers.get("authorization", "")
        reply: dict[str, Any]
        if given != f"Bearer {KEY}":
            # As providers do: some repeat what they were sent.
            status = "401 Unauthorized"
            message = f"Incorrect API key provided: {given}"
            reply = {"error": {"message": message, "type": "invalid_request_error", "code": "invalid_api_key"}}
        else:
            status = "200 OK"
            said = said_to(asked.prompt, self.script.pop(0) if self.script else self.answers)
            reply = {
                "id": f"reply-{len(self.requests)}",
                "object": "chat.completion",
                "created": 1,
                "model": asked.body["model"],
                "choices": [
                    {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}},
                ],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            }
        body = json.dumps(reply).encode()
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        return head.encode() + body


@asynccontextmanager
async def language_model() -> AsyncIterator[LanguageModel]:
    """Serve a model for the length of the block."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        model = LanguageModel(listeners[0].socket.getsockname()[1])
        nursery.start_soon(trio.serve_listeners, model._serve, listeners)
        yield model
        nursery.cancel_scope.cancel()


def environment(home: Path) -> dict[str, str]:
    """Return what workers get in their environment: an empty home, no way round to this machine, and no other model."""
    home.mkdir()
    return {
        "HOME": str(home),
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "OPENAI_API_BASE": "",
        "OPENAI_BASE_URL": "",
        "OPENAI_API_KEY": "",
        "DSPY_CACHEDIR": "",
    }
