"""Makes mutants of a module: each is the module with one small thing wrong in it.

What is changed: comparisons, boolean and arithmetic operators, conditions, constants, table entries, keyword
arguments, defaults, returned and yielded values, statements that are left out, and one letter less in each
regular expression. What is not: annotations and imports for them, docstrings, and words for people (text with
a blank in it).
"""

from __future__ import annotations

import ast
import copy
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from types import CodeType
from typing import Any, AnyStr, NamedTuple

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_TWINS = (
    *(("any", "all"), ("any_of", "all_of"), ("min", "max"), ("bisect_left", "bisect_right"), ("lt", "le")),
    *(("startswith", "endswith"), ("partition", "rpartition"), ("removeprefix", "removesuffix")),
    ("gt", "ge"),
)
_NAMES = dict(
    (*_TWINS, *(pair[::-1] for pair in _TWINS), ("eq", "ne"), ("fullmatch", "match"), ("search", "match"))
)
_TYPES = {"Literal", "TypeAlias", "tuple", "dict", "Callable", "Mapping"}  # subscripted: a type, no value
# Keyword arguments on which no decision rests. mypy refuses every assignment to a field of a frozen class.
_FORM = {"frozen", "slots", "strict", "repr"}


class Mutant(NamedTuple):
    """One change of a module. `compiled` returns the code of the module with the change in it.

    name: `scope | operator | expression | before -> after`. The scope is a function with its class, or the
    name that a module assigns; the module is no part of it. The expression is printed anew from the syntax
    tree. Neither a renamed module nor another layout of the source therefore changes a name. `#2` at the end
    tells equal changes of one function apart.

    statement: the lines of the changed statement; of a compound one, those of its head. function: the lines
    of the outermost function whose body holds the change, or None where the change is outside of every body:
    in a table, a default value, a decorator or a class.
    """

    name: str
    compiled: Callable[[], CodeType]
    statement: range
    function: range | None


class _Around(NamedTuple):
    """What holds a node. scope: the function with its class, or the name that the module assigns."""

    scope: str = ""
    pattern: bool = False  # inside of what is given to `re.compile`
    statement: range = range(0)
    function: range | None = None


class _Place(NamedTuple):
    """Where a node hangs, and what holds it."""

    node: Any
    parent: Any
    field: str
    at: int | None  # in a list
    around: _Around


_LONGEST = 100  # characters of an expression, and of each side of the arrow, in a name
_SMALL = (ast.Constant, ast.Name, ast.Attribute, ast.UnaryOp, ast.Slice)  # named with what is around them
_TOO_LARGE = (ast.arguments, ast.Dict, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)


def mutants(source: str, path: str = "module.py") -> Iterator[Mutant]:
    """Yield every mutant of a module. Each is compiled when it is asked for."""
    tree = ast.parse(source)
    seen: Counter[str] = Counter()
    for place in list(_places(tree, _Around())):
        for operator, changed in _variants(place):
            was, now = _differing(ast.unparse(place.node), _text(changed))
            name = f"{place.around.scope or '-'} | {operator} | {_expression(place)} | {was} -> {now}"
            seen[name] += 1
            yield Mutant(
                name if seen[name] == 1 else f"{name} #{seen[name]}",
                partial(_compiled, tree, place, ast.copy_location(copy.copy(changed), place.node), path),
                place.around.statement,
                place.around.function,
            )


def _compiled(tree: ast.Module, place: _Place, changed: Any, path: str) -> CodeType:
    _put(place, changed)
    code = compile(ast.fix_missing_locations(tree), path, "exec")
    _put(place, place.node)
    return code


def _text(node: ast.AST) -> str:
    return "(nothing)" if isinstance(node, ast.Pass) else ast.unparse(node)


def _expression(place: _Place) -> str:
    """Return the expression that names a place: the changed one, or the one around it where that is small."""
    outer = isinstance(place.node, _SMALL) and not isinstance(place.parent, _TOO_LARGE)
    node = place.parent if outer else place.node
    body = getattr(node, "body", None)
    text = ast.unparse(node).splitlines()[0] if isinstance(body, list) else ast.unparse(node)
    return _short(" ".join(text.split()))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}\u2026"


def _differing(was: str, now: str) -> tuple[str, str]:
    """Cut what both texts begin and end with, up to a blank, and make what is left short."""
    old, new = was.split(), now.split()
    while old and new and old[0] == new[0]:
        del old[0], new[0]
    while old and new and old[-1] == new[-1]:
        del old[-1], new[-1]
    return _short(" ".join(old)) or "(nothing)", _short(" ".join(new)) or "(nothing)"


def _put(place: _Place, node: ast.AST) -> None:
    if place.at is None:
        setattr(place.parent, place.field, node)
    else:
        getattr(place.parent, place.field)[place.at] = node


def _places(parent: ast.AST, around: _Around) -> Iterator[_Place]:
    """Yield every node that may be changed, the outermost first."""
    if isinstance(parent, ast.Call) and ast.unparse(parent.func) == "re.compile":
        around = around._replace(pattern=True)
    for field, value in ast.iter_fields(parent):
        if field in ("annotation", "returns", "op", "ops", "ctx"):
            continue
        for i, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(node, ast.AST) and not _spared(node, parent):
                inner = _inner(node, parent, field, around)
                if hasattr(node, "lineno"):
                    yield _Place(node, parent, field, i, inner._replace(scope=around.scope))
                yield from _places(node, inner)


def _inner(node: ast.AST, parent: ast.AST, field: str, around: _Around) -> _Around:
    """Return what holds the parts of a node."""
    scope, _, statement, function = around
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            scope = f"{scope}.{name}".lstrip(".")
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)) if not scope:
            scope = name
    if isinstance(node, (ast.stmt, ast.excepthandler, ast.match_case)):
        statement = _head(node)
    if function is None and field == "body" and isinstance(parent, (ast.FunctionDef, ast.AsyncFunctionDef)):
        function = range(parent.lineno, (parent.end_lineno or parent.lineno) + 1)
    return around._replace(scope=scope, statement=statement, function=function)


def _head(node: Any) -> range:
    """Return the lines of a statement, or those of its head where it holds others."""
    first = node.pattern.lineno if isinstance(node, ast.match_case) else node.lineno
    held = getattr(node, "body", None) or getattr(node, "cases", None)
    if not held:
        return range(first, node.end_lineno + 1)
    below = held[0].pattern.lineno if isinstance(held[0], ast.match_case) else held[0].lineno
    return range(first, max(first + 1, below))


def _spared(node: ast.AST, parent: ast.AST) -> bool:
    call = ast.unparse(parent.func) if isinstance(parent, ast.Call) else ""
    match node:
        case ast.Expr(value=ast.Constant(value=str())) | ast.Import() | ast.ImportFrom():  # a docstring
            spared = True
        case ast.AnnAssign(annotation=ast.Name(id="TypeAlias")) | ast.Call(func=ast.Name(id="TypeVar")):
            spared = True
        case ast.keyword(arg=name):
            spared = name in _FORM
        case ast.Subscript(value=ast.Name(id=name)):  # of a base class, too: `LRUCache[bytes, Entry]`
            spared = name in _TYPES or isinstance(parent, ast.ClassDef)
        case ast.Constant(value=None):
            spared = isinstance(parent, ast.Compare)  # `is` and `is not` are changed instead
        case ast.Constant(value=str()):
            spared = call == "cast"
        case _:
            spared = False
    return spared


def _variants(place: _Place) -> Iterator[tuple[str, ast.AST]]:
    for operator, kind, make in _OPERATORS:
        if isinstance(place.node, kind):
            yield from ((operator, changed) for changed in make(place))


def _changed(node: Any, **fields: Any) -> Any:
    twin = copy.copy(node)
    for field, value in fields.items():
        setattr(twin, field, value)
    return twin


def _less(node: Any, *fields: str) -> Iterator[Any]:
    """Yield a node once without each item of some lists that belong together."""
    for i in range(len(getattr(node, fields[0]))):
        kept = {field: [*getattr(node, field)[:i], *getattr(node, field)[i + 1 :]] for field in fields}
        yield _changed(node, **kept)


def _of_compare(place: _Place) -> Iterator[ast.AST]:
    ops = place.node.ops
    for i, op in enumerate(ops):
        for other in _COMPARISONS[type(op)]:
            yield _changed(place.node, ops=[*ops[:i], other(), *ops[i + 1 :]])


def _of_bool_op(place: _Place) -> Iterator[ast.AST]:
    yield _changed(place.node, op=ast.And() if isinstance(place.node.op, ast.Or) else ast.Or())
    for shorter in _less(place.node, "values"):
        yield shorter if len(shorter.values) > 1 else shorter.values[0]


def _of_constant(place: _Place) -> Iterator[ast.AST]:
    node = place.node
    others: tuple[object, ...] = ()
    match node.value:
        case True | False:
            others = (not node.value,)
        case None:
            others = (True, False)
        case int() | float():
            others = (node.value + 1, node.value - 1)
        case str() as text if place.around.pattern:
            others = tuple(_shorter(text, whole=isinstance(place.parent, ast.Call)))
        case bytes() as text if place.around.pattern:
            others = tuple(_shorter(text, whole=isinstance(place.parent, ast.Call)))
        case str() as text if " " not in text:
            others = (text + "X", "") if text else ("X",)
        case bytes() as text if b" " not in text:
            others = (text + b"X", b"") if text else (b"X",)
    for other in others:
        yield _changed(node, value=other)


def _shorter(text: AnyStr, *, whole: bool) -> list[AnyStr]:
    """Return a pattern without each of its letters. whole: it is a pattern, and no piece of one."""
    found = sorted({text[:i] + text[i + 1 :] for i in range(len(text))} - {text})
    return [one for one in found if not whole or _compiles(one)]


def _compiles(pattern: str | bytes) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(pattern)
    except (re.error, FutureWarning):
        return False
    return True


def _of_call(place: _Place) -> Iterator[ast.AST]:
    node = place.node
    form = len([each for each in node.keywords if each.arg in _FORM])
    ordered = sorted(node.keywords, key=lambda each: each.arg in _FORM)
    yield from islice(_less(_changed(node, keywords=ordered), "keywords"), len(ordered) - form)
    if isinstance(node.func, ast.Attribute):
        if not node.args and not node.keywords:
            yield node.func.value  # text.lower() -> text
        elif node.func.attr == "get" and len(node.args) > 1:
            yield _changed(node, args=node.args[:1])


def _of_if(place: _Place) -> Iterator[ast.AST]:
    if ast.unparse(place.node.test) == "TYPE_CHECKING":
        return  # only annotations need what is imported there
    for truth in (True, False):
        if truth and isinstance(place.node, ast.While):
            continue  # only runs out of time
        yield _changed(place.node, test=ast.copy_location(ast.Constant(truth), place.node.test))


def _of_comprehension(place: _Place) -> Iterator[ast.AST]:
    for i, generator in enumerate(place.node.generators):
        for fewer in _less(generator, "ifs"):
            others = place.node.generators
            yield _changed(place.node, generators=[*others[:i], fewer, *others[i + 1 :]])


def _of_return(place: _Place) -> Iterator[ast.AST]:
    if place.node.value is not None and not isinstance(place.node.value, ast.Constant):
        yield _changed(place.node, value=ast.copy_location(ast.Constant(None), place.node))


def _of_assignment(place: _Place) -> Iterator[ast.AST]:
    targets = [place.node.target] if isinstance(place.node, ast.AugAssign) else place.node.targets
    if isinstance(place.node, ast.AugAssign) or not all(isinstance(each, ast.Name) for each in targets):
        yield ast.Pass()
    if isinstance(place.node, ast.AugAssign) and type(place.node.op) in _ARITHMETIC:
        yield _changed(place.node, op=_ARITHMETIC[type(place.node.op)]())


def _of_sequence(place: _Place) -> Iterator[ast.AST]:
    if not isinstance(getattr(place.node, "ctx", None), ast.Store) and len(place.node.elts) > 1:
        yield from _less(place.node, "elts")


def _of_binary(place: _Place) -> Iterator[ast.AST]:
    if type(place.node.op) in _ARITHMETIC:
        yield _changed(place.node, op=_ARITHMETIC[type(place.node.op)]())


def _of_name(place: _Place) -> Iterator[ast.AST]:
    field = "attr" if isinstance(place.node, ast.Attribute) else "id"
    if getattr(place.node, field) in _NAMES:
        yield _changed(place.node, **{field: _NAMES[getattr(place.node, field)]})


def _of_slice(place: _Place) -> Iterator[ast.AST]:
    for field in ("lower", "upper"):
        if getattr(place.node, field) is not None:
            yield _changed(place.node, **{field: None})


def _nothing(_: _Place) -> Iterator[ast.AST]:
    yield ast.Pass()


_OPERATORS: tuple[tuple[str, Any, Callable[[_Place], Iterator[ast.AST]]], ...] = (
    ("comparison", ast.Compare, _of_compare),
    ("logic", ast.BoolOp, _of_bool_op),
    ("arithmetic", ast.BinOp, _of_binary),
    ("unary", ast.UnaryOp, lambda place: iter([place.node.operand])),
    ("constant", ast.Constant, _of_constant),
    ("name", (ast.Name, ast.Attribute), _of_name),
    ("call", ast.Call, _of_call),
    ("branch", (ast.If, ast.IfExp, ast.While), _of_if),
    ("filter", (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp), _of_comprehension),
    ("return", ast.Return, _of_return),
    ("element", (ast.Tuple, ast.List, ast.Set), _of_sequence),
    ("entry", ast.Dict, lambda place: _less(place.node, "keys", "values")),
    ("slice", ast.Slice, _of_slice),
    ("assignment", (ast.Assign, ast.AugAssign), _of_assignment),
    ("statement", (ast.Expr, ast.Raise, ast.Continue, ast.Break), _nothing),
)
