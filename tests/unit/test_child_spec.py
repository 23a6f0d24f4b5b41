"""Child specifications: what is refused, and what counts as a startable."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import attrs
import pytest
import trio
from _children import Puppet

from trio_pool import ChildSpec, PlannedExit, RestartIntensityExceeded, open_supervisor
from trio_pool._supervision._settings import Settings
from trio_pool._supervision._spec import is_exit, is_give_up, is_planned


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": ""}, "id must be a non-empty str"),
        ({"id": 3}, "id must be a non-empty str"),
        ({"start": None}, "start must be an async function"),
        ({"restart": "often"}, "restart must be one of"),
        ({"shutdown": -1}, "shutdown must be a number >= 0"),
        ({"shutdown": "soon"}, "shutdown must be a number >= 0, 'brutal_kill' or 'infinity', not 'soon'"),
        ({"shutdown": True}, "shutdown must be"),
        ({"shutdown": math.nan}, "shutdown must be"),
        ({"type": "manager"}, "type must be one of worker, supervisor"),
        ({"significant": 1, "restart": "transient"}, "significant must be True or False"),
        ({"significant": True}, "significant: bad_combination"),
        ({"backoff": 1.0}, "backoff must be a Backoff or None"),
        ({"start_timeout": 0}, "start_timeout must be a number > 0"),
    ],
)
def test_a_specification_names_the_field_it_refuses(fields: dict[str, Any], message: str) -> None:
    """Bad values are ValueErrors before anything starts."""
    with pytest.raises(ValueError, match=f"^{message}"):
        ChildSpec(**{"id": "a", "start": Puppet(), **fields})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"strategy": "all_for_one"},
            "strategy must be one of one_for_one, one_for_all, rest_for_one, not 'all_for_one'",
        ),
        ({"max_restarts": -1}, "max_restarts must be"),
        ({"within": math.inf}, "within must be"),
        ({"auto_shutdown": "always"}, "auto_shutdown must be one of never, any_significant, all_significant"),
        ({"stop_order": "oldest_first"}, "stop_order must be one of newest_first, together"),
        ({"children": ["a"]}, "children must be ChildSpecs, not 'a'"),
        ({"children": [ChildSpec(id="a", start=Puppet())] * 2}, "children: duplicate_child_name 'a'"),
    ],
)
def test_opening_names_the_option_it_refuses(options: dict[str, Any], message: str) -> None:
    """The call itself raises, before the ``async with``."""
    with pytest.raises(ValueError, match=f"^{message}"):
        open_supervisor(**options)


def test_defaults_are_otps() -> None:
    """Permanent, a worker, five seconds; a supervisor has as long as it takes. Limits are Elixir's: 3 in 5 s."""
    spec = ChildSpec(id="a", start=Puppet())
    assert (spec.restart, spec.type, spec.significant, spec.shutdown) == ("permanent", "worker", False, 5.0)
    assert ChildSpec(id="a", start=Puppet(), type="supervisor").shutdown == math.inf
    assert ChildSpec(id="a", start=Puppet(), type="supervisor", shutdown=1).shutdown == 1
    assert ChildSpec(id="a", start=Puppet(), shutdown="infinity").seconds_to_stop == math.inf
    assert ChildSpec(id="a", start=Puppet(), shutdown="brutal_kill").seconds_to_stop == 0.0
    settings = Settings()
    assert (settings.strategy, settings.auto_shutdown, settings.stop_order) == ("one_for_one", "never", "newest_first")
    assert (settings.max_restarts, settings.within, settings.backoff.plain(9)) == (3, 5.0, 0.0)


@pytest.mark.parametrize("options", [{"max_restarts": -1}, {"max_restarts": 0.5}, {"within": 0}, {"within": math.inf}])
def test_settings_refuse_a_limit_that_is_none(options: dict[str, Any]) -> None:
    """Whoever makes them, and whether there are children or not."""
    with pytest.raises(ValueError, match=f"^{next(iter(options))} must be"):
        Settings(**options)


@pytest.mark.parametrize("kind", [ChildSpec, Settings])
def test_values_are_given_by_name(kind: type) -> None:
    """Nobody has to know the order of the fields, which may change."""
    assert {field.name for field in attrs.fields(kind) if not field.kw_only} == set()


@pytest.mark.parametrize("field", ["id", "start"])
def test_mandatory_and_unknown_fields(field: str) -> None:
    """``missing_id``, ``missing_start``; an unknown key is refused, where OTP ignores it."""
    fields: dict[str, Any] = {"id": "a", "start": Puppet()}
    with pytest.raises(TypeError, match="modules"):
        ChildSpec(**{**fields, "modules": []})
    del fields[field]
    with pytest.raises(TypeError, match=field):
        ChildSpec(**fields)


async def silent(task_status: trio.TaskStatus[None]) -> None:
    """A startable whose ``task_status`` may be passed by position too."""


async def positional(task_status: trio.TaskStatus[None], /) -> None:
    """Not a startable: Trio passes ``task_status`` by keyword."""


@pytest.mark.parametrize(
    ("start", "startable"),
    [
        (Puppet(), True),
        (silent, True),
        (partial(silent), True),
        (positional, False),
        (trio.sleep, False),
        (print, False),
    ],
)
def test_a_startable_is_known_by_its_signature(start: Any, startable: bool) -> None:
    """It takes ``task_status`` by keyword."""
    assert ChildSpec(id="a", start=start).startable is startable


def test_a_callable_without_signature_is_no_startable() -> None:
    """Some builtins have none, and some objects claim a signature that is none."""
    odd: Any = Puppet()
    odd.__signature__ = "none"
    builtin: Any = dict
    assert not ChildSpec(id="a", start=builtin).startable
    assert not ChildSpec(id="a", start=odd).startable


PLANNED, GIVE_UP, ERROR = PlannedExit(), RestartIntensityExceeded(), ValueError()


@pytest.mark.parametrize(
    ("error", "planned", "give_up", "leaves"),
    [
        (None, False, False, False),
        (PLANNED, True, False, False),
        (GIVE_UP, False, True, False),
        (ERROR, False, False, False),
        (KeyboardInterrupt(), False, False, True),
        (ExceptionGroup("", [PLANNED, ExceptionGroup("", [PLANNED])]), True, False, False),
        (ExceptionGroup("", [PLANNED, GIVE_UP]), False, False, False),
        (ExceptionGroup("", [GIVE_UP, GIVE_UP]), False, True, False),
        (BaseExceptionGroup("", [PLANNED, SystemExit()]), False, False, True),
        (
            BaseExceptionGroup("", [ExceptionGroup("", [ERROR]), BaseExceptionGroup("", [SystemExit()])]),
            False,
            False,
            True,
        ),
    ],
)
def test_a_group_is_what_its_leaves_are(
    error: BaseException | None, planned: bool, give_up: bool, leaves: bool
) -> None:
    """By plan, or by a give-up, only if all are; out of the tree if any is no error."""
    assert (is_planned(error), is_give_up(error), is_exit(error)) == (planned, give_up, leaves)
