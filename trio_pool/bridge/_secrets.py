"""Secrets: texts that a worker was given and must not show, whatever fails.

A provider of language models may well repeat the key it refuses, and its answer becomes the message of an exception,
whose traceback repeats it again. So keys are taken out of error replies and of what is printed, which becomes log
records, where these leave the worker; nobody before that has to think of it. What a command returns is not touched: a
result is what the function returned.

Imported with the first secret.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from urllib.parse import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

COVER: Final = "[secret]"
# Shorter ones are what people write where a key is asked for and none is needed ("none", "EMPTY"), and words of any
# text; real keys are three times as long.
SHORTEST: Final = 8
# Each model configured anew may bring a key; those before may still be in use. Pretty arbitrary.
LIMIT: Final = 64


class Secrets:
    """The texts to cover, each in the forms in which it may appear."""

    __slots__ = ("_forms",)

    def __init__(self) -> None:
        self._forms: dict[str, tuple[str, ...]] = {}

    def add(self, secret: str) -> None:
        """Cover this text from now on, and the oldest one no more if there are too many."""
        if len(secret) < SHORTEST:
            return
        # As it is, as Python and JSON quote it, and as it stands in an address.
        forms = {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], quote(secret, safe="", errors="replace")}
        self._forms.pop(secret, None)
        # The longest first: others may be parts of it.
        self._forms[secret] = tuple(sorted(forms, key=len, reverse=True))
        if len(self._forms) > LIMIT:
            del self._forms[next(iter(self._forms))]

    def cover(self, text: str) -> str:
        """Return ``text`` without any of the secrets."""
        for forms in sorted(self._forms.values(), key=lambda forms: len(forms[0]), reverse=True):
            for form in forms:
                text = text.replace(form, COVER)
        return text

    def watch_output(self) -> None:
        """Cover what this process prints through its standard streams from now on.

        Also what is printed by those who took hold of a stream before, as handlers of `logging` do: not the name
        ``sys.stderr`` is given another stream, the stream is given another ``write``.
        """
        for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            if stream is not None and not isinstance(stream.write, CoveredWrite):
                # One of the application's own may not let itself be changed; what it hands on to Python's is covered.
                with suppress(AttributeError):
                    stream.write = CoveredWrite(stream.write, self)  # type: ignore[method-assign]  # see above


class CoveredWrite:
    """The ``write`` of a text stream, but no secret gets through.

    A secret that is written in two pieces is not found: who prints it so wants it seen.

    Args:
        write: The stream's own.
        secrets: What to cover.
    """

    __slots__ = ("_secrets", "_write")

    def __init__(self, write: Callable[[str], int], secrets: Secrets) -> None:
        self._write = write
        self._secrets = secrets

    def __call__(self, text: str) -> int:
        """Write ``text``; return its length."""
        self._write(self._secrets.cover(text))
        return len(text)
