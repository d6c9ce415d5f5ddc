"""Probes that the tracer itself runs, by BPF_PROG_TEST_RUN: the shared half of begin, end, test, bench and self.

The program is a raw tracepoint program (which test runs take since 5.10) with an empty context: nothing to read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pytrace.probes.base import Context, Point, ProbeError, Target
from pytrace.probes.text import arguments
from pytrace.probes.uapi import ProgType
from pytrace.program import TestRun
from pytrace.record import record

CONTEXT = Context(prog_type=ProgType.RAW_TRACEPOINT)


@record
class Run:
    """`name`, or with `named` `name:TEXT`."""

    name: Literal["begin", "end", "test", "bench"]
    doc: str
    named: bool = False
    aliases: tuple[str, ...] = ()
    listed: bool = False

    def expand(self, rest: str, target: Target) -> list[Point]:
        parts = arguments(self.name, rest, int(self.named))
        if self.named and not parts[0]:
            raise ProbeError(f"{self.name} probe needs a name", f"write {self.name}:NAME")
        return [Point(":".join([self.name, *parts]), TestRun(self.name, "".join(parts)), CONTEXT)]

    def matches(self, pattern: str, target: Target) -> Iterator[str]:
        if not self.named:
            yield self.name

    def describe(self, name: str, target: Target) -> list[str]:
        return []
