"""kretprobe — the return of a kernel function.

    kretprobe:FUNCTION      kretprobe:MODULE:FUNCTION    wildcards in both
    kretprobe:0xADDRESS                                  needs --unsafe

`retval` is the value it returns as an unsigned number, `func` the function. Functions whose return must not be probed
are refused (`probes.denylist`). A perf kretprobe misses calls when too many are under way at once; fexit and
kprobe.multi do not. How they attach: `probes.lowering`.
"""

from pytrace.probes.kprobe import KprobeProvider

PROVIDER = KprobeProvider("kretprobe", ("kr",), "the return of a kernel function", returns=True)
