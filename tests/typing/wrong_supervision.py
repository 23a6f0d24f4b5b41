"""Wrong uses of supervision; never run. Each marked line is an error to mypy and to pyright, or the mark is one."""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
# (mypy is told the like by `strict`)

from __future__ import annotations

import trio

import trio_pool
from trio_pool import ChildSpec

SPEC = ChildSpec(id="a", start=trio.sleep_forever)


def not_async() -> None:
    """Stand in for what cannot be a child."""


async def observes(event: trio_pool.SupervisorEvent) -> None:
    """Stand in for what cannot be an observer: nobody awaits it."""


async def calls(supervisor: trio_pool.Supervisor, jobs: trio_pool.DynamicSupervisor, child: trio_pool.Child) -> None:
    """Pass what is not taken, use what is not there."""
    await supervisor.start_child("a")  # type: ignore[arg-type]
    await supervisor.terminate_child(child)  # type: ignore[arg-type]
    await jobs.terminate_child("job-1")  # type: ignore[arg-type]
    child.restarts = 0  # type: ignore[misc]
    SPEC.id = "b"  # type: ignore[misc]


def specifications() -> None:
    """Describe what cannot be supervised."""
    ChildSpec(start=trio.sleep)  # type: ignore[call-arg]
    ChildSpec("a", trio.sleep)  # type: ignore[call-arg]
    ChildSpec(id=1, start=trio.sleep)  # type: ignore[arg-type]
    ChildSpec(id="a", start=not_async)  # type: ignore[arg-type]
    ChildSpec(id="a", start=trio.sleep, shutdown="soon")  # type: ignore[arg-type]
    ChildSpec(id="a", start=trio.sleep, modules=[])  # type: ignore[call-arg]
    trio_pool.HeldOpen(trio.sleep)  # type: ignore[arg-type]
    trio_pool.CommandLine([b"ls"])  # type: ignore[list-item]
    trio_pool.supervisor_spec("a", "b")  # type: ignore[arg-type]


def options() -> None:
    """Open what cannot be opened."""
    trio_pool.open_supervisor(children=SPEC)  # type: ignore[arg-type]
    trio_pool.open_supervisor(max_restart=1)  # type: ignore[call-arg]
    trio_pool.open_supervisor(within="5 s")  # type: ignore[arg-type]
    trio_pool.open_supervisor(on_event=observes)  # type: ignore[arg-type]
    trio_pool.open_dynamic_supervisor()  # type: ignore[call-arg]
    trio_pool.open_dynamic_supervisor(SPEC, max_children="9")  # type: ignore[arg-type]
    trio_pool.open_dynamic_supervisor(SPEC, strategy="x")  # type: ignore[call-arg]
