"""Packing where memory is short."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgpack

from trio_pool._core._frames import DIRECT_SIZE
from trio_pool._core._messages import encode, encode_leaving, pieces

if TYPE_CHECKING:
    import pytest


def test_a_message_is_packed_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the packer cannot have its usual buffer it makes do with a small one, and the message is the same."""
    packb = msgpack.packb

    def short_of_memory(value: object, *, buf_size: int = 2**20) -> bytes:
        if buf_size > 2**16:
            raise MemoryError("Unable to allocate internal buffer.")
        return packb(value)

    message = {"success": True, "result": [b"x" * DIRECT_SIZE, "y" * 10_000]}
    usual = pieces(7, encode(message, 2**20)), encode_leaving()
    monkeypatch.setattr(msgpack, "packb", short_of_memory)
    assert (pieces(7, encode(message, 2**20)), encode_leaving()) == usual
