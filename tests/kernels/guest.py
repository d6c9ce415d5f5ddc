"""Runs every case on the kernel that it runs on: `python -m tests.kernels.guest DIRECTORY [PATTERN]`.

Imports are slow in an emulated machine and forks are not, so everything is imported, and what is known about the kernel
is looked up, once; each case runs in a child of its own. The results are lines of JSON on the standard output.
DIRECTORY holds the traced programs.
"""

from __future__ import annotations

import fnmatch
import json
import os
import select
import signal
import sys
import time
import traceback
from pathlib import Path

from pytrace.diagnostics import ScriptError
from pytrace.kernel import Kernel, KernelError
from tests.kernels.base import Case, Guest
from tests.kernels.cases import CASES
from tests.kernels.targets import Targets

_PATIENCE = 60.0


def attempt(case: Case, guest: Guest) -> dict[str, str]:
    """How a case went: `fired`, `refused` by pytrace in words for a person, or `failed`."""
    try:
        case.run(guest)
    except (ScriptError, KernelError) as error:
        return {"result": "refused", "text": str(error)}
    except BaseException:
        return {"result": "failed", "text": "\n".join([traceback.format_exc(), *guest.messages.lines])}
    return {"result": "fired", "text": ""}


def apart(case: Case, guest: Guest) -> dict[str, str]:
    """The same in a child, which may take a minute."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reader)
        os.write(writer, json.dumps(attempt(case, guest)).encode()[: 1 << 16])
        os._exit(0)
    os.close(writer)
    text = b""
    until = time.monotonic() + _PATIENCE
    while True:
        ready = select.select([reader], [], [], max(0.0, until - time.monotonic()))[0]
        if not ready:
            os.kill(pid, signal.SIGKILL)
            break
        piece = os.read(reader, 1 << 16)
        if not piece:
            break
        text += piece
    os.close(reader)
    _, status = os.waitpid(pid, 0)
    if not text:
        return {"result": "failed", "text": f"the case ended with wait status {status}, or took too long"}
    result: dict[str, str] = json.loads(text)
    return result


def prepare(kernel: Kernel) -> None:
    """Looks up what cases will ask for."""
    for name in kernel.features:
        kernel.features.has(name)
    kernel.btf.struct("task_struct")
    kernel.tracefs.format("syscalls", "sys_enter_getpgid")
    kernel.kallsyms.address("vfs_read")
    next(iter(kernel.traceable.functions("vfs_rea*", "")), None)


def main() -> None:
    directory = Path(sys.argv[1])
    pattern = sys.argv[2] if len(sys.argv) > 2 else "*"
    kernel = Kernel.running()
    guest = Guest(Targets(directory / "target", directory / "target-pie"))
    prepare(kernel)
    answers = {a.name: a.why for a in kernel.features.table()}
    print(json.dumps({"release": kernel.release, "features": answers}), flush=True)
    for case in CASES:
        if fnmatch.fnmatchcase(case.name, pattern):
            began = time.monotonic()
            result = apart(case, guest)
            took = round(time.monotonic() - began, 2)
            print(json.dumps({"case": case.name, "took": took, **result}), flush=True)


if __name__ == "__main__":
    main()
