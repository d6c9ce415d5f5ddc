"""Types statements. See `expressions` for how mistakes are reported."""

from __future__ import annotations

from collections.abc import Iterable

from pytrace import types as t
from pytrace.functions import AGGREGATIONS, REGISTRY
from pytrace.semantics import operators, typed
from pytrace.semantics.expressions import ExpressionChecker
from pytrace.semantics.prefixes import refused
from pytrace.semantics.widen import convert, convertible, is_literal
from pytrace.syntax import ast

UNROLL_MAX = 100


def _ends(statement: typed.Stmt) -> bool:
    """Whether what stands behind a statement is never reached."""
    match statement:
        case typed.Return() | typed.Jump():
            return True
        case typed.ExprStmt(typed.Call(name="exit")):
            return True
        case typed.Block(body):
            return any(map(_ends, body))
        case typed.If(_, then, otherwise):
            return otherwise is not None and _ends(then) and _ends(otherwise)
    return False


class StatementChecker:
    """Checks the statements of one probe or subprogram. `returns` is the type that `return` must give, or None."""

    def __init__(self, c: ExpressionChecker, returns: t.Type | None = None) -> None:
        self.c = c
        self.symbols = c.symbols
        self.returns = returns
        self.loops = 0
        c.check_body = self.body

    def body(self, nodes: Iterable[ast.Stmt]) -> tuple[typed.Stmt, ...]:
        checked: list[typed.Stmt] = []
        told = False
        for node in nodes:
            if not told and checked and _ends(checked[-1]):
                self.c.diagnostics.warning(node.span, "Unreachable statement.")
                told = True
            result = getattr(self, "_" + type(node).__name__)(node)
            if result is not None:
                checked.append(result)
        return tuple(checked)

    def block(self, node: ast.Block) -> typed.Block:
        with self.symbols.scope():
            return typed.Block(self.body(node.body), span=node.span)

    def _Block(self, n: ast.Block) -> typed.Stmt:
        return self.block(n)

    def _ExprStmt(self, n: ast.ExprStmt) -> typed.Stmt | None:
        value = self.c.expr(n.value)
        if isinstance(value, typed.Const | typed.Str) and not isinstance(value.type, t.Unknown | t.Void):
            self.c.diagnostics.warning(n.span, "Return value discarded.")
        return typed.ExprStmt(value, span=n.span)

    def _Discard(self, n: ast.Discard) -> typed.Stmt:
        return typed.ExprStmt(self.c.expr(n.value), span=n.span)

    def _ImportStmt(self, n: ast.ImportStmt) -> None:
        self.c.error(n.span, "import must stand at the top of the script")

    # --- assignment ---------------------------------------------------------------------------------

    def _Assign(self, n: ast.Assign) -> typed.Stmt | None:
        match n.target:
            case ast.Variable():
                return self._assign_variable(n, n.target)
            case ast.Map() | ast.MapAccess():
                return self._assign_map(n, n.target)
        self.c.error(n.target.span, "this cannot be assigned to", "only variables ($x) and maps (@x) can")
        return None

    def _assign_variable(self, n: ast.Assign, target: ast.Variable) -> typed.Stmt | None:
        symbol = self.symbols.variable(target.name)
        if n.op is not None:
            if symbol is None:
                self.c.expr(target)
                return None
            current = typed.Var(symbol, type=symbol.type, span=target.span)
            value = self.c.binary(n.op, current, self.c.materialize(self.c.expr(n.value)), n.span)
        else:
            value = self.c.materialize(self.c.expr(n.value))
        if symbol is None:
            symbol = self.symbols.declare(target.name, t.UNKNOWN)
        if not self._can_be_kept(value, n):
            return None
        if not self.symbols.assign_variable(self.c, symbol, value, n.span):
            return None
        return typed.AssignVar(symbol, convert(value, symbol.type), span=n.span)

    def _can_be_kept(self, value: typed.Expr, n: ast.Assign | ast.Let) -> bool:
        """Whether a variable can hold a value; reports it if not."""
        if isinstance(value.type, t.Void | t.Aggregation):
            what = value.type if isinstance(value.type, t.Aggregation) else value.span.text
            self.c.error(n.span, f"Value '{what}' cannot be assigned to a scratch variable.")
            return False
        return True

    def _Let(self, n: ast.Let) -> typed.Stmt | None:
        kind = None
        if n.type is not None:
            kind = self.c.names.resolve(n.type)
            if isinstance(kind, t.Void | t.Aggregation):
                self.c.error(n.type.span, f"a variable cannot be of type '{kind}'")
            if kind is None or isinstance(kind, t.Void | t.Aggregation):
                return None
        value = self.c.materialize(self.c.expr(n.value)) if n.value is not None else None
        if self.symbols.variable(n.variable.name) is not None:
            self.c.error(n.span, f"Variable ${n.variable.name} was already declared", "variables cannot be shadowed")
            return None
        symbol = self.symbols.declare(n.variable.name, kind or t.UNKNOWN, fixed=kind is not None)
        if value is None:
            return typed.DeclareVar(symbol, span=n.span)
        if isinstance(value.type, t.Unknown) or not self._can_be_kept(value, n):
            return None
        if kind is not None and isinstance(kind, t.Int) and is_literal(value) and not convertible(value, kind):
            self.symbols.variable_mismatch(self.c, symbol, value, n.span)
            return None
        if not self.symbols.assign_variable(self.c, symbol, value, n.span):
            return None
        return typed.AssignVar(symbol, convert(value, symbol.type), span=n.span)

    def _assign_map(self, n: ast.Assign, target: ast.Map | ast.MapAccess) -> typed.Stmt | None:
        node = target if isinstance(target, ast.Map) else target.map
        symbol = self.symbols.map(node)
        symbol.writers.add(self.c.ordinal)
        key = None
        if isinstance(target, ast.MapAccess):
            key = self.c.map_key(symbol, target.key, target.span)
            if key is None:
                self.c.expr(n.value) if not self._ends_in_aggregation(n.value) else None
                return None
        elif not self.symbols.use_keyed(symbol, False, target.span, self.c.diagnostics):
            return None
        if n.op is None and isinstance(n.value, ast.Call) and n.value.name in AGGREGATIONS:
            return self._aggregate(n, symbol, key, n.value)
        if n.op is None and isinstance(n.value, ast.BlockExpr) and self._ends_in_aggregation(n.value):
            return self._aggregate_block(n, symbol, key, n.value)
        with self.symbols.assigning(symbol):
            value = self.c.materialize(self.c.expr(n.value))
        if isinstance(value.type, t.Void) or value.type == t.Tuple(()):
            self.c.error(n.span, f"Value '{n.value.span.text}' cannot be assigned to a map.")
            return None
        if isinstance(value.type, t.Aggregation):
            hint = f"fill it by the function itself, like {target.span.text} = {str(value.type).removesuffix('_t')}(…);"
            self.c.error(n.span, f"Map value '{value.type}' cannot be assigned from one map to another.", hint)
            return None
        if n.op is not None:
            if isinstance(symbol.value, t.Aggregation):
                self.c.error(n.span, f"Cannot use '{n.op}=' on @{symbol.name}, which holds a '{symbol.value}'")
                return None
            if isinstance(symbol.value, t.Unknown):
                self.symbols.assign_map(self.c, symbol, typed.Const(0, type=t.INT64, span=n.span), n.span)
            current = typed.MapGet(symbol, key, type=symbol.value, span=target.span)
            total = self.c.binary(n.op, current, value, n.span)
            if isinstance(total.type, t.Unknown) or not self.symbols.assign_map(self.c, symbol, total, n.span):
                return None
            if isinstance(symbol.value, t.Int):
                value = convert(value, symbol.value)
            elif isinstance(symbol.value, t.Pointer):
                value = operators.scaled(self.c, symbol.value, value)
            return typed.AssignMap(symbol, key, value, n.op, span=n.span)
        if isinstance(symbol.value, t.Aggregation) and not isinstance(value.type, t.Unknown):
            self.c.error(
                n.span,
                f"Type mismatch for @{symbol.name}: trying to assign value of type '{value.type}' "
                f"when map already has a type '{symbol.value}'",
            )
            return None
        if not self.symbols.assign_map(self.c, symbol, value, n.span):
            return None
        return typed.AssignMap(symbol, key, convert(value, symbol.value), None, span=n.span)

    def _ends_in_aggregation(self, node: ast.Expr) -> bool:
        while isinstance(node, ast.BlockExpr):
            node = node.value
        return isinstance(node, ast.Call) and node.name in AGGREGATIONS

    def _aggregate_block(
        self, n: ast.Assign, symbol: typed.MapSymbol, key: typed.Expr | None, value: ast.Expr
    ) -> typed.Stmt | None:
        """`@m = { …; avg($x) }`."""
        if isinstance(value, ast.Call):
            return self._aggregate(n, symbol, key, value)
        assert isinstance(value, ast.BlockExpr)
        with self.symbols.scope():
            body = self.body(value.body)
            last = self._aggregate_block(n, symbol, key, value.value)
        return None if last is None else typed.Block((*body, last), span=n.span)

    def _aggregate(
        self, n: ast.Assign, symbol: typed.MapSymbol, key: typed.Expr | None, call: ast.Call
    ) -> typed.Stmt | None:
        value = REGISTRY[call.name].check(self.c, call)
        if isinstance(value.type, t.Unknown) or refused(self.c, symbol, "has no aggregations", n.span):
            return None
        assert isinstance(value, typed.Call)
        if not self.symbols.assign_map(self.c, symbol, value, n.span):
            return None
        return typed.Aggregate(symbol, key, value.args, span=n.span)

    # --- control flow ---------------------------------------------------------------------------------

    def _If(self, n: ast.If) -> typed.Stmt | None:
        condition = self.c.condition(n.condition)
        if isinstance(condition, typed.Const) and not isinstance(condition.type, t.Unknown) and n.comptime:
            chosen = n.then if condition.value else n.otherwise
            if chosen is None:
                return None
            return self.block(chosen) if isinstance(chosen, ast.Block) else self._If(chosen)
        if n.comptime and not isinstance(condition.type, t.Unknown):
            self.c.error(n.condition.span, "this cannot be evaluated at compile time")
        then = self.block(n.then)
        otherwise: typed.Block | None = None
        if isinstance(n.otherwise, ast.If):
            inner = self._If(n.otherwise)
            otherwise = typed.Block((inner,) if inner else (), span=n.otherwise.span)
        elif n.otherwise is not None:
            otherwise = self.block(n.otherwise)
        return typed.If(condition, then, otherwise, span=n.span)

    def _ForMap(self, n: ast.ForMap) -> typed.Stmt | None:
        symbol = self.symbols.map(n.map)
        if symbol.keyed is False:
            self.c.error(
                n.map.span, f"@{symbol.name} has no explicit keys (scalar map), and cannot be used for iteration"
            )
            return None
        if refused(self.c, symbol, "the kernel cannot walk through", n.map.span):
            return None
        value = self.c.read_type(symbol, n.map.span)
        kind: t.Type = t.UNKNOWN
        if symbol.key is not None and not isinstance(value, t.Unknown):
            kind = t.Tuple((symbol.key, value))
        if isinstance(value, t.Aggregation):
            self.c.error(n.map.span, f"@{symbol.name} holds a '{value}', which cannot be used in a for loop")
            return None
        return self._loop(n, lambda v, b: typed.ForMap(v, symbol, b, span=n.span), kind)

    def _ForRange(self, n: ast.ForRange) -> typed.Stmt | None:
        start, end = self.c.integer(n.start), self.c.integer(n.end)
        if isinstance(start.type, t.Unknown) or isinstance(end.type, t.Unknown):
            return None
        start, end = convert(start, t.INT64), convert(end, t.INT64)
        return self._loop(n, lambda v, b: typed.ForRange(v, start, end, b, span=n.span), t.INT64)

    def _loop(self, n: ast.ForMap | ast.ForRange, make: object, kind: t.Type) -> typed.Stmt | None:
        if self.symbols.variable(n.variable.name) is not None:
            self.c.error(n.variable.span, f"Loop declaration shadows existing variable: ${n.variable.name}")
        self.loops += 1
        with self.symbols.callback():
            variable = self.symbols.declare(n.variable.name, kind, fixed=True)
            body = self.block(n.body)
        self.loops -= 1
        if isinstance(kind, t.Unknown):
            return None
        result: typed.Stmt = make(variable, body)  # type: ignore[operator]  # a constructor of one of the two loops
        return result

    def _While(self, n: ast.While) -> typed.Stmt:
        self.loops += 1
        with self.symbols.callback():
            condition = self.c.condition(n.condition)
            body = self.block(n.body)
        self.loops -= 1
        return typed.While(condition, body, span=n.span)

    def _Unroll(self, n: ast.Unroll) -> typed.Stmt | None:
        count = self.c.constant(n.count, "the count of an unroll")
        if count is not None and not 1 <= count <= UNROLL_MAX:
            self.c.error(n.count.span, f"unroll takes a count from 1 to {UNROLL_MAX}, not {count}")
        self.loops += 1
        body = self.block(n.body)
        self.loops -= 1
        return typed.Unroll(count or 1, body, span=n.span)

    def _Jump(self, n: ast.Jump) -> typed.Stmt | None:
        if not self.loops:
            self.c.error(n.span, f"{n.kind} is only possible inside a loop")
            return None
        return typed.Jump(n.kind, span=n.span)

    def _Return(self, n: ast.Return) -> typed.Stmt | None:
        if n.value is None:
            if self.returns is not None and not isinstance(self.returns, t.Void):
                self.c.error(n.span, f"return needs a value of type '{self.returns}'")
            return typed.Return(None, span=n.span)
        if self.returns is None:
            return typed.Return(convert(self.c.integer(n.value), t.INT64), span=n.span)
        value = self.c.materialize(self.c.expr(n.value))
        if isinstance(value.type, t.Unknown) or isinstance(self.returns, t.Unknown):
            return None
        if not convertible(value, self.returns) and not (t.is_integral(value.type) and t.is_integral(self.returns)):
            self.c.error(n.span, f"the function returns '{self.returns}', this is a '{value.type}'")
            return None
        return typed.Return(convert(value, self.returns), span=n.span)
