"""Members of the kernel's structs: what the verifier allows is what is expected of it, and plain loads give what the
helper gives."""

from __future__ import annotations

import os
import struct as structs
from collections.abc import Iterator

from pytrace.kernel import Kernel, bpf, btf_walk
from pytrace.kernel import btf_raw as k
from pytrace.kernel.bpf import AttachType, ProgType
from pytrace.types import Enum, Field, Int, Pointer, Struct
from tests.kernels.base import Guest, case
from tests.kernels.targets import ROUNDS

_CODES = {1: 0x71, 2: 0x69, 4: 0x61, 8: 0x79}
_MOST = 150
"""Loads of one struct that are tried."""
_STRUCTS = 60


def _insn(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    return structs.pack("=BBhi", code, dst | src << 4, off, imm)


_EXIT = _insn(0xB7) + _insn(0x95)


def allowed(kernel: Kernel, id: int) -> list[tuple[int, int]]:
    """Offset and size of the loads from a struct that are expected to be allowed, as many as are tried."""
    size = min(kernel.btf.record(id)[2], 0x7FF0)
    places = [(at, width) for width in (8, 4, 2, 1) for at in range(0, size, width)]
    # All of a small struct; of a large one each so many.
    return [p for p in places[:: len(places) // _MOST + 1] if btf_walk.load(kernel.btf, id, *p) is not None]


def tracepoint_arguments(kernel: Kernel) -> Iterator[tuple[str, int, int]]:
    """Tracepoint, place in its context, and struct that is pointed to there."""
    for name in kernel.btf.tracepoint_names():
        found = kernel.btf.tracepoint(name)
        assert found is not None
        for i, param in enumerate(kernel.btf.record(found.proto)[6::2]):
            id = btf_walk.target(kernel.btf, param)
            if id:
                yield name, 8 * i, id


def _loads(pointer: int, places: list[tuple[int, int]]) -> bytes:
    return b"".join(_insn(_CODES[size], 3, pointer, at) for at, size in places)


def _verify(type: int, insns: bytes, what: str, expected: int = 0, id: int = 0) -> None:
    try:
        os.close(bpf.prog_load(type, insns + _EXIT, expected_attach_type=expected, attach_btf_id=id))
    except OSError as error:
        raise AssertionError(f"the verifier refuses what is expected to be allowed: {what}") from error


@case("members", "loads that the verifier allows", "rdonly_cast", "tp_btf", one_of=True)
def _(guest: Guest) -> None:
    """Each program is loaded, not run. Structs are those of tracepoints' arguments, and those that these point to."""
    kernel = guest.kernel
    cast = kernel.features.has("rdonly_cast")
    seen: set[int] = set()
    for name, at, id in tracepoint_arguments(kernel):
        if id in seen or len(seen) > _STRUCTS:
            continue
        seen.add(id)
        found = kernel.btf.tracepoint(name)
        assert found is not None
        if cast:
            function = kernel.btf.id(k.FUNC, "bpf_rdonly_cast") or 0
            start = _insn(0xB7, 1) + _insn(0xB7, 2, imm=id) + _insn(0x85, src=2, imm=function) + _insn(0xBF, 6, 0)
            type, expected, attach = ProgType.RAW_TRACEPOINT, 0, 0
        else:
            start = _insn(0x79, 6, 1, at)
            type, expected, attach = ProgType.TRACING, AttachType.TRACE_RAW_TP, found.id
        places = allowed(kernel, id)
        text = kernel.btf.text(kernel.btf.record(id)[0])
        _verify(type, start + _loads(6, places), text, expected, attach)
        for offset, size in places:
            word = btf_walk.load(kernel.btf, id, offset, size)
            assert word is not None
            if word.struct and word.struct not in seen:
                seen.add(word.struct)
                inner = allowed(kernel, word.struct)
                code = start + _insn(0x79, 7, 6, offset) + _loads(7, inner)
                _verify(type, code, f"{text}, what {offset} points to", expected, attach)
    assert len(seen) > 60, seen


# --- by the language -----------------------------------------------------------------------------------


def fields(kernel: Kernel, kind: Struct, prefix: str = "", base: int = 0) -> Iterator[tuple[str, int, Field]]:
    """Every word in a struct, by its path, with the offset of what holds it."""
    for f in kind.fields or ():
        if isinstance(f.type, Struct):
            inside = prefix if not f.name else f"{prefix}.{f.name}"
            yield from fields(kernel, f.type, inside, base + f.offset)
        elif f.name and isinstance(f.type, Int | Enum | Pointer):
            yield f"{prefix}.{f.name}", base + f.offset, f


def both(path: str, name: str, offset: int, f: Field) -> tuple[str, str]:
    """A member read in two ways; the second knows nothing of structs, so that it takes the helper."""
    bits = f.type.size * 8
    word = f"(uint64)*(uint{bits} *)($base + {offset})"
    if f.bit_size:
        mask = (1 << f.bit_size) - 1
        return f"(uint64){path}{name} & {mask}", f"({word} >> {f.bit_offset}) & {mask}"
    return f"(uint64)(uint{bits}){path}{name}", word


_PATHS = (
    ("curtask", "task_struct"),
    ("curtask.mm", "mm_struct"),
    ("curtask.files", "files_struct"),
    ("curtask.cred", "cred"),
    ("curtask.signal", "signal_struct"),
    ("curtask.fs", "fs_struct"),
    ("curtask.mm.exe_file", "file"),
    ("curtask.mm.exe_file.f_path.dentry", "dentry"),
    ("curtask.mm.exe_file.f_inode", "inode"),
    ("curtask.mm.exe_file.f_inode.i_sb", "super_block"),
)
_SAMPLE = 16
_AT_ONCE = 8


@case("members", "plain loads give what the helper gives")
def _(guest: Guest) -> None:
    """A member may change between the two; hardly each time."""
    names: list[str] = []
    probes = []
    for path, struct in _PATHS:
        found = guest.kernel.btf.struct(struct)
        assert found is not None
        every = [
            (name, offset, f)
            for name, offset, f in fields(guest.kernel, found)
            if not isinstance(f.type, Int) or f.type.size in (1, 2, 4, 8)
        ]
        every = every[:: len(every) // _SAMPLE + 1]
        for first in range(0, len(every), _AT_ONCE):
            some = every[first : first + _AT_ONCE]
            values = [value for name, offset, f in some for value in both(path, name, offset, f)]
            form = " ".join(["%lx"] * len(values))
            probes.append(
                "rawtracepoint:sys_enter /pid == cpid && args.id == 121/ "
                f'{{ $base = (uint64){path}; printf("{len(names)} {form}\\n", {", ".join(values)}); }}'
            )
            names += [path + name for name, _, _ in some]
    assert len(names) > 80, names
    equal = set()
    lines = guest.run(" ".join(probes))
    for line in lines:
        at, *words = line.split()
        equal |= {int(at) + i for i, (a, b) in enumerate(zip(words[::2], words[1::2], strict=True)) if a == b}
    assert len(lines) == len(probes) * ROUNDS, lines
    never = [name for i, name in enumerate(names) if i not in equal]
    assert not never, never
