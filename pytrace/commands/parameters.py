"""`pytrace FILE -- --help`: the named parameters of a script."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytrace.options import Options


def show_parameters(name: str, text: str, positional: Sequence[str], options: Options) -> bool:
    """Prints them, and says so; False if the script has a parameter `help` of its own. Raises `ScriptError`."""
    from pytrace.diagnostics import Diagnostics, Source
    from pytrace.kernel import Kernel
    from pytrace.semantics import params
    from pytrace.semantics.cdefs import read_definitions
    from pytrace.semantics.imports import resolve_imports
    from pytrace.syntax import parse

    diagnostics = Diagnostics()
    script = resolve_imports(parse(Source(name, text)), diagnostics)
    names = read_definitions(
        script.c_definitions,
        diagnostics,
        Kernel.running().btf,
        include_files=options.includes,
        include_directories=options.include_dirs,
    )
    diagnostics.check()
    declared = params.options(script, positional, names)
    if any(o.name == "help" for o in declared):
        return False
    sys.stdout.write(params.help_text(declared, name))
    return True
