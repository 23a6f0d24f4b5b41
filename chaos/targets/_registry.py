"""The kinds of pool there are, by name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from .._about import NOT_INSTALLED
from ..scenario._workloads import CUSTOM
from ._ours import Ours
from ._peers_async import AnyioTarget, ParallelTarget
from ._peers_threads import LokyTarget, PebbleTarget, ProcessPoolExecutorTarget, StandardPoolTarget

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..scenario._model import Scenario
    from ._target import Target

_ALL: Sequence[Target] = (
    Ours(),
    ProcessPoolExecutorTarget(),
    StandardPoolTarget(),
    LokyTarget(),
    PebbleTarget(),
    ParallelTarget(),
    AnyioTarget(),
)

TARGETS: Mapping[str, Target] = {target.name: target for target in _ALL}


def missing(target: Target) -> bool:
    """Return whether a kind of pool cannot be had because its distribution is not installed; ours need not be."""
    return target.version == NOT_INSTALLED and not isinstance(target, Ours)


def target_named(name: str) -> Target:
    """Return the target of that name, or one of somebody's own.

    Args:
        name: One of `TARGETS`, or ``python:package.module:attribute``, which may be a `Target` or a class of one.

    Raises:
        ValueError: There is none; the message names those there are, or says what is wrong with one's own.
    """
    if name.startswith(CUSTOM):
        return _own(name)
    if name not in TARGETS:
        raise ValueError(f"there is no target {name!r:.80}; there are {', '.join(TARGETS)}")
    return TARGETS[name]


def check_target(name: str, scenario: Scenario) -> None:
    """See that a kind of pool is there, and can do a scenario's workload.

    Raises:
        ValueError: It is not, or cannot; the message says why.
    """
    target = target_named(name)
    if missing(target):
        raise ValueError(f"{name} is not installed: pip install 'trio_pool[bench]'")
    kind = scenario.workload.kind
    if target.workloads is not None and kind not in target.workloads:
        raise ValueError(f"workers of {name} do {', '.join(sorted(target.workloads))}, not {kind}")


def _own(name: str) -> Target:
    module, _, attribute = name.removeprefix(CUSTOM).partition(":")
    if not (module and attribute):
        raise ValueError(f"{name!r:.80} is not of the form python:package.module:attribute")
    try:
        found = getattr(import_module(module), attribute)
        made = found() if isinstance(found, type) else found
    except Exception as exc:  # whatever a module of somebody's own raises while it is imported
        named = "" if isinstance(exc, (ImportError, AttributeError)) else f"{type(exc).__name__}: "
        raise ValueError(f"cannot import {name!r:.80}: {named}{exc}") from exc
    for needed in ("name", "version", "sessions", "workloads", "open"):
        if not hasattr(made, needed):
            raise ValueError(f"{name!r:.80} has no {needed}, which a Target must have")
    return cast("Target", made)
