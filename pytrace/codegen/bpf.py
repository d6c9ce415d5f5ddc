"""The kernel half: typed script in, `Program` out.

Points become BPF programs here, by the plan of `plans`. Points that share a body and need not know which of them fired
are one program with several attachments; a body that asks gets one program for each point, or an index (dispatch,
attach cookie).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen import access, ids, llvm, preemption
from pytrace.codegen.helpers import FEATURES, Helper
from pytrace.codegen.layout import lay_out
from pytrace.codegen.link import Object
from pytrace.codegen.lower import Lower
from pytrace.codegen.plans import Body, Plan, nodes, plan
from pytrace.codegen.unit import BpfProgram, Unit
from pytrace.diagnostics import Diagnostic, ScriptError
from pytrace.kernel.privileges import require
from pytrace.probes.base import SyscallGuard
from pytrace.probes.lowering import merge
from pytrace.program import (
    BPF_F_RDONLY_PROG,
    EXIT_FLAG,
    MapSpec,
    MapType,
    Program,
    ProgSpec,
    TestRun,
)
from pytrace.record import fields
from pytrace.semantics import typed

if TYPE_CHECKING:
    from pytrace.diagnostics import Source
    from pytrace.kernel import Kernel
    from pytrace.options import Options
    from pytrace.semantics.config import Config

UNFILTERED = frozenset(("begin", "end", "test", "bench", "self", "interval", "iter"))
"""Probes that fire for pytrace, not for a process: `-p` does not limit them."""
_UNSTOPPED = frozenset(("begin", "end", "test", "bench"))
"""Probes that are run one after the other, by somebody who sees himself whether there was an `exit()`."""
_EXITS = frozenset(("exit", "assert"))
STACK, FRAMES, MAPS = 512, 8, 64
"""What the kernel allows a program: MAX_BPF_STACK, MAX_CALL_FRAMES, MAX_USED_MAPS."""
_LOOPS = typed.ForMap | typed.ForRange | typed.While
_BYTEWISE = frozenset(("buf", "memcmp"))


def _needs_frame(body: Body) -> bool:
    """Whether something in a body becomes a callback."""
    for node in nodes((body.probe.body, body.probe.predicate)):
        if isinstance(node, _LOOPS):
            return True
        if isinstance(node, typed.Call) and node.name == "len":
            return True
    return False


def _looks_behind_nul(node: object) -> bool:
    """Whether it may look at the bytes of a string that come after its NUL."""
    match node:
        case typed.Element(object=value) | typed.Reinterpret(operand=value):
            return isinstance(value.type, t.String)
        case typed.Call(name=name):
            return name in _BYTEWISE
    return False


def build(
    script: typed.Script,
    source: Source,
    kernel: Kernel,
    options: Options,
    config: Config,
    *,
    joined: bool = True,
    spill: bool = False,
) -> Unit:
    """Emits every program's IR into a new unit, which then has everything but machine code. Unless `joined`, probes on
    one place are programs of their own. With `spill` values live in memory of the CPU where they would otherwise be on
    the stack, which is slower."""
    unit = Unit(source, kernel, options, config)
    unit.spill, unit.script = spill, script
    unit.exact = any(_looks_behind_nul(n) for p in script.probes for n in nodes((p.body, p.predicate)))
    unit.plans = plan(script, kernel, joined=joined)
    if len(unit.plans) > config.max_bpf_progs:
        text = f"this makes {len(unit.plans)} BPF programs; the limit is {config.max_bpf_progs}"
        hint = "raise it: config = { max_bpf_progs = N }"
        raise ScriptError([Diagnostic(unit.plans[config.max_bpf_progs].bodies[0].probe.span, text, hint)])
    unit.exits = any(
        isinstance(node, typed.Call) and node.name in _EXITS
        for p in unit.plans
        for body in p.bodies
        for node in nodes(body.probe.body)
    )
    bodies = Counter(body.probe.ordinal for p in unit.plans for body in p.bodies)
    preemptible = {b.probe.ordinal for p in unit.plans for b in p.bodies if preemption.possible(p.points, kernel)}
    for symbol in script.maps:
        if not isinstance(symbol.value, t.Unknown):
            shared = options.live or sum(bodies[writer] for writer in symbol.writers) > 1
            shared = shared or not preemptible.isdisjoint(symbol.writers)
            unit.maps[symbol.name] = lay_out(symbol, unit.cpus, config.max_map_keys, kernel.features, shared)
    for p in unit.plans:
        _emit(unit, p)
    _check_features(unit)
    return unit


def _check_features(unit: Unit) -> None:
    """Raises `ScriptError` where a program calls a helper that this kernel lacks."""
    features = unit.kernel.features
    missing = []
    for number, span in unit.module.helpers.items():
        name = FEATURES.get(Helper(number))
        if name is not None and not features.has(name):
            text = f"this needs the kernel feature '{name}', which this kernel lacks: {features.why(name)}"
            missing.append(Diagnostic(span, text, "pytrace --info shows what it has"))
    if missing:
        require()  # nobody else is told what this kernel has
        raise ScriptError(missing)


def _emit(unit: Unit, p: Plan) -> None:
    context = p.bodies[0].probe.context
    has_callbacks = any(_needs_frame(b) for b in p.bodies)
    program = BpfProgram(p.name, context, p.points, has_callbacks, preemption.possible(p.points, unit.kernel))
    span = p.bodies[0].probe.span
    f = unit.module.function(p.name, ("ctx",), main=True, span=span)
    program.entry = f
    if program.has_callbacks:
        f.store_pointer("%ctx", f.offset("%frame", program.context_slot()))
    lo = Lower(unit, program, f, None)
    if program.preemptible:
        preemption.begin(lo)
    if isinstance(p.points[0].attach, TestRun):
        # What a test probe returns is its verdict.
        lo.returns_value = True
        f.result()
    if p.entering:
        at_entry, at_return, done = f.label("entry"), f.label("return"), f.label("done")
        returning = f.kernel_function("bpf_session_is_return", "i64", "ptr %ctx")
        f.branch(f.truth(f.binary("and", returning, 1)), at_return, at_entry)
        f.place(at_entry)
        for body in p.bodies[: p.entering]:
            _emit_body(unit, lo, p, body)
        f.jump(done)
        f.place(at_return)
        for body in p.bodies[p.entering :]:
            _emit_body(unit, lo, p, body)
        f.place(done)
    else:
        for body in p.bodies:
            _emit_body(unit, lo, p, body)
    if program.preemptible:
        preemption.end(lo)
    if program.framed:
        f.frame(program.frame_size)
    f.ret(f.op(f"trunc i64 {f.load('%result')} to i32") if lo.returns_value else str(context.returns))


def _emit_body(unit: Unit, lo: Lower, p: Plan, body: Body) -> None:
    f = lo.f
    probe = body.probe
    end = f.label("end")
    lo.on_return = end
    program = lo.program
    program.context = probe.context
    program.fixed_point = body.fixed
    program.point_operand = ""
    first = unit.probes.index(body.points[0].name) if body.again else len(unit.probes)
    if not body.again:
        unit.probes += [point.name for point in body.points]
    program.probe_index = str(first)
    f.at(probe.span)
    if probe.context.unless_null is not None:
        there = f.label("there")
        pointer = f.load_pointer(f.offset(lo.context(), probe.context.unless_null.offset))
        f.branch(f.is_null(pointer), end, there)
        f.place(there)
    if p.dispatch:
        index = _dispatch(lo, body, end)
        program.point_operand = index
        program.probe_index = f.add(index, first)
    elif body.fixed is None and probe.uses_probe:
        cookie = f.helper(Helper.get_attach_cookie, "ptr %ctx")
        program.point_operand = f.binary("and", cookie, 0xFFFFFFFF)
        program.probe_index = f.add(program.point_operand, first)
    if unit.options.pid and body.points[0].name.split(":")[0] not in UNFILTERED:
        _only_process(lo, unit.options.pid, end)
    if unit.exits and body.points[0].name.split(":")[0] not in _UNSTOPPED:
        _unless_over(lo, end)
    if program.has_callbacks:
        f.store(0, f.offset("%frame", program.FLOW))
        f.store(program.point_operand or "0", f.offset("%frame", program.PROBE))
        if program.probe_index.startswith("%"):
            program.index_base = first
    if probe.predicate is not None:
        f.at(probe.predicate.span)
        inside = f.label("predicate")
        f.branch(lo.condition(probe.predicate), inside, end)
        f.place(inside)
    lo.statements(probe.body.body)
    f.jump(end)
    f.place(end)


def _unless_over(lo: Lower, end: str) -> None:
    """Leaves if the script has called `exit()`: what comes until all is detached is not of the run."""
    f = lo.f
    going = f.label("going")
    over = f.load(f.offset(lo.unit.value("counters"), EXIT_FLAG), 32)
    f.branch(f.compare("eq", over, 0), going, end)
    f.place(going)


def _only_process(lo: Lower, pid: int, end: str) -> None:
    """`-p`: leaves unless this is the process."""
    f = lo.f
    going = f.label("process")
    current = ids.process_id(lo, ids.own_namespace())
    f.branch(f.compare("eq", current, pid), going, end)
    f.place(going)


def _dispatch(lo: Lower, body: Body, end: str) -> str:
    """Goes on only for the system calls of the body's points; the index of the point that fired. A few numbers are
    compared, many looked up in a table."""
    f = lo.f
    guard = body.points[0].guard
    assert guard is not None
    load = typed.ContextLoad(guard.load, type=t.UINT32, span=body.probe.span)
    number = access.context_word(lo, load)
    numbers = [p.guard.number for p in body.points if p.guard is not None]
    index = f.alloca(8)
    f.store(0, index)
    matched = f.label("matched")
    if len(numbers) <= 8:
        for i, n in enumerate(numbers):
            this, following = f.label("this"), f.label("other")
            f.branch(f.compare("eq", number, n), this, following)
            f.place(this)
            f.store(i, index)
            f.jump(matched)
            f.place(following)
        f.jump(end)
    else:
        size = max(numbers) + 1
        table = bytearray(2 * size)
        for i, n in enumerate(numbers):
            table[2 * n : 2 * n + 2] = (i + 1).to_bytes(2, "little")
        inside = f.label("inside")
        f.branch(f.compare("ult", number, size), inside, end)
        f.place(inside)
        base = f.offset(lo.unit.value("rodata"), lo.unit.rodata(bytes(table)))
        found = f.load(f.offset(base, f.binary("mul", number, 2)), 16)
        f.store(f.add(found, -1), index)
        f.branch(f.compare("ne", found, 0), matched, end)
    f.place(matched)
    _native_only(lo, guard, end)
    return f.load(index)


def _native_only(lo: Lower, guard: SyscallGuard, end: str) -> None:
    """Leaves for a task in a system call of another ABI, whose numbers mean other calls."""
    if not guard.compat_mask:
        return
    f = lo.f
    if lo.unit.kernel.features.has("get_current_task_btf"):
        task = f.helper_pointer(Helper.get_current_task_btf)
        status = f.load(f.offset(task, guard.compat_offset), 32, volatile=True)
    else:
        address = f.add(f.helper(Helper.get_current_task), guard.compat_offset)
        status = access.read_word(lo, address, 32, False, "kernel")
    going = f.label("native")
    f.branch(f.compare("eq", f.binary("and", status, guard.compat_mask), 0), going, end)
    f.place(going)


def assemble(unit: Unit) -> tuple[Unit, bytes]:
    """The ELF object of a unit; where that needs more stack than there is, of one that was emitted anew."""
    elf = llvm.emit_object(llvm.optimise(unit.text()))
    obj = Object(elf)
    script, source = unit.script, unit.module.source
    for spill in (False, True):
        large = [p for p in unit.plans if obj.stack(p.name)[0] > STACK]
        if script is None or not large:
            break
        if not spill and all(len(p.bodies) == 1 for p in large):
            continue  # there is nothing to be taken apart
        unit = build(script, source, unit.kernel, unit.options, unit.config, joined=False, spill=spill)
        elf = llvm.emit_object(llvm.optimise(unit.text()))
        obj = Object(elf)
    return unit, elf


def finish(unit: Unit, name: str, text: str, warnings: tuple[str, ...] = ()) -> Program:
    """Machine code for everything that was emitted; where that needs more stack than there is, it is emitted anew.
    Raises `ScriptError` for what no kernel would load."""
    unit, elf = assemble(unit)
    obj = Object(elf)
    progs = tuple(_prog(obj, p) for p in unit.plans)
    _check_limits(unit, obj, progs)
    used = {r.map for p in progs for r in p.relocs}
    tables = tuple(
        MapSpec(name, MapType.ARRAY, 4, len(section.data), 1, BPF_F_RDONLY_PROG, section.data, frozen=True)
        for name, section in obj.sections.items()
        if name in used
    )
    maps = tuple(m for m in unit.map_specs() if m.name in used or m.name in _ALWAYS or m.name in unit.map_names())
    return Program(
        name=name,
        text=text,
        kernel=unit.kernel.release,
        cpus=unit.cpus,
        maps=maps + tables,
        user_maps=tuple(m.user for m in unit.maps.values()),
        progs=progs,
        events=tuple(unit.events),
        counters=unit.counters,
        counter_stride=unit.counter_stride,
        btf=obj.btf,
        probes=tuple(unit.probes),
        config=tuple((f.name, getattr(unit.config, f.name)) for f in fields(unit.config)),
        warnings=warnings,
        timestamps=unit.options.timestamps,
        unwinding=unit.unwinds,
    )


def _check_limits(unit: Unit, obj: Object, progs: tuple[ProgSpec, ...]) -> None:
    """Raises `ScriptError` where a program is larger than kernels allow."""
    found = []
    for p, prog in zip(unit.plans, progs, strict=True):
        span = p.bodies[0].probe.span
        size, frames = obj.stack(p.name)
        maps = len({r.map for r in prog.relocs})
        if frames > FRAMES:
            text = f"loops and functions are nested {frames - 1} deep here; the kernel allows {FRAMES - 1}"
            found.append(Diagnostic(span, text, "split the probe, or loop over a range of a * b"))
        elif size > STACK:
            text = f"this needs {size} bytes of stack, and a BPF program has {STACK}"
            found.append(Diagnostic(span, text, "split the probe into several, or keep values in maps"))
        if maps > MAPS:
            text = f"this uses {maps} maps; the kernel allows a BPF program {MAPS}, ring and counters included"
            found.append(Diagnostic(span, text, "make one map with a key of several, or split the probe into several"))
    if found:
        raise ScriptError(found)


_ALWAYS = frozenset(("ring", "counters"))


def _prog(obj: Object, p: Plan) -> ProgSpec:
    linked = obj.link(p.name)
    context = p.bodies[0].points[0].context
    points = p.points if p.dispatch else p.bodies[0].points
    span = p.bodies[0].probe.span
    return ProgSpec(
        name=p.name,
        type=context.prog_type,
        expected_attach_type=context.expected_attach_type,
        insns=linked.insns,
        relocs=linked.relocs,
        func_info=linked.func_info,
        line_info=linked.line_info,
        attach=merge(points, tuple(range(len(points)))),
        attach_btf=context.attach_btf,
        attach_module=context.attach_module,
        sleepable=context.sleepable,
        func_relocs=linked.func_relocs,
        probe=points[0].name,
        place=(span.source.name, span.line, span.column),
    )
