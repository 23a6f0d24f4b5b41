"""An application with a pool of somebody else's, in a process of its own: such pools leave threads and helpers behind.

Called with the pool's name and the ledger's file; prints what it saw as JSON.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from pathlib import Path
from typing import Any

import trio

from chaos.running._targets import Targets
from chaos.scenario._fault import Selector, WorkerState
from chaos.scenario._model import Phase, Scenario
from chaos.scenario._plan import Strike
from chaos.targets._registry import target_named
from chaos.targets._target import Call, Setup
from chaos.workload._operations import LEDGER
from trio_pool import PoolConfig

SIZE = 2
STRIKE = Strike(fault="fault", occurrence=0, at=0.0, choice=0.0, offset=0.0)


async def main(name: str, ledger: str) -> None:
    scenario = Scenario(name="peer", phases=(Phase(name="main", duration=1.0),), pool=PoolConfig(size=SIZE, timeout=10))
    setup = Setup(scenario=scenario, seed=1, app="", env={LEDGER: ledger})
    seen: dict[str, Any] = {}

    def call(operation: str, timeout: float | None = None, **args: Any) -> Call:
        common = {"request": 7, "nonce": "0a", "session": None, "service": 0.0, "size": 3}
        return Call(command=operation, args={**common, **args}, timeout=timeout)

    async with target_named(name).open(setup) as opened:
        seen["pids"] = list(opened.pids())
        seen["work"] = await opened.call(call("work"))
        targets = Targets(opened, None, Path(ledger))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(opened.call, call("work", request=8, service=0.5))
            with trio.fail_after(10.0):
                while not targets.find(Selector(state=WorkerState.BUSY), STRIKE):  # noqa: ASYNC110  # nobody tells
                    await trio.sleep(0.002)
            for state in (WorkerState.BUSY, WorkerState.IDLE, WorkerState.SERVING):
                found = targets.find(Selector(state=state, count=SIZE), STRIKE)
                seen[state] = sorted((victim.pid, victim.request) for victim in found)
        seen["echo"] = (await opened.call(call("echo", payload=b"abc")))["payload"].decode()
        try:
            await opened.call(call("work", nonce="not a number"))
        except ValueError as exc:
            seen["error"] = str(exc)
        try:
            await opened.call(call("work", timeout=0.2, service=1.0))
        except (TimeoutError, trio.TooSlowError, multiprocessing.TimeoutError) as exc:
            seen["late"] = type(exc).__name__
        with trio.move_on_after(0.2) as scope:
            await opened.call(call("work", service=1.0))
        seen["cancelled"] = scope.cancelled_caught
        seen["pool"] = opened.pool
    sys.stdout.write(json.dumps(seen) + "\n")


# Not to be run by workers, of which some import their application's main module.
if __name__ == "__main__":
    trio.run(main, sys.argv[1], sys.argv[2])
