"""fexit — the return of a kernel function by a BPF trampoline (5.5+), with typed arguments and result.

    fexit:FUNCTION          fexit:MODULE:FUNCTION        wildcards in both
    fexit:bpf:ID:PROGRAM                                 the return of a loaded BPF program

`retval` (also `args.retval`) is the result with its kernel type, and `args.NAME` are still the arguments that the
function was called with. Never misses a call, unlike a perf kretprobe. See `probes.fentry`.
"""

from pytrace.probes.fentry import FentryProvider

PROVIDER = FentryProvider("fexit", ("fr", "kretfunc"), "the return of a kernel function, typed", returns=True)
