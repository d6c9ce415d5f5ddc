"""Stacks by unwind tables, of programs that keep no frame pointers. What must come out the programs say themselves, by
the backtrace(3) of the C library, which has its unwinder from the compiler's makers."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pytrace as api
from pytrace.kernel import Kernel
from tests.conftest import Result, Runner

pytestmark = pytest.mark.skipif(
    not (Kernel.running().features.has("bpf_loop") and Kernel.running().features.has("task_pt_regs")),
    reason="bpf_loop and task_pt_regs: needed to unwind stacks",
)

ENABLED = "config = { unstable_dw_ustack=enable } "

LIBRARY = """
volatile long slack;
long relay(long (*f)(long), long n) { slack += n; long r = f(n); slack += r; return r + 1; }
"""

# The chain: main, a library's relay (through the PLT), digs (with an alloca, so that its frame is found by rbp),
# qsort, its callback, leaf. Where it stands leaf says itself.
PROGRAM = r"""
#define _GNU_SOURCE
#include <alloca.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#define APART __attribute__((noinline))
long relay(long (*f)(long), long n);
volatile long sink, burn;
static void *at[64];
APART long leaf(long n) {
    sink += n;
    int depth = backtrace(at, 64);
    for (int i = 0; i < depth; i++) printf("%lx ", (long)at[i]);
    printf("\n");
    fflush(stdout);
    syscall(SYS_getpgid, 0);
    for (long i = 0; i < burn; i++) sink += i;
    return sink;
}
static int compare(const void *a, const void *b) { sink += leaf(1); return *(const int *)a - *(const int *)b; }
APART long digs(long n) {
    char *room = alloca(n * 16 + 100);
    memset(room, 1, n * 16 + 100);
    int two[] = {3, 1};
    qsort(two, 2, sizeof *two, compare);
    sink += room[n];
    return room[n + 1] + two[0];
}
static void interrupted(int number) { sink += leaf(number); }
int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    backtrace(at, 1);  /* which loads the unwinder, for the first time */
    if (!strcmp(what, "signal")) {
        signal(SIGUSR1, interrupted);
        raise(SIGUSR1);
    } else if (!strcmp(what, "late")) {
        void *library = dlopen(argv[2], RTLD_NOW);
        long (*f)(long (*)(long), long) = library ? (long (*)(long (*)(long), long))dlsym(library, "relay") : 0;
        for (;; usleep(10000)) sink += f(digs, argc);
    } else if (!strcmp(what, "again")) {
        for (;; usleep(10000)) sink += relay(digs, argc);
    } else {
        if (!strcmp(what, "burn")) burn = 300000000;
        sink += relay(digs, argc);
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dw")
    (directory / "relay.c").write_text(LIBRARY)
    built = directory / "librelay.so"
    flags = ("-O2", "-fomit-frame-pointer", "-shared", "-fPIC")
    subprocess.run(["gcc", *flags, "-o", built, directory / "relay.c"], check=True)
    return built


@pytest.fixture(scope="module")
def program(library: Path, compile_c: Callable[..., Path]) -> Path:
    """With a PLT whose entries are used the old way, by binding at the first call."""
    flags = ("-O2", "-fomit-frame-pointer", "-fcf-protection=none", "-Wl,-z,lazy", f"-Wl,-rpath,{library.parent}")
    return compile_c(PROGRAM, *flags, f"-L{library.parent}", "-lrelay")


def run(pytrace: Runner, script: str, *command: str | Path) -> Result:
    result = pytrace("-q", "-e", ENABLED + script, "-c", shlex.join(map(str, command)))
    assert (result.status, result.stderr) == (0, "")
    return result


def told(result: Result) -> list[list[int]]:
    """What the program said: the addresses of each of its backtraces, the place in leaf first."""
    lines = re.findall(r"^(?:[0-9a-f]+ ){3,}$", result.stdout, re.M)
    return [[int(word, 16) for word in line.split()] for line in lines]


def stacks(text: str) -> list[list[int]]:
    """The raw stacks in a text."""
    return [[int(a, 16) for a in block.split()] for block in re.findall(r"(?:^[0-9a-f]{6,16}\n)+", text, re.M)]


def calls(addresses: list[int]) -> list[int]:
    """Frames are named by the call's last byte, not by the address that it returns to."""
    return [a - 1 for a in addresses]


# --- from where ------------------------------------------------------------------------------------------


def test_at_a_uprobe(pytrace: Runner, program: Path) -> None:
    result = run(pytrace, f'uprobe:{program}:leaf {{ printf("%s\\n", dw_ustack(raw)); }}', program)
    (said,), (found,) = told(result), stacks(result.stdout)
    assert found[1:] == calls(said[1:])
    assert len(found) > 7


def test_at_a_system_call(pytrace: Runner, program: Path) -> None:
    script = 'tracepoint:syscalls:sys_enter_getpgid /pid == cpid/ { printf("%s\\n", dw_ustack(raw)); }'
    result = run(pytrace, script, program)
    (said,), (found,) = told(result), stacks(result.stdout)
    # syscall() of libc, then leaf, some bytes behind its call of backtrace().
    assert found[2:] == calls(said[1:])
    assert 0 < found[1] - said[0] < 200


def test_by_the_clock(pytrace: Runner, program: Path) -> None:
    """Samples of a loop in leaf, wherever the processor was in it."""
    script = ENABLED + "profile:hz:997 /pid == cpid/ { @[dw_ustack(raw)] = count(); }"
    result = pytrace("-q", "-e", script, "-c", f"{program} burn")
    (said,) = told(result)
    here = [s for s in stacks(result.stdout) if s[0] != said[0] and abs(s[0] - said[0]) < 200 and len(s) > 1]
    assert here
    assert all(s[1:] == calls(said[1:]) for s in here), (here, said)


def test_by_frame_pointers_it_is_another(pytrace: Runner, program: Path) -> None:
    """What all of this is for."""
    result = run(pytrace, f'uprobe:{program}:leaf {{ printf("%s\\n", ustack(raw)); }}', program)
    (said,) = told(result)
    (found,) = stacks(result.stdout)
    assert said[-3] not in found


# --- through what ----------------------------------------------------------------------------------------


def test_names(pytrace: Runner, program: Path) -> None:
    result = run(pytrace, f"uprobe:{program}:leaf {{ @[dw_ustack] = count(); }}", program)
    named = re.findall(r"^ {8}(\S+)\+\d+$", result.stdout, re.M)
    known = [name for name in named if name in ("leaf", "compare", "digs", "relay", "main", "_start")]
    assert known == ["leaf", "compare", "digs", "relay", "main", "_start"]
    assert result.stdout.rstrip().endswith("]: 1")


def test_in_an_entry_of_the_plt(pytrace: Runner, program: Path) -> None:
    """At its first instruction, and at the third, behind one that pushes: the caller is the same."""
    listing = subprocess.run(
        ["objdump", "-d", "-j", ".plt", program], check=True, capture_output=True, text=True
    ).stdout
    found = re.search(r"^0*([0-9a-f]+) <relay@plt>", listing, re.M)
    assert found, listing
    entry = int(found[1], 16)
    script = "".join(
        f'uprobe:{program}:{entry + offset:#x} {{ printf("%s\\n", dw_ustack(raw)); }} ' for offset in (0, 6, 11)
    )
    result = run(pytrace, script, program)
    (said,), found_stacks = told(result), stacks(result.stdout)
    assert len(found_stacks) == 3
    tail = calls(said[-4:])  # main and those that call it
    assert [s[1:] for s in found_stacks] == [tail] * 3
    assert [s[0] - found_stacks[0][0] for s in found_stacks] == [0, 6, 11]


def test_through_a_signal(pytrace: Runner, program: Path) -> None:
    """What was interrupted is not a call: its address stays as it is."""
    result = run(pytrace, f'uprobe:{program}:leaf {{ printf("%s\\n", dw_ustack(raw)); }}', program, "signal")
    (said,), (found,) = told(result), stacks(result.stdout)
    assert len(found) == len(said)
    differences = [a - b for a, b in zip(said[1:], found[1:], strict=True)]
    assert differences == [1, 1, 0] + [1] * (len(differences) - 3)


# --- of whom ---------------------------------------------------------------------------------------------


@pytest.fixture
def again(program: Path) -> Iterator[subprocess.Popen[str]]:
    """The program, running already; it does the same again and again."""
    with subprocess.Popen([program, "again"], stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("option", ["-p", "--dwarf-pid"])
def test_a_process_that_runs_already(pytrace: Runner, program: Path, again: subprocess.Popen[str], option: str) -> None:
    assert again.stdout
    said = [int(word, 16) for word in again.stdout.readline().split()]
    script = f'uprobe:{program}:leaf /pid == {again.pid}/ {{ printf("%s\\n", dw_ustack(raw)); exit(); }}'
    result = pytrace("-q", "-e", ENABLED + script, option, str(again.pid))
    assert (result.status, result.stderr) == (0, "")
    (found,) = stacks(result.stdout)
    assert found[1:] == calls(said[1:])


def test_by_the_python_api(program: Path, again: subprocess.Popen[str]) -> None:
    assert again.stdout
    said = [int(word, 16) for word in again.stdout.readline().split()]
    script = ENABLED + f"uprobe:{program}:leaf /pid == {again.pid}/ {{ @ = len(dw_ustack); exit(); }}"
    with api.trace(script, dwarf_pids=[again.pid], output=None) as session:
        assert session.wait(30)
    assert session.maps["@"].value == len(said)


def test_others_are_empty_and_counted(pytrace: Runner, program: Path, again: subprocess.Popen[str]) -> None:
    script = (
        f"uprobe:{program}:leaf /pid == {again.pid}/ {{ @[len(dw_ustack)] = count(); if (++@n == 3) {{ exit(); }} }}"
    )
    with subprocess.Popen(["sleep", "60"]) as other:
        result = pytrace("-q", "-e", ENABLED + script, "--dwarf-pid", str(other.pid))
        other.kill()
    assert "@[0]: 3\n" in result.stdout
    assert re.search(r"WARNING: 3 stacks are empty: .*--dwarf-pid", result.stderr)


def test_a_program_that_a_shell_starts(pytrace: Runner, program: Path) -> None:
    """Once the tables of what it has mapped are there, its stacks are whole."""
    script = f'uprobe:{program}:leaf {{ printf("%d frames\\n", len(dw_ustack)); }}'
    command = shlex.join(["sh", "-c", f"exec 2>&1; {program} | head -1; exec {program} again"])
    running = pytrace.start("-q", "-e", ENABLED + script, "-c", command)
    running.wait_for("\n")
    depth = len(running.text().split("\n")[0].split())
    running.wait_for(f"\n{depth} frames\n")


def test_a_library_that_is_loaded_late(pytrace: Runner, program: Path, library: Path, tmp_path: Path) -> None:
    copy = shutil.copy(library, tmp_path / "late.so")
    script = f'uprobe:{program}:leaf {{ printf("%s\\n", dw_ustack(raw)); }}'
    running = pytrace.start("-q", "-e", ENABLED + script, "-c", shlex.join([str(program), "late", str(copy)]))
    running.wait_for("\n")
    said = next(line.split() for line in running.text().split("\n") if line.count(" ") > 3)
    running.wait_for("\n".join(f"{int(word, 16) - 1:x}" for word in said[1:]))


# --- what cannot be done ---------------------------------------------------------------------------------


def test_code_of_no_file_ends_a_stack(pytrace: Runner, compile_c: Callable[..., Path]) -> None:
    """Code that a program writes into its memory has no unwind tables: that is said, once."""
    source = r"""
    #include <string.h>
    #include <sys/mman.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    __attribute__((noinline)) void leaf(void) { syscall(SYS_getpgid, 0); }
    int main(void) {
        /* sub rsp, 8; call rdi; add rsp, 8; ret */
        static const char code[] = "\x48\x83\xec\x08\xff\xd7\x48\x83\xc4\x08\xc3";
        void *made = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memcpy(made, code, sizeof code);
        for (int i = 0; i < 7; i++) ((void (*)(void (*)(void)))made)(leaf);
        return 0;
    }
    """
    made = compile_c(source, "-O2", "-fomit-frame-pointer")
    script = f"uprobe:{made}:leaf {{ @[len(dw_ustack)] = count(); }}"
    result = pytrace("-q", "-e", ENABLED + script, "-c", str(made))
    assert "@[2]: 7\n" in result.stdout  # leaf, and the code that called it
    assert result.stderr.count("7 stacks end early, in code without unwind information") == 1


def test_of_nobody(pytrace: Runner) -> None:
    result = pytrace("-q", "-e", ENABLED + "begin { print(dw_ustack); }")
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr == "ERROR: dw_ustack requires a target process: name it by -p, -c or --dwarf-pid\n"


def test_of_a_process_that_is_not_there(pytrace: Runner) -> None:
    result = pytrace("-q", "-e", ENABLED + "begin { print(dw_ustack); }", "--dwarf-pid", "4194303")
    assert (result.status, result.stderr) == (1, "ERROR: there is no process 4194303\n")


@pytest.mark.parametrize("feature", ["bpf_loop", "task_pt_regs"])
def test_without_what_it_takes_of_the_kernel(pytrace: Runner, feature: str) -> None:
    result = pytrace("-q", "--no-feature", feature, "-e", ENABLED + "begin { print(dw_ustack); }", "-c", "true")
    assert result.status == 1
    assert re.match(
        rf"-e:1:\S+: ERROR: this needs the kernel feature '{feature}', which this kernel lacks", result.stderr
    )


def test_key_unstable_dw_ustack(pytrace: Runner) -> None:
    script = "begin { print(len(dw_ustack)); exit(); }"
    warned = pytrace("-q", "-e", script, "-c", "true")
    assert (warned.status, "WARNING: dw_ustack is an unstable feature" in warned.stderr) == (0, True)
    enabled = pytrace("-q", "-e", ENABLED + script, "-c", "true")
    assert (enabled.status, "unstable" in enabled.stderr) == (0, False)
    refused = pytrace("-q", "-e", "config = { unstable_dw_ustack=error } " + script, "-c", "true")
    assert (refused.status, refused.stdout) == (1, "")
    assert "ERROR: dw_ustack is not enabled" in refused.stderr
