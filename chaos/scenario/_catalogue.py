"""All kinds of fault, by the name a scenario calls them, and what can be said about each."""

from __future__ import annotations

import inspect
import textwrap
from functools import cache
from typing import TYPE_CHECKING

import attrs

from . import _application_faults, _process_faults, _wire_faults
from ._docstrings import argument_texts
from ._fault import FaultSpec
from ._problems import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

_MODULES = (_application_faults, _process_faults, _wire_faults)
"""Where the kinds are."""

_COMMON = {field.name for field in attrs.fields(FaultSpec)}


@cache
def fault_kinds() -> Mapping[str, type[FaultSpec]]:
    """Return every kind of fault, in the order of their names."""
    found = {
        cls.kind: cls
        for module in _MODULES
        for cls in vars(module).values()
        # Of those a module defines itself, and not what several of them share.
        if inspect.isclass(cls) and issubclass(cls, FaultSpec) and cls.__module__ == module.__name__
        if "kind" in vars(cls)
    }
    return dict(sorted(found.items()))


def explain(kind: str, width: int = 100) -> list[str]:
    """Return lines that tell all there is to know about a kind of fault.

    Raises:
        ValueError: There is none of that name; the message says what was probably meant.
    """
    cls = fault_kinds().get(kind)
    if cls is None:
        raise ValueError(f"there is no fault {kind!r}; {did_you_mean(kind, fault_kinds())}")
    lines = [f"{kind}: {cls.summary}"]
    paragraphs = {
        "How": cls.mechanism,
        "A good pool": cls.good_pool,
        "Looked at by": ", ".join(cls.checks) or "no checker of its own",
        "Needs": ", ".join(sorted(cls.needs)) or "nothing",
        "Lasts": "until it is healed: say for how long with `for`"
        if cls.heals
        else "no time: there is nothing to heal",
    }
    for title, text in paragraphs.items():
        lines += textwrap.wrap(text, width, initial_indent=f"  {title + ':':14}", subsequent_indent=" " * 16)
    own = [field for field in attrs.fields(cls) if field.name not in _COMMON]
    if own:
        texts = argument_texts(cls)
        lines.append("  Settings:")
        for field in own:
            default: object = field.default
            told = "" if default is attrs.NOTHING else f" (default: {default if default is not None else 'none'})"
            about = f"{texts.get(field.name, '')}{told}"
            lines += textwrap.wrap(about, width, initial_indent=f"    {field.name:14}", subsequent_indent=" " * 18)
    return lines
