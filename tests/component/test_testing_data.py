"""Generated data, used: programs and bulk operations do on workers what the generators say they do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trio_pool import PythonPool, Signature, open_pool
from trio_pool.testing import MockPort, OperationType, TestDataGenerators, TestSignatures, expected_output

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from trio_pool import SessionPool


@pytest.fixture(params=["in memory", "process"])
async def pool(request: pytest.FixtureRequest) -> AsyncGenerator[SessionPool, None]:
    """Open a pool of one worker, in memory or a process."""
    async with open_pool(size=1, launcher=MockPort() if request.param == "in memory" else None) as pool:
        yield pool


@pytest.mark.document("F-071")
@pytest.mark.parametrize("kind", ["simple", "complex", "chain", "doubler", "a: bytes, b: list -> x: dict, y: bytes"])
async def test_the_programs_of_test_signatures_run(kind: str, pool: SessionPool) -> None:
    """A worker answers what `expected_output` says, whether it is a process that computes it or not."""
    adapter = PythonPool(pool).session_adapter("s")
    config = TestSignatures.program(kind)
    program_id = await adapter.create_program(config)
    for seed in range(3):
        inputs = TestDataGenerators(seed).inputs_for_signature(config["signature"])
        assert await adapter.execute_program(program_id, inputs) == expected_output(config["signature"], inputs)


@pytest.mark.document("F-072")
async def test_bulk_operations_succeed_on_a_worker(pool: SessionPool) -> None:
    """Carried out in their order none fails, and each does what it says: the lists show just what is there by then."""
    data = TestDataGenerators(1)
    adapter = PythonPool(pool).session_adapter(data.session_id())
    existing: dict[str, Any] = {}
    done = set()
    for operation in data.bulk_operations(60):
        done.add(operation.type)
        match operation.type:
            case OperationType.CREATE:
                program_id = await adapter.create_program(operation.data)
                existing[program_id] = Signature.parse(operation.data["signature"])
            case OperationType.EXECUTE:
                program_id, inputs = operation.data["program_id"], operation.data["inputs"]
                outputs = await adapter.execute_program(program_id, inputs)
                assert outputs == expected_output(existing[program_id], inputs)
            case OperationType.DELETE:
                await adapter.delete_program(operation.data["program_id"])
                del existing[operation.data["program_id"]]
            case OperationType.LIST:
                assert sorted(await adapter.list_programs()) == sorted(existing)
    assert done == set(OperationType)
