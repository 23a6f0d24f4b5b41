"""Faults of a worker's link: frames that come late, in portions, damaged, twice, in another order, or not at all.

All of them aim at the link of one incarnation: when that worker has gone, its successor's link is sound. A *message* is
a request or a reply, with its large buffers; the hello and the ready frame count as messages too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from ._fault import Capability, Direction, FaultSpec, FramePart

if TYPE_CHECKING:
    from collections.abc import Callable

    from attrs import Attribute

    from ._quantities import Bytes, Seconds, Share, Throughput


def _at_least(least: float) -> Callable[[Any, Attribute[Any], Any], None]:
    def check(instance: object, attribute: Attribute[Any], value: float | None) -> None:
        if value is not None and not value >= least:
            raise ValueError(f"{attribute.name}: must be at least {least:g}, is {value}")

    return check


def _positive(instance: object, attribute: Attribute[Any], value: float) -> None:
    if not value > 0:
        raise ValueError(f"{attribute.name}: must be above 0, is {value}")


@attrs.frozen(kw_only=True)
class WireFault(FaultSpec):
    """What all faults of a link have.

    Args:
        direction: Which way the messages go that are hit.
        share: The probability for each message; None for every one.
        nth: Only the nth message after the strike, counted from 1, and with ``count`` those behind it. Not together
            with ``share``.
        count: How many are hit at most; None for any number, or one with ``nth``. With ``both`` directions, in each.
    """

    directions: ClassVar[tuple[Direction, ...]] = tuple(Direction)
    """Which ``direction`` makes sense."""

    direction: Direction = attrs.field(default=Direction.BOTH, converter=Direction)
    share: Share | None = None
    nth: int | None = attrs.field(default=None, validator=_at_least(1))
    count: int | None = attrs.field(default=None, validator=_at_least(1))

    def __attrs_post_init__(self) -> None:
        if self.direction not in self.directions:
            known = " or ".join(self.directions)
            raise ValueError(f"direction: {self.kind} is for {known}, not for {self.direction}")
        if self.share is not None and self.nth is not None:
            raise ValueError("nth: say either which message or the share of all, not both")
        if self.share is not None and not 0 < self.share <= 1:
            raise ValueError(f"share: must be above 0 and at most 1, is {self.share}")


_LAUNCHER = frozenset({Capability.LAUNCHER})


@attrs.frozen(kw_only=True)
class Latency(WireFault):
    """Messages arrive later.

    Args:
        delay: Seconds, in each of the directions.
        jitter: Each message's delay is longer or shorter by up to so many seconds.
    """

    kind = "wire.latency"
    summary = "messages arrive later, by a delay and some jitter"
    mechanism = "The link holds each message back from when it came; none overtakes another, so a late one delays all."
    good_pool = "Is slower by twice the delay and nothing else, as long as that is within its deadlines."
    checks = ("C4", "C13", "C14")
    needs = _LAUNCHER
    heals = True

    delay: Seconds = attrs.field(default=0.1, validator=_at_least(0))
    jitter: Seconds = attrs.field(default=0.0, validator=_at_least(0))


@attrs.frozen(kw_only=True)
class Bandwidth(WireFault):
    """Only so many bytes a second get through.

    Args:
        rate: Bytes a second, in each of the directions.
        burst: How many may go at once after a pause.
    """

    kind = "wire.bandwidth"
    summary = "only so many bytes a second get through"
    mechanism = "A token bucket on the link; what has no token waits, and when a megabyte waits the link takes no more."
    good_pool = "Makes progress on this link at that rate, and serves other workers' callers as ever."
    checks = ("C4", "C13", "C14")
    needs = _LAUNCHER
    heals = True

    rate: Throughput = attrs.field(default=100_000.0, validator=_positive)
    burst: Bytes = attrs.field(default=0, validator=_at_least(0))


@attrs.frozen(kw_only=True)
class Slice(WireFault):
    """Messages arrive in slices.

    Args:
        size: How long each slice is at most; 1 for single bytes.
        vary: Draw each slice's length between 1 and ``size``; otherwise all but the last are of just that length.
        pause: Seconds between two slices. To the worker, slices without a pause may be found, and read, together.
    """

    kind = "wire.slice"
    summary = "messages arrive in slices, down to single bytes"
    mechanism = "Each slice is one receive of the pool's, or one send to the worker."
    good_pool = "Puts every message together again, wherever it was cut."
    checks = ("C4", "C13")
    needs = _LAUNCHER
    heals = True

    size: Bytes = attrs.field(default=1, validator=_at_least(1))
    vary: bool = False
    pause: Seconds = attrs.field(default=0.0, validator=_at_least(0))


@attrs.frozen(kw_only=True)
class Coalesce(WireFault):
    """Messages wait for each other and arrive in one piece.

    Args:
        batch: How many make a piece.
        wait: Seconds that the first waits for the others at most.
    """

    kind = "wire.coalesce"
    summary = "messages wait for each other and arrive in one piece"
    mechanism = "The link keeps messages until there are enough of them, or the first has waited enough."
    good_pool = "Takes every message out of what it has read at once."
    checks = ("C4", "C13")
    needs = _LAUNCHER
    heals = True

    batch: int = attrs.field(default=2, validator=_at_least(2))
    wait: Seconds = attrs.field(default=0.05, validator=_positive)


@attrs.frozen(kw_only=True)
class Stall(WireFault):
    """A message stops on its way, and all behind it."""

    kind = "wire.stall"
    summary = "a message stops on its way, and all behind it, until it is healed"
    mechanism = "The link holds them back; when a megabyte waits it takes no more, as a full socket."
    good_pool = (
        "Sits out what is shorter than its deadlines; else tells the caller that its request may have run, and"
        " replaces the worker. Others notice nothing."
    )
    checks = ("C1", "C6", "C13", "C14")
    needs = _LAUNCHER
    heals = True


@attrs.frozen(kw_only=True)
class Truncate(WireFault):
    """The stream ends within a message.

    Args:
        size: How many of the message's bytes still arrive, header included; None for a number drawn with the strike,
            at least one and less than its first frame has.
    """

    kind = "wire.truncate"
    summary = "the stream ends within a message"
    mechanism = (
        "So many bytes of the message, then the end of the stream. A stream from the worker ends for the pool alone;"
        " one to the worker ends by closing the socket, and with it the way back."
    )
    good_pool = "Throws the fragment away, tells the caller what is true, kills what is left of the worker."
    checks = ("C1", "C2", "C4", "C17")
    needs = _LAUNCHER
    heals = True
    directions = (Direction.TO_WORKER, Direction.FROM_WORKER)

    direction: Direction = attrs.field(default=Direction.FROM_WORKER, converter=Direction)
    size: Bytes | None = attrs.field(default=None, validator=_at_least(0))


@attrs.frozen(kw_only=True)
class Corrupt(WireFault):
    """Bits of a message are flipped.

    Args:
        where: ``header``: one bit of the length, so that it is wrong by a power of two; ``length``: all its bits, four
            gigabytes; ``payload``: bits of the message itself.
        detectable: Of the payload, flip the one bit that makes any message undecodable. False flips ``bits`` of them
            anywhere, in a large buffer where there is one: the wire has no checksum, so what comes out may well be
            another value of the right kind, and then no pool can know. Only the client can, by the nonce and the digest
            that its reply must carry; a scenario with this needs to expect that checker's verdict.
        bits: How many, if not only detectable ones.
    """

    kind = "wire.corrupt"
    summary = "bits of a message are flipped: of its length, or of its content"
    mechanism = "The link changes the frame as it goes by."
    good_pool = (
        "Bad bytes cost the worker that sent them and nothing else: an undecodable frame or an absurd length ends it at"
        " once, a length that is a little too long at the request's deadline. Nothing is allocated on the word of a"
        " header beyond max_frame."
    )
    checks = ("C1", "C2", "C4", "C13", "C20")
    needs = _LAUNCHER
    heals = True
    directions = (Direction.TO_WORKER, Direction.FROM_WORKER)

    direction: Direction = attrs.field(default=Direction.FROM_WORKER, converter=Direction)
    where: FramePart = attrs.field(default=FramePart.PAYLOAD, converter=FramePart)
    detectable: bool = True
    bits: int = attrs.field(default=1, validator=_at_least(1))


@attrs.frozen(kw_only=True)
class Duplicate(WireFault):
    """Replies arrive twice.

    A request that came twice would run twice: nothing between pool and worker does that, and no worker is asked to
    bear it.
    """

    kind = "wire.duplicate"
    summary = "a reply arrives twice"
    mechanism = "The link keeps a copy of the reply and sends it right behind the first; beyond a megabyte it does not."
    good_pool = "Drops the second and counts it as stale; it reaches no other request."
    checks = ("C4", "C6")
    needs = _LAUNCHER
    heals = True
    directions = (Direction.FROM_WORKER,)

    direction: Direction = attrs.field(default=Direction.FROM_WORKER, converter=Direction)


@attrs.frozen(kw_only=True)
class Reorder(WireFault):
    """Two replies change places, or two requests, where a worker has more than one.

    Args:
        wait: Seconds that a message waits for the next at most. A reply does not wait at all where no other is due; a
            request always does.
    """

    kind = "wire.reorder"
    summary = "two replies change places, or two requests, where a worker has more than one"
    mechanism = (
        "The link keeps a message until the next of its kind has passed; beyond a megabyte it does not. What tells the"
        " worker to forget a session, or to stop, keeps its place."
    )
    good_pool = "Gives each reply to its own request, by id; a worker takes requests as they come."
    checks = ("C4", "C6")
    needs = _LAUNCHER
    heals = True

    direction: Direction = attrs.field(default=Direction.FROM_WORKER, converter=Direction)
    wait: Seconds = attrs.field(default=0.5, validator=_positive)


@attrs.frozen(kw_only=True)
class Drop(WireFault):
    """Requests or replies are swallowed; other messages are not."""

    kind = "wire.drop"
    summary = "a request or a reply never arrives"
    mechanism = "The link takes the message and passes nothing on."
    good_pool = "Ends the wait at the request's deadline, says truly whether it may have run, and replaces the worker."
    checks = ("C1", "C3", "C6", "C13")
    needs = _LAUNCHER
    heals = True
    directions = (Direction.TO_WORKER, Direction.FROM_WORKER)

    direction: Direction = attrs.field(default=Direction.FROM_WORKER, converter=Direction)


@attrs.frozen(kw_only=True)
class Unsolicited(WireFault):
    """A reply comes to a request that nobody sent."""

    kind = "wire.unsolicited"
    summary = "a well-formed reply comes to a request that nobody sent"
    mechanism = "The link puts it before a message of the worker's."
    good_pool = "Takes it for what it is, a worker that talks nonsense, and replaces it; nobody is answered with it."
    checks = ("C2", "C4", "C6")
    needs = _LAUNCHER
    heals = True
    directions = (Direction.FROM_WORKER,)

    direction: Direction = attrs.field(default=Direction.FROM_WORKER, converter=Direction)
