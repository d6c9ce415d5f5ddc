"""`-l` and `-lv`: probes by pattern, the probes of a script, and kernel types (`struct x`, `union x`, `enum x`)."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pytrace.commands.declaration import declaration
from pytrace.diagnostics import Diagnostics
from pytrace.kernel import Kernel, KernelError
from pytrace.probes import ProbeError, Target, describe, expand, list_file, list_probes
from pytrace.probes.binaries import is_elf

if TYPE_CHECKING:
    from pytrace.arguments import Arguments
    from pytrace.syntax import ast

TYPE_WORDS = ("struct", "union", "enum")


def divided(text: str) -> list[str]:
    """The patterns in a word, which commas divide as they do attach points; not those within quotes or parentheses."""
    parts = re.findall(r'(?:"[^"]*"|\([^)]*\)|[^,"(]|[("])+', text)
    return [part.strip() for part in parts] or [""]


def list_command(arguments: Arguments) -> int:
    """Writes what was asked for to the standard output, a probe or type a line. Nothing that matches is not an error;
    a pattern of an unknown kind of probe is."""
    Kernel.running().choose_from(arguments.traceable_functions)
    target = Target(Kernel.running(), arguments.pid or 0, arguments.unsafe)
    if arguments.debug_dirs:
        from pytrace.kernel import debugfile

        debugfile.look_in(arguments.debug_dirs)
    try:
        for line in _lines(arguments, target):
            sys.stdout.write(line + "\n")
    except ProbeError as error:
        raise KernelError(error.message, error.hint) from error
    return 0


def _lines(arguments: Arguments, target: Target) -> Iterator[str]:
    pattern = arguments.script or ""
    if arguments.program is not None or pattern == "-" or (os.path.isfile(pattern) and not is_elf(pattern)):
        yield from _described(_names_of_script(arguments, target), arguments, target)
        return
    for wanted in (p for word in (pattern, *arguments.positional) for p in divided(word)):
        if wanted.split(" ")[0] in TYPE_WORDS:
            yield from _types(wanted, arguments.verbose)
        elif os.path.isfile(wanted):
            yield from _described(list_file(wanted, target), arguments, target)
        else:
            yield from _described(list_probes(wanted, target), arguments, target)


def _described(names: Iterator[str], arguments: Arguments, target: Target) -> Iterator[str]:
    for name in names:
        yield name
        if arguments.verbose:
            yield from ("    " + line for line in describe(name, target))


def _names_of_script(arguments: Arguments, target: Target) -> Iterator[str]:
    from pytrace.commands.script import parsed

    script = parsed(arguments)
    diagnostics = Diagnostics()
    for probe in script.probes:
        for point in probe.points:
            yield from _names(point, target, diagnostics)
    diagnostics.check()


def _names(point: ast.AttachPoint, target: Target, diagnostics: Diagnostics) -> Iterator[str]:
    try:
        for place in expand(point.text, target):
            yield place.name
    except ProbeError as error:
        diagnostics.error(point.span, error.message, error.hint)


def _types(pattern: str, verbose: bool) -> Iterator[str]:
    btf = Kernel.running().btf
    tag, _, glob = pattern.partition(" ")
    glob = glob.strip() or "*"
    for name in sorted(btf.enum_names(glob) if tag == "enum" else btf.struct_names(glob, tag)):
        found = btf.enum(name) if tag == "enum" else btf.struct(name, tag)
        if found is not None:
            yield declaration(found) if verbose else f"{tag} {name}"
