"""The examples on the pages of docs/ and in the README, and what they print when they are run.

An example is a fenced block of one of these kinds:

    ```pytrace            a script. If a block ```output stands right behind it, that is what it prints; otherwise it is
                          attached and no more.
    ```pytrace kprobe     the same, where the kernel has the feature of that name; elsewhere it is only parsed.
    ```console            commands behind `$ ` with what they print, both streams together.
    ```console varies     the same where it is something else each time: then only the names of maps are compared.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(
    r"^```(pytrace|console)([ \w]*)\n(.*?)^```\n(?:\n*^```output\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Example:
    """One block. `output` is None where none stands behind it; `line` is the line of its fence."""

    page: str
    line: int
    kind: str
    mark: str
    text: str
    output: str | None

    @property
    def commands(self) -> list[tuple[str, str]]:
        """What a console block holds: the command lines, each with what is shown below it."""
        parts = re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]
        found = []
        for part in parts:
            lines = part.splitlines(keepends=True)
            count = next((i for i, line in enumerate(lines, 1) if _complete("".join(lines[:i]))), 1)
            found.append(("".join(lines[:count]).rstrip("\n"), "".join(lines[count:])))
        return found


def _complete(command: str) -> bool:
    return command.count("'") % 2 == 0 and not command.rstrip("\n").endswith("\\")


def examples(page: str) -> list[Example]:
    """All examples of a page, given by its path from the root of the repository."""
    text = (ROOT / page).read_text()
    return [
        Example(page, text.count("\n", 0, m.start()) + 1, m[1], m[2].strip(), m[3], m[4]) for m in _BLOCK.finditer(text)
    ]


def run_script(example: Example, directory: Path, *options: str) -> tuple[int, str, str]:
    """Runs a script: exit status, what it printed without the empty lines around it, and its messages."""
    path = directory / "example.pt"
    path.write_text(example.text)
    done = subprocess.run(
        [sys.executable, "-m", "pytrace", *options, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout.strip("\n"), done.stderr


def run_command(command: str, directory: Path) -> tuple[int, str]:
    """Runs a command line with this pytrace in a shell: exit status, and both streams without empty lines around."""
    tool = directory / "pytrace"
    tool.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m pytrace "$@"\n')
    tool.chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", f'PATH="{directory}:$PATH"\n{command.removeprefix("sudo ")}'],
        cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout.strip("\n")
