"""The metrics that expressions may name: what each means, in what it is counted, and where it can be asked for.

*Live* ones are known while the run goes on, from its samples: a steady state and the condition of a fault can ask for
them. *Windowed* ones are taken from the history of a whole window, afterwards: objectives ask for those.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING

import attrs

from ._problems import did_you_mean
from ._quantities import Unit

if TYPE_CHECKING:
    from collections.abc import Iterator

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}

_GAUGES = {
    "pool.ready": ("workers able to serve, those that are busy included", Unit.NUMBER),
    "pool.busy": ("workers that hold a request", Unit.NUMBER),
    "pool.size": ("workers the pool is meant to have", Unit.NUMBER),
    "queue.depth": ("requests accepted and not yet written to a worker", Unit.NUMBER),
    "in_flight": ("requests sent by the load and not yet answered", Unit.NUMBER),
    "sessions": ("sessions the pool knows", Unit.NUMBER),
    "rss": ("resident memory of the application", Unit.BYTES),
    "fds": ("open file descriptors of the application", Unit.NUMBER),
    "threads": ("threads of the application", Unit.NUMBER),
    "tasks": ("tasks of the application's Trio", Unit.NUMBER),
    "lag": ("how late the application's event loop came to the sampler", Unit.SECONDS),
}
_EXTREMES = {"min": "least", "mean": "mean", "max": "most"}

_COUNTS = {
    "sent": "requests sent",
    "ok": "requests answered",
    "failed": "requests that certainly failed: not executed, or their command raised",
    "info": "requests that may have run or not: their worker died, or their caller gave up",
    "dropped": "arrivals beyond max_in_flight, never sent",
    "restarts": "starts of a worker in the place of one that ended unasked",
    "worker.restarts": "the same as restarts",
    "stale_replies": "replies that came when nobody waited for them any more, and were dropped",
    "redispatched": "requests handed to another worker because theirs ended before it had begun them",
    "retried": "requests that ran once more because they are idempotent",
}

_LIVE = {"sent", "ok", "failed"}
"""Those counts that are known while the run goes on, and over how many seconds one likes."""

_TIMES = {
    "latency": "from the moment a request was meant to be sent to its answer",
    "latency_all": "the same of failures too, each with the time it took to fail, or all the time it had",
    "service": "from the moment a request was sent to its answer",
    "queue_wait": "from the moment a request was sent until it was written to a worker",
    "generator_lag": "from the moment a request was meant to be sent until it was",
}

_INCIDENTS = {
    "time_to_detect": "from a fault until the pool noticed",
    "time_to_capacity": "from a fault until all workers were there again",
    "time_to_first_ok": "from a fault to the first answer out of the place it hit",
    "time_to_steady": "from a fault until the steady state held again",
}

_FAULTS = {
    "strikes": "times it struck",
    "hits": "workers it hit",
    "hit_in_flight": "workers it hit while they ran a request",
    "hit_several": "workers it hit while they had several requests",
    "frames": "messages on links that it changed, moved or held",
    "missed": "times it found nobody to hit",
}


@attrs.frozen(kw_only=True)
class MetricKind:
    """A metric, or a family of them.

    Args:
        name: Its name; ``NAME`` in it stands for a fault's, ``CLASS`` for an error's.
        meaning: One line.
        unit: What it is counted in.
        live: Whether it is known while the run goes on.
        windowed: Whether it can be taken from a whole window.
    """

    name: str
    meaning: str
    unit: Unit = Unit.NUMBER
    live: bool = True
    windowed: bool = True

    def matches(self, name: str) -> bool:
        """Tell whether a name is this metric's."""
        pattern = re.escape(self.name).replace("NAME", r"[\w-]+").replace("CLASS", r"[A-Za-z_]\w*")
        return re.fullmatch(pattern, name) is not None


def _all() -> Iterator[MetricKind]:
    for name, (meaning, unit) in _GAUGES.items():
        yield MetricKind(name=name, meaning=meaning, unit=unit, windowed=False)
        for extreme, word in _EXTREMES.items():
            yield MetricKind(name=f"{name}.{extreme}", meaning=f"{meaning}: the {word}", unit=unit, live=False)
    yield MetricKind(name="success_rate", meaning="answered requests among those that ended", unit=Unit.SHARE)
    for name, meaning in _COUNTS.items():
        yield MetricKind(name=name, meaning=meaning, live=name in _LIVE)
    for name, meaning in _TIMES.items():
        for part in chain(QUANTILES, ("min", "mean", "max")):
            whole = f"{meaning}: {_said(part)}"
            yield MetricKind(name=f"{name}.{part}", meaning=whole, unit=Unit.SECONDS, live=False)
    for name, meaning in _INCIDENTS.items():
        for part in ("max", "mean"):
            whole = f"{meaning}: {_said(part)} of all its strikes in the window"
            yield MetricKind(name=f"{name}.{part}", meaning=whole, unit=Unit.SECONDS, live=False)
    for part, meaning in _FAULTS.items():
        yield MetricKind(name=f"fault.NAME.{part}", meaning=f"of the fault of that name: {meaning}", live=False)
    yield MetricKind(name="error.CLASS", meaning="requests that ended with an error of that class", live=False)


def _said(part: str) -> str:
    if part in QUANTILES:
        return f"{QUANTILES[part] * 100:g} % are at most this"
    return {"min": "the shortest", "mean": "the mean", "max": "the longest"}[part]


METRICS: tuple[MetricKind, ...] = tuple(_all())

_PLAIN = {metric.name: metric for metric in METRICS}


def metric_kind(name: str) -> MetricKind:
    """Return the metric of that name.

    Raises:
        ValueError: There is none; the message says what was probably meant.
    """
    found = _PLAIN.get(name) if not re.search("NAME|CLASS", name) else None
    if found is None:
        found = next((metric for metric in METRICS if metric.matches(name)), None)
    if found is not None:
        return found
    if name.startswith("fault."):
        raise ValueError(f"there is no metric {name!r}; of a fault there are {_listed('fault.NAME.')}")
    head = name.partition(".")[0]
    if {f"{head}.{part}" for part in ("max", "p99")} & _PLAIN.keys():
        raise ValueError(f"there is no metric {name!r}; there are {_listed(f'{head}.')}")
    close = did_you_mean(name, _PLAIN)
    if close.startswith("there are"):
        close = "`list metrics` shows them"
    raise ValueError(f"there is no metric {name!r}; {close}")


def _listed(start: str) -> str:
    return ", ".join(metric.name for metric in METRICS if metric.name.startswith(start))
