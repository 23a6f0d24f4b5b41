"""Where a run takes place: the versions and the machine, as a reader of its results needs to know them."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


NOT_INSTALLED = "not installed"
"""Instead of a version."""


def installed(distribution: str) -> str:
    """Return the version of an installed distribution; a source tree that was never installed has none."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return NOT_INSTALLED


def environment() -> Mapping[str, object]:
    """Return the versions and the machine."""
    return {
        "python": platform.python_version(),
        "trio": installed("trio"),
        "trio_pool": installed("trio-pool"),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "cpus": len(os.sched_getaffinity(0)),
    }
