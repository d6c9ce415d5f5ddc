"""From the values of `pytrace.output`, which hold numbers, to those of the API, where the numbers have names.

An address becomes a `Symbol`, a stack a `StackTrace`; users, cgroups, errors, signals, network addresses and formatted
times become strings. Everything else stays what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from pytrace import types as t
from pytrace.output import Entry, Symbol, Words
from pytrace.output.values import RecordValue, StackValue

Named = Callable[[Words, Any], Any]


class StackTrace(tuple[Symbol, ...]):
    """The frames of a stack, innermost first. `str()` is the text that `print()` shows."""

    text: str

    def __new__(cls, frames: Iterable[Symbol] = (), text: str = "") -> StackTrace:
        self = super().__new__(cls, frames)
        self.text = text
        return self

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"StackTrace({', '.join(str(frame) for frame in self)})"

    def __reduce__(self) -> tuple[type[StackTrace], tuple[tuple[Symbol, ...], str]]:
        return StackTrace, (tuple(self), self.text)


@cache
def naming(type: t.Type) -> Named | None:
    """What names the values of a type; None where they are fine as they are."""
    match type:
        case t.KSym():
            return lambda words, value: words.resolver.ksym(value.address)
        case t.USym():
            return lambda words, value: words.resolver.usym(value.address, value.pid)
        case t.Stack():
            return _stack
        case t.Username():
            return lambda words, value: words.text(type, value) or str(value.uid)
        case t.CgroupPath() | t.Timestamp() | t.Named() | t.Inet() | t.Prefix() | t.Mac():
            return lambda words, value: words.text(type, value)
        case t.Tuple(elements):
            return _parts([naming(part) for part in elements])
        case t.Array(element):
            return _parts([naming(element)] * type.count)
        case t.Record(fields):
            parts = _parts([naming(part) for _, part in fields])
            if parts is not None:
                names = tuple(name for name, _ in fields)
                return lambda words, value: RecordValue(names, parts(words, tuple(value.values())))
    return None


def _stack(words: Words, value: StackValue) -> StackTrace:
    frames = words.resolver.stack(value)
    return StackTrace(frames, words.stack(value))


def _parts(names: list[Named | None]) -> Named | None:
    if not any(names):
        return None
    return lambda words, value: tuple([name(words, v) if name else v for name, v in zip(names, value, strict=True)])


def named(type: t.Type, value: Any, words: Words) -> Any:
    """One value."""
    name = naming(type)
    return value if name is None else name(words, value)


def named_entries(key: t.Type | None, value: t.Type, entries: Iterable[Entry], words: Words) -> dict[Any, Any]:
    """A map's entries in their order. Where two keys have the same name, the second stays a number."""
    name_key, name_value = naming(key) if key is not None else None, naming(value)
    if name_key is None and name_value is None:
        return dict(entries)
    result: dict[Any, Any] = {}
    for k, v in entries:
        name = name_key(words, k) if name_key else k
        result[k if name in result else name] = name_value(words, v) if name_value else v
    return result
