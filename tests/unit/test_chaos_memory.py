"""How much memory there is to be consumed, read from what the kernel says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chaos import ChaosMonkey, _memory
from chaos._memory import available_memory, usual_budget

if TYPE_CHECKING:
    from pathlib import Path

GIB = 2**30


def machine(root: Path, cgroup: str, files: dict[str, str]) -> Path:
    """Make a root with 8 GiB available, a process in these control groups, and these files under them."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal: {9 * GIB // 1024} kB\nMemAvailable: {8 * GIB // 1024} kB\n")
    (root / "proc/self/cgroup").write_text(cgroup)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


V2 = "0::/outer/inner\n"
V1 = "9:name=systemd:/\n4:cpu,memory:/outer/inner\n0::/\n"


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        pytest.param(V2, {}, 8 * GIB, id="no group has a say"),
        pytest.param(
            V2, {"outer/inner/memory.max": "max", "outer/inner/memory.current": "5"}, 8 * GIB, id="no limit in v2"
        ),
        pytest.param(
            V2,
            {"outer/inner/memory.max": str(2 * GIB), "outer/inner/memory.current": str(GIB)},
            GIB,
            id="a limit in v2",
        ),
        pytest.param(
            V2,
            {
                "outer/inner/memory.max": str(6 * GIB),
                "outer/inner/memory.current": "0",
                "outer/memory.max": str(3 * GIB),
                "outer/memory.current": str(GIB),
            },
            2 * GIB,
            id="a stricter limit above",
        ),
        pytest.param(
            V1,
            {"memory/memory.limit_in_bytes": str(GIB), "memory/memory.usage_in_bytes": str(GIB // 4)},
            3 * GIB // 4,
            id="a container that sees its own part of v1 alone",
        ),
        pytest.param(
            V1,
            {"memory/outer/memory.limit_in_bytes": str(GIB), "memory/outer/memory.usage_in_bytes": str(2 * GIB)},
            0,
            id="more used than allowed",
        ),
    ],
)
def test_what_is_available_is_what_the_strictest_limit_leaves(
    tmp_path: Path, cgroup: str, files: dict[str, str], expected: int
) -> None:
    """The machine's own figure, or what a control group leaves, in both versions, whichever is less."""
    assert available_memory(machine(tmp_path, cgroup, files)) == expected


@pytest.mark.parametrize(("available", "expected"), [(64 * GIB, 256 * 2**20), (400 * 2**20, 100 * 2**20)])
def test_the_usual_budget_leaves_most_of_a_small_machine_free(
    monkeypatch: pytest.MonkeyPatch, available: int, expected: int
) -> None:
    """256 MiB, and no more than a quarter of what there is."""
    monkeypatch.setattr(_memory, "available_memory", lambda: available)
    assert usual_budget() == expected


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, float("nan")])
async def test_a_share_that_is_none_is_refused(fraction: float) -> None:
    """Never beyond the budget, and never nothing."""
    with pytest.raises(ValueError, match="fraction"):
        await ChaosMonkey.consume_memory(object.__new__(ChaosMonkey), fraction)
