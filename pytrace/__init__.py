"""pytrace: a tracing language and tool for Linux.

    import pytrace

    with pytrace.trace("tracepoint:syscalls:sys_enter_openat { @[comm] = count(); }") as t:
        time.sleep(5)
    print(t.maps["@"].to_dict())

Everything public is in `__all__`, and is imported when it is first asked for: importing this package costs nothing.
"""

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pytrace.api.compiling import compile as compile
    from pytrace.api.engine import SessionOver as SessionOver
    from pytrace.api.engine import Timer as Timer
    from pytrace.api.event import Event as Event
    from pytrace.api.events import Events as Events
    from pytrace.api.events import events as events
    from pytrace.api.maps import Map as Map
    from pytrace.api.options import CompileOptions as CompileOptions
    from pytrace.api.session import Attachment as Attachment
    from pytrace.api.session import Session as Session
    from pytrace.api.tracing import trace as trace
    from pytrace.api.values import StackTrace as StackTrace
    from pytrace.api.warn import LostEventsWarning as LostEventsWarning
    from pytrace.api.warn import ScriptWarning as ScriptWarning
    from pytrace.api.warn import TraceWarning as TraceWarning
    from pytrace.diagnostics import Diagnostic as Diagnostic
    from pytrace.diagnostics import ScriptError as ScriptError
    from pytrace.kernel.errors import KernelError as KernelError
    from pytrace.kernel.privileges import PrivilegeError as PrivilegeError
    from pytrace.output.histogram import Bucket as Bucket
    from pytrace.output.histogram import Histogram as Histogram
    from pytrace.output.resolver import Symbol as Symbol
    from pytrace.output.values import AvgValue as AvgValue
    from pytrace.output.values import RecordValue as RecordValue
    from pytrace.output.values import StatsValue as StatsValue
    from pytrace.output.values import TSeriesValue as TSeriesValue
    from pytrace.program import Program as Program
    from pytrace.serial import BadProgram as BadProgram

_PLACES = {
    "Attachment": "pytrace.api.session",
    "AvgValue": "pytrace.output.values",
    "BadProgram": "pytrace.serial",
    "Bucket": "pytrace.output.histogram",
    "CompileOptions": "pytrace.api.options",
    "Diagnostic": "pytrace.diagnostics",
    "Event": "pytrace.api.event",
    "Events": "pytrace.api.events",
    "Histogram": "pytrace.output.histogram",
    "KernelError": "pytrace.kernel.errors",
    "LostEventsWarning": "pytrace.api.warn",
    "Map": "pytrace.api.maps",
    "PrivilegeError": "pytrace.kernel.privileges",
    "Program": "pytrace.program",
    "RecordValue": "pytrace.output.values",
    "ScriptError": "pytrace.diagnostics",
    "ScriptWarning": "pytrace.api.warn",
    "Session": "pytrace.api.session",
    "SessionOver": "pytrace.api.engine",
    "StackTrace": "pytrace.api.values",
    "StatsValue": "pytrace.output.values",
    "Symbol": "pytrace.output.resolver",
    "TSeriesValue": "pytrace.output.values",
    "Timer": "pytrace.api.engine",
    "TraceWarning": "pytrace.api.warn",
    "compile": "pytrace.api.compiling",
    "events": "pytrace.api.events",
    "trace": "pytrace.api.tracing",
}

__all__ = [  # noqa: RUF022 - what is used most comes first
    "trace",
    "events",
    "compile",
    "Program",
    "Session",
    "Attachment",
    "Map",
    "Event",
    "Events",
    "Histogram",
    "Bucket",
    "AvgValue",
    "StatsValue",
    "TSeriesValue",
    "RecordValue",
    "Symbol",
    "StackTrace",
    "Timer",
    "CompileOptions",
    "ScriptError",
    "Diagnostic",
    "KernelError",
    "PrivilegeError",
    "BadProgram",
    "SessionOver",
    "TraceWarning",
    "ScriptWarning",
    "LostEventsWarning",
]


def __getattr__(name: str) -> object:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'pytrace' has no attribute {name!r}")
    import sys

    __import__(place)
    value: object = getattr(sys.modules[place], name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
