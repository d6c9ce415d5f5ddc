"""Everything left of the wall, in order: text → AST → typed script → LLVM IR → `Program`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytrace.codegen import bpf
from pytrace.codegen.unit import Unit
from pytrace.codegen.user import compile_user
from pytrace.diagnostics import Diagnostics, Source
from pytrace.kernel import Kernel
from pytrace.options import Options
from pytrace.program import MapSpec, Program, UserMap
from pytrace.record import record, replace
from pytrace.recursion import deep
from pytrace.semantics import typed
from pytrace.semantics.cdefs import expand_defines, read_definitions
from pytrace.semantics.check import check
from pytrace.semantics.config import configure
from pytrace.semantics.params import substitute
from pytrace.syntax import ast, parse


@record
class Stages:
    """What each stage made, for `-d`."""

    script: ast.Script
    typed: typed.Script
    unit: Unit
    warnings: tuple[str, ...]


@deep()
def analyse(
    text: str,
    *,
    name: str = "-e",
    params: Sequence[str] = (),
    named: Mapping[str, str | bool] | None = None,
    options: Options | None = None,
    kernel: Kernel | None = None,
    maps: Sequence[tuple[UserMap, MapSpec]] = (),
) -> Stages:
    """All stages but the last. Raises `ScriptError` with every mistake that was found."""
    options = options or Options()
    if options.debug_dirs:
        from pytrace.kernel import debugfile

        debugfile.look_in(options.debug_dirs)
    kernel = kernel or Kernel.running()
    kernel.choose_from(options.traceable_functions)
    diagnostics = Diagnostics()
    script = parse(Source(name, text))
    config = configure(script.config, diagnostics, options=dict(options.config))
    if script.imports or config.unstable_import_statement != "error":
        from pytrace.semantics.imports import resolve_imports

        script = resolve_imports(script, diagnostics, statements=config.unstable_import_statement)
        diagnostics.check()  # what is missing now would be said to be unknown all over
    names = read_definitions(
        script.c_definitions,
        diagnostics,
        kernel.btf,
        include_files=options.includes,
        include_directories=options.include_dirs,
    )
    script = substitute(script, params, named or {}, diagnostics, names)
    foreign = None
    if any(isinstance(i, ast.CSource) for i in script.items):
        from pytrace.semantics.foreign import foreign_functions

        foreign = foreign_functions(script, options.include_dirs, diagnostics)
    texts = {text, *(i.span.source.text for i in script.items if i.span.source is not script.source)}
    macros = frozenset(i.name for i in script.items if isinstance(i, ast.Macro))
    if macros:
        from pytrace.semantics.macros import expand_macros

        script = expand_macros(script, diagnostics)
    script = expand_defines(script, names)
    if any("__builtin_" in written for written in texts):
        from pytrace.semantics.builtins import rename_builtins

        script = rename_builtins(script)
    checked = check(script, kernel, options, config, names, diagnostics, maps, macros, foreign)
    unit = bpf.build(checked, script.source, kernel, options, config)
    return Stages(script, checked, unit, tuple(w.render() for w in diagnostics.warnings))


@deep()
def compile_script(
    text: str,
    *,
    name: str = "-e",
    params: Sequence[str] = (),
    named: Mapping[str, str | bool] | None = None,
    options: Options | None = None,
    kernel: Kernel | None = None,
    maps: Sequence[tuple[UserMap, MapSpec]] = (),
    native: bool = True,
) -> Program:
    """The Program of a script for a kernel (the running one by default), with native code of its user half if `native`.
    `maps` are the maps, by name and layout, that the session it is for has already: they are used as they are.

    Raises `ScriptError` with every mistake that was found; its warnings are in the Program.
    """
    stages = analyse(text, name=name, params=params, named=named, options=options, kernel=kernel, maps=maps)
    program = bpf.finish(stages.unit, name, text, stages.warnings)
    if native:
        program = replace(program, native=compile_user(program.events, program.timestamps))
    return program
