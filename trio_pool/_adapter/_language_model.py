"""The configuration of a language model, checked before any worker is told of it.

What can be known to be wrong without DSPy is found here. Whether a model can be made of it is for the workers to find
out. No message has a value in it: it might be the key, put where something else belongs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, cast

from .._core._errors import InvalidArguments

_TEXTS: Final = ("model", "api_key", "api_base", "provider", "lm")
_KEYS: Final = (*_TEXTS, "temperature", "max_tokens")


def check_model_config(config: object) -> dict[str, object]:
    """Return a language model's configuration as it is to be sent.

    Raises:
        InvalidArguments: A key is unknown, ``model`` is missing, or a value is not of its kind.
    """
    if not isinstance(config, Mapping):
        raise InvalidArguments(f"a language model's config must be a mapping, not {type(config).__name__}")
    given = dict(cast("Mapping[object, object]", config))
    for key, value in given.items():
        if key not in _KEYS:
            raise InvalidArguments(
                f"a language model's config has the unknown key {key!r:.80}; known are {', '.join(_KEYS)}"
            )
        if value is not None and not _fits(str(key), value):
            raise InvalidArguments(f"a language model's {key} must be {_kind(str(key))}, not {type(value).__name__}")
    if given.get("model") is None:
        raise InvalidArguments("a language model's config lacks 'model'")
    return cast("dict[str, object]", given)


def _fits(key: str, value: object) -> bool:
    if key in _TEXTS:
        return isinstance(value, str) and bool(value)
    if isinstance(value, bool):
        return False
    if key == "max_tokens":
        return isinstance(value, int) and value > 0
    return isinstance(value, (int, float)) and math.isfinite(value) and value >= 0


def _kind(key: str) -> str:
    if key in _TEXTS:
        return "a non-empty str"
    return "a positive integer" if key == "max_tokens" else "a number that is not negative"
