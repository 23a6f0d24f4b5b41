"""The demo's job: counting what source files define."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from _chaos_plans import request

from chaos._stdlib_job import MAX_BYTES, MAX_FILES, make_catalogue
from chaos.workload._stdlib import Stdlib
from chaos.workload._stdlib_app import index
from trio_pool.bridge import Session


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A library of three packages, one of them large, and a folder that is no package."""
    root = tmp_path / "lib"
    sources = {
        "one.py": "def f(): pass\nclass A:\n    def m(self): pass\n    async def n(self): pass\n",
        "broken.py": "def (:\n",
        "nul.py": "x = '\0'\n",
        "small/__init__.py": "",
        "small/escapes.py": "class A: pass\nx = '\\d'\n",
        "small/deeper/__init__.py": "def f():\n    def g(): pass\n",
        "large/__init__.py": "",
        **{f"large/m{number:02}.py": "class A: pass\n" for number in range(30)},
        **{f"large/z{number}.py": "# " + "x" * (MAX_BYTES // 2) + "\n" for number in range(3)},
        "site-packages/__init__.py": "def other(): pass\n",
        "no_package/data.py": "def other(): pass\n",
    }
    for name, text in sources.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_the_catalogue_counts_packages_and_nothing_else(library: Path) -> None:
    """Every package directory is there once, in order; other distributions and plain folders are not."""
    catalogue = make_catalogue(str(library))
    assert [package.name for package in catalogue.packages] == [
        "modules broken.py to one.py",
        "large",
        "small",
        "small.deeper",
    ]
    assert catalogue.packages[0].chunks[0].expected == (1, 1, 3)
    assert catalogue.packages[2].chunks[0].expected == (2, 1, 0)
    assert catalogue.packages[3].chunks[0].expected == (1, 0, 2)


def test_no_request_is_larger_than_allowed(library: Path) -> None:
    """A chunk has at most 25 files and a bounded size; together the chunks have every file once."""
    large = make_catalogue(str(library)).packages[1]
    names = [name for chunk in large.chunks for name in chunk.files]
    assert names == sorted(names)
    assert len(names) == len(set(names)) == 34
    for chunk in large.chunks:
        assert 0 < len(chunk.files) <= MAX_FILES
        size = sum((Path(chunk.directory) / name).stat().st_size for name in chunk.files)
        assert size <= MAX_BYTES or len(chunk.files) == 1


def test_the_program_agrees_with_the_catalogue(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the client expects, counted before the clock starts, is what the command answers."""
    monkeypatch.setattr("chaos.workload._stdlib.make_catalogue", lambda: make_catalogue(str(library)))
    work = Stdlib()
    for number in range(6):
        wanted = request(number, "index")
        session = Session(f"s-{number}")
        args = {**work.args(wanted, number, 0), "request": number, "nonce": wanted.nonce, "session": f"s-{number}"}
        reply = index(session, args)
        expected = work.expect(wanted, number, 0)
        assert {name: reply[name] for name in expected} == expected
        assert sum(expected["counts"]) > 0
        assert (reply["items"], reply["session"]) == ([wanted.nonce], f"s-{number}")


def test_sessions_beyond_the_last_package_start_over(library: Path) -> None:
    """Every session and step has a chunk, and the next visit to a package begins with another chunk of it."""
    catalogue = make_catalogue(str(library))
    large = catalogue.packages[1]
    assert [catalogue.chunk(1, step) for step in range(len(large.chunks))] == large.chunks
    assert catalogue.chunk(1 + len(catalogue.packages), 0) is large.chunks[1]


def test_an_empty_library_is_an_error(tmp_path: Path) -> None:
    """An interpreter without sources has nothing to index, and says so."""
    with pytest.raises(ValueError, match="no source files"):
        make_catalogue(str(tmp_path))


def test_the_job_costs_a_worker_no_trio() -> None:
    """What a worker imports to run the program is the standard library and this one module."""
    code = "import sys, chaos._stdlib_job; print({'trio', 'attrs', 'trio_pool', 'typing'} & set(sys.modules))"
    environment = {"PYTHONPATH": ":".join(sys.path)}
    found = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, check=True, text=True, env=environment
    )
    assert found.stdout.strip() == "set()"
