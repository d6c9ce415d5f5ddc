"""/proc/kallsyms: kernel symbols by address and by name.

Reading the file is what costs (tens of milliseconds in the kernel); the text itself is searched as it is. The
symbols of vmlinux stand in it sorted by address; those of modules and of BPF programs follow in any order.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property
from typing import NamedTuple

from pytrace.kernel.errors import KernelError
from pytrace.kernel.glob import select

PATH = "/proc/kallsyms"
# What is far above the last symbol of a table is not in it.
_FURTHEST = 1 << 20
_TEXT = frozenset("tTwW")


class KernelSymbol(NamedTuple):
    """`module` is "" for vmlinux, `bpf` for BPF programs."""

    name: str
    address: int
    module: str


class Kallsyms:
    """The symbols of one moment. Raises `KernelError` at construction where the addresses are hidden."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        tab = text.find(b"\t[")
        self._end = len(text) if tab < 0 else text.rfind(b"\n", 0, tab) + 1
        last = text.rfind(b"\n", 0, max(self._end - 1, 0)) + 1
        if not self._address(last):
            raise KernelError(
                f"kernel addresses are hidden: {PATH} shows zeros",
                "run as root, or lower the sysctl kernel.kptr_restrict",
            )

    @staticmethod
    def read() -> Kallsyms:
        """The symbols of now. Raises `KernelError` where they cannot be read."""
        try:
            with open(PATH, "rb") as file:
                return Kallsyms(file.read())
        except OSError as error:
            raise KernelError(f"{PATH} cannot be read: {error.strerror}", "it needs CONFIG_KALLSYMS=y") from error

    @property
    def text(self) -> bytes:
        """All of it, a symbol a line."""
        return self._text

    def _address(self, line: int) -> int:
        return int(self._text[line : line + 16] or b"0", 16)

    def _symbol(self, line: int) -> KernelSymbol:
        text = self._text[line : self._text.find(b"\n", line)].decode()
        address, _, name = text.split(" ", 2)
        name, _, module = name.partition("\t")
        return KernelSymbol(name, int(address, 16), module.strip("[]"))

    # --- by address --------------------------------------------------------------------------------

    @cached_property
    def _others(self) -> tuple[list[int], list[KernelSymbol]]:
        """What is not vmlinux, sorted by address."""
        symbols, line = [], self._end
        while line < len(self._text):
            symbols.append(self._symbol(line))
            line = self._text.find(b"\n", line) + 1 or len(self._text)
        symbols.sort(key=lambda symbol: symbol.address)
        return [symbol.address for symbol in symbols], symbols

    def at(self, address: int) -> tuple[KernelSymbol, int] | None:
        """The symbol that an address is in, and the offset into it. Where several begin at one address it is the
        first of them, as in the kernel's own stack traces. None for an address below or far above all symbols."""
        found = self._in_vmlinux(address)
        addresses, symbols = self._others
        other = bisect_right(addresses, address) - 1
        if other >= 0 and (found is None or addresses[other] > found.address):
            while other and addresses[other - 1] == addresses[other]:
                other -= 1
            found = symbols[other]
        if found is None or not found.address or address - found.address > _FURTHEST:
            return None
        return found, address - found.address

    def _in_vmlinux(self, address: int) -> KernelSymbol | None:
        if not self._end or self._address(0) > address:
            return None
        # The line at `low` is at or below the address, the one at `high` (if any) above it.
        text, low, high = self._text, 0, self._end
        while True:
            middle = text.rfind(b"\n", low, (low + high) // 2) + 1
            if middle <= low:
                middle = text.find(b"\n", low) + 1
                if middle >= high:
                    break
            if int(text[middle : middle + 16], 16) <= address:
                low = middle
            else:
                high = middle
        prefix = text[low : low + 16]
        while low and text[(before := text.rfind(b"\n", 0, low - 1) + 1) : before + 16] == prefix:
            low = before
        return self._symbol(low)

    # --- by name -----------------------------------------------------------------------------------

    def lookup(self, name: str, module: str | None = None) -> list[KernelSymbol]:
        """All symbols of that name (static functions may share one); with `module` ("" or "vmlinux": none) only its."""
        pattern = re.compile(rb" %s(?=[\n\t])" % re.escape(name.encode()))
        found = []
        for match in pattern.finditer(self._text):
            symbol = self._symbol(self._text.rfind(b"\n", 0, match.start()) + 1)
            if module is None or symbol.module == module.replace("vmlinux", ""):
                found.append(symbol)
        return found

    def address(self, name: str, module: str | None = None) -> int | None:
        """The address of the first symbol of that name."""
        found = self.lookup(name, module)
        return found[0].address if found else None

    @cached_property
    def _functions(self) -> dict[str, str]:
        """For each module ("" is vmlinux) the sorted names of its functions, each followed by a newline."""
        names: dict[str, set[str]] = {}
        # "address type name": the address always has 16 digits.
        lines = self._text[: self._end].decode().split("\n")
        names[""] = {line[19:] for line in lines if line[17:18] in _TEXT}
        for line in self._text[self._end :].decode().split("\n"):
            if line[17:18] in _TEXT:
                name, _, module = line[19:].partition("\t")
                names.setdefault(module.strip("[]"), set()).add(name)
        return {module: "".join(f"{name}\n" for name in sorted(names[module])) for module in sorted(names)}

    def functions(self, pattern: str = "*", module: str = "") -> list[str]:
        """The sorted names of a module's text symbols that match a glob; of vmlinux's with ""."""
        return select(self._functions.get(module, ""), pattern)

    @property
    def modules(self) -> list[str]:
        """The sorted names of all modules that have symbols."""
        return [name for name in self._functions if name]
