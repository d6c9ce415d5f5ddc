"""The calling conventions, by the examples that their documents give. On x86-64 a compiler is compared with as well
(tests/live/test_uprobe_arguments.py)."""

from __future__ import annotations

from pytrace.probes import Load, RegsCopy, StackAddress, StackLoad
from pytrace.probes.convention import INTEGER, WORD, Places, Shape, Word
from pytrace.probes.regs import MACHINES

X86, ARM = MACHINES["x86_64"], MACHINES["aarch64"]
FLOAT: Word = "float"
DOUBLE = Shape(8, (FLOAT,))
LONG_DOUBLE = Shape(16, (), 16)
PAIR = Shape(16, (INTEGER, INTEGER), whole=True)
HALF = Shape(16, (FLOAT, INTEGER), whole=True)
LARGE = Shape(24, (), whole=True)
WIDE = Shape(16, (INTEGER, INTEGER), 16, whole=True)
POINTS = Shape(16, (FLOAT, FLOAT), whole=True, alike=True)


def x86(*names: str) -> RegsCopy:
    return RegsCopy(tuple(X86.offsets[name] for name in names))


def arm(*names: str) -> RegsCopy:
    return RegsCopy(tuple(ARM.offsets[name] for name in names))


def test_the_example_of_the_system_v_abi() -> None:
    """func(e, f, structparm s, g, h, ld, m, y, n, i, j, k) of its section on passing arguments, where s has an int, an
    int and a double; the __m256 is left out."""
    integers = [WORD] * 2
    s = Shape(16, (INTEGER, FLOAT), whole=True)
    found = Places(X86).all([*integers, s, WORD, WORD, LONG_DOUBLE, DOUBLE, DOUBLE, WORD, WORD, WORD])
    assert found[:2] == [X86.load("di"), X86.load("si")]
    assert isinstance(found[2], str)
    assert found[3:5] == [X86.load("cx"), X86.load("r8")]
    assert found[5] == StackLoad(8)
    assert isinstance(found[6], str) and isinstance(found[7], str)
    assert found[8:] == [X86.load("r9"), StackLoad(24), StackLoad(32)]


def test_a_struct_is_in_registers_as_a_whole_or_not() -> None:
    found = Places(X86).all([WORD] * 5 + [PAIR, WORD, WORD])
    assert found[5:] == [StackAddress(8), X86.load("r9"), StackLoad(24)]
    assert Places(X86).all([PAIR, WORD, PAIR]) == [x86("di", "si"), X86.load("dx"), x86("cx", "r8")]
    assert Places(X86, hidden=1).all([PAIR]) == [x86("si", "dx")]


def test_memory_is_aligned() -> None:
    assert Places(X86).all([LARGE, WORD, WIDE]) == [StackAddress(8), X86.load("di"), x86("si", "dx")]
    shapes = [WORD] * 6 + [WORD, WIDE, LARGE]
    assert Places(X86).all(shapes)[6:] == [StackLoad(8), StackAddress(24), StackAddress(40)]


def test_too_many_floats_are_in_memory() -> None:
    found: list[Load | str] = Places(X86).all([DOUBLE] * 9 + [HALF])
    assert all(isinstance(load, str) for load in found[:8])
    assert found[8:] == [StackLoad(8), StackAddress(16)]


def test_aarch64() -> None:
    """Structs are in integer registers unless they are floats only; once one did not fit, no later one is."""
    found = Places(ARM).all([HALF, POINTS, WORD])
    assert found[0] == arm("r0", "r1") and isinstance(found[1], str) and found[2] == ARM.load("r2")
    found = Places(ARM).all([WORD] * 7 + [PAIR, WORD])
    assert found[7:] == [StackAddress(0), StackLoad(16)]
