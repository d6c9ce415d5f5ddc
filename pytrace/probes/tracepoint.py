"""tracepoint — the kernel's static events, with their records' fields as arguments.

    tracepoint:CATEGORY:EVENT        wildcards in both: tracepoint:syscalls:sys_enter_*, tracepoint:*:*exec*

`args.NAME` are the fields of the event's record (tracefs `events/CATEGORY/EVENT/format`), without the `common_*`
ones. A `__data_loc`/`__rel_loc` field is a pointer to its data in the record: `str(args.filename)`. Arguments of
system calls are as the caller passed them; their pointers point into user memory. `args.__syscall_nr` is the call's
number. How they attach: `probes.lowering`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pytrace.kernel.errors import KernelError
from pytrace.kernel.glob import is_glob, matches
from pytrace.probes import ctext
from pytrace.probes.base import (
    Arg,
    Context,
    CtxAddress,
    CtxLoad,
    DataLoc,
    Load,
    NoMatch,
    Point,
    ProbeError,
    Space,
    Target,
)
from pytrace.probes.lowering import syscall_point
from pytrace.probes.text import arguments, did_you_mean
from pytrace.probes.uapi import ProgType
from pytrace.program import PerfTracepoint
from pytrace.types import Array, Field, Pointer, String, Struct, Type

if TYPE_CHECKING:
    from pytrace.kernel import Kernel
    from pytrace.kernel.btf import Btf
    from pytrace.kernel.tracefs import EventFormat, TraceField


def _btf(kernel: Kernel) -> Btf | None:
    try:
        return kernel.btf
    except KernelError:
        return None


def argument(field: TraceField, btf: Btf | None, space: ctext.Space) -> Arg:
    """How one field of a record is typed and read."""
    located = field.data_loc or field.declaration.startswith("__rel_loc")
    if located:
        element = ctext.parse(field.ctype.removeprefix("__rel_loc"), btf, space)
        relative = field.relative or not field.data_loc
        return Arg(field.name, Pointer(element, "kernel"), DataLoc(field.offset, relative))
    if field.count:
        inner = ctext.parse(field.ctype, btf, space, field.size // field.count, field.signed)
        all_ = String(field.count, whole=True) if inner == ctext.CHAR else Array(inner, field.count)
        return Arg(field.name, all_, CtxAddress(field.offset))
    type = ctext.parse(field.ctype, btf, space, field.size, field.signed)
    load: Load = CtxAddress(field.offset) if isinstance(type, Array | Struct) else CtxLoad(field.offset)
    return Arg(field.name, type, load)


class Tracepoint:
    name = "tracepoint"
    aliases = ("t",)
    doc = "a static event of the kernel"
    listed = True

    def expand(self, rest: str, target: Target) -> list[Point]:
        category, event = arguments(self.name, rest, 2)
        found = list(self._find(category, event, target))
        if not found:
            raise self._no_match(category, event, target)
        return [self._point(c, e, target) for c, e in found]

    def _find(self, category: str, event: str, target: Target) -> Iterator[tuple[str, str]]:
        tracefs = target.kernel.tracefs
        if not is_glob(category) and not is_glob(event):
            if tracefs.format(category, event) is not None:
                yield category, event
            return
        for c in tracefs.categories():
            if matches(c, category):
                yield from ((c, e) for e in tracefs.events(c) if matches(e, event))

    def _no_match(self, category: str, event: str, target: Target) -> ProbeError:
        tracefs = target.kernel.tracefs
        categories = list(tracefs.categories())
        if not is_glob(category) and category not in categories:
            owners = [c for c in categories if event in tracefs.events(c)]
            hint = f"did you mean {owners[0]}:{event}?" if owners else did_you_mean(category, categories)
        else:
            names = [e for c in categories if matches(c, category) for e in tracefs.events(c)]
            prefix = "" if is_glob(category) else f"{category}:"
            hint = did_you_mean(event, names, prefix)
        return NoMatch(f"No matches for tracepoint {category}:{event}.", hint)

    def _point(self, category: str, event: str, target: Target) -> Point:
        format = target.kernel.tracefs.format(category, event)
        if format is None:
            raise NoMatch(f"No matches for tracepoint {category}:{event}.")
        syscall = category == "syscalls" and event.startswith(("sys_enter_", "sys_exit_"))
        btf, fields = _btf(target.kernel), self._fields(format)
        args = tuple(argument(f, btf, "user" if syscall else "") for f in fields)
        struct = self._struct(category, event, args, fields)
        if syscall:
            typed: list[tuple[str, Type]] = [(a.name, a.type) for a in args if a.name != "__syscall_nr"]
            lowered = syscall_point(event, typed, struct, target)
            if lowered is not None:
                return lowered
        space: Space = "user" if syscall else "kernel"
        context = Context(prog_type=ProgType.TRACEPOINT, space=space, args=args, struct=struct)
        return Point(f"tracepoint:{category}:{event}", PerfTracepoint(category, event), context)

    @staticmethod
    def _fields(format: EventFormat) -> list[TraceField]:
        return [f for f in format.fields if not f.name.startswith("common_")]

    @staticmethod
    def _struct(category: str, event: str, args: tuple[Arg, ...], fields: list[TraceField]) -> Struct:
        members = tuple(Field(a.name, a.type, f.offset) for a, f in zip(args, fields, strict=True))
        size = max((f.offset + f.size for f in fields), default=8)
        return Struct("struct", f"tracepoint:{category}:{event}_args", size, members)

    def matches(self, pattern: str, target: Target) -> Iterator[str]:
        category, colon, event = pattern.partition(":")
        if not colon:
            category, event = "*", pattern
        for c, e in self._find(category, event, target):
            yield f"tracepoint:{c}:{e}"

    def describe(self, name: str, target: Target) -> list[str]:
        _, category, event = name.split(":")
        format = target.kernel.tracefs.format(category, event)
        return [f.declaration for f in self._fields(format)] if format else []


PROVIDER = Tracepoint()
