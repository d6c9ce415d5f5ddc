"""Raw bytes: buffers, addresses of the network, byte order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen import access
from pytrace.codegen.helpers import Helper
from pytrace.functions.base import function
from pytrace.semantics import members, typed
from pytrace.semantics.widen import convert

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower
    from pytrace.codegen.writers import Writer
    from pytrace.diagnostics import Span
    from pytrace.semantics.expressions import ExpressionChecker
    from pytrace.syntax import ast

GROUP = "Bytes"
UINT8 = t.Int(8, False)
AF_INET, AF_INET6 = 2, 10


# --- buf ------------------------------------------------------------------------------------------------


def _lower_buf(lo: Lower, e: typed.Call) -> Writer:
    f = lo.f
    source, count = e.args
    assert isinstance(e.type, t.Buffer)
    capacity = e.type.capacity
    in_memory = isinstance(source.type, t.Pointer)
    address = lo.word(source) if in_memory else lo.place(source)
    word = lo.word(count)
    if not isinstance(count, typed.Const):
        word = f.clamp(word, capacity + 1, capacity)

    def write(to: str) -> None:
        f.store(word, to, 32)
        data = f.offset(to, 4)
        if isinstance(count, typed.Const) and in_memory:
            access.read(lo, data, count.value, address, source.type.space)  # type: ignore[attr-defined]  # a pointer
            return
        helper = Helper.probe_read_kernel
        if in_memory and source.type.space == "user":  # type: ignore[attr-defined]  # a pointer
            helper = Helper.probe_read_user
        narrow = f.op(f"trunc i64 {word} to i32")
        f.helper(helper, f"ptr {data}", f"i32 {narrow}", f"{'i64' if in_memory else 'ptr'} {address}")

    return write


def _bytes_of(c: ExpressionChecker, value: typed.Expr) -> tuple[typed.Expr, int | None] | None:
    """Where bytes are (a pointer, or a value that the program holds), and how many there are, if the type says."""
    kind = value.type
    if isinstance(kind, t.Array | t.String | t.Struct | t.Mac):
        size: int | None = kind.size
        if isinstance(value, typed.Memory):
            value = typed.Convert(value.address, type=t.Pointer(UINT8, value.space), span=value.span)
        return value, size
    if isinstance(kind, t.Int):
        kind = t.Pointer(UINT8)
    if not isinstance(kind, t.Pointer):
        return None
    size = kind.to.size if isinstance(kind.to, t.Array) else None
    pointer = t.Pointer(kind.to, members.space_of(c, kind))  # type: ignore[arg-type]  # a Space
    return typed.Convert(value, type=pointer, span=value.span), size


@function(
    "buf(void *data[, int length]) -> buffer",
    "The bytes at a pointer, or of an array or string; at most config max_strlen. %r prints them.",
    'begin { printf("%r\\n", buf(curtask.comm, 4)); }',
    group=GROUP,
    lower=_lower_buf,
)
def buf(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 1, 2):
        return c.error(n.span)
    value = c.materialize(c.expr(n.args[0]))
    if isinstance(value.type, t.Unknown):
        return c.error(n.span)
    found = _bytes_of(c, value)
    if found is None:
        return c.error(n.span, f"buf() expects an integer, a pointer, a string or an array, not '{value.type}'")
    source, size = found
    most = c.config.max_strlen if size is None else min(size, c.config.max_strlen)
    if len(n.args) == 1:
        if size is None:
            return c.error(n.span, f"buf() expects a length argument for non-array type {value.type}")
        return c.call(n, t.Buffer(most), source, typed.Const(most, type=t.UINT64, span=n.span))
    length = c.integer(n.args[1], "a length for buf()")  # type: ignore[arg-type]  # types are reported there
    if isinstance(length, typed.Const) and not isinstance(length.type, t.Unknown):
        if length.value < 1:
            return c.error(n.args[1].span, f"buf() expects a positive length, not {length.value}")
        most = min(most, length.value)
        length = typed.Const(most, type=t.UINT64, span=n.span)
    return c.call(n, t.Buffer(most), source, convert(length, t.UINT64))


# --- bswap ----------------------------------------------------------------------------------------------


def _lower_bswap(lo: Lower, e: typed.Call) -> str:
    f = lo.f
    bits = e.type.size * 8
    value = lo.word(e.args[0])
    if bits == 8:
        return value
    narrow = value if bits == 64 else f.op(f"trunc i64 {value} to i{bits}")
    swapped = f.op(f"call i{bits} @llvm.bswap.i{bits}(i{bits} {narrow})")
    return swapped if bits == 64 else f.op(f"zext i{bits} {swapped} to i64")


@function(
    "bswap(intN n) -> uintN",
    "The integer with its bytes in the opposite order.",
    "begin { print(bswap((uint16)0x1234)); }",
    group=GROUP,
    lower=_lower_bswap,
)
def bswap(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 1):
        return c.error(n.span)
    value = c.integer(n.args[0])  # type: ignore[arg-type]  # types are reported there
    kind = value.type
    if not isinstance(kind, t.Int):
        message = f"bswap() only supports integer arguments ({kind} provided)"
        return c.error(n.span, "" if isinstance(kind, t.Unknown) else message)
    unsigned = t.Int(kind.bits, False)
    if isinstance(value, typed.Const):
        data = (value.value & ((1 << kind.bits) - 1)).to_bytes(kind.size, "little")
        return typed.Const(int.from_bytes(data, "big"), type=unsigned, span=n.span)
    return c.call(n, unsigned, convert(value, unsigned))


# --- macaddr, ntop, pton --------------------------------------------------------------------------------------


def _held(c: ExpressionChecker, value: typed.Expr, size: int) -> typed.Expr | None:
    """The first `size` bytes that a value has or leads to, as an array; None if it has not got so many."""
    kind = value.type
    array = t.Array(UINT8, size)
    if isinstance(kind, t.Pointer | t.Int):
        space = members.space_of(c, kind if isinstance(kind, t.Pointer) else t.Pointer(UINT8))
        return members.memory(c, convert(value, t.UINT64), array, space, value.span)
    if not isinstance(kind, t.Array | t.String | t.Mac) or kind.size < size:
        return None
    if isinstance(value, typed.Memory):
        return members.memory(c, value.address, array, value.space, value.span)
    return typed.Part(value, 0, type=array, span=value.span)


@function(
    "macaddr(char mac[6]) -> mac_address",
    "A hardware address, printed as AA:BB:CC:DD:EE:FF.",
    'begin { $a = (uint8[8])0x0000665544332211; printf("%s\\n", macaddr($a)); }',
    group=GROUP,
    lower=lambda lo, e: lo.writer(e.args[0]),
)
def macaddr(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    """bpftrace 0.27 reads an array variable as if it were an address; this takes its bytes."""
    if not c.arity(n, 1):
        return c.error(n.span)
    value = c.materialize(c.expr(n.args[0]))
    if isinstance(value, typed.Str):
        return c.error(n.span, "macaddr() does not support literal string arguments")
    if isinstance(value.type, t.Unknown):
        return c.error(n.span)
    mac = _held(c, value, 6)
    if mac is None:
        return c.error(n.span, f"macaddr() argument must be 6 bytes in size, not a '{value.type}'")
    return c.call(n, t.Mac(), mac)


def _lower_ntop(lo: Lower, e: typed.Call) -> Writer:
    f = lo.f
    family, address = e.args
    number, writer = lo.word(family), lo.writer(address)
    size = address.type.size

    def write(to: str) -> None:
        f.store(number, to)
        f.zero(to, 16 - size, 8 + size)
        writer(f.offset(to, 8))

    return write


@function(
    "ntop([int af,] addr) -> inet",
    "An IPv4 (an integer or 4 bytes) or IPv6 (16 bytes) address in network order, printed as usual.",
    'begin { print(ntop(0x0100007f)); print(ntop(pton("::1"))); }',
    group=GROUP,
    lower=_lower_ntop,
)
def ntop(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 1, 2):
        return c.error(n.span)
    value = c.materialize(c.expr(n.args[-1]))
    family: typed.Expr | None = None
    if len(n.args) == 2:
        family = c.integer(n.args[0], "an address family")  # type: ignore[arg-type]  # types are reported there
        if isinstance(family.type, t.Unknown):
            return c.error(n.span)
    return address(c, value, n.span, family)


def address(c: ExpressionChecker, value: typed.Expr, span: Span, family: typed.Expr | None = None) -> typed.Expr:
    """The `inet` of an integer or of 4 or 16 bytes."""
    kind = value.type
    if isinstance(kind, t.Unknown):
        return c.error(span)
    if isinstance(value, typed.Str) or not isinstance(kind, t.Int | t.Enum | t.Array | t.String):
        return c.error(span, f"ntop() expects an integer or an array of 4 or 16 bytes, not '{kind}'")
    if isinstance(kind, t.Int | t.Enum):
        held: typed.Expr | None = convert(value, t.UINT32)
    else:
        if kind.size not in (4, 16):
            return c.error(span, "ntop() argument must be 4 or 16 bytes in size")
        held = _held(c, value, kind.size)
    if family is None:
        family = typed.Const(AF_INET6 if kind.size == 16 else AF_INET, type=t.UINT64, span=span)
    if held is None:
        return c.error(span)
    return typed.Call("ntop", (convert(family, t.UINT64), held), type=t.Inet(), span=span)


@function(
    "pton(const string addr) -> uint8[4] or uint8[16]",
    "The bytes of an IPv4 or IPv6 address in network order.",
    'begin { print(pton("127.0.0.1")); }',
    group=GROUP,
)
def pton(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    text = c.string_literal(n.args[0], "the address for pton()") if c.arity(n, 1) else None
    if text is None:
        return c.error(n.span)
    import socket

    try:
        data = socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except (OSError, ValueError):
        return c.error(n.span, f"pton() expects a valid IPv4/IPv6 address, got {text}")
    value = typed.Str(data, type=t.String(len(data)), span=n.span)
    return typed.Reinterpret(value, type=t.Array(UINT8, len(data)), span=n.span)
