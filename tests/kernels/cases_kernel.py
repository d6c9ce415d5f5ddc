"""Probes in the kernel: tracepoints, kprobes, trampolines, iterators, and stacks taken there."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

from pytrace.compiler import compile_script
from pytrace.diagnostics import ScriptError
from pytrace.kernel import Kernel, KernelError, bpf
from pytrace.kernel.bpf import Cmd
from pytrace.output import Text
from pytrace.probes import Target, list_probes
from pytrace.program import KprobeMulti
from pytrace.runtime import Child, Session, Symbols
from tests.kernels.base import Guest, Sink, case, entries, same
from tests.kernels.targets import ROUNDS

PIDS = [100_000_000 + i for i in range(ROUNDS)]
SIZES = [5000 + i for i in range(ROUNDS)]
READS = f"/pid == cpid && $N >= {SIZES[0]}/"


def each(values: list[int], n: int = 1) -> dict[str, str]:
    return {str(v): str(n) for v in values}


# --- tracepoints -------------------------------------------------------------------------------------


@case("tracepoint", "arguments of an event")
def _(guest: Guest) -> None:
    found = guest.run(
        "tracepoint:signal:signal_generate /args.sig == 12 && args.pid == cpid/ { @[args.comm] = count(); }"
    )
    same(entries(found), {"target": str(ROUNDS)})


@case("tracepoint", "string of variable length")
def _(guest: Guest) -> None:
    found = guest.run('tracepoint:sched:sched_process_exec /pid == cpid/ { printf("%s\\n", str(args.filename)); }')
    same(found, [guest.program])


@case("tracepoint", "no arguments used")
def _(guest: Guest) -> None:
    same(
        guest.run('tracepoint:sched:sched_process_exit /pid == cpid/ { printf("%s\\n", probe); }'),
        ["tracepoint:sched:sched_process_exit"],
    )


@case("tracepoint", "entry of a system call")
def _(guest: Guest) -> None:
    found = guest.run("tracepoint:syscalls:sys_enter_getpgid /pid == cpid/ { @[args.pid] = count(); }")
    same(entries(found), each(PIDS))


@case("tracepoint", "entry of a system call: string")
def _(guest: Guest) -> None:
    found = guest.run(
        'tracepoint:syscalls:sys_enter_openat /pid == cpid && str(args.filename) == "/no/such/file"/'
        " { @[args.flags] = count(); }"
    )
    same(entries(found), each(list(range(ROUNDS))))


@case("tracepoint", "exit of a system call")
def _(guest: Guest) -> None:
    found = guest.run("tracepoint:syscalls:sys_exit_getpgid /pid == cpid/ { @[args.ret] = count(); }")
    same(entries(found), {"-3": str(ROUNDS)})


@case("tracepoint", "wildcard, all system calls")
def _(guest: Guest) -> None:
    found = entries(guest.run("tracepoint:syscalls:sys_enter_* /pid == cpid/ { @[probe] = count(); }"))
    for name, n in (("getppid", ROUNDS), ("getpgid", ROUNDS), ("kill", ROUNDS), ("openat", 2 * ROUNDS + 1)):
        same((name, found.get(f"tracepoint:syscalls:sys_enter_{name}")), (name, str(n)))
    assert not [probe for probe in found if "sys_exit" in probe], found


@case("tracepoint", "wildcard over events")
def _(guest: Guest) -> None:
    found = entries(guest.run("tracepoint:sched:sched_process_ex* /pid == cpid/ { @[probe] = count(); }"))
    same(found, {"tracepoint:sched:sched_process_exec": "1", "tracepoint:sched:sched_process_exit": "1"})


@case("rawtracepoint", "arguments", "raw_tp")
def _(guest: Guest) -> None:
    same(entries(guest.run("rawtracepoint:sys_enter /pid == cpid && arg1 == 110/ { @ = count(); }")), {"": str(ROUNDS)})


@case("rawtracepoint", "typed arguments", "raw_tp")
def _(guest: Guest) -> None:
    found = guest.run("rawtracepoint:sys_enter /pid == cpid && args.id == 121/ { @[args.regs.di] = count(); }")
    same(entries(found), each(PIDS))


@case("rawtracepoint", "members behind pointers", "raw_tp")
def _(guest: Guest) -> None:
    found = guest.run(
        "rawtracepoint:sched_process_exec /pid == cpid/ { @[args.p.comm, args.p.pid == args.old_pid] = count(); }"
    )
    same(entries(found), {"target, true": "1"})


@case("rawtracepoint", "wildcard", "raw_tp")
def _(guest: Guest) -> None:
    found = entries(guest.run("rawtracepoint:sched_process_ex* /pid == cpid/ { @[probe] = count(); }"))
    same({k.rpartition(":")[2]: v for k, v in found.items()}, {"sched_process_exec": "1", "sched_process_exit": "1"})


# --- functions -----------------------------------------------------------------------------------------


@case("kprobe", "arguments", "kprobe", "fentry", one_of=True)
def _(guest: Guest) -> None:
    same(entries(guest.run(f"kprobe:vfs_read {READS.replace('$N', 'arg2')} {{ @[arg2] = count(); }}")), each(SIZES))


@case("kprobe", "registers", "kprobe")
def _(guest: Guest) -> None:
    found = guest.run(f'kprobe:vfs_read {READS.replace("$N", "arg2")} {{ @[reg("dx")] = count(); }}')
    same(entries(found), each(SIZES))


@case("kprobe", "members behind pointers", "kprobe", "fentry", one_of=True)
def _(guest: Guest) -> None:
    found = guest.run(
        f"kprobe:vfs_read {READS.replace('$N', 'arg2')} "
        "{ @[str(((struct file *)arg0).f_path.dentry.d_name.name)] = count(); }"
    )
    same(entries(found), {"zero": str(ROUNDS)})


@case("kprobe", "+offset", "kprobe")
def _(guest: Guest) -> None:
    """The function begins with a five-byte instruction for ftrace, on kernels with IBT after a four-byte one."""
    for offset in (5, 9):
        try:
            found = guest.run(f"kprobe:vfs_read+{offset} {READS.replace('$N', 'arg2')} {{ @[arg2] = count(); }}")
        except KernelError as error:
            assert offset == 5, error
            continue
        same(entries(found), each(SIZES))
        return


@case("kprobe", "wildcard", "kprobe", "kprobe_multi", "fentry", one_of=True)
def _(guest: Guest) -> None:
    found = guest.run(f"kprobe:vfs_rea* {READS.replace('$N', 'arg2')} {{ @[probe, func] = count(); }}")
    same(entries(found), {"kprobe:vfs_read, vfs_read": str(ROUNDS)})


@case("kprobe", "module:function", "kprobe")
def _(guest: Guest) -> None:
    """The guest's root is an overlay, whose module opens what the program opens, and the program itself."""
    found = guest.run("kprobe:overlay:ovl_open /pid == cpid/ { @[func] = count(); }")
    same(entries(found), {"ovl_open": str(ROUNDS + 1)})


@case("kprobe", "kernel stack", "kprobe")
def _(guest: Guest) -> None:
    found = guest.run(f"kprobe:vfs_read {READS.replace('$N', 'arg2')} {{ @[kstack] = count(); }}")
    frames = [line.strip().partition("+")[0] for line in found if line.startswith(" ")]
    same(frames[0], "vfs_read")
    assert any("ksys_read" in f for f in frames) and any("syscall" in f for f in frames), frames
    same(found[-1].rpartition(": ")[2], str(ROUNDS))


@case("kretprobe", "retval", "kprobe", "fentry", one_of=True)
def _(guest: Guest) -> None:
    found = guest.run(f"kretprobe:vfs_read {READS.replace('$N', 'retval')} {{ @[retval] = count(); }}")
    # A kretprobe's retval is the whole register, unsigned: errors of others are large.
    same({k: v for k, v in entries(found).items() if len(k) < 6}, each(SIZES))


@case("kretprobe", "wildcard", "kprobe", "kprobe_multi", "fentry", one_of=True)
def _(guest: Guest) -> None:
    found = guest.run(
        f"kretprobe:vfs_rea* /pid == cpid && (int64)retval >= {SIZES[0]}/ {{ @[func, retval] = count(); }}"
    )
    same(entries(found), {f"vfs_read, {n}": "1" for n in SIZES})


@case("kretprobe", "pair with a kprobe", "kprobe", "fentry", one_of=True)
def _(guest: Guest) -> None:
    found = guest.run(
        f"kprobe:vfs_read {READS.replace('$N', 'arg2')} {{ @size[tid] = arg2; }} "
        "kretprobe:vfs_read /@size[tid]/ { @[retval == @size[tid]] = count(); delete(@size[tid]); }"
    )
    same(entries(found), {"1": str(ROUNDS)} if "@[1]" in found[0] else {"true": str(ROUNDS)})


def one_link(session: Session, kind: type) -> None:
    """Entry and return are one program with one link, where the kernel has such links."""
    if not Kernel.running().features.has("kprobe_session"):
        return
    (loaded,) = session.loaded
    found = [a for prog in loaded.program.progs for a in prog.attach]
    same([type(a) for a in found], [kind])
    assert found[0].session, found


@case("kretprobe", "one link with a kprobe", "kprobe")
def _(guest: Guest) -> None:
    """Of several functions, and of one whose registers are looked at; each part has its own predicate and return."""
    script = (
        f'kprobe:$F {READS.replace("$N", "arg2")} {{ @size[tid] = reg("dx"); if (arg2 == {SIZES[-1]}) {{ return; }} '
        "@enter[probe, func] = count(); } "
        'kretprobe:$F /@size[tid]/ { if (retval == @size[tid] && reg("ax") == retval) { '
        "@[probe, func] = count(); } delete(@size[tid]); }"
    )
    for function in ("vfs_read", "vfs_rea*"):
        session, out = guest.session(script.replace("$F", function), Child([guest.program, str(ROUNDS)]))
        with session:
            one_link(session, KprobeMulti)
            session.run()
        same(entries(out.lines), {"kretprobe:vfs_read, vfs_read": str(ROUNDS)})
        same(entries(out.lines, "@enter"), {"kprobe:vfs_read, vfs_read": str(ROUNDS - 1)})


@case("fentry", "arguments", "fentry")
def _(guest: Guest) -> None:
    found = guest.run(f"fentry:vfs_read {READS.replace('$N', 'args.count')} {{ @[args.count] = count(); }}")
    same(entries(found), each(SIZES))
    # Pointers that programs may not load: to functions, pointers, numbers.
    script = (
        "fentry:iterate_supers { @f[ksym(args.f)] = count(); } kprobe:iterate_supers { @k[ksym(arg0)] = count(); } "
        "fentry:create_pipe_files { @p[*args.res == 0, args.flags] = count(); } "
        "fentry:vfs_read /pid == cpid && args.pos != 0/ { @n[*args.pos < 1000] = count(); }"
    )
    found = guest.run(script, "-c", "sync; true | true; read line < /etc/hostname", program="/bin/sh")
    assert "sync_inodes_one_sb" in entries(found, "@f"), found
    same(entries(found, "@k"), entries(found, "@f"))
    same(entries(found, "@p"), {"true, 0": "1"})
    assert int(entries(found, "@n")["true"]) >= 1, found


@case("fentry", "members behind pointers", "fentry")
def _(guest: Guest) -> None:
    found = guest.run(
        f"fentry:vfs_read {READS.replace('$N', 'args.count')} "
        "{ @[str(args.file.f_path.dentry.d_name.name), args.file.f_inode.i_rdev] = count(); }"
    )
    same(entries(found), {f"zero, {1 << 20 | 5}": str(ROUNDS)})


@case("fentry", "wildcard", "fentry")
def _(guest: Guest) -> None:
    found = guest.run("fentry:vfs_read,fentry:do_nanosle* /pid == cpid/ { @[probe] = count(); }")
    assert int(entries(found)["fentry:vmlinux:vfs_read"]) >= ROUNDS, found


@case("fentry", "module:function", "fentry", "module_btf")
def _(guest: Guest) -> None:
    found = guest.run(
        "fentry:overlay:ovl_open /pid == cpid/ { @[str(args.file.f_path.dentry.d_name.name)] = count(); }"
    )
    same(entries(found), {"target": str(ROUNDS + 1)})


@case("fexit", "retval and arguments", "fentry")
def _(guest: Guest) -> None:
    found = guest.run(f"fexit:vfs_read {READS.replace('$N', 'args.count')} {{ @[args.count, retval] = count(); }}")
    same(entries(found), {f"{n}, {n}": "1" for n in SIZES})


@case("fentry", "within itself: counted", "fentry", "recursion_guard")
def _(guest: Guest) -> None:
    """The program looks a key up, which is the function that it is attached to."""
    guest.run(
        "fentry:__htab_map_lookup_elem /pid == cpid/ { @inner[pid]++; } "
        "tracepoint:syscalls:sys_enter_getpgid /pid == cpid/ { @[pid]++; }"
    )
    assert any("fired within itself" in line for line in guest.messages.lines), guest.messages.lines


@case("kretprobe", "refused where it would deadlock", "kprobe", "fentry", one_of=True)
def _(guest: Guest) -> None:
    for function in ("_raw_spin_lock", "do_exit"):
        try:
            guest.alone(f"kretprobe:{function} {{ @ = count(); }}")
        except ScriptError as error:
            assert "is refused" in str(error), error
        else:
            raise AssertionError(f"kretprobe:{function} was attached")


@case("fentry", "a BPF program, by name", "fentry")
def _(guest: Guest) -> None:
    """Another session's program, on a function of the traced program."""
    other, _ = guest.session(f"uprobe:{guest.program}:twice {{ @ = count(); }}")
    with other:
        (name,) = [prog.spec.name for loaded in other.loaded for prog in loaded.programs]
        found = guest.run(f"fentry:bpf:{name} /pid == cpid/ {{ @[probe] = count(); }}")
        (listed,) = list_probes(f"fentry:bpf:*:{name}", Target(guest.kernel))
    same(entries(found), {listed: str(ROUNDS)})


@case("fexit", "a BPF program, by id", "fentry")
def _(guest: Guest) -> None:
    other, _ = guest.session(f"uprobe:{guest.program}:twice {{ @ = count(); }}")
    with other:
        (listed,) = list_probes("fexit:bpf:*", Target(guest.kernel))
        found = guest.run(f"{listed} /pid == cpid/ {{ @[probe] = count(); }}")
        same(entries(found), {listed: str(ROUNDS)})
    try:
        guest.alone(f"{listed} {{ exit(); }}")
    except ScriptError as error:
        assert "no BPF program that is loaded has such a function" in str(error), error
    else:
        raise AssertionError("it was attached to a program that is gone")


@case("kprobe", "thousands: a warning", "kprobe_multi")
def _(guest: Guest) -> None:
    """Compiled, not attached."""
    for limit, pattern, warned in ((20000, "s*", True), (20000, "vfs_*", False)):
        program = compile_script(f"config = {{ max_probes = {limit} }} kprobe:{pattern} {{ @ = count(); }}")
        same(any("functions of the kernel" in text for text in program.warnings), warned)
    try:
        compile_script("kprobe:s* { @ = count(); }")
    except ScriptError as error:
        assert "exceeds the current limit of 1024 probes" in str(error), error
    else:
        raise AssertionError("thousands of probes were not too many")


LOOPS = 15


@case("kprobe", "attached again and again: nothing is left", "kprobe")
def _(guest: Guest) -> None:
    leaves_nothing(guest, "kprobe:vfs_rea* { @[func] = count(); } kretprobe:vfs_rea* { @r = count(); }", LOOPS)
    leaves_nothing(guest, 'kprobe:vfs_read { @ = reg("dx"); } tracepoint:sched:sched_switch { @n = args.prev_pid; }', 5)


@case("fentry", "attached again and again: nothing is left", "fentry")
def _(guest: Guest) -> None:
    leaves_nothing(guest, "fentry:vfs_read { @ = count(); } fexit:vfs_read { @r = count(); }", LOOPS)


def leaves_nothing(guest: Guest, script: str, times: int) -> None:
    """Neither descriptors of this process nor programs and links in the kernel, which frees them a moment later."""
    program = compile_script(script)
    symbols = Symbols(guest.kernel)

    def trace() -> None:
        with Session(program, output=Text(Sink(), Sink(), symbols), symbols=symbols, announce=False, show_maps=False):
            pass

    def left() -> list[int]:
        return [len(bpf.ids(kind)) for kind in (Cmd.PROG_GET_NEXT_ID, Cmd.LINK_GET_NEXT_ID, Cmd.MAP_GET_NEXT_ID)]

    trace()
    descriptors, before = sorted(os.listdir("/proc/self/fd")), left()
    for _ in range(times):
        trace()
    same(sorted(os.listdir("/proc/self/fd")), descriptors)
    until = time.monotonic() + 20
    while (now := left()) != before and time.monotonic() < until:
        time.sleep(0.1)
    assert all(a <= b for a, b in zip(now, before, strict=True)), (before, now)


# --- iterators ------------------------------------------------------------------------------------------


@case("iter", "task", "iter")
def _(guest: Guest) -> None:
    """Of all tasks, those of this process, and the first of the kernel's own."""
    stay = threading.Event()
    threads = [threading.Thread(target=stay.wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    found = guest.alone('iter:task { printf("%d %d %s\\n", ctx.task.tgid, ctx.task.pid, ctx.task.comm); }')
    tasks = os.listdir("/proc/self/task")
    stay.set()
    own = sorted(line.split()[1] for line in found if line.split()[0] == str(os.getpid()))
    same(own, sorted(tasks))
    same([line for line in found if line.split()[1] == "2"], ["2 2 kthreadd"])


@case("iter", "task_file", "iter")
def _(guest: Guest) -> None:
    """The files of this process, once for it and not for each of its threads' shared tables."""
    held = os.open("/dev/zero", os.O_RDONLY)
    found = guest.alone(
        f"iter:task_file /ctx.task.tgid == {os.getpid()}/ "
        '{ printf("%d %s\\n", ctx.fd, str(ctx.file.f_path.dentry.d_name.name)); }'
    )
    assert f"{held} zero" in found, found
    fds = {line.split()[0] for line in found}
    expected = set(os.listdir("/proc/self/fd"))
    assert len(expected - fds) <= 2, (expected, fds)  # the list of descriptors is one itself


@case("iter", "task_vma", "iter", "iter_task_vma")
def _(guest: Guest) -> None:
    found = guest.alone(f"iter:task_vma /ctx.task.tgid == {os.getpid()}/ {{ @[ctx.vma.vm_start] = count(); }}")
    with open("/proc/self/maps") as file:
        starts = {str(int(line.partition("-")[0], 16)) for line in file if "vsyscall" not in line}
    seen = set(entries(found))
    assert len(starts & seen) > len(starts) // 2, (starts, seen)


@case("iter", "pinned, and read by others", "iter")
def _(guest: Guest) -> None:
    """What it prints comes out of the file, each time that is read, when its maker has gone."""
    path = f"/sys/fs/bpf/pytrace-{os.getpid()}"
    script = (
        f"iter:task:{os.path.basename(path)} /ctx.task.tgid == {os.getpid()}/ "
        '{ printf("%d %-8d|%s 100%% %u\\n", ctx.task.tgid, ctx.task.pid, ctx.task.comm, ctx.task.tgid + 1); }'
    )
    mounted = os.path.ismount("/sys/fs/bpf")
    if not mounted:
        try:
            guest.alone(script)
        except KernelError as error:
            assert "no BPF file system is there" in str(error), error
        else:
            raise AssertionError("it was pinned nowhere")
        subprocess.run(["mount", "-t", "bpf", "bpf", "/sys/fs/bpf"], check=True)
    try:
        same(guest.alone(script), [])
        expected = (
            f"{os.getpid()} {os.getpid():<8}|{Path('/proc/self/comm').read_text().strip()} 100% {os.getpid() + 1}"
        )
        for _ in range(2):
            same(Path(path).read_text().splitlines(), [expected])
        os.unlink(path)
    finally:
        if not mounted:
            subprocess.run(["umount", "/sys/fs/bpf"], check=True)


@case("iter", "every kind there is", "iter")
def _(guest: Guest) -> None:
    """Each walks to its end, or is refused by a name for what it lacks."""
    kinds = guest.kernel.btf.iterators()
    refused = []
    for kind in kinds:
        try:
            guest.alone(f"iter:{kind} {{ @ = count(); }}")
        except ScriptError as error:
            assert "walks one map of another program" in str(error), error
            refused.append(kind)
    assert len(kinds) - len(refused) > 5, kinds
    assert set(refused) <= {"bpf_map_elem", "bpf_sk_storage_map", "sockmap"}, refused


# --- the current task -------------------------------------------------------------------------------------


@case("builtins", "pid, tid, comm, uid, curtask")
def _(guest: Guest) -> None:
    found = guest.run(
        "tracepoint:syscalls:sys_enter_getpgid /pid == cpid/ "
        '{ printf("%d %d %s %d %d\\n", pid == tid, pid == cpid, comm, uid, curtask.pid == pid); }'
    )
    same(set(found), {"1 1 target 0 1"})
    same(len(found), ROUNDS)


@case("builtins", "kstack in a tracepoint")
def _(guest: Guest) -> None:
    found = guest.run("tracepoint:sched:sched_process_exit /pid == cpid/ { @[kstack] = count(); }")
    assert any("do_exit" in line for line in found) and any("syscall" in line for line in found), found
    assert not any("bpf_trace_run" in line or "perf_" in line for line in found), found


@case("builtins", "kstack in a system call")
def _(guest: Guest) -> None:
    found = guest.run("tracepoint:syscalls:sys_enter_getpgid /pid == cpid/ { @[kstack] = count(); }")
    assert any("syscall" in line for line in found), found
    assert not any("bpf_trace_run" in line for line in found), found


@case("builtins", "threads are told apart")
def _(guest: Guest) -> None:
    session, out = guest.session(
        f"tracepoint:syscalls:sys_enter_getppid /pid == {os.getpid()}/ {{ @[tid] = count(); }}"
    )
    tids = []

    def work() -> None:
        tids.append(threading.get_native_id())
        os.getppid()

    with session:
        for _ in range(3):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
    same(entries(out.lines), {str(tid): "1" for tid in tids})
