"""Lowers one event to LLVM IR: a function that writes the text of its record, or None where only Python can.

`event(record, out, state) -> end of the text`, null to hand the record over. The code is a straight line of
stores and calls of the writers in `user_ir`: literal text is part of the instructions.

What is lowered here follows `output/`, which is the reference; what is rare or takes a look at more than the
record is left to it. Like bpftrace, numbers are converted as C's length modifiers say (`%d` and `%x` take 32 bits,
`%ld` 64), precision is ignored, and padding with zeros does not know about signs.
"""

from __future__ import annotations

from dataclasses import dataclass

from pytrace.codegen.user_ir import SLACK
from pytrace.format import Conversion
from pytrace.nativestate import MAX_TEXT
from pytrace.program import EventSpec
from pytrace.types import Bool, Enum, Int, Pointer, Record, String, Tuple, Type

_LOWER = 39  # from '0' + 10 to 'a'
_UPPER = 7  # from '0' + 10 to 'A'


class NotNative(Exception):
    """This event is for Python."""


@dataclass(frozen=True)
class LoweredEvent:
    """`ir` defines @event<id>; `bound` is the most that it writes; `length` the least that a record must have."""

    ir: str
    bound: int
    length: int
    writers: frozenset[str]


@dataclass(frozen=True)
class _Layout:
    width: int = 0
    fill: str = " "
    left: bool = False


class _Writer:
    """Emits IR, keeping the name of the current output position in `out` and the bound of what was written."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.out = "%o"
        self.bound = 0
        self.uses: set[str] = set()
        self._names = 0

    def name(self) -> str:
        self._names += 1
        return f"%v{self._names}"

    def emit(self, instruction: str) -> str:
        name = self.name()
        self.lines.append(f"  {name} = {instruction}")
        return name

    def literal(self, text: bytes) -> None:
        for size in (8, 4, 2, 1):
            while len(text) >= size:
                chunk, text = text[:size], text[size:]
                self.lines.append(f"  store i{size * 8} {int.from_bytes(chunk, 'little')}, ptr {self.out}, align 1")
                self.skip(size)

    def skip(self, size: int) -> None:
        self.out = self.emit(f"getelementptr i8, ptr {self.out}, i64 {size}")
        self.bound += size

    def load(self, offset: int, bits: int) -> str:
        at = self.emit(f"getelementptr i8, ptr %r, i64 {offset}")
        return self.emit(f"load i{bits}, ptr {at}, align {bits // 8}")

    def word(self, offset: int, t: Type) -> str:
        """Loads a number and widens it to i64 as its type says."""
        if isinstance(t, Bool):
            value = self.load(offset, 8)
            return self.emit(f"zext i1 {self.emit(f'icmp ne i8 {value}, 0')} to i64")
        if isinstance(t, Int | Enum):
            value = self.load(offset, t.bits)
            return value if t.bits == 64 else self.emit(f"{'sext' if t.signed else 'zext'} i{t.bits} {value} to i64")
        return self.load(offset, 64)

    def cut(self, value: str, bits: int, signed: bool) -> str:
        """The lowest `bits` of an i64, widened again."""
        if bits == 64:
            return value
        small = self.emit(f"trunc i64 {value} to i{bits}")
        return self.emit(f"{'sext' if signed else 'zext'} i{bits} {small} to i64")

    def optional(self, condition: str, text: bytes) -> None:
        """Writes `text` (at most 8 bytes) if the i1 `condition` holds."""
        number = int.from_bytes(text, "little")
        self.lines.append(f"  store i{len(text) * 8} {number}, ptr {self.out}, align 1")
        step = self.emit(f"select i1 {condition}, i64 {len(text)}, i64 0")
        self.out = self.emit(f"getelementptr i8, ptr {self.out}, i64 {step}")
        self.bound += len(text)

    def call(self, writer: str, arguments: str) -> None:
        self.uses.add(writer)
        self.out = self.emit(f"call fastcc ptr @{writer}({arguments})")

    def unsigned(self, value: str) -> None:
        self.call("dec", f"ptr {self.out}, i64 {value}")
        self.bound += 20

    def signed(self, value: str, plus: bool = False) -> None:
        negative = self.emit(f"icmp slt i64 {value}, 0")
        if plus:
            sign = self.emit(f"select i1 {negative}, i8 45, i8 43")
            self.lines.append(f"  store i8 {sign}, ptr {self.out}")
            self.skip(1)
        else:
            self.optional(negative, b"-")
        minus = self.emit(f"sub i64 0, {value}")
        self.unsigned(self.emit(f"select i1 {negative}, i64 {minus}, i64 {value}"))

    def radix(self, value: str, shift: int, letter: int = _LOWER) -> None:
        self.call("radix", f"ptr {self.out}, i64 {value}, i64 {shift}, i64 {48 + letter}")
        self.bound += 22

    def boolean(self, value: str) -> None:
        true = self.emit(f"icmp ne i64 {value}, 0")
        words = (int.from_bytes(w.ljust(8, b"\0"), "little") for w in (b"true", b"false"))
        word = self.emit("select i1 {}, i64 {}, i64 {}".format(true, *words))
        self.lines.append(f"  store i64 {word}, ptr {self.out}, align 1")
        size = self.emit(f"select i1 {true}, i64 4, i64 5")
        self.out = self.emit(f"getelementptr i8, ptr {self.out}, i64 {size}")
        self.bound += 5

    def string(self, offset: int, capacity: int) -> None:
        at = self.emit(f"getelementptr i8, ptr %r, i64 {offset}")
        self.call("text", f"ptr {self.out}, ptr {at}, i64 {capacity}, ptr %s")
        refused = self.emit(f"icmp eq ptr {self.out}, null")
        label = f"on{self._names}"
        self.lines += [f"  br i1 {refused}, label %refuse, label %{label}", f"{label}:"]
        self.bound += capacity + 8  # and a trailer

    def pad(self, start: str, layout: _Layout) -> None:
        if layout.width:
            fill, left = ord(layout.fill), int(layout.left)
            self.call("pad", f"ptr {start}, ptr {self.out}, i64 {layout.width}, i8 {fill}, i1 {left}")
            self.bound += layout.width

    # --- values -------------------------------------------------------------------------------

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
            case String(capacity=capacity):
                self.string(offset, capacity)
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
        layout = _Layout(c.width or 0, "0" if "0" in c.flags else " ", "-" in c.flags)
        if layout.width > MAX_TEXT:
            raise NotNative
        start = self.out
        if c.verb == "s":
            if "+" in c.flags or "#" in c.flags:
                raise NotNative
            self.value(offset, t)
        elif isinstance(t, Int | Bool | Enum | Pointer):
            self.number(self.word(offset, t), c)
        else:
            raise NotNative
        self.pad(start, layout)

    def number(self, value: str, c: Conversion) -> None:
        bits = {"": 32, "hh": 8, "h": 16}.get(c.length, 64)
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
                self.radix(value, 3 if c.verb == "o" else 4, _UPPER if c.verb == "X" else _LOWER)
            case "p":
                self.optional(self.emit(f"icmp ne i64 {value}, 0"), b"0x")
                self.radix(value, 4)
            case "c":
                self.lines.append(f"  store i8 {self.emit(f'trunc i64 {value} to i8')}, ptr {self.out}")
                self.skip(1)
            case _:
                raise NotNative


def lower_event(event: EventSpec, timestamps: bool) -> LoweredEvent | None:
    """None: every record of this event is for Python."""
    args = Tuple(event.args)
    base = 16 if timestamps else 8
    writer = _Writer()
    try:
        if event.action == "printf" and event.format is not None:
            arguments = iter(zip(args.offsets, event.args, strict=True))
            for piece in event.format.pieces:
                if isinstance(piece, str):
                    writer.literal(piece.encode("utf-8", "surrogateescape"))
                else:
                    offset, t = next(arguments)
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
    refuse = "refuse:\n  ret ptr null\n" if "text" in writer.uses else ""
    head = f"define internal fastcc ptr @event{event.id}(ptr %r, ptr %o, ptr %s) #0 {{"
    ir = "\n".join([head, *writer.lines, f"  ret ptr {writer.out}", f"{refuse}}}\n"])
    return LoweredEvent(ir, bound, base + args.size, frozenset(writer.uses))
