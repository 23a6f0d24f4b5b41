"""Requests that do harm, and callers who give up."""

from __future__ import annotations

from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING

import attrs
import trio

from .._fault import FaultMissed, FaultUnavailable
from ..scenario._process_faults import CancelStorm, Poison
from ..workload._ledger import BEGIN
from ._grip import HEAL_LIMIT, until
from ._orders import Deed, Orders

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from ..scenario._fault import FaultSpec
    from ..scenario._plan import Strike
    from ._injection import Arena, Injector, Victim
    from ._orders import Order


@attrs.define
class Poisoning:
    """Requests that kill whoever begins them."""

    orders: Orders
    given: Order
    requests: list[int] = attrs.field(factory=list[int])

    @property
    def effect(self) -> Mapping[str, object]:
        """Which requests are or were deadly, and whom they killed."""
        requests = self.requests or self.orders.poisoned(self.given)
        return {"requests": requests, "deaths": len(self.given.pids()), "pids": self.given.pids()}

    def healed(self) -> bool:
        """Whether no request will become deadly, and none is."""
        return not self.given.waits() and not self.orders.poisoned(self.given)


@asynccontextmanager
async def poison(
    spec: FaultSpec, strike: Strike, victims: Sequence[Victim], arena: Arena
) -> AsyncGenerator[Poisoning, None]:
    """Make the next requests deadly."""
    assert isinstance(spec, Poison)  # noqa: S101  # narrows the type: the registry is by kind
    orders = Orders(arena.orders)
    deed = Deed(do="die", arguments={"how": spec.death.value}, poison=True)
    poisoning = Poisoning(orders, orders.at_step(BEGIN, deed, count=spec.requests, operation=spec.operation))
    try:
        await trio.lowlevel.checkpoint()
        yield poisoning
    finally:
        poisoning.given.withdraw()
        # A worker takes the order first and makes its request deadly then: one that is just about to is waited for.
        with trio.move_on_after(HEAL_LIMIT, shield=True):
            await until(lambda: orders.settled(poisoning.given), HEAL_LIMIT)
        poisoning.requests = orders.poisoned(poisoning.given)
        for request in poisoning.requests:
            orders.clean(request)


@attrs.define
class Storm:
    """Callers who have given up."""

    requests: Sequence[int]

    @property
    def effect(self) -> Mapping[str, object]:
        """How many, and on what: the history says of each request when it ended, and only this when it should have."""
        return {"cancelled": len(self.requests), "requests": list(self.requests)}

    def healed(self) -> bool:
        """Nothing lasts."""
        return True


@asynccontextmanager
async def cancel_storm(
    spec: FaultSpec, strike: Strike, victims: Sequence[Victim], arena: Arena
) -> AsyncGenerator[Storm, None]:
    """Have callers give up."""
    assert isinstance(spec, CancelStorm)  # noqa: S101  # as above
    if arena.callers is None:
        raise FaultUnavailable("nobody who makes requests can be told to give up here")
    await trio.lowlevel.checkpoint()
    # The plan's number decides who, so that the same plan cancels the same ones of those who happen to wait.
    requests = arena.callers.cancel(spec.share, Random(strike.choice))  # noqa: S311  # reproducible on purpose
    if not requests:
        raise FaultMissed("nobody gave up: nobody was waiting, or the share of those who were came to none")
    yield Storm(requests)


INJECTORS: dict[str, Injector] = {Poison.kind: poison, CancelStorm.kind: cancel_storm}
