"""The live session on a terminal: `sudo pytrace`. See docs/repl.md.

A `Workspace` is the session and what was entered into it; `Dialogue` answers entries; `Prompt` and `Plain` are the
terminals it is had on. Only `Prompt` needs prompt_toolkit and Pygments.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytrace.kernel.privileges import require

if TYPE_CHECKING:
    from pytrace.api.options import CompileOptions


def run_repl(options: CompileOptions, pid: int = 0, dwarf_pids: Sequence[int] = ()) -> int:
    """A session on the terminal until its user ends it; then everything is detached and the maps are shown. The exit
    status is that of an `exit()` at the prompt. Raises `PrivilegeError`."""
    require()
    from pytrace.repl.dialogue import Dialogue
    from pytrace.repl.screen import Screen
    from pytrace.repl.workspace import Workspace

    workspace = Workspace(Screen(), options, pid, dwarf_pids)
    with workspace:
        dialogue = Dialogue(workspace)
        dialogue.write("pytrace: enter probes, statements or expressions; :help says more, Ctrl-D ends the session\n")
        if _capable():
            from pytrace.repl.prompt import Prompt

            Prompt(dialogue).run()
        else:
            from pytrace.repl.plain import Plain

            Plain(dialogue).run()
    dialogue.write(workspace.screen.take(last=True))
    dialogue.write(workspace.maps_text())
    hidden = workspace.screen.hidden
    if hidden:
        dialogue.write(f"{workspace.screen.written:,} lines were printed, {hidden:,} of them not shown\n")
    if workspace.session.lost:
        dialogue.write(f"{workspace.session.lost:,} events were lost\n")
    return workspace.session.exit_code or 0


def _capable() -> bool:
    """Whether the terminal can do more than print lines."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "")
