"""Signatures in a worker: read as the application's side reads them, and held up to what arrives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trio_pool._adapter._signature import FieldType
from trio_pool._adapter._signature import Signature as AdapterSignature
from trio_pool._core._errors import InvalidArguments
from trio_pool.bridge._replies import Refused
from trio_pool.bridge._signature import Signature

NAMES = st.sampled_from(["query", "answer", "a", "ünï", "class", "_x", "two words", "", "1a"])
KINDS = st.sampled_from([*FieldType, "number", "", "Str"])
FIELDS = (
    NAMES
    | st.builds("{}:{}".format, NAMES, KINDS)
    | st.builds(" {} : {} ".format, NAMES, KINDS)
    | st.fixed_dictionaries(
        {"name": NAMES}, optional={"type": KINDS | st.just(5), "description": st.text(max_size=3) | st.none()}
    )
    | st.fixed_dictionaries({}, optional={"name": NAMES, "kind": KINDS})
    | st.sampled_from([None, 5, ["query"]])
)
SIDES: st.SearchStrategy[Any] = st.lists(FIELDS, max_size=3) | st.sampled_from([None, "query", {}])
SOURCES = (
    SIDES
    | st.fixed_dictionaries({}, optional={"inputs": SIDES, "outputs": SIDES, "surprise": st.just(1)})
    | st.builds("{} {} {}".format, NAMES, st.sampled_from(["->", "->->", ",", "-> a ->", ": int, a: float ->"]), NAMES)
    | st.sampled_from([None, 5, b"query -> answer"])
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=3)
    | st.binary(max_size=3),
    lambda values: st.lists(values, max_size=2) | st.dictionaries(st.text(max_size=2), values, max_size=2),
    max_leaves=4,
)


def read_by_adapter(source: Any) -> Any:
    """Return the form that travels, or None if the application's side refuses this signature."""
    try:
        return AdapterSignature.parse(source).to_dict()
    except InvalidArguments:
        return None


def read_by_worker(source: Any) -> Any:
    """Return the same of the worker's side."""
    try:
        return Signature(source).to_dict()
    except Refused as exc:
        return None if exc.kind == "invalid_arguments" else exc.kind


@given(SOURCES)
@example("question, limit: int -> answer: float")
@example("-> a")
@example("a ->")
@example(["query", "limit: int"])
@example({"inputs": ["query"]})
@example({"inputs": [], "outputs": []})
@example({"inputs": ["a"], "outputs": ["a"]})
@example({"inputs": ["a", "a"]})
def test_both_sides_read_every_signature_alike(source: Any) -> None:
    """What one refuses the other refuses, and what they take means the same to both."""
    assert read_by_worker(source) == read_by_adapter(source)


@given(SOURCES)
def test_the_form_that_travels_is_read_back_without_loss(source: Any) -> None:
    """A worker takes the adapter's long form for what the short one was."""
    form = read_by_worker(source)
    if form is not None:
        assert read_by_worker(form) == form


@given(st.sampled_from(FieldType), VALUES)
@example(FieldType.FLOAT, 10**400)
@example(FieldType.FLOAT, True)
@example(FieldType.INT, True)
def test_both_sides_take_the_same_values_for_each_type(kind: FieldType, value: Any) -> None:
    """A bare command is held to the rules that the adapter checks beforehand; only an int becomes anything else."""
    source = {"inputs": [{"name": "value", "type": kind.value}]}
    try:
        expected = AdapterSignature.parse(source).validate_inputs({"value": value})
    except InvalidArguments:
        with pytest.raises(Refused):
            Signature(source).accept({"value": value}, "p")
    else:
        accepted = Signature(source).accept({"value": value}, "p")
        assert accepted == expected
        assert type(accepted["value"]) is type(expected["value"])


def test_large_bytes_which_arrive_as_a_view_are_bytes() -> None:
    """The size of a value is nothing its type depends on."""
    view = memoryview(b"x" * 70_000)
    assert Signature("data: bytes -> size").accept({"data": view}, "p") == {"data": view}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (5, "str, list or dict, not int"),
        ("a, b", "exactly one '->'"),
        ({"inputs": "a"}, "needs a list of inputs"),
        ({"inputs": ["a"], "outputs": {}}, "needs a list of outputs"),
        ({"inputs": ["two words"]}, "'two words'"),
        ({"inputs": ["a: number"]}, "'number'"),
        ({"inputs": [{"name": "a", "kind": "int"}]}, "'kind'"),
        ({"inputs": [{"name": "a", "description": 5}]}, "the description of 'a'"),
        ({"inputs": [5]}, "inputs"),
        ({"inputs": ["a"], "outputs": []}, "at least one output"),
        ({"inputs": ["a", "a"]}, "'a' stands twice among the inputs"),
        ({"inputs": ["a"], "output": ["b"]}, "'output'"),
    ],
    ids=str,
)
def test_a_signature_that_is_refused_is_told_why(source: object, words: str) -> None:
    """The message names the place."""
    with pytest.raises(Refused) as caught:
        Signature(source)
    assert words in str(caught.value)
