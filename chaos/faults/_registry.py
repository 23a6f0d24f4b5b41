"""Every kind of fault and what carries it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _application, _process_deaths, _process_limits, _process_orders, _process_starts, _requests, _wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._injection import Injector

INJECTORS: Mapping[str, Injector] = {
    kind: injector
    for module in (_application, _process_deaths, _process_limits, _process_orders, _process_starts, _requests, _wire)
    for kind, injector in module.INJECTORS.items()
}
"""By the kind of the fault."""
