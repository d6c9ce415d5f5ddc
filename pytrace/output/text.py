"""The text that people read, byte for byte as bpftrace writes it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pytrace import types as t
from pytrace.output.decode import decode
from pytrace.output.histogram import Histogram
from pytrace.output.order import Entry, ordered
from pytrace.output.pictures import histogram_rows, series_rows
from pytrace.output.printf import planned
from pytrace.output.renderer import Sink
from pytrace.output.resolver import NoResolver, Resolver
from pytrace.output.scale import scaled
from pytrace.output.values import TSeriesValue
from pytrace.output.words import Words, strftime
from pytrace.program import EventSpec, UserMap

Plan = Callable[[Words, Sequence[Any]], str]


class Text:
    """A `Renderer` of text. Script output goes to `out`, what the tool and errorf/warnf say to `err`.

    `trailer` follows cut strings, `warnings=False` drops warnf, `percentiles` adds a line of p50, p90 and p99 below
    every histogram (an addition to bpftrace). Where `out` is a terminal, control bytes in values are shown as `\\xNN`.
    """

    def __init__(
        self,
        out: Sink,
        err: Sink,
        resolver: Resolver | None = None,
        *,
        trailer: str = "..",
        warnings: bool = True,
        percentiles: bool = False,
    ) -> None:
        self._out, self._err = out, err
        self._warnings, self._percentiles = warnings, percentiles
        self.needs_values = out.isatty()
        resolver = resolver or NoResolver()
        self._words = Words(resolver, trailer, escape=out.isatty())
        self._err_words = Words(resolver, trailer, escape=err.isatty())
        self._plans: dict[int, tuple[EventSpec, Plan]] = {}

    # --- events ----------------------------------------------------------------------------------

    def event(self, spec: EventSpec, values: Sequence[Any]) -> None:
        match spec.action:
            case "printf":
                self._write(self._formatted(spec, values, self._words))
            case "print":
                self._write(self._value(spec.args[0], values[0]) + "\n")
            case "print_entry":
                self._write(self._value(spec.args[1], values[1]) + "\n")
            case "join":
                self._write(joined(spec, values, self._words) + "\n")
            case "time":
                self._write(strftime(spec.text or "%H:%M:%S\n", time.time_ns()))
            case "errorf":
                self._located(spec, values, "ERROR")
            case "warnf":
                if self._warnings:
                    self._located(spec, values, "WARNING")
            case _:
                raise ValueError(f"{spec.action} is not something to show")

    def format(self, spec: EventSpec, values: Sequence[Any]) -> bytes:
        words = Words(self._words.resolver)
        return to_bytes(self._formatted(spec, values, words))

    def _formatted(self, spec: EventSpec, values: Sequence[Any], words: Words) -> str:
        known = self._plans.get(id(spec))
        if known is None:
            assert spec.format is not None, "the compiler gives these a format"
            known = self._plans[id(spec)] = spec, planned(spec.format, spec.args)
        return known[1](words, values)

    def _located(self, spec: EventSpec, values: Sequence[Any], severity: str) -> None:
        text = self._formatted(spec, values, self._err_words)
        self._tell(
            f"{spec.text or place(spec.location)}: {severity}: {text}{'' if text.endswith(chr(10)) else chr(10)}"
        )

    def raw(self, data: bytes) -> None:
        self._out.write(data)

    def cat(self, content: bytes) -> None:
        self._write(self._words.safe(content.decode("utf-8", "surrogateescape")))

    def system(self, output: bytes) -> None:
        self.cat(output)

    # --- maps ------------------------------------------------------------------------------------

    def map(self, user_map: UserMap, entries: Iterable[Entry], top: int = 0, div: int = 0) -> None:
        self._write(self._map(user_map, list(entries), top, div))

    def maps(self, maps: Iterable[tuple[UserMap, Iterable[Entry]]]) -> None:
        filled = [(user_map, entries) for user_map, lazy in maps if (entries := list(lazy))]
        filled.sort(key=lambda pair: pair[0].name)
        self._write("\n\n" + "".join(self._map(user_map, entries, 0, 0) for user_map, entries in filled))

    def _map(self, user_map: UserMap, entries: list[Entry], top: int, div: int) -> str:
        kind = user_map.value
        if not entries and user_map.key is None and not isinstance(kind, t.Hist | t.LHist | t.TSeries):
            entries = [(None, decode(kind, bytes(kind.size)))]
        newest = newest_interval(entries)
        lines = []
        for key, value in ordered(user_map, entries, top):
            name = user_map.name
            if user_map.key is not None:
                name += f"[{self._words.key(user_map.key, key)}]"
            if isinstance(value, Histogram | TSeriesValue):
                lines.append(f"{name}:\n{self._picture(value, scaled(kind, value, div), newest)}\n")
            else:
                lines.append(f"{name}: {self._words.text(kind, scaled(kind, value, div))}\n")
        return "".join(lines)

    def _value(self, type: t.Type, value: Any) -> str:
        if isinstance(value, Histogram | TSeriesValue):
            return self._picture(value, value, None)
        return self._words.text(type, value)

    def _picture(self, value: Histogram | TSeriesValue, shown: Any, newest: int | None) -> str:
        if isinstance(value, TSeriesValue):
            rows = series_rows(value, newest, self._words.resolver.wall_offset("tai"), strftime)
        else:
            rows = histogram_rows(value, shown)
            if self._percentiles and rows:
                rows.append(percentiles(value))
        return "".join(f"{row}\n" for row in rows)

    # --- what the tool says ----------------------------------------------------------------------

    def attached(self, count: int) -> None:
        # Written as it is: each start says it, and it has no colour.
        self._err.write(f"Attached {count} probe{'' if count == 1 else 's'}\n".encode())

    def lost(self, count: int) -> None:
        self._tell(f"Lost {count} events\n")

    def lost_total(self, count: int) -> None:
        self._tell(f"WARNING: Total lost event count: {count}\n")

    def message(self, text: str) -> None:
        self._tell(f"{text}\n")

    def helper_error(self, helper: str, code: int, message: str, location: tuple[str, int, int]) -> None:
        self._tell(f"{place(location)}: WARNING: {message}\nAdditional Info - helper: {helper}, retcode: {code}\n")

    def test_result(self, name: str, passed: bool, duration: int, output: bytes = b"") -> None:
        verdict = "[       OK ]" if passed else "[  FAILED  ]"
        self._write(
            f"[ RUN      ] {name}\n{output.decode('utf-8', 'surrogateescape')}{verdict} {name} ({_took(duration)})\n"
        )

    def benchmarks(self, results: Sequence[tuple[str, int, int]]) -> None:
        rows = [("Benchmark", "Time(ns)", "Iterations")]
        rows += [(name, str(average), str(count)) for name, average, count in results]
        lines = [f"{name:<41}{average:<15}{count}\n".rstrip(" ") for name, average, count in rows]
        self._write(lines[0] + "-" * 66 + "\n" + "".join(lines[1:]))

    def _write(self, text: str) -> None:
        self._out.write(to_bytes(text))

    def _tell(self, text: str) -> None:
        from pytrace.colour import told

        self._err.write(to_bytes(told(text, self._err.isatty())))


def to_bytes(text: str) -> bytes:
    """The bytes that `decode` made the text from."""
    return text.encode("utf-8", "surrogateescape")


def place(location: tuple[str, int, int]) -> str:
    file, line, column = location
    return f"{file}:{line}:{column}"


def joined(spec: EventSpec, values: Sequence[Any], words: Words) -> str:
    """The strings of a `join` (the first argument says how many), separated by the event's text."""
    strings = list(zip(spec.args[1:], values[1:], strict=False))[: values[0]]
    return spec.text.join(words.text(type, value) for type, value in strings)


def newest_interval(entries: Iterable[Entry]) -> int | None:
    """The newest interval number of all series of a map: all of them are drawn up to it."""
    return max((v.slots[-1][0] for _, v in entries if isinstance(v, TSeriesValue) and v.slots), default=None)


def percentiles(histogram: Histogram) -> str:
    quantiles = ((name, histogram.quantile(q)) for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)))
    return "  ".join(f"{name} {value:g}" for name, value in quantiles if value is not None)


def _took(ns: int) -> str:
    for unit, size in (("s", 1_000_000_000), ("ms", 1_000_000), ("μs", 1000)):
        if ns >= size:
            return f"{ns // size} {unit}"
    return f"{ns} ns"
