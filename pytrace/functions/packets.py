"""Files and packets as the kernel has them: full paths, and packets written to capture files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen import access, trusted
from pytrace.codegen.helpers import Helper
from pytrace.functions.base import function
from pytrace.semantics import members, typed
from pytrace.semantics.once import once
from pytrace.semantics.widen import convert

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower
    from pytrace.codegen.writers import Writer
    from pytrace.semantics.expressions import ExpressionChecker
    from pytrace.syntax import ast

GROUP = "Files and packets"
MAX_PACKET = 2048


def _struct(kind: t.Type, name: str) -> bool:
    return isinstance(kind, t.Struct) and kind.name == name


# --- path -------------------------------------------------------------------------------------------------


def _lower_path(lo: Lower, e: typed.Call) -> Writer:
    """The kernel fills in all of the path or nothing; what is too long for the type loses its beginning."""
    f = lo.f
    size = e.type.size
    most = lo.unit.config.max_strlen
    room = lo.scratch(most)
    start, absent = f.alloca(8), f.label("absent")
    f.store(0, room, 8)
    f.store(0, start)
    path = trusted.pointer(lo, e.args[0], absent)
    got = f.extend(f.helper(Helper.d_path, f"ptr {path}", f"ptr {room}", f"i32 {most}"), 32, True)
    with f.when(f.compare("sgt", got, size), "long"):
        f.store(f.add(got, -size), start)
    with f.when(f.compare("slt", got, 0), "unknown"):
        f.store(0, room, 8)
    f.place(absent)
    source = f.offset(room, f.clamp(f.load(start), most - size + 1))
    return lambda to: access.copy_string(lo, source, to, size)


@function(
    "path(struct path *path[, int size]) -> string",
    "The full path of a file, or the last `size` bytes of it with the NUL (config max_strlen by default). The kernel "
    "allows it in fentry and fexit probes of a few functions (btf_allowlist_d_path) and in iterators, for what typed "
    "arguments lead to.",
    "iter:task_file { print(path(ctx.file.f_path)); }",
    group=GROUP,
    lower=_lower_path,
)
def path(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 1, 2):
        return c.error(n.span)
    value = c.expr(n.args[0])
    size: int | None = c.config.max_strlen
    if len(n.args) > 1:
        size = c.constant(n.args[1], "the size for path()")
        if size is not None and not 1 <= size <= c.config.max_strlen:
            return c.error(n.args[1].span, f"path() takes a size from 1 to {c.config.max_strlen}, not {size}")
    kind = value.type
    if size is None or isinstance(kind, t.Unknown):
        return c.error(n.span)
    if isinstance(value, typed.Memory) and _struct(kind, "path"):
        value = typed.Convert(value.address, type=t.Pointer(kind, value.space), span=n.span)
    elif not isinstance(kind, t.Pointer) or not _struct(kind.to, "path"):
        return c.error(n.span, f"path() only supports pointers to 'struct path' ('{kind}' provided)")
    names = {p.name.split(":")[0] for p in c.points}
    if not names <= {"fentry", "fexit", "iter", "rawtracepoint"} or not trusted.is_trusted(value, c.context):
        message = "The path function can only be used with 'fentry', 'fexit', 'iter' probes"
        return c.error(n.span, message, "and for what a typed argument (args.NAME, ctx.NAME) leads to")
    return c.call(n, t.String(size), value)


# --- skboutput --------------------------------------------------------------------------------------------


def _lower_skb(lo: Lower, e: typed.Call) -> str:
    lo.send("skboutput", e.args, e.span, text=e.data)
    return "0"


def _chosen(op: str, a: typed.Expr, b: typed.Expr) -> typed.Expr:
    """Whichever of two numbers stands in this order to the other."""

    def choose(a: typed.Expr, b: typed.Expr) -> typed.Expr:
        chosen = typed.Binary(op, a, b, type=t.BOOL, span=a.span)
        return typed.Ternary(chosen, a, b, type=t.INT64, span=a.span)

    return once(a, lambda one: once(b, lambda other: choose(one, other)))


@function(
    "skboutput(const string path, struct sk_buff *skb, uint64 length, uint64 offset) -> uint32",
    "Writes a packet to a capture file (pcap, raw IP), from `offset` bytes into its data: at most `length`, and at "
    f"most {MAX_PACKET}, of the bytes that the packet has in one piece. Gives 0.",
    'rawtracepoint:net_dev_queue { skboutput("/tmp/out.pcap", args.skb, args.skb.len, 14); }',
    group=GROUP,
    lower=_lower_skb,
)
def skboutput(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    """bpftrace sends packets through a perf buffer of their own (bpf_skb_output); here they go the way of all events,
    which works in every probe that has the packet."""
    if not c.arity(n, 4):
        return c.error(n.span)
    name = c.string_literal(n.args[0], "the path for skboutput()")
    skb = c.expr(n.args[1])
    length, offset = (c.integer(a, "a number of bytes") for a in n.args[2:])  # type: ignore[arg-type]  # types are reported
    if name is None or any(isinstance(v.type, t.Unknown) for v in (skb, length, offset)):
        return c.error(n.span)
    if not isinstance(skb.type, t.Pointer) or not _struct(skb.type.to, "sk_buff"):
        return c.error(n.args[1].span, f"skboutput() wants a 'struct sk_buff *', found '{skb.type}'")
    most = convert(length, t.INT64)
    return once(skb, lambda skb: once(convert(offset, t.INT64), lambda start: _packet(c, n, name, skb, most, start)))


def _packet(
    c: ExpressionChecker, n: ast.Call, name: str, skb: typed.Expr, most: typed.Expr, start: typed.Expr
) -> typed.Expr:
    data = members.member(c, skb, "data", n.span)
    whole, apart = (convert(members.member(c, skb, m, n.span), t.INT64) for m in ("len", "data_len"))
    here = typed.Binary("-", whole, apart, type=t.INT64, span=n.span)
    here = typed.Binary("-", here, start, type=t.INT64, span=n.span)
    none, cap = (typed.Const(v, type=t.INT64, span=n.span) for v in (0, MAX_PACKET))
    size = _chosen(">", none, _chosen("<", _chosen("<", here, most), cap))
    address = typed.Binary("+", typed.Convert(data, type=t.INT64, span=n.span), start, type=t.INT64, span=n.span)
    pointer = typed.Convert(address, type=t.Pointer(t.Int(8, False), "kernel"), span=n.span)
    packet = typed.Call("buf", (pointer, convert(size, t.UINT64)), type=t.Buffer(MAX_PACKET), span=n.span)
    now = typed.Call("nsecs", (), "boot", type=t.UINT64, span=n.span)
    total = convert(whole, t.UINT64)
    return c.call(n, t.UINT32, now, total, packet, data=name)
