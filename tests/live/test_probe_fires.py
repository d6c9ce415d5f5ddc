"""Probes in user programs and on system calls, fired by C programs that know what must come out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Runner

# The probes' operands are written out, so that each form is what it says and the compiler has no choice.
USDT = r"""
#include <stdint.h>
int counter = 77;
unsigned short semaphore __attribute__((section(".probes"), used));
#define PROBE(name, sem, args) "990: nop\n.pushsection .note.stapsdt,\"\",\"note\"\n.balign 4\n" \
    ".4byte 992f-991f,994f-993f,3\n991: .asciz \"stapsdt\"\n992: .balign 4\n" \
    "993: .8byte 990b\n.8byte 0\n.8byte " sem "\n" \
    ".asciz \"app\"\n.asciz \"" name "\"\n.asciz \"" args "\"\n994: .balign 4\n.popsection\n"
__attribute__((noinline)) void forms(uint64_t *words)
{
    register uint64_t *base __asm__("rdi") = words;
    register uint64_t index __asm__("rsi") = 2;
    register uint64_t eight __asm__("r8") = 0x1122334455667788;
    __asm__ volatile(PROBE("registers", "0", "8@%%r8 4@%%r8d 2@%%r8w 1@%%r8b -1@%%r8b -8@%%rsi")
        : : "r"(base), "r"(index), "r"(eight));
    __asm__ volatile(PROBE("memory", "0", "8@(%%rdi) 8@8(%%rdi) 8@(%%rdi,%%rsi,8) -4@8(%%rdi,%%rsi,8) 4@counter(%%rip)")
        : : "r"(base), "r"(index), "r"(eight), "m"(*(uint64_t(*)[4])words));
    __asm__ volatile(PROBE("constants", "0", "8@$5 -4@$-9 4@$4294967295") : : );
}
__attribute__((noinline)) void places(long n)
{
    register long first __asm__("rax") = n;
    register long second __asm__("rbx") = n * 10;
    if (n > 1)
        __asm__ volatile(PROBE("places", "semaphore", "-8@%%rax") : : "r"(first), "r"(second));
    else
        __asm__ volatile(PROBE("places", "semaphore", "-8@%%rbx") : : "r"(first), "r"(second));
}
int main(void)
{
    uint64_t words[4] = {101, 202, 303, (uint32_t)-404};
    forms(words);
    if (semaphore) { places(1); places(2); places(3); }
    return 0;
}
"""


@pytest.fixture(scope="module", params=[("-pie", "-fPIE"), ("-no-pie", "-fno-pie"), ("-static",)], ids=lambda f: f[0])
def usdt(request: pytest.FixtureRequest, compile_c: Callable[..., Path]) -> Path:
    return compile_c(USDT, "-O1", *request.param)


def lines(pytrace: Runner, script: str, program: Path) -> list[str]:
    result = pytrace("-q", "-e", script, "-c", str(program))
    assert result.status == 0, result.stderr
    return [line for line in result.stdout.split("\n") if line]


def test_registers_of_every_size(pytrace: Runner, usdt: Path) -> None:
    script = f'usdt:{usdt}:registers {{ printf("%lx %lx %lx %lx %ld %ld\\n", arg0, arg1, arg2, arg3, arg4, arg5); }}'
    assert lines(pytrace, script, usdt) == ["1122334455667788 55667788 7788 88 -120 2"]


def test_memory_operands(pytrace: Runner, usdt: Path) -> None:
    script = f'usdt:{usdt}:memory {{ printf("%ld %ld %ld %ld %ld\\n", arg0, arg1, arg2, arg3, arg4); }}'
    assert lines(pytrace, script, usdt) == ["101 202 303 -404 77"]


def test_constants(pytrace: Runner, usdt: Path) -> None:
    script = f'usdt:{usdt}:constants {{ printf("%ld %ld %ld\\n", arg0, arg1, arg2); }}'
    assert lines(pytrace, script, usdt) == ["5 -9 4294967295"]


def test_places_that_keep_their_argument_differently(pytrace: Runner, usdt: Path) -> None:
    """The semaphore must have been raised too, or none would fire."""
    assert lines(pytrace, f'usdt:{usdt}:app:places {{ printf("%ld\\n", arg0); }}', usdt) == ["10", "2", "3"]


def test_all_probes_of_a_file(pytrace: Runner, usdt: Path) -> None:
    found = lines(pytrace, f"usdt:{usdt}:* {{ @[probe] = count(); }}", usdt)
    assert sorted(found) == sorted(
        f"@[usdt:{usdt}:app:{name}]: {n}"
        for name, n in {"registers": 1, "memory": 1, "constants": 1, "places": 3}.items()
    )


FUNCTIONS = r"""
struct point { int x; short y; struct point *next; char name[8]; };
enum color { RED, GREEN = 5 };
__attribute__((noinline)) long work(volatile struct point *p, long n, enum color c, double d, const char *s)
{
    return p->x + n;
}
__attribute__((noinline)) long many(long a, long b, long c, long d, long e, long f, long g, long h)
{
    __asm__ volatile("");
    return a + b + c + d + e + f + g + h;
}
__attribute__((noinline)) int other(int a) { __asm__ volatile(""); return -a; }
int main(void)
{
    volatile struct point q = {7, 8, 0, "inner"}, p = {1, 2, (struct point *)&q, "outer"};
    return work(&p, 40, GREEN, 1.5, "text") + many(1, 2, 3, 4, 5, 6, 7, 8) + other(3) == 0;
}
"""


@pytest.fixture(scope="module", params=[("-pie", "-fPIE"), ("-no-pie", "-fno-pie"), ("-static",)], ids=lambda f: f[0])
def program(request: pytest.FixtureRequest, compile_c: Callable[..., Path]) -> Path:
    return compile_c(FUNCTIONS, "-O1", "-g", *request.param)


def test_typed_arguments(pytrace: Runner, program: Path) -> None:
    script = (
        f"uprobe:{program}:work {{ "
        'printf("%d %d %d %d %s\\n", args.p.x, args.p.y, args.p.next.x, args.n, str(args.s)); '
        'printf("%s %s\\n", args.p.name, args.p.next.name); }'
    )
    assert lines(pytrace, script, program) == ["1 2 7 40 text", "outer inner"]


def test_arguments_beyond_the_registers(pytrace: Runner, program: Path) -> None:
    script = f'uprobe:{program}:many {{ printf("%d %d %d %d\\n", arg0, arg5, arg6, arg7); }}'
    assert lines(pytrace, script, program) == ["1 6 7 8"]


def test_results(pytrace: Runner, program: Path) -> None:
    script = f'uretprobe:{program}:many,uretprobe:{program}:work {{ printf("%s %d\\n", func, retval); }}'
    assert sorted(lines(pytrace, script, program)) == ["many 36", "work 41"]


def test_a_wildcard_knows_which_function_it_was(pytrace: Runner, program: Path) -> None:
    found = lines(pytrace, f"uprobe:{program}:*o*r* {{ @[probe] = count(); }}", program)
    for name in ("work", "other"):
        assert f"@[uprobe:{program}:{name}]: 1" in found


def test_a_source_line(pytrace: Runner, program: Path) -> None:
    line = FUNCTIONS.split("\n").index("    return p->x + n;") + 1
    source = f"{program.name}.c"
    assert lines(pytrace, f'uprobe:{program}@{source}:{line} {{ printf("%s\\n", func); }}', program) == ["work"]


COLUMNS = """
volatile int sink;
int main(void)
{
    for (int i = 0; i < 4; i++) sink += i;

    return 0;
}
"""


def test_a_column_of_a_source_line(pytrace: Runner, compile_c: Callable[..., Path]) -> None:
    """Parts of a loop that stands on one line: they run once, five times and four times."""
    program = compile_c(COLUMNS, "-O0", "-g", "-gcolumn-info")
    text = COLUMNS.split("\n")[4]
    for part, expected in {"i = 0": 1, "< 4": 5, "++": 4, "+= i": 4}.items():
        probe = f"uprobe:{program}@{program.name}.c:5:{text.index(part) + 1}"
        assert lines(pytrace, f"{probe} {{ @[probe] = count(); }}", program) == [f"@[{probe}]: {expected}"]
    result = pytrace("-e", f"uprobe:{program}@{program.name}.c:5:99 {{ exit(); }}")
    assert result.status == 1 and "the code of that line begins at column " in result.stderr
    result = pytrace("-e", f"uprobe:{program}@{program.name}.c:6 {{ exit(); }}")
    assert result.status == 1 and "no code on that line, but on line 5 and 7" in result.stderr


LOCKED = r"""
__attribute__((noinline)) int plain(int a) { __asm__ volatile("" : "+r"(a)); return a; }
long word;
__asm__(".globl locked\n.type locked, @function\nlocked: lock incl word(%rip)\nret\n.size locked, . - locked\n");
void locked(void);
int main(void) { for (int i = 0; i < 6; i++) { plain(i); locked(); } return 0; }
"""


def test_an_instruction_that_the_kernel_does_not_probe(pytrace: Runner, compile_c: Callable[..., Path]) -> None:
    """Nobody runs the program yet, so the kernel would take the probe, which would never fire."""
    path = compile_c(LOCKED, "-O1")
    for where in ("locked", "locked+0"):
        result = pytrace("-e", f"uprobe:{path}:{where} {{ exit(); }}")
        assert result.status == 1
        assert "The kernel cannot put a probe at 'locked'" in result.stderr and "'lock' prefix" in result.stderr
    assert lines(pytrace, f"uprobe:{path}:locked+7 {{ @ = count(); }}", path) == ["@: 6"]
    assert sorted(lines(pytrace, f"uprobe:{path}:[lp]*[nd] {{ @[func] = count(); }}", path)) == ["@[plain]: 6"]


SYSCALLS = r"""
#include <fcntl.h>
#include <unistd.h>
#include <sys/syscall.h>
int main(void)
{
    for (int i = 0; i < 250; i++)
        syscall(SYS_openat, -100, "/no/such/file", 0x123, 0640);
    for (int i = 0; i < 40; i++) {
        long result;
        /* 295 is openat for 32-bit callers, and preadv for 64-bit ones */
        __asm__ volatile("int $0x80" : "=a"(result) : "a"(295), "b"(-1), "c"(0), "d"(0), "S"(0) : "memory");
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def caller(compile_c: Callable[..., Path]) -> Path:
    return compile_c(SYSCALLS, "-O1", "-static")


def test_system_calls_are_counted_exactly(pytrace: Runner, caller: Path) -> None:
    script = (
        "tracepoint:syscalls:sys_enter_openat /pid == cpid/ "
        "{ @enter[str(args.filename), args.flags, args.mode] = count(); } "
        "tracepoint:syscalls:sys_exit_openat /pid == cpid/ { @exit[args.ret] = count(); }"
    )
    assert lines(pytrace, script, caller) == ["@enter[/no/such/file, 291, 416]: 250", "@exit[-2]: 250"]


def test_calls_of_another_abi_do_not_count(pytrace: Runner, caller: Path) -> None:
    """As with the events themselves: 32-bit callers use other numbers for the same calls."""
    found = lines(pytrace, "tracepoint:syscalls:sys_enter_* /pid == cpid/ { @[probe] = count(); }", caller)
    assert "@[tracepoint:syscalls:sys_enter_openat]: 250" in found
    assert not [line for line in found if "preadv" in line]
    raw = lines(pytrace, "rawtracepoint:sys_enter /pid == cpid && args.id == 295/ { @ = count(); }", caller)
    assert raw in (["@: 40"], [])  # [] where the kernel has no 32-bit calls at all


def test_the_number_is_an_argument(pytrace: Runner, caller: Path) -> None:
    script = "tracepoint:syscalls:sys_exit_openat /pid == cpid/ { @[args.__syscall_nr] = count(); }"
    assert lines(pytrace, script, caller) == ["@[257]: 250"]
