"""Sending records to user space.

Order of things: everything that may call helpers is evaluated, then room is reserved in the ring, the record is
written in place and submitted. Ordinary records stop at a high-water mark, so that control records (exit, clear,
print, …) still find room behind a flood; what finds none is counted. Nobody is woken for an ordinary record unless
the ring is half full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytrace import types as t
from pytrace.codegen import seqfile
from pytrace.codegen.helpers import Helper
from pytrace.program import EventSpec
from pytrace.semantics import typed

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower
    from pytrace.diagnostics import Span

CONTROL = frozenset(("exit", "clear", "zero", "print_map", "print_scalar", "unwatch"))
BPF_RB_NO_WAKEUP, BPF_RB_FORCE_WAKEUP, BPF_RB_AVAIL_DATA = 1, 2, 0
HEADROOM = 64 * 1024
"""Bytes that only control records may use; an eighth of a ring that is smaller than half a megabyte."""


def place_of(span: Span) -> tuple[str, int, int]:
    return span.source.name, span.line, span.column


def send(lo: Lower, action: str, args: tuple[typed.Expr, ...], span: Span, **rest: Any) -> None:
    """Sends one record of a new event."""
    if seqfile.is_pinned(lo):
        seqfile.send(lo, action, args, span, rest.get("format"))
        return
    unit = lo.unit
    control = action in CONTROL
    spec = unit.event(
        EventSpec(
            len(unit.events), action, tuple(a.type for a in args), location=place_of(span), control=control, **rest
        )
    )
    writers = [lo.writer(a) for a in args]
    layout = t.Tuple(spec.args)
    header = 16 if unit.options.timestamps else 8
    stamp = lo.f.helper(Helper.ktime_get_boot_ns) if unit.options.timestamps else ""

    def write(record: str) -> None:
        f = lo.f
        f.store(spec.id, record, 32, 8)
        f.store(lo.probe_index(), f.offset(record, 4), 32)
        if stamp:
            f.store(stamp, f.offset(record, 8))
        for writer, offset in zip(writers, layout.offsets, strict=True):
            writer(f.offset(record, header + offset))

    submit(lo, t.align_up(header + layout.size, 8), write, control)


def submit(lo: Lower, size: int, write: Any, control: bool) -> None:
    """Reserves a record, lets `write` fill it, submits it; or counts it as lost."""
    f, unit = lo.f, lo.unit
    ring = f"ptr {unit.map('ring')}"
    capacity = unit.ring_size()
    lost, end, reserve = f.label("lost"), f.label("sent"), f.label("reserve")
    flags = str(BPF_RB_FORCE_WAKEUP)
    if not control:
        pending = f.helper(Helper.ringbuf_query, ring, f"i64 {BPF_RB_AVAIL_DATA}")
        limit = capacity - min(HEADROOM, capacity // 8)
        half = f.compare("ugt", pending, capacity // 2)
        flags = f.select(half, str(BPF_RB_FORCE_WAKEUP), str(BPF_RB_NO_WAKEUP))
        f.branch(f.compare("ugt", pending, limit - size), lost, reserve)
    f.place(reserve)
    record = f.helper_pointer(Helper.ringbuf_reserve, ring, f"i64 {size}", "i64 0")
    granted = f.label("granted")
    f.branch(f.is_null(record), lost, granted)
    f.place(granted)
    write(record)
    f.helper(Helper.ringbuf_submit, f"ptr {record}", f"i64 {flags}")
    f.jump(end)
    f.place(lost)
    lo.count("lost")
    f.jump(end)
    f.place(end)
