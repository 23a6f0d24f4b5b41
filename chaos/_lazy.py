"""Packages that give out names and load what is behind one when it is first asked for.

Worker processes import from these packages too, and must not pay for Trio, attrs and the rest.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def lazy(package: str, homes: Mapping[str, str]) -> tuple[list[str], Callable[[str], object], Callable[[], list[str]]]:
    """Return what a package binds to ``__all__``, ``__getattr__`` and ``__dir__``.

    Args:
        package: Its ``__name__``.
        homes: The names it gives out, with blanks between, by the module where they are.
    """
    public = {name: home for home, names in homes.items() for name in names.split()}
    names = vars(sys.modules[package])

    def find(name: str) -> object:
        if name not in public:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from importlib import import_module  # not for those who import submodules alone

        value = getattr(import_module(public[name], package), name)
        names[name] = value
        return value

    def known() -> list[str]:
        return sorted({*names, *public})

    return sorted(public), find, known
