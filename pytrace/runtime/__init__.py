"""What happens to a Program in a kernel: it is loaded, attached, listened to and taken out again.

`Session` is the door. Nothing here needs the compiler.
"""

from pytrace.runtime.attach import AttachError
from pytrace.runtime.child import Child, ChildError
from pytrace.runtime.loaded import Loaded, MapMismatch
from pytrace.runtime.maps import MapError
from pytrace.runtime.progs import LoadError
from pytrace.runtime.session import Session, SessionError
from pytrace.runtime.symbols import Symbols
from pytrace.runtime.usermaps import ScriptMap
from pytrace.runtime.verifier import VerifierError

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
