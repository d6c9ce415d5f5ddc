"""Values as words: the text of one value, the same in maps, in printf and in JSON's keys."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pytrace import types as t
from pytrace.output.resolver import Resolver, Symbol
from pytrace.output.values import (
    AvgValue,
    CgroupPathValue,
    CutString,
    NamedValue,
    StackValue,
    StatsValue,
    TimestampValue,
)

if TYPE_CHECKING:
    from pytrace.kernel.syscalls import Syscalls

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\udc80-\udc9f]")


def escape_controls(text: str) -> str:
    r"""Control bytes (all but \t and \n, and also the C1 ones) as `\xNN`, so that no value can command a terminal."""
    return _CONTROL.sub(_escape, text) if not text.isprintable() else text


def _escape(match: re.Match[str]) -> str:
    return "".join(f"\\x{byte:02x}" for byte in match[0].encode("utf-8", "surrogateescape"))


def escape_bytes(data: bytes) -> str:
    r"""Printable ASCII as it is, every other byte as `\xNN`."""
    return "".join(chr(b) if 32 <= b < 127 else f"\\x{b:02x}" for b in data)


class Words:
    """The text of values. `trailer` follows strings that were cut; with `escape`, control bytes in what comes from
    outside the script are made visible."""

    def __init__(self, resolver: Resolver, trailer: str = "..", escape: bool = False) -> None:
        self.resolver = resolver
        self._trailer = trailer
        self.safe: Callable[[str], str] = escape_controls if escape else str

    def key(self, type: t.Type, value: Any) -> str:
        """A map key: like `text`, but a tuple without its parentheses."""
        if isinstance(type, t.Tuple):
            return ", ".join(self.text(part, v) for part, v in zip(type.elements, value, strict=True))
        return self.text(type, value)

    def text(self, type: t.Type, value: Any) -> str:
        """The text of a value of any type but histograms and series, which are pictures."""
        return "".join(self.tokens(type, value))

    def tokens(self, type: t.Type, value: Any, number: Callable[[int], str] = str) -> list[str]:
        """The text in pieces, of which a printf width pads only the first. `number` prints the signed integers."""
        match type:
            case t.Bool():
                return ["true" if value else "false"]
            case t.Int(_, signed) | t.Sum(signed) | t.Min(signed) | t.Max(signed):
                return [number(value) if signed else str(value)]
            case t.Count():
                return [str(value)]
            case t.String():
                return [self.safe(value) + (self._trailer if isinstance(value, CutString) else "")]
            case t.Pointer():
                return [hex(value)]
            case t.Enum():
                return [value.name or number(int(value))]
            case t.Buffer():
                return [escape_bytes(value)]
            case t.Tuple(elements):
                return self._listed("(", zip(elements, value, strict=True), ", ", ")", number)
            case t.Array(element):
                return self._listed("[", ((element, v) for v in value), ",", "]", number)
            case t.Record(fields):
                members = [(name, f) for name, f in fields]
                return self._named(members, value, number)
            case t.Struct():
                members = [(n, t.shown(f.type)) for n in type.field_names() if (f := type.field(n))]
                return self._named(members, value, number)
            case t.Avg():
                return [number(_average(value))]
            case t.Stats():
                average = _average(value)
                return ["{ ", f".count = {value.count}, .average = {average}, .total = {value.total}", " }"]
            case t.Void() | t.Unknown():
                return ["null"]
        return [self.safe(self._looked_up(type, value))]

    def _listed(
        self, start: str, parts: Iterable[tuple[t.Type, Any]], between: str, end: str, number: Callable[[int], str]
    ) -> list[str]:
        return [start, between.join("".join(self.tokens(part, v, number)) for part, v in parts), end]

    def _named(self, members: list[tuple[str, t.Type]], value: Any, number: Callable[[int], str]) -> list[str]:
        texts = [f".{name} = {''.join(self.tokens(part, value[name], number))}" for name, part in members]
        return ["{ ", ", ".join(texts), " }"]

    def _looked_up(self, type: t.Type, value: Any) -> str:
        match type:
            case t.KSym():
                return _symbol(self.resolver.ksym(value.address))
            case t.USym():
                return _symbol(self.resolver.usym(value.address, value.pid))
            case t.Stack():
                return self.stack(value)
            case t.Username():
                return self.resolver.username(value.uid)
            case t.CgroupPath():
                return self._cgroup(value)
            case t.Timestamp():
                return self.timestamp(value)
            case t.Named():
                return name_of(value)
            case t.Inet() | t.Prefix() | t.Mac():
                return str(value)
        raise TypeError(f"{type} is not printed as a word")

    def _cgroup(self, value: CgroupPathValue) -> str:
        return self.resolver.cgroup_path(value.id, value.filter)

    def stack(self, value: StackValue) -> str:
        """An empty line, then the frames on lines of their own, in the stack's mode."""
        lines = [_FRAMES[value.mode](symbol) for symbol in self.resolver.stack(value)]
        return "\n" + "".join(f"{line}\n" for line in lines)

    def timestamp(self, value: TimestampValue) -> str:
        """Local wall time by the value's strftime format; `%f` is microseconds."""
        return strftime(value.format, value.ns + self.resolver.wall_offset(value.clock))


def strftime(format: str, wall_ns: int) -> str:
    """Local time by a strftime format, where `%f` is microseconds. `wall_ns` counts from 1970 in UTC."""
    seconds, ns = divmod(wall_ns, 1_000_000_000)
    micros = f"{ns // 1000:06d}"
    format = re.sub("%(.)", lambda m: micros if m[1] == "f" else m[0], format, flags=re.DOTALL)
    return time.strftime(format, time.localtime(seconds))


def name_of(value: NamedValue) -> str:
    """The name of an errno, signal or system call; a text that says so if there is none."""
    match value.table:
        case "strerror":
            text = os.strerror(value.number) if value.number < 1 << 31 else ""
            return text if text and not text.startswith("Unknown error") else "Unknown error"
        case "signal":
            try:
                return signal.strsignal(value.number) or "N/A"
            except (ValueError, OverflowError):
                return "N/A"
    return _syscalls().name(value.number) or "Unknown syscall"


@lru_cache(maxsize=1)
def _syscalls() -> Syscalls:
    from pytrace.kernel.syscalls import Syscalls

    return Syscalls.of(os.uname().machine)


def _average(value: AvgValue | StatsValue) -> int:
    return value.average


def _symbol(symbol: Symbol) -> str:
    """bpftrace prints a lone symbol without its offset."""
    return symbol.name or _hex(symbol.address)


def _hex(address: int) -> str:
    return hex(address) if address else "0"


def _bpftrace_frame(symbol: Symbol) -> str:
    name = f"{symbol.name}+{symbol.offset}" if symbol.name else _hex(symbol.address)
    source = f"@{symbol.source}" if symbol.source else ""
    if symbol.inlined:
        name = f"[inlined] {symbol.name}"
    return f"        {name}{source}"


def _perf_frame(symbol: Symbol) -> str:
    name = f"{symbol.name}+{symbol.offset}" if symbol.name else _hex(symbol.address)
    if symbol.inlined:
        return f"\t{symbol.address:x} {symbol.name} (inlined)"
    if not symbol.module and not symbol.name:
        return f"\t{symbol.address:x} {name} ([unknown])"
    return f"\t{symbol.address:x} {name}{f' ({symbol.module})' if symbol.module else ''}"


def _raw_frame(symbol: Symbol) -> str:
    return f"{symbol.address:x}"


def _build_id_frame(symbol: Symbol) -> str:
    if not symbol.build_id:
        return f"{symbol.address:x}"
    return f"{symbol.build_id} {hex(symbol.file_offset)}"


_FRAMES: dict[str, Callable[[Symbol], str]] = {
    "bpftrace": _bpftrace_frame,
    "perf": _perf_frame,
    "raw": _raw_frame,
    "build_id": _build_id_frame,
}
