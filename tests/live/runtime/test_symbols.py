"""Names for addresses of the living and the dead, compared with what other tools say."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytrace.kernel import Kernel
from pytrace.program import MapSpec, MapType, Uprobe
from pytrace.runtime import Child, Symbols
from pytrace.types import Stack, USym
from tests.asm import Asm, ProgType, prog, program, sends
from tests.live.runtime.conftest import Bench
from tests.live.runtime.test_attach import offset


@pytest.fixture
def symbols() -> Symbols:
    return Symbols(Kernel.running())


def test_kernel_symbols(symbols: Symbols) -> None:
    for line in Path("/proc/kallsyms").read_text().splitlines():
        address, _, name = line.split()[:3]
        if name == "do_syscall_64" or name == "el0_svc":
            found = symbols.ksym(int(address, 16) + 5)
            assert (found.name, found.offset) == (name, 5)
            return
    raise AssertionError("no symbol to look for")


def test_nothing_is_known_of_nonsense(symbols: Symbols) -> None:
    assert symbols.ksym(5).name == ""
    assert symbols.usym(5, os.getpid()).name == ""
    assert symbols.usym(5, 0x7FFFFFFF).name == ""
    assert symbols.username(0) == "root"
    assert symbols.username(4_000_000_000) == ""
    assert symbols.cgroup_path(0, "") == ""


def test_wall_time(symbols: Symbols) -> None:
    now = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + symbols.wall_offset("boot")
    assert abs(now - time.time_ns()) < 1_000_000_000
    assert symbols.wall_offset("wall") == 0


def test_cgroup_of_this_process(symbols: Symbols) -> None:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, _, path = line.split(":", 2)
        root = next((m.split()[1] for m in Path("/proc/mounts").read_text().splitlines() if " cgroup2 " in m), "")
        if number == "0" and root:
            id = os.stat(root + path).st_ino
            assert f"unified:{path}" in symbols.cgroup_path(id, "unified")
            assert symbols.cgroup_path(id, "nothing*") == ""


def test_symbols_of_a_command_survive_it(bench: Bench, caller: Path) -> None:
    """The address of `twice` in a process at a place that only its own memory map tells."""
    child = Child([str(caller), "1"])
    # struct pt_regs of x86_64 and arm64: where the instruction pointer is.
    at = {"x86_64": 128, "aarch64": 256}[os.uname().machine]
    asm = Asm().copy(6, 1).only_pid(child.pid).load(7, 6, at).store(10, -16, 7)
    asm = asm.mov(1, child.pid).store(10, -8, 1).send(0, 2).label("out").exit()
    from pytrace.format import parse_format
    from pytrace.program import EventSpec

    shows = EventSpec(0, "printf", (USym(),), parse_format("%s\n"))
    spec = program(prog(asm, Uprobe(str(caller), offset(caller, "twice")), type=ProgType.KPROBE), events=(shows,))
    with bench.session(spec, child=child, show_maps=False) as session:
        child.reap()
        assert not Path(f"/proc/{child.pid}").exists()
        session.run()
    assert bench.out.lines == ["twice+0"] or bench.out.lines == ["twice"]


def test_forks_have_what_their_parents_had(symbols: Symbols, compile_c: Callable[..., Path]) -> None:
    """A process that was forked and is gone: its mappings are those of its parent, which is gone, too."""
    program_ = compile_c(
        """
        #include <stdio.h>
        #include <sys/wait.h>
        #include <unistd.h>
        int main(void) {
            if (!fork()) { printf("%d %p\\n", getpid(), (void *)main); return 0; }
            wait(0);
            return 0;
        }
        """,
        "-O1",
    )
    symbols.processes.watch()
    out = subprocess.run([program_], capture_output=True, text=True, check=True).stdout.split()
    found = symbols.usym(int(out[1], 16) + 1, int(out[0]))
    symbols.processes.close()
    assert (found.name, found.offset, found.module) == ("main", 1, str(program_))


def test_only_programs_with_user_addresses_are_watched_for(symbols: Symbols) -> None:
    from dataclasses import replace

    from pytrace.program import Storage, UserMap
    from pytrace.types import UINT32, Count, Tuple

    spec = MapSpec("@m", MapType.PERCPU_HASH, 24, 8, 8)
    plain = program(prog(sends(0)), maps=(spec,))
    symbols.watch(plain)
    assert not symbols.processes.watching
    key = Tuple((UINT32, Stack("user", "bpftrace", 127)))
    symbols.watch(replace(plain, user_maps=(UserMap("@m", "@m", Storage.PERCPU_HASH, key, Count()),)))
    assert symbols.processes.watching
    symbols.processes.close()
