"""What a script computes, found by walking its AST: the language's rules in Python, independent of the compiler.

`run(script)` runs the `begin` probes and gives the printed lines and the maps they leave. It knows what
`tests.property.strategies` writes. Types are those of values: a variable or map keeps the type of what it was declared
with or got first, so a script must give each of its maps a value of its type before anything else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from pytrace.syntax import ast

_MASK = (1 << 64) - 1


@dataclass(frozen=True)
class Num:
    """An integer of a type. `literal`: written in the script, or folded from such."""

    value: int
    bits: int = 64
    signed: bool = True
    literal: bool = False


@dataclass(frozen=True)
class Rec:
    fields: tuple[tuple[str, Any], ...]


class Stop(Exception):
    """`break`, `continue` or `return` under way."""

    def __init__(self, kind: str, value: Any = None) -> None:
        self.kind, self.value = kind, value


@dataclass
class Cell:
    """A variable. `kind` is a declared integer type that every assignment is cut to."""

    value: Any = None
    kind: Num | None = None


@dataclass
class Table:
    """A map: entries by key (None for a scalar), and one value that shows their type."""

    entries: dict[Any, Any] = field(default_factory=dict)
    sample: Any = None


@dataclass
class Samples:
    """What an aggregation has been given."""

    kind: str
    signed: bool
    args: tuple[int, ...] = ()
    values: list[int] = field(default_factory=list)

    def read(self) -> Any:
        """Its value in an expression, and when it is shown."""
        total, count = sum(self.values), len(self.values)
        if self.kind == "count":
            return Num(count, signed=False)
        if self.kind == "stats":
            total = wrapped(total, 64, self.signed)
            return Rec((("count", Num(count)), ("average", Num(quotient(total, count))), ("total", Num(total))))
        found = {
            "sum": total,
            "avg": quotient(wrapped(total, 64, self.signed), count) if count else 0,
            "min": min(self.values, default=0),
            "max": max(self.values, default=0),
        }[self.kind]
        return Num(wrapped(found, 64, self.signed), signed=self.signed)

    def buckets(self) -> list[tuple[int | None, int | None, int]]:
        """The used buckets of a histogram: low, high (None: open), count."""
        bounds = _power_bounds if self.kind == "hist" else _linear_bounds
        found: dict[tuple[int | None, int | None], int] = {}
        for value in self.values:
            bucket = bounds(value, *self.args)
            found[bucket] = found.get(bucket, 0) + 1
        return sorted(((*b, n) for b, n in found.items()), key=lambda b: (b[0] is not None, b[0]))


def _power_bounds(value: int, bits: int = 0) -> tuple[int | None, int | None]:
    if value < 0:
        return None, 0
    if value < 1 << bits:
        return value, value + 1
    width = 1 << (value.bit_length() - 1 - bits)
    low = value // width * width
    return low, low + width


def _linear_bounds(value: int, low: int, high: int, step: int) -> tuple[int | None, int | None]:
    if value < low:
        return None, low
    last = low + (high - low) // step * step
    if value >= last:
        return last, None
    start = low + (value - low) // step * step
    return start, start + step


# --- arithmetic ----------------------------------------------------------------------------------


def wrapped(value: int, bits: int, signed: bool) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> (bits - 1) else value


def quotient(a: int, b: int) -> int:
    """Towards zero."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def literal(value: int) -> Num:
    """A literal has the smallest signed type that holds it."""
    for bits in (8, 16, 32, 64):
        if -(1 << (bits - 1)) <= value < 1 << (bits - 1):
            return Num(value, bits, True, True)
    return Num(value, 64, False, True)


def number(value: Any) -> Num:
    return Num(int(value), 8, False) if isinstance(value, bool) else value


def kept(value: Any) -> Any:
    """A value in a variable, map or tuple, where it is no literal any more."""
    match value:
        case Num(literal=True):
            return Num(value.value, 64, value.signed)
        case tuple():
            return tuple(map(kept, value))
        case Rec(fields):
            return Rec(tuple((name, kept(part)) for name, part in fields))
    return value


def zero(value: Any) -> Any:
    match value:
        case Num():
            return replace(value, value=0)
        case bool():
            return False
        case str():
            return ""
        case tuple():
            return tuple(map(zero, value))
        case Rec(fields):
            return Rec(tuple((name, zero(part)) for name, part in fields))
    return Samples(value.kind, value.signed, value.args)


def plain(value: Any) -> Any:
    """A value as what Python compares: numbers without their types."""
    match value:
        case Num(number_):
            return number_
        case tuple():
            return tuple(map(plain, value))
        case Rec(fields):
            return tuple((name, plain(part)) for name, part in fields)
    return value


def _unsigned(n: Num) -> bool:
    return n.value >= 0 if n.literal else not n.signed


_EXACT: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "/": lambda a, b: quotient(a, b) if b else 1,
    "%": lambda a, b: a - quotient(a, b) * b if b else 1,
    "<<": lambda a, b: a << (b & 63),
    ">>": lambda a, b: a >> (b & 63),
}
_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def binary(op: str, left: Any, right: Any) -> Any:
    if op in _COMPARE:
        if isinstance(left, str | tuple | Rec):
            return (plain(left) == plain(right)) == (op == "==")
        a, b = number(left), number(right)
        if a.literal and b.literal:
            return _COMPARE[op](a.value, b.value)
        signed = not (_unsigned(a) and _unsigned(b))
        return _COMPARE[op](wrapped(a.value, 64, signed), wrapped(b.value, 64, signed))
    a, b = number(left), number(right)
    if a.literal and b.literal:
        value = _EXACT[op](a.value, b.value)
        return literal(wrapped(value, 64, value < 1 << 63 or a.value < 0 or b.value < 0))
    signed = a.signed if op in ("<<", ">>") else op == "-" or not (_unsigned(a) and _unsigned(b))
    value = _EXACT[op](wrapped(a.value, 64, signed), wrapped(b.value, 64, signed))
    return Num(wrapped(value, 64, signed), 64, signed)


def unary(op: str, operand: Any) -> Any:
    if op == "!":
        return not truth(operand)
    n = number(operand)
    value = -n.value if op == "-" else ~n.value
    if n.literal:
        return literal(value & _MASK if op == "~" and n.value >= 0 else value)
    if not n.signed:
        return Num(wrapped(value, n.bits, False), 64, False)
    return Num(wrapped(value, 64, True))


def truth(value: Any) -> bool:
    return bool(number(value).value)


# --- text ----------------------------------------------------------------------------------------


def shown(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case Num(number_):
            return str(number_)
        case tuple():
            return "(" + ", ".join(map(shown, value)) + ")"
        case Rec(fields):
            return "{ " + ", ".join(f".{name} = {shown(part)}" for name, part in fields) + " }"
    return str(value)


_BASES = {"llu": "d", "llx": "x", "llo": "o"}
_CONVERSION = re.compile(r"%(?P<flags>[-0]*)(?P<width>\d*)(?P<kind>lld|llu|llx|llo|s|d|%)")


def formatted(text: str, values: Iterable[Any]) -> str:
    rest = iter(values)

    def one(match: re.Match[str]) -> str:
        kind = match["kind"]
        if kind == "%":
            return "%"
        value = next(rest)
        if kind == "s":
            word = shown(value)
        else:
            n = number(value).value
            word = (
                str(wrapped(n, 64, True))
                if kind in ("lld", "d")
                else format(n & _MASK, {"u": "d"}.get(kind[2], kind[2]))
            )
        width = int(match["width"] or 0) - len(word.encode()) + len(word)  # of bytes
        if "-" in match["flags"]:
            return word.ljust(width)
        return word.rjust(width, "0" if "0" in match["flags"] else " ")  # zeros stand before a sign, as in bpftrace

    return _CONVERSION.sub(one, text)


# --- statements ----------------------------------------------------------------------------------


class Scope:
    """Names in sight: variables, and what stands for the parameters of a macro."""

    def __init__(self, outer: Scope | None = None) -> None:
        self.outer = outer
        self.cells: dict[str, Cell] = {}
        self.expressions: dict[str, tuple[ast.Expr, Scope]] = {}
        self.maps: dict[str, str] = {}

    def cell(self, name: str) -> Cell | None:
        return self.cells.get(name) or (self.outer.cell(name) if self.outer else None)

    def expression(self, name: str) -> tuple[ast.Expr, Scope]:
        if name in self.expressions:
            return self.expressions[name]
        assert self.outer is not None, name
        return self.outer.expression(name)

    def map(self, name: str) -> str:
        return self.maps.get(name) or (self.outer.map(name) if self.outer else name)


class Machine:
    """A run. `output` is what was printed, `tables` are the maps by name."""

    def __init__(self, script: ast.Script) -> None:
        self.output: list[str] = []
        self.tables: dict[str, Table] = {}
        self.macros = {i.name: i for i in script.items if isinstance(i, ast.Macro)}
        self.subprograms = {i.name: i for i in script.items if isinstance(i, ast.Subprogram)}

    def probe(self, probe: ast.Probe) -> None:
        if probe.predicate is not None and not truth(self.eval(probe.predicate, Scope())):
            return
        try:
            self.block(probe.body, Scope())
        except Stop as stop:
            assert stop.kind == "return"

    def block(self, block: ast.Block, outer: Scope) -> None:
        self.body(block.body, Scope(outer))

    def body(self, body: Iterable[ast.Stmt], scope: Scope) -> None:
        for statement in body:
            self.statement(statement, scope)

    def statement(self, s: ast.Stmt, scope: Scope) -> None:
        match s:
            case ast.ExprStmt(value) | ast.Discard(value):
                self.eval(value, scope)
            case ast.Assign(target, value, op):
                self.assign(target, value, op, scope)
            case ast.Let(ast.Variable(name), kind, value_):
                cell = Cell(kind=self.integer_type(kind) if isinstance(kind, ast.NamedType) else None)
                store(cell, Num(0) if value_ is None else self.eval(value_, scope))
                scope.cells[name] = cell
            case ast.Block():
                self.block(s, scope)
            case ast.If(condition, then, otherwise):
                if truth(self.eval(condition, scope)):
                    self.block(then, scope)
                elif otherwise is not None:
                    self.statement(otherwise, scope)
            case ast.ForRange(ast.Variable(name), start, end, block):
                first, last = (wrapped(number(self.eval(e, scope)).value, 64, True) for e in (start, end))
                self.loop(block, scope, ({name: Cell(Num(i))} for i in range(first, last)))
            case ast.ForMap(ast.Variable(name), ast.Map(table), block):
                pairs = [(k, read(v)) for k, v in self.table(table, scope).entries.items()]
                self.loop(block, scope, ({name: Cell(pair)} for pair in pairs))
            case ast.While(condition, block):
                self.loop(block, scope, _while(lambda: truth(self.eval(condition, scope))))
            case ast.Unroll(count, block):
                self.loop(block, scope, ({} for _ in range(number(self.eval(count, scope)).value)))
            case ast.Jump(kind_):
                raise Stop(kind_)
            case ast.Return(value_):
                raise Stop("return", None if value_ is None else self.eval(value_, scope))
            case _:
                raise AssertionError(s)

    def loop(self, block: ast.Block, outer: Scope, rounds: Iterable[dict[str, Cell]]) -> None:
        for cells in rounds:
            scope = Scope(outer)
            scope.cells |= cells
            try:
                self.block(block, scope)
            except Stop as stop:
                if stop.kind == "break":
                    return
                if stop.kind == "return":
                    raise

    def assign(self, target: ast.Expr, node: ast.Expr, op: str | None, scope: Scope) -> None:
        if isinstance(target, ast.Variable):
            cell = scope.cell(target.name)
            before = cell.value if cell else None
            value = self.eval(node, scope)
            if cell is None:
                cell = scope.cells[target.name] = Cell()
            store(cell, binary(op, before, value) if op else value)
            return
        if isinstance(node, ast.Call) and node.name in _AGGREGATIONS:
            self.aggregate(*self.place(target, scope), node, scope)
            return
        value = self.eval(node, scope)
        table, key = self.place(target, scope)
        if op:
            value = binary(op, table.entries.get(key, zero(table.sample)), value)
        put(table, key, value)

    def place(self, target: ast.Expr, scope: Scope) -> tuple[Table, Any]:
        match target:
            case ast.Map(name):
                return self.table(name, scope), None
            case ast.MapAccess(ast.Map(name), key):
                return self.table(name, scope), plain(self.eval(key, scope))
        raise AssertionError(target)

    def table(self, name: str, scope: Scope) -> Table:
        return self.tables.setdefault(scope.map(name), Table())

    def aggregate(self, table: Table, key: Any, call: ast.Call, scope: Scope) -> None:
        sample, *rest = [number(self.eval(a, scope)) for a in call.args if isinstance(a, ast.Node)] or [Num(1)]
        if table.sample is None:
            table.sample = Samples(call.name, sample.signed, tuple(n.value for n in rest))
        samples = table.entries.setdefault(key, zero(table.sample))
        samples.values.append(wrapped(sample.value, 64, call.name in ("hist", "lhist") or samples.signed))

    # --- expressions -----------------------------------------------------------------------------

    def eval(self, e: Any, scope: Scope) -> Any:
        match e:
            case ast.Integer(value):
                return literal(value)
            case ast.String(value) | ast.Boolean(value):
                return value
            case ast.Identifier(name):
                node, where = scope.expression(name)
                return self.eval(node, where)
            case ast.Variable(name):
                cell = scope.cell(name)
                assert cell is not None, name
                return cell.value
            case ast.Map() | ast.MapAccess():
                table, key = self.place(e, scope)
                return read(table.entries.get(key, zero(table.sample)))
            case ast.Tuple(elements):
                return tuple(self.eval(part, scope) for part in elements)
            case ast.Record(fields):
                return Rec(tuple((name, self.eval(part, scope)) for name, part in fields))
            case ast.Unary(op, operand):
                return unary(op, self.eval(operand, scope))
            case ast.Binary("&&", left, right):
                return truth(self.eval(left, scope)) and truth(self.eval(right, scope))
            case ast.Binary("||", left, right):
                return truth(self.eval(left, scope)) or truth(self.eval(right, scope))
            case ast.Binary(op, left, right):
                a = self.eval(left, scope)
                return binary(op, a, self.eval(right, scope))
            case ast.Ternary(condition, None, otherwise):
                value = self.eval(condition, scope)
                return value if truth(value) else self.eval(otherwise, scope)
            case ast.Ternary(condition, then, otherwise):
                return self.eval(then if truth(self.eval(condition, scope)) else otherwise, scope)
            case ast.Increment():
                return self.increment(e, scope)
            case ast.Field(object_, name):
                value = self.eval(object_, scope)
                return dict(value.fields)[name] if isinstance(value, Rec) else value[int(name)]
            case ast.Index(object_, index):
                held = self.eval(object_, scope)
                at = number(self.eval(index, scope)).value
                if isinstance(held, list):
                    return held[at] if 0 <= at < len(held) else replace(held[0], value=0)
                data = held.encode()
                return Num(wrapped(data[at], 8, True) if 0 <= at < len(data) else 0, 8)
            case ast.Cast(ast.NamedType("bool"), operand):
                return truth(self.eval(operand, scope))
            case ast.Cast(ast.ArrayType(element, size), operand):
                to = self.integer_type(element)
                whole = number(self.eval(operand, scope)).value
                parts = range(number(self.eval(size, scope)).value)
                return [replace(to, value=wrapped(whole >> i * to.bits, to.bits, to.signed)) for i in parts]
            case ast.Cast(kind, operand):
                to = self.integer_type(kind)
                return replace(to, value=wrapped(number(self.eval(operand, scope)).value, to.bits, to.signed))
            case ast.BlockExpr(body, value):
                inner = Scope(scope)
                self.body(body, inner)
                return self.eval(value, inner)
            case ast.Call():
                return self.call(e, scope)
        raise AssertionError(e)

    def integer_type(self, kind: Any) -> Num | None:
        found = re.fullmatch(r"(u?)int(\d+)", kind.name)
        return Num(0, int(found[2]), not found[1]) if found else None

    def increment(self, e: ast.Increment, scope: Scope) -> Any:
        one = Num(1 if e.op == "++" else -1)
        if isinstance(e.target, ast.Variable):
            cell = scope.cell(e.target.name)
            assert cell is not None
            old = cell.value
            store(cell, replace(old, value=wrapped(old.value + one.value, 64, old.signed)))
            return cell.value if e.prefix else old
        table, key = self.place(e.target, scope)
        old = table.entries.get(key, zero(table.sample))
        new = replace(old, value=wrapped(old.value + one.value, 64, old.signed))
        put(table, key, new)
        return new if e.prefix else old

    def call(self, e: ast.Call, scope: Scope) -> Any:
        if e.name in self.macros:
            return self.macro(self.macros[e.name], e.args, scope)
        if e.name in self.subprograms:
            return self.subprogram(self.subprograms[e.name], [self.eval(a, scope) for a in e.args])
        if e.name in ("has_key", "delete", "len"):
            table = self.place(e.args[0], scope)[0]
            if e.name == "len":
                return Num(len(table.entries))
            key = plain(self.eval(e.args[1], scope))
            found = key in table.entries
            if e.name == "delete":
                table.entries.pop(key, None)
            return found
        if e.name == "find":
            table, key = self.place(e.args[0], scope)[0], plain(self.eval(e.args[1], scope))
            cell = scope.cell(e.args[2].name)  # type: ignore[union-attr]  # a variable
            assert cell is not None
            if key in table.entries:
                store(cell, read(table.entries[key]))
            return key in table.entries
        args = [self.eval(a, scope) for a in e.args]
        match e.name:
            case "print":
                self.output.append(shown(args[0]) + "\n")
            case "printf":
                self.output.append(formatted(args[0], args[1:]))
            case "strlen":
                return Num(len(args[0].encode()), signed=False)
            case "strncmp":
                n = args[2].value
                return Num(int(args[0].encode()[:n] != args[1].encode()[:n]), signed=False)
            case "strcontains":
                return args[1] in args[0]
            case "strstr":
                return Num(args[0].find(args[1]))
            case "str":
                return args[0]
            case _:
                raise AssertionError(e.name)
        return None

    def macro(self, macro: ast.Macro, args: Iterable[Any], scope: Scope) -> Any:
        inner = Scope()
        for param, arg in zip(macro.params, args, strict=True):
            match param:
                case ast.Identifier(name):
                    inner.expressions[name] = arg, scope
                case ast.Variable(name):
                    cell = scope.cell(arg.name)
                    assert cell is not None
                    inner.cells[name] = cell
                case ast.Map(name):
                    inner.maps[name] = scope.map(arg.name)
        inner = Scope(inner)
        self.body(macro.body, inner)
        return None if macro.value is None else self.eval(macro.value, inner)

    def subprogram(self, subprogram: ast.Subprogram, args: list[Any]) -> Any:
        scope = Scope()
        for param, value in zip(subprogram.params, args, strict=True):
            scope.cells[param.name] = Cell(kind=self.integer_type(param.type))
            store(scope.cells[param.name], value)
        try:
            self.block(subprogram.body, scope)
        except Stop as stop:
            result = Cell(kind=self.integer_type(subprogram.returns))
            store(result, stop.value)
            return result.value
        return self.integer_type(subprogram.returns)


_AGGREGATIONS = ("count", "sum", "avg", "min", "max", "stats", "hist", "lhist")


def _while(condition: Callable[[], bool]) -> Iterable[dict[str, Cell]]:
    while condition():
        yield {}


def read(value: Any) -> Any:
    return value.read() if isinstance(value, Samples) and value.kind not in ("hist", "lhist") else value


def store(cell: Cell, value: Any) -> None:
    if cell.kind is not None:
        cell.value = replace(cell.kind, value=wrapped(number(value).value, cell.kind.bits, cell.kind.signed))
        return
    value = kept(value)
    if isinstance(cell.value, Num):
        signed = cell.value.signed
        value = Num(wrapped(value.value, 64, signed), 64, signed)
    elif isinstance(value, Num):
        value = replace(value, bits=64)
    cell.value = value


def put(table: Table, key: Any, value: Any) -> None:
    cell = Cell(table.sample)
    store(cell, value)
    table.sample = zero(cell.value)
    table.entries[key] = cell.value


def run(script: ast.Script) -> Machine:
    """The state after all `begin` probes have run, in order."""
    machine = Machine(script)
    for probe in script.probes:
        machine.probe(probe)
    return machine
