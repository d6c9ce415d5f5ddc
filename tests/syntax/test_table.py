"""The committed table is the grammar's, and using it loads no parser generator."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from pytrace.syntax import generate, table


def test_the_table_is_current() -> None:
    built = generate.build(Path(table.GRAMMAR).read_text(encoding="utf-8"))
    assert built == Path(table.TABLE).read_text(encoding="utf-8"), "run `python -m pytrace.syntax.generate`"


def test_the_grammar_has_no_conflicts(caplog: pytest.LogCaptureFixture) -> None:
    """lark settles shift/reduce conflicts silently unless it is asked to tell."""
    from lark import Lark, logger

    logger.addHandler(caplog.handler)
    logger.setLevel(logging.DEBUG)
    try:
        grammar = Path(table.GRAMMAR).read_text(encoding="utf-8")
        Lark(grammar, parser="lalr", lexer="basic", start=list(generate.STARTS), maybe_placeholders=True, debug=True)
    finally:
        logger.removeHandler(caplog.handler)
        logger.setLevel(logging.CRITICAL)
    assert "onflict" not in caplog.text


def test_a_stale_table_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = tmp_path / "grammar.lark"
    changed.write_text(Path(table.GRAMMAR).read_text(encoding="utf-8") + "// changed\n", encoding="utf-8")
    monkeypatch.setattr(table, "GRAMMAR", str(changed))
    with pytest.raises(RuntimeError, match=r"pytrace\.syntax\.generate"):
        table.Table()


def test_parsing_imports_no_generator() -> None:
    code = (
        "import sys\n"
        "from pytrace.diagnostics import Source\n"
        "from pytrace.syntax import parse, print_script\n"
        "print_script(parse(Source('-e', 'kprobe:f < @[comm] = count(); >')))\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'lark', 'llvmlite', 'cffi', 'json', 'hashlib'}))"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out.strip() == "[]"
