"""Time forms of `profile` and `interval`, shared by both.

hz:99   s:1   ms:10   us:100       a rate, or a period in that unit
1s  100ms  50us  2000000ns  5m     a period with its unit
2000000                            a period in ns, at least 1000
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytrace.kernel.glob import matches
from pytrace.probes.base import Context, Point, ProbeError, Target
from pytrace.probes.regs import perf_context
from pytrace.probes.text import arguments, integer
from pytrace.probes.uapi import PERF_COUNT_SW_CPU_CLOCK, PERF_TYPE_SOFTWARE
from pytrace.program import PerfEvent
from pytrace.record import record

_UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000}
_SUFFIXES = {"ns": 1, **_UNITS, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}
_LONGEST = (1 << 63) - 1


@record
class Rate:
    """A period in ns or a frequency in Hz (the other one is 0), and the text it is known by."""

    text: str
    period: int = 0
    freq: int = 0


def parse(provider: str, rest: str) -> Rate:
    """Raises `ProbeError` for anything but the forms of the module's text."""
    parts = arguments(provider, rest, 1, 2)
    if len(parts) == 1:
        return _duration(provider, parts[0])
    unit, count = parts[0], integer(parts[1])
    if unit not in ("hz", *_UNITS):
        raise ProbeError(f"{unit} is not an accepted unit of time", "the units are hz, s, ms, us")
    if not count:
        raise ProbeError(f"{provider} frequency should be a positive integer", f"for example {provider}:{unit}:1")
    if unit == "hz":
        return Rate(f"hz:{count}", freq=count)
    return Rate(f"{unit}:{count}", period=_bounded(provider, count * _UNITS[unit]))


def _duration(provider: str, text: str) -> Rate:
    m = re.fullmatch(r"(\w*?)(ns|us|ms|s|m|h|d|)", text)
    number = integer(m[1]) if m else None
    if m is None or number is None:
        raise ProbeError(f"Invalid rate of {provider} probe: {text}", "write hz:99, s:1, 100ms or a number of ns")
    period = number * _SUFFIXES[m[2] or "ns"]
    if period < 1000:
        raise ProbeError(
            f"Invalid rate of {provider} probe. Minimum is 1000 or 1us. Found: {period} nanoseconds",
            f"for a rate in Hz write {provider}:hz:{period}" if period and not m[2] else None,
        )
    return Rate(f"us:{period // 1000}", period=_bounded(provider, period))


def _bounded(provider: str, period: int) -> int:
    if period > _LONGEST:
        raise ProbeError(f"Invalid rate of {provider} probe: longer than 292 years")
    return period


@record
class Timer:
    """A provider of a timer on the perf CPU clock, on one CPU or on every one."""

    name: str
    aliases: tuple[str, ...]
    doc: str
    one_cpu: bool
    listed: bool = False

    def expand(self, rest: str, target: Target) -> list[Point]:
        rate = parse(self.name, rest)
        attach = PerfEvent(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK, rate.period, rate.freq, self.one_cpu)
        context: Context = perf_context(target.kernel.machine)
        return [Point(f"{self.name}:{rate.text}", attach, context)]

    def matches(self, pattern: str, target: Target) -> Iterator[str]:
        for unit in ("hz", "ms", "s", "us"):
            if matches(f"{unit}:", pattern):
                yield f"{self.name}:{unit}:"

    def describe(self, name: str, target: Target) -> list[str]:
        return []
