"""How a worker process ended: three small values that read well in a log.

Plain classes rather than attrs ones: errors carry them, and errors are imported by worker processes.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias


class _Value:
    __slots__ = ("value",)

    def __init__(self, value: int | str) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Value) and type(other) is type(self) and other.value == self.value

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.value))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"

    def __reduce__(self) -> tuple[type[_Value], tuple[int | str]]:
        return type(self), (self.value,)


class Exited(_Value):
    """The process called exit with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)

    @property
    def code(self) -> int:
        """The exit code, 0 for success."""
        return int(self.value)

    def __str__(self) -> str:
        return f"exit code {self.code}"


class Signaled(_Value):
    """The process was killed by this signal."""

    def __init__(self, sig: int) -> None:
        super().__init__(sig)

    @property
    def sig(self) -> int:
        """The signal's number."""
        return int(self.value)

    @property
    def name(self) -> str:
        """The signal's name, such as ``SIGKILL``."""
        import signal  # here, for workers import this module and never need the name

        try:
            return signal.Signals(self.sig).name
        except ValueError:
            return f"signal {self.sig}"

    def __str__(self) -> str:
        return self.name


class Lost(_Value):
    """Nobody can say how the process ended, only that it is out of reach."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)

    @property
    def reason(self) -> str:
        """Why it counts as lost."""
        return str(self.value)

    def __str__(self) -> str:
        return f"lost ({self.reason})"


Exit: TypeAlias = "Exited | Signaled | Lost"
