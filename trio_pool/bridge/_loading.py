"""Finding what a reference like ``my_app.jobs:bridge`` names, ``__main__`` included.

In a worker ``__main__`` is the bootstrap script. What the application calls ``__main__`` is imported again, as
multiprocessing does it: a module run with ``-m`` by its name, a script by its path under the name ``__mp_main__``, so
that ``if __name__ == "__main__"`` does not run.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType
    from typing import Any, Final

# Set while the application's main script is imported again. A worker started meanwhile, by a script without the usual
# guard, would import it again in its turn, and so on for ever; it refuses to start instead.
IMPORTING_MAIN: Final = "TRIO_POOL_IMPORTING_MAIN"
_MP_MAIN: Final = "__mp_main__"


class Loader:
    """Imports modules and looks names up in them.

    Args:
        main: What the hello frame says of the application's main module: ``{"name": …}``, ``{"path": …}`` or None.
    """

    __slots__ = ("_bootstrap", "_loaded", "_main")

    def __init__(self, main: Mapping[str, str] | None) -> None:
        self._main = main or {}
        self._loaded: ModuleType | None = None
        self._bootstrap: ModuleType | None = None

    def load(self, reference: str) -> Any:  # whatever the application keeps there
        """Import the module and return the attribute that ``module:qualified.name`` names.

        Raises:
            ValueError: It does not look like a reference.
            ImportError: There is no such module; also whatever the module raises when imported.
            AttributeError: The module has no such attribute.
        """
        name, separator, path = reference.partition(":")
        if not separator or not name or not path or "<" in path:
            raise ValueError(f"{reference!r} does not name something importable as module:attribute")
        found: Any = self.module(name)
        for part in path.split("."):
            found = getattr(found, part)
        return found

    def module(self, name: str) -> ModuleType:
        """Import and return a module; ``__main__`` is the application's."""
        if name in ("__main__", _MP_MAIN):
            return self._main_module()
        __import__(name)
        return sys.modules[name]

    def _main_module(self) -> ModuleType:
        if self._loaded is None:
            # Keeps the bootstrap's module alive: its code is still running below us.
            self._bootstrap = sys.modules.get("__main__")
            os.environ[IMPORTING_MAIN] = "1"
            try:
                name, path = self._main.get("name"), self._main.get("path")
                if name:
                    module = self.module(name)
                elif path:
                    module = _run_script(path)
                else:
                    raise ImportError("the application has no main module that could be imported again")
            finally:
                os.environ.pop(IMPORTING_MAIN, None)
            sys.modules["__main__"] = sys.modules[_MP_MAIN] = self._loaded = module
        return self._loaded


def _run_script(path: str) -> ModuleType:
    module = type(sys)(_MP_MAIN)
    module.__file__ = path
    with open(path, "rb") as file:
        source = file.read()
    outer = {name: sys.modules.get(name) for name in ("__main__", _MP_MAIN)}
    sys.modules["__main__"] = sys.modules[_MP_MAIN] = module
    try:
        exec(compile(source, path, "exec"), module.__dict__)  # noqa: S102  # the application's own script
    except BaseException:
        # As the import system does it: a module that failed half-way is not left behind.
        for name, before in outer.items():
            if before is None:
                del sys.modules[name]
            else:
                sys.modules[name] = before
        raise
    return module
