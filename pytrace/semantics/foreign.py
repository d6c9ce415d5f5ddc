"""Functions in C: what the `.bpf.c` programs of a script's imports define, as functions that it can call."""

from __future__ import annotations

from collections.abc import Sequence

from pytrace.codegen import clang
from pytrace.diagnostics import Diagnostics
from pytrace.semantics import typed
from pytrace.syntax import ast


def foreign_functions(
    script: ast.Script, include_directories: Sequence[str], diagnostics: Diagnostics
) -> dict[str, typed.SubprogramSymbol]:
    """By their names. What clang has to say of a program becomes a diagnostic at its import."""
    found: dict[str, typed.SubprogramSymbol] = {}
    for item in script.items:
        if not isinstance(item, ast.CSource):
            continue
        compiler = clang.find()
        try:
            if compiler is None:
                raise clang.ClangError("clang is gone")
            functions, other = clang.compile_c(compiler, item.path, include_directories)
        except (OSError, clang.ClangError) as e:
            diagnostics.error(item.span, f"cannot import '{item.path}'", str(e))
            continue
        for name in other:
            text = f"{name}() of '{item.path}' cannot be called: it takes or returns what is no integer or pointer"
            diagnostics.warning(item.span, text)
        for function in functions:
            if function.name in found:
                diagnostics.error(item.span, f"Redefinition of function: {function.name}", f"in '{item.path}'")
            params = tuple(typed.VarSymbol(name, kind) for name, kind in function.params)
            found[function.name] = typed.SubprogramSymbol(
                function.name, params, function.returns, item.span, foreign=function
            )
    diagnostics.check()  # what calls them would only be said to be unknown
    return found
