"""The demo's real work: count what the running interpreter's standard library defines.

`count_file` runs in workers, so this module imports only the standard library. The `Catalogue` is made in the
application before the clock starts: it cuts every package directory into requests of at most 25 files and counts
each file there and then, so that every reply can be compared with counts no worker had a part in.
"""

from __future__ import annotations

import ast
import os
import sysconfig
import warnings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeAlias

    Counts: TypeAlias = tuple[int, int, int]

MAX_FILES = 25
MAX_BYTES = 160 * 1024
"""Source one request may cover, unless a single file is larger: about 40 ms of parsing, so that most requests are short
against every timeout of the pool and still long enough to be killed in the middle."""

_NOT_LIBRARY = frozenset({"site-packages", "dist-packages", "__pycache__"})


def count_file(path: str) -> Counts:
    """Return (1, classes, functions) of a source file, or zeros if it does not parse (the library ships some such)."""
    with open(path, "rb") as file:
        source = file.read()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in the library's own test data are not our news
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return (0, 0, 0)
    classes = functions = 0
    for node in ast.walk(tree):
        kind = type(node)
        if kind is ast.ClassDef:
            classes += 1
        elif kind is ast.FunctionDef or kind is ast.AsyncFunctionDef:
            functions += 1
    return (1, classes, functions)


class Chunk:
    """One request's worth of source files of one directory, and what they define."""

    __slots__ = ("directory", "expected", "files")

    def __init__(self, directory: str, files: Sequence[str], expected: Counts) -> None:
        self.directory = directory
        self.files = list(files)
        self.expected = expected


class Package:
    """One package directory of the library, or a share of its top-level modules, cut into chunks."""

    __slots__ = ("chunks", "name")

    def __init__(self, name: str, chunks: Sequence[Chunk]) -> None:
        self.name = name
        self.chunks = list(chunks)


class Catalogue:
    """The whole library, counted.

    Args:
        packages: All packages, in a fixed order.
    """

    def __init__(self, packages: Sequence[Package]) -> None:
        if not packages:
            raise ValueError("this interpreter's standard library has no source files to index")
        self.packages = list(packages)
        self.files = sum(len(chunk.files) for package in packages for chunk in package.chunks)

    def chunk(self, session: int, step: int) -> Chunk:
        """Return what the given request of the given session is about; sessions beyond the last package start over."""
        package = self.packages[session % len(self.packages)]
        # The second visit to a package goes on where the first may have ended.
        return package.chunks[(step + session // len(self.packages)) % len(package.chunks)]

    def package(self, session: int) -> str:
        """Return the name of the package a session is about."""
        return self.packages[session % len(self.packages)].name


def make_catalogue(root: str | None = None, progress: Callable[[int], None] | None = None) -> Catalogue:
    """Find and count every source file of the standard library.

    Args:
        root: Its directory, if not the running interpreter's.
        progress: Called after every file with the number of files counted so far.
    """
    library = root or sysconfig.get_path("stdlib")
    packages: list[Package] = []
    done = 0
    for directory, files in _directories(library):
        counts: dict[str, Counts] = {}
        for name in files:
            counts[name] = count_file(os.path.join(directory, name))
            done += 1
            if progress is not None:
                progress(done)
        chunks = [Chunk(directory, part, _total([counts[name] for name in part])) for part in _parts(directory, files)]
        if directory == library:
            # The top-level modules belong to no package: every chunk of them stands for one.
            packages += [Package(f"modules {chunk.files[0]} to {chunk.files[-1]}", [chunk]) for chunk in chunks]
        else:
            packages.append(Package(os.path.relpath(directory, library).replace(os.sep, "."), chunks))
    return Catalogue(packages)


def _directories(library: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the library's own directory and each package directory below it, with their source files, sorted."""
    for directory, below, names in os.walk(library):
        below[:] = sorted(name for name in below if name not in _NOT_LIBRARY)
        files = sorted(name for name in names if name.endswith(".py"))
        if files and (directory == library or "__init__.py" in files):
            yield directory, files


def _parts(directory: str, files: Sequence[str]) -> Iterator[list[str]]:
    part: list[str] = []
    size = 0
    for name in files:
        more = os.path.getsize(os.path.join(directory, name))
        if part and (len(part) == MAX_FILES or size + more > MAX_BYTES):
            yield part
            part, size = [], 0
        part.append(name)
        size += more
    if part:
        yield part


def _total(counts: Sequence[Counts]) -> Counts:
    return (sum(c[0] for c in counts), sum(c[1] for c in counts), sum(c[2] for c in counts))
