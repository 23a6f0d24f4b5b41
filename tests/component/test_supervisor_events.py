"""What a supervisor tells: typed events, log records, and its tree as data and text."""

from __future__ import annotations

import contextvars
import gc
import logging
import math
import weakref
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio.testing
from _children import Crash, Puppet, Recorder, leaving, settle

from trio_pool import (
    Backoff,
    ChildSpec,
    IgnoreStart,
    PlannedExit,
    RestartIntensityExceeded,
    open_supervisor,
    supervisor_spec,
)
from trio_pool._core._restart import Restart
from trio_pool._supervision import (
    ChildExited,
    ChildIgnored,
    ChildNode,
    ChildStarted,
    ChildStatus,
    ChildType,
    Ending,
    Strategy,
    SupervisorEvent,
    SupervisorNode,
    _events,
)

if TYPE_CHECKING:
    from trio.testing import MockClock

# --------------------------------------------------------------------------------------------------- events and logging


async def test_events_tell_the_story_in_order(autojump_clock: MockClock) -> None:
    """Each event has the child, the time and its data."""
    recorder = Recorder()
    error = Crash()
    async with open_supervisor(on_event=recorder) as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=Puppet([error])))
        await trio.sleep(1)
    assert recorder.names() == [
        "ChildStarting",
        "ChildStarted",
        "ChildExited",
        "ChildRestartScheduled",
        "ChildStarting",
        "ChildStarted",
        "ChildStopped",
        "SupervisorStopped",
    ]
    assert [event.at for event in recorder.events] == [0.0] * 6 + [1.0] * 2
    assert recorder.of(ChildExited) == [ChildExited(child_id="a", at=0.0, error=error, planned=False)]
    assert [event.restarts for event in recorder.of(ChildStarted)] == [0, 1]


async def test_an_observer_that_raises_is_disabled(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once and never called again; the children do not notice."""
    calls: list[object] = []

    def broken(event: object) -> None:
        calls.append(event)
        raise ValueError("broken observer")

    async with open_supervisor(on_event=broken) as supervisor:
        child = await supervisor.start_child(ChildSpec(id="a", start=Puppet([1.0])))
        await trio.sleep(2)
        assert (child.status, child.restarts) == (ChildStatus.RUNNING, 1)
    assert len(calls) == 1
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == [
        "on_event of supervisor 'supervisor' raised and is disabled"
    ]


async def test_crashes_are_logged_with_their_traceback(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The supervisor keeps a crash from anybody else, so the log must have it; ids are fields."""

    class Nasty(Exception):
        def __repr__(self) -> str:
            raise ValueError

    async with open_supervisor(name="tree") as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=Puppet([Crash("two\nlines"), Nasty()])))
        await settle()
    first, second = (record for record in caplog.records if record.levelno == logging.WARNING)
    assert first.message == "child 'a' of supervisor 'tree' crashed: Crash('two\\nlines')"
    assert second.message == "child 'a' of supervisor 'tree' crashed: <Nasty whose repr() raises>"
    assert first.exc_info
    assert first.exc_info[0] is Crash
    assert (vars(first)["supervisor"], vars(first)["child_id"]) == ("tree", "a")


async def test_log_levels_follow_the_meaning(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    """What was planned is DEBUG, a crash or a failed restart WARNING, a give-up or a late child ERROR."""
    caplog.set_level(logging.DEBUG, "trio_pool.supervision")
    lives = Puppet([PlannedExit(), None, Crash()], start_errors=[None, None, None, Crash()])
    with leaving(RestartIntensityExceeded):
        async with open_supervisor(max_restarts=2) as supervisor:
            await supervisor.start_child(ChildSpec(id="late", start=Puppet(stopping=9.0)))
            await supervisor.start_child(ChildSpec(id="a", start=lives))
            await supervisor.wait()
    told = [
        (record.levelname, record.message.partition("'supervisor' ")[2].partition(":")[0]) for record in caplog.records
    ]
    assert told == [
        ("DEBUG", "ended by plan"),
        ("DEBUG", "ended"),
        ("WARNING", "crashed"),
        ("WARNING", "failed to restart"),
        ("ERROR", "exhausted the restart limit; the supervisor stops"),
        ("ERROR", "ignores its cancellation for 5 s; a task cannot be killed, waiting"),
    ]


async def test_every_exit_has_its_reason() -> None:
    """Clean, planned, crashed; an interrupt has none, for it is no exit."""
    recorder = Recorder()
    lives = Puppet([None, PlannedExit(), Crash(), RestartIntensityExceeded(), KeyboardInterrupt()])
    with leaving(KeyboardInterrupt):
        async with open_supervisor(on_event=recorder) as supervisor:
            await supervisor.start_child(ChildSpec(id="a", start=lives))
            await supervisor.wait()
    assert [event.reason for event in recorder.of(ChildExited)] == ["clean", "planned", "crashed", "clean", None]


async def test_a_start_is_told_when_its_delay_is_over(autojump_clock: MockClock) -> None:
    """Scheduled, then begun, then ready: each when it happens."""
    recorder = Recorder()
    backoff = Backoff(initial=4.0, jitter="none")
    async with open_supervisor(backoff=backoff, on_event=recorder) as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=Puppet([0.0, 0.0], starting=1.0)))
        await trio.sleep(20)
    told = [(type(event).__name__, event.at) for event in recorder.events[5:9]]
    assert told == [("ChildStarted", 2.0), ("ChildExited", 2.0), ("ChildRestartScheduled", 2.0), ("ChildStarting", 6.0)]


# Not `__subclasses__()`: attrs makes each class anew to give it slots, and the old one stays until it is collected.
KINDS = [kind for kind in vars(_events).values() if isinstance(kind, type) and issubclass(kind, SupervisorEvent)]


@pytest.mark.parametrize("kind", KINDS)
def test_events_are_small_frozen_and_made_by_name(kind: type[SupervisorEvent]) -> None:
    """A supervisor of a hundred thousand children makes many; and whoever makes one in a test says what is what."""
    assert {field.name for field in attrs.fields(kind) if not field.kw_only} == set()
    values = {field.name: None for field in attrs.fields(kind)}
    event: Any = kind(**{**values, "child_id": "a"})  # type: ignore[arg-type]  # whatever the values are
    assert not hasattr(event, "__dict__")
    with pytest.raises(AttributeError):
        event.child_id = "b"


async def test_events_say_when_and_compare_by_what_happened(autojump_clock: MockClock) -> None:
    """The time is Trio's unless given; whose supervisor's they are, and how an exit counts, makes them no different."""
    await trio.sleep(3)
    assert ChildIgnored(child_id="a").at == 3.0
    assert ChildIgnored(child_id="a").supervisor == ()
    assert ChildIgnored(child_id="a", supervisor=("one",)) == ChildIgnored(child_id="a", supervisor=("two",))
    exits = [ChildExited(child_id="a", error=None, planned=False, reason=reason) for reason in (None, Ending.CLEAN)]
    assert exits[0] == exits[1] == ChildExited(child_id="a", error=None, planned=False)


async def test_what_is_ours_says_in_a_debugger_whose_it_is() -> None:
    """Handles, supervisors, and the ``task_status`` of a start."""
    said: list[str] = []

    async def child(*, task_status: trio.TaskStatus[None]) -> None:
        said.append(repr(task_status))
        task_status.started()
        await trio.sleep_forever()

    async with open_supervisor(name="app") as supervisor:
        said.append(repr(await supervisor.start_child(ChildSpec(id="a", start=child))))
        said.append(repr(supervisor))
    assert said == [
        "<task status of child 'a'>",
        "<Child 'a' running restarts=0>",
        "<Supervisor 'app' with 1 children>",
    ]


async def test_a_declined_start_is_a_detail(caplog: pytest.LogCaptureFixture) -> None:
    """It is in the log for whoever looks for details."""
    caplog.set_level(logging.DEBUG, "trio_pool.supervision")
    async with open_supervisor() as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=Puppet(start_errors=[IgnoreStart()])))
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("DEBUG", "child 'a' of supervisor 'supervisor' declined to start")
    ]


async def test_an_automatic_shutdown_is_a_detail(caplog: pytest.LogCaptureFixture) -> None:
    """It was asked for; the log says which child it was."""
    caplog.set_level(logging.DEBUG, "trio_pool.supervision")
    spec = ChildSpec(id="a", start=Puppet([None]), restart="transient", significant=True)
    async with open_supervisor(auto_shutdown="any_significant", children=[spec]) as supervisor:
        await supervisor.wait()
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("DEBUG", "child 'a' of supervisor 'supervisor' ended"),
        ("DEBUG", "child 'a' of supervisor 'supervisor' was significant; the supervisor stops"),
    ]


class TaskNames(trio.abc.Instrument):
    """Keeps the names of all tasks that were started."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        """Note one."""
        self.names.append(task.name)


async def test_tasks_say_whose_they_are() -> None:
    """In a dump of tasks: a child's, those that see to it that others make way, and the one that stops them all."""
    names = TaskNames()
    trio.lowlevel.add_instrument(names)
    now = trio.Event()

    async def fragile() -> None:
        nonlocal now
        await now.wait()
        now = trio.Event()
        raise Crash

    children = [ChildSpec(id="a", start=fragile), ChildSpec(id="b", start=Puppet())]
    async with open_supervisor("one_for_all", children=children, name="app"):
        now.set()
        await settle()
    trio.lowlevel.remove_instrument(names)
    assert names.names == ["app: a", "app: b", "app: stop b", "app: a", "app: b", "app: stop"]


async def test_a_cancellation_says_who_stops_what() -> None:
    """Whoever looks at the Cancelled in a child, in the body or in a start learns where it comes from."""
    said: dict[str, str | None] = {}

    async def listening(name: str, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        try:
            await trio.sleep_forever()
        except trio.Cancelled as exc:
            said[name] = exc.reason
            raise

    async with open_supervisor(name="app") as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=listening, args=("child",)))
        await supervisor.terminate_child("a")
    now = trio.Event()

    async def fragile() -> None:
        await now.wait()
        raise Crash

    with leaving(RestartIntensityExceeded):
        async with open_supervisor(name="app", max_restarts=0, children=[ChildSpec(id="b", start=fragile)]):
            now.set()
            await listening("body")
    assert said == {"child": "supervisor stops child 'a'", "body": "supervisor 'app' stops"}


async def test_an_error_that_was_raised_is_kept_alive_by_nobody() -> None:
    """Nor by the frames it passed: that of a failed start is gone with its last reference, without a collection."""

    async def failing(*, task_status: trio.TaskStatus[None]) -> None:  # noqa: ASYNC124  # children are async
        raise Crash

    async with open_supervisor() as supervisor:
        gc.disable()
        try:
            try:
                await supervisor.start_child(ChildSpec(id="a", start=failing))
            except Crash as exc:
                gone = weakref.ref(exc)
            await settle()
            assert gone() is None
        finally:
            gc.enable()


async def test_entering_a_supervisor_is_a_checkpoint() -> None:
    """With nobody to start too."""
    manager = open_supervisor()
    with trio.testing.assert_checkpoints():
        await manager.__aenter__()
    with trio.testing.assert_checkpoints():
        await manager.__aexit__(None, None, None)


# ----------------------------------------------------------------------------------------------------------- the tree


async def test_the_tree_is_drawn_as_it_is(autojump_clock: MockClock) -> None:
    """Every child, with its state and restarts; supervisors below, also those that a child's own code has opened."""

    async def own(*, task_status: trio.TaskStatus[None]) -> None:
        async with open_supervisor(name="first") as first, open_supervisor("one_for_all", name="second"):
            await first.start_child(ChildSpec(id="deep", start=Puppet()))
            task_status.started()
            await trio.sleep_forever()

    backoff = Backoff(initial=50.0, maximum=50.0, jitter="none")
    children = [
        supervisor_spec(
            "db", [ChildSpec(id="x", start=Puppet([1.0])), ChildSpec(id="y", start=Puppet())], "one_for_all"
        ),
        ChildSpec(id="own", start=own, restart="transient"),
        ChildSpec(id="gone", start=Puppet()),
        ChildSpec(id="loop", start=Puppet([0.0, 0.0]), backoff=backoff),
    ]
    async with open_supervisor("one_for_one", children=children, name="app", max_restarts=5, within=300.0) as app:
        await app.terminate_child("gone")
        await trio.sleep(2)
        tree = app.tree()
        assert str(tree).splitlines() == [
            "app [one_for_one, 2 of 5 restarts in 300 s]",
            "├─ db running (permanent) [one_for_all, 1 of 3 restarts in 5 s]",
            "│  ├─ x running (permanent, restarted 1 x)",
            "│  └─ y running (permanent, restarted 1 x)",
            "├─ own running (transient)",
            "│  ├─ first [one_for_one, 0 of 3 restarts in 5 s]",
            "│  │  └─ deep running (permanent)",
            "│  └─ second [one_for_all, 0 of 3 restarts in 5 s]",
            "├─ gone stopped (permanent)",
            "└─ loop restarting (permanent, restarted 1 x)",
        ]
        assert [child.id for child in tree.children] == ["db", "own", "gone", "loop"]
        assert [node.name for node in tree.children[1].supervisors] == ["first", "second"]
        assert str(tree.children[2]) == "gone stopped (permanent)"
        await app.terminate_child("own")
        assert app.tree().children[1].supervisors == ()


@pytest.mark.parametrize("name", ["first", "own", "second"])
def test_a_child_that_is_its_supervisor_takes_one_line(name: str) -> None:
    """It is one if the names are the same, and only then."""
    below = SupervisorNode(name, Strategy.ONE_FOR_ONE, 0, math.inf, 5.0, ())
    child = ChildNode("own", ChildType.SUPERVISOR, ChildStatus.RUNNING, Restart.PERMANENT, 0, (below,))
    lines = str(child).splitlines()
    if name == "own":
        assert lines == ["own running (permanent) [one_for_one, 0 of inf restarts in 5 s]"]
    else:
        assert lines == ["own running (permanent)", f"└─ {name} [one_for_one, 0 of inf restarts in 5 s]"]
    two = attrs.evolve(child, supervisors=(below, below))
    assert len(str(two).splitlines()) == 3
    assert (child, below) == (attrs.evolve(child), attrs.evolve(below))
    for node in (child, below):
        with pytest.raises(AttributeError):
            node.restarts = 1  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]  # that is the point


async def test_a_supervisor_in_a_childs_own_code_knows_where_it_is(autojump_clock: MockClock) -> None:
    """Its give-up says so, in text and as data."""

    async def own() -> None:
        leaf = ChildSpec(id="leaf", start=Puppet([1.0]))
        async with open_supervisor(children=[leaf], max_restarts=0, name="inner") as supervisor:
            await supervisor.wait()

    with leaving(RestartIntensityExceeded) as caught:
        async with open_supervisor(children=[ChildSpec(id="own", start=own)], max_restarts=0, name="app") as supervisor:
            await supervisor.wait()
    (below,) = caught.value.errors
    assert isinstance(below, RestartIntensityExceeded)
    assert below.supervisor_path == ("app", "own", "inner")
    assert str(below).startswith("supervisor 'app/own/inner' gave up: child 'leaf'")


async def test_children_run_in_the_context_of_who_asked_for_them() -> None:
    """Whoever fails and so has them restarted: a task inherits the context of its starter otherwise."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nobody")
    seen: list[str] = []

    async def failing(*, task_status: trio.TaskStatus[None]) -> None:
        variable.set("failing")
        task_status.started()
        await trio.testing.wait_all_tasks_blocked()
        if len(seen) < 2:
            raise Crash

    async def sibling() -> None:
        seen.append(variable.get())
        await trio.sleep_forever()

    variable.set("asker")
    async with open_supervisor("one_for_all") as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=failing, restart="transient"))
        await supervisor.start_child(ChildSpec(id="b", start=sibling))
        with trio.fail_after(5):
            while len(seen) < 2:
                await settle()
    assert seen == ["asker", "asker"]
