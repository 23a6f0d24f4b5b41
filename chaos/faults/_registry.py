"""Every kind of fault and what carries it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..scenario._process_faults import Kill
from . import _application, _process_deaths, _process_limits, _process_orders, _process_starts, _requests, _wire
from ._windows import kill_in_window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from ..scenario._fault import FaultSpec
    from ..scenario._plan import Strike
    from ._injection import Arena, Injected, Injector, Victim


def _kill(
    spec: FaultSpec, strike: Strike, victims: Sequence[Victim], arena: Arena
) -> AbstractAsyncContextManager[Injected]:
    """Kill at once, or in a window."""
    in_window = isinstance(spec, Kill) and spec.window is not None
    return (kill_in_window if in_window else _process_deaths.kill)(spec, strike, victims, arena)


INJECTORS: Mapping[str, Injector] = {
    kind: injector
    for module in (_application, _process_deaths, _process_limits, _process_orders, _process_starts, _requests, _wire)
    for kind, injector in module.INJECTORS.items()
} | {Kill.kind: _kill}
"""By the kind of the fault."""
