"""uprobe — the entry of a function in a program or library, or any instruction in it.

    uprobe:BINARY:FUNCTION              wildcards in both; by debug info also one that was inlined wherever it is called
    uprobe:BINARY:FUNCTION+OFFSET       an instruction, OFFSET bytes into the function
    uprobe:BINARY:ADDRESS               an instruction by its address in the file (as `nm` and `objdump` show it);
                                        with --unsafe, in a file that is not ELF, the offset into it
    uprobe:BINARY:cpp:"ns::f"           a C++ function by its demangled name; all overloads unless written with (…)
    uprobe:BINARY@FILE:LINE[:COLUMN]    a line of its source, by its debug info

BINARY is a path, a program in $PATH, or a library by name (`libc`, `libssl.so.3`) as the dynamic loader finds it;
with `-p PID` as that process sees it, which may be in a container. A glob is one of paths, of programs in $PATH, or
with `-p` of the names of the files that the process executes from. `app.apk!/lib/x86_64/libfoo.so` is a library that is
stored, not compressed, in a ZIP archive. `arg0`, `arg1`, … are the arguments as unsigned
numbers, `reg("name")` any register, `func` the function; where the binary has debug info, `args.NAME` are typed.
Symbols come from .symtab, .dynsym and separate debug files. How they attach: `probes.lowering`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytrace.kernel.elf import EM_X86_64, Elf
from pytrace.kernel.elf_symbols import Symbol
from pytrace.kernel.glob import compile_glob, is_glob
from pytrace.probes import binaries
from pytrace.probes.base import Context, NoMatch, Point, ProbeError, Target
from pytrace.probes.binaries import Binary
from pytrace.probes.kprobe import regs_context
from pytrace.probes.lowering import has
from pytrace.probes.text import arguments, did_you_mean, integer
from pytrace.probes.uapi import AttachType
from pytrace.program import Attach, Uprobe, UprobeMulti
from pytrace.record import record, replace


def place(path: str, offset: int, returns: bool, multi: bool, semaphore: int = 0) -> Attach:
    """The attachment of one place in a file, as its own or as part of a uprobe.multi link."""
    if multi:
        return UprobeMulti(path, (offset,), (semaphore,) if semaphore else (), returns=returns)
    return Uprobe(path, offset, returns=returns, ref_ctr_offset=semaphore)


def use_multi(target: Target) -> bool:
    """Whether uprobe.multi is what to use: it detaches three times as fast. Before 6.10 it took the id of a process for
    that of a thread."""
    kernel = target.kernel
    return has(kernel, "uprobe_multi") and (not target.pid or kernel.version >= (6, 10, 0))


@record
class UprobeProvider:
    name: str
    aliases: tuple[str, ...]
    doc: str
    returns: bool
    listed: bool = False

    def expand(self, rest: str, target: Target) -> list[Point]:
        parts = arguments(self.name, rest, 2, 3)
        multi = use_multi(target)
        expected = AttachType.TRACE_UPROBE_MULTI if multi else 0
        context = regs_context(target.kernel.machine, self.returns, expected, "user")
        path, at, source = parts[0].rpartition("@")
        if at and path and integer(parts[1]) is not None:
            return self._at_line(path, source, parts[1:], context, target)
        if len(parts) == 3 and parts[1] != "cpp":
            raise ProbeError(f"{self.name} does not know the language '{parts[1]}'", 'write cpp:"ns::function"')
        points: list[Point] = []
        files = binaries.find(self.name, parts[0], target)
        for file in files:
            points += self._in_file(file, parts[1:], context, target)
        if not points:
            points = list(self._in_successor(files, parts[1:], context, target))
        if not points:
            raise self._no_match(rest, files, parts)
        return points

    def _in_successor(self, files: list[Binary], parts: list[str], context: Context, target: Target) -> Iterator[Point]:
        """What a library had once, where it is now."""
        for file in files:
            if libc := binaries.successor(file):
                note = f"{file.name} has no such function any more: it is in {libc.name}"
                yield from (replace(p, note=note) for p in self._in_file(libc, parts, context, target))

    def _in_file(self, file: Binary, parts: list[str], context: Context, target: Target) -> Iterator[Point]:
        multi = bool(context.expected_attach_type)
        if target.unsafe and len(parts) == 1 and not file.is_elf and (address := integer(parts[0])) is not None:
            attach = place(file.path, file.start + address, self.returns, multi)  # what it is, its user knows
            yield Point(f"{self.name}:{file.name}:{parts[0]}", attach, context)
            return
        elf = file.elf
        if len(parts) == 2:
            named = list(_demangled(elf, parts[1]))
            if len(named) == 1 and target.args:
                context = self._typed(context, file, elf, named[0][0], target)
            for symbol, text in named:
                yield self._point(file, elf, symbol, 0, f'cpp:"{text}"', text, context, multi)
            return
        text = parts[0]
        if (address := integer(text)) is not None:
            yield self._at_address(file, elf, text, address, context, multi)
            return
        m = re.fullmatch(r"(.+)\+(\w+)", text)
        offset = integer(m[2]) if m else 0
        function = m[1] if m and offset is not None else text
        if is_glob(function):
            for symbol in _probeable(elf, function):
                yield self._point(file, elf, symbol, 0, symbol.name, symbol.name, context, multi)
            return
        found = elf.function(function) or next(iter(elf.lookup(function)), None)
        if found is None:
            yield from self._inlined(file, elf, text, function, context)
            return
        if offset and self.returns:
            raise ProbeError(f"{self.name} takes no offset: a function returns as a whole")
        if offset and found.size and offset >= found.size:
            raise ProbeError(f"Offset outside the function bounds ('{function}' size is {found.size})")
        typed = context if offset or not target.args else self._typed(context, file, elf, found, target)
        yield self._point(file, elf, found, offset or 0, text, function, typed, multi)

    def _inlined(self, file: Binary, elf: Elf, text: str, function: str, context: Context) -> Iterator[Point]:
        """All copies of a function that has no place of its own: where it was put into others."""
        if not _has_dwarf(elf):
            return
        from pytrace.probes.inlined import instances

        offsets = [
            o for a in instances(elf, function) if (o := elf.offset_of(a)) is not None and not _is_refused(elf, o)
        ]
        if not offsets:
            return
        if self.returns or text != function:
            what = "does not return" if self.returns else "has no instructions"
            raise ProbeError(
                f"'{function}' was inlined wherever it is called: it {what} of its own",
                f"uprobe:{file.name}:{function} is where its {len(offsets)} copies are entered",
            )
        # Its arguments are wherever the function around it has them.
        without = replace(context, positional=(), args=None, struct=None)
        if context.expected_attach_type:
            places: list[Attach] = [UprobeMulti(file.path, tuple(file.start + o for o in offsets))]
        else:
            places = [Uprobe(file.path, file.start + o) for o in offsets]
        for attach in places:
            yield Point(f"{self.name}:{file.name}:{text}", attach, without, function=function)

    def _point(
        self, file: Binary, elf: Elf, symbol: Symbol, add: int, shown: str, function: str, context: Context, multi: bool
    ) -> Point:
        offset = elf.offset_of(symbol.address)
        if offset is None:
            raise ProbeError(
                f"'{symbol.name}' is not in the file {file.name}", "it stands in memory that is not loaded from it"
            )
        _check(elf, offset + add, f"'{symbol.name}'")
        attach = place(file.path, file.start + offset + add, self.returns, multi)
        return Point(f"{self.name}:{file.name}:{shown}", attach, context, function=function)

    def _at_address(self, file: Binary, elf: Elf, text: str, address: int, context: Context, multi: bool) -> Point:
        offset = elf.offset_of(address)
        if offset is None:
            raise ProbeError(f"{text} is not an address of {file.name}", "addresses are those that nm and objdump show")
        _check(elf, offset, text)
        inside = elf.at(address)
        attach = place(file.path, file.start + offset, self.returns, multi)
        return Point(f"{self.name}:{file.name}:{text}", attach, context, function=inside[0].name if inside else "")

    def _at_line(self, path: str, source: str, parts: list[str], context: Context, target: Target) -> list[Point]:
        from pytrace.probes import dwarf

        line, column = integer(parts[0]) or 0, integer(parts[1]) if len(parts) > 1 else 0
        if self.returns:
            raise ProbeError(f"{self.name} takes no source line: a function returns as a whole")
        points = []
        files = binaries.find(self.name, path, target)
        for file in files:
            elf = file.elf
            for address in dwarf.addresses_of_line(elf, source, line, column or 0):
                name = f"{file.name}@{source}:{':'.join(parts)}"
                point = self._at_address(file, elf, hex(address), address, context, bool(context.expected_attach_type))
                points.append(replace(point, name=f"{self.name}:{name}"))
        if not points:
            columns, lines = dwarf.code_near(files[0].elf, source, line)
            if columns:
                hint = f"the code of that line begins at column {' or '.join(map(str, columns))}"
            else:
                hint = "no code on that line" + f", but on line {' and '.join(map(str, lines))}" * bool(lines)
            raise NoMatch(f"No matches for {self.name} {path}@{source}:{':'.join(parts)}.", hint)
        return points

    def _typed(self, context: Context, file: Binary, elf: Elf, symbol: Symbol, target: Target) -> Context:
        """With `args` where debug info describes the function. Finding that out must not slow down the rest: only
        files that have debug info are looked at."""
        if self.returns or not _has_dwarf(elf):
            return context
        from pytrace.probes import dwarf

        return dwarf.typed(context, elf, symbol, f"{self.name}:{file.name}:{symbol.name}_args", target.kernel.machine)

    def _no_match(self, rest: str, files: list[Binary], parts: list[str]) -> ProbeError:
        wanted, names = parts[-1].partition("+")[0], {s.name for f in files for s in f.elf.functions}
        stripped = [f.name for f in files if f.elf.stripped]
        hint = None if is_glob(wanted) else did_you_mean(wanted, names)
        if stripped:
            note = (
                f"{stripped[0]} is stripped: only its {len(names)} dynamic symbols are known. Install its debug symbols"
            )
            hint = f"{hint} ({note})" if hint else f"{note}, or probe an address"
        return NoMatch(f"No matches for {self.name} {rest}.", hint)

    def matches(self, pattern: str, target: Target) -> Iterator[str]:
        path, _, function = pattern.partition(":")
        for file in binaries.find(self.name, path, target):
            if function.startswith("cpp:"):
                for _, text in _demangled(file.elf, function[4:].strip('"')):
                    yield f'{self.name}:{file.name}:cpp:"{text}"'
                continue
            yield from sorted({f"{self.name}:{file.name}:{s.name}" for s in _probeable(file.elf, function or "*")})

    def describe(self, name: str, target: Target) -> list[str]:
        _, path, *rest = name.split(":")
        for file in binaries.find(self.name, path, target):
            symbol = file.elf.function(rest[0]) if len(rest) == 1 else None
            if symbol and _has_dwarf(file.elf) and not self.returns:
                from pytrace.probes import dwarf

                return dwarf.parameters(file.elf, symbol)
        return []


# Opcodes that the kernel does not single-step elsewhere (arch/x86/kernel/uprobes.c, good_insns_64). It looks for those
# of AVX instructions in the same table, where they mean something else.
_REFUSED = bytes.fromhex("06070e16171e1f272f373f6061626c6d6e6f9acecfd4d5d6e4e5e6e7eaecedeeeff1f4fafb")
_VEX = {0xC5: 2, 0xC4: 3}
_LOCK = 0xF0


def _is_locked(elf: Elf, offset: int) -> bool:
    """Whether it is an instruction with a `lock` prefix. The kernel puts no probe there; it says so only if a process
    has the file mapped, otherwise the probe would just never fire."""
    return elf.machine == EM_X86_64 and elf.data[offset] == _LOCK


def _probeable(elf: Elf, pattern: str) -> Iterator[Symbol]:
    """The functions that a glob matches that can be probed. With one other among them, none would be attached."""
    for symbol in elf.match(pattern):
        offset = elf.offset_of(symbol.address)
        if offset is not None and not _is_refused(elf, offset):
            yield symbol


def _is_refused(elf: Elf, offset: int) -> bool:
    """Whether the kernels of today put no probe there."""
    if elf.machine != EM_X86_64:
        return False
    first = elf.data[offset]
    return first == _LOCK or (first in _VEX and elf.data[offset + _VEX[first]] in _REFUSED)


def _check(elf: Elf, offset: int, where: str) -> None:
    if _is_locked(elf, offset):
        hint = "the instruction has a 'lock' prefix; probe the one after it, or the functions that call this one"
        raise ProbeError(f"The kernel cannot put a probe at {where}", hint)


def _has_dwarf(elf: Elf) -> bool:
    if elf.section(".debug_info"):
        return True
    from pytrace.kernel.debugfile import find_debug_file

    debug = find_debug_file(elf) if elf.stripped or not elf.section(".symtab") else None
    return bool(debug and debug.section(".debug_info"))


def _demangled(elf: Elf, pattern: str) -> Iterator[tuple[Symbol, str]]:
    """The C++ functions of a demangled name, or that match it; without parentheses in the pattern, whatever their
    parameters. Symbols that mean the same place by the same name (constructors have two each) are given once.

    Raises `ProbeError` where there is no C++ runtime to demangle with."""
    from pytrace.kernel.demangle import can_demangle, demangle, is_fragment, is_mangled, spellings

    if not can_demangle():
        hint = "install libstdc++ or libc++abi, or write the name as nm shows it"
        raise ProbeError("There is no C++ runtime on this machine that could read C++ names", hint)
    found: dict[tuple[int, str], Symbol] = {}
    exact: dict[tuple[int, str], Symbol] = {}
    accepts = compile_glob(pattern).fullmatch
    pieces = re.split(r"[*?\[\]]+", pattern)
    for symbol in elf.functions:
        text = demangle(symbol.name) if is_mangled(symbol.name) else ""
        # All spellings are parts of it; taking it apart is slow.
        if not text or not all(piece in text for piece in pieces) or is_fragment(text):
            continue
        names = spellings(text)
        # C++ has names that look like globs, such as `f(int*)`.
        if pattern in names:
            exact.setdefault((symbol.address, text), symbol)
        elif any(map(accepts, names)):
            found.setdefault((symbol.address, text), symbol)
    for (_, text), symbol in (exact or found).items():
        yield symbol, text


PROVIDER = UprobeProvider("uprobe", ("u",), "the entry of a function in user space", returns=False)
