"""`:save`: a script that does again what was done in a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.repl.compose import compose

if TYPE_CHECKING:
    from pytrace.repl.workspace import Workspace


def script_of(workspace: Workspace) -> str:
    """Definitions, then the statements that changed maps, as a `begin` probe, then the probes that are attached.
    Scripts that were detached stand in comments at the end."""
    made = compose([*workspace.definitions, *(s.script for s in workspace.attached)])
    text = made.whole().text
    if workspace.statements:
        # The order of a session cannot be kept: what was typed between two scripts is done before the first.
        lines = "".join(_indented(s.rstrip().rstrip(";") + ";") for s in workspace.statements)
        text += f"\nbegin {{\n{lines}}}\n"
    for script in workspace.scripts:
        if not script.attachment.attached:
            its = script.text.strip("\n").splitlines()
            text += f"\n// #{script.number}, detached:\n" + "".join(f"// {line}\n" for line in its)
    return "#!/usr/bin/env pytrace\n" + text


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())
