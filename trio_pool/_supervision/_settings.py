"""What a supervisor is opened with, checked before anything starts."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING, TypedDict

import attrs

from .._core._restart import Backoff, RestartPolicy, RestartWindow
from .._core._strategy import AutoShutdown, StopOrder, Strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ._events import SupervisorEvent
    from ._spec import ChildSpec


class CommonOptions(TypedDict, total=False):
    """The options that every kind of supervisor takes; see `open_supervisor`."""

    max_restarts: float
    within: float
    backoff: Backoff | None
    rng: Random | None
    name: str
    on_event: Callable[[SupervisorEvent], None] | None


def _as_backoff(value: Backoff | None) -> Backoff:
    return Backoff(initial=0.0) if value is None else value


def _as_rng(value: Random | None) -> Random:
    return value or Random()  # noqa: S311  # it spreads delays, it guards nothing


@attrs.frozen(kw_only=True)
class Settings:
    """What a supervisor is opened with; see `open_supervisor`."""

    name: str = "supervisor"
    max_restarts: float = 3
    within: float = 5.0
    backoff: Backoff = attrs.field(default=None, converter=_as_backoff)
    rng: Random = attrs.field(default=None, converter=_as_rng)
    on_event: Callable[[SupervisorEvent], None] | None = None
    strategy: Strategy = Strategy.ONE_FOR_ONE
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
    stop_order: StopOrder = StopOrder.NEWEST_FIRST
    forgetful: bool = False
    """Whether a child that has ended for good is forgotten, as under a dynamic supervisor."""

    def __attrs_post_init__(self) -> None:
        RestartWindow(self.max_restarts, self.within)  # refuses what it cannot count

    def check_limit(self, specs: Iterable[ChildSpec]) -> None:
        """Refuse a limit that the backoff of these children makes unreachable.

        Where siblings restart together there is one crash loop at a time; else all children may be in one at once, as
        far as they have the same backoff.

        Raises:
            ValueError: See `RestartPolicy.check`.
        """
        for backoff, slots in Counter(spec.backoff or self.backoff for spec in specs).items():
            policy = RestartPolicy(max_restarts=self.max_restarts, within=self.within, backoff=backoff)
            policy.check(slots if self.strategy is Strategy.ONE_FOR_ONE else 1)
