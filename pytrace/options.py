"""What compiling a script depends on besides its text, its parameters and the kernel."""

from __future__ import annotations

from typing import Literal

from pytrace.record import record

Mode = Literal["trace", "test", "bench"]


@record(kw_only=True)
class Options:
    """The caller's choices; each is a command line option of the same meaning.

    pid           trace only this process (0: every one)                                   -p
    cpid          the process of the command, which waits until all is attached (0: none)  -c
    unsafe        allow functions that change what they observe                            --unsafe
    mode          which probes run: all but test and bench, only test, only bench          --test --bench
    probe_filter  a regular expression; probes whose names it does not match are left out  --probe-filter
    helper_errors report kernel helpers and probe reads that fail                          -k
    timestamps    every event carries the time it was raised at
    live          other programs may come to share the script's maps: integers in new maps have room for 64 bits, and
                  aggregations are updated atomically
    include_dirs  where `#include` and `import` look after the script's own directory      -I
    includes      C files included before the script's first line                          --include
    debug_dirs    where separate debug info is looked for                                  --debuginfo
    traceable_functions   a file with the kernel functions that probes may go to            --traceable-functions
    no_features   names of kernel features to do without                                   --no-feature
    config        settings (`semantics.config.KEYS`) that win over script and environment
    """

    pid: int = 0
    cpid: int = 0
    unsafe: bool = False
    mode: Mode = "trace"
    probe_filter: str = ""
    helper_errors: bool = False
    timestamps: bool = False
    live: bool = False
    include_dirs: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()
    debug_dirs: tuple[str, ...] = ()
    traceable_functions: str = ""
    no_features: frozenset[str] = frozenset()
    config: tuple[tuple[str, str | int | bool], ...] = ()
