"""`--fmt`: a script in its canonical form."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pytrace.commands.script import parsed

if TYPE_CHECKING:
    from pytrace.arguments import Arguments


def format_command(arguments: Arguments) -> int:
    """Writes the script to the standard output; its meaning and its comments are kept. Raises `ScriptError`."""
    from pytrace.syntax import print_script

    sys.stdout.write(print_script(parsed(arguments)))
    return 0
