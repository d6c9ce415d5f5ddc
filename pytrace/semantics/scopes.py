"""Variables and maps while types are inferred.

Inference runs over the whole script again and again until nothing widens any more; what was learnt survives from
one round to the next in `Learnt`, where a variable is known by its probe and the how-many-eth it was declared there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.diagnostics import Diagnostics, Span
from pytrace.record import field, record
from pytrace.semantics import typed
from pytrace.semantics.widen import fits, is_literal, join_expr, roomy
from pytrace.syntax import ast

if TYPE_CHECKING:
    from pytrace.semantics.expressions import ExpressionChecker


QUEUES = ("queue", "stack")
"""Declared kinds of maps whose elements are pushed and popped."""
PREFIXES = "lpm"
"""The declared kind of maps whose keys are prefixes of addresses."""


@record(frozen=False)
class Learnt:
    """What earlier rounds found out. `changed` asks for one more."""

    maps: dict[str, typed.MapSymbol] = field(default_factory=dict)
    variables: dict[tuple[object, int], t.Type] = field(default_factory=dict)
    subprograms: dict[str, typed.SubprogramSymbol] = field(default_factory=dict)
    changed: bool = False
    guess: Guess | None = None


@record
class Guess:
    """What is tried for maps that are assigned nothing but what is made of themselves (`@n = @n + 1`), or of each
    other: reading one gives a number, or a string (`text`), that adapts to what it is used with. With `own` only where
    the map itself is being assigned."""

    maps: frozenset[str]
    own: bool
    text: bool


class Symbols:
    """The variables in sight in one probe, and the script's maps. `owner` tells the probes apart."""

    def __init__(self, learnt: Learnt, owner: object) -> None:
        self.learnt = learnt
        self.owner = owner
        self.subprograms = learnt.subprograms
        self._scopes: list[dict[str, typed.VarSymbol]] = [{}]
        self._declared = 0
        self._keys: dict[int, tuple[object, int]] = {}
        self._fixed: set[int] = set()
        self._depths: dict[int, int] = {}
        self.callback_depth = 0
        self.target: typed.MapSymbol | None = None
        """The map that is being assigned."""

    # --- variables --------------------------------------------------------------------------------

    @contextmanager
    def scope(self) -> Iterator[None]:
        self._scopes.append({})
        try:
            yield
        finally:
            self._scopes.pop()

    @contextmanager
    def callback(self) -> Iterator[None]:
        """A scope whose code becomes a function of its own: what it uses from outside is captured."""
        self.callback_depth += 1
        try:
            with self.scope():
                yield
        finally:
            self.callback_depth -= 1

    def visible(self) -> list[str]:
        return [name for scope in self._scopes for name in scope]

    def variable(self, name: str) -> typed.VarSymbol | None:
        for scope in reversed(self._scopes):
            if name in scope:
                symbol = scope[name]
                if self.callback_depth or self._depths[id(symbol)]:
                    symbol.captured = True
                return symbol
        return None

    def declare(self, name: str, kind: t.Type, fixed: bool = False) -> typed.VarSymbol:
        """A new variable in the innermost scope; `fixed` means that its type was written down."""
        key = (self.owner, self._declared)
        self._declared += 1
        symbol = typed.VarSymbol(name, kind if fixed else self.learnt.variables.get(key, kind))
        if self.callback_depth:
            symbol.captured = True
        self._keys[id(symbol)] = key
        self._depths[id(symbol)] = self.callback_depth
        if fixed:
            self._fixed.add(id(symbol))
        self._scopes[-1][name] = symbol
        return symbol

    def adopt(self, symbol: typed.VarSymbol) -> None:
        """Makes a parameter visible."""
        self._keys[id(symbol)] = (self.owner, -1 - len(self._keys))
        self._depths[id(symbol)] = 0
        self._fixed.add(id(symbol))
        self._scopes[-1][symbol.name] = symbol

    def is_fixed(self, symbol: typed.VarSymbol) -> bool:
        """Whether the type of a variable was written down."""
        return id(symbol) in self._fixed

    def assign_variable(self, c: ExpressionChecker, symbol: typed.VarSymbol, value: typed.Expr, span: Span) -> bool:
        """Widens a variable for an assignment; False after a diagnostic. One that was declared as an integer takes any
        integer and keeps the bits it has room for, except that literals must fit."""
        if isinstance(value.type, t.Unknown):
            return False
        fixed = self.is_fixed(symbol)
        if fixed and isinstance(symbol.type, t.Int) and isinstance(value.type, t.Int) and not is_literal(value):
            c.warn_of_cast(value, symbol.type)
            return True  # cut to what was declared
        joined = value.type if isinstance(symbol.type, t.Unknown) else join_expr(symbol.type, value)
        declared = symbol.type.to if fixed and isinstance(symbol.type, t.Pointer) else None
        if isinstance(joined, t.Pointer) and (joined.to == declared or isinstance(declared, t.Void)):
            joined = symbol.type = t.Pointer(declared, joined.space)  # into whose memory was not declared
        if joined is None or (fixed and joined != symbol.type):
            self.variable_mismatch(c, symbol, value, span)
            return False
        if joined != symbol.type:
            symbol.type = joined
            self.learnt.variables[self._keys[id(symbol)]] = joined
            self.learnt.changed = True
        c.warn_of_cast(value, joined)
        return True

    def variable_mismatch(self, c: ExpressionChecker, symbol: typed.VarSymbol, value: typed.Expr, span: Span) -> None:
        """Says that a variable cannot have a value, for its type."""
        hint = None
        if isinstance(symbol.type, t.Int) and isinstance(value, typed.Const) and isinstance(value.type, t.Int):
            low = -(1 << (symbol.type.bits - 1)) if symbol.type.signed else 0
            high = low + (1 << symbol.type.bits) - 1
            hint = f"{value.value} is not in the range of '{symbol.type}', {low} to {high}"
        c.error(
            span,
            f"Type mismatch for ${symbol.name}: trying to assign value of type '{value.type}' "
            f"when variable already has a type '{symbol.type}'",
            hint,
        )

    # --- maps -------------------------------------------------------------------------------------

    @contextmanager
    def assigning(self, symbol: typed.MapSymbol) -> Iterator[None]:
        """While the value for a map is looked at."""
        before, self.target = self.target, symbol
        try:
            yield
        finally:
            self.target = before

    def guessed(self, symbol: typed.MapSymbol, span: Span) -> typed.Expr | None:
        """What a map of unknown type is taken to hold for the time being, if anything: see `Guess`."""
        guess = self.learnt.guess
        if guess is None or symbol.name not in guess.maps or (guess.own and symbol is not self.target):
            return None
        if guess.text:
            return typed.Str(b"", type=t.String(1), span=span)
        return typed.Const(0, literal=True, type=t.Int(8, True), span=span)

    def map(self, node: ast.Map) -> typed.MapSymbol:
        symbol = self.learnt.maps.get(node.name)
        if symbol is None:
            symbol = self.learnt.maps[node.name] = typed.MapSymbol(node.name, node.span)
            self.learnt.changed = True
        symbol.used = True
        return symbol

    def use_keyed(self, symbol: typed.MapSymbol, keyed: bool, span: Span, diagnostics: Diagnostics) -> bool:
        """Notes that a map is used with or without keys; False after a diagnostic when it was used the other way."""
        if symbol.kind in QUEUES:
            hint = f"use push(@{symbol.name}, value), pop(@{symbol.name}, $x) and peek(@{symbol.name}, $x)"
            diagnostics.error(
                span, f"@{symbol.name} is a {symbol.kind}: its elements have no keys and no fixed value", hint
            )
            return False
        if symbol.kind == PREFIXES and not keyed:
            hint = f'use @{symbol.name}[pton("10.0.0.0"), 8] or @{symbol.name}[ntop(address)]'
            diagnostics.error(span, f"@{symbol.name} is an lpm map: its elements have keys", hint)
            return False
        if symbol.keyed is None:
            symbol.keyed = keyed
            self.learnt.changed = True
        if symbol.keyed != keyed:
            if keyed:
                message = f"@{symbol.name} used as a map with an explicit key (non-scalar map), previously used without"
            else:
                message = f"@{symbol.name} used as a map without an explicit key (scalar map), previously used with one"
            diagnostics.error(span, message, "give one of them another name")
            return False
        return True

    def settle(self, c: ExpressionChecker, symbol: typed.MapSymbol, old: t.Type, value: typed.Expr) -> t.Type | None:
        """The type that a map's keys or values have with one more of them; None where there is none."""
        joined = value.type if isinstance(old, t.Unknown) else join_expr(old, value)
        if joined is None:
            return None
        if symbol.known is not None:
            return old if fits(old, joined) else None
        return roomy(joined) if c.options.live else joined

    def assign_map(self, c: ExpressionChecker, symbol: typed.MapSymbol, value: typed.Expr, span: Span) -> bool:
        """Widens a map's value for an assignment; False after a diagnostic."""
        if isinstance(value.type, t.Unknown):
            return False
        symbol.writers.add(c.ordinal)
        joined = self.settle(c, symbol, symbol.value, value)
        if joined is None and isinstance(symbol.value, t.Aggregation) and type(symbol.value) is type(value.type):
            hint = f"it has {_call(symbol.value)}, this is {_call(value.type)}; give one of them another map"
            c.error(value.span, f"Different bounds in a single map: @{symbol.name}", hint)
            return False
        if joined is None:
            c.error(
                span,
                f"Type mismatch for @{symbol.name}: trying to assign value of type '{value.type}' "
                f"when map already has a type '{symbol.value}'{in_session(symbol)}",
                decided(symbol),
            )
            return False
        if joined != symbol.value:
            symbol.value = joined
            self.learnt.changed = True
        c.warn_of_cast(value, joined)
        return True


def _call(kind: t.Type) -> str:
    """How an aggregation is asked for, where there are several of one kind."""
    match kind:
        case t.Hist(bits):
            return f"hist(…, {bits})"
        case t.LHist(low, high, step):
            return f"lhist(…, {low}, {high}, {step})"
        case t.TSeries(interval, count, merge):
            return f"tseries(…, {interval}, {count}" + (f', "{merge}")' if merge else ")")
    return str(kind)


def in_session(symbol: typed.MapSymbol) -> str:
    """The end of a complaint about the type of a map that was there before the script."""
    return " in this session" if symbol.known is not None else ""


def decided(symbol: typed.MapSymbol) -> str | None:
    """The hint that goes with it."""
    return "a map of a session keeps the types of its first use: use another name" if symbol.known is not None else None
