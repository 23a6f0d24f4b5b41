"""Session data: the commands by which a caller reads and changes the state of a session, key by key.

They come with the application ``builtin``. An application with commands of its own decides itself what callers may see
of its sessions; one that wants these commands too includes ``builtin``.
"""

from __future__ import annotations

from ._bridge import Bridge
from ._replies import invalid_arguments
from ._session import Session  # noqa: TC001  # parameters are annotated with it, which is read at run time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

# A bound against leaks, far above what anybody means to keep in one session.
DATA_LIMIT: Final = 1000
# What this library keeps in a session's state is under names that begin so, and is nobody else's to see or change.
_PRIVATE: Final = "trio_pool."
_ABSENT: Final = object()


def get_session_data(session: Session, key: str | None = None) -> dict[str, Any]:
    """Return what the session keeps under ``key``, or all of it; ``data`` has no key that is not there."""
    state = session.state
    keys = [name for name in _visible(session) if key is None or name == key]
    return {"session_id": session.session_id, "data": {name: state[name] for name in keys}}


def update_session_data(
    session: Session, operation: str, key: str | None = None, value: object = _ABSENT
) -> dict[str, Any]:
    """Change what the session keeps, and return how many keys were changed.

    Args:
        session: The caller's.
        operation: ``set`` a ``key`` to a ``value``, ``delete`` a ``key``, or ``clear`` all keys.
        key: For ``set`` and ``delete``. To delete what is not there changes nothing.
        value: For ``set``.

    Raises:
        Refused: The operation is unknown, lacks an argument or was given one too many, or the key is not to be had.
    """
    state = session.state
    if key is not None and key.startswith(_PRIVATE):
        raise invalid_arguments(f"keys that begin with {_PRIVATE!r} are the library's own")
    if operation == "set" and key is not None and value is not _ABSENT:
        if key not in state and len(_visible(session)) >= DATA_LIMIT:
            raise invalid_arguments(f"session {session.session_id!r} keeps {DATA_LIMIT} keys already")
        state[key] = value
        changed = 1
    elif operation == "delete" and key is not None and value is _ABSENT:
        changed = 0 if state.pop(key, _ABSENT) is _ABSENT else 1
    elif operation == "clear" and key is None and value is _ABSENT:
        # Programs are no data: `cleanup` drops those.
        visible = _visible(session)
        for name in visible:
            del state[name]
        changed = len(visible)
    else:
        raise invalid_arguments(
            "operations are 'set' with a key and a value, 'delete' with a key, and 'clear' with neither"
        )
    return {"session_id": session.session_id, "status": "updated", "operation": operation, "changed": changed}


def make_session_data() -> Bridge:
    """Return a bridge of these commands."""
    bridge = Bridge()
    bridge.command(get_session_data)
    bridge.command(update_session_data)
    return bridge


def _visible(session: Session) -> list[str]:
    # An application may have chosen a key that is no str; it cannot travel, and the caller is told so.
    return [name for name in session.state if not str(name).startswith(_PRIVATE)]
