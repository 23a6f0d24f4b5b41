"""Named sources of chance: one for each quantity that a seed decides.

Every stream depends on the seed, its name and an index, and on nothing else. Taking a fault away from a scenario
therefore moves no request, which is what lets a failing plan be cut down.
"""

from __future__ import annotations

import hashlib
import random


def stream(seed: int, name: str, index: int = 0) -> random.Random:
    """Return the source of chance for one quantity of one run; equal arguments give equal sources on every machine."""
    digest = hashlib.sha256(f"{seed}/{name}/{index}".encode()).digest()
    return random.Random(int.from_bytes(digest, "big"))  # noqa: S311  # reproducible on purpose; nothing here is secret


def rounded(value: float) -> float:
    """Cut to microseconds: the last bits of a logarithm differ between C libraries, and plans must not."""
    return round(value, 6)
