"""The package's own namespace: every promised name resolves, lazily, and no other does."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import trio_pool

PUBLIC: set[str] = set(vars(trio_pool)["__all__"])


def names_for_type_checkers() -> set[str]:
    """Return the names imported under ``TYPE_CHECKING``."""
    assert trio_pool.__file__ is not None
    tree = ast.parse(Path(trio_pool.__file__).read_text())
    checking = next(node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.asname or alias.name for node in checking.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }


def test_type_checkers_and_the_interpreter_see_the_same_names() -> None:
    """What resolves at run time is exactly what mypy and pyright are told."""
    assert names_for_type_checkers() - {"errors"} == PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_resolves_to_what_it_is_called(name: str) -> None:
    """The table of homes has no stale entry."""
    value = getattr(trio_pool, name)
    assert getattr(value, "__name__", name) == name
    assert name in dir(trio_pool)


def test_a_misspelt_name_is_an_attribute_error() -> None:
    """The lazy lookup invents nothing."""
    with pytest.raises(AttributeError, match="open_poll"):
        trio_pool.open_poll  # type: ignore[attr-defined]  # noqa: B018  # the point


def test_the_version_is_the_distributions() -> None:
    """``__version__`` comes from the installed metadata."""
    assert trio_pool.__version__ == metadata.version("trio_pool")


def test_importing_the_package_imports_nothing_heavy() -> None:
    """A worker imports it too, and pays for Trio only if it asks."""
    code = "import sys, trio_pool; print(sorted({'trio', 'attrs', 'cattrs', 'typing', 'logging'} & set(sys.modules)))"
    program = [sys.executable, "-I", "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"]
    result = subprocess.run(program, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
