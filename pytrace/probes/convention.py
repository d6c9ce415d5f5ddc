"""Where a function finds its arguments when it is entered: the calling conventions of C on Linux.

x86-64 after the System V ABI, aarch64 after the AAPCS64. What is in floating-point registers cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pytrace.probes.base import Load, RegsCopy, StackAddress, StackLoad
from pytrace.probes.regs import Machine
from pytrace.record import record

Word = Literal["integer", "float"]
_FLOAT_REGISTERS = 8
IN_FLOAT_REGISTERS = "it is in floating-point registers, which are not saved for probes"


@record
class Shape:
    """How an argument is passed: its 8-byte words by what they hold, or none if it has to be in memory; `whole` if it
    is one object of several words or a struct; `alike` if all it has are up to four floats of one kind."""

    size: int
    words: tuple[Word, ...]
    alignment: int = 8
    whole: bool = False
    alike: bool = False


INTEGER: Word = "integer"
WORD = Shape(8, (INTEGER,))


class Places:
    """Gives out the places of one function's arguments, in their order."""

    def __init__(self, machine: Machine, hidden: int = 0) -> None:
        """`hidden` arguments that the source does not show come first."""
        self._machine = machine
        self._integers = list(machine.functions)[hidden:]
        self._floats = _FLOAT_REGISTERS
        self._stack = 0
        self._arm = machine.stack_arguments == 0

    def all(self, shapes: Iterable[Shape]) -> list[Load | str]:
        """The loads of the arguments, or why one cannot be read."""
        return [self._next(shape) for shape in shapes]

    def _next(self, shape: Shape) -> Load | str:
        if not shape.size and not shape.words:
            return "it is empty"
        integers, floats = shape.words.count("integer"), shape.words.count("float")
        if self._arm and shape.whole:
            integers, floats = (0, len(shape.words)) if shape.alike else (len(shape.words), 0)
        if not shape.words or integers > len(self._integers) or floats > self._floats:
            if self._arm and integers:
                self._integers.clear()
            return self._on_stack(shape)
        taken, self._integers = self._integers[:integers], self._integers[integers:]
        self._floats -= floats
        if floats:
            return IN_FLOAT_REGISTERS
        loads = [self._machine.load(name) for name in taken]
        return RegsCopy(tuple(load.offset for load in loads)) if shape.whole else loads[0]

    def _on_stack(self, shape: Shape) -> Load:
        step = max(shape.alignment, 8)
        at = (self._stack + step - 1) // step * step
        self._stack = at + (shape.size + 7) // 8 * 8
        where = self._machine.stack_arguments + at
        return StackAddress(where) if shape.whole else StackLoad(where)
