"""Runs a program that was compiled before, by `--aot` or `Program.save`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from pytrace.api.tracing import trace
from pytrace.arguments import UsageError
from pytrace.commands.foreground import follow, warner
from pytrace.commands.sink import open_output
from pytrace.serial import BadProgram, load

if TYPE_CHECKING:
    from pytrace.api.streams import Format
    from pytrace.arguments import Arguments

# What is decided when a script is compiled, by the attribute of the option.
_COMPILED_IN = {
    "positional": "parameters",
    "named": "parameters",
    "pid": "-p",
    "test": "--test",
    "bench": "--bench",
    "probe_filter": "--probe-filter",
    "helper_errors": "-k",
    "include_dirs": "-I",
    "includes": "--include",
    "no_features": "--no-feature",
    "traceable_functions": "--traceable-functions",
    "debug": "-d",
    "emit_elf": "--emit-elf",
    "emit_llvm": "--emit-llvm",
    "aot": "--aot",
    "only_compile": "--mode",
    "time_stages": "--mode",
}


def run_saved(arguments: Arguments, name: str, text: str) -> int:
    """The exit status of the program whose file was read as `text`.
    Raises `UsageError` for options that it is too late for, and for a program of another kernel or release."""
    try:
        program = load(text.encode(errors="surrogateescape"))
    except BadProgram as error:
        raise UsageError(f"cannot run '{name}': {error}") from error
    for attribute, option in _COMPILED_IN.items():
        if getattr(arguments, attribute):
            raise UsageError(f"'{name}' is compiled already: {option} must be given when it is")
    if program.kernel != os.uname().release:
        raise UsageError(f"'{name}' was compiled for kernel {program.kernel}; this is {os.uname().release}")
    session = trace(
        program,
        name=program.name,
        dwarf_pids=arguments.dwarf_pids,
        command=arguments.command,
        output=open_output(arguments.output, arguments.unsafe),
        format=cast("Format", arguments.format),
        on_warning=warner(arguments),
    )
    return follow(arguments, session)
