"""Scenarios to begin one's own with, commented."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._problems import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEAD = """\
# {about}
#
# Check it with `validate`, look at what it comes to with `plan`, and run it. Times may be written "250ms", "5s" or
# "3m", rates "5/s", sizes "64KiB", shares "30%". `list faults` and `list metrics` show what there is.

schema = 1
name = "{name}"
summary = "{about}"
tags = []
# seed = 7              # without one, each run draws its own and tells it

# The pool's own settings, as trio_pool.PoolConfig has them; what is not here is at its default.
[pool]
size = 3
timeout = "3s"
"""

_OPERATIONS = """
# What is asked for, drawn by weight. `append` and `read` use a list that each session keeps in its worker.
[[workload.op]]
name = "append"
weight = 3
service_time = {{ dist = "uniform", low = "2ms", high = "30ms" }}

[[workload.op]]
name = "read"
weight = 4
idempotent = true       # the pool may run it again if its worker dies

[[workload.op]]
name = "work"
weight = 3
idempotent = true
alone = true            # without a session
service_time = {{ dist = "lognormal", p50 = "5ms", p99 = "50ms" }}
"""

_OVERLOAD_OPERATIONS = """
# Without sessions, so that every worker may take every request.
[[workload.op]]
name = "work"
idempotent = true       # the pool may run it again if its worker dies
service_time = {{ dist = "lognormal", p50 = "8ms", p99 = "50ms" }}
"""

_OWN_OPERATIONS = """
# Your own workers: a module, and in it the attribute that is your chaos.workload.Work, which names the application that
# workers import. Each operation is one of its commands.
[workload]
kind = "python:my_package.my_module:MyWork"

[[workload.op]]
name = "my_command"
idempotent = false
timeout = "2s"
"""

_PHASES = """
# Not measured: caches are cold and imports are slow.
[[phase]]
name = "warm-up"
duration = "2s"
measure = false
load = {{ model = "partly-open", session_rate = "8/s" }}

# Sessions arrive whatever became of those before; within one, requests follow each other.
[[phase]]
name = "main"
duration = "{duration}"
load = {{ model = "partly-open", session_rate = "8/s", requests = {{ dist = "geometric", mean = 4 }}, think = "50ms" }}

# Every fault is healed when it begins, and none strikes in it: the pool must come back by itself.
[[phase]]
name = "heal"
duration = "5s"
heal = true
load = {{ model = "partly-open", session_rate = "8/s" }}
"""

_OVERLOAD_PHASES = """
# Three workers of about 10 ms a request carry 300 a second at the very most.
[[phase]]
name = "calm"
duration = "5s"
load = {{ model = "open", rate = "50/s" }}

# Requests come whatever became of those before, so that the queue fills. What is more than max_in_flight is dropped and
# counted, never delayed: else the load would wait for the pool, and hide that it is slow.
[[phase]]
name = "twice"
duration = "{duration}"
load = {{ model = "open", rate = "600/s", max_in_flight = 2000 }}

[[phase]]
name = "heal"
duration = "5s"
heal = true
load = {{ model = "open", rate = "50/s" }}
"""

_STEADY = """
# How the pool is known to be well: before the first phase, or nothing is tested, and again after the last.
[steady_state]
require = ["pool.ready == pool.size", "queue.depth < 4"]
before = {{ hold = "500ms", within = "10s" }}
after = {{ hold = "500ms", within = "10s" }}
"""

_KILL = """
[[fault]]
name = "k"
kind = "kill"           # `explain kill` tells what it does, and what it can be told
at = {{ phase = "main", every = "1s", jitter = 0.3 }}
target = {{ state = "busy" }}
expect = {{ detect_within = "500ms", recover_within = "3s" }}
"""

_FREEZE = """
[[fault]]
name = "f"
kind = "freeze"
at = {{ phase = "main", time = "2s" }}
for = "5s"              # longer than any request may take: the worker must be replaced
target = {{ state = "busy" }}
expect = {{ recover_within = "8s" }}
"""

_WIRE = """
[[fault]]
name = "late"
kind = "wire.latency"
at = {{ phase = "main", time = "1s" }}
for = "3s"
delay = "200ms"
jitter = "50ms"

[[fault]]
name = "garbled"
kind = "wire.corrupt"   # undecodable: costs the worker that sent it, and nothing else
at = {{ phase = "main", time = "5s" }}
for = "2s"
nth = 1
target = {{ state = "busy" }}
"""

_SOAK = """
[[fault]]
name = "k"
kind = "kill"
at = {{ phase = "main", poisson = "0.2/s" }}

[[fault]]
name = "f"
kind = "freeze"
at = {{ phase = "main", poisson = "0.03/s" }}
for = "5s"
"""

_SERVICE = """
# What callers must get. A percentile needs enough requests, or it is unknown; `validate` says so beforehand.
[[slo]]
window = "main"
require = ["success_rate >= 80%", "dropped == 0"]

[[slo]]
window = "heal"
require = ["success_rate == 100%", "latency.p50 < 250ms"]
"""

_OVERLOAD_SERVICE = """
[[slo]]
window = "twice"
require = ["queue.depth.max <= 1000", "info == 0"]

[[slo]]
window = "heal"
require = ["latency.p50 < 500ms"]
"""

_SOMETIMES = """
# What must have happened at least once, or the run has tested nothing.
[checkers]
sometimes = ["{sometimes}"]

# How far faults may go.
[limits]
min_live_workers = 1
"""

TEMPLATES: Mapping[str, tuple[str, str, str, tuple[str, ...]]] = {
    "kill": (
        "Busy workers are killed",
        "10s",
        "fault.k.hit_in_flight >= 1",
        (_OPERATIONS, _PHASES, _KILL, _STEADY, _SERVICE, _SOMETIMES),
    ),
    "freeze": (
        "A worker stands still for longer than any deadline",
        "10s",
        "error.CommandTimeout >= 1",
        (_OPERATIONS, _PHASES, _FREEZE, _STEADY, _SERVICE, _SOMETIMES),
    ),
    "wire": (
        "A slow link, and a damaged one",
        "10s",
        "fault.garbled.hits >= 1",
        (_OPERATIONS, _PHASES, _WIRE, _STEADY, _SERVICE, _SOMETIMES),
    ),
    "overload": (
        "Twice the load that the pool can carry",
        "5s",
        "queue.depth > 50",
        (_OVERLOAD_OPERATIONS, _OVERLOAD_PHASES, _STEADY, _OVERLOAD_SERVICE, _SOMETIMES),
    ),
    "soak": (
        "An hour of load with a fault now and then",
        "1h",
        "restarts >= 100",
        (_OPERATIONS, _PHASES, _SOAK, _STEADY, _SERVICE, _SOMETIMES),
    ),
    "own": (
        "Workers of your own are killed",
        "10s",
        "fault.k.hits >= 1",
        (_OWN_OPERATIONS, _PHASES, _KILL, _STEADY, _SERVICE, _SOMETIMES),
    ),
}
"""By name: what it is about, how long its main phase is, what must happen at least once, and the parts of its text."""


def template(name: str, kind: str) -> str:
    """Return the text of a scenario to begin with.

    Args:
        name: What the scenario shall be called.
        kind: Which template.

    Raises:
        ValueError: There is no such template; the message says what was probably meant.
    """
    if kind not in TEMPLATES:
        raise ValueError(f"there is no template {kind!r}; {did_you_mean(kind, TEMPLATES)}")
    about, duration, sometimes, parts = TEMPLATES[kind]
    return "".join((_HEAD, *parts)).format(name=name, about=about, duration=duration, sometimes=sometimes)
