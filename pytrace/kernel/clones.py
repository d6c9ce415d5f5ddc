"""Functions that the kernel's compiler has left as clones only: `finish_task_switch` may exist as
`finish_task_switch.isra.0` alone, with or without all of its parameters.

BTF describes many of them by the name that they have in the source, where nothing can be attached. Which ones there
are is the same for as long as a kernel is not built anew, and kept in the cache: symbols take a tenth of a second to
read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from pytrace import cache
from pytrace.kernel.btf_identity import kernel_build_id

if TYPE_CHECKING:
    from pytrace.kernel.kallsyms import Kallsyms

# `.part.N` is a piece of a function and `.cold` what it hardly ever does: neither is entered when it is called.
_CLONE = re.compile(rb" [tTwW] ([^\s.]+)((?:\.(?:isra|constprop|llvm)(?:\.\d+)?)+)(?=[\n\t])")


def find(symbols: Callable[[], Kallsyms]) -> dict[str, tuple[str, ...]]:
    """By the name in the source, the clones of each function that has no other symbol."""
    build = kernel_build_id()
    name = f"clones-{build}" if build else ""
    if name and (kept := cache.read(name)) is not None:
        lines = (line.split(" ") for line in kept.decode("ascii", "replace").splitlines())
        return {function: tuple(clones) for function, *clones in lines}
    found = _by_function(symbols())
    if name:
        cache.write(name, "".join(f"{f} {' '.join(clones)}\n" for f, clones in found.items()).encode())
    return found


def _by_function(symbols: Kallsyms) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for match in _CLONE.finditer(symbols.text):
        base, suffix = match[1].decode(), match[2].decode()
        clones = found.setdefault(base, [])
        if base + suffix not in clones:
            clones.append(base + suffix)
    whole = set(re.findall(rb" [a-zA-Z] ([^\s.]+)(?=[\n\t])", symbols.text))
    return {base: tuple(clones) for base, clones in found.items() if base.encode() not in whole}
