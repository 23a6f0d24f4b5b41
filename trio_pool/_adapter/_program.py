"""A program: a named callable of an importable module with a signature, as its creator configured it.

Everything that can be known to be wrong without importing the function is found here, before any worker is involved.
Whether the function exists is for the worker to find out: only its environment counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast
from uuid import uuid4

import attrs

from .._core._errors import InvalidArguments
from .._core._session_table import MAX_ID_BYTES
from ._signature import Signature

PROGRAM_TYPES: Final = ("python",)
_KEYS: Final = ("id", "program_type", "function", "signature")


@attrs.frozen(kw_only=True)
class Program:
    """A checked program definition.

    Args:
        program_id: Its name within a session or adapter.
        program_type: How it is run; only ``python``, an importable function, so far.
        function: ``"module:qualname"``.
        signature: Its inputs and outputs.
    """

    program_id: str
    program_type: str
    function: str
    signature: Signature

    @classmethod
    def parse(cls, config: object) -> Program:
        """Check a program's configuration completely; an id is made if it names none.

        Raises:
            InvalidArguments: A key is unknown, missing or has a bad value; the message names it.
        """
        if not isinstance(config, Mapping):
            raise InvalidArguments(f"a program's config must be a mapping, not {type(config).__name__}")
        given = cast("Mapping[object, object]", config)
        for key in given:
            if key not in _KEYS:
                known = ", ".join(_KEYS)
                raise InvalidArguments(f"a program's config has the unknown key {key!r:.80}; known are {known}")
        for key in ("function", "signature"):
            if key not in given:
                raise InvalidArguments(f"a program's config lacks {key!r}")
        return cls(
            # Random, not counted: several adapters may create programs in one session.
            program_id=check_program_id(given["id"]) if "id" in given else f"program_{uuid4().hex}",
            program_type=_check_type(given.get("program_type", "python")),
            function=_check_function(given["function"]),
            signature=Signature.parse(given["signature"]),
        )

    def to_dict(self) -> dict[str, object]:
        """Return the definition in plain values, as it travels to workers."""
        return {
            "id": self.program_id,
            "program_type": self.program_type,
            "function": self.function,
            "signature": self.signature.to_dict(),
        }


def is_id(value: object) -> bool:
    """Return whether ``value`` is a non-empty str of up to 255 bytes, which is what sessions and programs go by."""
    if not isinstance(value, str):
        return False
    try:
        return 0 < len(value.encode()) <= MAX_ID_BYTES
    except UnicodeEncodeError:
        return False  # half a surrogate pair: no codec would carry it


def check_program_id(value: object) -> str:
    """Return a program id.

    Raises:
        InvalidArguments: It is none.
    """
    if not is_id(value):
        raise InvalidArguments(f"a program id must be a non-empty str of up to {MAX_ID_BYTES} bytes, not {value!r:.80}")
    return cast("str", value)


def _check_type(value: object) -> str:
    if not isinstance(value, str) or value not in PROGRAM_TYPES:
        supported = ", ".join(PROGRAM_TYPES)
        raise InvalidArguments(f"program_type {value!r:.80} is not supported; supported: {supported}")
    return value


def _check_function(value: object) -> str:
    # A function within a function has "<locals>" in its qualname and fails here, rightly: no worker could import it.
    if isinstance(value, str):
        module, colon, qualname = value.partition(":")
        if colon and all(part.isidentifier() for part in (*module.split("."), *qualname.split("."))):
            return value
    raise InvalidArguments(f"function must be 'module:qualname' of something importable, not {value!r:.80}")
