"""Compiles a script and traces until something ends it: what pytrace does when nothing else is asked for."""

from __future__ import annotations

import select
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pytrace.arguments import UsageError
from pytrace.commands import script
from pytrace.commands.sink import BufferedSink, open_output
from pytrace.kernel.privileges import require
from pytrace.options import Options
from pytrace.program import Attach, Program, TestRun
from pytrace.record import replace

if TYPE_CHECKING:
    from pytrace.arguments import Arguments
    from pytrace.runtime import Child, Session


def run_command(arguments: Arguments) -> int:
    """The exit status. Raises `ScriptError`, `PrivilegeError`, `UsageError`, and what a `Session` raises."""
    name, text = script.read(arguments)
    if arguments.no_features:
        _do_without(arguments.no_features)
    if "help" in arguments.named:
        from pytrace.commands.parameters import show_parameters

        if show_parameters(name, text, arguments.positional, options(arguments, 0)):
            return 0
    if arguments.debug:
        from pytrace.commands.stages import show_stages

        show_stages(arguments.debug, name, text, arguments.positional, arguments.named, options(arguments, 0))
    require()
    with ExitStack() as stack:
        child = None
        if arguments.command is not None:
            from pytrace.runtime import Child

            child = stack.enter_context(Child(arguments.command))
        program = _compiled(arguments, name, text, child.pid if child else 0)
        if not arguments.no_warnings:
            sys.stderr.writelines(f"{warning}\n" for warning in program.warnings)
        return _trace(arguments, program, child)


def _do_without(names: list[str]) -> None:
    from pytrace.kernel import Kernel

    features = Kernel.running().features
    for name in names:
        if name not in features:
            raise UsageError(f"option --no-feature: there is no '{name}', but {', '.join(features)}")
    features.do_without(frozenset(names))


def options(arguments: Arguments, cpid: int) -> Options:
    """The compiler's options of a command line."""
    return Options(
        pid=arguments.pid or 0,
        cpid=cpid,
        unsafe=arguments.unsafe,
        mode="test" if arguments.test else "bench" if arguments.bench else "trace",
        probe_filter=arguments.probe_filter,
        helper_errors=arguments.helper_errors,
        include_dirs=tuple(arguments.include_dirs),
        includes=tuple(arguments.includes),
        debug_dirs=tuple(arguments.debug_dirs),
        no_features=frozenset(arguments.no_features),
    )


def _compiled(arguments: Arguments, name: str, text: str, cpid: int) -> Program:
    from pytrace.compilecache import compiled

    chosen = options(arguments, cpid)
    params, named = arguments.positional, arguments.named

    def compile_it() -> Program:
        from pytrace.compiler import compile_script

        return compile_script(text, name=name, params=params, named=named, options=chosen)

    return compiled(compile_it, text, name=name, params=params, named=named, options=chosen)


def _trace(arguments: Arguments, program: Program, child: Child | None) -> int:
    from pytrace.kernel import Kernel
    from pytrace.output import Json, Text
    from pytrace.runtime import Session, Symbols
    from pytrace.runtime.sinks import FdSink

    fd = open_output(arguments.output)
    sink = FdSink(fd) if arguments.buffering == "none" else BufferedSink(fd)
    symbols = Symbols(Kernel.running())
    config = dict(program.config)
    trailer, warnings = str(config.get("str_trunc_trailer", "..")), not arguments.no_warnings
    renderer: Json | Text
    if arguments.format == "json":
        renderer = Json(sink, FdSink(2), symbols, trailer=trailer, warnings=warnings)
    else:
        percentiles = bool(config.get("percentiles"))
        renderer = Text(sink, FdSink(2), symbols, trailer=trailer, warnings=warnings, percentiles=percentiles)
    if arguments.test or arguments.bench:
        from pytrace.runtime.selftest import run_benchmarks, run_tests

        run = run_tests if arguments.test else run_benchmarks
        status = run(program, renderer, symbols, pid=arguments.pid or 0, child=child)
        if isinstance(sink, BufferedSink):
            sink.flush()
        return status
    session = Session(
        _never_run(program) if arguments.dry_run else program,
        pid=arguments.pid or 0,
        child=child,
        output=renderer,
        symbols=symbols,
        announce=not (arguments.quiet or arguments.dry_run),
        flush=sink.flush if isinstance(sink, BufferedSink) and arguments.buffering == "line" else None,
        output_fd=fd,
    )
    with session:
        if arguments.dry_run:
            session.close()
            return 0
        if arguments.verbose:
            _describe(session)
        status = session.run()
    if isinstance(sink, BufferedSink):
        sink.flush()
    if _reader_is_gone(fd):
        raise BrokenPipeError
    # Only exit() gives a status; how the command of -c ended is its own affair, as in bpftrace.
    return status


def _never_run(program: Program) -> Program:
    """The same with `begin` and `end` loaded but not run, for --dry-run."""
    return replace(program, progs=tuple(replace(p, attach=tuple(map(_idle, p.attach))) for p in program.progs))


def _idle(attach: Attach) -> Attach:
    return TestRun("test", attach.name) if isinstance(attach, TestRun) else attach


def _describe(session: Session) -> None:
    for loaded in session.loaded:
        for probe in loaded.program.probes:
            session.output.message(f"Attached: {probe}")
    if any(loaded.program.native for loaded in session.loaded) and not session.native_in_use:
        session.output.message("Events are formatted by Python: native code is not to be had here")


def _reader_is_gone(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))
