"""Lowers one event to LLVM IR: a function that writes the text of its record, or None where only Python can.

`event(record, out, state) -> end of the text`, null to hand the record over. The code is a straight line of
stores and calls of the writers in `user_ir`: literal text is part of the instructions.

What is lowered here follows `output/`, whose `printf` says what the conversions mean; what is rare, or takes a look at
more than the record, is left to it.
"""

from __future__ import annotations

from pytrace.codegen.user_ir import SLACK
from pytrace.codegen.user_writer import LOWER, UPPER, Writer
from pytrace.format import Conversion, integer_bits
from pytrace.nativestate import MAX_TEXT
from pytrace.program import EventSpec
from pytrace.record import record
from pytrace.types import VOID, Bool, Enum, Int, Pointer, Record, String, Tuple, Type


class NotNative(Exception):
    """This event is for Python."""


@record
class LoweredEvent:
    """`ir` defines @event<id>; `bound` is the most that it writes; `length` the least that a record must have."""

    ir: str
    bound: int
    length: int
    writers: frozenset[str]


class _Text(Writer):
    """What a value of each type, and each conversion of printf, makes."""

    def value(self, offset: int, t: Type) -> None:
        """As `print` and `%s` show it."""
        match t:
            case Bool():
                self.boolean(self.word(offset, t))
            case Int(signed=True):
                self.signed(self.word(offset, t))
            case Int():
                self.unsigned(self.word(offset, t))
            case Pointer():
                self.literal(b"0x")
                self.radix(self.word(offset, t), 4)
            case String(capacity, whole):
                self.string(offset, capacity, whole)
            case _:
                raise NotNative

    def printed(self, offset: int, t: Type) -> None:
        """As `print` shows it, tuples and records included."""
        match t:
            case Tuple(elements=elements) if elements:
                self.literal(b"(")
                for i, (element, at) in enumerate(zip(elements, t.offsets, strict=True)):
                    if i:
                        self.literal(b", ")
                    self.printed(offset + at, element)
                self.literal(b")")
            case Record(fields=fields) if fields:
                for i, ((name, element), at) in enumerate(zip(fields, t.offsets, strict=True)):
                    self.literal(f"{', ' if i else '{ '}.{name} = ".encode())
                    self.printed(offset + at, element)
                self.literal(b" }")
            case _:
                self.value(offset, t)

    def converted(self, offset: int, t: Type, c: Conversion) -> None:
        """As a conversion of printf shows it."""
        start = self.out
        if c.verb == "s":
            if isinstance(t, Tuple | Record):
                if c.width or "+" in c.flags:
                    raise NotNative
                self.printed(offset, t)
            elif isinstance(t, Int) and t.signed and "+" in c.flags:
                self.signed(self.word(offset, t), plus=True)
            else:
                self.value(offset, t)
        elif isinstance(t, Int | Bool | Enum | Pointer):
            self.number(self.word(offset, t), c, integer_bits(c, t.size))
        else:
            raise NotNative
        self.pad(start, c.width or 0, b"0" if "0" in c.flags else b" ", "-" in c.flags)

    def number(self, value: str, c: Conversion, bits: int) -> None:
        match c.verb:
            case "d" | "i":
                self.signed(self.cut(value, bits, True), "+" in c.flags)
            case "u":
                self.unsigned(self.cut(value, bits, False))
            case "x" | "X" | "o":
                value = self.cut(value, bits, False)
                if "#" in c.flags:
                    prefix = {"x": b"0x", "X": b"0X", "o": b"0"}[c.verb]
                    self.optional(self.emit(f"icmp ne i64 {value}, 0"), prefix)
                self.radix(value, 3 if c.verb == "o" else 4, UPPER if c.verb == "X" else LOWER)
            case "p":
                self.optional(self.emit(f"icmp ne i64 {value}, 0"), b"0x")
                self.radix(value, 4)
            case "c":
                self.character(value)
            case _:
                raise NotNative


def lower_event(event: EventSpec, timestamps: bool) -> LoweredEvent | None:
    """None: every record of this event is for Python."""
    args = Tuple(event.args)
    base = 16 if timestamps else 8
    writer = _Text()
    try:
        if event.action == "printf" and event.format is not None:
            arguments = iter(zip(args.offsets, event.args, strict=True))
            for piece in event.format.pieces:
                if isinstance(piece, str):
                    writer.literal(piece.encode("utf-8", "surrogateescape"))
                else:
                    offset, t = next(arguments, (0, VOID))
                    writer.converted(base + offset, t, piece)
        elif event.action == "print" and len(event.args) == 1:
            writer.printed(base, event.args[0])
            writer.literal(b"\n")
        else:
            raise NotNative
    except NotNative:
        return None
    bound = writer.bound + SLACK
    if bound > MAX_TEXT:
        return None
    refuse = "refuse:\n  ret ptr null\n" if writer.refuses else ""
    head = f"define internal fastcc ptr @event{event.id}(ptr %r, ptr %o, ptr %s) #0 {{"
    ir = "\n".join([head, *writer.lines, f"  ret ptr {writer.out}", f"{refuse}}}\n"])
    return LoweredEvent(ir, bound, base + args.size, frozenset(writer.uses))
