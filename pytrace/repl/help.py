"""The texts of `:help`, made from the registries of functions, probes and commands."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytrace.functions import REGISTRY

if TYPE_CHECKING:
    from pytrace.repl.commands import Command

_INTRODUCTION = """\
Enter probes and they are attached; enter statements and they run; enter an expression and its value is shown.

  tracepoint:syscalls:sys_enter_openat { @[comm] = count(); }
  print(@)
  @ratio = 100; @ratio * 2

Maps (@name) belong to the session: every script and statement sees the same ones. Variables ($name) last for one entry.
"""
_KEYS = """\
Tab completes probes, arguments, members, maps and functions. Alt-Enter begins a new line. Ctrl-C drops what is being
typed, Ctrl-R searches the history, Ctrl-D ends the session."""


def overview(commands: Mapping[str, Command]) -> str:
    """Returns the list of all commands, functions by group, and keys."""
    lines = [_INTRODUCTION]
    lines += [f"  {_usage(c):<18} {c.doc}" for c in commands.values()]
    lines.append("")
    groups: dict[str, list[str]] = {}
    for function in REGISTRY.values():
        groups.setdefault(function.group, []).append(function.name)
    for group, names in groups.items():
        lines += textwrap.wrap(
            f"{group}: {' '.join(sorted(names))}", 100, initial_indent="  ", subsequent_indent="    "
        )
    return "\n".join([*lines, "", _KEYS])


def _usage(c: Command) -> str:
    return f":{c.name} {c.argument}".rstrip()


def topic(name: str, commands: Mapping[str, Command]) -> str | None:
    """Returns the description of a function, a command or a kind of probe, or None if there is none of that name."""
    from pytrace.probes import ProbeError, provider

    if (function := REGISTRY.get(name.removesuffix("()"))) is not None:
        lines = [function.signature, *textwrap.wrap(function.doc, 100, initial_indent="  ", subsequent_indent="  ")]
        lines += ["", f"  {function.example}"] if function.example else []
        return "\n".join([*lines, "  Needs --unsafe."] if function.unsafe else lines)
    if (command := commands.get(name.removeprefix(":"))) is not None:
        return f"{_usage(command)}\n  {command.doc}"
    try:
        found = provider(name.partition(":")[0])
    except ProbeError:
        return None
    return (sys.modules[f"pytrace.probes.{found.name}"].__doc__ or found.doc).strip()
