"""The way in: reads the command line, calls its command, and says by the exit code how it went.

Exit codes are part of the interface: a run that proved nothing is neither success nor failure, and automation must be
able to tell all three apart.
"""

from __future__ import annotations

import signal
import sys
import traceback
from typing import TYPE_CHECKING

from .._exits import EXIT_BUG, EXIT_CANNOT_WRITE, EXIT_NO_INPUT, EXIT_SIGNAL, EXIT_USAGE
from .._output import CannotWrite
from .._program import complain
from ._arguments import make_parser
from ._completion import COMPLETE, complete, completion

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    Command = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: The arguments, without the program; those of the process by default.
    """
    try:
        given = sys.argv[1:] if argv is None else argv
        if given[:1] == [COMPLETE]:
            return complete(given[1:])
        arguments = make_parser().parse_args(given)
        return _command(arguments.command)(arguments)
    except CannotWrite as exc:
        complain(str(exc))
        return EXIT_CANNOT_WRITE
    except KeyboardInterrupt:
        complain("interrupted")
        return EXIT_SIGNAL + signal.SIGINT
    except Exception as exc:  # the last line of defence: the code says whose fault it was
        code = _fault_of_the_caller(exc)
        if code is not None:
            return code
        traceback.print_exc()
        complain("this is a bug in the harness, not a finding about the pool")
        return EXIT_BUG


def _command(name: str) -> Command:
    """Return what carries out a command; modules are imported when they are called for, to answer at once without."""
    if name in ("run", "replay"):
        from . import _running

        return {"run": _running.run, "replay": _running.replay}[name]
    if name in ("analyze", "report", "compare"):
        from . import _judging

        return {"analyze": _judging.analyze, "report": _judging.report, "compare": _judging.compare}[name]
    if name == "compare-pools":
        from . import _comparing

        return {"compare-pools": _comparing.compare_pools}[name]
    if name == "completion":
        return completion
    if name == "bench":
        from . import _measuring

        return {"bench": _measuring.bench}[name]
    from . import _telling

    return {
        "plan": _telling.plan,
        "validate": _telling.validate,
        "list": _telling.list_,
        "explain": _telling.explain,
        "new": _telling.new,
        "schema": _telling.schema,
        "doctor": _telling.doctor,
    }[name]


def _fault_of_the_caller(exc: Exception) -> int | None:
    """Say what is wrong with what was given, and return the exit code for that; None if it is nothing of the kind."""
    from ..evidence._records import NoEvidence
    from ..scenario._problems import ScenarioError
    from ._selection import BadSetting

    if isinstance(exc, ScenarioError):
        for line in str(exc).splitlines():
            complain(line)
        return EXIT_USAGE
    if isinstance(exc, BadSetting):
        complain(str(exc))
        return EXIT_USAGE
    if isinstance(exc, NoEvidence):
        complain(str(exc))
        return EXIT_NO_INPUT
    return None
