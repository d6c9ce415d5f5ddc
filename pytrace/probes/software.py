"""software — events the kernel counts itself, on every CPU.

    software:EVENT[:N]        the program runs once for every N events (each event has a default N)

Events (short name, default N): alignment-faults 1, bpf-output 1, context-switches (cs) 1000, cpu-clock (cpu)
1,000,000 ns, cpu-migrations 1, dummy 1, emulation-faults 1, major-faults 1, minor-faults 100, page-faults (faults)
100, task-clock 1 ns (which the kernel makes 10,000). No `args`; `reg()` reads the registers at the event.
"""

from pytrace.probes.perfevents import Counting, Event
from pytrace.probes.uapi import PERF_TYPE_SOFTWARE

PROVIDER = Counting(
    "software",
    ("s",),
    "every N-th event of a kernel software counter",
    PERF_TYPE_SOFTWARE,
    (
        Event("cpu-clock", 0, 1_000_000, "cpu"),
        Event("task-clock", 1, 1),
        Event("page-faults", 2, 100, "faults"),
        Event("context-switches", 3, 1000, "cs"),
        Event("cpu-migrations", 4, 1),
        Event("minor-faults", 5, 100),
        Event("major-faults", 6, 1),
        Event("alignment-faults", 7, 1),
        Event("emulation-faults", 8, 1),
        Event("dummy", 9, 1),
        Event("bpf-output", 10, 1),
    ),
)
