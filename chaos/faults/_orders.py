"""Orders for the agents in the workers, as files: what this process writes, `chaos.workload._agent` carries out.

All of it is synchronous: an order is a rename or two. What takes time is the worker's part, which `Order.done` tells.
"""

from __future__ import annotations

import itertools
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import attrs

from ..workload._agent import ANY, CLAIMED, DONE, FOR_ALL, LIVE, POISON, START, STEP
from ..workload._ledger import BEGIN, EFFECT, END
from . import _proc
from ._room import room

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ..scenario._fault import Death

FLAGS = "flags"
"""The folder of flags, which agents know by their whole names."""

_numbers = itertools.count(1)
"""Orders are carried out in the order in which they were given, whoever gave them. Nothing else depends on it."""


@attrs.frozen(kw_only=True)
class Deed:
    """What a worker is to do.

    Args:
        do: The name of one of the agent's methods, without its ``do_``.
        arguments: Its arguments.
        poison: For step orders: what every worker dies of that begins the request which took this order.
    """

    do: str
    arguments: Mapping[str, object] = attrs.field(factory=dict[str, object])
    poison: bool = False


def dying(death: Death) -> Deed:
    """Return the deed of dying so."""
    return Deed(do="die", arguments={"how": death.value})


@attrs.define(eq=False)
class Order:
    """An order that was given: one file, or several of which each is taken once.

    Args:
        directory: All orders' directory.
        folder: The one they wait in.
        names: The files.
        tickets: Those of the names that only let a request pass.
    """

    directory: Path
    folder: str
    names: tuple[str, ...]
    tickets: frozenset[str] = frozenset()

    def taken(self) -> list[tuple[str, int]]:
        """Return who has taken what of it, by name and process id, in the order of the names."""
        return self._marks(CLAIMED)

    def done(self) -> list[tuple[str, int]]:
        """Return who has carried it out; nobody has who died of it."""
        return self._marks(DONE)

    def pids(self) -> list[int]:
        """Return the processes that have taken it, without those that it let pass."""
        return [pid for name, pid in self.taken() if name not in self.tickets]

    def request(self, pid: int) -> int | None:
        """Return the request at which a process has taken an order for a step; None if it has taken none."""
        for name, at, taker in self.claims(CLAIMED):
            if taker == pid and at and name not in self.tickets:
                return int(at)
        return None

    def waits(self) -> bool:
        """Return whether any of it is still there to be taken."""
        return any((self.directory / self.folder / name).exists() for name in self.names)

    @room()
    def result(self, pid: int) -> dict[str, Any] | None:
        """Return what a process says came of it, or None before it is done."""
        for name, taker in self.done():
            if taker == pid:
                result: dict[str, Any] = json.loads((self.directory / DONE / f"{name}.{taker}").read_text("utf-8"))
                return result
        return None

    def withdraw(self) -> None:
        """Take back what nobody has taken; once more does nothing."""
        for name in self.names:
            with suppress(FileNotFoundError):
                os.unlink(self.directory / self.folder / name)

    @room()
    def _marks(self, folder: str) -> list[tuple[str, int]]:
        # What a request has made deadly leaves two marks of the first that dies of it.
        return list(dict.fromkeys((name, pid) for name, _, pid in self.claims(folder)))

    def claims(self, folder: str = CLAIMED) -> list[tuple[str, str, int]]:
        """Return the marks in a folder: of which name, at which request if that is told, and whose."""
        found: list[tuple[str, str, int]] = []
        with suppress(FileNotFoundError):  # the run is over
            for mark in sorted(os.listdir(self.directory / folder)):
                for name in self.names:
                    if mark.startswith(f"{name}."):
                        at, _, pid = mark[len(name) + 1 :].rpartition(".")
                        found.append((name, at, int(pid)))
        return found


class Orders:
    """Writes orders into a directory.

    Args:
        directory: The one that the workers' environment names; its folders are made if they are not there.
    """

    @room()
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for folder in (START, LIVE, STEP, POISON, CLAIMED, DONE, FLAGS):
            (directory / folder).mkdir(parents=True, exist_ok=True)

    @room()
    def flag(self) -> Path:
        """Put up a flag: a file that some deeds last for, until it is taken away."""
        path = self._directory / FLAGS / f"{next(_numbers):08}"
        path.touch()
        return path

    def at_start(self, deed: Deed, starts: int | None = 1) -> Order:
        """Have the next workers that start do something.

        Args:
            deed: What.
            starts: How many of them; None for all, until it is withdrawn.
        """
        if starts is None:
            return self._give(START, [(FOR_ALL, deed)])
        return self._give(START, [("", deed)] * starts)

    def live(self, pid: int, deed: Deed) -> Order:
        """Have a worker do something as soon as it is sent `chaos.workload._agent.SIGNAL`, which is not done here."""
        return self._give(LIVE, [("", deed)], before=f"{pid} ")

    def at_step(
        self,
        step: int,
        deed: Deed,
        *,
        nth: int = 1,
        count: int = 1,
        pid: int | None = None,
        request: int | None = None,
        operation: str | None = None,
    ) -> Order:
        """Have a worker do something when a request begins, has had its effect or is over.

        Args:
            step: `BEGIN`, `EFFECT` or `END` of the ledger.
            deed: What.
            nth: At the nth request that fits, counted from now on over all workers together.
            count: And at those that follow it, so many in all.
            pid: Only in this worker.
            request: Only at this request.
            operation: Only at requests of this kind.
        """
        if step not in (BEGIN, EFFECT, END):
            raise ValueError(f"step: must be BEGIN, EFFECT or END, is {step}")
        words = [ANY if word is None else str(word) for word in (pid, request, operation)]
        if any(" " in word or "/" in word for word in words):
            raise ValueError(f"operation: must be a name without spaces and slashes, is {operation!r}")
        after = " ".join(["", str(step), *words])
        order = self._give(STEP, [(after, Deed(do="nothing"))] * (nth - 1) + [(after, deed)] * count)
        order.tickets = frozenset(order.names[: nth - 1])
        return order

    @room()
    def poisoned(self, order: Order) -> list[int]:
        """Return the requests that have taken a deadly order and are deadly since."""
        found: list[int] = []
        for name in sorted(os.listdir(self._directory / POISON)):
            with suppress(FileNotFoundError):  # made harmless meanwhile
                if json.loads((self._directory / POISON / name).read_text("utf-8"))["poison"] in order.names:
                    found.append(int(name))
        return found

    def settled(self, order: Order) -> bool:
        """Return whether all who took a deadly order have made their request deadly, or are gone."""
        return all(
            not _proc.living(pid) or (self._directory / POISON / at).exists()
            for name, at, pid in order.claims()
            if at and name not in order.tickets
        )

    def clean(self, request: int) -> None:
        """Make a request harmless."""
        with suppress(FileNotFoundError):
            os.unlink(self._directory / POISON / str(request))

    @room()
    def _give(self, folder: str, deeds: list[tuple[str, Deed]], *, before: str = "") -> Order:
        names: list[str] = []
        order = Order(self._directory, folder, ())
        try:
            for after, deed in deeds:
                name = f"{before}{next(_numbers):08}{after}"
                content: dict[str, object] = {"do": deed.do, "with": dict(deed.arguments)}
                if deed.poison:
                    content["poison"] = name
                written = self._directory / f".{folder} {name}"
                written.write_text(json.dumps(content), "utf-8")
                # Under its name only when it is whole.
                written.rename(self._directory / folder / name)
                names.append(name)
        finally:
            order.names = tuple(names)
        return order
