"""Stack traces: walked into scratch, kept once for each distinct one under the hash of its frames.

The kernel's own stack map keeps one stack for each bucket and drops what collides with it; a hash of ours over all
frames as the key of an ordinary map loses nothing but what the map has no room for, and that is counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen import ids
from pytrace.codegen.helpers import Helper

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower
    from pytrace.codegen.writers import Writer

BPF_F_USER_STACK = 1 << 8
_MULTIPLIER = 0x9E3779B97F4A7C15 - (1 << 64)


Walk = Callable[["Lower", t.Stack], tuple[str, str]]
"""Emits a walk: a pointer to the frames, and the operand of how many there are (0 or less: no stack)."""


def stack_writer(lo: Lower, kind: t.Stack, walk: Walk | None = None) -> Writer:
    """Walks the stack now; the value is (id, tgid, number of frames). No frames: id 0."""
    f = lo.f
    if not kind.depth:
        return lambda to: lo.zero(to, kind.size)
    name = lo.unit.stacks_map(kind.depth)
    frames, found = (walk or _by_the_kernel)(lo, kind)
    count, digest = f.alloca(8), f.alloca(8)
    f.store(0, count)
    f.store(0, digest)
    with f.when(f.compare("sgt", found, 0), "stack"):
        f.store(found, count)
        _hash(lo, frames, f.load(count), kind.depth, digest)
        _keep(lo, name, frames, digest)
    tgid = "0"
    if kind.kind == "user":
        tgid = ids.process_id(lo, ids.own_namespace())

    def write(to: str) -> None:
        f.store(f.load(digest), to)
        f.store(tgid, f.offset(to, 8), 32)
        f.store(f.load(count), f.offset(to, 12), 32)

    return write


def _by_the_kernel(lo: Lower, kind: t.Stack) -> tuple[str, str]:
    """The walk of bpf_get_stack, which goes by frame pointers in user space."""
    f = lo.f
    # The tracer's own frames are walked and left out here: asked to skip them, the kernel takes them off the depth,
    # and a short walk has nothing left.
    skip = 8 * (0 if kind.kind == "user" else lo.program.context.stack_skip)
    size = 8 * kind.depth + skip
    walked = lo.scratch(size)
    flags = BPF_F_USER_STACK if kind.kind == "user" else 0
    got = f.helper(Helper.get_stack, f"ptr {lo.context()}", f"ptr {walked}", f"i32 {size}", f"i64 {flags}")
    bytes_left = f.add(f.extend(got, 32, True), -skip)
    return f.offset(walked, skip), f.binary("ashr", bytes_left, 3)


def _hash(lo: Lower, frames: str, count: str, depth: int, digest: str) -> None:
    """Multiplies and folds, frame by frame. Never 0, which means no stack."""
    f = lo.f
    index = f.alloca(8)
    f.store(0, index)
    loop, step, end = f.label("hash"), f.label("frame"), f.label("hashed")
    f.place(loop)
    at = f.load(index)
    inside = f.compare("ult", at, depth)
    f.branch(f.op(f"and i1 {inside}, {f.compare('ult', at, count)}"), step, end)
    f.place(step)
    with f.inside(at, depth) as bounded:
        frame = f.load(f.offset(frames, f.binary("shl", bounded, 3)))
        mixed = f.binary("mul", f.binary("xor", f.load(digest), frame), _MULTIPLIER)
        f.store(f.binary("xor", mixed, f.binary("lshr", mixed, 29)), digest)
    f.store(f.add(at, 1), index)
    f.jump(loop)
    f.place(end)
    f.store(f.binary("or", f.load(digest), 1), digest)


def _keep(lo: Lower, name: str, frames: str, digest: str) -> None:
    """Stores the frames if nobody did. What stands beyond the last one is left over from an earlier walk, and the
    number of frames in the value says where to stop."""
    f = lo.f
    table = f"ptr {lo.unit.map(name)}"
    known = f.helper_pointer(Helper.map_lookup_elem, table, f"ptr {digest}")
    with f.when(f.is_null(known), "new"):
        result = f.helper(Helper.map_update_elem, table, f"ptr {digest}", f"ptr {frames}", "i64 0")
        with f.when(f.compare("slt", f.extend(result, 32, True), 0), "lost"):
            lo.count("stack_lost")
