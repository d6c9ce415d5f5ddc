"""Which attachment an attach point gets: the one place where the cheapest with the same meaning is chosen.

A user names what to observe. What that costs differs by a factor of ten between ways that see the same events, so:

    tracepoint:syscalls:sys_enter_X   one BTF tracepoint (tp_btf) on raw sys_enter for all of them, told apart by the
    tracepoint:syscalls:sys_exit_X    system call number (`SyscallGuard`), arguments read from the saved registers.
                                      Detaches in 0.1 ms where each perf tracepoint takes 72. Where the kernel has no
                                      tp_btf (before 5.5), or an event is no system call of this machine: perf.
    tracepoint:X:Y without args       its raw tracepoint, if it has one of that name (`refine`): no record is made.
    kprobe:F, kretprobe:F             many functions: one kprobe.multi link (5.18+), else a perf kprobe each.
                                      One function: fentry/fexit where BTF describes it and nothing needs the registers
                                      (`refine`), or where the kernel has no kprobes at all.
    uprobe:B:F, usdt:B:F              many places: one uprobe.multi link (6.6+), else a perf uprobe each.
    kprobe:F with kretprobe:F         of the same functions, where neither became fentry or fexit: one kprobe.session
    uprobe:B:F with uretprobe:B:F     link (6.10+), uprobe.session link (6.13+) and one program for both (`session`).

`explain` says the same about given points, for `-d attach`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pytrace.kernel.errors import KernelError
from pytrace.probes.base import Arg, Context, CtxLoad, Load, Point, RegsLoad, SyscallGuard, Target
from pytrace.probes.regs import MACHINES, Machine
from pytrace.probes.uapi import AttachType, ProgType
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
from pytrace.record import replace
from pytrace.types import Struct, Type

if TYPE_CHECKING:
    from pytrace.kernel import Kernel

Points = tuple[Point, ...]

# A kernel stack taken in a raw tracepoint program begins with the program itself and bpf_trace_runN; whether there is a
# frame of __bpf_trace_X below depends on how the kernel was compiled, so what shows the stack leaves that out.
_RAW_STACK_SKIP = 2


def has(kernel: Kernel, feature: str) -> bool:
    """Whether the kernel has a feature, by the feature table."""
    return bool(kernel.features.has(feature))


# --- system calls ------------------------------------------------------------------------------


def syscall_number(event: str, kernel: Kernel) -> int | None:
    """The number of the system call that a `sys_enter_X`/`sys_exit_X` event is about; None if there is none."""
    return kernel.syscalls.number(event.removeprefix("sys_enter_").removeprefix("sys_exit_"))


def syscall_point(event: str, fields: Sequence[tuple[str, Type]], struct: Struct, target: Target) -> Point | None:
    """The tp_btf form of `tracepoint:syscalls:EVENT` whose arguments are `fields` (without `__syscall_nr`), or None
    where this kernel or machine has none."""
    kernel = target.kernel
    machine = MACHINES.get(kernel.machine)
    if machine is None or not has(kernel, "tp_btf"):
        return None
    number = syscall_number(event, kernel)
    guard = None if number is None else _guard(event, number, machine, kernel)
    if guard is None:
        return None
    args = [Arg("__syscall_nr", struct_type(struct, "__syscall_nr"), guard.load)]
    if event.startswith("sys_exit_"):
        args += [Arg(name, type, CtxLoad(8)) for name, type in fields]
        raw = "sys_exit"
    else:
        if len(fields) > len(machine.syscall):
            return None
        loads: list[Load] = [machine.load(r, pointer=0) for r in machine.syscall]
        args += [Arg(name, type, load) for (name, type), load in zip(fields, loads, strict=False)]
        raw = "sys_enter"
    context = Context(
        prog_type=ProgType.TRACING,
        expected_attach_type=AttachType.TRACE_RAW_TP,
        space="user",
        args=tuple(args),
        struct=struct,
        btf=True,
        attach_btf=f"btf_trace_{raw}",
        stack_skip=_RAW_STACK_SKIP,
    )
    return Point(f"tracepoint:syscalls:{event}", RawTracepoint(raw), context, guard)


def struct_type(struct: Struct, name: str) -> Type:
    """The type of a member that is known to be there."""
    found = struct.field(name)
    assert found is not None
    return found.type


def _guard(event: str, number: int, machine: Machine, kernel: Kernel) -> SyscallGuard | None:
    """sys_enter(regs, id), sys_exit(regs, ret): at the exit the number is in the saved registers only."""
    member, mask = machine.compat
    try:
        task = kernel.btf.struct("task_struct")
    except KernelError:
        return None
    info = task.field("thread_info") if task else None
    flags = info.type.field(member) if info and isinstance(info.type, Struct) else None
    if info is None or flags is None:
        return None
    load: Load = CtxLoad(8) if event.startswith("sys_enter_") else RegsLoad(machine.number, pointer=0)
    return SyscallGuard(number, load, info.offset + flags.offset, mask)


# --- with knowledge of what the program uses ------------------------------------------------------


def refine(point: Point, uses: frozenset[str], target: Target) -> Point:
    """The same point by its cheapest attachment, given what the program uses of its context: names among `args`, `ctx`,
    `arg0` …, `retval`, `reg`, `kstack`, `ustack`, `func`, `override`. Types do not change by it, only loads do."""
    indices = [int(u[3:]) for u in uses if u.startswith("arg") and u[3:].isdigit()]
    match point.attach:
        case PerfTracepoint(_, event) if not uses & {"args", "ctx"}:
            return _raw_tracepoint(point, event, target)
        case Kprobe(function, 0, 0, returns) if function and not uses & {"reg", "ctx", "override", "kstack", "ustack"}:
            from pytrace.probes.fentry import instead_of_kprobe

            lowered = instead_of_kprobe(point, function, returns, target)
            if lowered is not None and max(indices, default=-1) < len(lowered.context.positional):
                return lowered
    return point


def _raw_tracepoint(point: Point, event: str, target: Target) -> Point:
    """Every event `X` made by TRACE_EVENT or DEFINE_EVENT hangs on the tracepoint `X`, which fires when it does.
    System calls' events do not, and have no tracepoint of their own name."""
    kernel = target.kernel
    if point.name.startswith("tracepoint:syscalls:") or not has(kernel, "raw_tp"):
        return point
    if kernel.btf.tracepoint(event) is None:
        return point
    context = replace(
        point.context,
        prog_type=ProgType.RAW_TRACEPOINT,
        args=None,
        struct=None,
        stack_skip=_RAW_STACK_SKIP,
    )
    return replace(point, attach=RawTracepoint(event), context=context)


# --- many points, one link ---------------------------------------------------------------------


def merge(points: Sequence[Point], cookies: Sequence[int]) -> tuple[Attach, ...]:
    """The attachments of the points that share one program: kprobe.multi and uprobe.multi ones become one link for
    all functions (all places in a file); other equal ones are kept once. A cookie says in its low 32 bits which point
    fired (`cookies`), and in the high 32 which form of a USDT probe's arguments applies."""
    merged: dict[object, Attach] = {}
    for point, cookie in zip(points, cookies, strict=True):
        attach = point.attach
        match attach:
            case KprobeMulti(returns=returns, session=session):
                key: object = (KprobeMulti, returns, session)
                if isinstance(before := merged.get(key), KprobeMulti):
                    attach = replace(
                        before,
                        functions=before.functions + attach.functions,
                        cookies=(*before.cookies, cookie),
                    )
                else:
                    attach = replace(attach, cookies=(cookie,))
            case UprobeMulti(path=path, returns=returns, session=session):
                key = (UprobeMulti, path, returns, session)
                forms = attach.cookies or (0,) * len(attach.offsets)
                placed = tuple(form << 32 | cookie for form in forms)
                if isinstance(before := merged.get(key), UprobeMulti):
                    attach = replace(
                        before,
                        offsets=before.offsets + attach.offsets,
                        ref_ctr_offsets=_counters(before) + _counters(attach),
                        cookies=before.cookies + placed,
                    )
                else:
                    attach = replace(attach, cookies=placed)
            case _:
                key = attach
        merged[key] = attach
    return tuple(_without_zeros(a) if isinstance(a, UprobeMulti) else a for a in merged.values())


def _counters(attach: UprobeMulti) -> tuple[int, ...]:
    """The semaphore of each place, 0 where it has none."""
    return attach.ref_ctr_offsets or (0,) * len(attach.offsets)


def _without_zeros(attach: UprobeMulti) -> UprobeMulti:
    return attach if any(attach.ref_ctr_offsets) else replace(attach, ref_ctr_offsets=())


# --- a function's entry and its return, one link -------------------------------------------------


def session(enter: Sequence[Point], leave: Sequence[Point], kernel: Kernel) -> tuple[Points, Points] | None:
    """The points of a probe on functions and of one on the return of the same functions, for a program that sees both;
    None if they are not that, or the kernel has no such links."""
    both = [_as_multi(points, returns) for points, returns in ((enter, False), (leave, True))]
    if not all(both) or [_places(p) for p in both[0]] != [_places(p) for p in both[1]]:
        return None
    kprobes = isinstance(both[0][0].attach, KprobeMulti)
    if not has(kernel, "kprobe_session" if kprobes else "uprobe_session"):
        return None
    expected = AttachType.TRACE_KPROBE_SESSION if kprobes else AttachType.TRACE_UPROBE_SESSION
    first, second = (
        tuple(
            replace(p, context=replace(p.context, expected_attach_type=expected), attach=_in_session(p.attach))
            for p in points
        )
        for points in both
    )
    return first, second


def _as_multi(points: Sequence[Point], returns: bool) -> Points:
    """The points with an attachment for many places in the stead of one for one; none if they are no such points."""
    found = []
    for p in points:
        match p.attach:
            case Kprobe(function, 0, 0) if function and p.attach.returns == returns:
                found.append(replace(p, attach=KprobeMulti((function,), returns=returns)))
            case Uprobe(path, offset, _, semaphore, 0) if p.attach.returns == returns and not semaphore:
                found.append(replace(p, attach=UprobeMulti(path, (offset,), returns=returns)))
            case KprobeMulti() | UprobeMulti() if p.attach.returns == returns:
                found.append(p)
            case _:
                return ()
    return tuple(found)


def _places(point: Point) -> object:
    match point.attach:
        case KprobeMulti(functions):
            return functions
        case UprobeMulti(path, offsets, semaphores):
            return path, offsets, semaphores
    return None


def _in_session(attach: Attach) -> Attach:
    assert isinstance(attach, KprobeMulti | UprobeMulti)
    return replace(attach, session=True, returns=False)


# --- what was decided, in words --------------------------------------------------------------------


def explain(points: Iterable[Point]) -> list[str]:
    """One line for each way of attaching that the points share: `probe name or number of probes -> attachment`."""
    names: dict[str, list[str]] = {}
    for point in points:
        names.setdefault(_way(point), []).append(point.name)
    lines = []
    for way, members in names.items():
        kinds = Counter(m.split(":")[0] for m in members)
        what = members[0] if len(members) == 1 else ", ".join(f"{n} {kind} probes" for kind, n in kinds.items())
        lines.append(f"{what} -> {way}")
    return lines


def _way(point: Point) -> str:
    context = point.context
    match point.attach:
        case RawTracepoint(name):
            kind = "tp_btf" if context.prog_type == ProgType.TRACING else "raw tracepoint"
            return f"one {kind} on {name}, told apart by system call number" if point.guard else f"{kind} each"
        case PerfTracepoint():
            return "perf tracepoint, one event each"
        case PerfEvent(one_cpu=one):
            return f"perf event on {'one CPU' if one else 'every CPU'}"
        case Kprobe(returns=returns):
            return f"perf {'kretprobe' if returns else 'kprobe'} each"
        case KprobeMulti(returns=returns, session=session):
            kind = "kprobe.session" if session else "kretprobe.multi" if returns else "kprobe.multi"
            return f"one {kind} link"
        case Uprobe(path=path, returns=returns):
            return f"perf {'uretprobe' if returns else 'uprobe'} in {path}"
        case UprobeMulti(path=path, returns=returns, session=session):
            kind = "uprobe.session" if session else "uretprobe.multi" if returns else "uprobe.multi"
            return f"one {kind} link in {path}"
        case Tracing():
            leave = context.expected_attach_type == AttachType.TRACE_FEXIT
            return f"{'fexit' if leave else 'fentry'} trampoline each"
        case Iter(pin=pin):
            return f"iterator {context.attach_btf}" + (f" pinned at {pin}" if pin else "")
        case Watchpoint():
            return "hardware breakpoint"
        case TestRun(when=when):
            return f"test run at {when}" if when in ("begin", "end") else "test run on demand"
        case Signal():
            return "test run at a signal"
