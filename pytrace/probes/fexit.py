"""fexit — the return of a kernel function by a BPF trampoline (5.5+), with typed arguments and result.

    fexit:FUNCTION          fexit:MODULE:FUNCTION        wildcards in both
    fexit:bpf:PROGRAM       fexit:bpf:ID:PROGRAM         a function of a BPF program that is loaded, wildcards in both

`retval` (also `args.retval`) is the result with its kernel type, and `args.NAME` are still the arguments that the
function was called with. Never misses a call, unlike a perf kretprobe. See `probes.fentry`.
"""

from pytrace.probes.fentry import FentryProvider

PROVIDER = FentryProvider("fexit", ("fr", "kretfunc"), "the return of a kernel function, typed", returns=True)
