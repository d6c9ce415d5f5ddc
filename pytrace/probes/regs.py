"""Where registers stand: `struct pt_regs` and the calling conventions, for each machine, as data.

Offsets are bytes into `struct pt_regs` as the kernel's uapi has it (`asm/ptrace.h`; it cannot change). `functions`
are the registers of a function's first arguments, `syscall` those of a system call as the kernel saved them at its
entry, `number` the system call's number there (an int), `stack_arguments` how many bytes above the stack pointer the
first argument in memory stands at a function's entry.
"""

from __future__ import annotations

from pytrace.probes.base import Context, ProbeError, RegsLoad
from pytrace.probes.uapi import ProgType
from pytrace.record import field, record


@record
class Machine:
    offsets: dict[str, int]
    functions: tuple[str, ...]
    syscall: tuple[str, ...]
    number: int
    result: str
    instruction_pointer: str
    stack_pointer: str
    stack_arguments: int
    size: int
    dwarf: tuple[str, ...]
    # the bit of thread_info that says a task is in a system call of another ABI: member, mask
    compat: tuple[str, int]
    aliases: dict[str, str] = field(default_factory=dict)

    def load(self, name: str, pointer: int | None = None) -> RegsLoad:
        return RegsLoad(self.offsets[self.aliases.get(name, name)], pointer)


# fmt: off
_X86 = ("r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8", "ax", "cx", "dx", "si", "di", "orig_ax",
        "ip", "cs", "flags", "sp", "ss")
# fmt: on
_ARM = [*(f"r{i}" for i in range(31)), "sp", "pc", "pstate", "orig_x0"]

MACHINES = {
    "x86_64": Machine(
        offsets={name: 8 * i for i, name in enumerate(_X86)},
        functions=("di", "si", "dx", "cx", "r8", "r9"),
        syscall=("di", "si", "dx", "r10", "r8", "r9"),
        number=120,  # orig_ax
        result="ax",
        instruction_pointer="ip",
        stack_pointer="sp",
        stack_arguments=8,
        size=168,
        dwarf=("ax", "dx", "cx", "bx", "si", "di", "bp", "sp", *(f"r{i}" for i in range(8, 16)), "ip"),
        compat=("status", 0x2),  # TS_COMPAT
        aliases={f"r{n}": n for n in ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp", "ip")}
        | {"eflags": "flags", "pc": "ip"},
    ),
    "aarch64": Machine(
        offsets={name: 8 * i for i, name in enumerate(_ARM)},
        functions=tuple(f"r{i}" for i in range(8)),
        # the first argument is kept apart, because x0 becomes the result
        syscall=("orig_x0", *(f"r{i}" for i in range(1, 6))),
        number=280,  # syscallno
        result="r0",
        instruction_pointer="pc",
        stack_pointer="sp",
        stack_arguments=0,
        size=336,
        dwarf=(*(f"r{i}" for i in range(31)), "sp"),
        compat=("flags", 1 << 22),  # TIF_32BIT
        aliases={f"x{i}": f"r{i}" for i in range(31)} | {"lr": "r30", "fp": "r29", "ip": "pc"},
    ),
}


def registers(name: str) -> Machine:
    """The tables of a machine as uname(2) calls it. Raises `ProbeError` for one that has none."""
    if name not in MACHINES:
        raise ProbeError(f"registers of {name} are not known", f"known machines: {', '.join(MACHINES)}")
    return MACHINES[name]


def register(name: str, machine_name: str, pointer: int | None = None) -> RegsLoad:
    """The load of `reg("name")`; kernel names and the assembler's (`di`, `rdi`). Raises `ProbeError`."""
    from pytrace.probes.text import did_you_mean

    table = registers(machine_name)
    if table.aliases.get(name, name) not in table.offsets:
        known = [*table.offsets, *table.aliases]
        hint = did_you_mean(name, known) or f"registers: {', '.join(table.offsets)}"
        raise ProbeError(f"'{name}' is not a valid register on this architecture ({machine_name})", hint)
    return table.load(name, pointer)


def perf_context(machine_name: str) -> Context:
    """What a program on a perf event sees: `struct bpf_perf_event_data`, beginning with the interrupted registers."""
    return Context(prog_type=ProgType.PERF_EVENT, regs=machine_name in MACHINES)
