"""Imports: the items of other scripts (and C headers) in front of those of the script that imports them.

`import "x"` names a `.pt` or `.bt` script, a `.h` header, a `.bpf.c` program (where there is a clang), or a directory,
of which every script and header is taken in the order of their names, without going down. A name is looked for beside
the importing file; each file is taken once, which also ends cycles. A file that anybody may write to, or that stands in
such a directory, is refused: a tracer runs as root.

An `import` as a statement may name headers only, and only where the setting `unstable_import_statement` allows it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import Literal

from pytrace.codegen import clang
from pytrace.diagnostics import Diagnostics, ScriptError, Source, Span
from pytrace.record import replace
from pytrace.semantics.hints import nearest
from pytrace.semantics.walk import rewrite
from pytrace.syntax import ast

SCRIPTS = (".pt", ".bt")
HEADERS = (".h",)
PROGRAMS = (".bpf.c",)
MAX_SIZE = 16 << 20
MAX_FILES = 1000
_LIBRARY = "stdlib"
_THEMES = frozenset(
    ("base", "internal", "kfunc", "map", "meta", "process", "stack", "strings", "system", "task", "usdt")
)
"""Parts of bpftrace's library of macros. What they do is built in here, so there is nothing to import."""

Parse = Callable[[Source], ast.Script]


def resolve_imports(
    script: ast.Script,
    diagnostics: Diagnostics,
    *,
    statements: Literal["enable", "warn", "error"] = "error",
    parse: Parse | None = None,
) -> ast.Script:
    """The script with the C definitions and items of everything it imports, theirs first. What is wrong with an import
    becomes a diagnostic; so do the syntax errors of an imported file. `statements` is the setting
    `unstable_import_statement`."""
    if parse is None:
        from pytrace.syntax import parse as parse_script

        parse = parse_script
    importer = _Importer(diagnostics, parse)
    importer.seen.add(os.path.realpath(script.source.name))
    importer.take(script)
    items = tuple(importer.items) + script.items
    script = replace(script, items=tuple(rewrite(i, lambda n: importer.statement(n, statements)) for i in items))
    return replace(
        script,
        c_definitions=tuple(importer.c_definitions) + script.c_definitions,
        imports=(),
    )


def _is_built_in(path: str) -> bool:
    """Whether a path names bpftrace's library, or a part of it: `stdlib`, `stdlib/strings.bt`,
    `stdlib/task/vma.bpf.c`."""
    first, *rest = path.split("/")
    return first == _LIBRARY and (not rest or not rest[0] or rest[0].split(".")[0] in _THEMES)


class _Importer:
    def __init__(self, diagnostics: Diagnostics, parse: Parse) -> None:
        self.diagnostics = diagnostics
        self.parse = parse
        self.seen: set[str] = set()
        self.c_definitions: list[ast.CDefinition] = []
        self.items: list[ast.Item] = []

    def take(self, script: ast.Script) -> None:
        """What `script` imports, depth first: what an imported file imports stands before it."""
        directory = os.path.dirname(script.source.name)
        for node in script.imports:
            self._import(node, directory)

    def statement(self, node: ast.Node, allowed: Literal["enable", "warn", "error"]) -> ast.Node | None:
        """For `rewrite`: an import statement leaves nothing behind where it stood."""
        if not isinstance(node, ast.ImportStmt):
            return None
        message = "an import that is not at the top of the script is an unstable feature"
        hint = "config = { unstable_import_statement = enable } allows it"
        if allowed == "error":
            self.diagnostics.error(node.span, message, hint)
        elif allowed == "warn":
            self.diagnostics.warning(node.span, message, hint)
        if allowed != "error" and not node.path.endswith(HEADERS) and not _is_built_in(node.path):
            self.diagnostics.error(node.span, f"cannot import '{node.path}' here: a statement imports headers only")
        elif allowed != "error":
            self._import(node, os.path.dirname(node.span.source.name))
        return ast.Block((), span=node.span)

    def _import(self, node: ast.Import | ast.ImportStmt, directory: str) -> None:
        if _is_built_in(node.path) and not os.path.exists(os.path.join(directory, node.path)):
            return
        path = os.path.join(directory, node.path)
        if not node.path:
            self.diagnostics.error(node.span, "import needs the name of a file or directory")
        elif "\0" in path or not os.path.exists(path):
            self.diagnostics.error(node.span, f"cannot find '{node.path}' to import", _alike(path))
        elif (open_to_all := _writable_by_all(path)) is not None:
            hint = f"chmod o-w {open_to_all}"
            self.diagnostics.error(
                node.span, f"'{node.path}' is not imported: anybody may write to {open_to_all}", hint
            )
        elif os.path.isdir(path):
            self._directory(node, path)
        else:
            self._file(node, path)

    def _directory(self, node: ast.Import | ast.ImportStmt, path: str) -> None:
        try:
            names = sorted(os.listdir(path))
        except OSError as e:
            self.diagnostics.error(node.span, f"cannot read the directory '{node.path}': {e.strerror}")
            return
        found = [os.path.join(path, n) for n in names if n.endswith((*SCRIPTS, *HEADERS))]
        for name in found:
            if os.path.isfile(name) and _writable_by_all(name) is None:
                self._file(node, name)
            elif os.path.isfile(name):
                self.diagnostics.warning(node.span, f"'{name}' is not imported: anybody may write to it")
        if not found:
            self.diagnostics.warning(node.span, f"there is nothing to import in '{node.path}'")

    def _file(self, node: ast.Import | ast.ImportStmt, path: str) -> None:
        real = os.path.realpath(path)
        if real in self.seen:
            return
        self.seen.add(real)
        if len(self.seen) > MAX_FILES:
            self.diagnostics.error(node.span, f"more than {MAX_FILES} files are imported")
            return
        if path.endswith(HEADERS):
            text = f'#include "{os.path.abspath(path)}"'
            self.c_definitions.append(ast.CDefinition(text, span=Span(Source(node.path, text), 0, len(text))))
        elif path.endswith(SCRIPTS):
            self._script(node, path)
        elif path.endswith(PROGRAMS) and clang.find() is not None:
            self.items.append(ast.CSource(path, span=node.span))
        else:
            reason, hint = _refusal(node.path)
            self.diagnostics.error(node.span, reason, hint)

    def _script(self, node: ast.Import | ast.ImportStmt, path: str) -> None:
        try:
            with open(path, "rb") as file:
                data = file.read(MAX_SIZE)
        except OSError as e:
            self.diagnostics.error(node.span, f"cannot read '{node.path}': {e.strerror}")
            return
        try:
            script = self.parse(Source(path, data.decode("utf-8", "surrogateescape")))
        except ScriptError as e:
            for d in e.diagnostics:
                self.diagnostics.error(d.span, d.message, d.hint)
            return
        if script.config is not None:
            hint = "settings belong to the script that is run"
            self.diagnostics.error(script.config.span, "invalid `config` within import", hint)
        self.take(script)
        self.c_definitions += script.c_definitions
        self.items += script.items


def _refusal(path: str) -> tuple[str, str | None]:
    if path.endswith(PROGRAMS):
        return (
            f"cannot import '{path}': C programs need a C compiler for BPF, and there is no clang on PATH",
            "install clang, or write it as a macro or as `fn name($a : type) : type { … }`",
        )
    if path.endswith(".c"):
        return f"cannot import '{path}': the name of a C program for BPF ends in .bpf.c", None
    if path.endswith((".bpf.o", ".o")):
        return f"cannot import '{path}': compiled objects are not linked in", None
    return f"cannot import '{path}': it is neither a script (.pt, .bt) nor a header (.h) nor a directory", None


def _writable_by_all(path: str) -> str | None:
    """The path itself or the directory it stands in, if anybody may write there; None if not. A sticky directory that
    holds somebody's file is no exception: who may make files there could have made this one."""
    for part in (path, os.path.dirname(os.path.realpath(path)) or "."):
        try:
            mode = os.stat(part).st_mode
        except OSError:
            continue
        if mode & stat.S_IWOTH:
            return part
    return None


def _alike(path: str) -> str | None:
    directory, name = os.path.split(path)
    try:
        names = os.listdir(directory or ".")
    except OSError:
        return f"looked for {os.path.abspath(path)}"
    for suffix in (*SCRIPTS, *HEADERS):
        if name + suffix in names:
            return f"did you mean '{name}{suffix}'?"
    close = nearest(name, names)
    return f"did you mean '{close}'?" if close else f"looked for {os.path.abspath(path)}"
