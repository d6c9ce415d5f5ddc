"""Scripts to programs."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pytrace.options import Options
from pytrace.record import fields

if TYPE_CHECKING:
    from pytrace.api.options import CompileOptions
    from pytrace.api.warn import OnWarning
    from pytrace.program import MapSpec, Program, UserMap

_COMPILER = threading.Lock()
_STATEMENTS = "begin {\n", "\n}"
_EXPRESSION = "begin { print(\n", "\n); }"


def options_of(given: CompileOptions | None, **more: int) -> Options:
    """Raises `TypeError` for an option that there is not."""
    values: dict[str, object] = {"timestamps": True, "live": True, **(given or {}), **more}
    known = {f.name for f in fields(Options)} - {"cpid"}
    if unknown := (given or {}).keys() - known:
        raise TypeError(f"there is no option {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    # Lists of strings, as declared.
    for name in ("include_dirs", "includes", "debug_dirs"):
        if name in values:
            values[name] = tuple(values[name])  # type: ignore[arg-type]
    if "no_features" in values:
        values["no_features"] = frozenset(values["no_features"])  # type: ignore[call-overload]
    if "config" in values:
        values["config"] = tuple(dict(values["config"]).items())  # type: ignore[call-overload]
    return Options(**values)  # type: ignore[arg-type]


def compile(
    text: str,
    *,
    name: str = "<script>",
    params: Sequence[str | int] = (),
    named: Mapping[str, str | bool] | None = None,
    options: CompileOptions | None = None,
    on_warning: OnWarning | None = None,
) -> Program:
    """Compiles a script for the running kernel. Nothing is loaded; root is needed only where the kernel hides facts.

    `params` are `$1`, `$2`, …, `named` the values of `getopt()`, `options` what compiling depends on
    besides. `name` stands for the script in diagnostics. What the compiler finds odd is a `ScriptWarning`, which is
    raised, or given to `on_warning`.

    Raises `ScriptError` with every mistake that was found, `KernelError` where the kernel lacks what is needed.
    """
    return compile_for(
        text, name=name, params=params, named=named, options=options, on_warning=on_warning, stacklevel=3
    )


def compile_for(
    text: str,
    *,
    name: str = "<script>",
    params: Sequence[str | int] = (),
    named: Mapping[str, str | bool] | None = None,
    options: CompileOptions | None = None,
    maps: Sequence[tuple[UserMap, MapSpec]] = (),
    cpid: int = 0,
    on_warning: OnWarning | None = None,
    stacklevel: int = 2,
) -> Program:
    """Like `compile`, for a session that has `maps` already and waits for the command `cpid`."""
    if not isinstance(text, str):
        raise TypeError(f"a script is a str, or a Program, not {type(text).__name__}")
    if isinstance(params, str):
        raise TypeError(f"params is a list, one for each of $1, $2, …: [{params!r}]")
    program = _compiled(text, name, [str(p) for p in params], named, options, maps, cpid)
    _speak(program.warnings, on_warning, stacklevel + 1)
    return program


def _speak(warnings: Sequence[str], on_warning: OnWarning | None, stacklevel: int) -> None:
    if warnings:
        from pytrace.api.warn import ScriptWarning, warn

        for warning in warnings:
            warn(ScriptWarning(warning), on_warning, stacklevel + 1)


def _compiled(
    text: str,
    name: str,
    params: Sequence[str],
    named: Mapping[str, str | bool] | None,
    options: CompileOptions | None,
    maps: Sequence[tuple[UserMap, MapSpec]],
    cpid: int,
    native: bool = True,
) -> Program:
    from pytrace.compilecache import compiled

    chosen = options_of(options, cpid=cpid)

    def compile_it() -> Program:
        from pytrace.compiler import compile_script

        return compile_script(text, name=name, params=params, named=named, options=chosen, maps=maps, native=native)

    # The compiler reads caches that it fills as it goes; two threads at once would gain nothing.
    with _COMPILER:
        if maps or not native:
            return compile_it()
        return compiled(compile_it, text, name=name, params=params, named=named or {}, options=chosen)


def compile_statements(
    text: str,
    *,
    name: str,
    options: CompileOptions | None,
    maps: Sequence[tuple[UserMap, MapSpec]],
    expression: bool = False,
    on_warning: OnWarning | None = None,
    stacklevel: int = 3,
) -> Program:
    """A program that runs statements, or prints an expression, when it is loaded. Diagnostics point into `text`."""
    import re

    from pytrace.diagnostics import Diagnostic, ScriptError, Source, Span
    from pytrace.syntax import parse_expression, parse_statements

    source = Source(name, text)
    # Whatever is wrong with it in itself is said without the words around it.
    if expression:
        parse_expression(source)
    else:
        parse_statements(source)
    before, after = _EXPRESSION if expression else _STATEMENTS

    def own(d: Diagnostic) -> Diagnostic:
        if d.span.source.name != name:
            return d
        start = min(max(d.span.start - len(before), 0), len(text))
        end = min(max(d.span.end - len(before), start), len(text))
        return Diagnostic(Span(source, start, end), d.message, d.hint, d.severity)

    try:
        program = _compiled(before + text + after, name, (), None, options, maps, 0, native=False)
    except ScriptError as error:
        raise ScriptError(map(own, error.diagnostics)) from None
    above = re.compile(rf"^{re.escape(name)}:(\d+):", re.MULTILINE)
    kept = [w for w in program.warnings if "Return value discarded" not in w]
    _speak([above.sub(lambda m: f"{name}:{int(m[1]) - 1}:", w) for w in kept], on_warning, stacklevel + 1)
    return program
