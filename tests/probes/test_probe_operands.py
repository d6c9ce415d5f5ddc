"""Operands are checked twice: against what the notation means, and against what gcc's assembler does with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytrace.kernel.elf import Elf
from pytrace.probes import UsdtOperand
from pytrace.probes.operands import parse


def x86(text: str) -> UsdtOperand:
    (operand,) = parse(text, "x86_64")
    return operand


# offsets in asm/ptrace.h: bp 32, bx 40, r8 72, ax 80, cx 88, dx 96, si 104, di 112, ip 128, sp 152
@pytest.mark.parametrize(
    ("text", "operand"),
    [
        ("-4@%edi", UsdtOperand(4, True, base=112)),
        ("8@%rsi", UsdtOperand(8, False, base=104)),
        ("1@%al", UsdtOperand(1, False, base=80)),
        ("-1@%dil", UsdtOperand(1, True, base=112)),
        ("2@%r8w", UsdtOperand(2, False, base=72)),
        ("4@%r8d", UsdtOperand(4, False, base=72)),
        ("1@%r8b", UsdtOperand(1, False, base=72)),
        ("2@%cx", UsdtOperand(2, False, base=88)),
        ("%rdx", UsdtOperand(8, False, base=96)),
        ("8@$5", UsdtOperand(8, False, constant=5)),
        ("-4@$-9", UsdtOperand(4, True, constant=-9)),
        ("4@$0x10", UsdtOperand(4, False, constant=16)),
        ("8@(%rbp)", UsdtOperand(8, False, base=32, deref=True)),
        ("-8@-16(%rbp)", UsdtOperand(8, True, base=32, displacement=-16, deref=True)),
        ("4@0x18(%rsp)", UsdtOperand(4, False, base=152, displacement=24, deref=True)),
        ("2@8(%rdi,%rsi,4)", UsdtOperand(2, False, base=112, index=104, scale=4, displacement=8, deref=True)),
        ("2@(%rdi,%rsi)", UsdtOperand(2, False, base=112, index=104, deref=True)),
        ("8@16(,%rbx,8)", UsdtOperand(8, False, index=40, scale=8, displacement=16, deref=True)),
    ],
)
def test_x86(text: str, operand: UsdtOperand) -> None:
    assert x86(text) == operand


# user_pt_regs: x0…x30 at 0…240, sp 248
@pytest.mark.parametrize(
    ("text", "operand"),
    [
        ("8@x0", UsdtOperand(8, False, base=0)),
        ("-4@w19", UsdtOperand(4, True, base=152)),
        ("4@12", UsdtOperand(4, False, constant=12)),
        ("-4@-3", UsdtOperand(4, True, constant=-3)),
        ("4@wzr", UsdtOperand(4, False, constant=0)),
        ("8@sp", UsdtOperand(8, False, base=248)),
        ("-4@[sp, 60]", UsdtOperand(4, True, base=248, displacement=60, deref=True)),
        ("8@[x29, #-8]", UsdtOperand(8, False, base=232, displacement=-8, deref=True)),
        ("8@[x1]", UsdtOperand(8, False, base=8, deref=True)),
        ("8@[x1, x2]", UsdtOperand(8, False, base=8, index=16, deref=True)),
        ("8@[x1, x2, lsl 3]", UsdtOperand(8, False, base=8, index=16, scale=8, deref=True)),
    ],
)
def test_arm(text: str, operand: UsdtOperand) -> None:
    assert parse(text, "aarch64") == [operand]


@pytest.mark.parametrize(
    "text", ["8f@%xmm0", "1@%ah", "4@%nope", "8@8(%nope)", "16@%rax", "8@no_such_symbol(%rip)", "8@"]
)
def test_what_cannot_be_read_stays_in_its_place(text: str) -> None:
    operands = parse(f"4@$1 {text} 4@$3", "x86_64")
    assert [o.constant for o in operands] == [1, None, 3]
    assert (operands[1].base, operands[1].index) == (None, None)


def test_arguments_with_spaces_within() -> None:
    assert len(parse("-4@[sp, 60] 8@[x1, x2, lsl 3] 4@1", "aarch64")) == 3
    assert parse("", "x86_64") == []


PROGRAM = """
int counter = 3;
int main(void) {
    __asm__ volatile(".globl here\\nhere: nop");
    return counter;
}
"""


@pytest.mark.parametrize("flags", [("-pie", "-fPIE"), ("-no-pie", "-fno-pie")])
def test_a_symbol_is_as_far_from_the_probe_as_the_linker_put_it(
    compile_c: Callable[..., Path], flags: tuple[str, ...]
) -> None:
    elf = Elf.open(str(compile_c(PROGRAM, "-O1", *flags)))
    here, counter = elf.lookup("here")[0].address, elf.lookup("counter")[0].address
    for text, deref, add in [
        ("4@counter(%rip)", True, 0),
        ("4@counter+4(%rip)", True, 4),
        ("4@counter", True, 0),
        ("8@$counter", False, 0),
    ]:
        (operand,) = parse(text, "x86_64", elf, here)
        assert (operand.base, operand.deref) == (128, deref)
        assert here + operand.displacement == counter + add
