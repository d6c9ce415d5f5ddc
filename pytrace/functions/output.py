"""Functions that make user space do something: print, run, end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen import printing
from pytrace.codegen.helpers import Helper
from pytrace.format import Conversion, FormatError, parse_format, unknown_conversions
from pytrace.functions.base import function
from pytrace.program import EXIT_CODE, EXIT_FLAG
from pytrace.semantics import members, typed
from pytrace.semantics.widen import convert
from pytrace.syntax import ast

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower
    from pytrace.diagnostics import Span
    from pytrace.semantics.expressions import ExpressionChecker

GROUP = "Output"
MAX_JOIN_ARGUMENTS = 16
"""Strings that one join() takes; each has `MAX_JOIN_BYTES` of room in its record."""
MAX_JOIN_BYTES = 256


# --- printf and its kin -------------------------------------------------------------------------------


def formatted(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    """Checks `f(format, arguments…)`; the format ends up in `data`."""
    if not c.arity(n, 1, 10_000):
        return c.error(n.span)
    text = c.string_literal(n.args[0], f"the format of {n.name}()")
    values = [c.materialize(c.expr(a)) for a in n.args[1:]]
    if text is None or any(isinstance(v.type, t.Unknown) for v in values):
        return c.error(n.span)
    try:
        format_ = parse_format(text)
    except FormatError as e:
        return c.error(n.args[0].span, str(e))
    wanted = format_.conversions
    if len(wanted) != len(values):
        enough = "enough" if len(values) < len(wanted) else "too many"
        what = "Not enough" if enough == "enough" else "Too many"
        literal = [f"'{word}'" for word in unknown_conversions(text)]
        hint = f"no conversion, and printed as written: {', '.join(literal)}" if literal else None
        counts = f"({len(wanted)} expected, {len(values)} found)"
        return c.error(n.span, f"{n.name}: {what} arguments for format string {counts}", hint)
    for value, conversion in zip(values, wanted, strict=True):
        problem = _mismatch(value.type, conversion)
        if problem:
            return c.error(value.span, f"{n.name}: {conversion} specifier expects {problem} ('{value.type}' found)")
    shown = [
        _as_int(value) if _means_int(value, conversion) else value
        for value, conversion in zip(values, wanted, strict=True)
    ]
    return c.call(n, t.VOID, *shown, data=format_)


def _means_int(value: typed.Expr, conversion: Conversion) -> bool:
    """Whether a conversion tells what a register holds: `%d` of `retval` is how scripts show the -1 of an int."""
    return isinstance(value, typed.ContextLoad) and value.untyped and conversion.verb in "di" and not conversion.length


def _as_int(value: typed.Expr) -> typed.Expr:
    return typed.Convert(value, type=t.INT32, span=value.span)


def _mismatch(kind: t.Type, conversion: Conversion) -> str | None:
    """What a conversion wanted instead, or None where it can show the type."""
    match conversion.verb:
        case "s":
            return "a value" if isinstance(kind, t.Void | t.Aggregation) else None
        case "r" | "rx" | "rh":
            return None if isinstance(kind, t.Buffer) else "a buffer"
        case "p":
            return None if _is_number(kind) else "a pointer or integer"
    return None if _is_number(kind) else "an integer"


def _is_number(kind: t.Type) -> bool:
    """Of the words that programs hold, some stand for a text."""
    return isinstance(kind, t.Int | t.Bool | t.Enum | t.Pointer | t.Named)


def _lower_formatted(lo: Lower, e: typed.Call) -> None:
    place = e.span.place if e.name in ("errorf", "warnf") else ""
    lo.send(e.name, e.args, e.span, format=e.data, text=place)


@function(
    "printf(const string format, …)",
    "Prints formatted text: %d %u %x %s and their kin as in C, plus %r, %rx, %rh for buffers; %s takes any type.",
    'tracepoint:syscalls:sys_enter_openat { printf("%s %s\\n", comm, str(args.filename)); }',
    group=GROUP,
    lower=_lower_formatted,
)
def printf(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return formatted(c, n)


@function(
    "errorf(const string format, …)",
    "Prints formatted text as an error message with the place in the script.",
    'begin { errorf("found %d", 10); }',
    group=GROUP,
    lower=_lower_formatted,
)
def errorf(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return formatted(c, n)


@function(
    "warnf(const string format, …)",
    "Prints formatted text as a warning with the place in the script.",
    'begin { warnf("found %d", 10); }',
    group=GROUP,
    lower=_lower_formatted,
)
def warnf(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return formatted(c, n)


@function(
    "cat(const string format, …)",
    "Prints the contents of the file that the formatted text names.",
    'tracepoint:syscalls:sys_enter_execve { cat("/proc/%d/maps", pid); }',
    group=GROUP,
    lower=_lower_formatted,
)
def cat(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return formatted(c, n)


@function(
    "system(const string format, …)",
    "Runs the formatted text as a shell command on the tracing machine.",
    'interval:s:1 { system("ps -p %d", 1); }',
    group=GROUP,
    unsafe=True,
    lower=_lower_formatted,
)
def system(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return formatted(c, n)


# --- print --------------------------------------------------------------------------------------------


def _lower_print(lo: Lower, e: typed.Call) -> None:
    if isinstance(e.data, typed.MapSymbol):
        printing.print_map(lo, e, e.data)
        return
    action, name = e.data
    lo.send(action, e.args, e.span, map=name)


@function(
    "print(value) or print(map m[, int top[, int div]])",
    "Prints a value, an element of a map, or a whole map: its `top` largest entries, divided by `div`.",
    "interval:s:1 { @[rand % 20] = count(); print(@, 10); clear(@); }",
    group=GROUP,
    lower=_lower_print,
)
def print_(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 1, 3):
        return c.error(n.span)
    first = n.args[0]
    if isinstance(first, ast.Map):
        return _print_map(c, n, first)
    if isinstance(first, ast.MapAccess):
        symbol = c.symbols.map(first.map)
        if isinstance(symbol.value, t.Stats | t.Hist | t.LHist | t.TSeries):
            key = c.map_key(symbol, first.key, first.span)
            return c.error(n.span) if key is None else c.call(n, t.VOID, key, data=("print_entry", "@" + symbol.name))
    if len(n.args) > 1:
        return c.error(n.span, f"Non-map print() only takes 1 argument, {len(n.args)} found")
    value = c.materialize(c.expr(first))
    if isinstance(value.type, t.Void | t.Aggregation):
        return c.error(n.span, f"print() cannot show a value of type '{value.type}'")
    return c.call(n, t.VOID, value, data=("print", ""))


def _print_map(c: ExpressionChecker, n: ast.Call, node: ast.Map) -> typed.Expr:
    symbol = c.symbols.map(node)
    numbers = []
    for argument, name in zip(n.args[1:], ("top", "div"), strict=False):
        value = c.constant(argument, f"{name} of print()")
        if value is None:
            return c.error(n.span)
        if value < 0:
            return c.error(argument.span, f"{name} of print() cannot be negative")
        numbers.append(value)
    numbers += [0] * (2 - len(numbers))
    args = tuple(typed.Const(v, type=t.INT64, span=n.span) for v in numbers)
    return c.call(n, t.VOID, *args, data=symbol)


# --- join, exit ----------------------------------------------------------------------------------------


def _lower_join(lo: Lower, e: typed.Call) -> None:
    """Reads the strings of an argv one by one into the record, stopping at the first null pointer."""
    f = lo.f
    space, separator = e.data
    base = lo.word(e.args[0])
    kinds = (t.UINT64, *(t.String(MAX_JOIN_BYTES) for _ in range(MAX_JOIN_ARGUMENTS)))
    layout = t.Tuple(kinds)
    room = lo.scratch(layout.size)
    count = f.alloca(8)
    f.store(0, count)
    done = f.label("joined")
    read = Helper.probe_read_user if space == "user" else Helper.probe_read_kernel
    read_str = Helper.probe_read_user_str if space == "user" else Helper.probe_read_kernel_str
    for i, offset in enumerate(layout.offsets[1:]):
        temporary = lo.temporary()
        f.helper(read, f"ptr {temporary}", "i32 8", f"i64 {f.add(base, 8 * i)}")
        pointer = f.load(temporary)
        following = f.label("argument")
        f.branch(f.compare("eq", pointer, 0), done, following)
        f.place(following)
        f.helper(read_str, f"ptr {f.offset(room, offset)}", f"i32 {MAX_JOIN_BYTES}", f"i64 {pointer}")
        f.store(i + 1, count)
    f.place(done)
    f.store(f.load(count), room)
    held = tuple(
        typed.Held(f.offset(room, offset), type=kind, span=e.span)
        for kind, offset in zip(kinds, layout.offsets, strict=True)
    )
    number = typed.Reinterpret(held[0], type=t.UINT64, span=e.span)
    lo.send("join", (number, *held[1:]), e.span, text=separator)


@function(
    'join(char *argv[][, string separator = " "])',
    f"Prints the strings of a null-terminated array, at most {MAX_JOIN_ARGUMENTS} of {MAX_JOIN_BYTES} bytes.",
    "tracepoint:syscalls:sys_enter_execve { join(args.argv); }",
    group=GROUP,
    lower=_lower_join,
)
def join(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 1, 2):
        return c.error(n.span)
    value = c.word(n.args[0], "a pointer to an array of strings")  # type: ignore[arg-type]  # types are reported
    separator: str | None = c.string_literal(n.args[1], "the separator of join()") if len(n.args) > 1 else " "
    if isinstance(value.type, t.Unknown) or separator is None:
        return c.error(n.span)
    kind = value.type if isinstance(value.type, t.Pointer) else t.Pointer(t.VOID)
    return c.call(n, t.VOID, value, data=(members.space_of(c, kind), separator))


def leave(lo: Lower, code: typed.Expr, span: Span) -> None:
    """Ends the script and this run of the probe. The code also goes into the counters map, so that no full ring can
    keep a script from ending."""
    from pytrace.codegen import loops

    f = lo.f
    number = lo.word(code)
    header = lo.unit.value("counters")
    f.store(number, f.offset(header, EXIT_CODE), 32)
    f.store(1, f.offset(header, EXIT_FLAG), 32)
    room = f.alloca(8)
    f.store(number, room)
    held = typed.Reinterpret(typed.Held(room, type=t.INT64, span=span), type=t.INT64, span=span)
    lo.send("exit", (held,), span)
    loops.return_(lo, typed.Return(None, span=span))


def _lower_exit(lo: Lower, e: typed.Call) -> None:
    leave(lo, e.args[0], e.span)


@function(
    "exit([int code = 0])",
    "Ends the probe and the script; the exit status is `code`.",
    "interval:s:10 { exit(); }",
    group=GROUP,
    lower=_lower_exit,
)
def exit_(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 0, 1):
        return c.error(n.span)
    code: typed.Expr = typed.Const(0, type=t.INT64, span=n.span)
    if n.args:
        code = c.integer(n.args[0], "an exit code")  # type: ignore[arg-type]  # types are reported
    return c.call(n, t.VOID, convert(code, t.INT64) if not isinstance(code.type, t.Unknown) else code)
