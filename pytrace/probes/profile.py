"""profile — a timer on every CPU: sampling.

    profile:hz:99   profile:s:1   profile:10ms   profile:1000000     (units: see `probes.times`)

The program interrupts whatever runs on each CPU, so `kstack`, `ustack`, `pid`, `comm` say what that was. No `args`;
`reg()` reads the registers of what was interrupted. Attaches as a perf software event (cpu-clock) on each CPU.
A frequency above /proc/sys/kernel/perf_event_max_sample_rate is refused by the kernel.
"""

from pytrace.probes.times import Timer

PROVIDER = Timer("profile", ("p",), "a timer on every CPU", one_cpu=False)
