"""What the built-in work costs a worker at its start."""

from __future__ import annotations

import subprocess
import sys


def test_workers_import_nothing_large() -> None:
    """The operations and the ledger cost a worker of any pool no more than the standard library's small parts."""
    code = "import sys, chaos.workload._register as m; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not {"trio", "attrs", "attr", "cattrs", "typing", "inspect", "logging", "asyncio"} & set(done.stdout.split())
