"""Finding what a reference like ``my_app.jobs:bridge`` names, ``__main__`` included.

In a worker ``__main__`` is the bootstrap script. What the application calls ``__main__`` is imported again, as
multiprocessing does it: a module run with ``-m`` by its name, a script by its path under the name ``__mp_main__``, so
that ``if __name__ == "__main__"`` does not run. The same goes for the ``__main__.py`` of a folder that is run as a
script, which has no name it could be imported by.
"""

from __future__ import annotations

import os
import sys

from ._replies import Refused, summary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType
    from typing import Any, Final

# Set while the application's main script is imported again. A worker started meanwhile, by a script without the usual
# guard, would import it again in its turn, and so on for ever; it refuses to start instead.
IMPORTING_MAIN: Final = "TRIO_POOL_IMPORTING_MAIN"
_MP_MAIN: Final = "__mp_main__"
_NOT_AGAIN: Final = "the application's main module cannot be imported again"


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
            ImportError: There is no such module, or it is a ``__main__`` that cannot be imported again; also whatever
                the module raises when imported.
            AttributeError: The module has no such attribute.
        """
        name, separator, path = reference.partition(":")
        if not separator or not name or not path or "<" in path:
            raise ValueError(f"{reference!r} does not name something importable as module:attribute")
        found: Any = self.module(name)
        for part in path.split("."):
            found = getattr(found, part)
        return found

    def function(self, reference: str) -> Callable[..., object]:
        """Return the function that a request names.

        Raises:
            Refused: It cannot be imported, and the refusal has the traceback of that; or it cannot be called.
        """
        try:
            found = self.load(reference)
        except Exception as exc:
            raise Refused("invalid_arguments", f"{reference!r} cannot be imported: {summary(exc)}", cause=exc) from exc
        if not callable(found):
            raise Refused("invalid_arguments", f"{reference!r} is not callable")
        function: Callable[..., object] = found
        return function

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
            name, path = self._main.get("name"), self._main.get("path")
            if name in ("__main__", _MP_MAIN):
                # What a zip archive or a folder run as a script calls its main module. Here the name leads back to
                # this method.
                raise ImportError(f"{_NOT_AGAIN}: it has no name but {name!r}")
            os.environ[IMPORTING_MAIN] = "1"
            try:
                if name:
                    module = self.module(name)
                elif path:
                    module = _run_script(path)
                else:
                    raise ImportError(f"{_NOT_AGAIN}: it has neither a name nor a file")
            finally:
                os.environ.pop(IMPORTING_MAIN, None)
            sys.modules["__main__"] = sys.modules[_MP_MAIN] = self._loaded = module
        return self._loaded


def _run_script(path: str) -> ModuleType:
    # Not just what open() would refuse: what looks like a file inside a zip archive, or a pipe, on which a worker would
    # wait for ever.
    if not os.path.isfile(path):
        raise ImportError(f"{_NOT_AGAIN}: {path!r} is no file")
    module = type(sys)(_MP_MAIN)
    module.__file__ = path
    with open(path, "rb") as file:
        source = file.read()
    outer = {name: sys.modules.get(name) for name in ("__main__", _MP_MAIN)}
    sys.modules["__main__"] = sys.modules[_MP_MAIN] = module
    try:
        # Without dont_inherit the future statement at the top of this file would hold for the script too.
        code = compile(source, path, "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102  # the application's own script
    except BaseException:
        # As the import system does it: a module that failed half-way is not left behind.
        for name, before in outer.items():
            if before is None:
                del sys.modules[name]
            else:
                sys.modules[name] = before
        raise
    return module
