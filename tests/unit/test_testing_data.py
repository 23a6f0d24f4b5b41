"""Data for tests: the seed decides it, ids are unique, bulk operations succeed in their order."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_pool import Checkin, FieldType, InvalidArguments, Signature
from trio_pool.testing import (
    ErrorScenario,
    NetworkFailure,
    Operation,
    OperationType,
    ResourceExhaustion,
    SlowOperations,
    TestDataGenerators,
    TestSignatures,
    WorkerCommand,
    WorkerCrash,
    expected_output,
    strategies,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

seeds = st.integers()

DRAWS: dict[str, Callable[[TestDataGenerators], object]] = {
    "session ids": lambda generators: generators.session_ids(5),
    "programs": lambda generators: generators.program_configs(5),
    "operations": lambda generators: generators.bulk_operations(20),
    "inputs": lambda generators: generators.inputs_for_signature(TestSignatures.complex()),
    "scenarios": lambda generators: [generators.error_scenario() for _ in range(5)],
}


def check_consistent(operations: Iterable[Operation]) -> None:
    """Carry operations out on paper: every one of them has to be possible when its turn comes."""
    existing: dict[str, Signature] = {}
    for operation in operations:
        data = operation.data
        match operation.type:
            case OperationType.CREATE:
                assert data["id"] not in existing
                existing[data["id"]] = Signature.parse(data["signature"])
            case OperationType.EXECUTE:
                existing[data["program_id"]].validate_inputs(data["inputs"])
            case OperationType.DELETE:
                del existing[data["program_id"]]
            case OperationType.LIST:
                assert not data


@pytest.mark.document("F-072")
@pytest.mark.parametrize("what", sorted(DRAWS))
def test_a_seed_gives_the_same_data_every_time(what: str) -> None:
    """Two generators of one seed agree, and of two seeds they do not."""
    draw = DRAWS[what]
    assert draw(TestDataGenerators(7)) == draw(TestDataGenerators(7))
    assert draw(TestDataGenerators(7)) != draw(TestDataGenerators(8))


def test_data_of_one_seed_never_changes() -> None:
    """A failure that names its seed can be seen again elsewhere and later: these are the first data of seed 0."""
    generators = TestDataGenerators()
    assert generators.session_id() == "test_6312_1"
    assert generators.program_config() == TestSignatures.program("doubler", "test_program_1")
    inputs = generators.inputs_for_signature(["a: int", "b: bool", "c: list"])
    assert inputs == {"a": -918, "b": True, "c": ["deadline", "数据", "данные", "数据"]}


@pytest.mark.document("F-072")
@given(seeds)
def test_session_ids_are_all_different(seed: int) -> None:
    """However they are asked for, no id comes twice; each says that it is a test's."""
    generators = TestDataGenerators(seed)
    ids = [*generators.session_ids(50), generators.session_id(), *generators.session_ids(50)]
    assert len(set(ids)) == 101
    for session_id in ids:
        prefix, chance, number = session_id.split("_")
        assert prefix == "test"
        assert 1 <= int(chance) <= 10_000
        assert int(number) > 0


@pytest.mark.document("F-072")
def test_program_configs_run_and_cover_every_kind() -> None:
    """Ids are all different, and of a hundred programs some are of each kind."""
    configs = TestDataGenerators().program_configs(100)
    assert len({str(config["id"]) for config in configs}) == 100
    functions = Counter(str(config["function"]).partition(":")[2] for config in configs)
    assert set(functions) == {"answer", "report", "chain", "double"}
    for config in configs:
        assert config == TestSignatures.program(config["signature"], str(config["id"]))


@pytest.mark.document("F-072")
@given(seeds, st.integers(0, 200))
def test_bulk_operations_are_possible_in_their_order(seed: int, count: int) -> None:
    """A program is executed and deleted only while it exists, with inputs that fit it; there are as many as asked."""
    generators = TestDataGenerators(seed)
    operations = generators.bulk_operations(count)
    assert len(operations) == count
    check_consistent(operations)
    check_consistent([*operations, *generators.bulk_operations(10)])  # ids of one generator never meet again


@pytest.mark.document("F-072")
def test_bulk_operations_are_of_every_type() -> None:
    """None of the four is rare: what is there to be executed and deleted is."""
    counts = Counter(operation.type for operation in TestDataGenerators().bulk_operations(400))
    assert set(counts) == set(OperationType)
    assert min(counts.values()) > 50


@pytest.mark.document("F-072")
@settings(max_examples=25)
@given(strategies.bulk_operations(max_size=10))
def test_drawn_bulk_operations_are_possible_in_their_order(operations: list[Operation]) -> None:
    """Those that Hypothesis draws are as consistent, also while it shrinks them."""
    check_consistent(operations)


@pytest.mark.document("F-072")
@settings(max_examples=50)
@given(seeds, st.data(), strategies.signatures())
def test_inputs_fit_their_signature(seed: int, data: st.DataObject, signature: Any) -> None:
    """Seeded or drawn, they pass the check that a worker's inputs pass."""
    parsed = Signature.parse(signature)
    parsed.validate_inputs(TestDataGenerators(seed).inputs_for_signature(signature))
    parsed.validate_inputs(data.draw(strategies.inputs_for(signature)))


@pytest.mark.parametrize("form", ["a: int -> b", ["a: int"], {"inputs": ["a: int"]}, Signature.parse(["a: int"])])
def test_every_form_of_a_signature_is_taken(form: object) -> None:
    """Whatever `Signature.parse` takes."""
    generators = TestDataGenerators()
    inputs = generators.inputs_for_signature(form)
    assert isinstance(inputs["a"], int)
    assert generators.expected_output(form, inputs) == expected_output(form, inputs)


@pytest.mark.parametrize("kind", [kind for kind in FieldType if kind is not FieldType.INT])
def test_inputs_are_sometimes_empty(kind: FieldType) -> None:
    """The values that a careless check takes for missing are among the data of every type."""
    generators = TestDataGenerators()
    values = [generators.inputs_for_signature([f"a: {kind}"])["a"] for _ in range(2000)]
    assert not all(values)
    assert any(values)


def test_what_is_no_signature_is_refused() -> None:
    """The message says what is wrong with it."""
    with pytest.raises(InvalidArguments, match="->"):
        TestDataGenerators().inputs_for_signature("a, b")


@pytest.mark.document("F-074")
def test_error_scenarios_are_of_every_kind_and_within_their_ranges() -> None:
    """Of four hundred some are of each kind, and no number is outside what upstream's were."""
    generators = TestDataGenerators()
    kinds: Counter[type[ErrorScenario]] = Counter()
    for _ in range(400):
        scenario = generators.error_scenario()
        kinds[type(scenario)] += 1
        match scenario:
            case NetworkFailure():
                assert 0.1 <= scenario.duration <= 5.0
            case ResourceExhaustion():
                assert 0.5 <= scenario.severity <= 1.0
            case WorkerCrash():
                assert 1 <= scenario.count <= 3
            case SlowOperations():
                assert 1.0 <= scenario.delay <= 30.0
                assert 0.1 <= scenario.probability <= 1.0
    assert set(kinds) == {NetworkFailure, ResourceExhaustion, WorkerCrash, SlowOperations}
    assert min(kinds.values()) > 50


@given(strategies.session_ids())
def test_drawn_session_ids_are_session_ids(session_id: str) -> None:
    """They are not empty and not longer than a pool takes."""
    assert 1 <= len(session_id.encode()) <= 255


@settings(max_examples=25)
@given(strategies.program_configs(st.just("p")), strategies.program_configs())
def test_drawn_programs_have_an_id_if_they_are_given_one(named: dict[str, object], unnamed: dict[str, object]) -> None:
    """Else one is made when they are created."""
    assert named["id"] == "p"
    assert "id" not in unnamed


@given(st.lists(strategies.worker_commands(), min_size=10, max_size=10))
def test_drawn_worker_commands_are_checkouts_or_checkins(commands: list[WorkerCommand]) -> None:
    """Each is one or the other, and none closes the worker."""
    for command in commands:
        assert (command.session_id is None) != (command.result is None)
        assert command.result is not Checkin.CLOSE


def test_an_unknown_type_of_operation_is_refused() -> None:
    """An operation is one of four; words are taken for what they name."""
    assert Operation("list", {}).type is OperationType.LIST
    with pytest.raises(ValueError, match="destroy"):
        Operation("destroy", {})
    with pytest.raises(ValueError, match="lost"):
        WorkerCommand.checkin("lost")
