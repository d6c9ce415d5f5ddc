"""Reading: the probe's context, memory of the traced system, parts of what the program holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen import direct
from pytrace.codegen.helpers import Helper
from pytrace.probes.base import (
    CtxAddress,
    CtxCopy,
    CtxLoad,
    DataLoc,
    RegsCopy,
    RegsLoad,
    StackAddress,
    StackLoad,
    UsdtArgument,
    UsdtOperand,
)
from pytrace.semantics import typed

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower
    from pytrace.codegen.writers import Writer
    from pytrace.diagnostics import Span

PROG_TYPE_TRACEPOINT = 5


# --- the context ------------------------------------------------------------------------------------


def context_word(lo: Lower, e: typed.ContextLoad) -> str:
    """A word from the context."""
    f = lo.f
    context = lo.program.context
    ctx = lo.context()
    bits, signed = t.signedness(e.type)
    match e.load:
        case CtxLoad():
            if context.prog_type == PROG_TYPE_TRACEPOINT:
                return _from_context(lo, e.load.offset, bits, signed)
            value = _from_context(lo, e.load.offset)
            if context.btf and isinstance(e.type, t.Pointer):
                return launder(lo, value)
            return f.extend(value, bits, signed)
        case CtxAddress():
            return f.address(f.offset(ctx, e.load.offset))
        case CtxCopy():
            return read_word(lo, f.address(f.offset(ctx, e.load.offset)), 64, False, "kernel")
        case DataLoc():
            where = _from_context(lo, e.load.offset, 32)
            base = f.address(ctx)
            at = f.add(base, f.binary("and", where, 0xFFFF))
            return f.add(at, e.load.offset + 4) if e.load.relative else at
        case RegsLoad():
            return f.extend(register(lo, e.load), bits, signed)
        case StackLoad():
            return f.extend(_stack_argument(lo, e.load), bits, signed)
        case StackAddress():
            return f.add(_stack_pointer(lo), e.load.offset)
        case RegsCopy(offsets):
            room = lo.scratch(8 * len(offsets))
            for number, offset in enumerate(offsets):
                f.store(register(lo, RegsLoad(offset)), f.offset(room, 8 * number))
            return f.address(room)
        case UsdtArgument():
            return f.extend(_usdt(lo, e.load), bits, signed)
    raise TypeError(f"unknown load {e.load}")


def _from_context(lo: Lower, offset: int, bits: int = 64, signed: bool = False) -> str:
    """Loads are volatile: the verifier wants each with its full width, and LLVM would narrow. And pinned: of the loads
    in two branches LLVM would make one, at an offset that varies."""
    f = lo.f
    return f.pinned(f.load(f.offset(lo.context(), offset), bits, signed, volatile=True))


def launder(lo: Lower, word: str) -> str:
    """The same word as a plain number. The verifier restricts arithmetic on pointers that it knows; a trip through
    map memory makes it forget."""
    room = lo.scratch(8)
    lo.f.store(word, room, volatile=True)
    return lo.f.load(room, volatile=True)


def register(lo: Lower, load: RegsLoad) -> str:
    """A register of the context's pt_regs, or of the pt_regs that the context points to."""
    f = lo.f
    if load.pointer is None:
        return _from_context(lo, load.offset)
    base = _from_context(lo, load.pointer)
    if lo.program.context.btf:
        return f.load(f.offset(f.pointer(base), load.offset), volatile=True)
    return read_word(lo, f.add(base, load.offset), 64, False, "kernel")


def _stack_argument(lo: Lower, load: StackLoad) -> str:
    return read_word(lo, lo.f.add(_stack_pointer(lo), load.offset), 64, False, lo.program.context.space)


def _stack_pointer(lo: Lower) -> str:
    from pytrace.probes.regs import MACHINES

    machine = MACHINES[lo.unit.kernel.machine]
    return register(lo, machine.load(machine.stack_pointer))


def _usdt(lo: Lower, load: UsdtArgument) -> str:
    """The argument's operand; where locations differ, the attach cookie's high half tells which form it is."""
    if all(form == load.forms[0] for form in load.forms):
        return _usdt_operand(lo, load.forms[0])
    f = lo.f
    cookie = f.binary("lshr", f.helper(Helper.get_attach_cookie, f"ptr {lo.context()}"), 32)
    # Loaded before the branches: LLVM would make one load of theirs, at an offset of the context that varies.
    used = {r for form in load.forms for r in (form.base, form.index) if r is not None}
    registers = {offset: register(lo, RegsLoad(offset)) for offset in sorted(used)}
    result = f.alloca(8)
    f.store(0, result)
    for number, form in enumerate(load.forms):
        with f.when(f.compare("eq", cookie, number), "location"):
            f.store(_usdt_operand(lo, form, registers), result)
    return f.load(result)


def _usdt_operand(lo: Lower, form: UsdtOperand, registers: dict[int, str] | None = None) -> str:
    f = lo.f
    if form.constant is not None:
        return str(form.constant)
    loaded = registers or {}
    value = "0" if form.base is None else loaded.get(form.base) or register(lo, RegsLoad(form.base))
    if form.index is not None:
        index = loaded.get(form.index) or register(lo, RegsLoad(form.index))
        scaled = f.binary("mul", index, form.scale)
        value = f.add(value, scaled)
    value = f.add(value, form.displacement)
    bits = form.size * 8
    if form.deref:
        return read_word(lo, value, bits, form.signed, "user")
    if form.shift:
        value = f.binary("lshr", value, form.shift)
    return f.extend(value, bits, form.signed)


# --- memory of the traced system ----------------------------------------------------------------------


def read(lo: Lower, to: str, size: int, address: str, space: str) -> str:
    """Copies traced memory to a pointer; a read that faults leaves zeros and is counted where asked for."""
    helper = Helper.probe_read_user if space == "user" else Helper.probe_read_kernel
    result = lo.f.helper(helper, f"ptr {to}", f"i32 {size}", f"i64 {address}")
    if lo.unit.options.helper_errors:
        with lo.f.when(lo.f.compare("slt", result, 0), "failed"):
            lo.count("helper_error", helper.name, lo.f.span)
    return result


def read_word(lo: Lower, address: str, bits: int, signed: bool, space: str) -> str:
    room = lo.temporary()
    read(lo, room, bits // 8, address, space)
    return lo.f.load(room, bits, signed)


def memory_word(lo: Lower, e: typed.Memory) -> str:
    loaded = direct.word(lo, e)
    if loaded is not None:
        return loaded
    address = lo.word(e.address)
    if e.bits is not None:
        return _bitfield(lo, e, address, e.bits)
    bits, signed = t.signedness(e.type)
    return read_word(lo, address, bits, signed, e.space)


def _bitfield(lo: Lower, e: typed.Memory, address: str, bits: tuple[int, int]) -> str:
    f = lo.f
    offset, size = bits
    count = (offset + size + 7) // 8
    room = lo.temporary()
    f.store(0, room)
    read(lo, room, count, address, e.space)
    return extract_bits(lo, f.load(room), offset, size, t.signedness(e.type)[1])


def extract_bits(lo: Lower, word: str, offset: int, size: int, signed: bool) -> str:
    f = lo.f
    high = f.binary("shl", word, 64 - offset - size)
    return f.binary("ashr" if signed else "lshr", high, 64 - size)


def memory_writer(lo: Lower, e: typed.Memory, exact: bool) -> Writer:
    """Aggregates are read straight to where they are wanted."""
    address = lo.word(e.address)
    size = e.type.size
    if exact and isinstance(e.type, t.String):

        def write_exact(to: str) -> None:
            room = lo.room(size)
            read(lo, room, size, address, e.space)
            copy_string(lo, room, to, size)

        return write_exact
    return lambda to: _read_to(lo, to, size, address, e.space)


def _read_to(lo: Lower, to: str, size: int, address: str, space: str) -> None:
    if size:
        read(lo, to, size, address, space)


def copy_string(lo: Lower, source: str, to: str, size: int) -> None:
    """Copies a string and zeroes what follows its NUL. The helper always ends with a NUL, so the last byte of a
    string that fills its memory is put back."""
    f = lo.f
    lo.zero(to, size)
    length = f.helper(Helper.probe_read_kernel_str, f"ptr {to}", f"i32 {size}", f"ptr {source}")
    with f.when(f.compare("eq", length, size), "full"):
        f.store(f.load(f.offset(source, size - 1), 8), f.offset(to, size - 1), 8)


# --- parts of what the program holds --------------------------------------------------------------------


def part_word(lo: Lower, e: typed.Part) -> str:
    f = lo.f
    place = f.offset(lo.place(e.object), e.offset)
    if e.bits is not None:
        offset, size = e.bits
        room = lo.temporary()
        f.store(0, room)
        f.copy(place, room, (offset + size + 7) // 8)
        return extract_bits(lo, f.load(room), offset, size, t.signedness(e.type)[1])
    bits, signed = t.signedness(e.type)
    align = lo.alignment(typed.Part(e.object, e.offset, type=e.type, span=e.span))
    return f.load(place, bits, signed, min(align, bits // 8))


def _bounds(kind: t.Type) -> int:
    return kind.count if isinstance(kind, t.Array) else kind.size


def element_word(lo: Lower, e: typed.Element) -> str:
    """An element of an array or string that the program holds; zero beyond its end."""
    f = lo.f
    base = lo.place(e.object)
    index = _index(lo, e)
    bits, signed = t.signedness(e.type)
    result = f.alloca(8)
    f.store(0, result)
    with f.inside(index, _bounds(e.object.type)) as at:
        pointer = f.offset(base, f.binary("mul", at, e.type.size))
        f.store(f.load(pointer, bits, signed), result)
    return f.load(result)


def element_place(lo: Lower, e: typed.Element) -> str:
    """A copy of an aggregate element; zeros beyond the end of the array."""
    f = lo.f
    base = lo.place(e.object)
    index = _index(lo, e)
    room = lo.room(e.type.size)
    lo.zero(room, e.type.size)
    with f.inside(index, _bounds(e.object.type)) as at:
        lo.copy(f.offset(base, f.binary("mul", at, e.type.size)), room, e.type.size)
    return room


def _index(lo: Lower, e: typed.Element) -> str:
    """The index, which is counted if there is no such element. How much room a string has is nothing that a script has
    to know: it goes on with zeros."""
    index = lo.word(e.index)
    if not isinstance(e.object.type, t.String) and not isinstance(e.index, typed.Const):
        _count_outside(lo, index, _bounds(e.object.type), e.span)
    return index


def _count_outside(lo: Lower, index: str, count: int, span: Span) -> str:
    inside = lo.f.compare("ult", index, count)
    with lo.f.when(lo.f.op(f"xor i1 {inside}, true"), "outside"):
        lo.count("out_of_bounds", span=span)
    return inside


def bounded(lo: Lower, e: typed.Bounded) -> str:
    inside = _count_outside(lo, lo.word(e.index), e.count, e.span)
    return lo.f.select(inside, lo.word(e.address), "0")
