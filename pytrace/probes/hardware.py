"""hardware — events the processor counts, on every CPU; needs a PMU, which most virtual machines do not have.

    hardware:EVENT[:N]        the program runs once for every N events (each event has a default N)

Events (short name, default N): cpu-cycles (cycles) 1,000,000, instructions 1,000,000, cache-references 1,000,000,
cache-misses 1,000,000, branch-instructions (branches) 100,000, branch-misses 100,000, bus-cycles 100,000,
frontend-stalls 1,000,000, backend-stalls 1,000,000, ref-cycles 1,000,000.
No `args`; `reg()` reads the registers at the event.
"""

from pytrace.probes.perfevents import Counting, Event
from pytrace.probes.uapi import PERF_TYPE_HARDWARE

PROVIDER = Counting(
    "hardware",
    ("h",),
    "every N-th event of a processor counter",
    PERF_TYPE_HARDWARE,
    (
        Event("cpu-cycles", 0, 1_000_000, "cycles"),
        Event("instructions", 1, 1_000_000),
        Event("cache-references", 2, 1_000_000),
        Event("cache-misses", 3, 1_000_000),
        Event("branch-instructions", 4, 100_000, "branches"),
        Event("branch-misses", 5, 100_000),
        Event("bus-cycles", 6, 100_000),
        Event("frontend-stalls", 7, 1_000_000),
        Event("backend-stalls", 8, 1_000_000),
        Event("ref-cycles", 9, 1_000_000),
    ),
)
