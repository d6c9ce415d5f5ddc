"""Pointers that the verifier knows: the typed arguments of a tracing program, and what they lead to.

Ordinary reads forget where a pointer came from, which lets scripts compute with it; a few helpers take only pointers
that the verifier followed from the program's context.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.probes.base import Context, CtxLoad
from pytrace.semantics import typed

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower


def is_trusted(e: typed.Expr, context: Context | None) -> bool:
    """Whether `pointer` can give the address that `e` is."""
    if context is None or not context.btf:
        return False
    match e:
        case typed.Convert():
            return is_trusted(e.operand, context)
        case typed.Binary(op="+", right=typed.Const()):
            return is_trusted(e.left, context)
        case typed.Memory(bits=None, space="kernel"):
            return is_trusted(e.address, context)
        case typed.ContextLoad():
            return isinstance(e.load, CtxLoad)
    return False


def pointer(lo: Lower, e: typed.Expr, absent: str) -> str:
    """The address that `e` is, as a pointer of which the verifier knows the type. Loads on the way cannot fault; where
    one gives null, control goes to the label `absent`."""
    f = lo.f
    match e:
        case typed.Convert():
            return pointer(lo, e.operand, absent)
        case typed.Binary(op="+", right=typed.Const(value=offset)):
            return f.offset(pointer(lo, e.left, absent), offset)
        case typed.Memory():
            place = pointer(lo, e.address, absent)
        case typed.ContextLoad(load=CtxLoad(offset=offset)):
            place = f.offset(lo.context(), offset)
        case _:
            raise TypeError(f"not a pointer that the verifier knows: {e}")
    found = f.pointer(f.load(place, volatile=True))
    present = f.label("present")
    f.branch(f.is_null(found), absent, present)
    f.place(present)
    return found
