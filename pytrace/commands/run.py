"""Traces a script until something ends it: what pytrace does when nothing else is asked for. All of it is the Python
API's work."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pytrace.api.compiling import options_of
from pytrace.api.tracing import trace
from pytrace.arguments import UsageError
from pytrace.commands import script
from pytrace.commands.foreground import follow, warner
from pytrace.commands.sink import open_output

if TYPE_CHECKING:
    from pytrace.api.options import CompileOptions
    from pytrace.api.streams import Format
    from pytrace.arguments import Arguments


def run_command(arguments: Arguments) -> int:
    """The exit status. Raises `UsageError`, and what `pytrace.trace` and `Session.follow` raise."""
    name, text = script.read(arguments)
    if text.startswith(script.COMPILED):
        from pytrace.commands.saved import run_saved

        return run_saved(arguments, name, text)
    if arguments.no_features:
        _do_without(arguments.no_features)
    chosen = options(arguments)
    if "help" in arguments.named:
        from pytrace.commands.parameters import show_parameters

        if show_parameters(name, text, arguments.positional, options_of(chosen)):
            return 0
    if arguments.debug:
        from pytrace.commands.stages import show_stages

        show_stages(arguments.debug, name, text, arguments.positional, arguments.named, options_of(chosen))
    if arguments.aot or arguments.emit_elf or arguments.emit_llvm or arguments.only_compile or arguments.time_stages:
        from pytrace.commands.emit import emit

        if emit(arguments, name, text, options_of(chosen)):
            return 0
    session = trace(
        text,
        name=name,
        params=arguments.positional,
        named=arguments.named,
        options=chosen,
        pid=arguments.pid or 0,
        dwarf_pids=arguments.dwarf_pids,
        command=arguments.command,
        output=open_output(arguments.output, arguments.unsafe),
        format=cast("Format", arguments.format),
        on_warning=warner(arguments),
    )
    return follow(arguments, session)


def options(arguments: Arguments) -> CompileOptions:
    """The compiler's options of a command line. A run takes no more programs, and nobody asks for its events' times."""
    return {
        "pid": arguments.pid or 0,
        "unsafe": arguments.unsafe,
        "mode": "test" if arguments.test else "bench" if arguments.bench else "trace",
        "probe_filter": arguments.probe_filter,
        "helper_errors": arguments.helper_errors,
        "timestamps": False,
        "live": False,
        "include_dirs": arguments.include_dirs,
        "includes": arguments.includes,
        "debug_dirs": arguments.debug_dirs,
        "no_features": arguments.no_features,
        "traceable_functions": arguments.traceable_functions,
    }


def _do_without(names: list[str]) -> None:
    from pytrace.kernel import Kernel

    features = Kernel.running().features
    for name in names:
        if name not in features:
            raise UsageError(f"option --no-feature: there is no '{name}', but {', '.join(features)}")
    features.do_without(frozenset(names))
