"""Tests with the fixtures of the pytest plugin: each gets a pool over workers in memory, and data of its own."""

import sys

import pytest
import trio
import trio.testing

import trio_pool
from trio_pool.testing import MockPort, TestDataGenerators, TestSignatures, expected_output


@pytest.mark.trio
async def test_a_lookup_is_asked_once(mock_pool: trio_pool.SessionPool, isolated_port: MockPort) -> None:
    isolated_port.expect_command("lookup", 42, args={"key": "a"})
    assert await mock_pool.execute_anonymous("lookup", {"key": "a"}) == 42


@pytest.mark.trio
@pytest.mark.mock_pool(size=1, max_queue=0)
async def test_a_full_pool_refuses(
    mock_pool: trio_pool.SessionPool,
    autojump_clock: trio.testing.MockClock,  # no process runs, so an hour may pass in no time
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mock_pool.execute_anonymous, "sleep", {"duration": 20.0})
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio_pool.PoolSaturated):
            await mock_pool.execute_anonymous("ping")


@pytest.mark.trio
async def test_a_program_answers(mock_pool: trio_pool.SessionPool, test_data: TestDataGenerators) -> None:
    signature = TestSignatures.complex()
    programs = trio_pool.PythonPool(mock_pool).session_adapter(test_data.session_id())
    program = await programs.create_program(TestSignatures.program(signature))
    inputs = test_data.inputs_for_signature(signature)
    assert await programs.execute_program(program, inputs) == expected_output(signature, inputs)


if __name__ == "__main__":
    sys.exit(pytest.main(["-qq", "-p", "trio_pool.testing.plugin", "-p", "no:cacheprovider", __file__]))

# Prints:
# ...                                                                      [100%]
