"""Which kernel functions a probe may be put on."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from pytrace.kernel.errors import KernelError
from pytrace.kernel.glob import select

if TYPE_CHECKING:
    from pytrace.kernel.kernel import Kernel

# What ftrace shows in the place of functions that were discarded.
_NONE = "__ftrace_invalid_address__"


class Traceable:
    """The functions that kprobes and fentry may go to: those that ftrace lists, or where that list may not be read
    (not root, lockdown, no function tracer), the functions of kallsyms that BTF describes.

    With `path`, those that this file lists. `source` says which it was. Modules are named as in kallsyms; "" is
    vmlinux. Raises `KernelError` where there is nothing to read.
    """

    def __init__(self, kernel: Kernel, path: str = "") -> None:
        self._kernel = kernel
        listed = _listed_in(path) if path else self._listed_by_ftrace()
        self.source = path or ("kallsyms" if listed is None else "available_filter_functions")
        self._by_module = self._described_by_btf() if listed is None else listed

    def _listed_by_ftrace(self) -> dict[str, str] | None:
        try:
            text = self._kernel.tracefs.read("available_filter_functions")
        except (OSError, KernelError):
            return None
        return _by_module(text) or None

    def _described_by_btf(self) -> dict[str, str]:
        symbols, btf = self._kernel.kallsyms, self._kernel.btf
        found = {"": _lines(set(symbols.functions()) & set(btf.function_names()))}
        for module in symbols.modules:
            if module in btf.modules:
                found[module] = _lines(
                    set(symbols.functions(module=module)) & set(btf.modules[module].function_names())
                )
        return found

    def functions(self, pattern: str = "*", module: str = "") -> list[str]:
        """The sorted names of a module's functions that match a glob."""
        return select(self._by_module.get(module, ""), pattern)

    @cached_property
    def modules(self) -> list[str]:
        """The sorted names of the modules that have traceable functions, without vmlinux."""
        return sorted(name for name in self._by_module if name)

    def has(self, function: str, module: str | None = None) -> bool:
        """Whether there is such a function, in that module or (None) anywhere."""
        modules = self._by_module if module is None else [module]
        return any(self.functions(function, name) for name in modules)


def _listed_in(path: str) -> dict[str, str]:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return _by_module(file.read())
    except OSError as error:
        raise KernelError(f"cannot read the traceable functions from {path}: {error.strerror}") from error


def _by_module(text: str) -> dict[str, str]:
    names: dict[str, set[str]] = {}
    for line in text.split("\n"):
        name, _, module = line.partition(" ")
        if name and not name.startswith(_NONE):
            names.setdefault(module.strip("[]"), set()).add(name)
    return {module: _lines(found) for module, found in names.items()}


def _lines(names: set[str]) -> str:
    return "".join(f"{name}\n" for name in sorted(names))
