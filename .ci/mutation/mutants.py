"""The mutants of a module: Cosmic Ray's operators, two more, and what is left out because it cannot matter.

Each mutant is the module's text with one place changed. Cosmic Ray has no operator that takes a statement away, yet
a missing statement is the very defect that tests of a supervisor have to notice; so there is one here, and another for
keyword arguments.
"""

from __future__ import annotations

import ast
import difflib
from collections import Counter
from typing import TYPE_CHECKING, Final

import attrs
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.operators.provider import OperatorProvider
from parso.python.tree import Name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from parso.tree import NodeOrLeaf

_ARITHMETIC: Final = ("Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow")
_BITS: Final = ("BitOr", "BitAnd", "BitXor")
_ORDER: Final = ("Eq", "NotEq", "Lt", "LtE", "Gt", "GtE")

CHOSEN: Final = frozenset(
    [
        *("AddNot", "ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue"),
        *("ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_USub_UAdd"),
        *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ZeroIterationForLoop"),
        *("NumberReplacer", "ExceptionReplacer", "RemoveDecorator"),
        # Left out: arithmetic replaced by bit operators and the reverse. On these operands they raise TypeError, so any
        # test that gets there kills them, and counting them would only make the figure look better.
        *(f"ReplaceBinaryOperator_{old}_{new}" for old in _ARITHMETIC for new in _ARITHMETIC if old != new),
        *(f"ReplaceBinaryOperator_{old}_{new}" for old in _BITS for new in _BITS if old != new),
        *(f"ReplaceComparisonOperator_{old}_{new}" for old in _ORDER for new in _ORDER if old != new),
        # Left out: `is` replaced by anything but `is not`. What is compared by `is` here is None, an enum's member or
        # an object that defines no `==` of its own, for which `==` is the same thing, and ordering raises TypeError.
        *("ReplaceComparisonOperator_Is_IsNot", "ReplaceComparisonOperator_IsNot_Is"),
        *("ReplaceComparisonOperator_In_NotIn", "ReplaceComparisonOperator_NotIn_In"),
    ]
)
"""The names of those operators of Cosmic Ray that are used."""

_STATEMENTS: Final = frozenset(("atom_expr", "expr_stmt", "return_stmt", "raise_stmt", "del_stmt", "keyword"))


class RemoveStatement(Operator):
    """Replaces a simple statement in a function by ``pass``: a call, an assignment, a return, a raise, a break."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        """Yield the statement, unless it has no effect or is an assertion, which only tells type checkers something."""
        if node.type != "simple_stmt" or node.search_ancestor("funcdef") is None:
            return
        statement = node.children[0]
        if statement.type not in _STATEMENTS or statement.get_code(include_prefix=False) == "pass":
            return
        if statement.type == "expr_stmt" and "=" not in statement.get_code():
            return  # an annotation alone
        yield statement.start_pos, statement.end_pos

    def mutate(self, node: NodeOrLeaf, index: int) -> NodeOrLeaf:
        """Put ``pass`` in its place."""
        assert index == 0  # noqa: S101  # one position a node
        first = node.get_first_leaf()
        node.children[0] = Name("pass", first.start_pos, first.prefix)
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Show what it does."""
        return (Example("def f():\n    g()\n    h()\n", "def f():\n    pass\n    h()\n"),)


class RemoveKeywordArgument(Operator):
    """Drops one keyword argument of a call, which leaves it to its default."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        """Yield each keyword argument."""
        for child in self._keywords(node):
            yield child.start_pos, child.end_pos

    def mutate(self, node: NodeOrLeaf, index: int) -> NodeOrLeaf:
        """Take it away, with one comma beside it."""
        place = node.children.index(self._keywords(node)[index])
        if node.type == "arglist":
            comma = place + 1 if place + 1 < len(node.children) else place - 1
            del node.children[min(place, comma) : max(place, comma) + 1]
        else:
            del node.children[place]
        return node

    @staticmethod
    def _keywords(node: NodeOrLeaf) -> list[NodeOrLeaf]:
        if node.type not in ("arglist", "trailer", "decorator"):
            return []
        return [child for child in node.children if child.type == "argument" and child.children[1] == "="]

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Show what it does."""
        return (Example("f(a, b=1)", "f(a)"), Example("f(a=1, b=2)", "f( b=2)"), Example("f(b=1)", "f()"))


@attrs.frozen
class Mutant:
    """A module's text with one place changed."""

    file: str
    inside: str
    """The function or class of the place, with those around it; empty for the module itself."""
    line: int
    operator: str
    old: str
    """The first changed line, without its indentation."""
    new: str
    """What stands there instead; empty if the line is gone."""
    nth: int
    """Which of those that look the same in all of the above, from 1."""
    text: str = attrs.field(repr=False)

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """What tells it apart, whatever lines are added above it."""
        return self.file, self.inside, self.old, self.new, self.nth

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.inside}: {self.old!r} -> {self.new!r}"


def operators() -> dict[str, Operator]:
    """Return the operators to apply, by name."""
    provider = OperatorProvider()
    known = {name: provider[name] for name in provider}
    chosen: dict[str, Operator] = {name: known[name]() for name in sorted(CHOSEN & set(known))}
    return {**chosen, "RemoveStatement": RemoveStatement(), "RemoveKeywordArgument": RemoveKeywordArgument()}


class _Meaning(ast.NodeTransformer):
    """Takes away what never runs: annotations, which ``from __future__ import annotations`` leaves unevaluated, what
    only type checkers read, and docstrings.
    """

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_arguments(self, node: ast.arguments) -> ast.arguments:
        # The bare star too: taking it away, or making it a slash, only allows calls that nobody makes.
        self.generic_visit(node)
        places = node.posonlyargs + node.args
        missing: list[ast.expr | None] = [None] * (len(places) - len(node.defaults))
        node.kw_defaults = [*missing, *node.defaults, *node.kw_defaults]
        node.kwonlyargs = [*places, *node.kwonlyargs]
        node.posonlyargs, node.args, node.defaults = [], [], []
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AnnAssign:
        node.annotation = ast.Constant(value=None)
        self.generic_visit(node)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.returns = None
        self.generic_visit(node)
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        node.returns = None
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        if isinstance(node.func, ast.Name) and node.func.id == "TypeVar":
            node.args, node.keywords = [], []
        self.generic_visit(node)
        return node

    def visit_If(self, node: ast.If) -> ast.AST | None:
        if "TYPE_CHECKING" in ast.dump(node.test):
            return None
        self.generic_visit(node)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant):
            return None
        self.generic_visit(node)
        return node


def _meaning(text: str) -> str | None:
    try:
        return ast.dump(_Meaning().visit(ast.parse(text)))
    except SyntaxError:
        return None


def _place(text: str, line: int) -> str:
    found: list[tuple[int, str]] = []

    def search(node: ast.AST, names: tuple[str, ...]) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                first = min([child.lineno, *(decorator.lineno for decorator in child.decorator_list)])
                inner = (*names, child.name)
                if first <= line <= (child.end_lineno or first):
                    found.append((len(inner), ".".join(inner)))
                search(child, inner)

    search(ast.parse(text), ())
    return max(found, default=(0, ""))[1]


def mutants_of(file: str, text: str) -> Iterator[Mutant]:
    """Yield the mutants of a module, each text once, without those that mean the same as the module itself."""
    seen = {_meaning(text)}
    alike: Counter[tuple[str, str, str]] = Counter()
    nodes = list(ast_nodes(get_ast(text)))
    for name, operator in operators().items():
        count = sum(1 for node in nodes for _ in operator.mutation_positions(node))
        for occurrence in range(count):
            mutated = mutate_code(text, operator, occurrence)
            meaning = mutated and _meaning(mutated)
            if not meaning or meaning in seen:  # None: no Python any more, which no test need tell us
                continue
            seen.add(meaning)
            before, after = text.splitlines(), mutated.splitlines()
            changes = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
            _, start, stop, into, end = next(change for change in changes if change[0] != "equal")
            # A decorator takes the comments and empty lines before it along.
            told = (number for number in range(start, stop) if before[number].strip()[:1] not in ("", "#"))
            line = next(told, start)
            new = next((other.strip() for other in after[into:end] if other.strip()), "")
            place, old = _place(text, line + 1), before[line].strip()
            alike[place, old, new] += 1
            yield Mutant(file, place, line + 1, name, old, new, alike[place, old, new], mutated)
