"""The table of features, and the trial of each: see `pytrace.kernel.features`.

A trial that attaches asks for something that does not exist (a function of no kernel, a directory as a binary): what
the kernel complains about tells whether it got as far as looking for it, and nothing was ever attached.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pytrace.kernel import bpf
from pytrace.kernel.bpf import AttachType, PerfType, ProgType
from pytrace.kernel.errors import KernelError
from pytrace.kernel.feature import Feature, Missing, Trial

if TYPE_CHECKING:
    from pytrace.kernel.kernel import Kernel

_PMU = "/sys/bus/event_source/devices"
_NO_SUCH_FUNCTION = b"pytrace_no_such_function\0"
_HASH, _ARRAY, _RINGBUF = 1, 2, 27
_MMAPABLE, _NO_PREALLOC = 1 << 10, 1
_SLEEPABLE = 1 << 4
_STRUCT, _TYPEDEF, _FUNC = 4, 8, 12
_LOG = 1 << 16


def _insn(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    return struct.pack("=BBhi", code, dst | src << 4, off, imm)


_EXIT = _insn(0xB7) + _insn(0x95)  # return 0


def _call(helper: int) -> bytes:
    return _insn(0x85, imm=helper) + _EXIT


def _fd_to(dst: int, fd: int) -> bytes:
    return _insn(0x18, dst, 1, imm=fd) + _insn(0)


# --- what trials are made of ------------------------------------------------------------------------


@contextmanager
def _program(type: int, insns: bytes = _EXIT, *, expected: int = 0, btf_id: int = 0, flags: int = 0) -> Iterator[int]:
    """A loaded program for the time of a `with`. Raises `Missing` with the verifier's words."""
    log = bpf.Mapping(-1, _LOG)
    try:
        fd = bpf.prog_load(
            type,
            insns,
            expected_attach_type=expected,
            attach_btf_id=btf_id,
            flags=flags,
            log=log.address,
            log_size=_LOG,
            log_level=1,
        )
    except OSError as error:
        code = errno.errorcode.get(error.errno or 0, "?")
        text = log.view.tobytes().partition(b"\0")[0].decode(errors="replace")
        lines = [x for x in text.splitlines() if x and not x.startswith(("processed", "0:", "1:", "2:", ";"))]
        raise Missing(f"the verifier says: {lines[-1]}" if lines else f"loading such a program: {code}") from error
    finally:
        log.close()
    try:
        yield fd
    finally:
        os.close(fd)


def _loads(type: int, insns: bytes = _EXIT, *, expected: int = 0, flags: int = 0) -> Trial:
    def trial(kernel: Kernel) -> None:
        with _program(type, insns, expected=expected, flags=flags):
            pass

    return trial


def _btf_id(kernel: Kernel, kind: int, *names: str) -> int:
    """The BTF id of the first name that the kernel has."""
    try:
        for name in names:
            id = kernel.btf.id(kind, name)
            if id is not None:
                return id
    except KernelError as error:
        raise Missing(error.message) from error
    raise Missing(f"the kernel's BTF has no {names[0]}")


def _traces(expected: int, kind: int, *names: str, insns: bytes = _EXIT) -> Trial:
    """A tracing program for the first of `names` can be loaded."""

    def trial(kernel: Kernel) -> None:
        type = ProgType.LSM if expected == AttachType.LSM_MAC else ProgType.TRACING
        with _program(type, insns, expected=expected, btf_id=_btf_id(kernel, kind, *names)):
            pass

    return trial


def _knows(helper: int, type: int, name: str, expected: int = 0, target: str = "") -> Trial:
    """Programs of a type may call a helper. It is called without arguments: a kernel that knows it complains about
    those."""

    def trial(kernel: Kernel) -> None:
        try:
            with _program(
                type,
                _call(helper),
                expected=expected,
                btf_id=_btf_id(kernel, _FUNC, target) if target else 0,
            ):
                return
        except Missing as missing:
            text = str(missing)
            if "unknown func" in text or "invalid func" in text or "cannot use helper" in text:
                raise Missing(f"no helper bpf_{name}") from missing
            if "the verifier says" not in text or "helper call is not allowed" in text:
                raise

    return trial


def _creates(type: int, key: int, value: int, entries: int, flags: int = 0) -> Trial:
    def trial(kernel: Kernel) -> None:
        os.close(bpf.map_create(type, key, value, entries, flags))

    return trial


def _expects(wanted: int, what: str, attempt: Callable[[], int]) -> None:
    """An attempt that cannot succeed fails for the right reason."""
    try:
        os.close(attempt())
    except OSError as error:
        if error.errno != wanted:
            raise Missing(f"{what}: {errno.errorcode.get(error.errno or 0, error.errno)}") from error


# --- trials that stand alone ------------------------------------------------------------------------


def _pmu(name: str, file: str = "type") -> int:
    try:
        with open(f"{_PMU}/{name}/{file}") as content:
            text = content.read().strip()
    except OSError as error:
        raise Missing(f"the kernel is built without {name}s") from error
    return int(text) if text.isdigit() else 0


def _kprobe(kernel: Kernel) -> None:
    type = _pmu("kprobe")
    address = bpf.address(_NO_SUCH_FUNCTION)
    attempt = lambda: bpf.perf_event_open(type, 0, cpu=0, config1=address)  # noqa: E731  # one line says it all
    try:
        _expects(errno.ENOENT, "opening a kprobe", attempt)
    except Missing as missing:
        # How a kernel says that it has no such function differs between versions.
        if not str(missing).endswith((": EINVAL", ": EADDRNOTAVAIL")):
            raise


def _kprobe_multi(expected: int) -> Trial:
    def trial(kernel: Kernel) -> None:
        names = struct.pack("=Q", bpf.address(_NO_SUCH_FUNCTION))
        rest = struct.pack("=IIQQQ", 0, 1, bpf.address(names), 0, 0)
        with _program(ProgType.KPROBE, expected=expected) as prog:
            _expects(errno.ESRCH, "linking", lambda: bpf.link_create(prog, 0, expected, rest))

    return trial


def _uprobe(kernel: Kernel) -> None:
    type, path = _pmu("uprobe"), b"/proc/self/no/such/file\0"
    _expects(errno.ENOENT, "opening a uprobe", lambda: bpf.perf_event_open(type, 0, cpu=0, config1=bpf.address(path)))


def _uprobe_multi(expected: int) -> Trial:
    def trial(kernel: Kernel) -> None:
        path, offset = b"/\0", struct.pack("=Q", 0)
        rest = struct.pack("=QQQQIIIxxxx", bpf.address(path), bpf.address(offset), 0, 0, 1, 0, 0)
        with _program(ProgType.KPROBE, expected=expected) as prog:
            _expects(errno.EBADF, "linking", lambda: bpf.link_create(prog, 0, expected, rest))

    return trial


def _fentry(kernel: Kernel) -> None:
    """Attached for a moment to a function that only the kernel's own tests call: some machines load such programs
    and cannot attach them."""
    id = _btf_id(kernel, _FUNC, "bpf_fentry_test1")
    with _program(ProgType.TRACING, expected=AttachType.TRACE_FENTRY, btf_id=id) as prog:
        os.close(bpf.raw_tracepoint_open(prog))


def _raw_tp(kernel: Kernel) -> None:
    with _program(ProgType.RAW_TRACEPOINT) as prog:
        _expects(errno.ENOENT, "attaching", lambda: bpf.raw_tracepoint_open(prog, "pytrace_no_such_tracepoint"))


def _iter(kernel: Kernel) -> None:
    id = _btf_id(kernel, _FUNC, "bpf_iter_task")
    with _program(ProgType.TRACING, expected=AttachType.TRACE_ITER, btf_id=id) as prog:
        os.close(bpf.link_create(prog, 0, AttachType.TRACE_ITER))


def _perf_link(kernel: Kernel) -> None:
    with _program(ProgType.PERF_EVENT) as prog:
        event = bpf.perf_event_open(PerfType.SOFTWARE, 0, pid=0, period=1 << 62, disabled=True)
        try:
            os.close(bpf.link_create(prog, event, AttachType.PERF_EVENT))
        except OSError as error:
            raise Missing(f"linking: {errno.errorcode.get(error.errno or 0, error.errno)}") from error
        finally:
            os.close(event)


def _hardware(kernel: Kernel) -> None:
    os.close(bpf.perf_event_open(PerfType.HARDWARE, 0, pid=0, period=1 << 62, disabled=True))


def _watchpoint(kernel: Kernel) -> None:
    word = bytearray(8)
    at = (bpf.address(word) + 3) & ~3
    os.close(
        bpf.perf_event_open(PerfType.BREAKPOINT, 0, pid=0, period=1, bp_type=2, config1=at, config2=4, disabled=True)
    )


def _test_run(type: int, flags: int = 0) -> Trial:
    def trial(kernel: Kernel) -> None:
        with _program(type, flags=flags) as prog:
            bpf.prog_test_run(prog, bytes(96) if type == ProgType.RAW_TRACEPOINT else b"")

    return trial


def _on_demand_hash(kernel: Kernel) -> None:
    """A program of a perf event, which may interrupt anything, may use a hash map that allocates its elements."""
    map = bpf.map_create(_HASH, 4, 8, 1, _NO_PREALLOC)
    lookup = _insn(0x62, 10, off=-4) + _insn(0xBF, 2, 10) + _insn(0x07, 2, imm=-4) + _fd_to(1, map) + _call(1)
    try:
        with _program(ProgType.PERF_EVENT, lookup):
            pass
    finally:
        os.close(map)


def _lookup_batch(kernel: Kernel) -> None:
    map = bpf.map_create(_HASH, 4, 8, 1)
    try:
        bpf.map_lookup_batch(map, b"", bytearray(8), bytearray(4), bytearray(8), 1)
    finally:
        os.close(map)


def _module_btf(kernel: Kernel) -> None:
    """Kernels with it give the BTF of vmlinux an id, too."""
    if not bpf.btf_ids():
        raise Missing("the kernel's own BTF has no id")
    name = bytearray(16)
    for id in bpf.btf_ids():
        try:
            fd = bpf.fd_by_id(bpf.Cmd.BTF_GET_FD_BY_ID, id)
        except OSError:
            continue  # gone meanwhile
        info = bytearray(struct.pack("=QIIQII", 0, 0, 0, bpf.address(name), len(name), 0))
        try:
            bpf.fill_info(fd, info)
        finally:
            os.close(fd)
        if struct.unpack_from("=I", info, 28)[0]:
            return
    raise Missing("no BTF is marked as the kernel's")


def _kfunc(*names: str) -> Trial:
    """An iterator's program may call these functions of the kernel, in order, without arguments."""

    def trial(kernel: Kernel) -> None:
        calls = b"".join(_insn(0x85, src=2, imm=_btf_id(kernel, _FUNC, name)) for name in names)
        id = _btf_id(kernel, _FUNC, "bpf_iter_task")
        with _program(ProgType.TRACING, calls + _EXIT, expected=AttachType.TRACE_ITER, btf_id=id):
            pass

    return trial


def allows(kernel: Kernel, name: str, type: int, expected: int = 0, target: str = "") -> bool:
    """Whether programs of a type may call a function of the kernel. It is called without arguments: a kernel that
    allows it complains about those. `target` is what a tracing program attaches to."""
    try:
        call = _insn(0x85, src=2, imm=_btf_id(kernel, _FUNC, name))
        id = (kernel.btf.id(_FUNC, target) or kernel.btf.id(_TYPEDEF, target) or 0) if target else 0
        with _program(type, call + _EXIT, expected=expected, btf_id=id):
            return True
    except Missing as missing:
        text = str(missing)
        return (
            "the verifier says" in text
            and "not allowed" not in text
            and "is not supported" not in text
            and "reserved fields" not in text
        )


def _rdonly_cast(kernel: Kernel) -> None:
    """A program that is no tracing program may say that there is a task at an address, and read its first word."""
    cast = _btf_id(kernel, _FUNC, "bpf_rdonly_cast")
    task = _btf_id(kernel, _STRUCT, "task_struct")
    call = _insn(0xB7, 1) + _insn(0xB7, 2, imm=task) + _insn(0x85, src=2, imm=cast)
    with _program(ProgType.RAW_TRACEPOINT, call + _insn(0x61, 0, 0) + _EXIT):
        pass


def _recursion_guard(kernel: Kernel) -> None:
    """It came together with the count of what it kept away, in `struct bpf_prog_info`."""
    with _program(ProgType.RAW_TRACEPOINT) as prog:
        if bpf.info_size(prog) < 216:
            raise Missing("no count of missed runs")


def _stats(kernel: Kernel) -> None:
    os.close(bpf.enable_stats())


def _uprobe_refcount(kernel: Kernel) -> None:
    _pmu("uprobe", "format/ref_ctr_offset")


# r1 = 0 on the stack; an atomic exchange with it / a signed division, which only cpu v4 has.
_XCHG = _insn(0x7A, 10, off=-8) + _insn(0xB7, 1) + _insn(0xDB, 10, 1, -8, 0xE1) + _EXIT
_SDIV = _insn(0xB7, 1, imm=4) + _insn(0x37, 1, off=1, imm=2) + _EXIT

_RAW, _KP = ProgType.RAW_TRACEPOINT, ProgType.KPROBE
_FENTRY = AttachType.TRACE_FENTRY


def _features() -> Iterable[Feature]:
    f = Feature
    yield f("ringbuf", "the ring buffer that carries events", "5.8", _creates(_RINGBUF, 0, 0, bpf.PAGE))
    yield f("mmapable", "arrays that user space maps into its memory", "5.5", _creates(_ARRAY, 4, 8, 1, _MMAPABLE))
    yield f("lookup_batch", "reading many map entries at once", "5.6", _lookup_batch)
    yield f("wide_keys", "hash maps with keys of more than 512 bytes", "5.16", _creates(_HASH, 520, 8, 1))
    yield f("hash_on_demand", "hash maps that allocate in any context", "6.1", _on_demand_hash)
    yield f("atomics", "atomic fetch, exchange and compare in programs", "5.12", _loads(_RAW, _XCHG))
    yield f("cpu_v4", "signed division and the other instructions of cpu v4", "6.6", _loads(_RAW, _SDIV))

    yield f("kprobe", "kprobes and kretprobes", "4.17", _kprobe)
    yield f("kprobe_multi", "many kprobes in one link", "5.18", _kprobe_multi(AttachType.TRACE_KPROBE_MULTI))
    yield f("kprobe_session", "a kprobe with its return", "6.10", _kprobe_multi(AttachType.TRACE_KPROBE_SESSION))
    yield f("uprobe", "uprobes and uretprobes", "4.17", _uprobe)
    yield f("uprobe_refcount", "semaphores of USDT probes", "4.20", _uprobe_refcount)
    yield f("uprobe_multi", "many uprobes in one link", "6.6", _uprobe_multi(AttachType.TRACE_UPROBE_MULTI))
    yield f("uprobe_session", "a uprobe with its return", "6.13", _uprobe_multi(AttachType.TRACE_UPROBE_SESSION))
    yield f("fentry", "programs on kernel functions by trampoline (fentry, fexit)", "5.5", _fentry)
    yield f("recursion_guard", "trampolines keep a program from running within itself", "5.12", _recursion_guard)
    yield f("raw_tp", "raw tracepoints", "4.17", _raw_tp)
    yield f(
        "tp_btf",
        "raw tracepoints with typed arguments",
        "5.5",
        _traces(AttachType.TRACE_RAW_TP, _TYPEDEF, "btf_trace_sys_enter", "btf_trace_sched_switch"),
    )
    yield f("iter", "iterators over kernel objects", "5.8", _iter)
    yield f(
        "iter_task_vma",
        "the iterator over the memory areas of tasks",
        "5.12",
        _traces(AttachType.TRACE_ITER, _FUNC, "bpf_iter_task_vma"),
    )
    yield f("lsm", "programs on security hooks", "5.7", _traces(AttachType.LSM_MAC, _FUNC, "bpf_lsm_file_open"))
    yield f("perf_link", "links to perf events, with cookies", "5.15", _perf_link)
    yield f("hardware", "hardware counters (a PMU)", "4.9", _hardware)
    yield f("watchpoint", "hardware breakpoints", "4.9", _watchpoint)
    yield f("test_run", "running a raw tracepoint program at will", "5.10", _test_run(_RAW))
    yield f("test_run_syscall", "programs that are only run", "5.14", _test_run(ProgType.SYSCALL, _SLEEPABLE))
    yield f("module_btf", "type information of kernel modules", "5.11", _module_btf)
    yield f("stats", "run time and run count of programs", "5.8", _stats)

    yield f("for_each_map_elem", "bpf_for_each_map_elem", "5.13", _knows(164, _RAW, "for_each_map_elem"))
    yield f("bpf_loop", "bpf_loop", "5.17", _knows(181, _RAW, "loop"))
    yield f("percpu_lookup", "bpf_map_lookup_percpu_elem", "5.19", _knows(195, _RAW, "map_lookup_percpu_elem"))
    yield f("probe_read_kernel", "bpf_probe_read_kernel/_user", "5.5", _knows(113, _RAW, "probe_read_kernel"))
    yield f("get_current_task_btf", "the current task, typed", "5.11", _knows(158, _RAW, "get_current_task_btf"))
    yield f("task_pt_regs", "bpf_task_pt_regs", "5.15", _knows(175, _RAW, "task_pt_regs"))
    yield f("get_stack", "bpf_get_stack", "4.18", _knows(67, _RAW, "get_stack"))
    yield f("cgroup_id", "bpf_get_current_cgroup_id", "4.18", _knows(80, _RAW, "get_current_cgroup_id"))
    yield f("get_func_ip", "bpf_get_func_ip in kprobes", "5.15", _knows(173, _KP, "get_func_ip"))
    yield f("attach_cookie", "bpf_get_attach_cookie", "5.15", _knows(174, _KP, "get_attach_cookie"))
    yield f("ns_pid", "process ids of a pid namespace", "5.7", _knows(120, _RAW, "get_ns_current_pid_tgid"))
    yield f("ktime_boot", "bpf_ktime_get_boot_ns", "5.8", _knows(125, _RAW, "ktime_get_boot_ns"))
    yield f("ktime_tai", "bpf_ktime_get_tai_ns", "6.1", _knows(208, _RAW, "ktime_get_tai_ns"))
    yield f("jiffies", "bpf_jiffies64", "5.5", _knows(118, _RAW, "jiffies64"))
    yield f("send_signal", "bpf_send_signal", "5.3", _knows(109, _RAW, "send_signal"))
    yield f("send_signal_thread", "bpf_send_signal_thread", "5.6", _knows(117, _RAW, "send_signal_thread"))
    yield f("override", "bpf_override_return (error injection)", "4.16", _knows(58, _KP, "override_return"))
    yield f("write_user", "bpf_probe_write_user", "4.8", _knows(36, _RAW, "probe_write_user"))
    yield f(
        "d_path", "bpf_d_path", "5.10", _knows(147, ProgType.TRACING, "d_path", AttachType.TRACE_ITER, "bpf_iter_task")
    )
    yield f(
        "skb_output",
        "bpf_skb_output",
        "5.5",
        _knows(111, ProgType.TRACING, "skb_output", _FENTRY, "__netif_receive_skb"),
    )
    yield f(
        "socket_cookie",
        "bpf_get_socket_cookie",
        "5.12",
        _knows(46, ProgType.TRACING, "get_socket_cookie", AttachType.TRACE_ITER, "bpf_iter_task"),
    )
    yield f("snprintf", "bpf_snprintf", "5.13", _knows(165, _RAW, "snprintf"))
    yield f("strncmp", "bpf_strncmp", "5.17", _knows(182, _RAW, "strncmp"))
    yield f("timer", "timers in maps", "5.15", _knows(169, ProgType.SOCKET_FILTER, "timer_init"))
    yield f("dynptr", "dynamic pointers", "5.19", _knows(197, _RAW, "dynptr_from_mem"))
    yield f("kfunc", "calls of kernel functions", "6.2", _kfunc("bpf_rcu_read_lock", "bpf_rcu_read_unlock"))
    yield f("rdonly_cast", "plain loads from kernel structs at any address", "6.2", _rdonly_cast)


FEATURES = {feature.name: feature for feature in _features()}
