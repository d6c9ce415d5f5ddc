"""`--info`: what pytrace and this kernel can do together."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from pytrace import __version__
from pytrace.kernel import Kernel, KernelError


def info_command() -> int:
    """Writes the facts, one a line, to the standard output."""
    sys.stdout.write("\n".join(_lines()) + "\n")
    return 0


def _lines() -> Iterator[str]:
    from importlib.metadata import version

    kernel, name = Kernel.running(), os.uname()
    yield "System"
    yield f"  kernel: {name.sysname} {name.release} {name.version}"
    yield f"  machine: {name.machine}, {kernel.possible_cpus} CPUs"
    yield f"  pytrace: {__version__}, Python {sys.version.split()[0]}, llvmlite {version('llvmlite')}"
    try:
        types = f"{len(kernel.btf.struct_names())} structs, {len(kernel.btf.function_names())} functions"
    except KernelError as error:
        types = f"no: {error.message}"
    yield f"  kernel type information (BTF): {types}"
    yield ""
    yield "Kernel features"
    for answer in kernel.features.table():
        found = "yes" if answer.has else f"no ({answer.why})"
        yield f"  {answer.name}: {found}; {answer.doc}, since {answer.since}"
