"""Types every expression: AST in, `typed` tree out.

Reports what is wrong through `diagnostics` and goes on with `error(span)`, a value of unknown type that nothing else
complains about, so that one mistake is one message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from pytrace import types as t
from pytrace.diagnostics import Diagnostics, Span
from pytrace.functions import AGGREGATIONS, REGISTRY
from pytrace.semantics import members, operators, typed
from pytrace.semantics.casts import cast
from pytrace.semantics.hints import did_you_mean
from pytrace.semantics.prefixes import prefix
from pytrace.semantics.scopes import PREFIXES, decided, in_session
from pytrace.semantics.typenames import TypeResolver
from pytrace.semantics.widen import (
    KEY_LIMIT,
    convert,
    join_expr,
    literal_type,
    shortened,
)
from pytrace.syntax import ast

if TYPE_CHECKING:
    from pytrace.kernel import Kernel
    from pytrace.options import Options
    from pytrace.probes.base import Context, Point
    from pytrace.semantics.config import Config
    from pytrace.semantics.scopes import Symbols


class ExpressionChecker:
    """Checks expressions of one probe (or subprogram) in one context. `symbols` are the variables and maps."""

    def __init__(
        self,
        kernel: Kernel,
        options: Options,
        config: Config,
        names: TypeResolver,
        symbols: Symbols,
        diagnostics: Diagnostics,
        context: Context | None,
        points: tuple[Point, ...],
        ordinal: int,
    ) -> None:
        self.kernel = kernel
        self.options = options
        self.config = config
        self.names = names
        self.symbols = symbols
        self.diagnostics = diagnostics
        self.context = context
        self.points = points
        self.ordinal = ordinal
        self.uses_probe = False
        self.check_body: Callable[[Iterable[ast.Stmt]], tuple[typed.Stmt, ...]] = lambda body: ()
        names.evaluate = self.expr

    # --- entry points -----------------------------------------------------------------------------

    def expr(self, node: ast.Expr | ast.TypeExpr) -> typed.Expr:
        """The typed form of any expression."""
        method = getattr(self, "_" + type(node).__name__, None)
        if method is None:
            return self.error(node.span, "a type is not a value", "use it in a cast, sizeof() or typeof()")
        result: typed.Expr = method(node)
        return result

    def error(self, span: Span, message: str = "", hint: str | None = None) -> typed.Expr:
        """Reports (unless `message` is empty: it was reported already) and gives a value to go on with."""
        if message:
            self.diagnostics.error(span, message, hint)
        return typed.Const(0, type=t.UNKNOWN, span=span)

    def word(self, node: ast.Expr, what: str = "an integer") -> typed.Expr:
        """An expression that must be an integer, bool, enum or pointer."""
        value = self.expr(node)
        if isinstance(value.type, t.Unknown) or t.is_word(value.type):
            return value
        return self.error(node.span, f"expected {what}, found a value of type '{value.type}'")

    def integer(self, node: ast.Expr, what: str = "an integer") -> typed.Expr:
        value = self.expr(node)
        if isinstance(value.type, t.Unknown) or t.is_integral(value.type):
            return value
        return self.error(node.span, f"expected {what}, found a value of type '{value.type}'")

    def constant(self, node: ast.Expr | ast.TypeExpr, what: str) -> int | None:
        """The value of an integer that must be known at compile time, or None after a diagnostic."""
        value = self.expr(node)
        if isinstance(value, typed.Const) and t.is_integral(value.type):
            return value.value
        if not isinstance(value.type, t.Unknown):
            self.error(node.span, f"{what} must be a literal integer")
        return None

    def string_literal(self, node: ast.Expr | ast.TypeExpr, what: str) -> str | None:
        if isinstance(node, ast.String):  # of any length: it stays in user space
            return node.value
        value = self.expr(node)
        if isinstance(value, typed.Str):
            return value.value.decode("utf-8", "surrogateescape")
        if not isinstance(value.type, t.Unknown):
            self.error(node.span, f"{what} must be a string literal")
        return None

    def condition(self, node: ast.Expr) -> typed.Expr:
        """An expression used as true or false."""
        return self.word(node, "a condition (integer, bool or pointer)")

    def kind_of_probe(self) -> str:
        """The word that the probe's name begins with; empty in a function."""
        return self.points[0].name.split(":")[0] if self.points else ""

    def where(self) -> str:
        """What this is, for messages: `kprobe probes`, or `functions`."""
        return f"{self.kind_of_probe()} probes" if self.points else "functions"

    # --- literals and names --------------------------------------------------------------------------

    def _Integer(self, n: ast.Integer) -> typed.Expr:
        if n.value >= 1 << 64:
            return self.error(n.span, f"'{n.span.text}' does not fit in 64 bits")
        return typed.Const(n.value, literal=True, type=literal_type(n.value), span=n.span)

    def _String(self, n: ast.String) -> typed.Expr:
        value = n.value.encode("utf-8", "surrogateescape")
        if len(value) >= self.config.max_strlen:
            return self.error(
                n.span,
                f"the string has {len(value)} bytes, and its end; max_strlen is {self.config.max_strlen}",
                "raise it: config = { max_strlen = N }",
            )
        return typed.Str(value, type=t.String(len(value) + 1), span=n.span)

    def _Boolean(self, n: ast.Boolean) -> typed.Expr:
        return typed.Const(int(n.value), type=t.BOOL, span=n.span)

    def _Identifier(self, n: ast.Identifier) -> typed.Expr:
        entry = REGISTRY.get(n.name) or REGISTRY.get(numbered(n.name))
        if entry and entry.bare:
            return self._call(entry.name, ast.Call(n.name, (), span=n.span))
        constant = self.names.constant(n.name)
        if isinstance(constant, str):
            return self._String(ast.String(constant, span=n.span))
        if constant is not None:
            value, kind = constant
            literal = isinstance(kind, t.Unknown)
            return typed.Const(value, literal=literal, type=literal_type(value) if literal else kind, span=n.span)
        if entry:
            return self.error(n.span, f"'{n.name}' is a function", f"call it: {entry.signature}")
        if self.names.names.broken or n.name in self.names.macros:
            return self.error(n.span)  # what was wrong with what may have declared it was reported
        known = [f.name for f in REGISTRY.values() if f.bare]
        hint = did_you_mean(n.name, [*known, "true", "false"]) or self.names.missing()
        return self.error(n.span, f"unknown identifier '{n.name}'", hint)

    def _Variable(self, n: ast.Variable) -> typed.Expr:
        symbol = self.symbols.variable(n.name)
        if symbol is None:
            hint = did_you_mean(n.name, self.symbols.visible())
            return self.error(
                n.span, f"undefined or undeclared variable: ${n.name}", hint and hint.replace("'", "'$", 1)
            )
        return typed.Var(symbol, type=symbol.type, span=n.span)

    def _Map(self, n: ast.Map) -> typed.Expr:
        symbol = self.symbols.map(n)
        if not self.symbols.use_keyed(symbol, False, n.span, self.diagnostics):
            return self.error(n.span)
        return self._read(symbol, None, n.span)

    def _read(self, symbol: typed.MapSymbol, key: typed.Expr | None, span: Span) -> typed.Expr:
        kind = self.read_type(symbol, span)
        guessed = self.symbols.guessed(symbol, span) if isinstance(kind, t.Unknown) else None
        return guessed or typed.MapGet(symbol, key, type=kind, span=span)

    def _MapAccess(self, n: ast.MapAccess) -> typed.Expr:
        symbol = self.symbols.map(n.map)
        key = self.map_key(symbol, n.key, n.span)
        if key is None:
            return self.error(n.span)
        return self._read(symbol, key, n.span)

    def read_type(self, symbol: typed.MapSymbol, span: Span) -> t.Type:
        """What a map's value is when an expression reads it: aggregations merge into integers."""
        value = symbol.value
        match value:
            case t.Count():
                return t.UINT64
            case t.Sum() | t.Min() | t.Max() | t.Avg():
                return t.Int(64, value.signed)
        return value

    def map_key(self, symbol: typed.MapSymbol, node: ast.Expr, span: Span) -> typed.Expr | None:
        """A key as the map's key type, which it may widen; None after a diagnostic."""
        if not self.symbols.use_keyed(symbol, True, span, self.diagnostics):
            return None
        if symbol.kind == PREFIXES:
            return prefix(self, symbol, node)
        key = self.materialize(self.expr(node))
        if isinstance(key.type, t.Unknown):
            return None
        if isinstance(key.type, t.Void | t.Aggregation) or key.type == t.Tuple(()):
            self.error(node.span, f"a value of type '{key.type}' cannot be a map key")
            return None
        old = symbol.key or t.UNKNOWN
        joined = self.symbols.settle(self, symbol, old, key)
        if joined is None:
            self.error(
                node.span,
                f"Argument mismatch for @{symbol.name}: trying to access with a key of type '{key.type}' "
                f"when the map has keys of type '{old}'{in_session(symbol)}",
                decided(symbol),
            )
            return None
        if joined.size > KEY_LIMIT and symbol.known is None and not self.kernel.features.has("wide_keys"):
            joined = shortened(joined, KEY_LIMIT)
            self.diagnostics.warning(
                node.span,
                f"this kernel has map keys of at most {KEY_LIMIT} bytes: strings in the keys of @{symbol.name} are cut",
                f"they are of type '{joined}' now; a smaller max_strlen does the same",
            )
        if joined != symbol.key:
            symbol.key = joined
            self.symbols.learnt.changed = True
        self.warn_of_cast(key, joined)
        return convert(key, joined)

    def materialize(self, value: typed.Expr) -> typed.Expr:
        """What a value is when it is kept: traced memory is read, `char[]` is a string, a reference is its value."""
        if isinstance(value, typed.MapRef):
            return typed.MapGet(value.map, None, type=self.read_type(value.map, value.span), span=value.span)
        return value

    # --- operators ----------------------------------------------------------------------------------

    def _Unary(self, n: ast.Unary) -> typed.Expr:
        return operators.unary(self, n)

    def _Binary(self, n: ast.Binary) -> typed.Expr:
        return operators.binary_node(self, n)

    def binary(self, op: str, left: typed.Expr, right: typed.Expr, span: Span) -> typed.Expr:
        """`left op right` for operands that are typed already (compound assignments come here too)."""
        return operators.binary(self, op, left, right, span)

    def warn_of_cast(self, value: typed.Expr, to: t.Type) -> None:
        """Warns where an integer becomes one that may not have room for it, and nobody wrote a cast."""
        operators.warn_of_cast(self, value, to)

    def _Ternary(self, n: ast.Ternary) -> typed.Expr:
        return operators.ternary(self, n)

    def _Increment(self, n: ast.Increment) -> typed.Expr:
        return operators.increment(self, n)

    # --- structure -----------------------------------------------------------------------------------

    def _Tuple(self, n: ast.Tuple) -> typed.Expr:
        return self._aggregate(n.span, [self.materialize(self.expr(e)) for e in n.elements], None)

    def _Record(self, n: ast.Record) -> typed.Expr:
        return self._aggregate(n.span, [self.materialize(self.expr(e)) for _, e in n.fields], [f for f, _ in n.fields])

    def _aggregate(self, span: Span, parts: list[typed.Expr], names: list[str] | None) -> typed.Expr:
        for part in parts:
            if isinstance(part.type, t.Unknown):
                return self.error(span)
            if isinstance(part.type, t.Void | t.Aggregation):
                return self.error(part.span, f"a value of type '{part.type}' cannot be part of a tuple")
        kind: t.Type = t.Tuple(tuple(p.type for p in parts))
        if names is not None:
            if len(set(names)) < len(names):
                return self.error(span, "a record cannot have two fields of the same name")
            kind = t.Record(tuple(zip(names, (p.type for p in parts), strict=True)))
        return typed.TupleExpr(tuple(parts), type=kind, span=span)

    def _Field(self, n: ast.Field) -> typed.Expr:
        return members.field(self, n)

    def _Index(self, n: ast.Index) -> typed.Expr:
        return members.index(self, n)

    def _Cast(self, n: ast.Cast) -> typed.Expr:
        return cast(self, n)

    def _Sizeof(self, n: ast.Sizeof) -> typed.Expr:
        kind = self.names.type_of(n.of)
        if kind is None:
            return self.error(n.span)
        kind = members.complete(self, kind)
        return typed.Const(kind.size, literal=True, type=t.UINT64, span=n.span)

    def _Offsetof(self, n: ast.Offsetof) -> typed.Expr:
        return self.offsetof(n.of, n.path, n.span)

    def offsetof(self, of: ast.Expr | ast.TypeExpr, path: Iterable[str], span: Span) -> typed.Expr:
        """How many bytes into a type the member stands that a path of names leads to."""
        kind, offset = self.names.type_of(of), 0
        for name in path:
            if kind is None:
                return self.error(span)
            kind = members.complete(self, kind)
            found = kind.field(name) if isinstance(kind, t.Struct) else None
            if found is None:
                known = kind.field_names() if isinstance(kind, t.Struct) else ()
                return self.error(span, f"'{kind}' has no field named '{name}'", did_you_mean(name, known))
            kind, offset = found.type, offset + found.offset
        return typed.Const(offset, literal=True, type=t.UINT64, span=span)

    def _Typeinfo(self, n: ast.Typeinfo) -> typed.Expr:
        if self.config.unstable_typeinfo == "error":
            return self.error(
                n.span, "typeinfo is not enabled by default", "enable it: config = { unstable_typeinfo=enable }"
            )
        kind = self.names.type_of(n.of)
        if kind is None:
            return self.error(n.span)
        parts = [
            ("btf_id", typed.Const(0, type=t.UINT64, span=n.span)),
            ("base_type", self._String(ast.String(base_name(kind), span=n.span))),
            ("full_type", self._String(ast.String(str(kind), span=n.span))),
        ]
        return self._aggregate(n.span, [e for _, e in parts], [name for name, _ in parts])

    def _BlockExpr(self, n: ast.BlockExpr) -> typed.Expr:
        with self.symbols.scope():
            body = self.check_body(n.body)
            value = self.materialize(self.expr(n.value))
        return typed.BlockExpr(body, value, type=value.type, span=n.span)

    def _Comptime(self, n: ast.Comptime) -> typed.Expr:
        value = self.expr(n.operand)
        if isinstance(value, typed.Const | typed.Str) or isinstance(value.type, t.Unknown):
            return value
        return self.error(n.span, "this cannot be evaluated at compile time")

    def _Positional(self, n: ast.Positional) -> typed.Expr:
        return self.error(n.span, f"${n.index} cannot be used here")

    def _PositionalCount(self, n: ast.PositionalCount) -> typed.Expr:
        return self.error(n.span, "$# cannot be used here")

    # --- calls ----------------------------------------------------------------------------------------

    def _Call(self, n: ast.Call) -> typed.Expr:
        return self._call(n.name, n)

    def _call(self, name: str, n: ast.Call) -> typed.Expr:
        subprogram = self.symbols.subprograms.get(name)
        if subprogram is not None:
            return self._subprogram_call(subprogram, n)
        entry = REGISTRY.get(name) or REGISTRY.get(numbered(name))
        if entry is None:
            macros = self.names.macros
            if name in macros or (n.bang and macros):
                return self.error(n.span)  # it does not fit the macro, or there is none, which was reported
            kind = "macro" if n.bang else "function"
            known = [*REGISTRY, *self.symbols.subprograms, *macros]
            hint = did_you_mean(name, known)
            if self.names.names.takes_arguments(name):
                hint = "a #define with parameters is for C declarations: write macro name(a) { … }"
            return self.error(n.span, f"Unknown {kind}: '{name}'", hint)
        if name in AGGREGATIONS:
            return self.error(n.span, f"{name}() must be assigned directly to a map", f"write: @ = {n.span.text};")
        if entry.unsafe and not self.options.unsafe:
            return self.error(n.span, f"{name}() is an unsafe function", "run with --unsafe to allow it")
        return entry.check(self, n)

    def _subprogram_call(self, symbol: typed.SubprogramSymbol, n: ast.Call) -> typed.Expr:
        if len(n.args) != len(symbol.params):
            return self.error(n.span, f"{symbol.name}() takes {len(symbol.params)} arguments, {len(n.args)} given")
        args = []
        for node, parameter in zip(n.args, symbol.params, strict=True):
            value = self.materialize(self.expr(node))
            if isinstance(value.type, t.Unknown):
                return self.error(n.span)
            if not convertible_argument(value, parameter.type):
                return self.error(
                    node.span, f"{symbol.name}() wants '{parameter.type}' for ${parameter.name}, found '{value.type}'"
                )
            args.append(convert(value, parameter.type))
        return typed.SubprogramCall(symbol, tuple(args), type=symbol.returns, span=n.span)

    def call(self, n: ast.Call, kind: t.Type, *args: typed.Expr, data: Any = None, name: str = "") -> typed.Expr:
        """The usual result of a registry entry's `check`: a call of itself."""
        if any(isinstance(a.type, t.Unknown) for a in args):
            return self.error(n.span)
        return typed.Call(name or n.name, tuple(args), data, type=kind, span=n.span)

    def arity(self, n: ast.Call, least: int, most: int | None = None) -> bool:
        """Whether a call has an acceptable number of arguments; reports it if not."""
        most = least if most is None else most
        if least <= len(n.args) <= most:
            return True
        wants = f"{least}" if least == most else f"{least} to {most}" if most < 1000 else f"at least {least}"
        plural = "argument" if wants.endswith(" 1") or wants == "1" else "arguments"
        entry = REGISTRY.get(n.name)
        hint = f"usage: {entry.signature}" if entry else None
        self.error(n.span, f"{n.name}() requires {wants} {plural} ({len(n.args)} provided)", hint)
        return False


def convertible_argument(value: typed.Expr, to: t.Type) -> bool:
    if isinstance(to, t.Pointer) and isinstance(value.type, t.Pointer):  # wherever they point
        return (
            isinstance(to.to, t.Void) or isinstance(value.type.to, t.Void) or _called(to.to) == _called(value.type.to)
        )
    if join_expr(to, value) == to:
        return True
    return isinstance(to, t.Int) and t.is_integral(value.type)


def _called(kind: t.Type) -> object:
    """What tells types apart that pointers lead to: of a struct, which may be incomplete, its name."""
    return (kind.tag, kind.name) if isinstance(kind, t.Struct) and kind.name else kind


def numbered(name: str) -> str:
    """`arg0`, `arg1`, … and their kin are one entry, `argN`."""
    return "argN" if name.startswith("arg") and name[3:].isdigit() else name


def base_name(kind: t.Type) -> str:
    match kind:
        case t.Int():
            return "int"
        case t.Pointer():
            return "pointer"
        case t.Struct():
            return kind.tag
        case t.String():
            return "string"
        case t.Tuple():
            return "tuple"
        case t.Record():
            return "record"
        case t.Array():
            return "array"
        case t.Enum():
            return "enum"
    return str(kind)
