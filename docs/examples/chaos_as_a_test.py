"""A scenario carried out as a test of your own; as a test it would be a function in a file that pytest collects."""

import tempfile
from pathlib import Path

from chaos.pytest_plugin import ChaosRunner


def test_nobody_is_left_behind(chaos_run: ChaosRunner) -> None:
    run = chaos_run("parent-death", seed=7, settings={"pool.size": 2})
    run.require_pass()  # or look at run.results and run.directory
    print(run.results.name, run.results.verdict)


if __name__ == "__main__":
    # What pytest does, once `pytest_plugins = ["chaos.pytest_plugin"]` stands in the topmost conftest.py.
    with tempfile.TemporaryDirectory() as directory:
        test_nobody_is_left_behind(ChaosRunner(Path(directory)))

# Prints:
# parent-death@7 pass
