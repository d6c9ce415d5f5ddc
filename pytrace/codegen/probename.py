"""`probe`, `func` and `probetype` in a body that several points share: a table of names in read-only memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.semantics import typed

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower
    from pytrace.codegen.writers import Writer


def lower_name(lo: Lower, e: typed.Call) -> Writer:
    """The name of the point that fired: known, if the program has just that one point."""
    f = lo.f
    names: tuple[str, ...] = e.data
    size = e.type.size
    if lo.program.fixed_point is not None:
        value = names[lo.program.fixed_point].encode()
        return lo.writer(typed.Str(value, type=e.type, span=e.span))
    table = b"".join(n.encode().ljust(size, b"\0") for n in names)
    base = f.offset(lo.unit.value("rodata"), lo.unit.rodata(table))
    place = f.offset(base, f.binary("mul", f.clamp(lo.point(), len(names)), size))
    return lambda to: lo.copy(place, to, size, 8)
