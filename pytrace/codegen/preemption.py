"""Scratch memory of programs that other runs of themselves can come in between of.

A program runs on one CPU from beginning to end, and most cannot be interrupted by themselves: the kernel disables
preemption, or refuses to run them again. Programs of uprobes it lets be preempted (6.0+, where the kernel itself is
preemptible), and another task on the same CPU may then run them. Such a run claims one of several levels of scratch
with an atomic exchange and gives it back at its end. Where all are taken it does nothing, and that is counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.codegen.ir import Function
from pytrace.program import Uprobe, UprobeMulti

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower
    from pytrace.kernel import Kernel
    from pytrace.probes.base import Point

LEVELS, LEAST_LEVELS = 16, 4
"""Levels of scratch on each CPU; how many where one needs more than `LARGE` bytes."""
LARGE = 16 << 10
_CLAIM = "claim_level"


def possible(points: tuple[Point, ...], kernel: Kernel) -> bool:
    """Whether a program with these points can come in between of itself. Kernels without atomic exchange (before 5.12)
    run every program with preemption disabled."""
    return kernel.features.has("atomics") and any(isinstance(p.attach, Uprobe | UprobeMulti) for p in points)


def scratch(lo: Lower) -> str:
    """A pointer to this run's scratch, made at the entry of the function that is being emitted."""
    f, cpu = lo.f, lo.cpu()
    lo.program.uses_scratch = True
    row, base = f"%scratch.row.{f.name}", f"%scratch.{f.name}"
    f.at_entry(f"{row} = mul i64 {cpu}, {lo.unit.SCRATCH_ROW}")
    at = row
    if lo.program.preemptible:
        at, level = f"%scratch.at.{f.name}", "%level"
        if lo.program.entry is not f:
            f.at_entry(
                f"%level.frame = getelementptr i8, ptr %frame, i64 {lo.program.LEVEL}",
                "%level.word = load i64, ptr %level.frame, align 8",
                f"%level = and i64 %level.word, {lo.unit.LEVEL_MASK}",
            )
        f.at_entry(
            f"%level.at = mul i64 {level}, {lo.unit.SCRATCH_STRIDE}",
            f"{at} = add i64 {row}, %level.at",
        )
    f.at_entry(f"{base} = getelementptr i8, ptr {lo.unit.value('scratch')}, i64 {at}")
    return base


def begin(lo: Lower) -> None:
    """Leaves at once if there is no level left. Whether a level is needed at all, `end` knows."""
    f = lo.f
    lo.cpu()
    lo.program.claim_place = f.entry_place()
    f.store("%level", f.offset("%frame", lo.program.LEVEL))
    busy, going = f.label("busy"), f.label("going")
    f.branch(f.compare("ult", "%level.claimed", LEVELS), going, busy)
    f.place(busy)
    lo.count("run_lost")
    f.ret(str(lo.program.context.returns))
    f.place(going)


def end(lo: Lower) -> None:
    """Claims a level at the entry, and gives it back here, if the program came to use scratch."""
    f, unit, place = lo.f, lo.unit, lo.program.claim_place
    if not lo.program.uses_scratch:
        f.at_entry_place(place, "%level.claimed = add i64 0, 0", "%level = add i64 0, 0")
        return
    taken = unit.scratch(8 * LEVELS)
    f.at_entry_place(
        place,
        f"%taken.row = mul i64 {lo.cpu()}, {unit.SCRATCH_ROW}",
        f"%taken.at = add i64 %taken.row, {taken}",
        f"%taken = getelementptr i8, ptr {unit.value('scratch')}, i64 %taken.at",
        f'%level.claimed = call i64 @"{_claim(lo)}"(ptr %taken)',
        f"%level = and i64 %level.claimed, {unit.LEVEL_MASK}",
    )
    f.fence()
    f.store(0, f.offset("%taken", f.binary("shl", "%level", 3)), volatile=True)


def _claim(lo: Lower) -> str:
    """The name of the function that takes the first free level: its number, or `LEVELS`."""
    unit = lo.unit
    if _CLAIM not in unit.shared:
        unit.shared.add(_CLAIM)
        unit.levels = LEVELS if unit.scratch_stride <= LARGE else LEAST_LEVELS
        assert lo.f.span is not None
        f: Function = unit.module.function(_CLAIM, ("place",), main=False, span=lo.f.span, inline=True)
        for level in range(unit.levels):
            mine, theirs = f.label("mine"), f.label("theirs")
            f.branch(f.compare_exchange(f.offset("%place", 8 * level), "0", "1"), mine, theirs)
            f.place(mine)
            f.ret(str(level))
            f.place(theirs)
        f.ret(str(LEVELS))
    return _CLAIM
