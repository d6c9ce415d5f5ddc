"""bench — a piece of script whose run time is measured, on demand.

    bench:NAME { … }

Runs only where benchmarks are asked for (`--bench`), many times over; the average in ns is reported. No arguments.
"""

from pytrace.probes.runs import Run

PROVIDER = Run("bench", "a benchmark, run with --bench", named=True)
