"""Unwind tables, against what binutils make of the same .eh_frame."""

from __future__ import annotations

import bisect
import re
import struct
import subprocess
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytrace.kernel import KernelError, ehframe
from pytrace.kernel.elf import Elf
from pytrace.kernel.libraries import find_library
from tests.kernel.programs import compile_program

SOURCE = r"""
#include <alloca.h>
#include <immintrin.h>
#include <stdlib.h>
#include <string.h>
volatile long sink;
long leaf(long n) { return n + sink; }
long rooms(long n) { char *p = alloca(n); memset(p, 1, n); sink += p[n / 2]; return p[0]; }
long saves(long a, long b, long c, long d) {
    for (long i = 0; i < a; i++) sink += labs(b) + leaf(c) * d + rand();
    return sink + a + b + c + d;
}
__attribute__((target("avx2"))) long aligned(long n) {
    __m256i big[4];
    for (int i = 0; i < 4; i++) big[i] = _mm256_set1_epi64x(n + rooms(i));
    sink += rooms(((long *)big)[3]);
    return ((long *)big)[n & 15];
}
int main(int argc, char **argv) { return leaf(argc) + rooms(argc) + saves(argc, 2, 3, 4) + aligned(argc); }
"""

BASES = {"rsp": ehframe.RSP, "rbp": ehframe.RBP}


def interpreted(path: Path | str) -> Iterator[tuple[int, int, str, str, str]]:
    """(first address, end, CFA, rbp, ra) of every row that readelf prints of every function."""
    columns: list[str] = []
    rows: list[tuple[int, str, str, str]] = []
    end = 0
    # It gives 1 where it has something to remark about another section.
    command = ["readelf", "--debug-dump=frames-interp", path]
    text = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    for line in [*text.splitlines(), " FDE pc=0..0"]:
        begins = re.search(r"(FDE|CIE) .*?(?:pc=([0-9a-f]+)\.\.([0-9a-f]+))?$", line)
        if begins:
            for number, (start, *what) in enumerate(rows):
                yield start, rows[number + 1][0] if number + 1 < len(rows) else end, *what  # type: ignore[misc]
            rows, columns = [], []
            end = int(begins[3] or "0", 16)
        elif line.split()[:2] == ["LOC", "CFA"]:
            columns = line.split()
        elif columns and end and re.match(r"[0-9a-f]{16} ", line):
            # A register of DWARF has its name beside it.
            cells = dict(zip(columns, re.sub(r" \(\w+\)", "", line).split(), strict=True))
            rows.append((int(cells["LOC"], 16), cells["CFA"], cells.get("rbp", "u"), cells["ra"]))


def check(path: Path | str) -> int:
    """How many rows of readelf's were found in our table, which must agree about each."""
    table = array("Q", ehframe.table(Elf.open(str(path))))
    assert list(table) == sorted(table)
    checked = 0
    for start, end, cfa, rbp, ra in interpreted(path):
        if start == end:
            continue
        for address in (start, end - 1):
            rule = table[bisect.bisect_right(table, address << 32 | 0xFFFFFFFF) - 1] & 0xFFFFFFFF
            kind, m = rule & 0xF, struct.unpack("<h", struct.pack("<H", rule >> 16))[0]
            place = re.fullmatch(r"(r\w+)\+(\d+)", cfa)
            where = f"{path}: {address:#x}: {cfa} rbp={rbp} ra={ra}, and the rule is {rule:#x}"
            if ra == "u":
                assert kind == ehframe.END, where
            elif place and place[1] in BASES and ra == "c-8":
                assert (kind, m) == (BASES[place[1]], int(place[2]) // 8), where
                saved = re.fullmatch(r"c-(\d+)", rbp)
                if saved:
                    assert rule & 0x30 == ehframe.SAVED, where
                    assert (rule >> 6 & 0x3FF) * 8 == int(saved[1]), where
                elif rbp in ("u", "s"):
                    assert rule & 0x30 == ehframe.SAME, where
            elif place:  # by another register, or with the address elsewhere
                assert kind in (ehframe.NONE, ehframe.SIGNAL), where
            else:
                assert kind in (ehframe.NONE, ehframe.PLT, ehframe.AT_RBP, ehframe.AT_RSP, ehframe.SIGNAL), where
            checked += 1
    return checked


@pytest.mark.parametrize("flags", [("-O2",), ("-O0", "-fno-omit-frame-pointer"), ("-O2", "-static"), ("-Os",)])
def test_a_program(tmp_path: Path, flags: tuple[str, ...]) -> None:
    program = compile_program(tmp_path, "program", *flags, source=SOURCE)
    assert check(program) > 20


def test_the_c_library() -> None:
    library = find_library("libc")
    assert library
    assert check(library) > 10_000


def test_without_section_headers(tmp_path: Path) -> None:
    """What is mapped is enough: .eh_frame is found by the program header that the unwinder of the compiler uses."""
    program = compile_program(tmp_path, "program", "-O2", source=SOURCE)
    bare = tmp_path / "bare"
    data = bytearray(program.read_bytes())
    data[40:48] = bytes(8)  # e_shoff
    data[60:64] = bytes(4)  # e_shnum, e_shstrndx
    bare.write_bytes(data)
    assert ehframe.table(Elf.open(str(bare))) == ehframe.table(Elf.open(str(program))) != b""


def test_damage_is_said(tmp_path: Path) -> None:
    program = compile_program(tmp_path, "program", "-O2", source=SOURCE)
    section = Elf.open(str(program)).section(".eh_frame")
    assert section is not None
    data = bytearray(program.read_bytes())
    data[section.offset + 4 : section.offset + section.size] = b"\xff" * (section.size - 4)
    program.write_bytes(data)
    with pytest.raises(KernelError, match=r"\.eh_frame is damaged"):
        ehframe.table(Elf.open(str(program)))


def test_without_any(tmp_path: Path) -> None:
    flags = ("-fno-asynchronous-unwind-tables", "-nostdlib", "-static", "-Wl,-e,_start")
    program = compile_program(tmp_path, "program", *flags, source="void _start(void) { for (;;) ; }")
    assert ehframe.table(Elf.open(str(program))) == b""
