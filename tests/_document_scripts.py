"""The scripts of the documentation, imported: they are no package, and know each other by bare name."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "document"


def load(name: str) -> Any:
    """Import one under its own name, unless that is done."""
    found = sys.modules.get(name)
    if found is None:
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        found = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
    assert found.__file__ == str(FOLDER / f"{name}.py")
    return found


# In the order in which they import each other.
table = load("table")
trials = load("trials")
removals = load("removals")
