"""Text that a pinned iterator writes: whoever reads the file gets it, with no tracer there to make it of records.

The kernel formats it (`bpf_seq_printf`), which can do less than printf here can: numbers with flags and width, and
strings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen.helpers import Helper
from pytrace.diagnostics import Diagnostic, ScriptError
from pytrace.format import Conversion, Format, integer_bits
from pytrace.probes.base import CtxLoad
from pytrace.program import Iter
from pytrace.semantics import typed

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower
    from pytrace.diagnostics import Span

_MOST = 12
"""Arguments that the kernel takes."""
_META, _SEQ = CtxLoad(0), 0
"""Every iterator's context begins with its `struct bpf_iter_meta`, and that with the file."""


def is_pinned(lo: Lower) -> bool:
    """Whether what the program prints is for the readers of a file."""
    return all(isinstance(p.attach, Iter) and p.attach.pin for p in lo.program.points)


def send(lo: Lower, action: str, args: tuple[typed.Expr, ...], span: Span, format: Format | None = None) -> None:
    """What `events.send` does, for a pinned iterator. Raises `ScriptError` for what is not text of a file."""
    if action != "printf" or format is None:
        raise _refused(
            span, f"{action} has no effect in a pinned iterator: nobody traces when it is read", "use printf"
        )
    if len(args) > _MOST:
        raise _refused(span, f"printf takes at most {_MOST} values in a pinned iterator", "use several")
    f = lo.f
    data = lo.scratch(8 * max(1, len(args)))
    text, at = "", 0
    for piece in format.pieces:
        if isinstance(piece, str):
            text += piece.replace("%", "%%")
            continue
        text += _argument(lo, piece, args[at], f.offset(data, 8 * at))
        at += 1
    content = text.encode() + b"\0"
    at_rodata = f.offset(lo.unit.value("rodata"), lo.unit.rodata(content))
    meta = f.pinned(f.load(f.offset(lo.context(), _META.offset), volatile=True))
    file = f.pinned(f.load(f.offset(f.pointer(meta), _SEQ), volatile=True))
    sizes = f"i32 {len(content)}", f"i32 {8 * len(args)}"
    f.helper(Helper.seq_printf, f"i64 {file}", f"ptr {at_rodata}", sizes[0], f"ptr {data}", sizes[1])


def _argument(lo: Lower, c: Conversion, e: typed.Expr, to: str) -> str:
    """Writes one argument where the kernel looks for it; the conversion as the kernel knows it."""
    f = lo.f
    width = "" if c.width is None else str(c.width)
    plain = c.precision is None and "#" not in c.flags
    if c.verb == "s" and isinstance(e.type, t.String) and plain and not c.flags + width:
        room = lo.scratch(e.type.size + 8)
        lo.writer(e)(room)
        f.store(0, f.offset(room, e.type.size), 8)
        f.store(f.address(room), to)
        return "%s"
    if c.verb in "diuxXps" and plain and isinstance(e.type, t.Int | t.Bool | t.Enum | t.Pointer):
        value = lo.word(e)
        if c.verb == "p":
            f.store(value, to)
            return f"0x%{c.flags}{width}llx"
        signed = t.signedness(e.type)[1] if c.verb == "s" else c.verb in "di"
        f.store(f.extend(value, integer_bits(c, e.type.size), signed), to)
        return f"%{c.flags}{width}ll{ {'s': 'd', 'i': 'd'}.get(c.verb, c.verb) }"
    raise _refused(
        e.span, f"'{c}' of '{e.type}' cannot be written by a pinned iterator", "it can write numbers and strings"
    )


def _refused(span: Span, message: str, hint: str) -> ScriptError:
    return ScriptError([Diagnostic(span, message, hint)])
