"""The eight guarantees of the pool, by the numbers and names under which its documentation gives them."""

from __future__ import annotations

from typing import Final

GUARANTEES: Final = {
    1: "one outcome",
    2: "own reply",
    3: "small blast",
    4: "cancellation",
    5: "honest sessions",
    6: "no orphans",
    7: "bounds",
    8: "clean protocol",
}
"""In a few words each; docs/guarantees.md has all of it."""
