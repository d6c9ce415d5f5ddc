"""Kernel memory read by plain loads: the one place that decides where that is done.

A load is one instruction where `bpf_probe_read_kernel` is a call and a guarded copy. A load that faults gives 0, as the
helper does. The verifier allows it through a pointer to a struct of the kernel's BTF:

    6.2+      any address, once `bpf_rdonly_cast` has said what is there: a function that the verifier turns into a
              move. Its pointers are untrusted, which is wanted: what follows a *trusted* one is not guarded against
              faults, and kernels have trusted arguments of tracepoints that were null.
    before    the arguments of fentry, fexit, tp_btf and iterators, and the current task, in programs of these types.
              Kernels that have that function, but may not be asked for it, trust these arguments: there, the helper
              reads.

From there, members are followed as far as the verifier follows them (`kernel.btf_walk`): to the end of the struct, to
pointers with a `__user` or `__percpu` tag, to members of a union that it takes for something else. Everything else is
read by the helper: other memory, structs and arrays as a whole, and scripts that want to hear of failed reads (`-k`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen.helpers import Helper
from pytrace.kernel import btf_raw as k
from pytrace.kernel import btf_walk
from pytrace.kernel.errors import KernelError
from pytrace.probes.base import CtxLoad
from pytrace.probes.uapi import AttachType, ProgType
from pytrace.record import record
from pytrace.semantics import typed

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower
    from pytrace.kernel.btf import Btf

_CAST = "bpf_rdonly_cast"
_WIDTHS = (1, 2, 4, 8)


@record
class Path:
    """Pointers to follow: from `base`, whose value points to the struct `id` of `btf`, a load at each of `offsets`
    gives the next one, and `struct` is what the last of them points to."""

    base: typed.Expr
    btf: Btf
    id: int
    struct: int
    offsets: tuple[int, ...] = ()


def word(lo: Lower, e: typed.Memory) -> str | None:
    """The word that stands at an address in the kernel; None if it is the helper's to read."""
    unit = lo.unit
    if e.space != "kernel" or unit.options.helper_errors:
        return None
    try:
        found = _path(lo, e.address, unit.kernel.features.has("rdonly_cast"))
    except KernelError:
        return None  # no BTF
    if found is None:
        return None
    path, offset = found
    if e.bits is None:
        bits, signed = t.signedness(e.type)
        return _load(lo, path, offset, bits // 8, (bits, signed))
    first, width = e.bits
    offset, first = offset + first // 8, first % 8
    size = next((w for w in _WIDTHS if w * 8 >= first + width), 0)
    value = _load(lo, path, offset, size, (size * 8, False)) if size else None
    if value is None:
        return None
    from pytrace.codegen.access import extract_bits

    return extract_bits(lo, value, first, width, t.signedness(e.type)[1])


# --- what can be followed ----------------------------------------------------------------------------------


def _path(lo: Lower, address: typed.Expr, cast: bool) -> tuple[Path, int] | None:
    """How to get at an address: the path to the struct that it is in, and the offset there."""
    offset = 0
    known: tuple[Path, int] | None = None
    while True:
        start = _start(lo, address, cast)
        if start is not None:
            known = start, offset
        match address:
            case typed.Convert(operand) if t.is_word(operand.type) and operand.type.size == address.type.size == 8:
                address = operand
            case typed.Binary("+", left, typed.Const(value)):
                offset += value if value < 1 << 63 else value - (1 << 64)
                address = left
            case typed.Memory(inner, "kernel", None) if isinstance(address.type, t.Pointer):
                before = _path(lo, inner, cast)
                if before is not None:
                    path, at = before
                    found = btf_walk.load(path.btf, path.struct, at, 8)
                    if found is not None and found.struct:
                        offsets = (*path.offsets, at)
                        return Path(path.base, path.btf, path.id, found.struct, offsets), offset
                return known
            case _:
                return known


def _start(lo: Lower, e: typed.Expr, cast: bool) -> Path | None:
    """A path that begins here."""
    if cast:
        if not isinstance(e.type, t.Pointer) or not isinstance(e.type.to, t.Struct) or e.type.space == "program":
            return None
        btf, kind = lo.unit.kernel.btf, k.UNION if e.type.to.tag == "union" else k.STRUCT
        id = btf.id(kind, e.type.to.name) if e.type.to.name else None
        return None if id is None else Path(e, btf, id, id)
    if lo.program.context.prog_type != ProgType.TRACING or lo.unit.kernel.btf.id(k.FUNC, _CAST) is not None:
        return None
    match e:
        case typed.ContextLoad(CtxLoad(offset)):
            return _argument(lo, e, offset)
        case typed.Call("curtask") if lo.unit.kernel.features.has("get_current_task_btf"):
            btf = lo.unit.kernel.btf
            id = btf.id(k.STRUCT, "task_struct")
            return None if id is None else Path(e, btf, id, id)
    return None


def _argument(lo: Lower, e: typed.Expr, offset: int) -> Path | None:
    """An argument of what the program is attached to, by its prototype. Those that take more than a word are rare: with
    one, none is followed."""
    context, kernel = lo.program.context, lo.unit.kernel
    name = context.attach_btf
    if not name or name.startswith("bpf_lsm_") or offset % 8:
        return None
    btf = kernel.btf.modules.get(context.attach_module) if context.attach_module else kernel.btf
    if btf is None:
        return None  # it is a BPF program that is traced
    traced = name.startswith("btf_trace_")
    function = btf.tracepoint(name.removeprefix("btf_trace_")) if traced else btf.function(name)
    if function is None or any(type.size > 8 for _, type in function.params):
        return None
    proto = btf.record(function.proto)
    # The first parameter of a tracepoint is the tracer's own; a function's result follows its arguments.
    params = proto[6::2] if traced else [*proto[4::2], proto[2]]
    index = offset // 8
    id = btf_walk.target(btf, params[index]) if index < len(params) else 0
    return Path(e, btf, id, id) if id else None


# --- the loads ---------------------------------------------------------------------------------------------


def _load(lo: Lower, path: Path, offset: int, size: int, kind: tuple[int, bool]) -> str | None:
    last = btf_walk.load(path.btf, path.struct, offset, size)
    if last is None:
        return None
    f = lo.f
    pointer = _pointer(lo, path)
    if lo.unit.kernel.features.has("rdonly_cast"):
        pointer = f.kernel_function(_CAST, "i64", f"i64 {pointer}", f"i64 {path.id}")
        return _follow(lo, path, pointer, offset, kind, last.pointer)
    if lo.program.context.expected_attach_type == AttachType.TRACE_ITER and isinstance(path.base, typed.ContextLoad):
        # An iterator's last call has null arguments, as the verifier knows.
        result, end, there = f.alloca(8), f.label("none"), f.label("there")
        f.store(0, result)
        f.branch(f.compare("eq", pointer, 0), end, there)
        f.place(there)
        f.store(_follow(lo, path, pointer, offset, kind, last.pointer), result)
        f.place(end)
        return f.load(result)
    return _follow(lo, path, pointer, offset, kind, last.pointer)


def _follow(lo: Lower, path: Path, pointer: str, offset: int, kind: tuple[int, bool], to_pointer: bool) -> str:
    from pytrace.codegen.access import launder

    bits, signed = kind
    for at in path.offsets:
        pointer = _at(lo, pointer, at, 64)
    value = _at(lo, pointer, offset, bits)
    return launder(lo, value) if to_pointer else lo.f.extend(value, bits, signed)


def _pointer(lo: Lower, path: Path) -> str:
    """Where a path begins, as the verifier knows it if it does."""
    f = lo.f
    match path.base:
        case typed.ContextLoad(CtxLoad(offset)) if lo.program.context.btf:
            return f.pinned(f.load(f.offset(lo.context(), offset), volatile=True))
        case typed.Call("curtask") if not lo.unit.kernel.features.has("rdonly_cast"):
            return f.pinned(f.address(f.helper_pointer(Helper.get_current_task_btf)))
    return lo.word(path.base)


def _at(lo: Lower, pointer: str, offset: int, bits: int) -> str:
    """One load. LLVM must neither compute with the pointer nor share the load with one of other memory."""
    f = lo.f
    return f.pinned(f.load(f.offset(f.pointer(f.pinned(pointer)), offset), bits, volatile=True))
