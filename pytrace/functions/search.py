"""Comparing strings and bytes, and looking for one string in another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen import automaton, search, text
from pytrace.codegen.automaton import Automaton
from pytrace.functions.base import function
from pytrace.functions.strings import GROUP, string_argument
from pytrace.semantics import members, typed
from pytrace.semantics.widen import convert

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower
    from pytrace.semantics.expressions import ExpressionChecker
    from pytrace.syntax import ast


def _literal(value: typed.Str) -> bytes:
    return value.value.split(b"\0")[0]


# --- strstr, strcontains, globmatch -----------------------------------------------------------------------


def _run(lo: Lower, e: typed.Call, machine: Automaton) -> tuple[str, str]:
    """The i1 of whether the machine said yes, and how many bytes it had read."""
    haystack = e.args[0]
    state, taken = text.run(lo, machine, lo.place(haystack), haystack.type.size)
    return lo.f.compare("eq", state, machine.final + 1), taken


def _lower_find(lo: Lower, e: typed.Call) -> str:
    """The index of the needle in the haystack, or -1."""
    f = lo.f
    if isinstance(e.data, bytes):
        yes, taken = _run(lo, e, automaton.finder(e.data))
        return f.select(yes, f.add(taken, -len(e.data)), "-1")
    haystack, needle = e.args
    size = needle.type.size
    place = lo.place(needle)
    count = text.length(lo, place, size)
    return search.search(lo, lo.place(haystack), haystack.type.size, place, size, count, e.span)


def _find(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    """`strstr(haystack, needle)` as an int64."""
    haystack, needle = (string_argument(c, a) for a in n.args)
    if haystack is None or needle is None:
        return c.error(n.span)
    if not isinstance(needle, typed.Str):
        return c.call(n, t.INT64, haystack, needle, name="strstr")
    wanted = _literal(needle)
    if isinstance(haystack, typed.Str):
        return typed.Const(_literal(haystack).find(wanted), type=t.INT64, span=n.span)
    if not wanted or len(wanted) > haystack.type.size:
        return typed.Const(-1 if wanted else 0, type=t.INT64, span=n.span)
    if len(wanted) > automaton.MAX_STATES:
        return c.error(n.args[1].span, f"{n.name}() cannot look for more than {automaton.MAX_STATES} bytes")
    return c.call(n, t.INT64, haystack, data=wanted, name="strstr")


@function(
    "strstr(string haystack, string needle) -> int64",
    "Where `needle` first occurs in `haystack`, from 0; -1 if it does not.",
    'begin { print(strstr("hello", "ll")); }',
    group=GROUP,
    lower=_lower_find,
)
def strstr(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    """bpftrace 0.27 gives -2 where it finds nothing, and documents -1, which is what this gives."""
    return _find(c, n) if c.arity(n, 2) else c.error(n.span)


@function(
    "strcontains(string haystack, string needle) -> bool",
    "Whether `needle` occurs in `haystack`.",
    'tracepoint:syscalls:sys_enter_openat /strcontains(str(args.filename), "lib")/ { @ = count(); }',
    group=GROUP,
)
def strcontains(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    where = _find(c, n) if c.arity(n, 2) else c.error(n.span)
    if isinstance(where.type, t.Unknown):
        return where
    return c.binary(">=", where, typed.Const(0, type=t.INT64, span=n.span), n.span)


def _lower_glob(lo: Lower, e: typed.Call) -> str:
    return lo.f.word(_run(lo, e, automaton.glob(e.data))[0])


@function(
    "globmatch(string s, const string pattern) -> bool",
    "Whether a pattern matches the whole of `s`: * is any text, ? any character, [a-z] one of a class, [!a-z] one that "
    "is not in it.",
    'tracepoint:syscalls:sys_enter_openat /globmatch(str(args.filename), "/etc/*.conf")/ { @[comm] = count(); }',
    group=GROUP,
    lower=_lower_glob,
)
def globmatch(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    """The pattern becomes an automaton at compile time, so it has to be a literal."""
    if not c.arity(n, 2):
        return c.error(n.span)
    value = string_argument(c, n.args[0])
    pattern = c.string_literal(n.args[1], "the pattern of globmatch()")
    if value is None or pattern is None:
        return c.error(n.span)
    data = pattern.encode("utf-8", "surrogateescape")
    try:
        machine = automaton.glob(data)
    except automaton.TooLarge:
        return c.error(n.args[1].span, "the pattern is too complicated", "use fewer * and classes")
    if isinstance(value, typed.Str):
        return typed.Const(int(machine.accepts(_literal(value))), type=t.BOOL, span=n.span)
    return c.call(n, t.BOOL, value, data=data)


# --- strncmp, memcmp --------------------------------------------------------------------------------------


@function(
    "strncmp(string a, string b, const int n) -> uint64",
    "0 if the first `n` bytes of two strings are equal, 1 if not.",
    'tracepoint:syscalls:sys_enter_openat /strncmp(comm, "py", 2) == 0/ { @[comm] = count(); }',
    group=GROUP,
)
def strncmp(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 3):
        return c.error(n.span)
    a, b = string_argument(c, n.args[0]), string_argument(c, n.args[1])
    size = c.constant(n.args[2], "the length for strncmp()")
    if a is None or b is None or size is None:
        return c.error(n.span)
    if size < 0:
        return c.error(n.args[2].span, "strncmp() requires a non-negative literal")
    if size == 0:
        return typed.Const(0, type=t.UINT64, span=n.span)
    differ = typed.Compare("!=", a, b, size, type=t.BOOL, span=n.span)
    return convert(differ, t.UINT64)


def _lower_memcmp(lo: Lower, e: typed.Call) -> str:
    left, right, count = e.args
    # A string literal of other capacity is as good as any: only the bytes that both have are compared.
    rooms = []
    for side in (left, right):
        room = lo.scratch(side.type.size)
        lo.writer(side, exact=True)(room)
        rooms.append(room)
    return text.difference(lo, rooms[0], rooms[1], min(left.type.size, right.type.size), lo.word(count))


def _bytes(c: ExpressionChecker, node: ast.Expr | ast.TypeExpr, size: int | None) -> typed.Expr | None:
    """An argument of memcmp(): what a pointer leads to (for as many bytes as are compared), or a value in memory."""
    value = c.materialize(c.expr(node))
    kind = value.type
    if isinstance(kind, t.Unknown):
        return None
    if isinstance(kind, t.Pointer):
        if size is None:
            c.error(node.span, "memcmp() of pointers needs a literal count")
            return None
        return members.memory(c, value, t.Array(t.Int(8, False), size), members.space_of(c, kind), value.span)
    if t.is_word(kind) or not kind.size:
        c.error(node.span, f"memcmp() compares strings, arrays and what pointers point to, not '{kind}'")
        return None
    return value


@function(
    "memcmp(a, b, uint64 count) -> int64",
    "0 if the first `count` bytes of two values are equal, else the difference of the first bytes that are not. Only "
    "bytes that both values have are compared.",
    'begin { print(memcmp("abc", "abd", 3)); }',
    group=GROUP,
    lower=_lower_memcmp,
)
def memcmp(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 3):
        return c.error(n.span)
    count = c.integer(n.args[2], "a number of bytes")  # type: ignore[arg-type]  # types are reported there
    if isinstance(count.type, t.Unknown):
        return c.error(n.span)
    size = count.value if isinstance(count, typed.Const) else None
    if size is not None and not 0 <= size <= 1 << 16:
        return c.error(n.args[2].span, f"memcmp() cannot compare {size} bytes")
    if size == 0:
        return typed.Const(0, type=t.INT64, span=n.span)
    a, b = _bytes(c, n.args[0], size), _bytes(c, n.args[1], size)
    if a is None or b is None:
        return c.error(n.span)
    return c.call(n, t.INT64, a, b, convert(count, t.UINT64))
