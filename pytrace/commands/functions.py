"""`--help-functions`: the language's functions, each with what it does."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from difflib import get_close_matches


def functions_command(names: Sequence[str] = ()) -> int:
    """Shows every function, or those named with their examples; 1 if one is unknown."""
    from pytrace.functions import REGISTRY
    from pytrace.functions.reference import plain

    wanted = [name.removesuffix("()") for name in names]
    for name in wanted:
        if name not in REGISTRY:
            close = get_close_matches(name, REGISTRY, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            sys.stderr.write(f"ERROR: there is no function {name}{hint}\n")
            return 1
    sys.stdout.write(plain(wanted) + "\n")
    return 0
