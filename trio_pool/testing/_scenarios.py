"""Error scenarios: trouble as a value, which a `MockPort` can be made to have."""

from __future__ import annotations

import math
import signal
from collections import Counter
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING, assert_never

import attrs
import trio

if TYPE_CHECKING:
    from ._mock_port import MockPort
    from ._mock_script import ReceivedCommand
    from ._mock_worker import MockWorker


def _number(least: float, most: float = math.inf, *, above: bool = False) -> float:
    """Make a field for a finite number between two limits, the lower one excluded if it must be above."""

    def validate(_instance: object, attribute: attrs.Attribute[float], value: object) -> None:
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most
        if not good or value == math.inf or (above and value == least):
            limits = f"{'above' if above else 'at least'} {least:g}" + (
                "" if most == math.inf else f", at most {most:g}"
            )
            raise ValueError(f"{attribute.name} must be a number {limits}, not {value!r}")

    field: float = attrs.field(validator=validate)
    return field


def _positive(_instance: object, attribute: attrs.Attribute[int], value: object) -> None:
    if type(value) is not int or value < 1:  # a bool is no number of workers
        raise ValueError(f"{attribute.name} must be an integer, at least 1, not {value!r}")


class NetworkPattern(StrEnum):
    """What becomes of messages while the network fails."""

    COMPLETE_LOSS = "complete_loss"
    """None arrives."""
    INTERMITTENT = "intermittent"
    """Each arrives or does not, with the same chance."""
    HIGH_LATENCY = "high_latency"
    """All arrive, once the failure is over."""


class Resource(StrEnum):
    """What a process can run out of."""

    MEMORY = "memory"
    CPU = "cpu"
    FILE_DESCRIPTORS = "file_descriptors"


class Target(StrEnum):
    """Which worker is hit."""

    RANDOM = "random"
    """Any."""
    OLDEST = "oldest"
    """The one that was started first."""
    NEWEST = "newest"
    """The one that was started last."""
    BUSIEST = "busiest"
    """The one that was given the most commands; among equals, any."""


class ErrorScenario:
    """Trouble, as a value. Its four kinds are `NetworkFailure`, `ResourceExhaustion`, `WorkerCrash`, `SlowOperations`.

    .. versionadded:: 0.1
    """

    @staticmethod
    def choose(random: Random) -> ErrorScenario:
        """Return one by chance: every kind is as likely as the others, and so is each of the values it may have."""
        kind = random.randrange(4)
        if kind == 0:
            return NetworkFailure(random.choice(list(NetworkPattern)), random.choice((0.1, 0.5, 1.0, 5.0)))
        if kind == 1:
            return ResourceExhaustion(random.choice(list(Resource)), random.choice((0.5, 0.8, 0.95, 1.0)))
        if kind == 2:
            return WorkerCrash(random.choice(list(Target)), random.choice((1, 2, 3)))
        return SlowOperations(random.choice((1.0, 5.0, 10.0, 30.0)), random.choice((0.1, 0.25, 0.5, 1.0)))

    def apply_to(self, port: MockPort, *, seed: int = 0) -> None:
        """Make the workers of a port have this trouble, from now on.

        It works on Trio's clock, so that with a virtual one it costs no time. Several may be applied to one port; what
        lasts ends with `MockPort.heal`.

        Args:
            port: Whose workers they are.
            seed: Decides what is left to chance: which commands, and which worker.

        Raises:
            ValueError: A worker in memory cannot have this trouble.
        """
        raise NotImplementedError


@attrs.frozen
class NetworkFailure(ErrorScenario):
    """What is sent to a worker for some time does not arrive, or not in time.

    Args:
        pattern: What becomes of commands that come meanwhile, pings included; those that came before are answered.
        duration: Seconds it lasts; 0.1 to 5 in `TestDataGenerators.error_scenario`.

    Raises:
        ValueError: A value is wrong; the message names it.

    .. versionadded:: 0.1
    """

    pattern: NetworkPattern = attrs.field(converter=NetworkPattern)
    duration: float = _number(0, above=True)

    def apply_to(self, port: MockPort, *, seed: int = 0) -> None:
        """Let the failure begin; it ends by itself. See `ErrorScenario.apply_to`."""
        random = Random(seed)  # noqa: S311  # reproducible on purpose
        end = trio.current_time() + self.duration

        def delay(received: ReceivedCommand) -> float:
            if received.at >= end:
                return 0.0
            match self.pattern:
                case NetworkPattern.COMPLETE_LOSS:
                    return math.inf
                case NetworkPattern.INTERMITTENT:
                    return math.inf if random.random() < 0.5 else 0.0
                case NetworkPattern.HIGH_LATENCY:
                    return end - received.at
                case _:
                    assert_never(self.pattern)

        port.simulate_slow_response(delay)


@attrs.frozen
class ResourceExhaustion(ErrorScenario):
    """A worker's process runs out of something.

    A worker in memory has nothing to run out of, so `apply_to` raises ValueError. For real ones there is memory alone:
    ``chaos.ChaosMonkey.consume_memory`` takes it from the machine they run on.

    Args:
        resource: What is used up.
        severity: Which share of it; 0.5 to 1 in `TestDataGenerators.error_scenario`.

    Raises:
        ValueError: A value is wrong; the message names it.

    .. versionadded:: 0.1
    """

    resource: Resource = attrs.field(converter=Resource)
    severity: float = _number(0, 1, above=True)

    def apply_to(self, port: MockPort, *, seed: int = 0) -> None:
        """Refuse: see above.

        Raises:
            ValueError: Always.
        """
        hint = "; chaos.ChaosMonkey.consume_memory takes it from real ones" if self.resource is Resource.MEMORY else ""
        raise ValueError(f"a worker in memory has no {self.resource.replace('_', ' ')} to run out of{hint}")


@attrs.frozen
class WorkerCrash(ErrorScenario):
    """Workers are killed.

    Args:
        target: Which.
        count: How many, one after the other and each chosen anew; 1 to 3 in `TestDataGenerators.error_scenario`.

    Raises:
        ValueError: A value is wrong; the message names it.

    .. versionadded:: 0.1
    """

    target: Target = attrs.field(converter=Target)
    count: int = attrs.field(validator=_positive)

    def apply_to(self, port: MockPort, *, seed: int = 0) -> None:
        """Kill them, here and now; if there are fewer, all that there are. See `ErrorScenario.apply_to`."""
        random = Random(seed)  # noqa: S311  # reproducible on purpose
        for _ in range(min(self.count, len(port.workers))):
            self._choose(port, random).deliver(signal.SIGKILL)

    def _choose(self, port: MockPort, random: Random) -> MockWorker:
        workers = port.workers  # in the order of their start, which is Trio's to shuffle
        # By name, for the seed alone to decide; an incarnation's number tells those of several pools on one port apart.
        by_name = sorted(workers, key=lambda worker: (worker.worker_id, worker.ident.incarnation))
        match self.target:
            case Target.RANDOM:
                return random.choice(by_name)
            case Target.OLDEST:
                return workers[0]
            case Target.NEWEST:
                return workers[-1]
            case Target.BUSIEST:
                # An incarnation's number is its pool's own, and several pools may share a port.
                given = Counter((received.worker_id, received.incarnation) for received in port.history)
                counts = [given[worker.worker_id, worker.ident.incarnation] for worker in by_name]
                most = max(counts)
                return random.choice([worker for worker, count in zip(by_name, counts, strict=True) if count == most])
            case _:
                assert_never(self.target)


@attrs.frozen
class SlowOperations(ErrorScenario):
    """Some commands take longer.

    Args:
        delay: By so many seconds; 1 to 30 in `TestDataGenerators.error_scenario`.
        probability: The chance of each command to be one of them; 0.1 to 1 there.

    Raises:
        ValueError: A value is wrong; the message names it.

    .. versionadded:: 0.1
    """

    delay: float = _number(0)
    probability: float = _number(0, 1)

    def apply_to(self, port: MockPort, *, seed: int = 0) -> None:
        """Slow commands down from now on, pings included. See `ErrorScenario.apply_to`."""
        random = Random(seed)  # noqa: S311  # reproducible on purpose
        port.simulate_slow_response(lambda _: self.delay if random.random() < self.probability else 0.0)
