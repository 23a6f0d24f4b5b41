"""The gate: is the pool well, before the method starts and after it has ended?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import trio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..scenario._expressions import Expression
    from ..scenario._model import Hold
    from ._live import LiveMetrics
    from ._sampler import Sampler


@attrs.frozen(kw_only=True)
class Steadiness:
    """Whether the conditions held, how long it took until they began to, and which did not at the end."""

    ok: bool
    took: float
    failing: tuple[str, ...]


async def steady(require: Sequence[Expression], hold: Hold, live: LiveMetrics, sampler: Sampler) -> Steadiness:
    """Wait until all conditions have held for `Hold.hold` seconds, judged at every sample.

    They must begin to hold within `Hold.within` seconds, and then hold on.
    """
    start = trio.current_time()
    since: float | None = None
    failing: tuple[str, ...] = ()
    while True:
        await sampler.next_sample()
        now = trio.current_time()
        failing = tuple(expression.text for expression in require if not live.holds(expression))
        if failing:
            since = None
            if now - start > hold.within:
                return Steadiness(ok=False, took=now - start, failing=failing)
        else:
            since = now if since is None else since
            if now - since >= hold.hold:
                return Steadiness(ok=True, took=since - start, failing=())
            # A pool that keeps falling out of the steady state is not in it, however often it comes back.
            if now - start > hold.within + hold.hold:
                return Steadiness(ok=False, took=now - start, failing=("held, but never for long enough",))
