"""The programs that are traced: built once on the host, since every guest sees its files."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pytrace.record import record

ROUNDS = 7
"""How often the program does each of the things that it does."""

# What each round does is known, so that what a probe saw can be checked to the last value.
SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
volatile long total;
/* Not in .bss, which an exec clears byte by byte. */
volatile uint64_t watched = 1;
unsigned short semaphore __attribute__((section(".probes"), used));
#define PROBE(name, sem, args) "990: nop\n.pushsection .note.stapsdt,\"\",\"note\"\n.balign 4\n" \
    ".4byte 992f-991f,994f-993f,3\n991: .asciz \"stapsdt\"\n992: .balign 4\n" \
    "993: .8byte 990b\n.8byte 0\n.8byte " sem "\n" \
    ".asciz \"app\"\n.asciz \"" name "\"\n.asciz \"" args "\"\n994: .balign 4\n.popsection\n"
#define APART __attribute__((noinline, noclone))
APART long twice(long x) { total += x; return 2 * x; }
APART long thrice(long x) { total += x; return 3 * x; }
APART int named(const char *s) { total += s[0]; return -1; }
APART void tick(long n) {
    register long first __asm__("rax") = n;
    __asm__ volatile(PROBE("tick", "0", "-8@%%rax -4@$-9") : : "r"(first));
}
APART void counted(long n) {
    register long first __asm__("rbx") = n;
    if (semaphore) __asm__ volatile(PROBE("counted", "semaphore", "-8@%%rbx") : : "r"(first));
}
APART long innermost(long x) { __asm__ volatile("" : "+r"(x)); return x; }
APART long inner(long x) { long y = innermost(x); __asm__ volatile("" : "+r"(y)); return y; }
APART long outer(long x) { long y = inner(x); __asm__ volatile("" : "+r"(y)); return y; }
APART long outermost(long x) { long y = outer(x); __asm__ volatile("" : "+r"(y)); return y; }
__asm__(".globl marked\n.type marked, @function\nmarked: nop\nnop\nret\n.size marked, . - marked\n");
void marked(void);
static void faults(long pages) {
    char *room = mmap(0, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(room, pages * 4096, MADV_NOHUGEPAGE);
    for (long i = 0; i < pages; i++) ((volatile char *)room)[i * 4096] = 1;
}
static void burn(long ms) {
    struct timespec t;
    do clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); while (t.tv_sec * 1000 + t.tv_nsec / 1000000 < ms);
}
int main(int argc, char **argv) {
    long n = atol(argv[1]);
    static char buffer[8192];
    if (argc > 2) {
        if (!strcmp(argv[2], "faults")) faults(n); else burn(n);
        return 0;
    }
    int zero = open("/dev/zero", O_RDWR);
    signal(SIGUSR2, SIG_IGN);
    for (long i = 0; i < n; i++) {
        syscall(SYS_getppid);
        getpgid(100000000 + i);
        read(zero, buffer, 5000 + i);
        close(open(argv[0], O_RDONLY));
        open("/no/such/file", i);
        kill(getpid(), SIGUSR2);
        twice(i); thrice(i); named("a string"); tick(i); counted(i); outermost(i); marked();
        watched = i;
    }
    return 0;
}
"""


@record
class Targets:
    """Paths of the program: `program` is static and at fixed addresses, `shared` a PIE that uses the C library."""

    program: Path
    shared: Path


def build(directory: Path) -> Targets:
    """Compiles them into a directory. Needs gcc."""
    source = directory / "target.c"
    source.write_text(SOURCE)
    common = ["gcc", "-O1", "-g", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", str(source), "-o"]
    targets = Targets(directory / "target", directory / "target-pie")
    subprocess.run([*common, str(targets.program), "-static", "-no-pie", "-fno-pie"], check=True)
    subprocess.run([*common, str(targets.shared), "-pie", "-fPIE"], check=True)
    return targets


def symbol(program: Path, name: str) -> int:
    """The address of a symbol, by nm."""
    for line in subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout.splitlines():
        address, _, found = line.rpartition(" ")
        if found == name:
            return int(address.split()[0], 16)
    raise AssertionError(f"{program} has no {name}")
