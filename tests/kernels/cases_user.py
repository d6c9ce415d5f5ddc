"""Probes in user programs, and events of the processor: uprobes, USDT, timers, counters, watchpoints."""

from __future__ import annotations

import ctypes
import os
import signal

from tests.kernels.base import Guest, case, entries, same
from tests.kernels.targets import ROUNDS, symbol

NUMBERS = {str(i): "1" for i in range(ROUNDS)}


@case("uprobe", "arguments", "uprobe")
def _(guest: Guest) -> None:
    same(entries(guest.run(f"uprobe:{guest.program}:twice {{ @[arg0] = count(); }}")), NUMBERS)


@case("uprobe", "typed arguments", "uprobe")
def _(guest: Guest) -> None:
    found = guest.run(f"uprobe:{guest.program}:named {{ @[str(args.s)] = count(); }}")
    same(entries(found), {"a string": str(ROUNDS)})


@case("uprobe", "+offset and address", "uprobe")
def _(guest: Guest) -> None:
    address = symbol(guest.targets.program, "marked")
    found = guest.run(
        f"uprobe:{guest.program}:marked+1 {{ @one = count(); }} "
        f"uprobe:{guest.program}:{address:#x} {{ @zero = count(); }}"
    )
    same((entries(found, "@one"), entries(found, "@zero")), ({"": str(ROUNDS)}, {"": str(ROUNDS)}))


@case("uprobe", "wildcard", "uprobe")
def _(guest: Guest) -> None:
    found = guest.run(f"uprobe:{guest.shared}:t*ice {{ @[func] = count(); }}", program=guest.shared)
    same(entries(found), {"twice": str(ROUNDS), "thrice": str(ROUNDS)})


@case("uprobe", "wildcard knows its probe", "uprobe")
def _(guest: Guest) -> None:
    found = guest.run(f"uprobe:{guest.program}:t*ice {{ @[probe] = sum(arg0); }}")
    total = str(sum(range(ROUNDS)))
    same(entries(found), {f"uprobe:{guest.program}:{name}": total for name in ("twice", "thrice")})


@case("uprobe", "library by name", "uprobe")
def _(guest: Guest) -> None:
    found = guest.run("uprobe:libc:kill /pid == cpid/ { @[arg1] = count(); }", program=guest.shared)
    same(entries(found), {"12": str(ROUNDS)})


@case("uprobe", "one process only", "uprobe")
def _(guest: Guest) -> None:
    """With `-p` of this process, the program's calls are not seen."""
    session, out = guest.session(f"uprobe:{guest.program}:twice {{ @ = count(); }}", pid=os.getpid())
    with session:
        os.spawnv(os.P_WAIT, guest.program, [guest.program, str(ROUNDS)])
    same(entries(out.lines), {})


@case("uprobe", "user stack", "uprobe")
def _(guest: Guest) -> None:
    """At the entry the caller's frame pointer is not saved yet: kernels before 6.10 miss the caller."""
    found = guest.run(f"uprobe:{guest.program}:innermost {{ @[ustack] = count(); }}")
    frames = [line.strip().partition("+")[0] for line in found if line.startswith(" ")]
    same([f for f in frames if f != "inner"][:4], ["innermost", "outer", "outermost", "main"])
    same(found[-1].rpartition(": ")[2], str(ROUNDS))


@case("uprobe", "user stack by unwind tables", "uprobe", "bpf_loop", "task_pt_regs")
def _(guest: Guest) -> None:
    found = guest.run(f"uprobe:{guest.program}:innermost {{ @[dw_ustack(5)] = count(); }}")
    frames = [line.strip().partition("+")[0] for line in found if line.startswith(" ")]
    same(frames, ["innermost", "inner", "outer", "outermost", "main"])
    same(found[-1].rpartition(": ")[2], str(ROUNDS))


@case("uretprobe", "retval", "uprobe")
def _(guest: Guest) -> None:
    same(
        entries(guest.run(f"uretprobe:{guest.program}:twice {{ @[retval] = count(); }}")),
        {str(2 * i): "1" for i in range(ROUNDS)},
    )


@case("uretprobe", "wildcard", "uprobe")
def _(guest: Guest) -> None:
    found = guest.run(f"uretprobe:{guest.program}:t*ice {{ @[func] = sum(retval); }}")
    total = sum(range(ROUNDS))
    same(entries(found), {"twice": str(2 * total), "thrice": str(3 * total)})


@case("usdt", "arguments", "uprobe")
def _(guest: Guest) -> None:
    found = guest.run(f"usdt:{guest.program}:app:tick {{ @[arg0, (int32)arg1] = count(); }}")
    same(entries(found), {f"{i}, -9": "1" for i in range(ROUNDS)})


@case("usdt", "semaphore", "uprobe", "uprobe_refcount")
def _(guest: Guest) -> None:
    """The program passes the probe only while its semaphore is raised."""
    same(entries(guest.run(f"usdt:{guest.program}:counted {{ @[arg0] = count(); }}")), NUMBERS)


@case("usdt", "wildcard", "uprobe", "uprobe_refcount")
def _(guest: Guest) -> None:
    found = guest.run(f"usdt:{guest.shared}:app:* {{ @[probe] = count(); }}", program=guest.shared)
    same(entries(found), {f"usdt:{guest.shared}:app:{name}": str(ROUNDS) for name in ("tick", "counted")})


# --- events of the processor ------------------------------------------------------------------------------


@case("profile", "hz")
def _(guest: Guest) -> None:
    """The program burns 400 ms of its CPU time; in emulation clocks jump, so that only the order of magnitude is
    known."""
    found = guest.run("profile:hz:99 /pid == cpid/ { @ = count(); }", 400, "burn")
    assert 8 <= int(entries(found)[""]) <= 120, found


@case("profile", "ustack")
def _(guest: Guest) -> None:
    found = guest.run("profile:hz:99 /pid == cpid/ { @[ustack] = count(); }", 400, "burn")
    assert any("main+" in line for line in found), found


@case("interval", "ms")
def _(guest: Guest) -> None:
    found = guest.alone("interval:ms:10 { @n++; @cpu[cpu] = count(); if (@n == 5) { exit(); } }")
    assert int(entries(found, "@n")[""]) >= 5, found
    same(list(entries(found, "@cpu")), [str(guest.kernel.online_cpus[0])])


@case("software", "page-faults")
def _(guest: Guest) -> None:
    found = guest.run("software:page-faults:1 /pid == cpid/ { @ = count(); }", 300, "faults")
    assert 300 <= int(entries(found)[""]) <= 600, found


@case("software", "cpu-clock")
def _(guest: Guest) -> None:
    found = guest.run("software:cpu-clock:10000000 /pid == cpid/ { @ = count(); }", 400, "burn")
    assert 8 <= int(entries(found)[""]) <= 120, found


@case("hardware", "instructions", "hardware")
def _(guest: Guest) -> None:
    found = guest.run("hardware:instructions:1000000 /pid == cpid/ { @ = count(); }", 400, "burn")
    assert int(entries(found)[""]) > 10, found


@case("watchpoint", "writes of a command", "watchpoint")
def _(guest: Guest) -> None:
    address = symbol(guest.targets.program, "watched")
    same(entries(guest.run(f"watchpoint:{address:#x}:8:w {{ @[comm] = count(); }}")), {"target": str(ROUNDS)})


@case("watchpoint", "writes of a process", "watchpoint")
def _(guest: Guest) -> None:
    word = ctypes.c_uint32(0)
    script = f"watchpoint:{ctypes.addressof(word):#x}:4:w {{ @ = count(); }}"
    session, out = guest.session(script, pid=os.getpid())
    with session:
        for i in range(ROUNDS):
            word.value = i
    same(entries(out.lines), {"": str(ROUNDS)})


# --- the tracer's own ---------------------------------------------------------------------------------------


@case("begin, end", "order")
def _(guest: Guest) -> None:
    script = (
        'end { printf("end\\n"); } begin { printf("begin\\n"); } '
        'tracepoint:syscalls:sys_enter_getpgid /pid == cpid/ { printf("%d\\n", args.pid - 100000000); }'
    )
    same(guest.run(script), ["begin", *map(str, range(ROUNDS)), "end"])


@case("self", "signal")
def _(guest: Guest) -> None:
    session, out = guest.session('self:signal:SIGUSR1 { printf("%s\\n", "signal"); @++; } begin { @ = 5 }')
    with session:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGUSR1)
            session.poll(0.1)
    same(out.lines, ["signal"] * 3 + ["@: 8"])
