"""A small builder of LLVM IR text for the BPF half.

Text, because making it costs a fraction of building an object tree, and because it is what `-d ir` shows anyway.
Conventions: a word (integer, bool, pointer of the traced system) is an i64 operand, already sign- or zero-extended
by its type; memory of the program (stack, map values, context) is a `ptr` operand; a condition is an i1 operand.
Every instruction carries the debug location that was current, which is how the kernel knows the script's lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pytrace.diagnostics import Source, Span

SECTION = "."  # before a function's name: ELF sections and symbols share one name space
POINTERS = frozenset(("ctx", "map", "key", "value", "frame", "place"))
ATTRIBUTES = 'nounwind "no-builtins"'


def quoted(text: str) -> str:
    """A metadata or symbol string with everything but plain characters escaped."""
    out = []
    for byte in text.encode("utf-8", "surrogateescape"):
        c = chr(byte)
        out.append(c if 32 <= byte < 127 and c not in '"\\' else f"\\{byte:02X}")
    return "".join(out)


class Module:
    """One LLVM module: functions, external symbols (maps) and debug metadata."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.functions: list[Function] = []
        self.helpers: dict[int, Span] = {}
        """Every helper that is called, and where first."""
        self._externals: dict[str, None] = {}
        self._declared: dict[str, str] = {}
        self._metadata: list[str] = []
        self._files: dict[str, int] = {}
        name = self.file(source)
        self._unit = self.metadata(
            f'distinct !DICompileUnit(language: DW_LANG_C99, file: !{name}, producer: "pytrace", '
            "emissionKind: FullDebug)"
        )
        self._long = self.metadata('!DIBasicType(name: "long", size: 64, encoding: DW_ATE_signed)')
        self._int = self.metadata('!DIBasicType(name: "int", size: 32, encoding: DW_ATE_signed)')
        self._pointer = self.metadata("!DIDerivedType(tag: DW_TAG_pointer_type, baseType: null, size: 64)")

    def metadata(self, text: str) -> int:
        self._metadata.append(text)
        return len(self._metadata) - 1

    def file(self, source: Source) -> int:
        """The DIFile of a source, which carries its text, so that BTF line info has the lines."""
        if source.name not in self._files:
            text = f'!DIFile(filename: "{quoted(source.name)}", directory: "", source: "{quoted(source.text)}")'
            self._files[source.name] = self.metadata(text)
        return self._files[source.name]

    def external(self, name: str) -> str:
        """A symbol that stands for a map (`map.x`: its fd) or its first value (`val.x`)."""
        self._externals[name] = None
        return f'@"{name}"'

    def declare(self, name: str, signature: str) -> None:
        """A function of the kernel, which the loader resolves against BTF."""
        self._declared[name] = signature

    def function(self, name: str, params: tuple[str, ...], *, main: bool, span: Span, inline: bool = False) -> Function:
        """A function; its parameters are words, but for those whose names say that they are pointers. A `main` one is
        a program's entry and returns i32, others are internal and return i64."""
        types = [self._int if main else self._long]
        types += [self._pointer if p in POINTERS else self._long for p in params]
        signature = self.metadata(f"!DISubroutineType(types: !{{{', '.join(f'!{n}' for n in types)}}})")
        line = span.line
        file = self.file(span.source)
        nodes = self.metadata("")
        scope = self.metadata(
            f'distinct !DISubprogram(name: "{name}", scope: !{file}, file: !{file}, line: {line}, type: !{signature}, '
            f"scopeLine: {line}, spFlags: {'' if main else 'DISPFlagLocalToUnit | '}DISPFlagDefinition, "
            f"unit: !{self._unit}, retainedNodes: !{nodes})"
        )
        variables = [
            self.metadata(
                f'!DILocalVariable(name: "{p}", arg: {i + 1}, scope: !{scope}, file: !{file}, line: {line}, '
                f"type: !{types[i + 1]})"
            )
            for i, p in enumerate(params)
        ]
        self._metadata[nodes] = f"!{{{', '.join(f'!{v}' for v in variables)}}}"
        parameters = ", ".join(f"{'ptr' if p in POINTERS else 'i64'} %{p}" for p in params)
        linkage = "" if main else "internal "
        noinline = "" if main else "alwaysinline " if inline else "noinline "
        result = "i32" if main else "i64"
        head = f'define {linkage}{result} @"{name}"({parameters}) {noinline}{ATTRIBUTES}'
        head += f' section "{SECTION}{name}" !dbg !{scope}'
        function = Function(self, name, head, scope, "i32" if main else "i64")
        function.at(span)
        self.functions.append(function)
        return function

    def text(self) -> str:
        out = ['target triple = "bpf"']
        out += [f'@"{n}" = external global i8' for n in self._externals]
        out += ["declare " + signature.replace("@", f'@"{name}"') for name, signature in self._declared.items()]
        out += [f.text() for f in self.functions]
        dwarf = self.metadata('!{i32 7, !"Dwarf Version", i32 5}')
        debug = self.metadata('!{i32 2, !"Debug Info Version", i32 3}')
        out.append(f"!llvm.dbg.cu = !{{!{self._unit}}}")
        out.append(f"!llvm.module.flags = !{{!{dwarf}, !{debug}}}")
        out += [f"!{i} = {m}" for i, m in enumerate(self._metadata)]
        return "\n".join(out) + "\n"


class Function:
    """Instructions of one function, block by block. Methods that compute return the operand of their result."""

    def __init__(self, module: Module, name: str, head: str, scope: int, returns: str) -> None:
        self.module = module
        self.name = name
        self.returns = returns
        self._head = head
        self._scope = scope
        self._stack: list[str] = []
        self._entry: list[str] = []
        self._lines: list[str] = []
        self._count = 0
        self._location = 0
        self._locations: dict[tuple[str, int, int], int] = {}
        self.terminated = False
        self.span: Span | None = None
        self.stack = 0  # bytes of objects that stay on the stack

    # --- places -------------------------------------------------------------------------------------

    def at(self, span: Span) -> None:
        """What follows belongs to this place of the script."""
        self.span = span
        key = (span.source.name, span.line, span.column)
        if key not in self._locations:
            scope = self._scope
            if span.source.name != self.module.source.name:
                file = self.module.file(span.source)
                scope = self.module.metadata(f"!DILexicalBlockFile(scope: !{scope}, file: !{file}, discriminator: 0)")
            self._locations[key] = self.module.metadata(
                f"!DILocation(line: {span.line}, column: {span.column}, scope: !{scope})"
            )
        self._location = self._locations[key]

    def label(self, hint: str) -> str:
        self._count += 1
        return f"{hint}{self._count}"

    def place(self, label: str) -> None:
        """Begins a block; falls through from the one before it."""
        if not self.terminated:
            self.emit(f"br label %{label}")
        self._lines.append(f"{label}:")
        self.terminated = False

    def emit(self, text: str) -> None:
        if self.terminated:  # code that nothing reaches still has to stand in some block
            self.place_unreachable()
        self._lines.append(f"  {text}, !dbg !{self._location}")

    def place_unreachable(self) -> None:
        self._lines.append(f"{self.label('dead')}:")
        self.terminated = False

    def op(self, text: str) -> str:
        self._count += 1
        name = f"%v{self._count}"
        self.emit(f"{name} = {text}")
        return name

    # --- control --------------------------------------------------------------------------------------

    def jump(self, label: str) -> None:
        if not self.terminated:
            self.emit(f"br label %{label}")
            self.terminated = True

    def branch(self, condition: str, then: str, otherwise: str) -> None:
        self.emit(f"br i1 {condition}, label %{then}, label %{otherwise}")
        self.terminated = True

    def ret(self, value: str) -> None:
        self.emit(f"ret {self.returns} {value}")
        self.terminated = True

    @contextmanager
    def when(self, condition: str, hint: str = "then") -> Iterator[None]:
        """Code that runs only if an i1 holds."""
        inside, after = self.label(hint), self.label("after")
        self.branch(condition, inside, after)
        self.place(inside)
        yield
        self.jump(after)
        self.place(after)

    # --- computing --------------------------------------------------------------------------------------

    def binary(self, op: str, a: str, b: str | int) -> str:
        return self.op(f"{op} i64 {a}, {b}")

    def add(self, a: str, b: str | int) -> str:
        return a if b == 0 else self.op(f"add i64 {a}, {b}")

    def compare(self, predicate: str, a: str, b: str | int, kind: str = "i64") -> str:
        """An i1: eq ne ult ule ugt uge slt sle sgt sge."""
        return self.op(f"icmp {predicate} {kind} {a}, {b}")

    def is_null(self, pointer: str) -> str:
        return self.op(f"icmp eq ptr {pointer}, null")

    def truth(self, word: str) -> str:
        return self.compare("ne", word, 0)

    def word(self, condition: str) -> str:
        """An i1 as 0 or 1."""
        return self.op(f"zext i1 {condition} to i64")

    def select(self, condition: str, a: str, b: str, kind: str = "i64") -> str:
        return self.op(f"select i1 {condition}, {kind} {a}, {kind} {b}")

    def extend(self, value: str, bits: int, signed: bool) -> str:
        """The low `bits` of a word, extended to a word again."""
        if bits == 64:
            return value
        narrow = self.op(f"trunc i64 {value} to i{bits}")
        return self.op(f"{'sext' if signed else 'zext'} i{bits} {narrow} to i64")

    # --- memory -------------------------------------------------------------------------------------------

    def alloca(self, size: int, align: int = 8, zeroed: bool = False) -> str:
        """`size` bytes of stack for the life of the function; with `zeroed`, whole words of zeros at first. What is
        written in part and read whole needs that: an undefined byte may become a register that nobody has set, which
        the verifier refuses."""
        self._count += 1
        name = f"%s{self._count}"
        if zeroed:
            size = (size + 7) // 8 * 8
        self._stack.append(f"  {name} = alloca [{size} x i8], align {align}")
        for at in range(0, size if zeroed else 0, 8):
            self._stack.append(f"  {name}.{at} = getelementptr i8, ptr {name}, i64 {at}")
            self._stack.append(f"  store i64 0, ptr {name}.{at}, align 8")
        return name

    def frame(self, size: int) -> None:
        """Gives `%frame` its size: zeroed memory that callbacks share with the entry function."""
        stores = [f"  %frame.{at} = getelementptr i8, ptr %frame, i64 {at}" for at in range(0, size, 8)]
        stores += [f"  store i64 0, ptr %frame.{at}, align 8" for at in range(0, size, 8)]
        self._stack[:0] = [f"  %frame = alloca [{size} x i8], align 8", *stores]

    def result(self) -> None:
        """Makes `%result`, where `return` leaves its value."""
        self._stack += ["  %result = alloca i64, align 8", "  store i64 0, ptr %result, align 8"]

    def at_entry(self, *lines: str) -> None:
        """Instructions that run before everything else."""
        self._entry += self._located(lines)

    def entry_place(self) -> int:
        """What stands for this place among the instructions that run before everything else."""
        return len(self._entry)

    def at_entry_place(self, place: int, *lines: str) -> None:
        """Puts instructions at a place that `entry_place` gave, before those that came since."""
        self._entry[place:place] = self._located(lines)

    def _located(self, lines: tuple[str, ...]) -> list[str]:
        return [f"  {line}, !dbg !{self._location}" for line in lines]

    def offset(self, pointer: str, offset: int | str) -> str:
        """`pointer` plus bytes."""
        if offset in (0, "0"):
            return pointer
        return self.op(f"getelementptr i8, ptr {pointer}, i64 {offset}")

    def load(self, pointer: str, bits: int = 64, signed: bool = False, align: int = 0, volatile: bool = False) -> str:
        """A word of `bits` at a pointer, extended."""
        suffix = f", align {align}" if align else f", align {bits // 8}"
        head = "load volatile" if volatile else "load"
        value = self.op(f"{head} i{bits}, ptr {pointer}{suffix}")
        return value if bits == 64 else self.op(f"{'sext' if signed else 'zext'} i{bits} {value} to i64")

    def store(self, value: str | int, pointer: str, bits: int = 64, align: int = 0, volatile: bool = False) -> None:
        if bits != 64 and str(value).startswith("%"):
            value = self.op(f"trunc i64 {value} to i{bits}")
        elif bits != 64:
            value = int(value) & ((1 << bits) - 1)
        head = "store volatile" if volatile else "store"
        self.emit(f"{head} i{bits} {value}, ptr {pointer}, align {align or bits // 8}")

    def compare_exchange(self, pointer: str, old: str, new: str) -> str:
        """Atomically puts `new` where `old` is (5.12+); an i1, whether it was there."""
        pair = self.op(f"cmpxchg ptr {pointer}, i64 {old}, i64 {new} seq_cst seq_cst, align 8")
        return self.op(f"extractvalue {{ i64, i1 }} {pair}, 1")

    def load_pointer(self, pointer: str) -> str:
        return self.op(f"load ptr, ptr {pointer}, align 8")

    def store_pointer(self, value: str, pointer: str) -> None:
        self.emit(f"store ptr {value}, ptr {pointer}, align 8")

    def address(self, pointer: str) -> str:
        """A pointer as a word."""
        return self.op(f"ptrtoint ptr {pointer} to i64")

    def pointer(self, word: str) -> str:
        return self.op(f"inttoptr i64 {word} to ptr")

    def zero(self, pointer: str, size: int, start: int = 0) -> None:
        """Zeroes `size` bytes from `start` bytes after an 8-byte aligned pointer, with plain aligned stores."""
        at = start
        while at < start + size:
            width = next(w for w in (8, 4, 2, 1) if at % w == 0 and at + w <= start + size)
            self.store(0, self.offset(pointer, at), width * 8)
            at += width

    def copy(self, source: str, to: str, size: int, align: int = 1) -> None:
        """Copies memory with plain loads and stores, as wide as the alignment allows."""
        at = 0
        for width in (8, 4, 2, 1):
            if width > align:
                continue
            while size - at >= width:
                value = self.load(self.offset(source, at), width * 8)
                self.store(value, self.offset(to, at), width * 8)
                at += width

    def barrier(self, value: str) -> str:
        """The same word, about which the optimiser knows nothing any more (the verifier still does)."""
        self._count += 1
        name = f"%v{self._count}"
        self.emit(f'{name} = call i64 asm sideeffect "", "=r,0"(i64 {value})')
        return name

    def fence(self) -> None:
        """Keeps the optimiser from moving memory accesses across."""
        self.emit('call void asm sideeffect "", "~{memory}"()')

    def pinned(self, value: str) -> str:
        """The same word, made here and nowhere else: no other value looks to LLVM as if it could be made together with
        it, since each has a number of its own."""
        self._count += 1
        name = f"%v{self._count}"
        self.emit(f'{name} = call i64 asm sideeffect "", "=r,0,i"(i64 {value}, i64 {self._count})')
        return name

    # --- bounds that the verifier can follow ------------------------------------------------------------------

    @contextmanager
    def inside(self, index: str, count: int, hint: str = "inside") -> Iterator[str]:
        """Code that runs only if `index` is below `count`, with an operand for the index whose bound the verifier sees:
        the barriers keep LLVM from computing with the number before it was compared."""
        index = self.barrier(index)
        with self.when(self.compare("ult", index, count), hint):
            yield self.barrier(index)

    def clamp(self, index: str, count: int, otherwise: int = 0) -> str:
        """`index` if it is below `count`, else `otherwise`; the verifier sees the bound."""
        index = self.barrier(index)
        return self.barrier(self.select(self.compare("ult", index, count), index, str(otherwise)))

    # --- calls ----------------------------------------------------------------------------------------------

    def opaque(self, word: str) -> str:
        """The same word, of which LLVM knows nothing any more."""
        return self.op(f'call i64 asm "", "=r,0"(i64 {word})')

    def helper(self, number: int, *args: str) -> str:
        """Calls a BPF helper with typed operands (`"i64 5"`, `"ptr %x"`); the result as a word."""
        self._note(number)
        return self.op(f"call i64 inttoptr (i64 {number} to ptr)({', '.join(args)})")

    def helper_pointer(self, number: int, *args: str) -> str:
        self._note(number)
        return self.op(f"call ptr inttoptr (i64 {number} to ptr)({', '.join(args)})")

    def _note(self, number: int) -> None:
        assert self.span is not None
        self.module.helpers.setdefault(number, self.span)

    def kernel_function(self, name: str, returns: str, *args: str) -> str:
        """Calls a kernel function (kfunc) with typed operands; `returns` is `ptr`, `i64` or `void`."""
        types = ", ".join(a.split()[0] for a in args)
        self.module.declare(name, f"{returns} @({types})")
        call = f'call {returns} @"{name}"({", ".join(args)})'
        if returns == "void":
            self.emit(call)
            return ""
        return self.op(call)

    def call(self, name: str, *args: str) -> str:
        return self.op(f'call i64 @"{name}"({", ".join(args)})')

    def text(self) -> str:
        return "\n".join([self._head + " {", "entry:", *self._stack, *self._entry, *self._lines, "}"])
