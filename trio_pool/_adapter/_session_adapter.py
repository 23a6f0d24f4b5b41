"""The adapter bound to one session: its programs live in that session's state, on the worker it is bound to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from .._core._errors import InvalidArguments, Outcome, ProgramNotFound, ProtocolError
from ._layers import capabilities, supported_layers, to_layer
from ._port import Limits, reply_field, reply_mapping
from ._program import Program, check_program_id
from ._signature import Signature
from ._stats import pool_stats, session_stats

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._pool import PoolHealth
    from ._layers import Layer
    from ._port import ProgramPool
    from ._signature_cache import SignatureCache

_CREATE: Final = "create_program"
_EXECUTE: Final = "execute_program"
_LIST: Final = "list_programs"
_DELETE: Final = "delete_program"
_INFO: Final = "get_program_info"


class SessionAdapter:
    """The programs of one session; made by `PythonPool.session_adapter`, at no cost.

    Every method sends its command with the bound session id, so its programs are seen by this session alone and share
    the fate of its state: `SessionLost` once the worker that held them died, gone when the session is ended or expires.
    In this respect, and in time limits, errors and behaviour when the pool closes (`PoolClosed`, or `WorkerCrashed`
    with ``reason="shutdown"`` for what is running), each method is `SessionPool.execute_in_session`.

    To check inputs before a worker is asked, adapters of one `PythonPool` remember signatures. A program that is
    deleted and created anew past them, by bare commands or through another `PythonPool`, may be judged by its old
    signature until a worker contradicts it.

    .. versionadded:: 0.1
    """

    def __init__(
        self, pool: ProgramPool, session_id: str, signatures: SignatureCache, layer: Layer | None = None
    ) -> None:
        self._pool = pool
        self._session_id = session_id
        self._signatures = signatures
        self._layer = layer

    @property
    def session_id(self) -> str:
        """The session every call is made in."""
        return self._session_id

    async def create_program(self, config: Mapping[str, object]) -> str:
        """Create a program in the session; its functions are imported by the worker now.

        Cancelling leaves it open whether the program was created, and so does a worker's death, with which the session
        is lost anyway.

        Args:
            config: ``signature`` (see `Signature.parse`); ``id`` (made if absent); ``program_type``; and what that
                type takes: ``function`` (``"module:qualname"``) for ``python``, the default; ``tools`` (a list of the
                same) and ``max_iters`` for ``react``; nothing for ``predict`` and ``chain_of_thought``. The latter
                three are run by a language model through DSPy, see `PythonPool.configure_lm`.

        Returns:
            The program's id.

        Raises:
            InvalidArguments: The config is wrong, found before any worker is asked; or, says the worker, the id exists
                in the session, the session holds as many programs as it may, or a function cannot be imported.
        """
        program = Program.parse(config)
        with self._signatures.claim((self._session_id, program.program_id), changes=True) as claim:
            reply = await self._pool.execute_in_session(self._session_id, _CREATE, {"config": program.to_dict()})
            program_id = reply_field(reply, _CREATE, "program_id", str)
            claim.signature = program.signature
        return program_id

    async def execute_program(
        self,
        program_id: str,
        inputs: Mapping[str, object],
        options: Mapping[str, float | None] | None = None,
    ) -> dict[str, Any]:
        """Run a program and return its outputs by name.

        The signature of a program this adapter does not know yet is looked up first, within the same time limits.

        Args:
            program_id: The program.
            inputs: A value for each input of its signature, and none besides.
            options: ``timeout`` and ``checkout_timeout`` in seconds for this call, and ``idempotent``, all as in
                `SessionPool.execute_in_session`: a worker's death ends the session, so nothing is tried again that had
                begun in it.

        Raises:
            InvalidArguments: The inputs do not fit the signature, or an option is unknown; the program did not run.
            ProgramNotFound: The session has no such program.
            RemoteError: The program raised.
            WorkerCrashed: The worker died running it. Cancelling the caller, or a timeout, gives the program
                ``abandon_grace`` seconds to end before its worker is killed and the session with it lost.
        """
        key = (self._session_id, check_program_id(program_id))
        limits = Limits(options, self._pool.config)
        signature = self._signatures.get(key)
        if signature is None:
            signature = await self._look_up(program_id, limits)
        args = {"program_id": program_id, "inputs": signature.validate_inputs(inputs)}
        try:
            reply = await self._pool.execute_in_session(self._session_id, _EXECUTE, args, **limits.remaining())
        except (ProgramNotFound, InvalidArguments):
            # The worker knows another program, or none: what is known here was changed past this adapter.
            self._signatures.forget(key, signature)
            raise
        return reply_mapping(reply, _EXECUTE, "outputs")

    async def list_programs(self) -> list[str]:
        """Return the ids of the session's programs, in order of creation; a session without any lists none.

        Safe to cancel: it changes nothing.
        """
        reply = await self._pool.execute_in_session(self._session_id, _LIST)
        programs = cast("list[object]", reply_field(reply, _LIST, "programs", list))
        return [reply_field(program, _LIST, "id", str) for program in programs]

    async def delete_program(self, program_id: str) -> None:
        """Delete a program. Cancelling leaves it open whether it was deleted.

        Raises:
            ProgramNotFound: The session has no such program.
        """
        args = {"program_id": check_program_id(program_id)}
        with self._signatures.claim((self._session_id, program_id), changes=True):
            await self._pool.execute_in_session(self._session_id, _DELETE, args)

    async def get_program_info(self, program_id: str) -> dict[str, Any]:
        """Return what the worker knows of a program: ``program_id``, ``signature`` and counts. Safe to cancel.

        Raises:
            ProgramNotFound: The session has no such program.
        """
        args = {"program_id": check_program_id(program_id)}
        reply = await self._pool.execute_in_session(self._session_id, _INFO, args)
        reply_field(reply, _INFO, "program_id", str)
        return cast("dict[str, Any]", reply)

    async def health_check(self) -> PoolHealth:
        """Return the health of the whole pool, as `SessionPool.health_check` does."""
        return await self._pool.health_check()

    def get_stats(self) -> dict[str, Any]:
        """Return what is known of the use of the pool and this session, in plain values. Asks no worker.

        Returns:
            The same as `PythonPool.get_stats`, but for ``programs``, and ``session_id`` and ``session_stats`` (as
            `SessionInfo`; None while the pool knows no such session).
        """
        return {
            **pool_stats(self._pool, self._layer),
            "session_id": self._session_id,
            "session_stats": session_stats(self._pool, self._session_id),
        }

    def supports_test_layer(self, layer: Layer | str) -> bool:
        """Return whether the pool can serve a layer, as `PythonPool.supports_test_layer` does."""
        return to_layer(layer) in supported_layers(self._pool)

    def get_test_capabilities(self) -> dict[str, Any]:
        """Return what the adapter can do, as `PythonPool.get_test_capabilities` does."""
        return capabilities(self._pool)

    async def _look_up(self, program_id: str, limits: Limits) -> Signature:
        with self._signatures.claim((self._session_id, program_id), changes=False) as claim:
            args = {"program_id": program_id}
            try:
                reply = await self._pool.execute_in_session(self._session_id, _INFO, args, **limits.remaining())
            except ProgramNotFound as exc:
                # In the words of what the caller asked for, who knows nothing of this look-up.
                raise ProgramNotFound(
                    f"{_EXECUTE}: session {self._session_id!r} has no program {program_id!r}",
                    program_id=program_id,
                    session_id=self._session_id,
                    command=_EXECUTE,
                    worker_id=exc.worker_id,
                    pid=exc.pid,
                    incarnation=exc.incarnation,
                    request_id=exc.request_id,
                ) from exc
            try:
                claim.signature = Signature.parse(reply_mapping(reply, _INFO, "signature"))
            except InvalidArguments as exc:
                # The caller's arguments are not at fault here, and this class would say so.
                message = f"the signature of program {program_id!r} is malformed: {exc}"
                raise ProtocolError(message, reason="bad_result", outcome=Outcome.EXECUTED, command=_INFO) from exc
            return claim.signature
