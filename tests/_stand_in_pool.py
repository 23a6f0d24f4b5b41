"""A stand-in for a session pool: answers the program commands as workers do, without processes, and records every call.

What it claims about programs, ``system/test_programs.py`` asserts of the real pool.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, cast

import attrs
import trio

from trio_pool import PoolConfig, PoolMetrics, PoolStatus, SessionInfo, SessionStatus
from trio_pool.errors import BroadcastFailed, InvalidArguments, ProgramNotFound, UnknownCommand

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trio_pool import PoolHealth, TrioPoolError

# As many shared programs as this a stand-in worker remembers: few, so that tests reach the limit.
SHARED_CAPACITY = 4

DOUBLE: dict[str, Any] = {"id": "double", "function": "app:double", "signature": "value: int -> result: int"}
GREET: dict[str, Any] = {"id": "greet", "function": "app:greet", "signature": "name: str -> greeting: str"}
ASK: dict[str, Any] = {"id": "ask", "program_type": "predict", "signature": "question -> answer: float"}
REACT: dict[str, Any] = {**ASK, "program_type": "react", "tools": ["app:search", "app.tools:Maths.add"]}


@attrs.frozen
class Call:
    """One call of the pool, as it was made."""

    session_id: str | None
    command: str
    args: dict[str, Any]
    timeout: float | None
    checkout_timeout: float | None
    key: str | None = None
    """That of a broadcast."""
    idempotent: bool = False


class StandInPool:
    """One worker holding all sessions; every session's requests run one at a time.

    Args:
        pause: Gives the seconds that pass before a request is queued, while it runs, and before its caller resumes.
    """

    def __init__(self, pause: Callable[[], float] = lambda: 0.0) -> None:
        self.calls: list[Call] = []
        self.sessions: dict[str, dict[str, dict[str, Any]]] = {}
        self.shared: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self.config = PoolConfig()
        self.health = cast("PoolHealth", object())
        self.replies: dict[str, object] = {}
        """Results to give instead of the true ones, by command."""
        self.refusals: dict[str, TrioPoolError] = {}
        """Errors in a worker, by its id, to fail the next broadcast with."""
        self.model: dict[str, Any] | None = None
        """The configuration of the language model."""
        self.metrics = dict.fromkeys((field.name for field in attrs.fields(PoolMetrics)), 0)
        self._pause = pause
        self._turns: dict[str | None, trio.Lock] = {}

    @property
    def commands(self) -> list[str]:
        """The commands called so far."""
        return [call.command for call in self.calls]

    def replace_worker(self) -> None:
        """Let the worker die and another take its place: shared programs are forgotten."""
        self.shared.clear()

    async def execute_in_session(
        self,
        session_id: str,
        command: str,
        args: Mapping[str, object] | None = None,
        *,
        timeout: float | None = None,
        checkout_timeout: float | None = None,
        idempotent: bool = False,
    ) -> Any:
        return await self._execute(
            Call(session_id, command, dict(args or {}), timeout, checkout_timeout, idempotent=idempotent)
        )

    async def execute_anonymous(
        self,
        command: str,
        args: Mapping[str, object] | None = None,
        *,
        timeout: float | None = None,
        checkout_timeout: float | None = None,
        idempotent: bool = False,
    ) -> Any:
        return await self._execute(
            Call(None, command, dict(args or {}), timeout, checkout_timeout, idempotent=idempotent)
        )

    async def broadcast(
        self, command: str, args: Mapping[str, object] | None = None, *, key: str | None = None
    ) -> dict[str, Any]:
        call = Call(None, command, dict(args or {}), None, None, key)
        self.calls.append(call)
        await trio.sleep(self._pause())
        if command in self.replies:
            reply = self.replies[command]
        elif command == "configure_lm":
            self.model = config = call.args["config"]
            reply = {"status": "configured", "model": config["model"], "temperature": config.get("temperature", 0.7)}
        else:
            raise UnknownCommand(command)
        workers = {worker_id: reply for worker_id in ("pool-0", "pool-1") if worker_id not in self.refusals}
        if self.refusals:
            raise BroadcastFailed(f"{command} failed", results=workers, errors=self.refusals, key=key)
        return workers

    def get_pool_status(self) -> PoolStatus:
        metrics = PoolMetrics(**{**self.metrics, "submitted": len(self.calls), "ok": len(self.calls)})
        return PoolStatus(
            size=2,
            ready=2,
            standby=0,
            busy=0,
            queued=0,
            sessions=len(self.sessions),
            uptime=1.5,
            workers=(),
            metrics=metrics,
        )

    def get_sessions(self) -> Mapping[str, SessionInfo]:
        return {
            name: SessionInfo(
                session_id=name,
                status=SessionStatus.BOUND,
                incarnation=1,
                created_at=0.0,
                last_used=1.0,
                operations=sum(call.session_id == name for call in self.calls),
                waiting=0,
            )
            for name in self.sessions
        }

    async def health_check(self) -> PoolHealth:
        await trio.lowlevel.checkpoint()
        return self.health

    async def _execute(self, call: Call) -> object:
        self.calls.append(call)
        await trio.sleep(self._pause())
        async with self._turns.setdefault(call.session_id, trio.Lock()):
            await trio.sleep(self._pause())
            if call.command in self.replies:
                result = self.replies[call.command]
            elif call.session_id is None:
                result = self._run_shared(call)
            else:
                result = self._run(self.sessions.setdefault(call.session_id, {}), call)
        await trio.sleep(self._pause())
        return result

    def _run(self, programs: dict[str, dict[str, Any]], call: Call) -> object:
        if call.command == "list_programs":
            return {"programs": [{"id": name} for name in programs], "total_count": len(programs)}
        if call.command == "create_program":
            config = call.args["config"]
            if config["id"] in programs:
                raise InvalidArguments(f"program id {config['id']!r} exists already")
            programs[config["id"]] = config
            return {"program_id": config["id"], "status": "created", "signature": config["signature"]}
        if call.command not in ("execute_program", "delete_program", "get_program_info"):
            raise UnknownCommand(call.command)
        name = call.args["program_id"]
        if name not in programs:
            raise ProgramNotFound(f"no program {name!r}", program_id=name)
        if call.command == "delete_program":
            del programs[name]
            return {"program_id": name, "status": "deleted"}
        if call.command == "get_program_info":
            return {"program_id": name, "signature": programs[name]["signature"]}
        return _outputs(programs[name], call)

    def _run_shared(self, call: Call) -> object:
        if call.command != "execute_shared_program":
            raise UnknownCommand(call.command)
        key = call.args["key"]
        if "program" in call.args:
            self.shared[key] = call.args["program"]
            if len(self.shared) > SHARED_CAPACITY:
                self.shared.popitem(last=False)
        if key not in self.shared:
            raise ProgramNotFound(f"no shared program {key!r}")
        self.shared.move_to_end(key)
        return _outputs(self.shared[key], call)


def _outputs(program: dict[str, Any], call: Call) -> object:
    if call.args["inputs"].keys() != {field["name"] for field in program["signature"]["inputs"]}:
        raise InvalidArguments("the inputs are not those of the signature")
    outputs = {"function": program.get("function") or program["program_type"], "inputs": call.args["inputs"]}
    return {"program_id": program["id"], "outputs": outputs, "execution_time": 0.0}
