"""The flood: one process raises printf events as fast as it can, and every one of them must be accounted for."""

from __future__ import annotations

import re
from dataclasses import dataclass

import harness

SCRIPT = 'tracepoint:syscalls:sys_enter_getppid /pid == cpid/ { printf("%d %s %d\\n", pid, comm, nsecs); }'


@dataclass(frozen=True)
class Flood:
    """The books of one run; `cpu` in seconds is the tracer's own."""

    fired: int
    delivered: int
    lost: int
    cpu: float
    ns_per_call: float

    @property
    def unaccounted(self) -> int:
        return self.fired - self.delivered - self.lost

    @property
    def rate(self) -> float:
        """Events delivered for each second of the tracer's CPU time."""
        return self.delivered / self.cpu


def flood(tracer: harness.Tracer, events: int) -> Flood:
    output, said = harness.scratch() / "output", harness.scratch() / "load.said"
    said.unlink(missing_ok=True)
    run = harness.run(tracer, "-o", str(output), "-e", SCRIPT, "-c", f"{harness.load()} {events} {said}")
    if run.status or not said.exists():
        raise SystemExit(f"{tracer.name} ended with {run.status}:\n{run.errors}")
    load = harness.read_load(said.read_text())
    with output.open("rb") as lines:
        delivered = sum(b" load " in line for line in lines)
    output.unlink()
    total = re.search(r"Total lost event count: (\d+)", run.errors)
    lost = int(total[1]) if total else sum(int(n) for n in re.findall(r"Lost (\d+) events", run.errors))
    return Flood(events, delivered, lost, run.cpu - load.cpu, load.ns_per_call)
