"""Counting events of perf, the shared half of `software` and `hardware`: tables of events and one provider class.

software:page-faults          every N-th event, N being the event's default
software:page-faults:1        every event
"""

from __future__ import annotations

from collections.abc import Iterator

from pytrace.kernel.glob import matches
from pytrace.probes.base import Point, ProbeError, Target
from pytrace.probes.regs import perf_context
from pytrace.probes.text import arguments, did_you_mean, integer
from pytrace.program import PerfEvent
from pytrace.record import record


@record
class Event:
    """A perf event: its number within its type, the default period, another name."""

    name: str
    config: int
    period: int
    alias: str = ""


@record
class Counting:
    name: str
    aliases: tuple[str, ...]
    doc: str
    type: int
    events: tuple[Event, ...]
    listed: bool = True

    def _named(self) -> dict[str, Event]:
        return {n: e for e in self.events for n in (e.name, e.alias) if n}

    def expand(self, rest: str, target: Target) -> list[Point]:
        parts = arguments(self.name, rest, 1, 2)
        event = self._named().get(parts[0])
        if event is None:
            hint = did_you_mean(parts[0], self._named()) or f"see `pytrace -l '{self.name}:*'`"
            raise ProbeError(f"{parts[0]} is not a {self.name} probe", hint)
        period = event.period
        if len(parts) == 2 and parts[1]:
            count = integer(parts[1])
            if not count:
                raise ProbeError(f"Invalid count for {self.name} probe: {parts[1]}", "a positive number of events")
            period = count
        attach = PerfEvent(self.type, event.config, period)
        return [Point(":".join([self.name, *filter(None, parts)]), attach, perf_context(target.kernel.machine))]

    def matches(self, pattern: str, target: Target) -> Iterator[str]:
        for name in sorted(self._named()):
            if matches(name, pattern) or matches(f"{name}:", pattern):
                yield f"{self.name}:{name}:"

    def describe(self, name: str, target: Target) -> list[str]:
        return []
