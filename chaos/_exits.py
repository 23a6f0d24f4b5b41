"""The exit codes: part of the interface, from 64 on after sysexits.h."""

from __future__ import annotations

EXIT_PASS = 0
EXIT_FAIL = 1
EXIT_UNKNOWN = 2
EXIT_NOT_STARTED = 4
EXIT_USAGE = 64
EXIT_NO_INPUT = 66
EXIT_BUG = 70
EXIT_CANNOT_WRITE = 74
EXIT_SIGNAL = 128  # plus the signal's number, as shells report it: 130 for Ctrl-C
