"""A session handle: a session id with the pool it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._pool import SessionPool


class PoolSession:
    """One session, bound to its pool. Made by `SessionPool.session`, which ends it on leaving."""

    def __init__(self, pool: SessionPool, session_id: str) -> None:
        self.pool = pool
        self.session_id = session_id

    def __repr__(self) -> str:
        return f"<PoolSession {self.session_id!r}>"

    async def execute(
        self,
        command: str,
        args: Mapping[str, object] | None = None,
        *,
        timeout: float | None = None,  # the budget of the command, see `execute_in_session`
        checkout_timeout: float | None = None,
        idempotent: bool = False,
    ) -> Any:  # whatever the command returns
        """Run a command in this session; see `SessionPool.execute_in_session`."""
        return await self.pool.execute_in_session(
            self.session_id,
            command,
            args,
            timeout=timeout,
            checkout_timeout=checkout_timeout,
            idempotent=idempotent,
        )
