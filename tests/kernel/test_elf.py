from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from pytrace.kernel import KernelError, debugfile
from pytrace.kernel.elf import Elf
from pytrace.kernel.usdt import usdt_notes
from tests.kernel.programs import compile_program, run

KINDS = {
    "pie": ("-pie", "-fPIE"),
    "fixed": ("-no-pie", "-fno-PIE"),
    "static": ("-static",),
    "static-pie": ("-static-pie", "-fPIE"),
    "library": ("-shared", "-fPIC"),
}


@pytest.fixture(scope="module", params=list(KINDS))
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_program(tmp_path_factory.mktemp("elf"), request.param, *KINDS[request.param])


def functions_by_readelf(path: Path) -> set[tuple[str, int]]:
    rows = [line.split() for line in run("readelf", "-sW", path).splitlines()]
    return {
        (row[7].split("@")[0], int(row[1], 16))
        for row in rows
        if len(row) >= 8 and row[3] in ("FUNC", "IFUNC") and row[6] != "UND" and int(row[1], 16)
    }


def test_functions_are_those_that_readelf_shows(program: Path) -> None:
    elf = Elf.open(str(program))
    assert {(s.name, s.address) for s in elf.functions} == functions_by_readelf(program)
    assert not elf.stripped


def test_a_symbol_is_found_by_name_and_by_address(program: Path) -> None:
    elf = Elf.open(str(program))
    known = dict(functions_by_readelf(program))
    for name in ("shared_name", "hidden", "main"):
        symbol = elf.function(name)
        assert symbol and symbol.address == known[name] and symbol.size > 1
        assert elf.at(symbol.address + symbol.size - 1) == (symbol, symbol.size - 1)
        assert elf.at(symbol.address) == (symbol, 0)
    assert elf.function("data_object") is None and [s.name for s in elf.lookup("data_object")] == ["data_object"]
    assert elf.lookup("ame") == elf.lookup("shared_nam") == []
    assert [s.name for s in elf.match("shared_n*")] == ["shared_name"]


def test_file_offsets_lead_to_the_code(program: Path, tmp_path: Path) -> None:
    elf = Elf.open(str(program))
    symbol = elf.function("hidden")
    assert symbol
    offset = elf.offset_of(symbol.address)
    assert offset is not None and elf.address_of(offset) == symbol.address
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", program, tmp_path / "text"], check=True)
    (text,) = [s for s in elf.sections if s.name == ".text"]
    at = symbol.address - text.address
    assert (
        program.read_bytes()[offset : offset + symbol.size] == (tmp_path / "text").read_bytes()[at : at + symbol.size]
    )
    assert elf.offset_of(1 << 60) is None and elf.address_of(1 << 60) is None


def test_what_kind_of_file_it_is(program: Path) -> None:
    elf = Elf.open(str(program))
    assert elf.is_executable == (program.name in ("fixed", "static"))
    assert elf.is_static == ("static" in program.name or program.name == "library")
    shown = re.search(r"Build ID: (\w+)", run("readelf", "-n", program))
    assert elf.build_id == (shown[1] if shown else "")


def test_usdt_notes_are_those_that_readelf_shows(program: Path) -> None:
    elf = Elf.open(str(program))
    text = run("readelf", "-n", program)
    pattern = r"Provider: (.*)\n\s*Name: (.*)\n\s*Location: (\w+), Base: (\w+), Semaphore: (\w+)\n\s*Arguments:(.*)"
    shown = [
        (provider, name, int(place, 16), int(semaphore, 16), arguments.strip())
        for provider, name, place, _, semaphore, arguments in re.findall(pattern, text)
        if provider == "app"
    ]
    notes = [n for n in usdt_notes(elf) if n.provider == "app"]
    assert [(n.provider, n.name, n.address, n.semaphore, n.arguments) for n in notes] == shown
    assert {n.name for n in notes} >= {"enter", "inner"}
    data = program.read_bytes()
    for note in notes:
        found = elf.at(note.address)
        assert data[note.offset] == 0x90 and found
        if note.name == "inner":
            (counter,) = elf.lookup("sample_semaphore")
            assert note.semaphore == counter.address and elf.address_of(note.semaphore_offset) == counter.address
            assert found[0].name in ("hidden", "main")
        else:
            assert note.semaphore_offset == 0 and note.arguments == "-4@$1 8@-16(%rbp)"


def test_notes_follow_a_base_that_was_moved(tmp_path: Path) -> None:
    program = compile_program(tmp_path, "moved", "-pie", "-fPIE")
    before = usdt_notes(Elf.open(str(program)))
    data = bytearray(program.read_bytes())
    section = Elf.open(str(program)).section(".note.stapsdt")
    assert section
    for at in range(section.offset, section.offset + section.size, 4):
        if data[at : at + 8] == b"stapsdt\0":
            for field in range(3):  # what the notes would say had the file been linked 0x1000 lower
                place = slice(at + 8 + 8 * field, at + 16 + 8 * field)
                value = int.from_bytes(data[place], "little")
                data[place] = (value - 0x1000 if value else 0).to_bytes(8, "little")
    moved = tmp_path / "prelinked"
    moved.write_bytes(data)
    assert usdt_notes(Elf.open(str(moved))) == before != []


def test_a_stripped_program_knows_its_dynamic_symbols_only(tmp_path: Path) -> None:
    library = compile_program(tmp_path, "lib.so", "-shared", "-fPIC")
    run("strip", library)
    elf = Elf.open(str(library))
    assert elf.stripped and elf.function("hidden") is None and elf.function("shared_name") is not None


def split_debug(program: Path, debug: Path) -> int:
    symbol = Elf.open(str(program)).function("hidden")
    assert symbol
    run("objcopy", "--only-keep-debug", program, debug)
    run("strip", program)
    return symbol.address


def test_symbols_come_from_the_debug_file_of_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = compile_program(tmp_path, "by-id", "-Wl,--build-id")
    id = Elf.open(str(program)).build_id
    debug = tmp_path / "debug" / ".build-id" / id[:2] / f"{id[2:]}.debug"
    debug.parent.mkdir(parents=True)
    address = split_debug(program, debug)
    monkeypatch.setattr(debugfile, "directories", [str(tmp_path / "debug")])
    elf = Elf.open(str(program))
    symbol = elf.function("hidden")
    assert symbol and symbol.address == address and not elf.stripped
    assert elf.at(address) == (symbol, 0)


def test_symbols_come_from_the_linked_debug_file_if_it_is_the_right_one(tmp_path: Path) -> None:
    program = compile_program(tmp_path, "by-link", "-Wl,--build-id=none")
    debug = tmp_path / ".debug" / "by-link.debug"
    debug.parent.mkdir()
    address = split_debug(program, debug)
    run("objcopy", f"--add-gnu-debuglink={debug}", program)
    symbol = Elf.open(str(program)).function("hidden")
    assert symbol and symbol.address == address
    debug.write_bytes(debug.read_bytes() + b"\0")
    again = tmp_path / "copy"
    again.write_bytes(program.read_bytes())
    assert Elf.open(str(again)).function("hidden") is None


def test_symbols_come_from_the_small_table_within(tmp_path: Path) -> None:
    program = compile_program(tmp_path, "mini", "-Wl,--build-id=none")
    address = split_debug(program, tmp_path / "mini.debug")
    run("xz", "-k", tmp_path / "mini.debug")
    run("objcopy", "--add-section", f".gnu_debugdata={tmp_path / 'mini.debug.xz'}", program)
    symbol = Elf.open(str(program)).function("hidden")
    assert symbol and symbol.address == address


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    program = compile_program(tmp_path, "again")
    first = Elf.open(str(program))
    assert Elf.open(str(program)) is first
    program.unlink()
    compile_program(tmp_path, "again", source="int other(void) { return 1; } int main(void) { return other(); }")
    assert Elf.open(str(program)).function("other") is not None


def test_what_is_no_elf_is_refused(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n" + " " * 100)
    with pytest.raises(KernelError, match="not an ELF file"):
        Elf.open(str(script))
    with pytest.raises(KernelError, match="No such file"):
        Elf.open(str(tmp_path / "absent"))


def test_a_file_that_is_cut_short_is_an_error_or_knows_less(tmp_path: Path) -> None:
    whole = compile_program(tmp_path, "whole").read_bytes()
    for size in range(0, len(whole), max(1, len(whole) // 200)):
        try:
            elf = Elf(whole[:size], "cut")
            elf.functions, elf.build_id, usdt_notes(elf), elf.at(elf.entry), elf.lookup("main")
        except KernelError:
            continue
