"""Isolation of one test from the others: settings that are put back, ports that are looked over at the end."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from .. import PoolConfig
from ._mock_port import MockPort

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, MutableMapping
    from typing import Unpack

    from .. import PoolOptions


@contextmanager
def with_config(
    variables: Mapping[str, str | None] | None = None,
    /,
    *,
    prefix: str | None = None,
    environ: MutableMapping[str, str] | None = None,
    **overrides: Unpack[PoolOptions],
) -> Generator[PoolConfig, None, None]:
    """Change settings for the length of a ``with``, and give the `PoolConfig` that results.

    ::

        with with_config({"MY_POOL_SIZE": "2"}, prefix="MY_POOL", timeout=1.0) as config:
            assert PoolConfig.from_env("MY_POOL").size == 2
            async with open_pool("my_app:bridge", config) as pool: ...

    Leaving the block, in whatever way, puts back what it found: variables that had another value have it again, and
    variables that did not exist are gone. That holds for those named in ``variables`` and, with a ``prefix``, for all
    that begin with it, whoever changed them meanwhile. Blocks may be nested. The environment is the whole process's,
    so blocks of tasks that run at the same time see each other's variables.

    Args:
        variables: The variables to set; None in place of a value removes one.
        prefix: As for `PoolConfig.from_env`, by which the configuration is then read. Variables that begin with it but
            are not among ``variables`` are hidden, so that the configuration does not depend on whose machine this is.
            Without a prefix the configuration is the default one.
        environ: What to change; None for `os.environ`, which worker processes inherit.
        overrides: Fields of the configuration that come before both.

    Raises:
        ValueError: A variable or an override is not as `PoolConfig` wants it; everything is put back first.

    .. versionadded:: 0.1
    """
    target = os.environ if environ is None else environ
    changes = dict(variables or {})
    start = None if prefix is None else f"{prefix}_"

    def concerned() -> dict[str, str]:
        return {
            name: value
            for name, value in target.items()
            if name in changes or (start is not None and name.startswith(start))
        }

    before = concerned()
    try:
        _replace(target, before, {name: value for name, value in changes.items() if value is not None})
        config = PoolConfig() if prefix is None else PoolConfig.from_env(prefix, target)
        yield config.evolve(**overrides)
    finally:
        _replace(target, concerned(), before)


def _replace(target: MutableMapping[str, str], old: Mapping[str, str], new: Mapping[str, str]) -> None:
    for name in old:
        if name not in new:
            target.pop(name, None)
    target.update(new)


class IsolatedPort(MockPort):
    """A `MockPort` with a name of its own, for the pool over it. `isolated_port` gives one.

    Args:
        name: The name.
        chunk: As for `MockPort`.
        seed: As for `MockPort`.

    .. versionadded:: 0.1
    """

    def __init__(self, name: str, *, chunk: int | None = None, seed: int = 0) -> None:
        super().__init__(chunk=chunk, seed=seed)
        self.name = name

    def clean_up(self) -> None:
        """Take all faults back and kill the workers that still live."""
        self.heal()
        for worker in self.workers:
            worker.deliver(signal.SIGKILL)


@contextmanager
def isolated_port(
    name: str | None = None, *, chunk: int | None = None, seed: int = 0
) -> Generator[IsolatedPort, None, None]:
    """Give a `MockPort` that no other test has, for the length of a ``with``.

    ::

        with isolated_port() as port:
            port.expect_command("ping")
            async with open_pool(launcher=port, name=port.name, size=1) as pool:
                await pool.execute_anonymous("ping")

    At the end, in whatever way the block is left, its faults are taken back and workers that still live are killed,
    such as those in a nursery around the block. A block that raised nothing then has its expectations verified.

    Args:
        name: Its name; None for one that nothing else has.
        chunk: As for `MockPort`.
        seed: As for `MockPort`.

    Raises:
        AssertionError: Not all that was expected came, or not in its order.

    .. versionadded:: 0.1
    """
    port = IsolatedPort(f"test_port_{uuid4().hex}" if name is None else name, chunk=chunk, seed=seed)
    try:
        yield port
    finally:
        port.clean_up()
    port.verify()
