"""Operands are checked twice: against what the notation means, and against what gcc's assembler does with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytrace.kernel.elf import Elf
from pytrace.probes import UsdtOperand
from pytrace.probes.operands import parse, split


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
        ("-1@%ah", UsdtOperand(1, True, base=80, shift=8)),
        ("%ebx", UsdtOperand(4, False, base=40)),
        ("8@%ebx", UsdtOperand(4, False, base=40)),
        ("4@$010", UsdtOperand(4, False, constant=8)),
        ("4@$-202182160", UsdtOperand(4, False, constant=4092785136)),
        ("-4@$4294967295", UsdtOperand(4, True, constant=-1)),
        ("-1@$0x1ff", UsdtOperand(1, True, constant=-1)),
        ("8@$-1", UsdtOperand(8, False, constant=(1 << 64) - 1)),
        ("4@8+4-2(%rax)", UsdtOperand(4, False, base=80, displacement=10, deref=True)),
        ("-4@-4(%rbp, %rax, 8)", UsdtOperand(4, True, base=32, index=80, scale=8, displacement=-4, deref=True)),
        ("4@0x1000", UsdtOperand(4, False, displacement=4096, deref=True)),
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
        ("4@#-3", UsdtOperand(4, False, constant=(1 << 32) - 3)),
        ("8@w3", UsdtOperand(4, False, base=24)),
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
    ("text", "why"),
    [
        ("8f@%xmm0", "floating-point"),
        ("8f@8(%rbp)", "floating-point"),
        ("8@%xmm0", "not saved"),
        ("4@%nope", "not saved"),
        ("8@8(%nope)", "made of %nope"),
        ("4@(%eax)", "made of %eax"),
        ("8@8(%rax,%rsp)", "form"),
        ("16@%rax", "16 bytes"),
        ("3@%rax", "3 bytes"),
        ("8@%fs:0x28", "segment"),
        ("8@%gs:(%rax)", "segment"),
        ("8@no_such_symbol(%rip)", "no_such_symbol"),
        ("8@no_such_symbol(%rax)", "no_such_symbol"),
        ("8@x@GOTPCREL(%rip)", "GOTPCREL"),
        ("8@4(%rip)", "not known"),
        ("8@$09", "octal"),
        ("8@$", "missing"),
        ("8@", "missing"),
    ],
)
def test_what_cannot_be_read_stays_in_its_place_and_says_why(text: str, why: str) -> None:
    operands = parse(f"4@$1 {text} 4@$3" if text != "8@" else text, "x86_64")
    assert why in operands[len(operands) // 2].unreadable
    assert text in operands[len(operands) // 2].unreadable
    if len(operands) > 1:
        assert [o.constant for o in operands] == [1, None, 3]


@pytest.mark.parametrize("text", ["8@d0", "8@s3", "8@v2.d[0]", "8@q31", "8@[w1]", "8@[x1, w2, sxtw 2]", "8@[x0], 8"])
def test_what_cannot_be_read_on_arm(text: str) -> None:
    assert [bool(o.unreadable) for o in parse(text, "aarch64")] == [True]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("-4@-4(%rbp, %rax, 8) 8@%rax", ["-4@-4(%rbp, %rax, 8)", "8@%rax"]),
        ("%rdi %rsi (%rax)  -8(%rbp)", ["%rdi", "%rsi", "(%rax)", "-8(%rbp)"]),
        ("8@%rax %rdi\t4@$5", ["8@%rax", "%rdi", "4@$5"]),
        ("4@8 (%rax) 4@ %ebx", ["4@8(%rax)", "4@%ebx"]),
        ("8@x+8 (%rip) -4@$-3", ["8@x+8(%rip)", "-4@$-3"]),
        ("-4@[sp, 60] 8@[x1, x2, lsl 3] -4@5", ["-4@[sp, 60]", "8@[x1, x2, lsl 3]", "-4@5"]),
        ("", []),
    ],
)
def test_operands_are_told_apart(text: str, words: list[str]) -> None:
    assert split(text) == words


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
