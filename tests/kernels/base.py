"""What a case is, and what it is given to work with."""

from __future__ import annotations

import re
from collections.abc import Callable

from pytrace.compiler import compile_script
from pytrace.kernel import Kernel
from pytrace.options import Options
from pytrace.output import Text
from pytrace.record import record
from pytrace.runtime import Child, Session, Symbols
from tests.kernels.targets import ROUNDS, Targets


class Sink:
    """Collects what is written."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def isatty(self) -> bool:
        return False

    @property
    def lines(self) -> list[str]:
        return [line for line in self.data.decode().split("\n") if line]


class Guest:
    """Traces, in this process, on the kernel that it runs on."""

    def __init__(self, targets: Targets) -> None:
        self.kernel = Kernel.running()
        self.targets = targets
        self.program, self.shared = str(targets.program), str(targets.shared)
        self.messages = Sink()

    def session(self, script: str, child: Child | None = None, pid: int = 0, **options: object) -> tuple[Session, Sink]:
        """A session, not yet entered, and where its output goes."""
        cpid = child.pid if child else 0
        program = compile_script(script, options=Options(cpid=cpid, pid=pid, **options))  # type: ignore[arg-type]
        out, symbols = Sink(), Symbols(self.kernel)
        output = Text(out, self.messages, symbols)
        return Session(program, output=output, symbols=symbols, child=child, pid=pid, announce=False), out

    def run(self, script: str, *arguments: str | int, program: str = "", **options: object) -> list[str]:
        """The lines of output of a session around a run of the traced program, with the output's maps at the end."""
        words = [program or self.program, *map(str, arguments or (ROUNDS,))]
        session, out = self.session(script, Child(words), **options)
        with session:
            session.run()
        return out.lines

    def alone(self, script: str) -> list[str]:
        """The lines of output of a script that ends by itself."""
        session, out = self.session(script)
        with session:
            session.run()
        return out.lines


Run = Callable[[Guest], None]


@record
class Case:
    """One form of one provider. `run` raises `AssertionError` if what it saw is not what happened. `needs` are the
    features without which a kernel may refuse it; `one_of` means that any of them will do."""

    provider: str
    form: str
    needs: tuple[str, ...]
    one_of: bool
    run: Run

    @property
    def name(self) -> str:
        return f"{self.provider}: {self.form}"


CASES: list[Case] = []


def case(provider: str, form: str, *needs: str, one_of: bool = False) -> Callable[[Run], Run]:
    """Adds a function to `CASES`."""

    def add(run: Run) -> Run:
        CASES.append(Case(provider, form, needs, one_of, run))
        return run

    return add


def same(found: object, expected: object) -> None:
    """They are equal; pytest is not there to explain in the guest, so this does."""
    assert found == expected, f"found {found!r}, expected {expected!r}"


def entries(lines: list[str], map: str = "@") -> dict[str, str]:
    """The entries of a map by key, from its text."""
    found = {}
    for line in lines:
        m = re.fullmatch(rf"{re.escape(map)}(?:\[(.*)\])?: (.*)", line)
        if m:
            found[m[1] or ""] = m[2]
    return found
