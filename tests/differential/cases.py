"""The corpus: scripts with what bpftrace made of them, in files that hold many.

A case begins with `=== NAME`. Lines `options:`, `params:` and `env:` may follow, in the words of a shell; then comes
the script, and then sections that begin with `--- `:

    --- status N            the exit status, if it is not 0
    --- errors              the places that errors name, `line:first-last`, where last is the column after them
    --- stdout              the output, byte for byte, blank lines at the end included
    --- stdout, cut         the same without the newline that ends the section
    --- because             why pytrace differs; sections with ` of bpftrace` then hold what is otherwise there

Without a reason only the places of errors may differ, and one must lie within the other: what is underlined is a matter
of taste, where the mistake is found is not.

Numbers by whose size entries are sorted have 64 bits in these scripts: bpftrace 0.27 sorts smaller ones by what happens
to stand behind them in memory.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
SCRIPT = "script.bt"

_PEER = " of bpftrace"
_HEADER = re.compile(r"(options|params|env): (.*)\n")
_PLACE = re.compile(rf"^{re.escape(SCRIPT)}:(\d+):(\d+-\d+): ERROR", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What a run made: its standard output, its exit status, and the places its errors name."""

    stdout: str = ""
    status: int = 0
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """A script, how it is run, and what comes of it. `peer` is what bpftrace makes of it where that differs."""

    name: str
    script: str
    options: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    expected: Outcome = field(default=Outcome())
    peer: Outcome | None = None
    because: str = ""

    @property
    def words(self) -> list[str]:
        """The command line, for either tool, to be used in a directory that holds the script."""
        return [*self.options, SCRIPT, *self.params]

    @property
    def environment(self) -> dict[str, str]:
        return dict(word.split("=", 1) for word in self.env)


def places(stderr: str) -> tuple[str, ...]:
    """Where the errors in the diagnostics are, sorted."""
    return tuple(sorted({f"{line}:{columns}" for line, columns in _PLACE.findall(stderr)}))


def meet(one: str, other: str) -> bool:
    """Whether two places are on one line, one within the other."""
    (line, columns), (other_line, other_columns) = one.split(":"), other.split(":")
    first, last = map(int, columns.split("-"))
    other_first, other_last = map(int, other_columns.split("-"))
    return line == other_line and (
        first <= other_first <= other_last <= last or other_first <= first <= last <= other_last
    )


def agree(ours: Outcome, theirs: Outcome) -> bool:
    """Whether two outcomes are the same but for how much of a mistake is underlined."""
    if replace(ours, errors=theirs.errors) != theirs:
        return False
    return ours.errors == theirs.errors or any(meet(a, b) for a in ours.errors for b in theirs.errors)


def read(path: Path) -> list[Case]:
    """The cases of a file. Raises ValueError where one has no form."""
    parts = re.split(r"^=== (.*)\n", path.read_bytes().decode(), flags=re.MULTILINE)
    if parts[0].strip():
        raise ValueError(f"{path}: there is text before the first case")
    return [_case(name, text) for name, text in zip(parts[1::2], parts[2::2], strict=True)]


def _case(name: str, text: str) -> Case:
    words: dict[str, tuple[str, ...]] = {}
    while match := _HEADER.match(text):
        words[match[1]] = tuple(shlex.split(match[2]))
        text = text[match.end() :]
    script, *sections = re.split(r"^--- (.*)\n", text, flags=re.MULTILINE)
    ours, theirs, because = Outcome(), None, ""
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        if title == "because":
            because = body.strip()
        elif title.endswith(_PEER):
            theirs = _with(theirs or ours, title.removesuffix(_PEER), body)
        else:
            ours = _with(ours, title, body)
    return Case(name, script, **words, expected=ours, peer=theirs, because=because)


def _with(outcome: Outcome, title: str, body: str) -> Outcome:
    match title.split():
        case ["status", number]:
            return replace(outcome, status=int(number))
        case ["errors"]:
            return replace(outcome, errors=tuple(body.split()))
        case ["stdout"]:
            return replace(outcome, stdout=body)
        case ["stdout,", "cut"]:
            return replace(outcome, stdout=body.removesuffix("\n"))
    raise ValueError(f"there is no section {title!r}")


def written(cases: Iterable[Case]) -> str:
    """The text of a file that holds the cases."""
    return "".join(line for case in cases for line in _lines(case))


def _lines(case: Case) -> Iterator[str]:
    yield f"=== {case.name}\n"
    for key in ("options", "params", "env"):
        if words := getattr(case, key):
            yield f"{key}: {shlex.join(words)}\n"
    yield case.script
    yield from _sections(case.expected, "", Outcome())
    if case.peer is not None:
        yield from _sections(case.peer, _PEER, case.expected)
    if case.because:
        yield f"--- because\n{case.because}\n"


def _sections(outcome: Outcome, whose: str, otherwise: Outcome) -> Iterator[str]:
    """Those in which an outcome differs from what is assumed without them."""
    if outcome.status != otherwise.status:
        yield f"--- status {outcome.status}{whose}\n"
    if outcome.errors != otherwise.errors:
        yield f"--- errors{whose}\n" + "".join(f"{place}\n" for place in outcome.errors)
    if outcome.stdout != otherwise.stdout:
        cut = bool(outcome.stdout) and not outcome.stdout.endswith("\n")
        yield f"--- stdout{', cut' * cut}{whose}\n{outcome.stdout}" + "\n" * cut
