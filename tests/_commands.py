"""Commands to one worker over its wire: what a test of commands needs of a parent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _wire import RawWorker

KEY = "sk-0123456789abcdef"
"""A key for language models, which no reply may show."""


class Caller:
    """A worker's parent, as far as a test of commands needs one: it counts ids and tells results from errors."""

    def __init__(self, worker: RawWorker) -> None:
        self.worker = worker
        self._requests = 0

    def ask(self, command: str, session: str | None = None, /, **args: object) -> dict[str, Any]:
        """Send a command and return the whole reply."""
        self._requests += 1
        reply: dict[str, Any] = self.worker.call(self._requests, command, args, session=session)
        return reply

    def result(self, command: str, session: str | None = None, /, **args: object) -> Any:
        """Return the result of a command that must succeed."""
        reply = self.ask(command, session, **args)
        assert reply["success"], reply["error"]
        return reply["result"]

    def error(self, command: str, session: str | None = None, /, **args: object) -> dict[str, Any]:
        """Return the error of a command that must fail."""
        reply = self.ask(command, session, **args)
        assert not reply["success"], reply["result"]
        error: dict[str, Any] = reply["error"]
        return error

    def call(self, function: str, *args: object) -> Any:
        """Call a function in the worker."""
        return self.result("__call__", function=function, args=list(args))

    def create(self, session: str, **config: object) -> str:
        """Create a program and return its id."""
        program_id: str = self.result("create_program", session, config=config)["program_id"]
        return program_id

    def run(self, session: str, program_id: str, /, **inputs: object) -> dict[str, Any]:
        """Run a program and return its outputs."""
        result = self.result("execute_program", session, program_id=program_id, inputs=inputs)
        outputs: dict[str, Any] = result["outputs"]
        return outputs
