"""Names in docstrings: single backticks link to what is documented here, and are plain code otherwise.

Docstrings name what a reader of the code sees: ``PoolConfig``, ``SessionPool.session``, ``execute_in_session``. The
public ones live in private modules and are documented under the package that gives them out, so a name is looked for
there. A name of another library is not an error, and neither is one that only the code knows: both are set as code.
References that somebody wrote out, as ``{py:class}``, are not forgiven: Sphinx reports those that lead nowhere.
"""

from __future__ import annotations

import builtins
import importlib
import re
import sys
import types
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx import addnodes
from sphinx.domains.python import PyXRefRole
from sphinx.util.nodes import make_refnode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docutils.nodes import Element
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

PACKAGES = (
    "trio_pool",
    "trio_pool.bridge",
    "trio_pool.testing",
    "trio_pool.wire",
    "chaos",
    "chaos.scenario",
    "chaos.results",
    "chaos.workload",
    "chaos.targets",
)
"""Where public names are documented, in the order in which they are looked for."""

TRIO = "https://trio.readthedocs.io/en/stable/reference-"
TRIO_PAGES = {
    "trio.Cancelled": "core",
    "trio.CancelScope": "core",
    "trio.ClosedResourceError": "core",
    "trio.EndOfChannel": "core",
    "trio.MemoryReceiveChannel": "core",
    "trio.Nursery": "core",
    "trio.Nursery.start": "core",
    "trio.Process": "io",
    "trio.TaskStatus": "core",
    "trio.TooSlowError": "core",
    "trio.abc.ReceiveStream": "io",
    "trio.abc.Stream": "io",
    "trio.current_time": "core",
    "trio.fail_after": "core",
    "trio.run": "core",
}
"""Trio's own pages, linked by address: fetching its inventory would need a network."""

CONTEXT_MANAGERS = ("AbstractAsyncContextManager", "AbstractContextManager", "AsyncGenerator", "Generator")
"""How the types begin that context managers are annotated with, before or after their decorator."""

GIVEN = frozenset(
    [
        "Child",
        "DynamicSupervisor",
        "EventStream",
        "MockWorker",
        "PoolSession",
        "PoolWorker",
        "SessionAdapter",
        "SessionPool",
        "Session",
        "Supervisor",
        "WorkerStats",
    ]
)
"""Classes whose instances users are given and never make."""

UNSEEN = frozenset(
    {"Ask", "Common", "EndHook", "Frame", "Function", "Message", "Observed", "StartHook", "T", "Which", "WorkerData"}
)
"""Types of our own that annotations name and that exist for type checkers only."""

FOREIGN_MODULES = frozenset(
    {"trio", "collections", "contextlib", "typing", "types", "os", "random", "pathlib", "enum", "hypothesis"}
)
FOREIGN_NAMES = frozenset(
    [
        "AbstractAsyncContextManager",
        "AbstractContextManager",
        "Any",
        "AsyncGenerator",
        "AsyncIterator",
        "Awaitable",
        "Callable",
        "Generator",
        "Iterable",
        "Iterator",
        "Mapping",
        "Path",
        "PathLike",
        "Piece",
        "R",
        "Random",
        "SearchStrategy",
        "Self",
        "Sequence",
        "Ts",
        "TypedDict",
        "Unpack",
        "datetime",
    ]
)
"""What annotations name without their module, because the code imports it for type checkers only."""

_HOME = re.compile(r"\b(trio_pool|chaos)(?:\.\w+)*\._\w+\.(?:\w+\.)*?(?=[A-Za-z]\w*$)")
"""The private module in front of a name's last part."""


class NameRole(PyXRefRole):
    """The default role: a name that may or may not be documented here."""

    def process_link(
        self, env: BuildEnvironment, refnode: Element, has_explicit_title: bool, title: str, target: str
    ) -> tuple[str, str]:
        """Make it a reference to any Python object, one that may lead nowhere."""
        refnode["refdomain"], refnode["reftype"], refnode["may_be_code"] = "py", "obj", True
        return super().process_link(env, refnode, has_explicit_title, title, target)


def candidates(target: str, node: pending_xref) -> Iterator[str]:
    """Yield the full names a name may stand for."""
    target = target.removesuffix("()").replace("typing.", "")
    yield target
    class_name = node.get("py:class")
    if class_name:
        yield f"{class_name}.{target}"
    public = _HOME.sub("", target)
    for package in PACKAGES:
        if class_name:
            yield f"{package}.{class_name}.{target}"
        yield f"{package}.{public}"


def say_whose(_app: Sphinx, tree: nodes.document) -> None:
    """Give a class its full name where it is named beside its own: two packages may have one of the same name."""
    for node in tree.findall(addnodes.pending_xref):
        target: str = node.get("reftarget", "")
        home: str = node.get("py:module") or ""
        if node.get("refdomain") != "py" or not target.isidentifier():
            continue
        while home:
            if home in PACKAGES and target in importlib.import_module(home).__all__:
                node["reftarget"] = f"{home}.{target}"
                break
            home = home.rpartition(".")[0]


def resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.TextElement) -> Element | None:
    """Find what a Python name refers to, when Sphinx's own rules do not."""
    if node.get("refdomain") != "py":
        return None
    target: str = node["reftarget"]
    domain: Any = env.get_domain("py")
    for name in candidates(target, node):
        found = domain.objects.get(name)
        if found is not None:
            return make_refnode(app.builder, node["refdoc"], found.docname, found.node_id, text, name)
        if name in TRIO_PAGES:
            uri = f"{TRIO}{TRIO_PAGES[name]}.html#{name}"
            return nodes.reference("", "", text, internal=False, refuri=uri, reftitle="in Trio's documentation")
    if node.get("may_be_code") or is_foreign(target) or is_private(target):
        return text
    return None


def is_foreign(target: str) -> bool:
    """Tell whether an annotation names something of Python's or Trio's, or a type variable, which have no page here."""
    head = target.partition("[")[0].lstrip("~.*")
    if not head.isidentifier() and "." not in head:
        return True  # a piece of a type, such as a literal
    first, _, rest = head.partition(".")
    if first in FOREIGN_MODULES and rest:
        return True
    return hasattr(builtins, head) or head in FOREIGN_NAMES


def is_private(target: str) -> bool:
    """Tell whether an annotation names a type of ours that is not given out: what it is, the text says in words.

    A public name is never excused: it has a page, or the reference has a gap.
    """
    name = target.partition("[")[0].rpartition(".")[2]
    if any(name in getattr(sys.modules.get(package), "__all__", ()) for package in PACKAGES):
        return False
    return name in UNSEEN or any(
        name in vars(module) for home, module in tuple(sys.modules.items()) if home.startswith(PACKAGES)
    )


def public_bases(_app: Sphinx, _name: str, _obj: object, _options: object, bases: list[Any]) -> None:
    """Name the bases of a class as they can be imported; in place of one that cannot be, name its own."""
    bases[:] = [shown for base in bases for shown in shown_bases(base)]


def shown_bases(base: Any) -> Iterator[Any]:
    """Yield what stands for one base."""
    if not isinstance(base, type) or not base.__module__.startswith(PACKAGES):
        if base is not object:
            yield base
    elif any(base in public_objects(package) for package in PACKAGES):
        yield f":py:class:`{public_name(base)}`"
    else:
        for beneath in base.__bases__:
            yield from shown_bases(beneath)


def hide_signature(
    _app: Sphinx, what: str, name: str, _obj: object, _options: object, arguments: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Show no constructor of what users never construct, and of a context manager no more than what ``as`` gives."""
    if returns is not None and returns.startswith(CONTEXT_MANAGERS):
        return arguments, None
    if what == "exception" or name.rpartition(".")[2] in GIVEN:
        return "", None
    return arguments, returns


_kept: dict[str, list[str]] = {}


def hide_from_napoleon(_app: Sphinx, what: str, name: str, _obj: object, _options: object, lines: list[str]) -> None:
    """Put an attribute's docstring aside: napoleon reads ``Idle: it may be checked out.`` as one of the type Idle."""
    if what in ("attribute", "data"):
        _kept[name] = lines[:]
        lines[:] = [name]


def show_again(_app: Sphinx, _what: str, name: str, _obj: object, _options: object, lines: list[str]) -> None:
    """Put an attribute's docstring back."""
    lines[:] = _kept.pop(name, lines)


def public_name(cls: type) -> str:
    """Return the name a public class is given out under."""
    package = next(package for package in PACKAGES if cls in public_objects(package))
    return f"{package}.{cls.__name__}"


def public_objects(package: str) -> Iterator[object]:
    """Yield what a package gives out."""
    module = importlib.import_module(package)
    for name in getattr(module, "__all__", ()):
        yield getattr(module, name)


def mark_context_managers(_app: Sphinx) -> None:
    """Let sphinxcontrib-trio show as context managers the functions that only say so in their annotation."""
    for package in PACKAGES:
        for value in public_objects(package):
            for function in vars(value).values() if isinstance(value, type) else [value]:
                mark_context_manager(function)


def mark_context_manager(function: Any) -> None:
    """Mark one function, if it is one."""
    if isinstance(function, types.FunctionType) and not hasattr(function, "__wrapped__"):
        returns = str(function.__annotations__.get("return", ""))
        if returns.startswith("AbstractAsyncContextManager"):
            function.__returns_acontextmanager__ = True  # type: ignore[attr-defined]  # what sphinxcontrib-trio reads
        elif returns.startswith("AbstractContextManager"):
            function.__returns_contextmanager__ = True  # type: ignore[attr-defined]  # likewise


def setup(app: Sphinx) -> dict[str, bool]:
    """Register everything."""
    app.add_role("name", NameRole())
    app.connect("builder-inited", mark_context_managers)
    app.connect("doctree-read", say_whose)
    app.connect("missing-reference", resolve)
    app.connect("autodoc-process-bases", public_bases)
    app.connect("autodoc-process-signature", hide_signature)
    # Around napoleon's own, which has the priority 500.
    app.connect("autodoc-process-docstring", hide_from_napoleon, priority=400)
    app.connect("autodoc-process-docstring", show_again, priority=600)
    return {"parallel_read_safe": True}
