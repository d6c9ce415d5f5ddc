"""Imports from real files: order, once each, relative names, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from pytrace.diagnostics import Diagnostics, Source
from pytrace.semantics.cdefs import read_definitions
from pytrace.semantics.imports import resolve_imports
from pytrace.syntax import ast, parse


@pytest.fixture
def files(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.parent.chmod(0o755)
    path.write_text(text)
    path.chmod(0o644)


def resolved(
    files: Path, text: str, statements: Literal["enable", "warn", "error"] = "error"
) -> tuple[ast.Script, list[str]]:
    found = Diagnostics()
    source = Source(str(files / "main.pt"), text)
    script = resolve_imports(parse(source), found, statements=statements)
    assert script.imports == ()
    return script, [f"{d.severity}: {d.message}" for d in found]


def names(script: ast.Script) -> list[str]:
    return [i.name if isinstance(i, ast.Macro) else "probe" for i in script.items]


def test_imported_items_come_first_and_once(files: Path) -> None:
    write(files / "a.bt", "macro one() { 1 } begin { }")
    write(files / "b.pt", 'import "a.bt"; macro two() { 2 }')
    script, messages = resolved(files, 'import "b.pt"; import "./a.bt"; import "a.bt"; begin { one; }')
    assert messages == []
    assert names(script) == ["one", "probe", "two", "probe"]


def test_names_are_relative_to_the_importing_file(files: Path) -> None:
    write(files / "sub" / "c.pt", 'import "d.pt"; import "../up.pt"; macro c() { 1 }')
    write(files / "sub" / "d.pt", "macro d() { 1 }")
    write(files / "up.pt", "macro up() { 1 }")
    script, messages = resolved(files, f'import "sub/c.pt"; import "{files}/up.pt"; begin {{ }}')
    assert messages == []
    assert names(script) == ["d", "up", "c", "probe"]


def test_cycles_end(files: Path) -> None:
    write(files / "x.pt", 'import "y.pt"; macro x() { 1 }')
    write(files / "y.pt", 'import "x.pt"; import "main.pt"; macro y() { 1 }')
    write(files / "main.pt", "never read")
    script, messages = resolved(files, 'import "x.pt"; import "main.pt"; begin { }')
    assert messages == []
    assert names(script) == ["y", "x", "probe"]


def test_a_directory_is_not_descended(files: Path) -> None:
    write(files / "lib" / "2.bt", "macro second() { 1 }")
    write(files / "lib" / "1.pt", "macro first() { 1 }")
    write(files / "lib" / "notes.txt", "garbage(")
    (files / "lib" / "deep").mkdir()
    (files / "lib" / "deep" / "3.pt").write_text("macro third() { 1 }")
    script, messages = resolved(files, 'import "lib"; begin { }')
    assert messages == []
    assert names(script) == ["first", "second", "probe"]
    (files / "empty").mkdir(0o755)
    assert resolved(files, 'import "empty"; begin { }')[1] == ["warning: there is nothing to import in 'empty'"]


def test_headers_become_c_definitions(files: Path) -> None:
    write(files / "h.h", "#define HH 7\nstruct hh { int a, b; };")
    write(files / "a.pt", '#include "h.h"\n#define TWICE (HH * 2)\nbegin { }')
    script, messages = resolved(files, 'import "a.pt"; import "h.h"; begin { }')
    assert messages == []
    found = Diagnostics()
    env = read_definitions(script.c_definitions, found)
    assert list(found) == []
    assert (env.constant("HH") or ("", 0))[0] == 7
    assert (env.constant("TWICE") or ("", 0))[0] == 14
    struct = env.struct("struct", "hh")
    assert struct is not None
    assert struct.size == 8


def test_what_anybody_may_write_is_refused(files: Path) -> None:
    write(files / "file.pt", "macro m() { 1 }")
    (files / "file.pt").chmod(0o666)
    write(files / "open" / "x.pt", "macro x() { 1 }")
    (files / "open").chmod(0o777)
    write(files / "mixed" / "good.pt", "macro good() { 1 }")
    write(files / "mixed" / "bad.pt", "macro bad() { 1 }")
    (files / "mixed" / "bad.pt").chmod(0o646)
    text = 'import "file.pt"; import "open"; import "open/x.pt"; import "mixed"; begin { }'
    script, messages = resolved(files, text)
    assert messages == [
        f"error: 'file.pt' is not imported: anybody may write to {files}/file.pt",
        f"error: 'open' is not imported: anybody may write to {files}/open",
        f"error: 'open/x.pt' is not imported: anybody may write to {files}/open",
        f"warning: '{files}/mixed/bad.pt' is not imported: anybody may write to it",
    ]
    assert names(script) == ["good", "probe"]


def test_a_link_does_not_hide_where_a_file_stands(files: Path) -> None:
    write(files / "open" / "x.pt", "macro x() { 1 }")
    (files / "open").chmod(0o777)
    (files / "link.pt").symlink_to(files / "open" / "x.pt")
    assert resolved(files, 'import "link.pt"; begin { }')[1] == [
        f"error: 'link.pt' is not imported: anybody may write to {files}/open"
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "p.bpf.c",
            "error: cannot import 'p.bpf.c': C programs need a C compiler for BPF, and there is no clang on PATH",
        ),
        ("p.c", "error: cannot import 'p.c': the name of a C program for BPF ends in .bpf.c"),
        ("p.bpf.o", "error: cannot import 'p.bpf.o': compiled objects are not linked in"),
        (
            "t.txt",
            "error: cannot import 't.txt': it is neither a script (.pt, .bt) nor a header (.h) nor a directory",
        ),
    ],
)
def test_other_files_are_refused(files: Path, name: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(files))
    write(files / name, "int x;")
    assert resolved(files, f'import "{name}"; begin {{ }}')[1] == [message]


def test_mistakes_are_shown_where_they_are(files: Path) -> None:
    write(files / "bad.pt", "begin { print(; }")
    write(files / "settings.pt", "config = { max_strlen = 5 } macro m() { 1 }")
    write(files / "library.pt", "")
    found = Diagnostics()
    text = 'import "bad.pt"; import "settings.pt"; import "libary.pt"; import "library"; begin { }'
    resolve_imports(parse(Source(str(files / "main.pt"), text)), found)
    places = [(Path(d.span.source.name).name, d.span.line, d.hint) for d in found]
    assert places[0][:2] == ("bad.pt", 1)
    assert places[-3:] == [
        ("settings.pt", 1, "settings belong to the script that is run"),
        ("main.pt", 1, "did you mean 'library.pt'?"),
        ("main.pt", 1, "did you mean 'library.pt'?"),
    ]


def test_the_library_needs_no_file(files: Path) -> None:
    assert resolved(files, 'import "stdlib"; begin { }')[1] == []


def test_import_statements(files: Path) -> None:
    write(files / "h.h", "#define HH 7")
    text = 'begin { import "h.h"; print(HH); }'
    plain = parse(Source("plain", "begin { { } print(HH); }")).items
    unstable = "an import that is not at the top of the script is an unstable feature"
    assert resolved(files, text)[1] == [f"error: {unstable}"]
    script, messages = resolved(files, text, "warn")
    assert (script.items, messages) == (plain, [f"warning: {unstable}"])
    script, messages = resolved(files, text, "enable")
    assert (script.items, messages) == (plain, [])
    assert len(script.c_definitions) == 1
    assert resolved(files, 'begin { import "x.pt"; }', "enable")[1] == [
        "error: cannot import 'x.pt' here: a statement imports headers only"
    ]
