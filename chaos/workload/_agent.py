"""The agent in a worker: does to its own process what nobody can do to it from outside.

Orders are files in a directory that an environment variable names; without that variable nothing here does anything.
`chaos.faults._orders` writes them. There are three kinds, in a folder each:

- *start* orders are looked for when the worker's program is imported. A worker claims the first that it finds, by
  renaming it, so that "the next three starts" are three files and exactly three starts. One whose name ends in
  ``.all`` is everybody's, until it is taken away.
- *live* orders are named after a process id, and looked for when that process is sent SIGRTMIN. The handler runs in the
  main thread, be it waiting for requests or in the middle of one; calls that it interrupts go on afterwards.
- *step* orders are looked for when a request begins, when it has had its effect and when it is over. They too are
  claimed, so that "the third request" is three files, two of which do nothing. A *poison* order names its victim
  itself: the request that claims it is deadly from then on, to whoever begins it.

Works in the workers of any pool that imports the harness's program, so only the smallest parts of the standard library
are imported here. What an order needs beyond that is imported when it comes.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import time

from ._ledger import BEGIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, NoReturn, ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")

ORDERS: Final = "TRIO_POOL_CHAOS_ORDERS"
"""The environment variable with the directory's name."""

SIGNAL: Final = signal.SIGRTMIN
"""Tells a worker to look for its live orders. Real-time signals are used by nothing else here."""

START, LIVE, STEP, POISON, CLAIMED, DONE = "start", "live", "step", "poison", "claimed", "done"
"""The folders. A claimed order moves to ``claimed`` under ``<order>.<pid>``, or one for a step under
``<order>.<request>.<pid>``; carried out, what came of it is written to ``done`` under ``<order>.<pid>``.
"""

FOR_ALL: Final = ".all"
ANY: Final = "any"

EXIT: Final = "exit "

_GLANCE: Final = 0.02
"""Seconds between two looks at a flag, which is more often than anybody notices."""

_agent: Agent | None = None


def at_start() -> None:
    """Take the orders for starting workers; to be called once the program is imported, and harmless again."""
    global _agent
    where = os.environ.get(ORDERS)
    if where is None or (_agent is not None and _agent.pid == os.getpid()):
        return
    # A copy in a forked child is not that child's: it knows what its parent holds.
    _agent = Agent(where)
    _agent.start()


def step(step: int, request: int, operation: str = "") -> None:
    """Take the orders for requests that have come so far.

    Args:
        step: `chaos.workload._ledger.BEGIN`, before anything was done, ``EFFECT``, after it was, or ``END``.
        request: The request's number.
        operation: Its command.
    """
    if _agent is not None:
        _agent.step(step, request, operation)


def die(how: str) -> None:
    """Be hit by a signal, given as ``KILL``, or end by ``exit N``. Returns if this process survives its signal."""
    if how.startswith(EXIT):
        # Without a word to anybody, as a library may do it.
        os._exit(int(how[len(EXIT) :]))
    number = getattr(signal, f"SIG{how}")
    os.kill(os.getpid(), number)
    if signal.getsignal(number) is signal.SIG_DFL:
        # Another thread may have been chosen to take the signal, or `faulthandler` still reports: no further than here.
        _stand_still()


def _die_while(flag: str, how: str) -> None:
    if os.path.exists(flag):
        die(how)


def _stand_still() -> NoReturn:
    while True:
        signal.pause()


class Agent:
    """Carries out the orders of one worker process.

    Args:
        where: The directory.
    """

    def __init__(self, where: str) -> None:
        self.pid = os.getpid()
        self._where = where
        self._held: dict[str, Any] = {}
        # For reading orders when there are no descriptors left, among them the one to give those back.
        self._spare = _open_null()

    def start(self) -> None:
        """Listen for live orders, and take a start order if there is one."""
        try:  # noqa: SIM105  # contextlib is one more module for every worker to import
            signal.signal(SIGNAL, self._on_signal)
        except ValueError:
            pass  # a pool that imports the program in a side thread: it has no live orders, and `doctor` says so
        for name in self._names(START):
            order = self._read(START, name, claim=not name.endswith(FOR_ALL))
            if order is not None:
                # One only: the others are for other starts.
                self._carry_out(name, order)
                return

    def step(self, step: int, request: int, operation: str) -> None:
        """Take an order for this request, at this step of its life."""
        for name in self._names(STEP):
            _, wanted_step, wanted_pid, wanted_request, wanted_operation = name.split(" ")
            if (
                wanted_step == str(step)
                and wanted_pid in (ANY, str(self.pid))
                and wanted_request in (ANY, str(request))
                and wanted_operation in (ANY, operation)
            ):
                order = self._read(STEP, name, claim=True, request=request)
                if order is not None:
                    if "poison" in order:
                        self._write(POISON, str(request), order)
                    self._carry_out(name, order)
                    return
        if step == BEGIN:
            poison = self._read(POISON, str(request), claim=False)
            if poison is not None:
                self._carry_out(str(poison["poison"]), poison)

    def _on_signal(self, *_: object) -> None:
        for name in self._names(LIVE):
            # Not with the worker's children: they inherit this handler, and have another number.
            if name.partition(" ")[0] == str(os.getpid()):
                order = self._read(LIVE, name, claim=True)
                if order is not None:
                    self._carry_out(name, order)

    # -- files ---------------------------------------------------------------------------------------------------------

    def _spared(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Call it, with the spare descriptor's number if need be; None if there is no such file, or still no room."""
        try:
            return function(*args, **kwargs)
        except FileNotFoundError:
            return None  # somebody else was first, it was withdrawn, or the run is over
        except OSError as exc:
            if exc.errno != errno.EMFILE:
                raise
        os.close(self._spare)
        try:
            return function(*args, **kwargs)
        except OSError:
            return None
        finally:
            self._spare = _open_null()

    def _names(self, folder: str) -> list[str]:
        return sorted(self._spared(os.listdir, f"{self._where}/{folder}") or ())

    def _read(self, folder: str, name: str, *, claim: bool, request: int | None = None) -> dict[str, Any] | None:
        """Return an order that is there, and this worker's alone if it claims it, for a request if that is given."""
        path = f"{self._where}/{folder}/{name}"
        if claim:
            # In the name, for a worker that dies of it tells nothing afterwards.
            taker = self.pid if request is None else f"{request}.{self.pid}"
            claimed = f"{self._where}/{CLAIMED}/{name}.{taker}"
            try:
                os.rename(path, claimed)
            except FileNotFoundError:
                return None
            path = claimed
        text = self._spared(_contents, path)
        return None if text is None else json.loads(text)

    def _write(self, folder: str, name: str, content: object) -> None:
        """Put a file there, whole or not at all."""
        path = f"{self._where}/{folder}/{name}"
        written = f"{self._where}/.{folder} {name} {self.pid}"
        if self._spared(_put, written, json.dumps(content)) is not None:
            self._spared(os.rename, written, path)

    # -- deeds ---------------------------------------------------------------------------------------------------------

    def _carry_out(self, name: str, order: dict[str, Any]) -> None:
        if name.endswith(FOR_ALL) or "poison" in order:
            # Nobody's by claim, so that it could not be counted by that.
            self._write(CLAIMED, f"{name}.{self.pid}", order)
        try:
            result = getattr(self, f"do_{order['do']}")(**order.get("with", {}))
        except (OSError, MemoryError) as exc:
            # It has run out of something, as other orders may have it.
            result = {"error": f"{type(exc).__name__}: {exc}"}
        self._write(DONE, f"{name}.{self.pid}", result or {})

    def do_nothing(self) -> None:
        """Let this one pass."""

    def do_wait(self, flag: str, seconds: float | None) -> None:
        """Come no further for so long, or for ever, or until the flag, a file, is taken away."""
        until = None if seconds is None else time.monotonic() + seconds
        while os.path.exists(flag) and (until is None or time.monotonic() < until):
            time.sleep(_GLANCE)

    def do_babble(self, flag: str, size: int) -> None:
        """Print garbage, and come no further until the flag is taken away."""
        self.do_print(1, size, binary=True)
        self.do_wait(flag, None)

    def do_die(self, how: str) -> None:
        """Die at once."""
        die(how)

    def do_raise(self, message: str) -> None:
        """Fail, as an import does whose module is broken."""
        raise RuntimeError(message)

    def do_die_later(self, flag: str, how: str, seconds: float) -> None:
        """Die in a while, whatever it is doing then, if the flag is still there."""
        import threading

        # A thread, for alarms may be the application's; a daemon, for who ends earlier need not wait for it.
        timer = threading.Timer(seconds, _die_while, [flag, how])
        timer.daemon = True
        timer.start()

    def do_hold_gil(self, seconds: float) -> None:
        """Hold the interpreter's lock in C, as a library does that forgot to give it back.

        What waits is a lock that this thread has already. POSIX has that wait go on after every handled signal, whose
        Python handlers come too late, like everything in this process.
        """
        import ctypes

        library = ctypes.PyDLL(None)  # unlike CDLL it keeps the lock
        mutex = ctypes.create_string_buffer(64)  # zeros are a mutex, and none is larger
        until = time.clock_gettime(time.CLOCK_REALTIME) + seconds
        deadline = (ctypes.c_long * 2)(int(until), int(until % 1 * 1e9))
        library.pthread_mutex_lock(mutex)
        library.pthread_mutex_timedlock(mutex, deadline)
        library.pthread_mutex_unlock(mutex)

    def do_spin(self, flag: str, seconds: float) -> None:
        """Compute in Python, whose lock other threads get now and then, and signals are heard."""
        until = time.monotonic() + seconds
        while os.path.exists(flag) and time.monotonic() < until:
            pass

    def do_ignore_sigterm(self, linger: float) -> None:
        """Be deaf to SIGTERM, and slow to leave when told so otherwise."""
        import atexit

        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self._held.setdefault("sigterm", before)
        if linger and "linger" not in self._held:
            self._held["linger"] = linger
            atexit.register(lambda: time.sleep(self._held.get("linger", 0)))

    def do_heed_sigterm(self) -> None:
        """Hear it again."""
        self._held.pop("linger", None)
        before = self._held.pop("sigterm", None)
        if before is not None:
            signal.signal(signal.SIGTERM, before)

    def do_grow(self, size: int, budget: int) -> dict[str, int]:
        """Take memory, resident, up to a budget for all that this worker takes so; return how much that was now."""
        import mmap

        blocks = self._held.setdefault("memory", [])
        size = min(size, budget - sum(map(len, blocks)))
        if size > 0:
            # Private, so that it is this process's, and mapped, so that giving it back gives it back.
            block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            for position in range(0, size, mmap.PAGESIZE):
                block[position] = 1
            blocks.append(block)
        return {"held": max(0, size)}

    def do_shrink(self) -> dict[str, int]:
        """Give it back."""
        blocks = self._held.pop("memory", [])
        held = sum(map(len, blocks))
        for block in blocks:
            block.close()
        return {"released": held}

    def do_exhaust_descriptors(self, spare: int) -> dict[str, int]:
        """Open files until no more can be, save so many.

        The limit comes down first: where it allows a million, the kernel's memory would be what runs out.
        """
        import resource

        taken = self._held.setdefault("descriptors", [])
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._held.setdefault("limit", soft)
        # Room for what is open anyhow, of which the highest number counts, and for a few of ours.
        room = max(map(int, os.listdir("/proc/self/fd"))) + 16
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(room, soft), hard))
        try:
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            pass
        for _ in range(min(spare, len(taken))):
            os.close(taken.pop())
        return {"descriptors": len(taken)}

    def do_release_descriptors(self) -> dict[str, int]:
        """Close them, and put the limit back."""
        import resource

        taken = self._held.pop("descriptors", [])
        for descriptor in taken:
            os.close(descriptor)
        soft = self._held.pop("limit", None)
        if soft is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        return {"released": len(taken)}

    def do_print(self, descriptor: int, size: int, binary: bool = False) -> dict[str, int]:
        """Write so many bytes to a standard stream: lines, or anything at all. Blocks while nobody reads them."""
        line = b"the quick brown fox jumps over the lazy dog, and again, and again\n"
        written = 0
        while written < size:
            piece = os.urandom(4096) if binary else line * 64
            written += os.write(descriptor, piece[: size - written])
        return {"written": written}

    def do_leave_grandchild(self, flag: str, how: str, seconds: float, sockets: bool, own_group: bool) -> None:
        """Start a process that holds what this one holds, and die.

        Args:
            flag: A file that is there: when it is taken away the grandchild goes. Its process id is put in.
            how: Of what to die.
            seconds: When it goes in any case.
            sockets: Whether it holds the sockets too; the output pipe it always does.
            own_group: Whether it leaves the worker's process group, and so is no longer the pool's to kill.
        """
        import stat
        import sys

        if sockets:
            for entry in os.listdir("/proc/self/fd"):
                try:
                    if stat.S_ISSOCK(os.fstat(int(entry)).st_mode):
                        os.set_inheritable(os.dup(int(entry)), True)
                except OSError:
                    pass  # the listing's own descriptor, closed by now
        script = (
            "import os,sys,time\n"
            "end=time.monotonic()+float(sys.argv[2])\n"
            "while os.path.exists(sys.argv[1]) and time.monotonic()<end: time.sleep(0.02)\n"
        )
        argv = [sys.executable, "-I", "-S", "-c", script, flag, str(seconds)]
        group: dict[str, Any] = {"setpgroup": 0} if own_group else {}
        grandchild = os.posix_spawn(sys.executable, argv, os.environ, **group)
        with open(flag, "w", encoding="ascii") as file:
            file.write(str(grandchild))
        die(how)


def _contents(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _put(path: str, text: str) -> int:
    with open(path, "w", encoding="utf-8") as file:
        return file.write(text)


def _open_null() -> int:
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
