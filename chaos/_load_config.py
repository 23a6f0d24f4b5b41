"""What load to put on a pool: how many users, how often each, for how long; and the plan that follows from it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from trio_pool.testing import Workload

from .scenario._streams import stream

if TYPE_CHECKING:
    from collections.abc import Iterator

OPERATIONS_PER_SECOND = 10.0
"""How often each user sends, unless the configuration says otherwise."""


def _positive(_config: object, attribute: attrs.Attribute[float], value: float | None) -> None:
    # A bool is an int to isinstance(), and nobody means one.
    if value is not None and not (type(value) in (int, float) and 0 < value < math.inf):
        raise ValueError(f"{attribute.name}: must be a number above 0, is {value!r}")


def _counting(_config: object, attribute: attrs.Attribute[int], value: int | None) -> None:
    if value is not None and not (type(value) is int and value >= 1):
        raise ValueError(f"{attribute.name}: must be a whole number from 1 on, is {value!r}")


def _workload(_config: object, attribute: attrs.Attribute[Workload], value: object) -> None:
    if not isinstance(value, (Workload, type(None))):
        raise ValueError(f"{attribute.name}: must be a Workload, is {value!r:.80}")


def _integer(_config: object, attribute: attrs.Attribute[int], value: object) -> None:
    if type(value) is not int:
        raise ValueError(f"{attribute.name}: must be a whole number, is {value!r:.80}")


@attrs.frozen
class LoadConfig:
    """A load. The defaults are the testing strategy's profile: 100 users, 10 operations a second each, for a minute.

    Args:
        duration_seconds: From the start to the last operation sent.
        concurrent_users: How many users there are; each is a session of the pool, ``user_1``, ``user_2`` and so on.
        operations_per_second: How many operations **each user** sends a second, so that all together send
            ``concurrent_users`` times as many: 1000 by default. None for 10, or for what ``workload`` says.
        pool_size: Workers of the pool that is opened for the run; None for twice the CPUs this process may use.
        workload: A rate that changes over time, in operations a second of all users together, who take turns; in
            place of ``operations_per_second``.
        max_in_flight: Operations that may be unanswered. Those beyond are not sent and count as failed. The default is
            as many as may wait in a pool (``max_queue``): more would be refused there.
        overtime_seconds: How long the last answers may take after the last operation was sent; what is unanswered
            then counts as failed. The default leaves room for a command's own default limit of 30 s.
        max_lag: How late, at the 99th percentile, operations may have been sent for the latencies to count as the
            pool's. The default is a tenth of the strictest limit the testing strategy sets, 100 ms.
        seed: Decides when within its period each user sends, or where chance puts the operations of ``workload``.

    Raises:
        ValueError: A value is out of range, or both ``operations_per_second`` and ``workload`` are given.
    """

    duration_seconds: float = attrs.field(default=60.0, validator=_positive)
    concurrent_users: int = attrs.field(default=100, validator=_counting)
    operations_per_second: float | None = attrs.field(default=None, validator=_positive)
    pool_size: int | None = attrs.field(default=None, validator=_counting)
    workload: Workload | None = attrs.field(default=None, validator=_workload, kw_only=True)
    max_in_flight: int = attrs.field(default=1000, validator=_counting, kw_only=True)
    overtime_seconds: float = attrs.field(default=35.0, validator=_positive, kw_only=True)
    max_lag: float = attrs.field(default=0.010, validator=_positive, kw_only=True)
    seed: int = attrs.field(default=0, validator=_integer, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if self.workload is not None and self.operations_per_second is not None:
            raise ValueError("workload: says how often operations are sent, so operations_per_second must be None")


@attrs.frozen
class PlannedOperation:
    """One operation: when it is meant to be sent, and by which user, counted from 1."""

    index: int
    at: float
    user: int

    @property
    def session_id(self) -> str:
        """The user's session."""
        return session_of(self.user)


def session_of(user: int) -> str:
    """Return the session id of a user."""
    return f"user_{user}"


def plan_operations(config: LoadConfig) -> Iterator[PlannedOperation]:
    """Return a load's operations in the order of their times; equal configurations give equal plans.

    What takes long is done before this returns: planning must not make the first operations late.
    """
    if config.workload is None:
        return _paced(config)
    arrivals = config.workload.arrivals(config.duration_seconds, config.seed)
    return (PlannedOperation(index, at, index % config.concurrent_users + 1) for index, at in enumerate(arrivals))


def _paced(config: LoadConfig) -> Iterator[PlannedOperation]:
    """Yield the operations of users who keep their pace.

    Each does so from an instant of its own within the first period. Of many independent ones the sum comes at
    times as irregular as people's do, while every user still sends exactly as often as was asked for.
    """
    rate = OPERATIONS_PER_SECOND if config.operations_per_second is None else config.operations_per_second
    chance = stream(config.seed, "phases")
    # One period after the other, in each of which the users come in the same order: nothing needs to be sorted or kept.
    phases = sorted((chance.random() / rate, user) for user in range(1, config.concurrent_users + 1))
    index = 0
    for turn in range(math.ceil(config.duration_seconds * rate)):
        for phase, user in phases:
            # Not `turn * period`: 600 tenths of a second are a minute only if the error of a tenth is not multiplied.
            at = turn / rate + phase
            if at >= config.duration_seconds:
                break  # of the last period, which may be a part of one
            yield PlannedOperation(index, at, user)
            index += 1
