"""The namespace of `trio_pool.testing`: every name resolves, lazily, and needs only what it uses."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from trio_pool import testing

PUBLIC: set[str] = set(vars(testing)["__all__"])


def test_type_checkers_and_the_interpreter_see_the_same_names() -> None:
    """What resolves at run time is exactly what mypy and pyright are told."""
    assert testing.__file__ is not None
    tree = ast.parse(Path(testing.__file__).read_text())
    checking = next(node for node in tree.body if isinstance(node, ast.If))
    told = {alias.asname for node in checking.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert told == PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_resolves_to_what_it_is_called(name: str) -> None:
    """The table of homes has no stale entry."""
    value = getattr(testing, name)
    assert getattr(value, "__name__", name) == name
    assert name in dir(testing)


def test_a_misspelt_name_is_an_attribute_error() -> None:
    """The lazy lookup invents nothing."""
    with pytest.raises(AttributeError, match="MockPorts"):
        testing.MockPorts  # type: ignore[attr-defined]  # noqa: B018  # the point


def test_none_of_the_names_needs_the_extra() -> None:
    """Hypothesis and pytest are imported by the strategies and the plugin alone, and these only by name."""
    code = (
        "import sys; from trio_pool import testing; [getattr(testing, name) for name in testing.__all__];"
        "print(sorted({'hypothesis', 'pytest', '_pytest', 'pytest_trio'} & set(sys.modules)))"
    )
    program = [sys.executable, "-I", "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"]
    assert subprocess.run(program, capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_pytest_takes_no_helper_for_a_test() -> None:
    """Two of the names begin with ``Test``, and say that they are none: a test file may import them."""
    assert not testing.TestSignatures.__test__
    assert not testing.TestDataGenerators.__test__
