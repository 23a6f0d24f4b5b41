"""A dictionary service of one's own under a kill: what its workers do, what its clients expect, run and judged."""

import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import chaos
from chaos.results import Judgement
from chaos.scenario import PlannedRequest
from chaos.workload import join_run, perform
from trio_pool.bridge import Bridge, Session

# --- The application: this module is what workers import. ---

bridge = Bridge()


@lru_cache(maxsize=32)  # fewer than there are words, so that some are forgotten and counted anew
def define(word: str) -> str:
    return f"{word}, a word of {len(word)} letters"


@bridge.command
def look_up(args: dict[str, Any]) -> dict[str, Any]:
    return perform("look_up", args, None, lambda: {"definition": define(args["word"])})


@bridge.command
def bookmark(session: Session, args: dict[str, Any]) -> dict[str, Any]:
    def keep() -> dict[str, Any]:
        session.state.setdefault("bookmarks", []).append(args["word"])
        return {"definition": define(args["word"])}

    # As `append`, the harness keeps a list of its own beside: nothing may be lost of it, and nothing be there twice.
    return perform("append", args, session.state, keep)


join_run()


# --- The client's side: what requests carry, and what must come back. ---


class Dictionary:
    app = "own_workload:bridge"
    operations = ("look_up", "bookmark")

    def touches(self, operation: str) -> str | None:
        return "append" if operation == "bookmark" else None

    def args(self, request: PlannedRequest, session: int | None, step: int) -> Mapping[str, Any]:
        return {"word": "a" * (1 + int(request.nonce, 16) % 40)}  # by the plan alone: the same in every run of it

    def expect(self, request: PlannedRequest, session: int | None, step: int) -> Mapping[str, Any]:
        length = 1 + int(request.nonce, 16) % 40
        return {"definition": f"{'a' * length}, a word of {length} letters"}


# --- The run. ---


def main() -> None:
    scenario = chaos.read_scenario(Path(__file__).with_suffix(".toml"))
    plan = chaos.make_plan(scenario, seed=7)
    with tempfile.TemporaryDirectory() as directory:
        run = chaos.run(plan, Path(directory) / "run")
        again = chaos.analyze(run.directory)  # the same verdict, from the files alone
    print(scenario.name, "with", scenario.workload.kind)
    for strike in run.results.recovery:
        print(strike.kind, "hit", len(strike.victims), "worker; lost:", sum(victim.lost for victim in strike.victims))
    failed = [finding.title for finding in run.results.findings if finding.judgement is Judgement.FAIL]
    print("broken:", failed or "nothing")
    print("verdict:", run.results.verdict, "and again", again.results.verdict)


if __name__ == "__main__":
    main()

# Prints:
# dictionary with python:own_workload:Dictionary
# kill hit 1 worker; lost: 1
# broken: nothing
# verdict: pass and again pass
