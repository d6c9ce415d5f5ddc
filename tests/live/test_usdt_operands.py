"""Arguments of static probes in every kind of place that an assembler can write, of each size and sign. The program has
registers and memory filled with known bytes, and prints by C's own conversions what each argument has to be."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Runner

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="operands of x86-64")

NOTE = r"""
#include <stdio.h>
__asm__(".section .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n.weak _.stapsdt.base\n"
        ".hidden _.stapsdt.base\n_.stapsdt.base: .space 1\n.size _.stapsdt.base,1\n.previous\n");
#define NOTE(name, args) "990: nop\n.pushsection .note.stapsdt,\"?\",\"note\"\n.balign 4\n" \
    ".4byte 992f-991f,994f-993f,3\n991: .asciz \"stapsdt\"\n992: .balign 4\n993: .8byte 990b\n" \
    ".8byte _.stapsdt.base\n.8byte 0\n.asciz \"app\"\n.asciz \"" name "\"\n.asciz \"" args "\"\n994: .balign 4\n" \
    ".popsection\n"
#define RAX 0x8182838485868788ull
#define RBX 0x9192939495969798ull
#define RSI 0xa1a2a3a4a5a6a7a8ull
#define R8 0xf1f2f3f4f5f6f7f8ull
unsigned char memory[64];
#define AT(type, offset) (*(type *)(memory + (offset)))
#define HOLD(name, args) __asm__ volatile( \
    "movabs $0x8182838485868788, %%rax; movabs $0x9192939495969798, %%rbx; movabs $0xa1a2a3a4a5a6a7a8, %%rsi\n" \
    "movabs $0xf1f2f3f4f5f6f7f8, %%r8; lea memory(%%rip), %%rcx; mov $3, %%r11; mov $-5, %%rdx\n" NOTE(name, args) \
    ::: "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r11")
"""
TYPES = {1: "char", 2: "short", 4: "int", 8: "long"}
REGISTERS = {
    ("al", 1): "RAX",
    ("ah", 1): "(RAX >> 8)",
    ("bh", 1): "(RBX >> 8)",
    ("ax", 2): "RAX",
    ("eax", 4): "RAX",
    ("rax", 8): "RAX",
    ("sil", 1): "RSI",
    ("si", 2): "RSI",
    ("esi", 4): "RSI",
    ("r8b", 1): "R8",
    ("r8w", 2): "R8",
    ("r8d", 4): "R8",
    ("r8", 8): "R8",
}
PLACES = {
    "(%rcx)": "0",
    "5(%rcx)": "5",
    "0x10(%rcx)": "16",
    "010(%rcx)": "8",
    "8+4-1(%rcx)": "11",
    "(%rcx,%r11)": "3",
    "(%rcx, %r11, 4)": "12",
    "6(%rcx,%r11,8)": "30",
    "20(%rcx,%rdx,2)": "10",
    "memory(%rip)": "0",
    "memory+9(%rip)": "9",
    "memory": "0",
}
FIXED_PLACES = {"memory(,%r11,4)": "12", "memory+2(%r11)": "5", "memory-1(%r11,%r11,8)": "26"}
CONSTANTS = ("0", "5", "010", "0x7f", "255", "-1", "-202182160", "4294967295", "0x8000000000000000", "-9")


def cases(fixed: bool) -> list[tuple[str, str]]:
    """Operands, and the C expressions of their values."""
    found = []
    for sign in ("", "-"):
        for (register, size), value in REGISTERS.items():
            found.append((f"{sign}{size}@%{register}", (sign, size, value)))
        for size in TYPES:
            for place, offset in {**PLACES, **(FIXED_PLACES if fixed else {})}.items():
                found.append((f"{sign}{size}@{place}", (sign, size, f"AT(unsigned long, {offset})")))
            found += [(f"{sign}{size}@${n}", (sign, size, f"{n}ull")) for n in CONSTANTS]
    found += [("%rbx", ("", 8, "RBX")), ("(%rcx)", ("", 8, "AT(unsigned long, 0)")), ("%r8d", ("", 4, "R8"))]
    found.append(("8@$memory+3", ("", 8, "(memory + 3)")))
    return [(text, f"({'' if s else 'unsigned '}{TYPES[n]})(unsigned long){v}") for text, (s, n, v) in found]


@pytest.mark.parametrize("flags", [("-no-pie", "-fno-pie"), ("-pie", "-fPIE")], ids=["fixed", "pie"])
def test_operands_of_every_size_and_sign(
    pytrace: Runner, compile_c: Callable[..., Path], flags: tuple[str, ...]
) -> None:
    operands = cases(fixed="-no-pie" in flags)
    groups = [operands[i : i + 12] for i in range(0, len(operands), 12)]
    holds = [
        f'    HOLD("p{n}", "{" ".join(text for text, _ in group)}");\n'.replace("%", "%%")
        + "".join(f'    printf("%lu\\n", (unsigned long)(long){value});\n' for _, value in group)
        for n, group in enumerate(groups)
    ]
    fill = "    for (int i = 0; i < 64; i++) memory[i] = 0x79 + 5 * i;\n"
    source = f"{NOTE}int main(void) {{\n{fill}{''.join(holds)}    return 0;\n}}\n"
    program = compile_c(source, "-O1", *flags)
    script = "".join(
        f"usdt:{program}:app:p{n} {{ {''.join(f'print(arg{i}); ' for i in range(len(group)))}}} "
        for n, group in enumerate(groups)
    )
    result = pytrace("-q", "-o", f"{program}.traced", "-e", script, "-c", str(program))
    assert result.status == 0, result.stderr
    traced = Path(f"{program}.traced").read_text().split()
    texts = [text for text, _ in operands]
    assert list(zip(texts, traced, strict=True)) == list(zip(texts, result.stdout.split(), strict=True))


def test_what_cannot_be_read_is_refused_by_name(pytrace: Runner, compile_c: Callable[..., Path]) -> None:
    """The probe's other arguments can be read."""
    operands = "8f@%%xmm0 8@%%fs:0x28 4@nothing(%%rip) -1@%%ah"
    program = compile_c(f'{NOTE}int main(void) {{ HOLD("odd", "{operands}"); return 0; }}', "-O1")
    for number, why in enumerate(("floating-point", "segment register", "nothing")):
        result = pytrace("-e", f"usdt:{program}:odd {{ print(arg{number}); }}", "-c", str(program))
        assert result.status == 1
        assert f"arg{number} of usdt:{program}:app:odd cannot be read" in result.stderr
        assert why in result.stderr
    result = pytrace("-q", "-e", f"usdt:{program}:odd {{ print((int8)arg3); }}", "-c", str(program))
    assert result.stdout.split() == [str(0x87 - 256)]
