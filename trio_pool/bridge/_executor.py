"""The executor: one request in, one reply out, whatever the command does. No IO."""

from __future__ import annotations

import time
from _thread import allocate_lock

from .._core._errors import FrameTooLarge, ProtocolError, Unserializable
from .._core._messages import encode, pieces
from ._interrupts import Interrupts, is_interrupt
from ._replies import Refused, failure, refusal, taken_back
from ._session import Session
from ._standard import standard_commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, Protocol

    from .._core._messages import Message, Piece
    from ._arguments import Arguments
    from ._bridge import Bridge
    from ._loading import Loader
    from ._secrets import Secrets
    from ._structuring import Structurer

    class Word(Protocol):
        """The first word of the page shared with the parent, or of a list that nobody reads."""

        def __setitem__(self, index: int, value: int, /) -> None:
            """Store a request's id."""
            ...


# Room for an error reply without traceback and with the shortest message, however small the frames are.
_SMALLEST_REPLY: Final = 1024


def id_of(request: Message) -> int:
    """Return a request's id.

    Raises:
        ProtocolError: It has none, so nobody could be answered.
    """
    request_id = request.get("id")
    if type(request_id) is not int or not 0 < request_id < 2**64:
        raise ProtocolError(f"a request without a usable id: {request_id!r:.100}", reason="garbage")
    return request_id


class Executor:
    """A worker's commands and sessions, and the rule by which a request becomes a reply.

    Args:
        bridge: The application.
        loader: Finds functions named by requests.
        worker_id: This worker's name.
        max_frame: The largest reply allowed, in bytes.
        begun: Where to store a request's id, at index 0, before its function is entered.
        ahead: How many seconds this process's monotonic clock is ahead of the parent's, or somewhat more; None if that
            is not known, and then no request is ever too late.
    """

    def __init__(
        self,
        bridge: Bridge,
        loader: Loader,
        *,
        worker_id: str,
        max_frame: int,
        begun: Word,
        ahead: float | None = None,
    ) -> None:
        self.loader = loader
        self._registry = bridge.registry
        self.resources = self._registry.resources
        self.worker_id = worker_id
        self.sessions: dict[str, Session] = {}
        self.started = time.monotonic()
        self.requests = 0
        self.errors = 0
        self.stopping = False
        self.interrupts = Interrupts()
        self._ahead = ahead
        self._counting = allocate_lock()
        for resource in self.resources:
            resource.attach(self)
        self._max_frame = max_frame
        self._begun = begun
        self._structurer: Structurer | None = None
        self._secrets: Secrets | None = None
        # Every annotation is resolved here, before the worker is ready: what is wrong with one is seen at once, and
        # what the rich ones need is imported now.
        self._commands: dict[str, Arguments] = {
            command.name: command.arguments(self._make_structurer)
            for command in (*standard_commands(self), *self._registry.commands.values())
        }
        self._interruptible = self.flagged("interruptible")

    def names(self) -> list[str]:
        """Return the names of the commands, hidden ones left out."""
        return sorted(name for name in self._commands if not name.startswith("__"))

    def flagged(self, flag: str) -> frozenset[str]:
        """Return the names of the commands that were declared so."""
        return frozenset(name for name, command in self._registry.commands.items() if flag in command.flags)

    def flags(self) -> dict[str, list[str]]:
        """Return what the application has declared of those commands that are more than plain ones."""
        return {name: sorted(command.flags) for name, command in self._registry.commands.items() if command.flags}

    def start(self) -> None:
        """Run the application's start hooks."""
        for hook in self._registry.start_hooks:
            hook()

    def handle(self, request: Message) -> list[Piece]:
        """Run one request and return the bytes of its reply.

        Raises:
            ProtocolError: The request has no id, so nobody could be answered.
            SystemExit: The command wants the worker to end.
        """
        request_id = self.accept(request)
        interrupts = self.interrupts
        session = None
        try:
            try:
                command, arguments, session = self.prepare(request)
                # From here on the command counts as begun: should this process die, the request is not simply repeated.
                self._begun[0] = request_id
                interrupts.begin(request_id, armed=request["command"] in self._interruptible)
                if "cancelled" in request:
                    # In a worker of two threads, between the look that `prepare` took and the line above.
                    raise taken_back()
                result = command.call(arguments, session)
            finally:
                # Inside the other `try`: an interrupt that comes even here is caught below.
                interrupts.running = 0
        except SystemExit:
            raise
        except BaseException as exc:  # noqa: ASYNC103  # see `raised`
            interrupts.running = 0
            if interrupts.told and is_interrupt(exc):
                exc = Refused("cancelled", "it was interrupted, for nobody waits for it any more", begun=True)
            reply = self.raised(request_id, exc, session_used=session is not None)  # noqa: ASYNC104  # see `raised`
        else:
            reply = self.returned(request_id, result, session_used=session is not None)
        if interrupts.fired:
            # However the command ended: what it was torn out of may be broken.
            self.stopping = True
        return reply

    def hand_marks_over(self) -> None:
        """Mark no request as begun from now on: in a worker of two threads one of them marks for both."""
        self._begun = [0]

    def accept(self, request: Message) -> int:
        """Count a request and return its id.

        Raises:
            ProtocolError: It has none, so nobody could be answered.
        """
        request_id = id_of(request)
        with self._counting:
            self.requests += 1
        return request_id

    def prepare(self, request: Message) -> tuple[Arguments, dict[str, Any], Session | None]:
        """Return what a request is to run: the command, its checked arguments and its session.

        Raises:
            Refused: It is not to be run at all.
        """
        if "cancelled" in request:
            raise taken_back()
        name, args, session_id = request.get("command"), request.get("args"), request.get("session")
        if type(name) is not str or type(args) is not dict:
            raise Refused("invalid_arguments", "a request needs a command name and a map of arguments")
        if self._ahead is not None and "deadline" in request:
            self._check_deadline(request["deadline"], self._ahead)
        command = self._commands.get(name)
        if command is None:
            raise Refused("unknown_command", f"there is no command {name!r:.200}", known=self.names())
        arguments: dict[str, Any] = args  # pyright: ignore[reportUnknownVariableType]  # narrowed from Any
        command.bind(arguments)
        session = None
        if command.session_name is not None and (session_id is not None or command.session_required):
            if type(session_id) is not str or not session_id:
                raise Refused("invalid_arguments", f"command {name!r} needs a session")
            session = self.sessions.get(session_id)
            if session is None:
                # Of two threads that find it missing both get the one that came first.
                session = self.sessions.setdefault(session_id, Session(session_id, self.interrupts.check))
        return command, arguments, session

    def returned(self, request_id: int, result: object, *, session_used: bool) -> list[Piece]:
        """Return the reply of a command that has returned."""
        fields: dict[str, object] = {"success": True, "result": result}
        if session_used:
            fields["session_used"] = True
        try:
            return pieces(request_id, encode(fields, self._max_frame))
        except Unserializable as exc:
            error = refusal("unserializable", str(exc), secrets=self._secrets, path=exc.path, type_name=exc.type_name)
        except FrameTooLarge as exc:
            error = refusal("frame_too_large", str(exc), size=exc.size, max_frame=exc.max_frame)
        except Exception as exc:  # MemoryError, or a subclass of dict that raises when it is read
            error = failure("remote", exc, secrets=self._secrets)
        return self._failed(request_id, error, session_used=session_used)

    def raised(self, request_id: int, exc: BaseException, *, session_used: bool) -> list[Piece]:
        """Return the reply of a command that has raised, or was refused.

        Whatever a command raises is its answer. KeyboardInterrupt is no exception: SIGINT is ignored here, so it can
        only be the command's own.
        """
        if isinstance(exc, Refused):
            error = refusal(exc.kind, str(exc), cause=exc.cause, secrets=self._secrets, **exc.data)
        else:
            error = failure("remote", exc, secrets=self._secrets)
        return self._failed(request_id, error, session_used=session_used)

    def end_session(self, session_id: str) -> bool:
        """Drop a session and run the application's hooks for it; False if it is not here."""
        session = self.sessions.pop(session_id, None)
        if session is None:
            return False
        errors: list[Exception] = []
        for hook in self._registry.end_hooks:
            try:
                hook(session)
            except Exception as exc:  # the other hooks still run; the first error is the reply
                errors.append(exc)
        if errors:
            raise errors[0]
        return True

    def hide(self, secret: str) -> None:
        """Keep this text out of all error replies and of what is printed from now on."""
        if self._secrets is None:
            from ._secrets import Secrets  # few workers are ever told a secret

            self._secrets = Secrets()
            self._secrets.watch_output()
        self._secrets.add(secret)

    @staticmethod
    def _check_deadline(deadline: object, ahead: float) -> None:
        # `ahead` is too large by what the hello took to arrive: a deadline that has passed here has passed there.
        if type(deadline) in (int, float):
            late = time.monotonic() - ahead - deadline  # type: ignore[operator]  # narrowed in a way mypy cannot see
            if late > 0:
                raise Refused("expired", f"it was {late:.3g} s past its deadline when the worker came to it")

    def _make_structurer(self) -> Structurer:
        if self._structurer is None:
            from ._structuring import Structurer  # 100 ms that only rich annotations cost

            self._structurer = Structurer()
        return self._structurer

    def _failed(self, request_id: int, error: dict[str, object], *, session_used: bool) -> list[Piece]:
        with self._counting:
            self.errors += 1
        fields: dict[str, object] = {"success": False, "error": error}
        if session_used:
            fields["session_used"] = True
        try:
            return pieces(request_id, encode(fields, self._max_frame))
        except (FrameTooLarge, Unserializable):
            # Frames smaller than a traceback: the kind and the first words are what the parent needs most.
            short = {"kind": error["kind"], "type": str(error["type"])[:100], "message": str(error["message"])[:100]}
            fields["error"] = {**short, "traceback": ""}
            return pieces(request_id, encode(fields, max(self._max_frame, _SMALLEST_REPLY)))
