"""The reference of the functions, made from the registry: what each is called with, does, and looks like in use."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import indent, wrap

from pytrace.functions.base import REGISTRY, Function

ORDER = (
    "Output",
    "Aggregation",
    "Maps",
    "Process",
    "Probe",
    "Time",
    "Strings",
    "Bytes",
    "Symbols and names",
    "Stacks and symbols",
    "Files and packets",
    "Control",
    "Compile time",
    "Language",
)


def groups() -> list[tuple[str, list[Function]]]:
    """The functions of each group, sorted by name; groups in the order of the reference."""
    return [(g, sorted((f for f in REGISTRY.values() if f.group == g), key=lambda f: f.name)) for g in ORDER]


def notes(f: Function) -> str:
    """What has to be known besides the doc line."""
    said = []
    if f.bare:
        said.append("may be written without parentheses")
    if f.unsafe:
        said.append("needs --unsafe")
    return "; ".join(said)


def markdown() -> str:
    """The page `docs/reference.md`."""
    lines = [
        "# Functions and builtins",
        "",
        "Made from the registry in `pytrace/functions/` by `scripts/gendocs`; change it there.",
        "",
    ]
    for group, functions in groups():
        lines += [f"## {group}", ""]
        for f in functions:
            lines += [f"### {f.name}", "", f"`{f.signature}`", "", f.doc]
            lines += [f"({notes(f)})"] if notes(f) else []
            lines += ["", "```", f.example, "```", ""]
    return "\n".join(lines)


def plain(names: Iterable[str] = ()) -> str:
    """The same for a terminal: everything, or the functions of these names in full. Raises `KeyError` for a name that
    is no function."""
    chosen = [REGISTRY[name] for name in names]
    if chosen:
        return "\n".join(_entry(f) for f in chosen)
    lines = []
    for group, functions in groups():
        lines += [group, *(f"  {f.signature}\n{_filled(f.doc, 6)}" for f in functions), ""]
    return "\n".join(lines)


def _filled(text: str, margin: int) -> str:
    return indent("\n".join(wrap(text, 100 - margin)), " " * margin)


def _entry(f: Function) -> str:
    lines = [f.signature, _filled(f.doc, 4)]
    if notes(f):
        lines.append(_filled(f"({notes(f)})", 4))
    return "\n".join([*lines, f"    {f.example}", ""])
