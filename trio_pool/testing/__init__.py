"""What tests of pools need: a worker without a process, seeded data, load and trouble, measurements, fixtures.

The names below are for any test; three modules more are imported by name. ``trio_pool.testing.plugin`` is a pytest
plugin, loaded only where it is asked for, ``trio_pool.testing.strategies`` has the generators as Hypothesis strategies,
and ``trio_pool.testing.programs`` holds functions for workers to run. Only these first two need the packages of the
extra ``testing``.

Names are resolved on first use: worker processes import this package for its programs and must not pay for Trio.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._data import Operation as Operation
    from ._data import OperationType as OperationType
    from ._data import TestDataGenerators as TestDataGenerators
    from ._data import WorkerCommand as WorkerCommand
    from ._data import expected_output as expected_output
    from ._isolation import IsolatedPort as IsolatedPort
    from ._isolation import isolated_port as isolated_port
    from ._isolation import with_config as with_config
    from ._measure import EXPECTATIONS as EXPECTATIONS
    from ._measure import Expectation as Expectation
    from ._measure import Timings as Timings
    from ._measure import benchmark_pool as benchmark_pool
    from ._measure import measure_operation as measure_operation
    from ._measure import percentile as percentile
    from ._mock_port import MockPort as MockPort
    from ._mock_script import CrashPoint as CrashPoint
    from ._mock_script import ReceivedCommand as ReceivedCommand
    from ._mock_worker import MockWorker as MockWorker
    from ._scenarios import ErrorScenario as ErrorScenario
    from ._scenarios import NetworkFailure as NetworkFailure
    from ._scenarios import NetworkPattern as NetworkPattern
    from ._scenarios import Resource as Resource
    from ._scenarios import ResourceExhaustion as ResourceExhaustion
    from ._scenarios import SlowOperations as SlowOperations
    from ._scenarios import Target as Target
    from ._scenarios import WorkerCrash as WorkerCrash
    from ._signatures import TestSignatures as TestSignatures
    from ._workload import Workload as Workload
else:
    # Behind `else`, so that type checkers see only the imports above and reject a misspelt name.
    _HOMES = {
        "._data": "Operation OperationType TestDataGenerators WorkerCommand expected_output",
        "._isolation": "IsolatedPort isolated_port with_config",
        "._measure": "EXPECTATIONS Expectation Timings benchmark_pool measure_operation percentile",
        "._mock_port": "MockPort",
        "._mock_script": "CrashPoint ReceivedCommand",
        "._mock_worker": "MockWorker",
        "._scenarios": (
            "ErrorScenario NetworkFailure NetworkPattern Resource ResourceExhaustion SlowOperations Target WorkerCrash"
        ),
        "._signatures": "TestSignatures",
        "._workload": "Workload",
    }
    _PUBLIC = {name: home for home, names in _HOMES.items() for name in names.split()}
    __all__ = sorted(_PUBLIC)

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name not in _PUBLIC:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_PUBLIC[name], __name__), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_PUBLIC})
