"""The application of a pool that was given none: the standard commands and those for programs."""

from __future__ import annotations

from ._bridge import Bridge
from ._programs import programs

builtin = Bridge()
builtin.include(programs)
