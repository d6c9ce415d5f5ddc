"""usdt — static probes that a program's author left in it (<sys/sdt.h>, SystemTap notes).

    usdt:BINARY:PROBE                   in any of its providers; wildcards in all parts
    usdt:BINARY:PROVIDER:PROBE          PROVIDER may be empty: any
    usdt:*:PROVIDER:PROBE               in every program of $PATH, with -p in every file that the process executes from

`arg0`, `arg1`, … are the probe's arguments, widened to 64 bits with the sign they were declared with. A probe may
stand in several places, whose arguments may be kept differently: the place that fired decides. Probes that are
guarded by a semaphore are switched on by the kernel while they are attached. BINARY as for `probes.uprobe`; operands:
`probes.operands`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytrace.kernel.elf import Elf
from pytrace.kernel.glob import matches
from pytrace.kernel.usdt import UsdtNote, usdt_notes
from pytrace.probes import binaries, operands
from pytrace.probes.base import Context, Load, NoMatch, Point, Target, UsdtArgument, UsdtOperand
from pytrace.probes.binaries import Binary
from pytrace.probes.text import arguments, did_you_mean, split
from pytrace.probes.uapi import AttachType, ProgType
from pytrace.probes.uprobe import use_multi
from pytrace.program import Attach, Uprobe, UprobeMulti

_Form = tuple[UsdtOperand, ...]


class UsdtProvider:
    name = "usdt"
    aliases = ("U",)
    doc = "a static probe in user space"
    listed = False

    def expand(self, rest: str, target: Target) -> list[Point]:
        path, provider, probe = self._parts(arguments(self.name, _with_any_provider(rest), 2, 3))
        points: list[Point] = []
        known: set[str] = set()
        for file in binaries.find(self.name, path, target):
            elf = file.elf
            for (namespace, name), notes in _grouped(elf).items():
                known.add(f"{namespace}:{name}")
                if matches(namespace, provider) and matches(name, probe):
                    points += self._points(file, elf, notes, target)
        if not points:
            names = {n.partition(":")[2] for n in known} if provider == "*" else known
            wanted = probe if provider == "*" else f"{provider}:{probe}"
            hint = did_you_mean(wanted, names) if known else "the file has no USDT probes at all"
            raise NoMatch(f"No matches for usdt {rest}.", hint)
        return points

    @staticmethod
    def _parts(parts: list[str]) -> tuple[str, str, str]:
        return (parts[0], parts[1] or "*", parts[2]) if len(parts) == 3 else (parts[0], "*", parts[1])

    def _points(self, file: Binary, elf: Elf, notes: list[UsdtNote], target: Target) -> Iterator[Point]:
        """One point with all places of a probe; without uprobe.multi, one for each place."""
        machine = target.kernel.machine
        forms = [tuple(operands.parse(n.arguments, machine, elf, n.address)) for n in notes]
        name = f"usdt:{file.name}:{notes[0].provider}:{notes[0].name}"
        function = notes[0].name
        if use_multi(target):
            unique = list(dict.fromkeys(forms))
            attach: Attach = UprobeMulti(
                file.path,
                tuple(file.start + n.offset for n in notes),
                tuple(_semaphore(file, n) for n in notes) if any(n.semaphore_offset for n in notes) else (),
                tuple(unique.index(f) for f in forms),
            )
            yield Point(name, attach, _context(unique, AttachType.TRACE_UPROBE_MULTI), function=function)
            return
        for note, form in zip(notes, forms, strict=True):
            attach = Uprobe(file.path, file.start + note.offset, ref_ctr_offset=_semaphore(file, note))
            yield Point(name, attach, _context([form], 0), function=function)

    def matches(self, pattern: str, target: Target) -> Iterator[str]:
        path, *names = split(_with_any_provider(pattern))
        provider, probe = (
            (names[0] or "*", ":".join(names[1:]) or "*") if len(names) > 1 else ("*", "".join(names) or "*")
        )
        for file in binaries.find(self.name, path, target):
            for namespace, name in sorted(_grouped(file.elf)):
                if matches(namespace, provider) and matches(name, probe):
                    yield f"usdt:{file.name}:{namespace}:{name}"

    def describe(self, name: str, target: Target) -> list[str]:
        return []


def _with_any_provider(rest: str) -> str:
    """`BINARY::PROBE` leaves the provider open; elsewhere `::` is a part of C++ names, and does not divide."""
    return re.sub(r"^([^:]*)::", r"\1:*:", rest)


def _semaphore(file: Binary, note: UsdtNote) -> int:
    """Where in the file the semaphore is, 0 if there is none."""
    return file.start + note.semaphore_offset if note.semaphore_offset else 0


def _grouped(elf: Elf) -> dict[tuple[str, str], list[UsdtNote]]:
    grouped: dict[tuple[str, str], list[UsdtNote]] = {}
    for note in usdt_notes(elf):
        grouped.setdefault((note.provider, note.name), []).append(note)
    return grouped


def _context(forms: list[_Form], expected: int) -> Context:
    """`argN` for as many arguments as every place has."""
    count = min(map(len, forms), default=0)
    positional: tuple[Load, ...] = tuple(UsdtArgument(i, tuple(form[i] for form in forms)) for i in range(count))
    return Context(
        prog_type=ProgType.KPROBE,
        expected_attach_type=expected,
        space="user",
        positional=positional,
        regs=True,
    )


PROVIDER = UsdtProvider()
