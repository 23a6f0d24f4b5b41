"""The protocol under its public name: what a worker of somebody else's is written with."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from trio_pool import wire
from trio_pool._core import _frames, _messages


def decoded(*pieces: bytes | memoryview) -> list[dict[str, object]]:
    """Return the messages of these bytes, which come one at a time."""
    decoder = wire.MessageDecoder(2**24)
    messages = [message for piece in pieces for byte in bytes(piece) for message in decoder.feed(bytes([byte]))]
    assert decoder.error is None
    return messages


@pytest.mark.parametrize("name", wire.__all__)
def test_every_name_is_there_and_is_the_codec_s_own(name: str) -> None:
    """There is one codec: what foreign workers use is what the pool uses."""
    value = getattr(wire, name)
    if not name.endswith("_VARIABLE"):
        assert value is getattr(_messages, name, None) or value is getattr(_frames, name)


def test_what_is_not_said_in_the_reference_is_not_public() -> None:
    """The module's reference names every public name but the values in it."""
    assert wire.__doc__ is not None
    said = wire.__doc__
    unsaid = {name for name in wire.__all__ if name not in said}
    # The size of a header is the first thing the reference says; the class of a packed message is `encode`'s.
    assert unsaid == {"HEADER_SIZE", "Encoded"}


def test_what_the_reference_names_is_public() -> None:
    """Functions and values by their names, environment variables by their values too."""
    said = " ".join((wire.__doc__ or "").split())
    assert {name for name in re.findall(r"`(\w+)`", said) if hasattr(wire, name)} <= set(wire.__all__)
    for name in wire.__all__:
        if name.endswith("_VARIABLE"):
            assert f"``{getattr(wire, name)}`` (`{name}`)" in said


def test_a_conversation_as_the_reference_describes_it() -> None:
    """Hello in JSON, then msgpack maps, with large bytes behind an envelope, and the end announced."""
    large = b"x" * wire.DIRECT_SIZE
    hello = {"type": "hello", "protocol": wire.PROTOCOL, "codec": wire.CODEC, "max_frame": 2**24}
    reply = {"success": True, "result": [large, b"small"]}
    said = [wire.encode_json(hello), *wire.pieces(7, wire.encode(reply, 2**24)), wire.encode_leaving()]
    assert decoded(*said) == [hello, {"id": 7, **reply}, {"type": "leaving"}]
    envelope = said[1]
    size = int.from_bytes(envelope[: wire.HEADER_SIZE], "big")
    assert (len(envelope), envelope[wire.HEADER_SIZE]) == (wire.HEADER_SIZE + size, 0x92)
    assert said[2:4] == [wire.encode_header(len(large)), large]


def test_importing_it_imports_nothing_heavy() -> None:
    """A worker that speaks the protocol starts as fast as it can: no Trio, no attrs, no typing."""
    heavy = {"trio", "attr", "attrs", "cattrs", "typing", "inspect", "logging", "asyncio", "dataclasses"}
    code = f"import sys, trio_pool.wire; print(sorted({heavy!r} & set(sys.modules)))"
    program = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"]
    result = subprocess.run(program, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
