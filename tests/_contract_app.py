"""The application of the workers that the contract of workers is checked on."""

from __future__ import annotations

import os
import sys
import time

from trio_pool.bridge import Bridge, Session, builtin

bridge = Bridge()
bridge.include(builtin)


@bridge.command
def remember(session: Session, key: str, value: int) -> None:
    """Keep a value in the session."""
    session.state[key] = value


@bridge.command
def recall(session: Session) -> dict[str, object]:
    """Return all the session keeps."""
    return dict(session.state)


@bridge.command
def add(left: int, right: int = 1) -> int:
    """Add."""
    return left + right


@bridge.command
def halve(value: float | None) -> float:
    """Halve what is there."""
    return 0.0 if value is None else value / 2


@bridge.command
def spell(value: float) -> str:
    """Tell an int from a float."""
    return repr(value)


@bridge.command
def join(first: str, /, *, second: str = "b", **rest: str) -> str:
    """Join texts, with parameters of every kind."""
    return "".join((first, second, *rest.values()))


@bridge.command
def fail(text: str) -> None:
    """Raise."""
    raise LookupError(text)


@bridge.command
def fail_badly() -> None:
    """Raise with a message that cannot travel as it is."""
    raise ValueError("lone surrogate \udc80")


@bridge.command
def pretend() -> None:
    """Raise what only the library may say of itself: that the command did not run."""
    from trio_pool import InvalidArguments  # and Trio with it, of which other workers know nothing

    raise InvalidArguments("never ran")


@bridge.command
def unserializable() -> object:
    """Return what cannot travel."""
    return {"rows": [1, object()]}


@bridge.command
def produce(size: int) -> bytes:
    """Return so many bytes."""
    return b"x" * size


@bridge.command
def hold(path: str) -> str:
    """Occupy the worker until there is a file."""
    while not os.path.exists(path):
        time.sleep(0.002)
    return "released"


@bridge.command
def leave(code: int) -> None:
    """End the worker."""
    sys.exit(code)


def language_model(**given: object) -> object:
    """Return a language model that needs no other machine."""
    from dspy.utils import DummyLM  # seconds that only one test needs

    return DummyLM([{"answer": f"an answer of {given['model']}"}])
