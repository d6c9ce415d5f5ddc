"""Programs on perf events: tracepoints, timers and counters, kprobes, uprobes, watchpoints."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable, Iterable

from pytrace.kernel import KernelError, bpf
from pytrace.kernel.bpf import AttachType, PerfType
from pytrace.program import Kprobe, PerfEvent, PerfTracepoint, Uprobe, Watchpoint
from pytrace.runtime.attach.link import ENOTSUPP, AttachError, Link, Place

_PMU = "/sys/bus/event_source/devices/"
_MODES = {"r": 1, "w": 2, "x": 4}


def bind(prog: int, event: int, cookie: int = 0) -> int:
    """Attaches a program to a perf event and gives the fd to close: a link that has taken the event over (5.15+), or
    before that the event. `event` belongs to this function. Raises OSError; EOPNOTSUPP where a cookie cannot be
    had."""
    try:
        try:
            link = bpf.link_create(prog, event, AttachType.PERF_EVENT, struct.pack("=Q", cookie) if cookie else b"")
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            if cookie:
                raise OSError(errno.EOPNOTSUPP, "the kernel has no attach cookies for perf events (5.15+)") from error
            fcntl.ioctl(event, bpf.PERF_EVENT_IOC_SET_BPF, prog)
            fcntl.ioctl(event, bpf.PERF_EVENT_IOC_ENABLE, 0)
            return event
        fcntl.ioctl(event, bpf.PERF_EVENT_IOC_ENABLE, 0)
    except OSError:
        os.close(event)
        raise
    os.close(event)
    return link


def tracepoint(spec: PerfTracepoint, prog: int, place: Place) -> Link:
    """One event for all CPUs: a program on a perf tracepoint runs wherever it fires."""
    name = f"tracepoint:{spec.category}:{spec.event}"
    try:
        format = place.kernel.tracefs.format(spec.category, spec.event)
    except KernelError as error:
        raise AttachError(f"cannot attach {name}: {error}") from error
    if format is None:
        raise AttachError(f"cannot attach {name}: there is no such tracepoint")
    try:
        event = bpf.perf_event_open(PerfType.TRACEPOINT, format.id, cpu=0, period=1, disabled=True)
        return Link([bind(prog, event)], slow=True)
    except OSError as error:
        raise AttachError(f"cannot attach {name}: {_reason(error)}") from error


def event(spec: PerfEvent, prog: int, place: Place, name: str = "") -> Link:
    """A timer or counter, on each CPU that is online or on the first of them. `name` is the probe's, for messages."""
    most = _most_samples() if spec.freq else 0
    if most and spec.freq > most:
        raise AttachError(
            f"cannot attach {name}: more than {most} a second, the kernel's limit",
            f"sysctl kernel.perf_event_max_sample_rate={spec.freq} raises it",
        )
    cpus = place.kernel.online_cpus
    return _on_each(
        cpus[:1] if spec.one_cpu else cpus,
        lambda cpu: bpf.perf_event_open(
            spec.type, spec.config, cpu=cpu, period=spec.period, freq=spec.freq, disabled=True
        ),
        prog,
        name or f"perf event {spec.type}:{spec.config}",
    )


def _most_samples() -> int:
    """Returns `kernel.perf_event_max_sample_rate` in Hz, or 0 if it cannot be read."""
    try:
        with open("/proc/sys/kernel/perf_event_max_sample_rate") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def watchpoint(spec: Watchpoint, prog: int, place: Place) -> Link:
    """A hardware breakpoint: in every thread of the process, those to come included, or on every CPU."""
    mode = sum(_MODES[c] for c in spec.mode)
    name = f"watchpoint:{spec.address:#x}:{spec.length}:{spec.mode}"

    def open_event(pid: int, cpu: int) -> int:
        return bpf.perf_event_open(
            PerfType.BREAKPOINT,
            0,
            pid=pid,
            cpu=cpu,
            period=1,
            bp_type=mode,
            config1=spec.address,
            config2=spec.length,
            inherit=pid > 0,
            disabled=True,
        )

    if not place.pid:
        return _on_each(place.kernel.online_cpus, lambda cpu: open_event(-1, cpu), prog, name)
    try:
        threads = sorted(int(t) for t in os.listdir(f"/proc/{place.pid}/task"))
    except OSError as error:
        raise AttachError(f"cannot attach {name}: there is no process {place.pid}") from error
    return _on_each(threads, lambda thread: open_event(thread, -1), prog, name)


def kprobe(spec: Kprobe, prog: int, place: Place) -> Link:
    """A kprobe or kretprobe through the kernel's `kprobe` PMU (4.17+)."""
    name = f"{'kretprobe' if spec.returns else 'kprobe'}:{spec.function or hex(spec.address)}"
    type, returns = _dynamic_pmu("kprobe", name)
    function = spec.function.encode() + b"\0"
    try:
        event = bpf.perf_event_open(
            type,
            returns if spec.returns else 0,
            cpu=0,
            config1=bpf.address(function) if spec.function else 0,
            config2=spec.offset if spec.function else spec.address,
            disabled=True,
        )
        return Link([bind(prog, event)], slow=True)
    except OSError as error:
        where = f"{name}+{spec.offset}" if spec.offset else name
        raise AttachError(f"cannot attach {where}: {_reason(error, _KPROBE)}") from error


def uprobe(spec: Uprobe, prog: int, place: Place) -> Link:
    """A uprobe or uretprobe through the kernel's `uprobe` PMU (4.17+; semaphores 4.20+)."""
    name = f"{'uretprobe' if spec.returns else 'uprobe'}:{spec.path}:{spec.offset:#x}"
    type, returns = _dynamic_pmu("uprobe", name)
    path = os.fsencode(spec.path) + b"\0"
    try:
        event = bpf.perf_event_open(
            type,
            (returns if spec.returns else 0) | spec.ref_ctr_offset << 32,
            pid=place.pid or -1,
            cpu=-1 if place.pid else 0,
            config1=bpf.address(path),
            config2=spec.offset,
            disabled=True,
        )
        return Link([bind(prog, event, spec.cookie)], slow=True)
    except OSError as error:
        raise AttachError(f"cannot attach {name}: {_reason(error, _UPROBE)}") from error


def _on_each(where: Iterable[int], open_event: Callable[[int], int], prog: int, name: str) -> Link:
    link = Link()
    try:
        for n in where:
            try:
                link.fds.append(bind(prog, open_event(n)))
            except OSError as error:
                if error.errno in (errno.ENODEV, errno.ESRCH):
                    continue  # the CPU went offline or the thread ended meanwhile
                raise
    except OSError as error:
        link.close()
        raise AttachError(f"cannot attach {name}: {_reason(error, _EVENT)}") from error
    if not link.fds:
        raise AttachError(f"cannot attach {name}: there is nothing (left) to attach it to")
    return link


def _dynamic_pmu(name: str, probe: str) -> tuple[int, int]:
    """The perf type of the kprobe or uprobe PMU, and the config bit that asks for the return."""
    try:
        with open(f"{_PMU}{name}/type") as file:
            type = int(file.read())
        with open(f"{_PMU}{name}/format/retprobe") as file:
            bit = int(file.read().strip().removeprefix("config:"))
    except (OSError, ValueError) as error:
        raise AttachError(f"cannot attach {probe}: this kernel is built without {name}s") from error
    return type, 1 << bit


_KPROBE = {
    errno.ENOENT: "the kernel has no such function",
    errno.EINVAL: "the kernel does not allow a probe there",
    errno.EADDRNOTAVAIL: "the kernel has no function of that name that can be probed",
    errno.EILSEQ: "this is not the start of an instruction",
}
_UPROBE = {
    errno.ENOENT: "there is no such file",
    errno.EINVAL: "the kernel does not allow a probe there",
    errno.EILSEQ: "this is not the start of an instruction",
    ENOTSUPP: "the kernel cannot put a probe on this instruction",
}
_EVENT = {
    errno.ENOENT: "this machine has no such event",
    errno.EOPNOTSUPP: "this machine has no such event",
    errno.ENOSPC: "all hardware breakpoints are in use",
    errno.EBUSY: "the counter is in use",
}


def _reason(error: OSError, known: dict[int, str] | None = None) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return "not permitted (it needs root, or CAP_PERFMON)"
    return (known or {}).get(error.errno or 0) or error.strerror or str(error)
