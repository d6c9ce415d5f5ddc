"""Emits the straight-line code of one event's text: literals as stores, the rest as calls of `user_ir`'s writers."""

from __future__ import annotations

from pytrace.nativestate import Word
from pytrace.types import Bool, Enum, Int, Type

LOWER = 39  # from '0' + 10 to 'a'
UPPER = 7  # from '0' + 10 to 'A'


class Writer:
    """Emits IR, keeping the name of the current output position in `out` and the bound of what was written."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.out = "%o"
        self.bound = 0
        self.uses: set[str] = set()
        self.refuses = False
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

    def radix(self, value: str, shift: int, letter: int = LOWER) -> None:
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

    def string(self, offset: int, capacity: int, whole: bool) -> None:
        at = self.emit(f"getelementptr i8, ptr %r, i64 {offset}")
        self.call("text", f"ptr {self.out}, ptr {at}, i64 {capacity}, ptr %s, i1 {'true' if whole else 'false'}")
        self.go_on_if(self.emit(f"icmp ne ptr {self.out}, null"))
        self.bound += capacity + 8  # and a trailer

    def character(self, value: str) -> None:
        byte = self.emit(f"trunc i64 {value} to i8")
        self.lines.append(f"  store i8 {byte}, ptr {self.out}")
        printable = self.emit(f"icmp ult i8 {self.emit(f'sub i8 {byte}, 32')}, 95")
        tab_or_newline = self.emit(f"icmp ult i8 {self.emit(f'sub i8 {byte}, 9')}, 2")
        harmless = self.emit(f"or i1 {printable}, {tab_or_newline}")
        tty_at = self.emit(f"getelementptr i64, ptr %s, i64 {int(Word.TTY)}")
        file = self.emit(f"icmp eq i64 {self.emit(f'load i64, ptr {tty_at}')}, 0")
        self.go_on_if(self.emit(f"or i1 {harmless}, {file}"))
        self.skip(1)

    def go_on_if(self, condition: str) -> None:
        """Hands the record over otherwise."""
        label = f"on{self._names}"
        self.lines += [f"  br i1 {condition}, label %{label}, label %refuse", f"{label}:"]
        self.refuses = True

    def pad(self, start: str, width: int, fill: bytes, left: bool) -> None:
        """Makes the text from `start` on at least `width` bytes wide."""
        if width:
            self.call("pad", f"ptr {start}, ptr {self.out}, i64 {width}, i8 {ord(fill)}, i1 {int(left)}")
            self.bound += width
