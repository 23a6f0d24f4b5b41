"""Every kind of fault and what carries it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._process_deaths import INJECTORS as DEATHS
from ._wire import INJECTORS as WIRE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._injection import Injector

INJECTORS: Mapping[str, Injector] = {**DEATHS, **WIRE}
"""By the kind of the fault."""
