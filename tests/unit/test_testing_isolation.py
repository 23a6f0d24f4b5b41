"""Isolation: settings are put back as they were, ports are cleaned up and looked over."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from trio_pool import CommandTimeout, PoolConfig, WorkerCrashed, WorkerSpec, open_pool
from trio_pool.testing import isolated_port, with_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio.testing import MockClock

    from trio_pool import WorkerHandle

names = st.text("AB_", min_size=1, max_size=3)
environments = st.dictionaries(names, st.text("xyz", max_size=2), max_size=4)


@pytest.mark.document("F-082")
def test_a_variable_that_existed_has_its_value_again() -> None:
    """Set for the length of the block, put back after it."""
    environ = {"MY_POOL_SIZE": "8", "OTHER": "1"}
    with with_config({"MY_POOL_SIZE": "2"}, prefix="MY_POOL", environ=environ) as config:
        assert config.size == 2
        assert environ == {"MY_POOL_SIZE": "2", "OTHER": "1"}
    assert environ == {"MY_POOL_SIZE": "8", "OTHER": "1"}


@pytest.mark.document("F-082")
def test_a_variable_that_did_not_exist_is_gone_again() -> None:
    """Not left behind with the value of the block, nor with an empty one."""
    environ: dict[str, str] = {}
    with with_config({"MY_POOL_SIZE": "2", "OTHER": "1"}, prefix="MY_POOL", environ=environ):
        assert environ == {"MY_POOL_SIZE": "2", "OTHER": "1"}
    assert environ == {}


@pytest.mark.document("F-082")
def test_a_block_that_fails_puts_everything_back_too() -> None:
    """So does one whose settings are refused, and one that is left by an exception of its body."""
    environ = {"MY_POOL_TIMEOUT": "3"}
    with pytest.raises(KeyError), with_config({"MY_POOL_SIZE": "2"}, prefix="MY_POOL", environ=environ):
        raise KeyError
    with pytest.raises(ValueError, match="size"), with_config({"MY_POOL_SIZE": "x"}, prefix="MY_POOL", environ=environ):
        pass
    with pytest.raises(ValueError, match="timeout"), with_config({"OTHER": "1"}, environ=environ, timeout=-1):
        pass
    assert environ == {"MY_POOL_TIMEOUT": "3"}


@pytest.mark.document("F-082")
@given(environments, st.dictionaries(names, st.none() | st.text("xyz", max_size=2), max_size=4), environments)
def test_whatever_was_there_is_there_again(
    before: dict[str, str], changes: dict[str, str | None], meanwhile: Mapping[str, str]
) -> None:
    """For any environment and any changes, also where the body changed those variables itself."""
    environ = dict(before)
    with with_config(changes, environ=environ):
        assert {name: environ.get(name) for name in changes} == changes
        assert {name: environ[name] for name in environ if name not in changes} == {
            name: before[name] for name in before if name not in changes
        }
        environ.update({name: value for name, value in meanwhile.items() if name in changes})
    assert environ == before


@pytest.mark.document("F-082")
def test_the_environment_of_the_process_is_changed_and_put_back() -> None:
    """Without a mapping of the test's own it is `os.environ`, which `PoolConfig.from_env` reads and workers inherit."""
    before = dict(os.environ)
    with with_config({"ISOLATED_SIZE": "3", "PATH": None}, prefix="ISOLATED") as config:
        assert PoolConfig.from_env("ISOLATED") == config
        assert config.size == 3
        assert "PATH" not in os.environ
    assert dict(os.environ) == before


def test_variables_under_the_prefix_are_hidden_and_put_back() -> None:
    """What the machine happens to set does not reach the configuration; what the body sets under it does not stay."""
    environ = {"MY_POOL_SIZE": "8", "MY_POOLS": "4"}
    with with_config({"MY_POOL_TIMEOUT": "9"}, prefix="MY_POOL", environ=environ) as config:
        assert config.size is None
        assert config.timeout == 9.0
        environ["MY_POOL_CWD"] = "/"
    assert environ == {"MY_POOL_SIZE": "8", "MY_POOLS": "4"}


def test_overrides_come_before_variables() -> None:
    """They are fields of `PoolConfig`, its workers' variables among them; policies keep what is not overridden."""
    variables = {"MY_POOL_SIZE": "2", "MY_POOL_HEALTH__INTERVAL": "9"}
    with with_config(variables, prefix="MY_POOL", environ={}, size=5, health={"misses": 7}, env={"A": "1"}) as config:
        assert config.size == 5
        assert (config.health.interval, config.health.misses) == (9.0, 7)
        assert config.env == {"A": "1"}
    with with_config(size=4) as config:
        assert config == PoolConfig(size=4)


def test_blocks_may_be_nested() -> None:
    """Each puts back what it found, the inner one the outer's values."""
    environ: dict[str, str] = {}
    with with_config({"A": "1"}, environ=environ):
        with with_config({"A": "2", "B": "2"}, environ=environ):
            assert environ == {"A": "2", "B": "2"}
        assert environ == {"A": "1"}
    assert environ == {}


@pytest.mark.document("F-081")
async def test_each_port_has_a_name_of_its_own(autojump_clock: MockClock) -> None:
    """The pool over it carries it into the ids of its workers, so that two of them are told apart everywhere."""
    with isolated_port() as first, isolated_port() as second, isolated_port("third") as third:
        assert len({first.name, second.name, third.name}) == 3
        async with (
            open_pool(launcher=first, name=first.name, size=1) as one,
            open_pool(launcher=second, name=second.name, size=1) as other,
        ):
            await one.execute_in_session("s", "ping")
            assert other.get_sessions() == {}
        assert {received.worker_id for received in first.history} == {f"{first.name}-0"}
        assert {received.command for received in second.history} == {"shutdown"}
        assert third.history == ()


@pytest.mark.document("F-081")
def test_what_was_expected_has_to_have_come() -> None:
    """An expectation that was not met fails the block that raised nothing."""
    with pytest.raises(AssertionError, match="expected and not seen: create_program"), isolated_port() as port:
        port.expect_command("create_program")


@pytest.mark.document("F-081")
async def test_a_port_is_cleaned_up_when_the_test_fails(autojump_clock: MockClock) -> None:
    """Its workers are killed and its faults taken back; the failure leaves unchanged, not as an unmet expectation."""
    error = KeyError("its own")
    handles: list[WorkerHandle] = []
    ports = []

    async def fail(nursery: trio.Nursery) -> None:
        with isolated_port() as port:
            ports.append(port)
            port.expect_command("ping")
            port.simulate_timeout()
            handles.append(await port.open(WorkerSpec(worker_id="w", incarnation=1, argv=(), env={}), nursery))
            assert port.workers == (*handles,)
            raise error

    async with trio.open_nursery() as nursery:
        with pytest.raises(KeyError) as caught:
            await fail(nursery)
        assert caught.value is error
        (port,) = ports
        (handle,) = handles
        left = port.workers
        await handle.reap()  # or else the nursery would wait for it, should it still live
        assert left == ()
        assert str(await handle.wait()) == signal.SIGKILL.name
    with isolated_port() as another:  # its faults are nobody else's
        async with open_pool(launcher=another, size=1) as pool:
            await pool.execute_anonymous("ping")
    async with open_pool(launcher=port, size=1) as pool:
        await pool.execute_anonymous("ping")  # nor its own any more


async def test_two_ports_do_not_share_their_faults(autojump_clock: MockClock) -> None:
    """What goes wrong behind one port goes wrong behind no other."""
    with isolated_port() as bad, isolated_port() as good:
        bad.simulate_timeout("ping")
        bad.simulate_crash(command="echo")
        async with open_pool(launcher=bad, size=1, timeout=1.0) as broken, open_pool(launcher=good, size=1) as pool:
            with pytest.raises(WorkerCrashed):
                await broken.execute_anonymous("echo", {"value": 1})
            with pytest.raises(CommandTimeout):
                await broken.execute_anonymous("ping")
            assert await pool.execute_anonymous("echo", {"value": 1}) == 1
            assert (await pool.execute_anonymous("ping"))["status"] == "ok"
