"""JSON, one object on each line, as bpftrace writes it with `-f json`.

Integers that a double cannot hold exactly are strings. Text is UTF-8; bytes that are not UTF-8 become U+FFFD, because a
lone surrogate would make a line that strict parsers refuse (bpftrace writes `\\uffffffc3` for them, which no parser
reads; the Python API gives the bytes unharmed). Keys are the text of the key without its spaces.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pytrace import types as t
from pytrace.output.decode import decode
from pytrace.output.histogram import Bucket, Histogram
from pytrace.output.order import Entry, ordered
from pytrace.output.printf import planned
from pytrace.output.renderer import Sink
from pytrace.output.resolver import NoResolver, Resolver
from pytrace.output.scale import scaled
from pytrace.output.text import joined, newest_interval, to_bytes
from pytrace.output.values import TSeriesValue
from pytrace.output.words import Words, strftime
from pytrace.program import EventSpec, UserMap

Plan = Callable[[Words, Sequence[Any]], str]

_SPECIAL = re.compile('["\\\\\x00-\x1f]')
_SPECIAL_AND_CONTROL = re.compile('["\\\\\x00-\x1f\x7f-\x9f]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escape(match: re.Match[str]) -> str:
    return _SHORT.get(match[0]) or f"\\u{ord(match[0]):04x}"


class Json:
    """A `Renderer` of NDJSON. `trailer` follows cut strings; `warnings=False` drops warnf."""

    needs_values = True

    def __init__(
        self, out: Sink, err: Sink, resolver: Resolver | None = None, *, trailer: str = "..", warnings: bool = True
    ) -> None:
        self._out, self._err = out, err
        self._warnings = warnings
        self._words = Words(resolver or NoResolver(), trailer)
        self._special = _SPECIAL_AND_CONTROL if out.isatty() else _SPECIAL
        self._plans: dict[int, tuple[EventSpec, Plan]] = {}

    # --- events ----------------------------------------------------------------------------------

    def event(self, spec: EventSpec, values: Sequence[Any]) -> None:
        match spec.action:
            case "printf":
                self._data("printf", self._string(self._formatted(spec, values)))
            case "print":
                self._data("value", self._value(spec.args[0], values[0]))
            case "print_entry":
                self._data("value", self._value(spec.args[1], values[1]))
            case "join":
                self._data("join", self._string(joined(spec, values, self._words)))
            case "time":
                self._data("time", self._string(strftime(spec.text or "%H:%M:%S\n", time.time_ns())))
            case "errorf":
                self._located(spec, values)
            case "warnf":
                if self._warnings:
                    self._located(spec, values)
            case _:
                raise ValueError(f"{spec.action} is not something to show")

    def format(self, spec: EventSpec, values: Sequence[Any]) -> bytes:
        return to_bytes(self._formatted(spec, values))

    def _formatted(self, spec: EventSpec, values: Sequence[Any]) -> str:
        known = self._plans.get(id(spec))
        if known is None:
            assert spec.format is not None, "the compiler gives these a format"
            known = self._plans[id(spec)] = spec, planned(spec.format, spec.args)
        return known[1](self._words, values)

    def _located(self, spec: EventSpec, values: Sequence[Any]) -> None:
        message = self._string(self._formatted(spec, values))
        self._line(f'"type": "{spec.action}", "msg": {message}, {self._place(spec.location)}')

    def _place(self, location: tuple[str, int, int]) -> str:
        file, line, column = location
        return f'"filename": {self._string(file)}, "line": {line}, "col": {column}'

    def raw(self, data: bytes) -> None:
        """Text that is finished already is a printf like any other."""
        self._data("printf", self._bytes(data))

    def cat(self, content: bytes) -> None:
        self._data("cat", self._bytes(content))

    def system(self, output: bytes) -> None:
        self._data("syscall", self._bytes(output))

    # --- maps ------------------------------------------------------------------------------------

    def map(self, user_map: UserMap, entries: Iterable[Entry], top: int = 0, div: int = 0) -> None:
        kind = user_map.value
        shown = ordered(user_map, entries, top)
        if not shown and not isinstance(kind, t.Avg | t.Stats) and user_map.key is not None:
            return
        if not shown and user_map.key is None:
            if isinstance(kind, t.Hist | t.LHist | t.TSeries):
                return
            shown = [(None, decode(kind, bytes(kind.size)))]
        newest = newest_interval(shown)
        texts = [(key, self._map_value(kind, value, div, newest)) for key, value in shown]
        if user_map.key is None:
            data = texts[0][1]
        else:
            key_type = user_map.key
            data = "{" + ", ".join(f"{self._key(key_type, key)}: {text}" for key, text in texts) + "}"
        self._data(_map_kind(kind), f"{{{self._string(user_map.name)}: {data}}}")

    def maps(self, maps: Iterable[tuple[UserMap, Iterable[Entry]]]) -> None:
        for user_map, lazy in sorted(maps, key=lambda pair: pair[0].name):
            entries = list(lazy)
            if entries:
                self.map(user_map, entries)

    def _map_value(self, type: t.Type, value: Any, div: int, newest: int | None) -> str:
        if isinstance(value, Histogram):
            return _buckets(value, scaled(type, value, div))
        return self._value(type, scaled(type, value, div), newest)

    def _key(self, type: t.Type, value: Any) -> str:
        return self._string(self._words.key(type, value).replace(" ", ""))

    def _value(self, type: t.Type, value: Any, newest: int | None = None) -> str:
        match type:
            case t.Bool():
                return "true" if value else "false"
            case t.Int() | t.Enum() | t.Pointer() | t.Count() | t.Sum() | t.Min() | t.Max():
                return _number(int(value))
            case t.Avg():
                return _number(value.average)
            case t.Stats():
                numbers = (("count", value.count), ("average", value.average), ("total", value.total))
                return "{" + ", ".join(f'"{name}": {_number(n)}' for name, n in numbers) + "}"
            case t.Buffer():
                return f"[{','.join(str(b - 256 if b > 127 else b) for b in value)}]"
            case t.Tuple(elements):
                return f"[{','.join(self._value(part, v) for part, v in zip(elements, value, strict=True))}]"
            case t.Array(element):
                return f"[{','.join(self._value(element, v) for v in value)}]"
            case t.Record(fields):
                return self._object((name, part, value[name]) for name, part in fields)
            case t.Struct():
                members = ((name, type.field(name)) for name in type.field_names())
                return self._object((name, t.shown(f.type), value[name]) for name, f in members if f)
            case t.Hist() | t.LHist():
                return _buckets(value, value)
            case t.TSeries():
                return self._series(value, newest)
            case t.Void() | t.Unknown():
                return "null"
        return self._string(self._words.text(type, value))

    def _object(self, members: Iterable[tuple[str, t.Type, Any]]) -> str:
        return "{" + ", ".join(f"{self._string(name)}: {self._value(part, v)}" for name, part, v in members) + "}"

    def _series(self, series: TSeriesValue, newest: int | None) -> str:
        offset = self._words.resolver.wall_offset("tai")
        points = []
        for start, value in series.points(newest):
            if value is not None:
                wall = start + offset
                when = f"{strftime('%Y-%m-%d %H:%M:%S', wall)}.{wall % 1_000_000_000:09d}"
                points.append(f'{{"interval_start":"{when}","value":{_number(value)}}}')
        return f"[{','.join(points)}]"

    # --- what the tool says ----------------------------------------------------------------------

    def attached(self, count: int) -> None:
        self._counted("attached_probes", "probes", count)

    def lost(self, count: int) -> None:
        self._counted("lost_events", "events", count)

    def lost_total(self, count: int) -> None:
        self.message(f"WARNING: Total lost event count: {count}")

    def message(self, text: str) -> None:
        self._err.write(to_bytes(f"{text}\n"))

    def helper_error(self, helper: str, code: int, message: str, location: tuple[str, int, int]) -> None:
        what = f'"msg": {self._string(message)}, "helper": {self._string(helper)}, "retcode": {code}'
        self._line(f'"type": "helper_error", {what}, {self._place(location)}')

    def test_result(self, name: str, passed: bool, duration: int, output: bytes = b"") -> None:
        verdict = f'"duration": {duration}, "passed": {"true" if passed else "false"}, "output": {self._bytes(output)}'
        self._data("test_result", f"{{{self._string(name)}: {{{verdict}}}}}")

    def benchmarks(self, results: Sequence[tuple[str, int, int]]) -> None:
        for name, average, count in results:
            self._data("benchmark_result", f'{{{self._string(name)}: {{"average": {average}, "iters": {count}}}}}')

    def _counted(self, type: str, what: str, count: int) -> None:
        self._line(f'"type": "{type}", "count": {count}, "data": {{"{what}": {count}}}')

    def _data(self, type: str, data: str) -> None:
        self._line(f'"type": "{type}", "data": {data}')

    def _line(self, members: str) -> None:
        self._out.write(f"{{{members}}}\n".encode())

    def _string(self, text: str) -> str:
        if not text.isascii():
            text = to_bytes(text).decode("utf-8", "replace")
        return f'"{self._special.sub(_escape, text)}"'

    def _bytes(self, data: bytes) -> str:
        return self._string(data.decode("utf-8", "surrogateescape"))


def _map_kind(type: t.Type) -> str:
    match type:
        case t.Hist() | t.LHist():
            return "hist"
        case t.Avg() | t.Stats():
            return "stats"
        case t.TSeries():
            return "tseries"
    return "map"


def _number(n: int) -> str:
    return str(n) if int(float(n)) == n else f'"{n}"'


def _buckets(histogram: Histogram, shown: Histogram) -> str:
    """The buckets between the first and last used one of `histogram`, with the counts of `shown`."""
    texts = []
    for index in histogram.used:
        bucket = Bucket(*shown.bounds(index), shown.counts[index])
        ends = []
        if bucket.low is not None:
            ends.append(f'"min": {_number(bucket.low)}')
        if bucket.high is not None:
            ends.append(f'"max": {_number(bucket.high - 1)}')
        texts.append(f'{{{", ".join(ends)}, "count": {_number(bucket.count)}}}')
    return f"[{','.join(texts)}]"
