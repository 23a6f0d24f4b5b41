"""An async context manager as a child: entered as its start, held open as its life, left as its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import trio

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager


@attrs.frozen
class HeldOpen:
    """Makes a startable of an async context manager: ``ChildSpec(id="db", start=HeldOpen(open_db), args=(url,))``.

    It has started when the context has been entered, and the child's value is what ``as`` would give. When the child is
    stopped the context is left by a cancellation, so that its cleanup must shield what has to be awaited, as everywhere
    in Trio. A context that fails while it is open, by cancelling its body as a nursery does, is a crash of the child.

    Args:
        factory: Called with the child's arguments for each incarnation; returns the context manager.
    """

    factory: Callable[..., AbstractAsyncContextManager[Any]] = attrs.field(validator=attrs.validators.is_callable())

    # Protected, or a Ctrl-C between the body and the call of ``__aexit__`` would leave the context open for good. It is
    # delivered to the main task instead. The context's own code is protected with it.
    @trio.lowlevel.enable_ki_protection
    async def __call__(  # noqa: ASYNC114  # nobody passes a __call__ to start_soon
        self, *args: Any, task_status: trio.TaskStatus[Any] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Enter the context, announce that, and hold it open until cancelled."""
        async with self.factory(*args) as value:
            task_status.started(value)
            await trio.sleep_forever()
