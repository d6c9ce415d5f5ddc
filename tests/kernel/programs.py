"""Small C programs, compiled in every way that matters to whoever reads ELF files."""

from __future__ import annotations

import subprocess
from pathlib import Path

# A probe as <sys/sdt.h> writes it: a nop, a note about it, and a base that prelink would move.
SOURCE = r"""
#include <stdio.h>
unsigned short sample_semaphore __attribute__((section(".probes"), used));
#define PROBE(provider, name, semaphore, arguments) \
    __asm__ volatile("990: nop\n" \
        ".pushsection .note.stapsdt,\"\",\"note\"\n.balign 4\n.4byte 992f-991f, 994f-993f, 3\n" \
        "991: .asciz \"stapsdt\"\n992: .balign 4\n" \
        "993: .8byte 990b\n.8byte _.stapsdt.base\n.8byte " semaphore "\n" \
        ".asciz \"" provider "\"\n.asciz \"" name "\"\n.asciz \"" arguments "\"\n994: .balign 4\n.popsection\n" \
        ".ifndef _.stapsdt.base\n.pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n" \
        ".weak _.stapsdt.base\n.hidden _.stapsdt.base\n_.stapsdt.base: .space 1\n.size _.stapsdt.base,1\n" \
        ".popsection\n.endif\n")
int shared_name(int x) { PROBE("app", "enter", "0", "-4@$1 8@-16(%rbp)"); return x + 1; }
static int __attribute__((noinline)) hidden(int x) { PROBE("app", "inner", "sample_semaphore", ""); return x * 3; }
int data_object = 7;
int main(int argc, char **argv) { printf("%d\n", hidden(shared_name(argc)) + data_object); return 0; }
"""


def compile_program(directory: Path, name: str, *flags: str, source: str = SOURCE) -> Path:
    path = directory / name
    (directory / f"{name}.c").write_text(source)
    subprocess.run(["gcc", "-O1", "-g", *flags, "-o", path, directory / f"{name}.c"], check=True)
    return path


def run(*command: str | Path) -> str:
    return subprocess.run(list(map(str, command)), check=True, text=True, capture_output=True).stdout
