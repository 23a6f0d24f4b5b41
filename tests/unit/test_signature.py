"""Signatures: every written form means the same, and inputs are judged by what they are, never by their truth."""

from __future__ import annotations

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_pool._adapter import Field, FieldType, Signature
from trio_pool.errors import InvalidArguments, Outcome

ASCII_NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,12}", fullmatch=True)
NAMES = ASCII_NAMES | st.text(min_size=1, max_size=8).filter(str.isidentifier)
TYPES = st.sampled_from(FieldType)


def fields(min_size: int, descriptions: st.SearchStrategy[str]) -> st.SearchStrategy[list[Field]]:
    field = st.builds(Field, NAMES, TYPES, descriptions)
    return st.lists(field, min_size=min_size, max_size=6, unique_by=lambda field: field.name)


def signatures(descriptions: st.SearchStrategy[str]) -> st.SearchStrategy[Signature]:
    return st.builds(Signature, fields(0, descriptions), fields(1, descriptions))


@given(signatures(st.just("")))
def test_the_text_form_reads_back_as_what_was_written(signature: Signature) -> None:
    """Whatever a signature without descriptions prints, `Signature.parse` reads it as the same signature."""
    assert Signature.parse(str(signature)) == signature


@given(signatures(st.text(max_size=20)))
def test_the_travelling_form_loses_nothing(signature: Signature) -> None:
    """`to_dict` holds plain values only and reads back as an equal signature; so does a pickled one."""
    form = signature.to_dict()
    assert all(type(value) is str for side in form.values() for field in side for value in field.values())
    assert Signature.parse(form) == signature
    assert pickle.loads(pickle.dumps(signature)) == signature  # noqa: S301  # made in the line itself


@given(
    signatures(st.just("")),
    st.text(" \t\n", max_size=3),
)
def test_space_between_the_parts_of_a_text_means_nothing(signature: Signature, space: str) -> None:
    """Any white space around names, types, commas and the arrow is ignored."""
    text = str(signature)
    for part in (",", ":", "->"):
        text = text.replace(part, f"{space}{part}{space}")
    assert Signature.parse(space + text + space) == signature


def test_all_written_forms_mean_the_same() -> None:
    """Text, lists of texts, lists of mappings and lists of fields give equal signatures."""
    expected = Signature([Field("question"), Field("limit", "int")], [Field("answer", "float")])
    for form in (
        expected,
        "question, limit: int -> answer: float",
        {"inputs": ["question", "limit: int"], "outputs": ["answer: float"]},
        {
            "inputs": [{"name": "question"}, {"name": "limit", "type": "int"}],
            "outputs": ({"name": "answer", "type": FieldType.FLOAT},),
        },
        {"inputs": [Field("question"), "limit:int"], "outputs": [{"name": "answer", "type": "float"}]},
    ):
        assert Signature.parse(form) == expected


def test_inputs_alone_give_one_output_called_result() -> None:
    """A bare list, or a mapping without outputs, declares the inputs; the one output is ``result`` of any type."""
    expected = Signature([Field("query")], [Field("result")])
    assert Signature.parse(["query"]) == expected
    assert Signature.parse([{"name": "query"}]) == expected
    assert Signature.parse({"inputs": ["query"]}) == expected


def test_a_program_may_take_nothing() -> None:
    """A signature without inputs is fine, in every form."""
    expected = Signature([], [Field("pid", "int")])
    assert Signature.parse("-> pid: int") == expected
    assert Signature.parse({"inputs": [], "outputs": ["pid: int"]}) == expected
    assert str(expected) == "-> pid: int"
    assert expected.validate_inputs({}) == {}


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("question", "'->'"),
        ("a -> b -> c", "'->'"),
        ("a ->", "at least one output"),
        ("a, -> b", "''"),
        ("a: -> b", "''"),
        ("two words -> b", "'two words'"),
        ("1st -> b", "'1st'"),
        ("a: string -> b", "'string'"),
        ("a, a -> b", "input 'a' twice"),
        ("a -> b, b", "output 'b' twice"),
        ({"outputs": ["b"]}, "'inputs'"),
        ({"inputs": ["a"], "outputs": []}, "at least one output"),
        ({"inputs": "a", "outputs": ["b"]}, "inputs must be a list, not str"),
        ({"inputs": None}, "inputs must be a list, not NoneType"),
        ({"inputs": [], "output": ["b"]}, "'output'"),
        ({"inputs": ["a", 7]}, r"inputs\[1\]"),
        ({"inputs": [{"name": "a", "typ": "int"}]}, "'typ'"),
        ({"inputs": [{"type": "int"}]}, r"inputs\[0\]: a field lacks 'name'"),
        ({"inputs": [{"name": ""}]}, r"inputs\[0\]: .*identifier"),
        ({"inputs": [{"name": 5}]}, "identifier, not 5"),
        ({"inputs": [{"name": "a", "type": None}]}, "None"),
        ({"inputs": [{"name": "a", "type": []}]}, r"\[\]"),
        ({"inputs": [{"name": "a", "description": 1}]}, "description must be str, not int"),
        (None, "not NoneType"),
        (b"a -> b", "not bytes"),
        (3, "not int"),
    ],
)
def test_a_malformed_signature_is_refused_with_its_place(source: object, named: str) -> None:
    """What is not a signature is `InvalidArguments`, one line that names what is wrong with it."""
    with pytest.raises(InvalidArguments, match=named) as caught:
        Signature.parse(source)
    assert caught.value.outcome is Outcome.NOT_EXECUTED
    assert "\n" not in str(caught.value)


FALSY: dict[str, object] = {"any": None, "str": "", "int": 0, "float": 0.0, "bool": False, "list": [], "bytes": b""}
FALSY["dict"] = {}


@pytest.mark.parametrize("kind", list(FALSY))
def test_falsy_values_are_values(kind: str) -> None:
    """An input that is given counts as given whatever its truth, under its own type and under ``any``."""
    inputs = {"x": FALSY[kind]}
    assert Signature([Field("x", kind)], [Field("y")]).validate_inputs(inputs) == inputs
    checked = Signature.parse("x -> y").validate_inputs(inputs)
    assert checked == inputs
    assert type(checked["x"]) is type(inputs["x"])


SAMPLES: dict[str, list[object]] = {
    "str": ["", "text"],
    "int": [0, -5, 2**63],
    "float": [0.0, 1.5, math.inf],
    "bool": [True, False],
    "list": [[], [1], (), (1, 2)],
    "dict": [{}, {"a": 1}],
    "bytes": [b"", b"x", bytearray(b"y"), memoryview(b"z")],
    "none": [None],
    "other": [object(), {1}, 1j],
}
ACCEPTS = {kind: {kind} for kind in ("str", "int", "bool", "list", "dict", "bytes")} | {"float": {"float", "int"}}


@pytest.mark.parametrize("kind", [kind.value for kind in FieldType])
def test_each_type_takes_its_own_values_only(kind: str) -> None:
    """No value is converted, an integer given to a ``float`` aside; True is no number, and None only fits ``any``."""
    signature = Signature([Field("x", kind)], [Field("y")])
    for sample, values in SAMPLES.items():
        for value in values:
            if kind == "any" or sample in ACCEPTS[kind]:
                assert signature.validate_inputs({"x": value})["x"] == value
            else:
                with pytest.raises(InvalidArguments, match=f"input 'x' must be {kind}, not {type(value).__name__}"):
                    signature.validate_inputs({"x": value})


def test_an_integer_for_a_float_becomes_one() -> None:
    """A ``float`` field passes floats only; an integer no float can hold is refused by name."""
    signature = Signature.parse("x: float -> y")
    assert type(signature.validate_inputs({"x": 3})["x"]) is float
    with pytest.raises(InvalidArguments, match="'x' is an integer too large"):
        signature.validate_inputs({"x": 10**400})


@given(st.sets(st.sampled_from("abcdef")), st.sets(st.sampled_from("abcdef")))
def test_missing_and_unknown_inputs_are_named(declared: set[str], given_names: set[str]) -> None:
    """Exactly the inputs that are missing or unknown are named, all in one error."""
    signature = Signature([Field(name) for name in sorted(declared)], [Field("y")])
    inputs = dict.fromkeys(sorted(given_names), 0)
    if declared == given_names:
        assert signature.validate_inputs(inputs) == inputs
        return
    with pytest.raises(InvalidArguments) as caught:
        signature.validate_inputs(inputs)
    problems = str(caught.value).split("; ")
    expected = [f"missing input '{name}'" for name in sorted(declared - given_names)]
    expected += [f"unknown input '{name}'" for name in sorted(given_names - declared)]
    assert problems == expected


def test_an_error_stays_one_line_of_bounded_length() -> None:
    """However many inputs are wrong and whatever their names, the message is one short line that says how many."""
    inputs: dict[object, object] = {f"{'n' * 10_000}\n{index}": 0 for index in range(1000)}
    inputs[7] = 0
    with pytest.raises(InvalidArguments) as caught:
        Signature.parse("x -> y").validate_inputs(inputs)
    text = str(caught.value)
    assert text.startswith("missing input 'x'; unknown input")
    assert text.endswith("and 994 more")
    assert len(text) < 1000
    assert "\n" not in text


@pytest.mark.parametrize("inputs", [None, [], "x", [("x", 1)], 0])
def test_inputs_that_are_no_mapping_are_refused(inputs: object) -> None:
    """Inputs come by name."""
    with pytest.raises(InvalidArguments, match=f"inputs must be a mapping, not {type(inputs).__name__}"):
        Signature.parse("x -> y").validate_inputs(inputs)


def test_the_callers_mapping_is_left_alone() -> None:
    """Checking makes a mapping of its own: neither side sees the other's later changes."""
    inputs = {"x": 1}
    checked = Signature.parse("x: float -> y").validate_inputs(inputs)
    checked["z"] = 0
    assert inputs == {"x": 1}
    assert type(inputs["x"]) is int
