"""A script run for real in this process, and what came of it."""

from __future__ import annotations

from typing import Any

from pytrace.compiler import compile_script
from pytrace.output import AvgValue, Histogram, RecordValue, StatsValue, Text
from pytrace.runtime import Session
from tests.property.evaluator import Machine, Num, Samples, plain


class Collected:
    """A sink that keeps what is written."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes | memoryview) -> None:
        self.data += data

    def isatty(self) -> bool:
        return False

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "surrogateescape")


def run(text: str, native: bool = False) -> tuple[str, str, dict[str, dict[Any, Any]]]:
    """What a script says on standard output and standard error, and the maps it leaves, by name without `@`.

    `ScriptError` if it is refused, `VerifierError` if the kernel refuses what was made of it."""
    out, err = Collected(), Collected()
    program = compile_script(text, native=native)
    with Session(program, output=Text(out, err), announce=False, show_maps=False) as session:
        session.run()
        maps = {name[1:]: {_plain(k): _plain(v) for k, v in m.entries()} for name, m in session.maps.items()}
    return out.text, err.text, maps


def _plain(value: Any) -> Any:
    match value:
        case Histogram():
            bounds = ((*value.bounds(i), count) for i, count in enumerate(value.counts))
            return [b for b in bounds if b[2]]
        case AvgValue():
            return value.average
        case StatsValue():
            return value.count, value.average, value.total
        case RecordValue():
            return tuple((name, _plain(part)) for name, part in value.items())
        case tuple():
            return tuple(map(_plain, value))
    return value


def expected_maps(machine: Machine) -> dict[str, dict[Any, Any]]:
    """The maps that the evaluator ended with, as `run` gives them."""
    return {name: {k: _left(v) for k, v in table.entries.items()} for name, table in machine.tables.items()}


def _left(value: Any) -> Any:
    if isinstance(value, Samples):
        if value.kind in ("hist", "lhist"):
            return value.buckets()
        read = value.read()
        return read.value if isinstance(read, Num) else tuple(part.value for _, part in read.fields)
    return plain(value)
