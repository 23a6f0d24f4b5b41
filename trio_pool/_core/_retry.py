"""The retry budget: how much of a pool's load may be retries. No clock: every call is given the time.

A request whose worker died is tried again if it is idempotent. When not one worker dies but all of them do, because of
what they are asked or of what they all depend on, retries would double the load in the very moment in which the pool
can bear least. So there is a budget over all requests of a pool: a share of those submitted lately, and a small number
that is always there, for a pool with few requests would have no budget at all.

The rule is Finagle's ``RetryBudget`` (https://twitter.github.io/finagle/guide/Clients.html#retries: a share of the
requests of the last ten seconds, and a reserve), the reasons are those of the "retry budget" in Site Reliability
Engineering (Beyer et al., 2016), chapter 22, "Addressing Cascading Failures". Finagle keeps tokens that expire; here,
as with its ``WindowedAdder``, both counts are kept by the second, which is as cheap and can be said in one sentence:
the retries of this second and the ten before it are at most the share of the requests of the same seconds, or the
reserve, whichever is more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ._config import RetryPolicy

WINDOW: Final = 10
"""Whole seconds looked back, beside the one that has begun; the contract's number, and Finagle's."""

_KEPT: Final = WINDOW + 1


class RetryBudget:
    """Counts the requests and retries of one pool and says whether another retry may be made.

    Args:
        policy: The share and the reserve.
    """

    __slots__ = ("_policy", "_requests", "_retries", "_second")

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        # One place a second, used again and again; as many as are looked at, so memory is the same at any load.
        self._requests = [0] * _KEPT
        self._retries = [0] * _KEPT
        self._second = 0

    def request(self, now: float) -> None:
        """Count a request that was submitted."""
        second = int(now)
        if second != self._second:
            self._turn(second)
        self._requests[second % _KEPT] += 1

    def take(self, now: float) -> bool:
        """Count a retry if there is budget for it; False if there is none."""
        second = int(now)
        if second != self._second:
            self._turn(second)
        if sum(self._retries) + 1 > self.limit(now):
            return False
        self._retries[second % _KEPT] += 1
        return True

    def limit(self, now: float) -> float:
        """Return how many retries there may be in this second and the ten before it."""
        second = int(now)
        if second != self._second:
            self._turn(second)
        return max(self._policy.min_budget, self._policy.budget * sum(self._requests))

    def _turn(self, second: int) -> None:
        """Forget the seconds that are too long ago. Their places are those of the seconds that have come since."""
        for passed in range(self._second + 1, min(second, self._second + _KEPT) + 1):
            self._requests[passed % _KEPT] = self._retries[passed % _KEPT] = 0
        # A clock that went back, which Trio's do not, would keep counting in the seconds there are.
        self._second = max(second, self._second)
