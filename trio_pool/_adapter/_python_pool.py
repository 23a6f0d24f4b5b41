"""PythonPool: programs over a session pool, unbound or bound to a session.

Unbound programs have no home in a worker. Their definitions are kept here, in the application, and a worker is sent one
when it first needs it, so that any worker may run any of them and no worker's death loses one. Workers know an unbound
program by a key made anew at every creation, never by its id: whatever old definition a worker still remembers, a
program created anew under an old id cannot run it.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import attrs
import trio

from .._core._errors import BroadcastFailed, InvalidArguments, ProgramNotFound
from .._core._session_table import is_id
from ._language_model import check_model_config
from ._layers import Layer, capabilities, supported_layers, to_layer
from ._port import Limits, reply_field, reply_mapping
from ._program import Program, check_program_id
from ._session_adapter import SessionAdapter
from ._signature_cache import SignatureCache
from ._stats import pool_stats

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._pool import PoolHealth
    from ._port import ProgramPool

_EXECUTE_SHARED: Final = "execute_shared_program"
_CONFIGURE_LM: Final = "configure_lm"


@attrs.define(eq=False)
class _SharedProgram:
    """An unbound program and what is known of its use."""

    program: Program
    created_at: float
    key: str = attrs.field(factory=lambda: uuid4().hex)  # workers are shared by all adapters, so it is unique among all
    delivered: bool = False  # some worker has been given the definition
    execution_count: int = 0
    last_executed: float | None = None


class PythonPool:
    """Programs over a `SessionPool`: create them once, run them on any worker, or bind them to a session.

    A program is a named function, or a task for a language model, with a signature. Through the methods here it is
    *unbound*: its definition stays in the application, executions go to any worker, and a worker's death costs at most
    the executions begun there. Through `session_adapter` it belongs to a session and lives with that session's state.

    An adapter owns nothing that needs closing, and may be used by any number of tasks. Once its pool is closed,
    executions raise `PoolClosed` (those running, `WorkerCrashed` with ``reason="shutdown"``); what touches no worker
    goes on working.

    Args:
        pool: The pool that runs the programs. Its application must have the program commands, as
            ``trio_pool.bridge:builtin`` does; else executions raise `UnknownCommand`.
        layer: What this adapter is to be used for; None for whatever the pool serves.
        max_programs: How many unbound programs may exist at once, and how many signatures of session programs are
            remembered (one more is looked up again when it is used). At 1000, some 1 MB of definitions.

    Raises:
        ValueError: ``max_programs`` is no positive integer; or the pool does not serve ``layer``, see
            `supports_test_layer`.

    .. versionadded:: 0.1
    """

    def __init__(self, pool: ProgramPool, *, layer: Layer | str | None = None, max_programs: int = 1000) -> None:
        if type(max_programs) is not int or max_programs < 1:  # a bool is no number of programs
            raise ValueError(f"max_programs must be a positive integer, not {max_programs!r:.80}")
        self._layer = None if layer is None else to_layer(layer)
        if self._layer is not None and self._layer not in supported_layers(pool):
            served = ", ".join(capabilities(pool)["test_layers"])
            raise ValueError(f"layer {str(self._layer)!r} is not served by this pool, whose launcher serves {served}")
        self._pool = pool
        self._max_programs = max_programs
        # No method awaits between reading this table and changing it, so no lock is needed.
        self._programs: dict[str, _SharedProgram] = {}
        self._signatures = SignatureCache(max_programs)

    async def create_program(self, config: Mapping[str, object]) -> str:
        """Define an unbound program.

        No worker is asked, so whether the function can be imported shows when the program is first executed. Cancelled
        at its one checkpoint, it has created nothing.

        Args:
            config: ``signature`` (see `Signature.parse`); ``id`` (made if absent); ``program_type``; and what that
                type takes: ``function`` (``"module:qualname"``) for ``python``, the default; ``tools`` (a list of the
                same) and ``max_iters`` for ``react``; nothing for ``predict`` and ``chain_of_thought``. The latter
                three are run by a language model through DSPy, see `configure_lm`.

        Returns:
            The program's id.

        Raises:
            InvalidArguments: The config is wrong, the id exists in this adapter, or ``max_programs`` exist already. The
                last is no `PoolSaturated`, which waiting cures: here something has to be deleted first.
        """
        program = Program.parse(config)
        await trio.lowlevel.checkpoint()
        if program.program_id in self._programs:
            raise InvalidArguments(f"program id {program.program_id!r:.80} exists already")
        if len(self._programs) >= self._max_programs:
            raise InvalidArguments(f"{self._max_programs} programs exist already (max_programs): delete one first")
        self._programs[program.program_id] = _SharedProgram(program, created_at=time.time())
        return program.program_id

    async def execute_program(
        self,
        program_id: str,
        inputs: Mapping[str, object],
        options: Mapping[str, float | None] | None = None,
    ) -> dict[str, Any]:
        """Run an unbound program on any worker and return its outputs by name.

        It runs as it was defined when the call was made, even if it is deleted, or created anew, while the call waits.
        Time limits, cancellation and a worker's death are those of `SessionPool.execute_anonymous`: a cancelled or
        timed-out execution has ``abandon_grace`` seconds to end before its worker is killed.

        Args:
            program_id: The program.
            inputs: A value for each input of its signature, and none besides.
            options: ``timeout`` and ``checkout_timeout`` in seconds for this call, sending the definition included, the
                pool's own where absent; and ``idempotent``, as in `SessionPool.execute_anonymous`.

        Raises:
            ProgramNotFound: There is no such program in this adapter.
            InvalidArguments: The inputs do not fit the signature or an option is unknown, found before any worker is
                asked; or, says the worker, the function cannot be imported. The program did not run.
            RemoteError: The program raised.
            WorkerCrashed: The worker died running it.
        """
        shared = self._find(program_id)
        limits = Limits(options, self._pool.config)
        accepted = shared.program.signature.validate_inputs(inputs)
        reply = await self._run(shared, accepted, limits)
        shared.delivered = True
        outputs = reply_mapping(reply, _EXECUTE_SHARED, "outputs")
        shared.execution_count += 1
        shared.last_executed = time.time()
        return outputs

    async def list_programs(self) -> list[str]:
        """Return the ids of all unbound programs of this adapter, in order of creation. Asks no worker."""
        await trio.lowlevel.checkpoint()
        return list(self._programs)

    async def delete_program(self, program_id: str) -> None:
        """Delete an unbound program; executions under way finish.

        Asks no worker: what workers remember of it is out of reach from now on, and forgotten in time. Cancelled at its
        one checkpoint, it has deleted nothing.

        Raises:
            ProgramNotFound: There is no such program in this adapter.
        """
        check_program_id(program_id)
        await trio.lowlevel.checkpoint()
        del self._programs[self._find(program_id).program.program_id]

    async def get_program_info(self, program_id: str) -> dict[str, Any]:
        """Return what is known of an unbound program. Asks no worker.

        Returns:
            ``program_id``, ``program_type``, what that type was given (``function``, ``tools``), ``signature`` (as
            `Signature.to_dict`), ``created_at``, ``execution_count`` and ``last_executed``. Times are seconds since the
            epoch, the last None before the first successful execution, and only such are counted.

        Raises:
            ProgramNotFound: There is no such program in this adapter.
        """
        await trio.lowlevel.checkpoint()
        shared = self._find(program_id)
        definition = shared.program.to_dict()
        return {
            "program_id": definition.pop("id"),
            **definition,
            "created_at": shared.created_at,
            "execution_count": shared.execution_count,
            "last_executed": shared.last_executed,
        }

    async def health_check(self) -> PoolHealth:
        """Return the health of the pool, as `SessionPool.health_check` does."""
        return await self._pool.health_check()

    def get_stats(self) -> dict[str, Any]:
        """Return what is known of the use of this adapter and its pool, in plain values. Asks no worker.

        Returns:
            ``adapter_type``; ``layer`` (as given to the constructor); ``pool_status`` (as `PoolStatus`, metrics and
            workers included); ``python_execution``; ``concurrent_sessions``; and ``programs``, how many unbound ones
            there are.
        """
        return {**pool_stats(self._pool, self._layer), "programs": len(self._programs)}

    def supports_test_layer(self, layer: Layer | str) -> bool:
        """Return whether the pool can serve a layer of tests, or production, as its launcher says.

        Real workers serve ``system``, ``stress`` and ``production``; a launcher that has an attribute ``test_layers``
        serves those.

        Raises:
            ValueError: There is no such layer.
        """
        return to_layer(layer) in supported_layers(self._pool)

    def get_test_capabilities(self) -> dict[str, Any]:
        """Return what this adapter can do, as it follows from the pool's launcher and size.

        Returns:
            ``test_layers``, ``python_execution``, ``protocol_validation``, ``deterministic_outputs``, ``performance``,
            ``requires_environment``, ``concurrent_execution``, ``session_isolation`` and ``production_ready``.
        """
        return capabilities(self._pool)

    async def configure_lm(self, config: Mapping[str, object]) -> dict[str, Any]:
        """Set the language model that the programs of all workers ask, of those that start later too.

        It is a broadcast with a key: see `SessionPool.broadcast` for what that means for workers that are busy, die or
        start, and for a caller that leaves. The model is a worker's, not a session's.

        Args:
            config: ``model``, and if wanted ``api_key``, ``api_base``, ``provider`` (put before the name of a model
                that does not have it), ``temperature`` (0.7 if absent), ``max_tokens`` and ``lm``
                (``"module:attribute"`` of a function that makes the model, called with the others by name). A value of
                None is as if it were absent, save that a temperature of None is the model's own.

        Returns:
            ``status`` (``configured``), ``model``, ``provider`` and ``temperature``, as the workers understood it.

        Raises:
            InvalidArguments: The config is wrong, or, say all workers, no model can be made of it. Nothing changed.
            BroadcastFailed: It failed in some worker, or in all for another reason.
        """
        args = {"config": check_model_config(config)}
        try:
            results = await self._pool.broadcast(_CONFIGURE_LM, args, key=_CONFIGURE_LM)
        except BroadcastFailed as exc:
            refusal = next(iter(exc.errors.values()), None)
            if exc.results or not all(isinstance(error, InvalidArguments) for error in exc.errors.values()):
                raise
            raise InvalidArguments("" if refusal is None else refusal.what, command=_CONFIGURE_LM) from exc
        # All workers were told the same and said the same.
        reply = next(iter(results.values()), None)
        reply_field(reply, _CONFIGURE_LM, "status", str)
        return reply  # type: ignore[return-value]  # a mapping, as just checked

    def session_adapter(self, session_id: str) -> SessionAdapter:
        """Return the same methods bound to a session. Asks no worker; the session begins with its first use.

        Adapters of one session made here share what they know, so making one per request is fine.

        Raises:
            ValueError: ``session_id`` is no session id: a non-empty str of up to 255 bytes.
        """
        if not is_id(session_id):
            raise ValueError(f"a session id is a non-empty str of up to 255 bytes, not {session_id!r:.80}")
        return SessionAdapter(self._pool, session_id, self._signatures, self._layer)

    async def _run(self, shared: _SharedProgram, inputs: Mapping[str, object], limits: Limits) -> object:
        args: dict[str, object] = {"key": shared.key, "inputs": inputs}
        # The first time, no worker can have the definition. Later most do, and one that does not (it is new, or has
        # forgotten it in favour of others) says so without running anything.
        if shared.delivered:
            with suppress(ProgramNotFound):
                return await self._pool.execute_anonymous(_EXECUTE_SHARED, args, **limits.remaining())
        args["program"] = shared.program.to_dict()
        return await self._pool.execute_anonymous(_EXECUTE_SHARED, args, **limits.remaining())

    def _find(self, program_id: object) -> _SharedProgram:
        shared = self._programs.get(check_program_id(program_id))
        if shared is None:
            raise ProgramNotFound(f"there is no program {program_id!r:.80}", program_id=str(program_id))
        return shared
