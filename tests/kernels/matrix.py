"""Runs the cases on kernels, several at once, and makes docs/kernels.md of the results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pytrace.record import record, replace
from tests.kernels.targets import build

ROOT = Path(__file__).parents[2]
HOST = "host"
KERNELS = ("5.10", "6.1", "6.12", "6.18", "7.2")
REQUIRED = ("6.1", "6.12")
"""Those that CI boots, and that Debian keeps for as long as its releases live; the others may be gone."""
_AT_ONCE = 2


@record
class Outcome:
    """How a case went on a kernel: `fired`, `missing` (a feature, named in `text`, is not in the kernel and pytrace
    said so) or `failed`."""

    case: str
    result: str
    text: str
    took: float


@record
class Column:
    """A kernel's outcomes by case. `features` are those of the table with the reason for each that it lacks (empty for
    those it has); `error` says why there are none."""

    kernel: str
    release: str = ""
    features: tuple[tuple[str, str], ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    error: str = ""

    def outcome(self, case: str) -> Outcome | None:
        return next((o for o in self.outcomes if o.case == case), None)


def run(kernels: Sequence[str], pattern: str = "*", said: Callable[[str], object] = lambda text: None) -> list[Column]:
    """Boots each kernel once (`host`: runs on this one) and runs every case on it. Needs root, gcc and what scripts/vm
    needs; a kernel that cannot be had gives a column with an error."""
    with tempfile.TemporaryDirectory(prefix="pytrace-targets.") as name:
        # The host's files are what a guest sees; what is written here must be there before it boots.
        directory = Path(name)
        directory.chmod(0o755)
        build(directory)
        # Compiling modules in an emulated machine takes as long as everything else: the host does it, by using them.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = str(directory / "bytecode")

        def column(kernel: str) -> Column:
            found = _column(kernel, directory, pattern, environment)
            said(f"{kernel}: {len(found.outcomes)} cases on {found.release or 'nothing'}")
            return found

        done = {HOST: column(HOST)}
        foreign = [kernel for kernel in kernels if kernel != HOST]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            done.update(zip(foreign, pool.map(column, foreign), strict=True))
        return [done[kernel] for kernel in kernels]


def _column(kernel: str, directory: Path, pattern: str, environment: dict[str, str]) -> Column:
    command = [sys.executable, "-m", "tests.kernels.guest", str(directory), pattern]
    if kernel != HOST:
        vm = [sys.executable, "-B", str(ROOT / "scripts/vm")]
        fetched = subprocess.run([*vm, kernel, "--cpus", "1", "--", "true"], capture_output=True, text=True)
        if fetched.returncode:
            return Column(kernel, error=fetched.stderr.strip() or "it does not boot")
        options = ["--cpus", "1", "--timeout", "900", "--env", "PYTHONPYCACHEPREFIX"]
        command = [*vm, kernel, *options, "--", *command]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    column = read(kernel, done.stdout.splitlines())
    if done.returncode:
        return replace(column, error=f"{done.returncode}: {done.stderr}")
    return column


def read(kernel: str, lines: Iterable[str]) -> Column:
    """A column from what `tests.kernels.guest` writes."""
    release, features, outcomes = "", {}, []
    for line in lines:
        said = json.loads(line)
        if "features" in said:
            release, features = said["release"], said["features"]
        else:
            outcomes.append(_judged(said, features))
    return Column(kernel, release, tuple(features.items()), tuple(outcomes))


def _judged(said: dict[str, object], features: dict[str, str]) -> Outcome:
    """A refusal counts as such only where the feature table says that what the case needs is missing."""
    from tests.kernels.cases import by_name

    name, result, text = str(said["case"]), str(said["result"]), str(said["text"])
    case = by_name(name)
    if result == "refused":
        lacking = [f for f in case.needs if features[f]]
        excused = len(lacking) == len(case.needs) if case.one_of else bool(lacking)
        if lacking and excused:
            return Outcome(name, "missing", lacking[0], float(str(said["took"])))
        result, text = "failed", f"refused, though the feature table has {', '.join(case.needs) or 'no word'}: {text}"
    return Outcome(name, result, text, float(str(said["took"])))


# --- the document ------------------------------------------------------------------------------------

_HEAD = """# Probes and kernels

Every row is a case of `tests/kernels`: a script that is compiled, attached and *fired* on that kernel, and whose result
is held against a count or value that is known independently. Made by `scripts/matrix`; the kernels are Debian's stock
cloud kernels, run by `scripts/vm` in an emulated machine with one CPU and no PMU{host}.

**✓** fired and checked · *name* not in this kernel: it lacks the feature of that name (`pytrace --info`), and pytrace
says so

"""


def document(columns: Sequence[Column]) -> str:
    """The text of docs/kernels.md."""
    from tests.kernels.cases import CASES

    host = next((c for c in columns if c.kernel == HOST), None)
    note = ";\nbeside them one that was built without kprobes and refuses trampolines" if host else ""
    lines = [f"| probe | case | {' | '.join(_title(c) for c in columns)} |", "|---|---|" + "---|" * len(columns)]
    before = ""
    for case in CASES:
        cells = [_cell(c.outcome(case.name)) for c in columns]
        provider = f"`{case.provider}`" if case.provider != before else ""
        lines.append(f"| {provider} | {case.form} | {' | '.join(cells)} |")
        before = case.provider
    return _HEAD.format(host=note) + "\n".join(lines) + "\n"


def _title(column: Column) -> str:
    return ".".join(column.release.split(".")[:2]) + (" without kprobes" if column.kernel == HOST else "")


def _cell(outcome: Outcome | None) -> str:
    if outcome is None:
        return "?"
    return {"fired": "✓", "missing": f"*{outcome.text}*"}.get(outcome.result, "**failed**")
