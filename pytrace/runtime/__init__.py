"""What happens to a Program in a kernel: it is loaded, attached, listened to and taken out again.

`Session` is the door. Nothing here needs the compiler.
"""

from typing import TYPE_CHECKING

from pytrace.runtime.attach import AttachError
from pytrace.runtime.loaded import Loaded, MapMismatch
from pytrace.runtime.maps import MapError
from pytrace.runtime.progs import LoadError
from pytrace.runtime.session import Session, SessionError
from pytrace.runtime.symbols import Symbols
from pytrace.runtime.usermaps import ScriptMap
from pytrace.runtime.verifier import VerifierError

if TYPE_CHECKING:
    from pytrace.runtime.child import Child as Child
    from pytrace.runtime.child import ChildError as ChildError


def __getattr__(name: str) -> object:
    """What few need is imported when it is asked for."""
    if name not in ("Child", "ChildError"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pytrace.runtime import child

    found: object = getattr(child, name)
    return found


__all__ = [
    "AttachError",
    "Child",
    "ChildError",
    "LoadError",
    "Loaded",
    "MapError",
    "MapMismatch",
    "ScriptMap",
    "Session",
    "SessionError",
    "Symbols",
    "VerifierError",
]
