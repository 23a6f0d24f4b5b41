"""The texts of a class's docstring: its first paragraph, and what it says of each argument."""

from __future__ import annotations

import inspect
import re

_ARGUMENT = re.compile(r"    (\w+): (.*)")


def summary_text(cls: type) -> str:
    """Return the first paragraph, in one line."""
    return " ".join((inspect.getdoc(cls) or "").partition("\n\n")[0].split())


def argument_texts(cls: type) -> dict[str, str]:
    """Return what the docstrings of a class and its bases say of each argument, in one line each."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        name = ""
        for line in inspect.cleandoc(base.__dict__.get("__doc__") or "").partition("Args:\n")[2].splitlines():
            if (found := _ARGUMENT.fullmatch(line)) is not None:
                name = found[1]
                texts[name] = found[2]
            elif line.startswith("        ") and name:
                texts[name] += f" {line.strip()}"
            else:
                # A section of its own, such as Raises, ends the arguments.
                name = ""
                if line and not line.startswith(" "):
                    break
    return texts
