"""A program that the kernel refuses: what is said about it, short and long."""

from __future__ import annotations

import struct

import pytest

from pytrace.program import TestRun as Run
from pytrace.runtime import LoadError, VerifierError
from tests.asm import Asm, prog, program
from tests.live.runtime.conftest import Bench

LINE = "$x = *ctx;"


def btf(strings: list[str]) -> tuple[bytes, dict[str, int]]:
    """BTF with `int` (1), its function type with one argument `ctx` (2) and a function `main` of that type (3)."""
    table, where = b"\0", {}
    for text in ["int", "ctx", "main", *strings]:
        where[text] = len(table)
        table += text.encode() + b"\0"
    types = struct.pack("=IIII", where["int"], 1 << 24, 4, 1 << 24 | 32)
    types += struct.pack("=IIIII", 0, 13 << 24 | 1, 1, where["ctx"], 1)
    types += struct.pack("=III", where["main"], 12 << 24, 2)
    header = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(table))
    return header + types + table, where


def refused(asm: Asm) -> VerifierError:
    data, where = btf(["script.pt", LINE, "other"])
    lines = struct.pack("=IIII", 0, where["script.pt"], where["other"], 1 << 10 | 1)
    lines += struct.pack("=IIII", 1, where["script.pt"], where[LINE], 3 << 10 | 8)
    spec = prog(asm, Run("begin"), func_info=struct.pack("=II", 0, 3), line_info=lines, name="main")
    with pytest.raises(VerifierError) as caught:
        Bench().session(program(spec, btf=data)).__enter__()
    return caught.value


def test_the_line_that_matters_and_where_it_came_from() -> None:
    error = refused(Asm().mov(2, 0).load(0, 2, 0).exit())
    assert error.location == ("script.pt", 3, 8)
    assert error.complaint.startswith("R2 invalid mem access ")  # 'inv' before 5.18, then 'scalar'
    assert str(error) == f"script.pt:3:8: the kernel refuses main: {error.complaint}"
    assert LINE in error.log
    assert "processed" in error.log


def test_an_endless_loop() -> None:
    error = refused(Asm().mov(2, 0).label("again").jump_eq(2, 0, "again").exit())
    assert "loop" in error.complaint


def test_without_lines_there_is_no_place() -> None:
    with pytest.raises(VerifierError) as caught:
        Bench().session(program(prog(Asm().mov(2, 0).load(0, 2, 0).exit(), Run("begin")))).__enter__()
    assert caught.value.location is None
    assert str(caught.value).startswith("the kernel refuses test: R2 invalid mem access ")


def test_btf_that_is_none() -> None:
    with pytest.raises(LoadError, match="refuses the program's BTF"):
        Bench().session(program(prog(Asm().exit(), Run("begin")), btf=bytes(64))).__enter__()
