"""The configuration: promised defaults, every mistake a ValueError naming its field, wherever the value came from."""

from __future__ import annotations

import copy
import math
import pickle
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_pool._core._config import (
    MAX_FRAME,
    MIN_FRAME,
    HealthPolicy,
    PoolConfig,
    PoolOptions,
    RetryPolicy,
    SessionPolicy,
)
from trio_pool._core._restart import Backoff, Jitter, Restart, RestartPolicy

if TYPE_CHECKING:
    from pathlib import Path


class NoLauncher:
    async def open(self, spec: object, nursery: object) -> None: ...


def ignore(event: object) -> None: ...


VALID: dict[str, object] = {
    "size": 3,
    "overflow": 2,
    "standby": 1,
    "checkout_timeout": 0,
    "timeout": math.inf,
    "abandon_grace": 0.5,
    "concurrency": 4,
    "max_queue": 0,
    "lease_warning": 10.0,
    "start_timeout": 10,
    "shutdown_grace": 0,
    "restart": RestartPolicy(restart=Restart.TRANSIENT, max_restarts=math.inf),
    "health": HealthPolicy(misses=5),
    "sessions": SessionPolicy(ttl=1.5),
    "retry": RetryPolicy(max_retries=2),
    "max_frame": MIN_FRAME,
    "env": {"TOKEN": "hidden"},
    "cwd": "/srv",
    "python": "/usr/bin/python3",
    "launcher": NoLauncher(),
    "on_event": ignore,
    "seed": -7,
}


def make(**options: Any) -> PoolConfig:
    """Make a configuration from whatever untyped code may pass."""
    return PoolConfig(**options)


def evolve(config: PoolConfig, **options: Any) -> PoolConfig:
    """Change a configuration likewise."""
    return config.evolve(**options)


def test_defaults_are_the_promised_ones() -> None:
    """Every field has the default that the contract's table gives."""
    assert attrs.asdict(PoolConfig()) == {
        "size": None,
        "overflow": 0,
        "standby": 0,
        "checkout_timeout": 5,
        "timeout": 30,
        "abandon_grace": 1,
        "concurrency": 1,
        "max_queue": 1000,
        "lease_warning": 60,
        "start_timeout": 30,
        "shutdown_grace": 5,
        "restart": attrs.asdict(RestartPolicy()),
        "health": {"interval": 5, "timeout": 2, "misses": 2},
        "sessions": {"ttl": 3600, "max_sessions": 10_000},
        "retry": {"max_retries": 1, "budget": 0.1, "min_budget": 10, "poison_after": 3},
        "max_frame": 64 * 2**20,
        "env": None,
        "cwd": None,
        "python": None,
        "launcher": None,
        "on_event": None,
        "seed": None,
    }
    assert attrs.asdict(RestartPolicy()) == {
        "restart": "permanent",
        "max_restarts": None,
        "within": 30,
        "backoff": {"initial": 0.1, "factor": 2, "maximum": 10, "jitter": "full", "reset_after": 5},
    }


def test_options_are_the_fields() -> None:
    """What type checkers accept as overrides is what the class has, in the same order."""
    assert list(PoolOptions.__annotations__) == [field.name for field in attrs.fields(PoolConfig)] == list(VALID)


@pytest.mark.parametrize("name", VALID)
def test_every_field_is_kept_as_given(name: str) -> None:
    """A good value arrives, through the constructor and as an override."""
    assert getattr(make(**{name: VALID[name]}), name) == VALID[name]
    assert getattr(evolve(PoolConfig(), **{name: VALID[name]}), name) == VALID[name]


REFUSED: dict[str, tuple[object, ...]] = {
    "size": (0, -1, 1.0, "4", True),
    "checkout_timeout": (-1, math.nan, "5", None, True),
    "timeout": (0, -1, math.nan, "5", None),
    "abandon_grace": (-0.1, math.inf, "1"),
    "overflow": (-1, 1.5, "1", True),
    "standby": (-1, 1.5, "1", True),
    "concurrency": (0, 1.5, "1", True),
    "max_queue": (-1, 1.5, math.inf, None),
    "lease_warning": (0, -1, math.nan, "60"),
    "start_timeout": (0, "30", []),
    "shutdown_grace": (-1, math.inf, False),
    "restart": (None, "permanent", HealthPolicy()),
    "health": (None, 5, RestartPolicy()),
    "sessions": (None, 5),
    "retry": (None, 1, HealthPolicy()),
    "max_frame": (MIN_FRAME - 1, MAX_FRAME + 1, 1e6),
    "env": ("A=1", {"A": 1}, {1: "a"}, {"A=B": "c"}, {"": "c"}, {"A": "\0"}, {"A\0": "c"}),
    "cwd": ("", 7, "a\0b"),
    "python": ("", b"python"),
    "launcher": (7, object()),
    "on_event": (7, "print"),
    "seed": (1.5, "seed", True),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in REFUSED.items() for value in values])
def test_a_bad_value_is_a_value_error_naming_the_field(name: str, value: object) -> None:
    """The message begins with the field, for the constructor and for overrides alike."""
    with pytest.raises(ValueError, match=rf"^{name}\b"):
        make(**{name: value})
    with pytest.raises(ValueError, match=rf"^{name}\b"):
        evolve(PoolConfig(), **{name: value})


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"sise": 4}, "sise"),
        ({"health": {"interval": 0}}, "health.interval"),
        ({"health": {"timeout": math.inf}}, "health.timeout"),
        ({"health": {"misses": 0}}, "health.misses"),
        ({"health": {"intervall": 1}}, "health.intervall"),
        ({"sessions": {"ttl": 0}}, "sessions.ttl"),
        ({"sessions": {"max_sessions": 0}}, "sessions.max_sessions"),
        ({"sessions": {"max": 1}}, "sessions.max"),
        ({"retry": {"max_retries": -1}}, "retry.max_retries"),
        ({"retry": {"max_retries": math.inf}}, "retry.max_retries"),
        ({"retry": {"budget": -0.1}}, "retry.budget"),
        ({"retry": {"budget": math.inf}}, "retry.budget"),
        ({"retry": {"min_budget": 0.5}}, "retry.min_budget"),
        ({"retry": {"poison_after": 0}}, "retry.poison_after"),
        ({"retry": {"retries": 1}}, "retry.retries"),
        ({"restart": {"within": -1}}, "restart.within"),
        ({"restart": {"restart": "sometimes"}}, "restart.restart"),
        ({"restart": {"max_restarts": 1.5}}, "restart.max_restarts"),
        ({"restart": {"backof": {}}}, "restart.backof"),
        ({"restart": {"backoff": {"factor": 0.5}}}, "restart.backoff.factor"),
        ({"restart": {"backoff": {"jitter": "some"}}}, "restart.backoff.jitter"),
        ({"restart": {"backoff": {"steps": 3}}}, "restart.backoff.steps"),
        ({"restart": {"backoff": 3}}, "restart.backoff"),
    ],
)
def test_mistakes_inside_policies_are_named_by_path(options: dict[str, object], path: str) -> None:
    """A policy may be a mapping, and the message begins with the path to what is wrong in it."""
    with pytest.raises(ValueError, match=rf"^{path}\b"):
        make(**options)
    with pytest.raises(ValueError, match=rf"^{path}\b"):
        evolve(PoolConfig(), **options)


@pytest.mark.parametrize("cls", [HealthPolicy, SessionPolicy, RetryPolicy])
def test_unknown_names_are_value_errors_in_policies_too(cls: type) -> None:
    """A misspelt keyword is a ValueError like every other mistake."""
    with pytest.raises(ValueError, match=r"^intervl is not a field"):
        cls(intervl=1)


def test_a_mapping_changes_what_it_names_and_keeps_the_rest() -> None:
    """An override inside a policy leaves the policy's other fields as they were configured."""
    config = PoolConfig(
        health={"interval": 9.0, "misses": 7},
        restart={"within": 60, "backoff": {"initial": 1, "jitter": "none"}},
    )
    assert config.health == HealthPolicy(interval=9.0, misses=7)
    changed = config.evolve(health={"misses": 3}, restart={"backoff": {"factor": 3}})
    assert changed.health == HealthPolicy(interval=9.0, misses=3)
    assert changed.restart == RestartPolicy(within=60, backoff=Backoff(initial=1, factor=3, jitter=Jitter.NONE))
    assert config.health.misses == 7


def test_evolving_without_changes_gives_an_equal_value() -> None:
    """A configuration is a value."""
    config = make(**VALID)
    assert config.evolve() == config
    assert config.evolve(size=4) != config


def test_it_is_frozen_and_keyword_only() -> None:
    """Nothing changes under a running pool."""
    config = PoolConfig()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        config.size = 3  # type: ignore[misc]  # that is the point
    with pytest.raises(TypeError):
        PoolConfig(3)  # type: ignore[call-arg]  # that is the point


def test_it_pickles_and_copies() -> None:
    """A value made of values can be sent to wherever workers are launched."""
    config = make(**{**VALID, "launcher": None})
    assert pickle.loads(pickle.dumps(config)) == config  # noqa: S301  # our own bytes
    assert copy.deepcopy(config) == config


def test_env_is_a_copy_and_its_values_stay_out_of_logs() -> None:
    """Later changes to the caller's mapping do not reach the configuration, and repr() shows no secrets."""
    env = {"TOKEN": "hidden"}
    config = PoolConfig(env=env)
    env.clear()
    assert config.env == {"TOKEN": "hidden"}
    assert "TOKEN" in repr(config)
    assert "hidden" not in repr(config)
    assert "env=None" in repr(PoolConfig())


def test_a_limit_that_can_never_be_reached_is_refused_once_the_size_is_known() -> None:
    """``max_restarts`` whose delays outlast ``within`` is refused for a small pool and accepted for a large one."""
    restart = {"max_restarts": 20, "within": 30}
    with pytest.raises(ValueError, match=r"^restart\.max_restarts"):
        PoolConfig(size=1, restart=restart)
    config = PoolConfig(restart=restart)
    assert config.evolve(size=100).size == 100
    with pytest.raises(ValueError, match=r"^restart\.max_restarts"):
        config.evolve(size=1)


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_file_gives_the_same_as_the_constructor(tmp_path: Path) -> None:
    """All fields a text can spell are read from TOML; policies are tables."""
    file = tmp_path / "pool.toml"
    file.write_text(
        """
        size = 3
        overflow = 2
        standby = 1
        checkout_timeout = 0
        timeout = inf
        abandon_grace = 0.5
        concurrency = 4
        max_queue = 0
        lease_warning = 10
        start_timeout = 10
        shutdown_grace = 0
        max_frame = 4096
        cwd = "/srv"
        python = "/usr/bin/python3"
        seed = -7
        [restart]
        restart = "transient"
        max_restarts = inf
        [restart.backoff]
        jitter = "none"
        [health]
        misses = 5
        [sessions]
        ttl = 1.5
        [retry]
        max_retries = 2
        [env]
        TOKEN = "hidden"
        """
    )
    expected = {name: value for name, value in VALID.items() if name not in ("launcher", "on_event")}
    expected["restart"] = RestartPolicy(
        restart=Restart.TRANSIENT, max_restarts=math.inf, backoff=Backoff(jitter=Jitter.NONE)
    )
    assert PoolConfig.from_toml(str(file)) == make(**expected)
    file.write_text("")
    assert PoolConfig.from_toml(file) == PoolConfig()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("size = \nseed = 1", "line 1"),
        ("sise = 3", "sise is not a field"),
        ("sise = 3\nsice = 3", "sice is not a field; sise is not a field"),
        ("launcher = 3", "launcher is not a field"),
        ("on_event = 3", "on_event is not a field"),
        ("size = '3'", "size must be an int"),
        ("size = true", "size must be an int"),
        ("timeout = '3'", "timeout must be a number"),
        ("cwd = 3", "cwd must be"),
        ("env = 3", "env must be"),
        ("[env]\nA = 3", "env.A must be"),
        ("health = 3", "health: must be a table"),
        ("health = 'interval'", "health: must be a table"),
        ("[health]\ninterval = false", "health.interval must be"),
        ("[health]\ninterwal = 1", "health.interwal is not a field"),
        ("[restart]\nrestart = 'never'", "restart.restart must be one of"),
        ("[restart.backoff]\nfactor = 0", "restart.backoff.factor must be"),
        (
            "[restart.backoff]\nstep = 0\n[sessions]\nstep = 0",
            "restart.backoff.step is not a field; sessions.step is not",
        ),
        ("size = 1\n[restart]\nmax_restarts = 100", "restart.max_restarts = 100"),
    ],
)
def test_mistakes_in_a_file_name_file_and_field(tmp_path: Path, text: str, said: str) -> None:
    """Bad TOML, unknown names and bad values are ValueErrors with the file first and the path of the field after it."""
    file = tmp_path / "pool.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"pool\.toml: ") as caught:
        PoolConfig.from_toml(file)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    """That there is no file is no mistake in it."""
    with pytest.raises(FileNotFoundError):
        PoolConfig.from_toml(tmp_path / "none.toml")


# -- environment -------------------------------------------------------------------------------------------------------


def test_variables_give_the_same_as_the_constructor() -> None:
    """Text is parsed by the field's type, two underscores go a level down, other prefixes are left alone."""
    environ = {
        "APP_SIZE": "3",
        "APP_TIMEOUT": "inf",
        "APP_SHUTDOWN_GRACE": "0.5",
        "APP_RESTART__WITHIN": "60",
        "APP_RESTART__MAX_RESTARTS": "7",
        "APP_RESTART__RESTART": "temporary",
        "APP_RESTART__BACKOFF__JITTER": "none",
        "APP_SESSIONS__MAX_SESSIONS": "5",
        "APP_RETRY__BUDGET": "0.5",
        "APP_RETRY__POISON_AFTER": "2",
        "APP_ENV__Path__Extra": "/opt",
        "APP_CWD": "/srv",
        "APP_SEED": "-1",
        "APPLE": "1",
        "OTHER_SIZE": "9",
    }
    assert PoolConfig.from_env("APP", environ) == PoolConfig(
        size=3,
        timeout=math.inf,
        shutdown_grace=0.5,
        restart={"within": 60, "max_restarts": 7, "restart": "temporary", "backoff": {"jitter": "none"}},
        sessions={"max_sessions": 5},
        retry={"budget": 0.5, "poison_after": 2},
        env={"Path__Extra": "/opt"},
        cwd="/srv",
        seed=-1,
    )


def test_without_a_mapping_the_process_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """``environ`` defaults to this process's own."""
    monkeypatch.setenv("POOL_UNDER_TEST_MAX_QUEUE", "17")
    assert PoolConfig.from_env("POOL_UNDER_TEST") == PoolConfig(max_queue=17)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"P_SIZE": "three"}, "size: "),
        ({"P_SIZE": ""}, "size: "),
        ({"P_SIZE": "0"}, "size must be an int >= 1"),
        ({"P_TIMEOUT": "nan"}, "timeout must be"),
        ({"P_TIMEOUT": "soon"}, "timeout: "),
        ({"P_SISE": "3"}, "sise is not a field"),
        ({"P_LAUNCHER": "3"}, "launcher is not a field"),
        ({"P_SIZE__MAX": "3"}, "size: must be one value"),
        ({"P_RESTART": "3"}, "restart: must be a table"),
        ({"P_RESTART__BACKOFF": "3"}, "restart.backoff: must be a table"),
        ({"P_RESTART__WITHIN": "x", "P_SEED": "y"}, "restart.within: "),
        ({"P_RESTART__WITHIN": "x", "P_SEED": "y"}, "seed: "),
        ({"P_RESTART": "3", "P_RESTART__WITHIN": "3"}, "restart has a value and cannot have fields"),
        ({"P_RESTART__WITHIN": "3", "P_RESTART": "3"}, "restart is set more than once"),
        ({"P_SIZE": "3", "P_size": "3"}, "size is set more than once"),
    ],
)
def test_mistakes_in_variables_name_the_field(environ: dict[str, str], said: str) -> None:
    """Whatever is wrong in the environment is a ValueError that gives the path of the field, in one line."""
    with pytest.raises(ValueError, match=r"^P_") as caught:
        PoolConfig.from_env("P", environ)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_an_empty_prefix_is_refused() -> None:
    """Otherwise every variable there is would have to be a field."""
    with pytest.raises(ValueError, match="prefix"):
        PoolConfig.from_env("", {})


@given(
    name=st.sampled_from(list(VALID)),
    value=st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**6), 10**6),
        st.floats(),
        st.text(max_size=5),
        st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
    ),
)
@settings(max_examples=100, deadline=None)
def test_any_value_is_taken_or_refused_by_name(name: str, value: object) -> None:
    """Whatever a field is given, the outcome is a configuration or a ValueError beginning with the field."""
    try:
        config = make(**{name: value})
    except ValueError as exc:
        text = str(exc)
    else:
        assert isinstance(config, PoolConfig)
        return
    assert text.startswith(name)


def test_standbys_count_among_those_whose_deaths_fill_the_window() -> None:
    """A limit that one slot alone never reaches is reached by two."""
    backoff = Backoff(initial=4.0, factor=1.0, jitter="none")
    restart = RestartPolicy(max_restarts=8, within=20.0, backoff=backoff)
    with pytest.raises(ValueError, match="restart"):
        make(size=1, restart=restart)
    assert make(size=1, standby=1, restart=restart).standby == 1
