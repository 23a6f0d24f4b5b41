"""Restart policy: whether a child is started again, how soon, and when its supervisor gives up.

Three independent brakes, all pure arithmetic on times passed in (seconds of any monotonic clock):

- `Restart` says after which exits a child is started again.
- `Backoff` and `BackoffTimer` space the restarts of one child. The first is immediate, for most crashes are single.
- `RestartWindow` counts the restarts of all children under one supervisor. It is OTP's restart intensity: a sliding
  window whose edge is inclusive, and the restart after ``max_restarts`` is the one refused.

The last two can cancel each other out: delays that add up to more than the window mean that the limit is never
reached and a crash loop goes on for ever, although a limit is set. `RestartPolicy.check` refuses that.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final, cast

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

_MAX_EXPONENT: Final = 1000
"""Growth stops here. Arbitrary: any sensible factor has met ``maximum`` long before a thousand restarts in a row; it
keeps the power, and the sum that `RestartPolicy.check` forms, cheap however large the attempt number is."""

_MIN_RESTARTS: Final = 5
"""Least limit chosen by default, so that a pool of one worker survives a short burst of crashes."""

_UNLIMITED_MEMORY: Final = 1000
"""Charges remembered where there is no limit; arbitrary, they only serve `RestartWindow.count`."""


class Restart(StrEnum):
    """After which exits a child is started again."""

    PERMANENT = "permanent"
    """After every exit."""
    TRANSIENT = "transient"
    """After a crash; a clean exit ends it, its specification stays."""
    TEMPORARY = "temporary"
    """Never; its specification is dropped with it."""


class Jitter(StrEnum):
    """How delays are spread so that children that died together do not start together."""

    FULL = "full"
    """Uniform between nothing and the computed delay."""
    NONE = "none"
    """Exactly the computed delay."""


def as_restart(value: Restart | str) -> Restart:
    """Return the `Restart` of that name, or raise a ValueError that names the field."""
    try:
        return Restart(value)
    except ValueError:
        raise ValueError(f"restart must be one of {', '.join(Restart)}, not {value!r}") from None  # says all there is


def _as_jitter(value: Jitter | str) -> Jitter:
    try:
        return Jitter(value)
    except ValueError:
        raise ValueError(f"jitter must be one of {', '.join(Jitter)}, not {value!r}") from None  # says all there is


def is_number(value: object) -> bool:
    """Tell whether a value is a real number that is not NaN; a bool is not one."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)


def number(
    *, above: float | None = None, at_least: float | None = None, infinite: bool = False
) -> Callable[[object, attrs.Attribute[float], float], None]:
    """Make an attrs validator for a number, whose ValueError names the field.

    Args:
        above: The value must be greater than this.
        at_least: The value must be this or greater.
        infinite: Whether ``math.inf`` is allowed.
    """
    wanted = "a number" if infinite else "a finite number"
    if above is not None:
        wanted += f" > {above:g}"
    if at_least is not None:
        wanted += f" >= {at_least:g}"

    def validate(_instance: object, attribute: attrs.Attribute[float], value: float) -> None:
        if (
            not is_number(value)
            or (above is not None and value <= above)
            or (at_least is not None and value < at_least)
            or (math.isinf(value) and not infinite)
        ):
            raise ValueError(f"{attribute.name} must be {wanted}, not {value!r}")

    return validate


def check_max_restarts(value: float) -> None:
    """Raise a ValueError unless the value is a whole number >= 0 or ``math.inf``."""
    if not is_number(value) or value < 0 or (math.isfinite(value) and value != int(value)):
        raise ValueError(f"max_restarts must be a whole number >= 0 or inf, not {value!r}")


def _validate_max_restarts(_instance: object, _attribute: attrs.Attribute[float | None], value: float | None) -> None:
    if value is not None:
        check_max_restarts(value)


@attrs.frozen(kw_only=True)
class Backoff:
    """How long a child waits before it is started again.

    The first restart is immediate, the second waits ``initial`` seconds, and each further one ``factor`` times longer
    up to ``maximum``. A child that has run for ``reset_after`` seconds is stable: its next restart is the first again.

    Args:
        initial: Delay of the second restart in a row, in seconds.
        factor: Growth per further restart; 1 keeps the delay constant.
        maximum: Longest delay, in seconds.
        jitter: How delays are spread.
        reset_after: Seconds a child must have run to be stable again; ``math.inf`` for never.

    Raises:
        ValueError: A value is out of range; the message names the field.
    """

    initial: float = attrs.field(default=0.1, validator=number(at_least=0))
    factor: float = attrs.field(default=2.0, validator=number(at_least=1))
    maximum: float = attrs.field(default=10.0, validator=number(at_least=0))
    jitter: Jitter = attrs.field(default=Jitter.FULL, converter=_as_jitter)
    reset_after: float = attrs.field(default=5.0, validator=number(above=0, infinite=True))

    def __attrs_post_init__(self) -> None:
        if self.initial > self.maximum:
            raise ValueError(f"initial must not exceed maximum ({self.maximum!r}), not {self.initial!r}")

    def plain(self, attempt: int) -> float:
        """Return the delay before the ``attempt``-th restart in a row, counted from 1, without jitter."""
        if attempt <= 1:
            return 0.0
        try:
            return min(self.maximum, self.initial * self.factor ** min(attempt - 2, _MAX_EXPONENT))
        except OverflowError:  # the power exceeds every float
            return self.maximum if self.initial else 0.0

    def delay(self, attempt: int, rng: Random) -> float:
        """Return the delay before the ``attempt``-th restart in a row, counted from 1, jitter included."""
        plain = self.plain(attempt)
        if self.jitter is Jitter.NONE or not plain:
            return plain
        return rng.uniform(0.0, plain)

    def total(self, restarts: int) -> float:
        """Return the sum of the first ``restarts`` delays without jitter, in bounded time."""
        settled = _MAX_EXPONENT + 2
        total = math.fsum(self.plain(attempt) for attempt in range(1, min(restarts, settled) + 1))
        return total + max(0, restarts - settled) * self.plain(settled)


def _as_backoff(value: object) -> Backoff:
    if isinstance(value, Backoff):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"backoff must be a Backoff or a mapping of its fields, not {value!r}")
    fields = dict(cast("Mapping[str, object]", value))
    unknown = sorted(set(fields) - {field.name for field in attrs.fields(Backoff)})
    if unknown:
        raise ValueError(f"backoff has no field {unknown[0]!r}")
    try:
        return Backoff(**fields)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # its validators check
    except ValueError as exc:
        raise ValueError(f"backoff.{exc}") from exc


@attrs.frozen(kw_only=True)
class RestartPolicy:
    """How children are restarted and when that stops.

    Args:
        restart: After which exits.
        max_restarts: Restarts allowed within ``within`` seconds, over all slots; the next one is a give-up. 0 gives up
            at the first, ``math.inf`` never. None chooses ``max(5, 2 x slots)``: every slot may die twice.
        within: Length of the window in seconds.
        backoff: The delays; a mapping of its fields is accepted.

    Raises:
        ValueError: A value is out of range; the message names the field.
    """

    restart: Restart = attrs.field(default=Restart.PERMANENT, converter=as_restart)
    max_restarts: float | None = attrs.field(default=None, validator=_validate_max_restarts)
    within: float = attrs.field(default=30.0, validator=number(above=0))
    backoff: Backoff = attrs.field(factory=Backoff, converter=_as_backoff)

    def limit(self, slots: int) -> float:
        """Return the number of restarts allowed within the window for that many slots."""
        return max(_MIN_RESTARTS, 2 * slots) if self.max_restarts is None else self.max_restarts

    def check(self, slots: int) -> None:
        """Refuse a limit that the delays make unreachable.

        In a crash loop where every start fails at once, the slots share the restarts between them. If the delays alone
        outlast the window, the oldest restart has left it before the last one enters, and nobody ever gives up.

        Args:
            slots: How many children share the limit.

        Raises:
            ValueError: The first ``limit(slots)`` delays, without jitter and divided by ``slots``, sum to ``within`` or
                more.
        """
        limit = self.limit(slots)
        if math.isinf(limit):
            return
        total = self.backoff.total(int(limit)) / slots
        if total >= self.within:
            raise ValueError(
                f"max_restarts = {limit:g} within {self.within:g} s can never be reached: its backoff delays alone take"
                f" {total:g} s over {slots} slot(s); lower max_restarts or the backoff, or raise within"
            )


class RestartWindow:
    """Counts restarts in a sliding window.

    Args:
        max_restarts: Restarts allowed in the window; ``math.inf`` for no limit.
        within: Length of the window in seconds.

    Raises:
        ValueError: A value is out of range; the message names it.
    """

    __slots__ = ("_remembered", "_times", "max_restarts", "within")

    def __init__(self, max_restarts: float, within: float) -> None:
        check_max_restarts(max_restarts)
        if not is_number(within) or not 0 < within < math.inf:
            raise ValueError(f"within must be a finite number > 0, not {within!r}")
        self.max_restarts = max_restarts
        self.within = within
        self._times: deque[float] = deque()
        # One more than the limit is all it takes to know that the limit is exceeded.
        self._remembered = _UNLIMITED_MEMORY if math.isinf(max_restarts) else max_restarts + 1

    def charge(self, now: float) -> bool:
        """Enter a restart at ``now``; return True if it is allowed, False if it is one too many.

        A restart exactly ``within`` seconds old still counts, as in OTP. Times must not decrease.
        """
        self._times.append(now)
        if len(self._times) > self._remembered:
            self._times.popleft()
        return self.count(now) <= self.max_restarts

    def count(self, now: float) -> int:
        """Return the restarts in the window that ends at ``now``, as far as they are remembered."""
        times = self._times
        while times and now - times[0] > self.within:
            times.popleft()
        return len(times)


class BackoffTimer:
    """The backoff of one child: which restart in a row is due, and how long it waits.

    Args:
        backoff: The delays.
        rng: Source of the jitter.
    """

    __slots__ = ("_attempts", "_backoff", "_rng", "_started_at")

    def __init__(self, backoff: Backoff, rng: Random) -> None:
        self._backoff = backoff
        self._rng = rng
        self._attempts = 0
        self._started_at: float | None = None

    def started(self, now: float) -> None:
        """Note that the child started well; this alone forgives nothing."""
        self._started_at = now

    def ended(self, now: float) -> None:
        """Note that the child ended or failed to start; a run of ``reset_after`` seconds forgets restarts."""
        if self._started_at is not None and now - self._started_at >= self._backoff.reset_after:
            self._attempts = 0
        self._started_at = None

    def next_delay(self, now: float) -> float:
        """Note that the child ended at ``now`` and return how long its restart waits, in seconds."""
        self.ended(now)
        self._attempts += 1
        return self._backoff.delay(self._attempts, self._rng)
