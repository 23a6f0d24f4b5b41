"""Running a worker: the task that owns its process from before it exists until it is reaped.

`run_worker` alone spawns, kills and reaps, whatever happens and wherever it is cancelled; everybody else holds a
`PoolWorker` and can only ask. `open_worker` is the same for use without a pool.
"""

from __future__ import annotations

import os
import reprlib
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import attrs
import trio

from .._core._config import PoolConfig
from .._core._errors import WorkerInitFailed
from .._core._groups import interrupt_in
from .._core._messages import CODEC, PROTOCOL, encode_json
from .._core._worker_states import WorkerEvent, WorkerStatus
from ._commands import text_of
from ._launcher import WorkerSpec, python_argv, worker_env
from ._local import LocalLauncher
from ._observer import Nobody
from ._worker import PoolWorker

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from .._core._messages import Message
    from ._launcher import Launcher
    from ._observer import WorkerObserver

# The stop ladder: a shutdown frame, SIGTERM after this long, SIGKILL after as long again. With the second that the last
# words and the reaping may take, this stays within the two seconds promised for a closing pool.
STOP_STEP: Final = 0.4
# How long to read on and to wait for the exit once the group is killed. Only a process that left the group, or the
# kernel, can make it take longer than milliseconds.
LAST_WORDS: Final = 1.0
# From the end of its stream to the exit of a dying process; microseconds, were there nobody else on the machine.
DYING: Final = 0.05
# A reap that takes longer than this is a process stuck in the kernel; the bound keeps closing bounded.
REAP: Final = 0.2


@attrs.frozen(kw_only=True)
class WorkerSetup:
    """All that is needed to start workers of one kind; `spec` makes the launcher's part of it."""

    app: str | tuple[str, ...]
    config: PoolConfig
    hello: Mapping[str, object]
    launcher: Launcher

    @classmethod
    def make(cls, app: str | Sequence[str], config: PoolConfig) -> WorkerSetup:
        """Check the application's name and gather what the workers inherit from this process.

        Raises:
            ValueError: ``app`` is neither ``"module:attribute"`` nor the argv of an executable.
        """
        name: str | tuple[str, ...]
        if isinstance(app, str):
            module, _, attribute = app.partition(":")
            if not module or not attribute:
                raise ValueError(f'app: "module:attribute" or an argv list, not {app!r}')
            name = app
        else:
            try:
                name = tuple(app)
            except TypeError:
                name = ()
            if not name or not all(isinstance(cast("object", word), str) for word in name):
                raise ValueError(f'app: "module:attribute" or an argv list of str, not {app!r}')
        hello: dict[str, object] = {
            "type": "hello",
            "protocol": PROTOCOL,
            "codec": CODEC,
            "app": name if isinstance(name, str) else None,
            "sys_path": [os.path.abspath(entry) for entry in sys.path],  # Path would resolve "" differently
            "argv": list(sys.argv),
            "main": _main_module(),
            "max_frame": config.max_frame,
            "concurrency": config.concurrency,
        }
        launcher: Any = config.launcher
        return cls(app=name, config=config, hello=hello, launcher=LocalLauncher() if launcher is None else launcher)

    def spec(self, worker_id: str, incarnation: int) -> WorkerSpec:
        """Return what the launcher needs to start a worker."""
        argv = python_argv(self.config.python) if isinstance(self.app, str) else self.app
        env = worker_env(self.config.env)
        return WorkerSpec(worker_id=worker_id, incarnation=incarnation, argv=argv, env=env, cwd=self.config.cwd)


def _main_module() -> dict[str, str] | None:
    """Return how a worker can import this program's ``__main__`` again, as multiprocessing does."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    # The main module of a directory or an archive is called __main__ in its spec, too: only its path tells which.
    if spec is not None and spec.name != "__main__":
        return {"name": spec.name}
    path = getattr(main, "__file__", None)
    return None if path is None else {"path": os.path.abspath(path)}  # symlinks stay as they were given


# Protected: a KeyboardInterrupt between the spawn and the `try` would leave a process that nobody owns.
@trio.lowlevel.enable_ki_protection
async def run_worker(
    setup: WorkerSetup,
    worker_id: str,
    incarnation: int,
    observer: WorkerObserver | None = None,
    *,
    task_status: trio.TaskStatus[PoolWorker] = trio.TASK_STATUS_IGNORED,
) -> PoolWorker:
    """Own one worker process: start it, report it when it is ready, return when it is gone and reaped.

    Cancelled, it stops the worker as `PoolWorker.terminate` does, within two seconds, and leaves nothing behind.

    Raises:
        WorkerInitFailed: The worker never became ready.
    """
    observer = observer or Nobody()
    began = trio.current_time()
    worker: PoolWorker | None = None
    failure: WorkerInitFailed | None = None
    async with trio.open_nursery() as background:  # the launcher's own tasks, needed until the worker is reaped
        try:
            async with trio.open_nursery() as services:
                try:
                    handle = await setup.launcher.open(setup.spec(worker_id, incarnation), background)
                except (OSError, ValueError) as exc:  # ValueError: a NUL in a name
                    failure = WorkerInitFailed(f"could not be started: {exc}", reason="spawn")
                    failure.__cause__ = exc
                else:
                    # No checkpoint between `open` and this line: from here on the `finally` below owns the process.
                    worker = PoolWorker(handle, worker_id, incarnation, setup.config, observer)
                    observer.spawned(worker)
                    services.start_soon(worker.output.run)
                    services.start_soon(_watch_exit, worker)
                    failure = await _greet(worker, setup)
                    if failure is None and not worker.link.ended.is_set():
                        services.start_soon(worker.link.write)
                        services.start_soon(worker.link.pump)
                        if any("interruptible" in words for words in worker.flags.values()):
                            services.start_soon(worker.doorbell.run)
                        failure = await observer.prepare(worker)
                    if worker.link.ended.is_set():
                        failure = _ended_early(worker, failure)
                        if failure is None:
                            task_status.started(worker)
                    elif failure is None:
                        # No checkpoint between `prepare` and `ready`, which rely on each other.
                        worker.startup = trio.current_time() - began
                        worker.advance(WorkerEvent.STARTED)
                        observer.ready(worker)
                        task_status.started(worker)
                        await worker.link.ended.wait()
                services.cancel_scope.cancel()
        finally:
            if worker is not None:
                # Shielded, for a process not reaped now never will be; bounded, for all in it is.
                with trio.CancelScope(shield=True):
                    try:
                        # Neither ready nor failed: cancelled before it was either.
                        worker.unwanted = worker.status is WorkerStatus.STARTING and failure is None
                        await _finish(worker)
                    finally:
                        # A start that failed is charged, so it was not by plan, also if the worker announced its end.
                        worker.gentle = worker.gentle and failure is None
                        observer.dead(worker)
        background.cancel_scope.cancel()
    if failure is not None:
        raise _with_facts(failure, worker_id, incarnation, worker)
    if worker is None:
        raise RuntimeError("neither a worker nor a failure")  # a mistake in this function
    return worker


def _ended_early(worker: PoolWorker, failure: WorkerInitFailed | None) -> WorkerInitFailed | None:
    """Return why a worker that ended before it was given to anybody has failed to start; None if it just left by plan.

    Whoever sends SIGTERM to a worker does not look whether it is ready for long. But one that leaves after it has begun
    to be prepared may do so because of that, and would again, and again, were it not charged.
    """
    if failure is None or not worker.begun(1):
        worker.link.drain()  # the exit may be seen before the announcement is read
        if worker.leaving:
            return None
    return failure or WorkerInitFailed("ended as it got ready", reason="exit")


async def _greet(worker: PoolWorker, setup: WorkerSetup) -> WorkerInitFailed | None:
    """Say hello and wait for ready; return what went wrong, if something did."""
    link = worker.link
    hello = {**setup.hello, "worker_id": worker.worker_id, "incarnation": worker.incarnation}
    # Read as late as can be: by what the hello takes from here on, the worker's idea of our time lags behind.
    link.send_raw(encode_json({**hello, "now": trio.current_time()}))
    message: Message | None = None
    with trio.move_on_after(setup.config.start_timeout) as limit:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.cancel_at_end, nursery.cancel_scope)
            nursery.start_soon(link.write)
            message = await link.handshake()
            nursery.cancel_scope.cancel()
    if message is None and link.error is None:
        # The exit may be seen before the last words are read: a worker that says why it fails exits right after.
        message = link.first_message()
    if link.error is not None:
        return WorkerInitFailed(f"spoke no protocol of ours: {link.error}", reason="protocol")
    if message is None and limit.cancelled_caught:
        return WorkerInitFailed(f"not ready within start_timeout = {setup.config.start_timeout:g} s", reason="timeout")
    if message is None:
        return WorkerInitFailed("ended before it was ready", reason="exit")
    if message.get("type") == "failed":
        worker.leaving = True  # it says why and ends by itself
        error = _as_map(message.get("error"))
        text = f"cannot load its application: {text_of(error, 'type')}: {text_of(error, 'message')}"
        return WorkerInitFailed(text, reason="application", remote_traceback=text_of(error, "traceback"))
    if message.get("type") != "ready" or message.get("protocol") != PROTOCOL or message.get("codec") != CODEC:
        return WorkerInitFailed(f"answered hello with {reprlib.repr(message):.200}", reason="protocol")
    worker.marks_begun = message.get("begun") == "page"
    worker.cancels = "flags" in message
    worker.flags = {
        name: frozenset(word for word in cast("list[object]", words) if isinstance(word, str))
        for name, words in _as_map(message.get("flags")).items()
        if isinstance(words, list)
    }
    return None


def _as_map(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


async def _watch_exit(worker: PoolWorker) -> None:
    # The exit is watched beside the socket: a grandchild that holds the worker's end of it would hide the end of
    # stream.
    worker.exit = await worker.handle.wait()
    worker.link.end("exit")


async def _finish(worker: PoolWorker) -> None:
    """End the process and hear its last words; runs shielded in the task that owns the worker, and is bounded
    throughout.

    The group is killed while its leader is unreaped: until then nobody else can get its number, so no stranger is hit.
    The socket is read to its end after the kill, for the replies in it outlive their writer.
    """
    try:
        if worker.status is WorkerStatus.STARTING:
            worker.link.end("init")
        else:
            worker.stop()
        if worker.gentle or worker.leaving:
            await _last_words(worker, STOP_STEP)
            if worker.exit is None:
                await worker.handle.terminate()
                await _last_words(worker, STOP_STEP)
        elif worker.link.reason in ("eof", "reset"):
            # Most likely it is just dying: wait for how, so that our own signal is not taken for its end.
            with trio.move_on_after(DYING):
                worker.exit = await worker.handle.wait()
        worker.outlived = worker.exit is None
        await worker.handle.kill()
        await _last_words(worker, LAST_WORDS)
    finally:
        with trio.move_on_after(REAP, shield=True):
            await worker.handle.reap()
        worker.buried()


async def _last_words(worker: PoolWorker, seconds: float) -> None:
    """Read the worker's socket and output until both end and it has exited, or for ``seconds``."""
    with trio.move_on_after(seconds):  # noqa: ASYNC912  # a nursery waits for its tasks
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker.link.drain_to_end)
            nursery.start_soon(worker.output.drain, seconds)
            if worker.exit is None:
                worker.exit = await worker.handle.wait()


def _with_facts(
    failure: WorkerInitFailed, worker_id: str, incarnation: int, worker: PoolWorker | None
) -> WorkerInitFailed:
    """Return a start failure with all that is known of the worker, now that it is gone."""
    tail = worker.output.tail if worker else ()
    pid = worker.pid if worker else None
    died_by_itself = worker is not None and failure.reason == "exit"
    how = f" ({worker.exit})" if worker is not None and died_by_itself else ""
    last = f"; it last printed: {tail[-1]}" if tail and failure.remote_traceback is None else ""
    known = WorkerInitFailed(
        f"worker {worker_id}{'' if pid is None else f' (pid {pid})'} {failure}{how}{last}",
        exit=worker.exit if worker else None,
        output_tail=tail,
        reason=failure.reason,
        remote_traceback=failure.remote_traceback,
        command=failure.command,
        worker_id=worker_id,
        pid=pid,
        incarnation=incarnation,
    )
    known.__cause__ = failure.__cause__
    return known


@asynccontextmanager
async def open_worker(
    app: str | Sequence[str] = "trio_pool.bridge:builtin",
    worker_id: str | None = None,
    config: PoolConfig | None = None,
) -> AsyncGenerator[PoolWorker, None]:
    """Start one worker process and give it, ready; stop it on leaving.

    No supervision: when the worker dies, its commands raise `WorkerCrashed`, and that is that. Leaving, also by
    exception or cancellation, stops it as `PoolWorker.terminate` does. The body's own exception leaves unchanged.

    Args:
        app: ``"module:attribute"`` naming a `Bridge`, or the argv of an executable that speaks the protocol.
        worker_id: Its name in errors and logs.
        config: Only the fields about a worker matter: ``start_timeout``, ``max_frame``, ``env``, ``cwd``, ``python``,
            ``launcher``.

    Raises:
        WorkerInitFailed: The worker did not become ready.
        ValueError: ``app`` is malformed.
    """
    setup = WorkerSetup.make(app, config or PoolConfig())
    body_error: BaseException | None = None
    start_error: WorkerInitFailed | None = None

    async def own(*, task_status: trio.TaskStatus[PoolWorker | None]) -> None:  # noqa: ASYNC910  # run_worker has checkpoints
        nonlocal start_error
        try:
            await run_worker(setup, worker_id or "worker", 1, task_status=task_status)
        except WorkerInitFailed as exc:
            # Kept out of the nursery, which would wrap it into a group.
            start_error = exc
            task_status.started(None)

    try:
        async with trio.open_nursery() as nursery:
            worker = await nursery.start(own)
            if worker is not None:
                # Every exception is kept, and raised again below unchanged: this nursery would put it in a group.
                # Cancelled among them: raised below, it is still inside the scope it belongs to.
                try:
                    yield worker
                except BaseException as exc:  # noqa: ASYNC103  # raised again below
                    body_error = exc
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise interrupt_in(group) from None  # the group adds nothing: it is this nursery's
    if start_error is not None:
        raise start_error
    if body_error is not None:
        raise body_error
