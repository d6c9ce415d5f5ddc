"""Hypothesis strategies for scripts that have a meaning: whole `begin` scripts whose types are right.

What an expression computes must not depend on how the compiler widens types, which the evaluator does not do. So each
variable and map is first given a value of the type that it is to keep, and what meets in one place (the arms of a
ternary, the values of a map) is cast to one type. Maps begin with `i` (int64), `u` (uint64), `t` (a tuple) and so on,
see `MAPS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from pytrace.diagnostics import Source, Span
from pytrace.syntax import ast, print_script

SPAN = Span(Source("made", ""), 0, 0)
INTS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
ARITHMETIC = ("+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>")
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
WORDS = ("", "a", "b", "abc", "abd", "abcdefgh", "hello, world", '%d\\"\n', "é", "x" * 30, "y" * 70)

Kind = Any
"""`"int64"` and the like, `"bool"`, `"string"`, `("tuple", kinds)` or `("record", ((name, kind), …))`."""

PAIR: Kind = ("tuple", ("int64", "string"))
NESTED: Kind = ("tuple", ("uint64", ("tuple", ("string", "bool")), "int64"))
RECORD: Kind = ("record", (("number", "int64"), ("inner", PAIR)))
WIDE: Kind = ("tuple", ("string", "string", "string", "int64", "string"))
KINDS: tuple[Kind, ...] = (*INTS, "bool", "string", PAIR, NESTED, RECORD, WIDE)

MAPS: dict[str, tuple[Kind | None, Kind]] = {
    "i": (None, "int64"),
    "u": (None, "uint64"),
    "s": (None, "string"),
    "b": (None, "bool"),
    "t": (None, PAIR),
    "ki": ("int64", "int64"),
    "ku": ("string", "uint64"),
    "kp": (PAIR, "int64"),
    "ks": ("uint64", "string"),
    "kt": ("int64", NESTED),
    "kr": (("tuple", ("uint64", "uint64", "bool")), RECORD),
}
"""Name: the kinds of key (None: a scalar) and value."""

AGGREGATES: dict[str, tuple[Kind | None, str, Kind, tuple[int, ...]]] = {
    "ac": (None, "count", None, ()),
    "as": (None, "sum", "int64", ()),
    "au": (None, "sum", "uint64", ()),
    "al": (None, "min", "int64", ()),
    "ah": (None, "max", "int64", ()),
    "av": (None, "avg", "int64", ()),
    "at": (None, "stats", "int64", ()),
    "aq": (None, "hist", "int64", ()),
    "ar": (None, "hist", "int64", (3,)),
    "aw": (None, "lhist", "int64", (-10, 200, 7)),
    "akc": ("int64", "count", None, ()),
    "aks": ("string", "sum", "int64", ()),
    "akl": (PAIR, "min", "uint64", ()),
    "akh": ("uint64", "max", "uint64", ()),
    "akv": ("int64", "avg", "int64", ()),
    "akt": ("string", "stats", "int64", ()),
    "akq": ("int64", "hist", "int64", (1,)),
    "akw": ("bool", "lhist", "int64", (0, 64, 8)),
}
"""Name: the kind of key, the function, the kind of its samples, and its further arguments."""

WALKED = {"ki", "ku", "akc", "aks", "akh"}
"""Maps to loop over: their values are numbers."""

READABLE = ("count", "sum", "min", "max", "avg")

_small = st.integers(0, 10)
_literals = st.one_of(
    _small,
    _small,
    st.integers(0, 300),
    st.sampled_from([127, 128, 255, 256, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1]),
    st.integers(0, 2**63 - 1),
    st.sampled_from([2**63, 2**64 - 1]),
)
_chances = st.integers(0, 99)
_counts = {n: st.integers(0, n) for n in range(12)}
_words = st.sampled_from(WORDS)
_kinds = st.sampled_from(KINDS)
_ints = st.sampled_from(INTS)


def n(kind: Any, *args: Any, **named: Any) -> Any:
    """A node without a place."""
    return kind(*args, **named, span=SPAN)


def integer(value: int) -> ast.Expr:
    return n(ast.Unary, "-", n(ast.Integer, -value)) if value < 0 else n(ast.Integer, value)


def named_type(name: str) -> ast.NamedType:
    return n(ast.NamedType, name)


def constant(e: Any) -> int | None:
    """The value of an expression made of literals alone: it is exact, and has to fit."""
    match e:
        case ast.Integer(value):
            return int(value)
        case ast.Unary(op, operand):
            value = constant(operand)
            return None if value is None else -value if op == "-" else ~value & (1 << 64) - 1 if value >= 0 else ~value
        case ast.Binary(op, left, right):
            a, b = constant(left), constant(right)
            return None if a is None or b is None else _exact(op, a, b)
    return None


def _exact(op: str, a: int, b: int) -> int:
    if op in ("<<", ">>"):
        return a << b % 64 if op == "<<" else a >> b % 64
    if op in ("/", "%"):
        whole = abs(a) // abs(b or 1) * (1 if (a < 0) == (b < 0) else -1)
        return whole if op == "/" else a - whole * b
    return int({"+": a + b, "-": a - b, "*": a * b, "&": a & b, "|": a | b, "^": a ^ b}.get(op, 0))


def meeting(op: str, left: ast.Expr, right: ast.Expr) -> ast.Expr:
    """`left op right`; literals that have no common value get types."""
    a, b = constant(left), constant(right)
    if a is not None and b is not None:
        apart = min(a, b) < 0 and max(a, b) >= 1 << 63
        odd = (op in ("<<", ">>") and not 0 <= b < 64) or (op in ("/", "%") and not b)
        if apart or odd or not -(1 << 63) <= _exact(op, a, b) < 1 << 64:
            left = n(ast.Cast, named_type("uint64" if a >= 0 else "int64"), left)
    return n(ast.Binary, op, left, right)


class Maker:
    """Draws one script."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self.draw = draw
        self.scopes: list[dict[str, tuple[Kind, bool]]] = []  # name: its kind, and whether it may be assigned
        self.made = 0
        self.loops = 0
        self.rounds = 1  # how often what is being written will run
        self.maps: set[str] = set()
        self.macros: dict[str, ast.Macro] = {}
        self.subprograms: dict[str, ast.Subprogram] = {}
        self.pure = False  # inside a macro or subprogram: no maps, no output
        self.returns: Kind = None

    # --- chance ------------------------------------------------------------------------------------

    def below(self, percent: int) -> bool:
        return bool(self.draw(_chances) < percent)

    def count(self, most: int) -> int:
        return int(self.draw(_counts[most]))

    def one(self, options: Any) -> Any:
        options = list(options)
        return options[self.draw(st.integers(0, len(options) - 1))]

    # --- names -------------------------------------------------------------------------------------

    def fresh(self) -> str:
        self.made += 1
        return f"v{self.made}"

    def variables(self, fits: Callable[[Kind], bool], assignable: bool = False) -> list[str]:
        return [
            name
            for scope in self.scopes
            for name, (kind, free) in scope.items()
            if fits(kind) and (free or not assignable)
        ]

    def kind_of(self, name: str) -> Kind:
        return next(scope[name][0] for scope in self.scopes if name in scope)

    # --- expressions ---------------------------------------------------------------------------------

    def of(self, kind: Kind, depth: int) -> ast.Expr:
        """An expression of exactly that kind."""
        if kind == "bool":
            return self.boolean(depth)
        if kind == "string":
            return self.string(depth)
        if isinstance(kind, tuple):
            return self.compound(kind, depth)
        known = self.variables(lambda k: k == kind)
        if known and self.below(30):
            return n(ast.Variable, self.one(known))
        return n(ast.Cast, named_type(kind), self.integer(depth))

    def compound(self, kind: Kind, depth: int) -> ast.Expr:
        known = self.variables(lambda k: k == kind)
        if known and self.below(50):
            return n(ast.Variable, self.one(known))
        stored = [m for m in self.maps if m in MAPS and MAPS[m][1] == kind]
        if stored and self.below(30):
            return self.element(self.one(sorted(stored)), depth - 1)
        if depth > 0 and self.below(15):
            return n(
                ast.Ternary, self.condition(depth - 1), self.compound(kind, depth - 1), self.compound(kind, depth - 1)
            )
        if kind[0] == "tuple":
            return n(ast.Tuple, tuple(self.of(k, depth - 1) for k in kind[1]))
        return n(ast.Record, tuple((name, self.of(k, depth - 1)) for name, k in kind[1]))

    def element(self, name: str, depth: int) -> ast.Expr:
        """An existing map as an expression, at some key if it has keys."""
        key = MAPS[name][0] if name in MAPS else AGGREGATES[name][0]
        return n(ast.Map, name) if key is None else n(ast.MapAccess, n(ast.Map, name), self.key(key, depth))

    def key(self, kind: Kind, depth: int) -> ast.Expr:
        """Few different ones, so that they meet."""
        if self.below(30):
            return self.of(kind, max(0, depth))
        if kind == "string":
            return n(ast.String, self.draw(_words))
        if kind == "bool":
            return n(ast.Boolean, self.below(50))
        if isinstance(kind, tuple):
            return n(ast.Tuple, tuple(self.key(k, 0) for k in kind[1]))
        return n(ast.Cast, named_type(kind), integer(self.count(4)))

    def string(self, depth: int) -> ast.Expr:
        choice = self.draw(_chances)
        known = self.variables(lambda k: k == "string")
        if known and choice < 45:
            return n(ast.Variable, self.one(known))
        if depth > 0 and choice < 60:
            return n(ast.Ternary, self.condition(depth - 1), self.string(depth - 1), self.string(depth - 1))
        if choice < 68 and (pairs := self.variables(lambda k: k == PAIR)):
            return n(ast.Field, n(ast.Variable, self.one(pairs)), "1")
        if choice < 74 and "s" in self.maps and not self.pure:
            return n(ast.Map, "s")
        if choice < 78 and "ks" in self.maps and not self.pure:
            return self.element("ks", depth - 1)
        return n(ast.String, self.draw(_words))

    def boolean(self, depth: int) -> ast.Expr:
        choice = self.draw(_chances)
        known = self.variables(lambda k: k == "bool")
        if known and choice < 20:
            return n(ast.Variable, self.one(known))
        if depth <= 0 or choice < 25:
            return n(ast.Boolean, self.below(50))
        if choice < 55:
            return meeting(self.one(COMPARISONS), self.integer(depth - 1), self.integer(depth - 1))
        if choice < 65:
            return n(ast.Binary, self.one(("==", "!=")), self.string(depth - 1), self.string(depth - 1))
        if choice < 72:
            kind = self.one((PAIR, NESTED, RECORD))
            return n(ast.Binary, self.one(("==", "!=")), self.compound(kind, depth - 1), self.compound(kind, depth - 1))
        if choice < 82:
            return n(ast.Binary, self.one(("&&", "||")), self.condition(depth - 1), self.condition(depth - 1))
        if choice < 88:
            return n(ast.Unary, "!", self.condition(depth - 1))
        keyed = sorted(m for m in self.maps if (MAPS.get(m) or AGGREGATES[m])[0] is not None)
        if choice < 94 and keyed and not self.pure:
            name = self.one(keyed)
            return n(
                ast.Call, "has_key", (n(ast.Map, name), self.key((MAPS.get(name) or AGGREGATES[name])[0], depth - 1))
            )
        return n(ast.Cast, named_type("bool"), self.integer(depth - 1))

    def condition(self, depth: int) -> ast.Expr:
        return self.integer(depth) if self.below(25) else self.boolean(depth)

    def integer(self, depth: int) -> ast.Expr:
        """Any integer."""
        choice = self.draw(_chances)
        if depth <= 0 or choice < 15:
            known = self.variables(lambda k: k in INTS or k == "free")
            if known and self.below(65):
                return n(ast.Variable, self.one(known))
            return n(ast.Integer, self.draw(_literals))
        if choice < 50:
            return self.arithmetic(depth)
        if choice < 58:
            op = self.one("-~")
            operand = self.integer(depth - 1)
            known = constant(operand)
            return operand if known is not None and abs(known) > 2**62 else n(ast.Unary, op, operand)
        if choice < 68:
            return n(ast.Cast, named_type(self.draw(_ints)), self.integer(depth - 1))
        if choice < 74:
            kind = self.draw(_ints)
            return n(ast.Ternary, self.condition(depth - 1), self.of(kind, depth - 1), self.of(kind, depth - 1))
        if choice < 76 and (known := self.variables(lambda k: k in INTS)):
            name = self.one(known)
            return n(ast.Ternary, n(ast.Variable, name), None, self.of(self.kind_of(name), depth - 1))
        if choice < 79 and (known := self.variables(lambda k: k in INTS or k == "free", assignable=True)):
            return n(ast.Increment, self.one(("++", "--")), n(ast.Variable, self.one(known)), self.below(50))
        if choice < 84:
            return self.of_aggregate(depth)
        if choice < 88:
            return self.of_string(depth)
        if choice < 90:
            return self.block_expression(depth)
        if choice < 93 and self.subprograms:
            subprogram = self.subprograms[self.one(sorted(self.subprograms))]
            args = tuple(self.of(p.type.name, depth - 1) for p in subprogram.params)  # type: ignore[union-attr]
            return n(ast.Call, subprogram.name, args)
        if choice < 95 and (valued := [m for m in sorted(self.macros) if self.macros[m].value is not None]):
            args = self.of(self.draw(_ints), depth - 1), self.of(self.draw(_ints), depth - 1)
            return n(ast.Call, self.one(valued), args, bang=self.below(20))
        if choice >= 98:
            return self.of_array(depth)
        if not self.pure and (stored := sorted(m for m in self.maps if m in MAPS and MAPS[m][1] in INTS)):
            return self.element(self.one(stored), depth - 1)
        return self.arithmetic(depth)

    def of_array(self, depth: int) -> ast.Expr:
        """An element of an array that a number is cast to; beyond its end where the index is not known."""
        element = self.draw(_ints)
        count = 64 // int(element.lstrip("uint"))
        whole = n(ast.Cast, named_type("uint64"), self.integer(depth - 1))
        array = n(ast.Cast, n(ast.ArrayType, named_type(element), n(ast.Integer, count)), whole)
        known = self.variables(lambda k: k in INTS or k == "free")
        if known and self.below(30):
            return n(ast.Index, array, n(ast.Variable, self.one(known)))
        return n(ast.Index, array, meeting("&", self.integer(depth - 1), n(ast.Integer, count - 1)))

    def arithmetic(self, depth: int) -> ast.Expr:
        op = self.one(ARITHMETIC)
        left, right = self.integer(depth - 1), self.integer(depth - 1)
        if op in ("/", "%") and isinstance(right, ast.Integer) and not right.value:
            right = n(ast.Integer, 3)
        if op in ("<<", ">>") and isinstance(right, ast.Integer):
            right = n(ast.Integer, right.value % 64)
        return meeting(op, left, right)

    def of_aggregate(self, depth: int) -> ast.Expr:
        """A number out of something that has several parts."""
        if pairs := self.variables(lambda k: k in (PAIR, NESTED)):
            name = self.one(pairs)
            return n(ast.Field, n(ast.Variable, name), "0" if self.kind_of(name) == PAIR else self.one("02"))
        if records := self.variables(lambda k: k == RECORD):
            record = n(ast.Variable, self.one(records))
            return (
                n(ast.Field, record, "number") if self.below(50) else n(ast.Field, n(ast.Field, record, "inner"), "0")
            )
        readable = sorted(m for m in self.maps if m in AGGREGATES and AGGREGATES[m][1] in READABLE)
        if readable and not self.pure:
            return self.element(self.one(readable), depth - 1)
        keyed = sorted(m for m in self.maps if (MAPS.get(m) or AGGREGATES[m])[0] is not None)
        if keyed and not self.pure and not any("hist" in AGGREGATES.get(m, ((), ""))[1] for m in keyed):
            return n(ast.Call, "len", (n(ast.Map, self.one(keyed)),))
        return n(ast.Field, n(ast.Tuple, (self.of("int32", depth - 1), self.string(depth - 1))), "0")

    def of_string(self, depth: int) -> ast.Expr:
        text = self.string(depth - 1)
        choice = self.count(3)
        if choice == 0:
            return n(ast.Call, "strlen", (text,))
        if choice == 1:
            return n(ast.Call, "strncmp", (text, self.string(depth - 1), n(ast.Integer, self.count(9))))
        if choice == 2:
            return n(ast.Call, "strstr", (text, n(ast.String, self.draw(_words))))
        known = self.variables(lambda k: k == "string")
        if not known:
            return n(ast.Integer, self.count(9))
        index = self.integer(depth - 1)
        if constant(index) is not None:  # one that is known to be outside is refused
            return n(ast.Index, n(ast.Variable, self.one(known)), n(ast.Integer, 0))
        index = n(ast.Binary, "&", index, n(ast.Integer, 7))
        return n(ast.Index, n(ast.Variable, self.one(known)), index)

    def block_expression(self, depth: int) -> ast.Expr:
        self.scopes.append({})
        loops, self.loops = self.loops, 0  # no jumps out of an expression
        body = tuple(s for _ in range(1 + self.count(1)) for s in self.simple(depth - 1))
        value = self.integer(depth - 1)
        self.loops = loops
        self.scopes.pop()
        return n(ast.BlockExpr, body, n(ast.Cast, named_type("int64"), value))

    # --- statements ----------------------------------------------------------------------------------

    def block(self, most: int, depth: int) -> ast.Block:
        self.scopes.append({})
        body = [s for _ in range(1 + self.count(most)) for s in self.statement(depth)]
        if self.loops and self.below(25):
            body.append(n(ast.If, self.condition(1), n(ast.Block, (self.jump(),)), None))
            body.extend(self.simple(1))
        self.scopes.pop()
        return n(ast.Block, tuple(body))

    def jump(self) -> ast.Stmt:
        if self.below(15):
            return n(ast.Return, None if self.returns is None else self.of(self.returns, 1))
        return n(ast.Jump, self.one(("break", "continue")))

    def statement(self, depth: int) -> list[ast.Stmt]:
        choice = self.draw(_chances)
        if depth <= 0 or choice < 65:
            return self.simple(2)
        if choice < 78:
            otherwise = self.block(2, depth - 1) if self.below(50) else None
            if otherwise and self.below(30):
                otherwise = n(ast.If, self.condition(2), otherwise, None)
            return [n(ast.If, self.condition(2), self.block(2, depth - 1), otherwise)]
        if choice < 81:
            return [self.block(2, depth - 1)]
        return self.loop(depth)

    def loop(self, depth: int) -> list[ast.Stmt]:
        if self.rounds > 30:
            return self.simple(1)
        choice, name = self.count(9), self.fresh()
        variable = n(ast.Variable, name)
        rounds, self.rounds, self.loops = self.rounds, self.rounds * 4, self.loops + 1
        made: list[ast.Stmt]
        if choice < 5:
            start: ast.Expr = n(ast.Integer, self.count(3))
            end: ast.Expr = n(ast.Integer, self.count(8))
            if self.below(30):
                end = n(ast.Binary, "&", self.integer(1), n(ast.Integer, 7))
            self.scopes.append({name: ("int64", False)})
            made = [n(ast.ForRange, variable, start, end, self.block(2, depth - 1))]
            self.scopes.pop()
        elif choice < 7:
            made = [n(ast.Unroll, n(ast.Integer, 1 + self.count(3)), self.block(1, depth - 1))]
        elif (
            choice == 7
            and not self.pure
            and (names := sorted(m for m in self.maps if m in ("ki", "ku", "akc", "aks", "akh")))
        ):
            made = self.over_map(self.one(names), variable)
        else:
            limit = n(ast.Binary, "<", variable, n(ast.Integer, self.count(6)))
            if self.below(40):
                limit = n(ast.Binary, "&&", limit, self.condition(1))
            self.scopes[-1][name] = ("int64", False)
            block = self.block(2, depth - 1)
            step = n(ast.ExprStmt, n(ast.Increment, "++", variable, self.below(50)))
            made = [
                n(ast.Let, variable, named_type("int64"), n(ast.Integer, 0)),
                n(ast.While, limit, n(ast.Block, (step, *block.body))),
            ]
        self.rounds, self.loops = rounds, self.loops - 1
        return made

    def over_map(self, name: str, variable: ast.Variable) -> list[ast.Stmt]:
        """Adds up something: the order of the entries is the kernel's affair."""
        total = self.fresh()
        value = n(ast.Field, variable, "1")
        body = n(ast.Assign, n(ast.Variable, total), n(ast.Cast, named_type("int64"), value), self.one("+^"))
        self.scopes[-1][total] = "int64", True
        made = n(ast.Let, n(ast.Variable, total), named_type("int64"), n(ast.Integer, 0))
        show = n(ast.ExprStmt, n(ast.Call, "print", (n(ast.Variable, total),)))
        return [made, n(ast.ForMap, variable, n(ast.Map, name), n(ast.Block, (body,))), show]

    def simple(self, depth: int) -> list[ast.Stmt]:
        choice = self.draw(_chances)
        if choice < 20:
            return [self.declaration(depth)]
        if choice < 40:
            return [self.assignment(depth)]
        if self.pure:
            return [n(ast.Discard, self.integer(depth))]
        if choice < 60:
            return self.output(depth)
        if choice < 80:
            return self.store(depth)
        if choice < 92:
            return self.aggregate(depth)
        if choice < 96 and (names := [m for m in sorted(self.macros) if self.macros[m].value is None]):
            known = self.variables(lambda k: k == "int64", assignable=True)
            if known:
                return [
                    n(ast.ExprStmt, n(ast.Call, self.one(names), (n(ast.Variable, self.one(known)), self.integer(1))))
                ]
        return [n(ast.Discard, self.integer(depth))]

    def declaration(self, depth: int) -> ast.Stmt:
        name, kind = self.fresh(), self.draw(_kinds)
        variable = n(ast.Variable, name)
        value = self.of(kind, depth)
        if kind == "int64" and self.below(50):  # a type that the assignments make
            self.scopes[-1][name] = "free", True
            return n(ast.Assign, variable, n(ast.Integer, self.count(9)))
        self.scopes[-1][name] = kind, True
        if kind in INTS:
            return n(ast.Let, variable, named_type(kind), value)
        return n(ast.Assign, variable, value) if self.below(50) else n(ast.Let, variable, None, value)

    def assignment(self, depth: int) -> ast.Stmt:
        known = self.variables(lambda k: True, assignable=True)
        if not known:
            return self.declaration(depth)
        name = self.one(known)
        kind, variable = self.kind_of(name), n(ast.Variable, name)
        if kind in INTS or kind == "free":
            if self.below(25):
                return n(ast.ExprStmt, n(ast.Increment, self.one(("++", "--")), variable, self.below(50)))
            if self.below(60):
                value = self.integer(depth)
                if isinstance(value, ast.Integer):
                    value = n(ast.Integer, value.value % 63 + 1)
                return n(ast.Assign, variable, value, self.one(ARITHMETIC))
            return n(ast.Assign, variable, self.of("int64" if kind == "free" else kind, depth))
        return n(ast.Assign, variable, self.of(kind, depth))

    def store(self, depth: int) -> list[ast.Stmt]:
        name = self.one(sorted(self.maps & MAPS.keys()) or ["i"])
        if name not in self.maps:
            return self.output(depth)
        key, kind = MAPS[name]
        target = self.element(name, depth - 1)
        choice = self.draw(_chances)
        if kind in INTS and choice < 25:
            return [n(ast.ExprStmt, n(ast.Increment, self.one(("++", "--")), target, self.below(50)))]
        if kind == "int64" and choice < 50:
            return [n(ast.Assign, target, self.of("int64", depth), self.one(ARITHMETIC))]
        if kind == "uint64" and choice < 50:
            return [n(ast.Assign, target, self.of("uint64", depth), self.one([op for op in ARITHMETIC if op != "-"]))]
        if key is not None and choice > 90:
            return [n(ast.ExprStmt, n(ast.Call, "delete", (n(ast.Map, name), self.key(key, depth - 1))))]
        if key is not None and choice > 84 and kind in INTS:
            found = self.fresh()
            out = n(ast.Let, n(ast.Variable, found), named_type(kind), self.of(kind, 0))
            self.scopes[-1][found] = kind, True
            call = n(ast.Call, "find", (n(ast.Map, name), self.key(key, 1), n(ast.Variable, found)))
            return [out, n(ast.ExprStmt, n(ast.Call, "print", (call,)))]
        return [n(ast.Assign, target, self.of(kind, depth))]

    def aggregate(self, depth: int) -> list[ast.Stmt]:
        names = sorted(self.maps & AGGREGATES.keys())
        if not names:
            return self.store(depth)
        return [self.sample(self.one(names), depth)]

    def sample(self, name: str, depth: int) -> ast.Stmt:
        _key, function, kind, rest = AGGREGATES[name]
        args = () if kind is None else (self.of(kind, depth), *map(integer, rest))
        return n(ast.Assign, self.element(name, depth - 1), n(ast.Call, function, args))

    def output(self, depth: int) -> list[ast.Stmt]:
        if self.below(50):
            value = self.of(self.draw(_kinds), depth)
            if isinstance(value, ast.Map):  # by itself it would be shown as a map, and later
                value = n(ast.Tuple, (value,))
            return [n(ast.ExprStmt, n(ast.Call, "print", (value,)))]
        text, args = "", []
        for _ in range(1 + self.count(3)):
            if self.below(50):
                text += self.one(("%lld ", "%llu,", "%llx", "[%12lld]", "[%-12lld]", "[%012lld]", "%llo"))
                args.append(self.integer(depth))
            else:
                kind = self.draw(_kinds)
                text += self.one(("%s ", "[%20s]", "[%-20s]")) if isinstance(kind, str) else "%s "
                args.append(self.of(kind, depth - 1))
        return [n(ast.ExprStmt, n(ast.Call, "printf", (n(ast.String, text + "\n"), *args)))]

    # --- the script ----------------------------------------------------------------------------------

    def macro(self, name: str) -> ast.Macro:
        self.pure = True
        self.scopes = [{}]
        a, b = n(ast.Identifier, "a"), n(ast.Identifier, "b")
        if self.below(50):
            value = n(ast.Binary, self.one(("+", "-", "^", "&")), n(ast.Binary, "*", a, self.one((a, b))), b)
            macro = n(ast.Macro, name, (a, b), (), n(ast.Cast, named_type("int64"), value))
        else:
            target, local = n(ast.Variable, "target"), n(ast.Variable, "v1")
            body = (
                n(ast.Let, local, named_type("int64"), n(ast.Cast, named_type("int64"), a)),
                n(ast.Assign, target, local, self.one(ARITHMETIC)),
                n(ast.If, n(ast.Binary, ">", target, a), n(ast.Block, (n(ast.Assign, target, local, "-"),)), None),
            )
            macro = n(ast.Macro, name, (target, a), body, None)
        self.pure = False
        return macro

    def subprogram(self, name: str) -> ast.Subprogram:
        params = tuple(n(ast.Param, self.fresh(), named_type(self.draw(_ints))) for _ in range(1 + self.count(2)))
        self.pure, self.returns = True, self.draw(_ints)
        self.scopes = [{p.name: (p.type.name, True) for p in params}]
        self.rounds = 5
        block = self.block(2, 1)
        end = n(ast.Return, self.of(self.returns, 2))
        result = n(ast.Subprogram, name, params, named_type(self.returns), n(ast.Block, (*block.body, end)))
        self.pure, self.returns, self.rounds = False, None, 1
        return result

    def script(self) -> ast.Script:
        items: list[Any] = []
        for i in range(self.count(2)):
            self.subprograms[f"f{i}"] = self.subprogram(f"f{i}")
        for i in range(self.count(2)):
            self.macros[f"m{i}"] = self.macro(f"m{i}")
        items += [*self.macros.values(), *self.subprograms.values()]
        chosen = [name for name in (*MAPS, *AGGREGATES) if self.below(25)]
        for i in range(1 + self.count(2)):
            self.scopes = [{}]
            body: list[ast.Stmt] = []
            if not i:
                for name in chosen:  # each gets its type
                    self.scopes = [{}]
                    if name in MAPS:
                        first = n(ast.Assign, self.first(name), self.of(MAPS[name][1], 0))
                    else:
                        first = self.sample(name, 0)
                    body.append(first)
                    self.maps.add(name)
            body += [s for _ in range(2 + self.count(8)) for s in self.statement(3)]
            self.scopes = [{}]
            predicate = self.condition(2) if i and self.below(50) else None
            items.append(
                n(ast.Probe, (n(ast.AttachPoint, self.one(("begin", "BEGIN"))),), predicate, n(ast.Block, tuple(body)))
            )
        return ast.Script(source=SPAN.source, c_definitions=(), config=None, imports=(), items=tuple(items), span=SPAN)

    def first(self, name: str) -> ast.Expr:
        key = MAPS[name][0]
        return n(ast.Map, name) if key is None else n(ast.MapAccess, n(ast.Map, name), self.key(key, 0))


class Made:
    """A script, shown by its text."""

    def __init__(self, script: ast.Script) -> None:
        self.script = script
        self.text = print_script(script)

    def __repr__(self) -> str:
        return f"\n{self.text}"


@st.composite
def scripts(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Made:
    """Scripts of `begin` probes in which every type is right."""
    return Made(Maker(draw).script())
