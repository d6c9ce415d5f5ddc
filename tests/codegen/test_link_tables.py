"""What LLVM puts beside the code: tables become maps of their own."""

from __future__ import annotations

from pytrace.compiler import compile_script

SCRIPT = "begin { @v = 5; let $x : int8 = (int8)@v; for ($i : 0..1) { $x += 0; } $x /= $x + $x & 2 + 1; print($x); }"


def test_a_table_is_a_read_only_map_and_no_code() -> None:
    """A division by a power of two that is known only at run time is a shift by a number that LLVM looks up."""
    program = compile_script(SCRIPT)
    (table,) = [m for m in program.maps if m.name.startswith(".rodata")]
    assert table.frozen
    assert sorted(table.data) == list(range(64))
    (prog,) = program.progs
    assert [r.value for r in prog.relocs if r.map == table.name] == [True]
    assert table.data not in prog.insns
