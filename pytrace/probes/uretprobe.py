"""uretprobe — the return of a function in a program or library.

    uretprobe:BINARY:FUNCTION           wildcards in both
    uretprobe:BINARY:cpp:"ns::f"        a C++ function by its demangled name

`retval` is the value it returns as an unsigned number, `func` the function. BINARY as for `probes.uprobe`. The kernel
replaces the return address on the stack while the function runs: programs that walk their own stack may notice.
"""

from pytrace.probes.uprobe import UprobeProvider

PROVIDER = UprobeProvider("uretprobe", ("ur",), "the return of a function in user space", returns=True)
