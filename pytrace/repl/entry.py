"""What a person typed: a script, statements, or an expression to show."""

from __future__ import annotations

from pytrace.diagnostics import ScriptError, Source, Span
from pytrace.functions.base import REGISTRY
from pytrace.record import record
from pytrace.repl.compose import ComposedScript, Composer, compose
from pytrace.syntax import IncompleteError, ast, parse_entry

CHANGING = frozenset(("clear", "zero", "delete"))


@record
class Probes:
    """Probes to attach."""

    script: ast.Script


@record
class Definitions:
    """Macros, types, settings: something for the entries that follow."""

    script: ast.Script


@record
class Statements:
    """Something to do at once. `shown` is the span of an expression at the end whose value is to be printed."""

    source: Source
    shown: Span | None
    changing: bool


Entry = Probes | Definitions | Statements


def read(source: Source) -> Entry:
    """Raises `ScriptError`."""
    found = parse_entry(source)
    if isinstance(found, ast.Script):
        return Probes(found) if found.probes else Definitions(found)
    shown = None
    if found and isinstance(found[-1], ast.ExprStmt) and _has_value(found[-1].value):
        shown = found[-1].value.span
    return Statements(source, shown, any(map(_changes, found)))


def unfinished(text: str) -> bool:
    """Whether more lines are needed. An empty line at the end says that no more will come."""
    *before, line = text.split("\n")
    if not text.strip() or text.lstrip().startswith(":") or (before and not line.strip()):
        return False
    try:
        parse_entry(Source("", text))
    except IncompleteError:
        return True
    except ScriptError:
        pass
    return False


def _has_value(value: ast.Expr) -> bool:
    """Functions without a result and increments are there for what they do."""
    match value:
        case ast.Call(name=name) if name in REGISTRY:
            return "->" in REGISTRY[name].signature and name not in CHANGING
        case ast.Increment():
            return False
    return True


def _changes(node: object) -> bool:
    """Whether a statement leaves another map behind than it found."""
    match node:
        case ast.Assign(target=ast.Map() | ast.MapAccess() | ast.Field()):
            return True
        case ast.Increment(target=ast.Map() | ast.MapAccess()):
            return True
        case ast.Call(name=name) if name in CHANGING:
            return True
        case ast.Node():
            names: tuple[str, ...] = type(node).__match_args__
            return any(_changes(getattr(node, name)) for name in names)
        case tuple():
            return any(map(_changes, node))
    return False


def probes_text(known: list[ast.Script], script: ast.Script) -> ComposedScript:
    """The script with what was defined before it."""
    if not known:
        made = Composer()
        made.add(script.source, 0, len(script.source.text))
        return made.whole()
    return compose([*known, script]).whole()


def statements_text(known: list[ast.Script], entry: Statements) -> ComposedScript:
    """A script that does it as soon as it is loaded."""
    made, source = compose(known), entry.source
    made.put("begin {\n")
    if entry.shown is None:
        made.add(source, 0, len(source.text))
    else:
        made.add(source, 0, entry.shown.start)
        made.put("print(\n")
        made.add(source, entry.shown.start, entry.shown.end)
        made.put(");\n")
    made.put("}\n")
    return made.whole()
