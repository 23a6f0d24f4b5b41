"""A watching process as a program: carries out a scenario's file in a directory, by the seed that is given."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import trio

from chaos.running._control import watch_over
from chaos.running._lines import Lines
from chaos.scenario._make_plan import make_plan
from chaos.scenario._plan_file import to_json
from chaos.scenario._reading import read_file


def main() -> int:
    """Print what the run says, and how its application ended."""
    directory = Path(sys.argv[2])
    plan = make_plan(read_file(Path(sys.argv[1])), int(sys.argv[3]))
    directory.mkdir()
    (directory / "plan.json").write_text(to_json(plan), encoding="utf-8")

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    ended = trio.run(partial(watch_over, plan, directory, target="trio_pool", replay="again", viewer=Lines(say)))
    say(f"ended {ended.exit} {ended.interrupted}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
