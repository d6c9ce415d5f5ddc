"""Puts loaded programs where their specs say: one small function for each kind of link.

What is attached hangs on file descriptors only: when they are closed, or the process is killed, nothing is left.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytrace.kernel.bpf import ProgType
from pytrace.program import (
    Attach,
    Iter,
    Kprobe,
    KprobeMulti,
    PerfEvent,
    PerfTracepoint,
    RawTracepoint,
    Signal,
    TestRun,
    Tracing,
    Uprobe,
    UprobeMulti,
    Watchpoint,
)
from pytrace.runtime.attach import tracing as trampolines
from pytrace.runtime.attach.link import AttachError, Link, Place
from pytrace.runtime.attach.tracing import walk
from pytrace.runtime.progs import LoadedProgram

_THREADS = 32


def attach(spec: Attach, prog: LoadedProgram, place: Place) -> Link | None:
    """None for what is not attached but run: `TestRun` and `Signal`. Raises `AttachError`."""
    match spec:
        case RawTracepoint():
            return trampolines.raw_tracepoint(spec, prog.fd, place, typed=prog.spec.type == ProgType.TRACING)
        case Tracing():
            return trampolines.tracing(spec, prog.fd, place, name=prog.spec.attach_btf)
        case Iter():
            return trampolines.iterator(spec, prog.fd, place)
        case KprobeMulti() | UprobeMulti():
            return _by_one_link(spec, prog.fd, place)
        case TestRun() | Signal():
            return None
    return _by_perf(spec, prog, place)


# A start imports what it uses only.


def _by_one_link(spec: KprobeMulti | UprobeMulti, prog_fd: int, place: Place) -> Link:
    from pytrace.runtime.attach import multi

    if isinstance(spec, KprobeMulti):
        return multi.kprobe_multi(spec, prog_fd, place)
    return multi.uprobe_multi(spec, prog_fd, place)


def _by_perf(
    spec: PerfTracepoint | PerfEvent | Kprobe | Uprobe | Watchpoint, prog: LoadedProgram, place: Place
) -> Link:
    from pytrace.runtime.attach import perf

    match spec:
        case PerfTracepoint():
            return perf.tracepoint(spec, prog.fd, place)
        case PerfEvent():
            return perf.event(spec, prog.fd, place, prog.spec.probe)
        case Kprobe():
            return perf.kprobe(spec, prog.fd, place)
        case Uprobe():
            return perf.uprobe(spec, prog.fd, place)
        case Watchpoint():
            return perf.watchpoint(spec, prog.fd, place)


def detach(links: Sequence[Link]) -> None:
    """Closes links, the slow ones at the same time, since each of them mostly waits."""
    slow = [link for link in links if link.slow and link.fds]
    for link in links:
        if not link.slow:
            link.close()
    if len(slow) < 2:
        for link in slow:
            link.close()
        return
    from threading import Thread

    def close_some() -> None:
        while slow:
            try:
                link = slow.pop()
            except IndexError:  # another thread took the last one
                return
            link.close()

    threads = [Thread(target=close_some, daemon=True) for _ in range(min(_THREADS, len(slow)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


__all__ = ["AttachError", "Link", "Place", "attach", "detach", "walk"]
