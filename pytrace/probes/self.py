"""self — something happens to the tracer itself.

    self:signal:SIGUSR1 { … }      the tracer received the signal (`SIG` may be left out)

No arguments. Runs by BPF_PROG_TEST_RUN when the tracer sees the signal, so not within the signal's sender. Signals
that end the tracer (SIGINT, SIGTERM, SIGKILL, SIGSTOP) or that it needs (SIGCHLD) cannot be used.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

from pytrace.kernel.glob import matches
from pytrace.probes.base import Point, ProbeError, Target
from pytrace.probes.runs import CONTEXT
from pytrace.probes.text import arguments, did_you_mean
from pytrace.program import Signal

_TAKEN = {"SIGINT", "SIGTERM", "SIGKILL", "SIGSTOP", "SIGCHLD", "SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGTRAP"}


def signals() -> dict[str, int]:
    """Names and numbers of the signals that can be used."""
    return {s.name: s.value for s in signal.Signals if s.name not in _TAKEN}


class Self:
    name = "self"
    aliases: tuple[str, ...] = ()
    doc = "the tracer received a signal"
    listed = False

    def expand(self, rest: str, target: Target) -> list[Point]:
        trigger, text = arguments(self.name, rest, 2)
        if trigger != "signal":
            raise ProbeError(f"{trigger} is not a supported trigger", "the one trigger is self:signal:NAME")
        known = signals()
        name = text if text.startswith("SIG") else f"SIG{text}"
        if name not in known:
            raise ProbeError(f"{text} is not a supported signal", did_you_mean(name, known))
        return [Point(f"self:signal:{name}", Signal(known[name]), CONTEXT)]

    def matches(self, pattern: str, target: Target) -> Iterator[str]:
        for name in signals():
            if matches(f"signal:{name}", pattern):
                yield f"self:signal:{name}"

    def describe(self, name: str, target: Target) -> list[str]:
        return []


PROVIDER = Self()
