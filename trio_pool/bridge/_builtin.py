"""The application of a pool that was given none: the standard commands and those for programs and session data."""

from __future__ import annotations

from ._bridge import Bridge
from ._programs import programs
from ._session_data import make_session_data

builtin = Bridge()
builtin.include(programs)
builtin.include(make_session_data())
