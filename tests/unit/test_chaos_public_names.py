"""The names that the harness gives out: each resolves, lazily, each fault and result is among them, and no other is."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
import typing
from pathlib import Path

import attrs
import pytest

import chaos.results
from chaos.pytest_plugin import ChaosRunner
from chaos.scenario._catalogue import fault_kinds

LAZY = ("chaos", "chaos.scenario", "chaos.workload", "chaos.targets")
NAMES = [(package, name) for package in (*LAZY, "chaos.results") for name in importlib.import_module(package).__all__]


def names_for_type_checkers(package: str) -> set[str]:
    """Return the names imported under ``TYPE_CHECKING``."""
    file = importlib.import_module(package).__file__
    assert file is not None
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    checking = next(node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.asname or alias.name for node in checking.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }


@pytest.mark.parametrize("package", LAZY)
def test_type_checkers_and_the_interpreter_see_the_same_names(package: str) -> None:
    """What resolves at run time is exactly what mypy and pyright are told."""
    assert names_for_type_checkers(package) == set(importlib.import_module(package).__all__)


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_every_public_name_resolves_to_what_it_is_called(package: str, name: str) -> None:
    """The table of homes has no stale entry, and whatever is given out says what it is."""
    module = importlib.import_module(package)
    value = getattr(module, name)
    assert getattr(value, "__name__", name) == name
    assert name in dir(module)
    assert isinstance(value, type) is False or value.__doc__


@pytest.mark.parametrize("package", LAZY)
def test_a_misspelt_name_is_an_attribute_error(package: str) -> None:
    """The lazy lookup invents nothing."""
    with pytest.raises(AttributeError, match=re.escape(f"module {package!r} has no attribute 'wrok'")):
        importlib.import_module(package).wrok  # noqa: B018  # the point


def test_a_name_has_one_home() -> None:
    """Whoever looks for a name finds it in one package."""
    assert len({name for _package, name in NAMES}) == len(NAMES)


def test_every_kind_of_fault_is_public() -> None:
    """What a file can say can be built in Python."""
    import chaos.scenario

    assert [cls for cls in fault_kinds().values() if getattr(chaos.scenario, cls.__name__, None) is not cls] == []


def classes_in(hint: object) -> set[type]:
    """Return our own classes that a type is made of."""
    found = {each for inner in typing.get_args(hint) for each in classes_in(inner)}
    return found | ({hint} if isinstance(hint, type) and hint.__module__.startswith("chaos") else set())


def test_whatever_results_hold_is_public() -> None:
    """A reader of results meets no type that he cannot import."""
    todo: list[type] = [chaos.results.Results]
    seen: set[type] = set()
    while todo:
        cls = todo.pop()
        seen.add(cls)
        if attrs.has(cls):
            attrs.resolve_types(cls)
            todo += [each for field in attrs.fields(cls) for each in classes_in(field.type) if each not in seen]
    assert {cls.__name__ for cls in seen} <= set(chaos.results.__all__)
    assert len(seen) > 10


def test_the_pytest_plugin_hands_out_public_types() -> None:
    """What a test gets from the fixture is what `chaos.run` returns, and it may be given a public scenario."""
    names = re.findall(r"\w+", str(inspect.signature(ChaosRunner.__call__)))
    ours = {name for name in names if name in {public for _package, public in NAMES}}
    assert ours == {"Run", "Scenario"}
    assert not {name for name in names if name.startswith("_") or name == "ChaosRun"}


@pytest.mark.parametrize("package", LAZY)
def test_importing_a_package_imports_nothing_heavy(package: str) -> None:
    """A worker imports it too, and pays for Trio only if it asks."""
    heavy = "{'trio', 'attrs', 'cattrs', 'typing', 'logging'}"
    code = f"import {package}; print(sorted({heavy} & set(sys.modules)))"
    program = [sys.executable, "-I", "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"]
    assert subprocess.run(program, capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_type_checkers_see_every_name_used() -> None:
    """The file that mypy and pyright read uses each of them."""
    source = (Path(__file__).parents[1] / "typing" / "chaos_api.py").read_text(encoding="utf-8")
    parts = "|".join(package.rpartition(".")[2] for package in (*LAZY, "chaos.results"))
    used = {f"{part}.{name}" for part, name in re.findall(rf"\b({parts})\.(\w+)", source)}
    assert [name for package, name in NAMES if f"{package.rpartition('.')[2]}.{name}" not in used] == []
