"""Signatures and programs for tests: the programs run, and `expected_output` tells what they answer."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_pool import InvalidArguments, Signature
from trio_pool.bridge._loading import Loader
from trio_pool.testing import TestSignatures, expected_output, programs, strategies

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KINDS: dict[str, Callable[[], dict[str, list[dict[str, str]]]]] = {
    "simple": TestSignatures.simple,
    "complex": TestSignatures.complex,
    "chain": TestSignatures.chain,
    "doubler": TestSignatures.doubler,
}


def run(config: Mapping[str, Any], inputs: Mapping[str, object]) -> object:
    """Find a program's function as a worker does, and call it."""
    return Loader(None).function(config["function"])(**Signature.parse(config["signature"]).validate_inputs(inputs))


@pytest.mark.document("F-071")
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("simple", "query: str -> answer: str"),
        ("complex", "context: str, question: str, options: dict -> answer: str, confidence: float, sources: list"),
        ("chain", "initial_input: str -> step1: str, step2: str, final: str"),
        ("doubler", "value: int -> value: int"),
    ],
)
def test_each_signature_has_the_fields_it_is_known_for(kind: str, text: str) -> None:
    """Names, types and order are those that tests all over rely on, in the one form that travels."""
    signature = KINDS[kind]()
    assert str(Signature.parse(signature)) == text
    assert Signature.parse(signature).to_dict() == signature


@pytest.mark.document("F-071")
def test_a_custom_signature_has_the_fields_it_was_given() -> None:
    """Fields may be text or mappings, and keep their descriptions."""
    given_output = {"name": "b", "type": "list", "description": "all of them"}
    signature = TestSignatures.custom(["a: int", "c"], [given_output])
    assert signature["outputs"] == [given_output]
    assert [field["name"] for field in signature["inputs"]] == ["a", "c"]
    with pytest.raises(InvalidArguments, match="output"):
        TestSignatures.custom(["a"], [])


@pytest.mark.document("F-071")
@pytest.mark.parametrize(
    ("kind", "inputs", "outputs"),
    [
        ("simple", {"query": "why"}, {"answer": "answer to 'why'"}),
        (
            "complex",
            {"context": "The sky is blue", "question": "is the sea deep", "options": {"mode": "short"}},
            {"answer": "is the sea deep 2 of 4 words, 1 options", "confidence": 0.5, "sources": ["The", "is"]},
        ),
        ("chain", {"initial_input": "abc"}, {"step1": "ABC", "step2": "CBA", "final": "CBA:3"}),
        ("doubler", {"value": 21}, {"value": 42}),
        ("doubler", {"value": 0}, {"value": 0}),
    ],
)
def test_the_program_of_each_signature_computes_its_outputs(
    kind: str, inputs: dict[str, object], outputs: dict[str, object]
) -> None:
    """The outputs come from the inputs, and are what `expected_output` says."""
    assert run(TestSignatures.program(kind), inputs) == outputs
    assert expected_output(KINDS[kind](), inputs) == outputs


@pytest.mark.document("F-071", "F-072")
@settings(max_examples=50)
@given(st.data(), strategies.signatures())
def test_the_program_of_any_signature_answers_what_is_expected(data: st.DataObject, signature: Any) -> None:
    """Every signature has an importable program with just its outputs, and its answers are known beforehand."""
    inputs = data.draw(strategies.inputs_for(signature))
    outputs = run(TestSignatures.program(signature), inputs)
    assert isinstance(outputs, dict)
    parsed = Signature.parse(signature)
    assert set(outputs) == {field.name for field in parsed.outputs}
    for field in parsed.outputs:
        field.accept(outputs[field.name])
    assert outputs == expected_output(signature, inputs)


def test_different_inputs_are_answered_differently() -> None:
    """A program that is not written out still depends on its inputs, and each output on its name."""
    signature = "a: int, b: str -> x: str, y: str"
    first = expected_output(signature, {"a": 1, "b": ""})
    second = expected_output(signature, {"a": 2, "b": ""})
    assert first["x"] != second["x"]
    assert first["x"] != first["y"]


def test_how_a_value_travels_does_not_change_the_answer() -> None:
    """Tuples arrive as lists, large bytes as memoryview, integers of a float field as floats: it is one answer."""
    signature = "a: list, b: bytes, c: float -> x: str"
    here = expected_output(signature, {"a": (1, {"k": b"x"}), "b": b"bytes", "c": 1})
    arrived = {"a": [1, {"k": b"x"}], "b": memoryview(b"bytes"), "c": 1.0}
    there = Loader(None).function(str(TestSignatures.program(signature)["function"]))(**arrived)
    assert here == there


def test_a_program_may_be_given_its_id() -> None:
    """Without an id the configuration has none, so that one is made."""
    assert "id" not in TestSignatures.program("simple")
    assert TestSignatures.program("simple", "p")["id"] == "p"


def test_what_is_neither_a_name_nor_a_signature_is_refused() -> None:
    """A misspelt name is not taken for a signature."""
    with pytest.raises(InvalidArguments, match="simpel"):
        TestSignatures.program("simpel")
    with pytest.raises(InvalidArguments, match="missing input 'query'"):
        expected_output(TestSignatures.simple(), {})


@pytest.mark.parametrize("name", ["outputs_", "outputs_zz", "outputs_ff", "outputs_" + b"a:complex".hex(), "other"])
def test_only_references_to_programs_can_be_imported(name: str) -> None:
    """A name that says nothing is an AttributeError, as everywhere."""
    with pytest.raises(AttributeError, match=name):
        getattr(programs, name)


def test_programs_cost_a_worker_nothing() -> None:
    """Importing them imports none of what makes workers slow to start."""
    code = "import sys, trio_pool.testing.programs; print(sorted({'trio', 'attrs', 'typing', 're'} & set(sys.modules)))"
    program = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"]
    assert subprocess.run(program, capture_output=True, text=True, check=True).stdout.strip() == "[]"
