"""Addresses: of kernel symbols, of symbols of the traced program, of registers; and which memory they are in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pytrace import types as t
from pytrace.codegen import access
from pytrace.codegen.helpers import Helper
from pytrace.functions.base import function
from pytrace.kernel import KernelError
from pytrace.probes.base import ProbeError, RegsLoad
from pytrace.probes.regs import MACHINES, register
from pytrace.program import Uprobe, UprobeMulti
from pytrace.semantics import members, typed
from pytrace.semantics.widen import convert

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower
    from pytrace.probes.base import Point
    from pytrace.semantics.expressions import ExpressionChecker
    from pytrace.syntax import ast

GROUP = "Symbols and names"


def kernel_symbol(c: ExpressionChecker, n: ast.Call, name: str) -> int | None:
    """A kernel symbol's address; None after a diagnostic."""
    try:
        found = c.kernel.kallsyms.address(name)
    except KernelError as error:
        c.error(n.span, error.message, error.hint)
        return None
    if found is None:
        c.error(n.span, f"Failed to resolve kernel symbol: {name}", "the kernel lists what it has in /proc/kallsyms")
    return found


@function(
    "kaddr(const string name) -> uint64",
    "The address of a kernel symbol.",
    'begin { print(kaddr("vfs_read") != 0); }',
    group=GROUP,
)
def kaddr(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    name = c.string_literal(n.args[0], "the symbol for kaddr()") if c.arity(n, 1) else None
    found = kernel_symbol(c, n, name) if name is not None else None
    return c.error(n.span) if found is None else typed.Const(found, type=t.UINT64, span=n.span)


def _lower_percpu(lo: Lower, e: typed.Call) -> str:
    """The symbol's place in this CPU's area; 0 for a CPU that there is not."""
    f = lo.f
    symbol, offsets = e.data
    cpu = lo.word(e.args[0]) if e.args else lo.cpu()
    at = f.add(f.binary("shl", cpu, 3), offsets - (1 << 64) if offsets >> 63 else offsets)
    area = access.read_word(lo, at, 64, False, "kernel")
    address = f.add(area, symbol - (1 << 64) if symbol >> 63 else symbol)
    return f.select(f.compare("ult", cpu, lo.unit.kernel.possible_cpus), address, "0")


@function(
    "percpu_kaddr(const string name[, int cpu]) -> uint64 *",
    "The address of a per-CPU variable of the kernel, for this or the given CPU; 0 for a CPU that does not exist. The "
    "kernel must list its data symbols (CONFIG_KALLSYMS_ALL).",
    'interval:s:1 { $rq = (struct rq *)percpu_kaddr("runqueues", 0); if ($rq != 0) { print($rq.nr_running); } }',
    group=GROUP,
    lower=_lower_percpu,
)
def percpu_kaddr(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    name = c.string_literal(n.args[0], "the symbol for percpu_kaddr()") if c.arity(n, 1, 2) else None
    if name is None:
        return c.error(n.span)
    symbol = kernel_symbol(c, n, name)
    offsets = kernel_symbol(c, n, "__per_cpu_offset") if symbol is not None else None
    args = []
    if len(n.args) > 1:
        args.append(convert(c.integer(n.args[1], "a CPU number"), t.UINT64))  # type: ignore[arg-type]  # types are reported
    if symbol is None or offsets is None:
        return c.error(n.span)
    return c.call(n, t.Pointer(t.UINT64, "kernel"), *args, data=(symbol, offsets))


@function(
    "reg(const string name) -> uint64",
    "A register of the traced code, by the kernel's or the assembler's name.",
    'profile:hz:99 { @[reg("ip")] = count(); }',
    group=GROUP,
)
def reg(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    name = c.string_literal(n.args[0], "the register for reg()") if c.arity(n, 1) else None
    if name is None:
        return c.error(n.span)
    if c.context is None or not c.context.regs:
        return c.error(n.span, f"reg can not be used in {c.where()}")
    try:
        load = register(name, c.kernel.machine)
    except ProbeError as error:
        return c.error(n.span, error.message, error.hint)
    return typed.ContextLoad(load, untyped=True, type=t.UINT64, span=n.span)


# --- symbols of the traced program ----------------------------------------------------------------------------


def _lower_uaddr(lo: Lower, e: typed.Call) -> str:
    """The symbol is as far from the probed instruction in memory as it is in the file."""
    f = lo.f
    load, distances = e.data
    ip = f.helper(Helper.get_func_ip, f"ptr {lo.context()}") if load is None else access.register(lo, load)
    if len(set(distances)) == 1:
        return f.add(ip, distances[0])
    data = b"".join(d.to_bytes(8, "little", signed=True) for d in distances)
    table = f.offset(lo.unit.value("rodata"), lo.unit.rodata(data))
    row = f.binary("shl", f.clamp(lo.point(), len(distances)), 3)
    return f.binary("add", ip, f.load(f.offset(table, row)))


def _attached(points: tuple[Point, ...]) -> list[Uprobe | UprobeMulti]:
    return [p.attach for p in points if isinstance(p.attach, Uprobe | UprobeMulti)]


@function(
    "uaddr(const string name) -> uintN *",
    "The address of a symbol of the program or library that the probe is in.",
    'uprobe:/bin/bash:readline { printf("PS1: %s\\n", str(*uaddr("ps1_prompt"))); }',
    group=GROUP,
    lower=_lower_uaddr,
)
def uaddr(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    from pytrace.kernel.elf import Elf

    name = c.string_literal(n.args[0], "the symbol for uaddr()") if c.arity(n, 1) else None
    if name is None:
        return c.error(n.span)
    places = _attached(c.points)
    paths = {p.path for p in places}
    if len(places) != len(c.points) or len(paths) != 1:
        hint = "it needs a uprobe, uretprobe or usdt probe in a single file"
        return c.error(n.span, f"uaddr can not be used in {c.where()}", hint)
    elf = Elf.open(paths.pop())
    symbols = elf.lookup(name)
    if not symbols:
        return c.error(n.span, f"Could not resolve symbol: {elf.path}:{name}")
    symbol = symbols[0]
    bits = symbol.size * 8 if symbol.size in (1, 2, 4, 8) else 64
    kind_ = t.Pointer(t.Int(bits, False), "user")  # type: ignore[arg-type]  # one of the four
    if elf.is_executable:
        return typed.Const(symbol.address, type=kind_, span=n.span)
    distances = []
    for place in places:
        offset = place.offsets[0] if isinstance(place, UprobeMulti) else place.offset
        distances.append(symbol.address - (elf.address_of(offset) or 0))
    load: RegsLoad | None = None
    if not places[0].returns:
        machine = MACHINES[c.kernel.machine]
        load = machine.load(machine.instruction_pointer)
    elif c.kernel.version < (6, 6, 0):
        return c.error(n.span, "uaddr() in a uretprobe needs Linux 6.6", "ask for it in a uprobe")
    c.uses_probe = c.uses_probe or len(set(distances)) > 1
    return c.call(n, kind_, data=(load, tuple(distances)))


# --- address spaces ---------------------------------------------------------------------------------------------


def _marked(c: ExpressionChecker, n: ast.Call, space: Literal["kernel", "user"]) -> typed.Expr:
    value = c.expr(n.args[0]) if c.arity(n, 1) else c.error(n.span)
    kind = value.type
    if isinstance(kind, t.Unknown) or isinstance(value, typed.Const):
        return value
    if isinstance(kind, t.Int):  # a register: what is known about it now needs a pointer to be known by
        return typed.Convert(value, type=t.Pointer(t.VOID, space), span=n.span)
    if isinstance(kind, t.Array | t.Struct) and isinstance(value, typed.Memory):
        return members.memory(c, value.address, kind, space, n.span)
    if not isinstance(kind, t.Pointer):
        return c.error(n.span, f"{n.name}() only supports integer or pointer arguments ({kind} provided)")
    return typed.Convert(value, type=t.Pointer(kind.to, space), span=n.span)


@function(
    "kptr(T *p) -> T *",
    "The same pointer, said to point into the kernel's memory.",
    "begin { print(kptr(curtask).pid == tid); }",
    group=GROUP,
)
def kptr(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _marked(c, n, "kernel")


@function(
    "uptr(T *p) -> T *",
    "The same pointer, said to point into the traced program's memory.",
    "tracepoint:syscalls:sys_enter_openat { print(str(uptr(args.filename))); }",
    group=GROUP,
)
def uptr(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _marked(c, n, "user")


@function(
    "container_of(T *p, type, member) -> type *",
    "The structure whose `member` a pointer points to.",
    "begin { $t = curtask; print(container_of(&$t->se, struct task_struct, se) == $t); }",
    group=GROUP,
)
def container_of(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    from pytrace.syntax import ast

    if not c.arity(n, 3):
        return c.error(n.span)
    pointer = c.expr(n.args[0])
    outer = c.names.type_of(n.args[1])
    path: list[str] = []
    node = n.args[2]
    while isinstance(node, ast.Field):
        path.insert(0, node.name)
        node = node.object
    if not isinstance(node, ast.Identifier | ast.NamedType):
        return c.error(n.args[2].span, "container_of() wants the name of a member")
    path.insert(0, node.name)
    if outer is None or isinstance(pointer.type, t.Unknown):
        return c.error(n.span)
    if not isinstance(pointer.type, t.Pointer):
        return c.error(n.args[0].span, f"container_of() wants a pointer, found '{pointer.type}'")
    offset = c.offsetof(n.args[1], tuple(path), n.span)
    if not isinstance(offset, typed.Const) or isinstance(offset.type, t.Unknown):
        return offset
    base = typed.Convert(pointer, type=t.INT64, span=n.span)
    amount = typed.Const(offset.value, type=t.INT64, span=n.span)
    start = typed.Binary("-", base, amount, type=t.INT64, span=n.span)
    return typed.Convert(start, type=t.Pointer(outer, pointer.type.space), span=n.span)
