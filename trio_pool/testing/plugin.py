"""A pytest plugin: for each test a supervisor, a port, a pool, settings and data of its own.

It is loaded only where it is asked for, with ``-p trio_pool.testing.plugin`` or, in the topmost ``conftest.py``::

    pytest_plugins = ["trio_pool.testing.plugin"]

It needs the extra ``testing``. Its async fixtures are pytest-trio's, in either of its modes, and are for async tests.

=======================  =============================================================================================
fixture                  what the test gets
=======================  =============================================================================================
``isolated_supervisor``  an open `Supervisor` of its own; ``@pytest.mark.isolated_supervisor(max_restarts=5)`` sets
                         what `open_supervisor` takes
``isolated_port``        a `MockPort` of its own, with a ``name``; whatever it expected has to have come by the end
``mock_pool``            an open `SessionPool` of two workers over ``isolated_port``;
                         ``@pytest.mark.mock_pool(size=4, timeout=1.0)`` sets fields of `PoolConfig`
``isolated_config``      `with_config`: settings for the length of a ``with``, put back afterwards
``test_signatures``      `TestSignatures`
``test_data``            a `TestDataGenerators`; its seed comes from the test's own id, so that it is the same in every
                         run and in every order of tests, or from ``--trio-pool-seed``, and is told when the test fails
=======================  =============================================================================================

A test that asks for none of these gets nothing: two tests share neither workers nor settings, because nothing here
outlives a test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast
from zlib import crc32

import pytest
import pytest_trio  # pyright: ignore[reportMissingTypeStubs]  # it has none

from .. import open_pool, open_supervisor
from ._data import TestDataGenerators
from ._isolation import IsolatedPort, with_config
from ._signatures import TestSignatures

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from typing import TypeVar

    from .. import SessionPool, Supervisor

    F = TypeVar("F", bound=Callable[..., object])

_SEED: Final = pytest.StashKey[int]()
_FAILED: Final = pytest.StashKey[bool]()

_MARKERS: Final = (
    "isolated_supervisor(**options): what the fixture of that name opens its supervisor with",
    "mock_pool(**options): what the fixture of that name opens its pool with",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--trio-pool-seed``."""
    parser.getgroup("trio_pool").addoption(
        "--trio-pool-seed",
        type=int,
        metavar="N",
        help="seed of the fixture test_data, in place of one made from each test's own id",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    for line in _MARKERS:
        config.addinivalue_line("markers", line)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember that a test failed, for its fixtures to know, and tell with what data."""
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
        seed = item.stash.get(_SEED, None)
        if seed is not None:
            report.sections.append(("test_data", f"seed {seed}; again with the same data: --trio-pool-seed={seed}"))
    return report


def _trio_fixture(function: F) -> F:
    # pytest-trio has no types.
    return cast("Callable[[F], F]", pytest_trio.trio_fixture)(function)  # pyright: ignore[reportUnknownMemberType]


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return what the test's marker, named like the fixture, says."""
    name = request.fixturename
    marker = None if name is None else request.node.get_closest_marker(name)
    if marker is None:
        return {}
    if marker.args:
        raise TypeError(f"the marker {name} takes keyword arguments only")
    return dict(marker.kwargs)


def _own_seed(request: pytest.FixtureRequest) -> int:
    return crc32(request.node.nodeid.encode("utf-8", "backslashreplace"))


@_trio_fixture
async def isolated_supervisor(  # noqa: ASYNC900  # pytest-trio carries it to its end
    request: pytest.FixtureRequest,
) -> AsyncGenerator[Supervisor, None]:
    """Give the test an open supervisor of its own; at the end it is stopped with all its children."""
    options: dict[str, Any] = {"name": f"test_supervisor_{_own_seed(request):08x}", **_options(request)}
    async with open_supervisor(**options) as supervisor:
        yield supervisor  # noqa: ASYNC119  # as above


@pytest.fixture
def isolated_port(request: pytest.FixtureRequest) -> Generator[IsolatedPort, None, None]:
    """Give the test a port of its own; at the end it is verified, unless the test failed already."""
    seed = _own_seed(request)
    port = IsolatedPort(f"test_port_{seed:08x}", seed=seed)
    yield port
    # Nothing is left to clean up: workers in memory are tasks, and no task outlives the test's run of Trio.
    if not request.node.stash.get(_FAILED, False):
        port.verify()


@_trio_fixture
async def mock_pool(  # noqa: ASYNC900  # as above
    request: pytest.FixtureRequest, isolated_port: IsolatedPort
) -> AsyncGenerator[SessionPool, None]:
    """Give the test an open pool over its ``isolated_port``."""
    options: dict[str, Any] = {"size": 2, "name": isolated_port.name, **_options(request)}
    async with open_pool(launcher=isolated_port, **options) as pool:
        yield pool  # noqa: ASYNC119  # as above


@pytest.fixture
def isolated_config() -> Callable[..., Any]:
    """Give the test `with_config`."""
    return with_config


@pytest.fixture(name="test_signatures")
def signatures() -> type[TestSignatures]:
    """Give the test `TestSignatures`."""
    return TestSignatures


@pytest.fixture(name="test_data")
def data(request: pytest.FixtureRequest) -> TestDataGenerators:
    """Give the test generators whose seed is its own."""
    chosen: int | None = request.config.getoption("--trio-pool-seed")
    seed = request.node.stash[_SEED] = _own_seed(request) if chosen is None else chosen
    return TestDataGenerators(seed)
