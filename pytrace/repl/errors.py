"""Mistakes shown where they were made: under the line that was just typed."""

from __future__ import annotations

from pytrace.diagnostics import Diagnostic, ScriptError


def inline(error: ScriptError, typed: str, margin: int, width: int) -> str:
    """What to print below an entry that stands on the screen, its text after a prompt of `margin` columns.

    The underline is put below the place itself where the entry is one line that fits in `width` columns; otherwise
    the line is repeated.
    """
    visible = "\n" not in typed and margin + len(typed) < width and typed.isprintable()
    lines: list[str] = []
    for number, d in enumerate(error.diagnostics):
        if visible and d.span.source.text == typed:
            # Of several, only the first can stand right below it.
            line = [" " * margin + typed] if number else []
            lines += [*line, " " * (margin + d.span.column - 1) + "~" * min(d.span.width, width)]
            lines.append(f"{d.severity.upper()}: {d.message}")
            lines += [f"HINT: {d.hint}"] if d.hint else []
        else:
            lines += _elsewhere(d)
    return "\n".join(lines)


def _elsewhere(d: Diagnostic) -> list[str]:
    place, *rest = d.render().split("\n")
    return [place.removeprefix(f"{d.span.source.name}:") if d.span.source.name == "entry" else place, *rest]
