"""The session data commands of a worker in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..bridge import Session  # noqa: TC001  # parameters are annotated with it, which is read at run time
from ._mock_arguments import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

DATA_LIMIT: Final = 1000  # as in a real worker
_PRIVATE: Final = "trio_pool."
_ABSENT: Final = object()


def get_session_data(session: Session, key: str | None = None) -> dict[str, Any]:
    """Return what the session keeps under ``key``, or all of it."""
    visible = _visible(session)
    data = visible if key is None else {name: visible[name] for name in (key,) if name in visible}
    return {"session_id": session.session_id, "data": data}


def update_session_data(
    session: Session, operation: str, key: str | None = None, value: object = _ABSENT
) -> dict[str, Any]:
    """Set or delete a key of what the session keeps, or clear it, and return how many keys were changed."""
    if key is not None and key.startswith(_PRIVATE):
        raise Refusal("invalid_arguments", f"keys that begin with {_PRIVATE!r} are the library's own")
    visible = _visible(session)
    match operation, key, value is not _ABSENT:
        case "set", str(), True:
            if key not in visible and len(visible) >= DATA_LIMIT:
                message = f"session {session.session_id!r} keeps {DATA_LIMIT} keys already"
                raise Refusal("invalid_arguments", message)
            session.state[key] = value
            changed = 1
        case "delete", str(), False:
            changed = 1 if key in visible else 0
            session.state.pop(key, None)
        case "clear", None, False:
            changed = len(visible)
            for name in visible:
                del session.state[name]
        case _:
            known = "'set' with a key and a value, 'delete' with a key, and 'clear' with neither"
            raise Refusal("invalid_arguments", f"operations are {known}")
    return {"session_id": session.session_id, "status": "updated", "operation": operation, "changed": changed}


SESSION_DATA: Final[tuple[Callable[..., object], ...]] = (get_session_data, update_session_data)


def _visible(session: Session) -> dict[str, Any]:
    return {name: value for name, value in session.state.items() if not str(name).startswith(_PRIVATE)}
