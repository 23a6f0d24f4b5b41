"""The ``[pool]`` table: the library's own `PoolConfig`, with durations and sizes as texts, and all mistakes at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import attrs

from trio_pool import PoolConfig

from ._problems import Problem, did_you_mean
from ._quantities import Unit, quantity, whole

if TYPE_CHECKING:
    from trio_pool import PoolOptions

REFUSED = {
    "launcher": "the harness starts the workers, so that its faults can reach them",
    "on_event": "the harness listens to the pool's events itself",
    "seed": "the run's own seed is the pool's: give the scenario one",
}
"""Fields that a scenario cannot set, and why."""

UNITS = {
    "checkout_timeout": Unit.SECONDS,
    "timeout": Unit.SECONDS,
    "abandon_grace": Unit.SECONDS,
    "lease_warning": Unit.SECONDS,
    "start_timeout": Unit.SECONDS,
    "shutdown_grace": Unit.SECONDS,
    "restart.within": Unit.SECONDS,
    "restart.backoff.initial": Unit.SECONDS,
    "restart.backoff.maximum": Unit.SECONDS,
    "restart.backoff.reset_after": Unit.SECONDS,
    "health.interval": Unit.SECONDS,
    "health.timeout": Unit.SECONDS,
    "sessions.ttl": Unit.SECONDS,
    "retry.budget": Unit.SHARE,
    "restart.backoff.factor": Unit.NUMBER,
    "restart.max_restarts": Unit.NUMBER,
    "max_frame": Unit.BYTES,
}
"""What its numbers that may be written as texts measure; whole numbers that count something are missing here."""

_DEFAULT = PoolConfig()


def pool_from(data: object, path: str) -> tuple[PoolConfig, list[Problem]]:
    """Return the configuration that a table describes, as far as it is right, and all that is wrong with it."""
    if not isinstance(data, Mapping):
        return _DEFAULT, [Problem(path, f"must be a table of the pool's settings, not {data!r}")]
    problems: list[Problem] = []
    values = _values(_DEFAULT, cast("Mapping[str, object]", data), "", path, problems)
    if problems:
        return _DEFAULT, problems
    try:
        return _config(values), []
    except ValueError as exc:  # two settings that do not fit together
        return _DEFAULT, [Problem(path, str(exc))]


def pool_to(config: PoolConfig) -> dict[str, object]:
    """Return the table that describes a configuration: what differs from the defaults."""
    return _changes(config, _DEFAULT)


def _values(
    default: attrs.AttrsInstance, data: Mapping[str, object], inside: str, path: str, problems: list[Problem]
) -> dict[str, object]:
    """Return the fields of one level that can be set to what they are given; what cannot joins the problems."""
    known = [field.name for field in attrs.fields(type(default)) if inside or field.name not in REFUSED]
    values: dict[str, object] = {}
    for key, value in data.items():
        here, name = f"{path}.{key}", f"{inside}{key}"
        if name in REFUSED:
            problems.append(Problem(here, f"cannot be set here: {REFUSED[name]}"))
            continue
        if key not in known:
            problems.append(Problem(here, f"is no setting of the pool; {did_you_mean(key, known)}"))
            continue
        current: object = getattr(default, key)
        if attrs.has(type(current)):
            if not isinstance(value, Mapping):
                problems.append(Problem(here, f"must be a table, not {value!r}"))
                continue
            inner = cast("Mapping[str, object]", value)
            values[key] = _values(cast("attrs.AttrsInstance", current), inner, f"{name}.", here, problems)
            continue
        try:
            values[key] = _alone(name, value)
        except ValueError as exc:
            # The library's messages begin with the field, which the path has said already.
            text = str(exc)
            problems.append(Problem(here, text.removeprefix(name).removeprefix(key).strip() if " " in text else text))
    return values


def _alone(name: str, value: object) -> object:
    """Return a field's value, having tried it with all others at their defaults."""
    if isinstance(value, str) and name in UNITS:
        unit = UNITS[name]
        value = whole(value, unit) if unit is Unit.BYTES else quantity(value, unit)
    tried: object = value
    for step in reversed(name.split(".")):
        tried = {step: tried}
    _config(cast("dict[str, object]", tried))
    return value


def _config(values: Mapping[str, object]) -> PoolConfig:
    return PoolConfig(**cast("PoolOptions", values))


def _changes(value: attrs.AttrsInstance, default: attrs.AttrsInstance) -> dict[str, object]:
    changes: dict[str, object] = {}
    for field in attrs.fields(type(value)):
        mine: object = getattr(value, field.name)
        other: object = getattr(default, field.name)
        if mine == other:
            continue
        if attrs.has(type(mine)):
            changes[field.name] = _changes(cast("attrs.AttrsInstance", mine), cast("attrs.AttrsInstance", other))
        elif isinstance(mine, str):
            changes[field.name] = str(mine)
        elif isinstance(mine, Mapping):
            changes[field.name] = dict(cast("Mapping[str, str]", mine))
        else:
            changes[field.name] = mine
    return changes
