"""BPF programs: relocated against the maps that were made for them, bound to their BTF, loaded."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytrace.kernel import KernelError, bpf
from pytrace.kernel.bpf import Cmd, ProgType
from pytrace.program import ProgSpec, Tracing
from pytrace.runtime.maps import KernelMap
from pytrace.runtime.verifier import VerifierError

if TYPE_CHECKING:
    from pytrace.kernel import Kernel

_PSEUDO_MAP_FD = 1
_PSEUDO_MAP_VALUE = 2
_PSEUDO_KFUNC_CALL = 2
_SLEEPABLE = 1 << 4
_KIND_TYPEDEF, _KIND_FUNC = 8, 12
_LOG_SIZE = 16 * 1024 * 1024 - 1  # what every kernel accepts; pages that are not written cost nothing


class LoadError(KernelError):
    """A program could not be prepared for loading: what it is to be bound to is not there."""


class LoadedProgram:
    """A program in the kernel. `fd` is its descriptor."""

    def __init__(self, spec: ProgSpec, fd: int) -> None:
        self.spec, self.fd = spec, fd

    def misses(self) -> int:
        """How often the kernel skipped it because it was running on that CPU already (5.12+; 0 before)."""
        return int(struct.unpack_from("=Q", bpf.object_info(self.fd), 208)[0])

    def run(self, context: bytes = bytes(96)) -> int:
        """Runs it once by BPF_PROG_TEST_RUN and gives what it returned. The default context is a raw tracepoint's
        twelve arguments, all zero."""
        return bpf.prog_test_run(self.fd, context)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def load_btf(data: bytes) -> int:
    """A fd of a program's BTF. Raises `LoadError` with the kernel's words where it is refused."""
    try:
        return bpf.btf_load(data)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EPERM):  # none of them is about the BTF
            raise LoadError(f"cannot load the program's BTF: {error.strerror}") from error
        log = bpf.Mapping(-1, 1 << 20)
        with contextlib.suppress(OSError):  # the first error is the one to report
            bpf.btf_load(data, log.address, log.length)
        text = _text(log)
        log.close()
        raise LoadError(f"the kernel refuses the program's BTF: {text.strip() or error.strerror}") from error


def load(
    spec: ProgSpec,
    maps: Mapping[str, KernelMap],
    btf_fd: int,
    btf: bytes,
    kernel: Kernel,
    license: str = "GPL",
    log_size: int = 1_000_000,
) -> LoadedProgram:
    """Raises `VerifierError` if the kernel refuses it, with the last `log_size` bytes of its log, and `LoadError` if
    its target does not exist."""
    borrowed: list[int] = []
    try:
        attach_btf_id, attach_fd = _target(spec, kernel, borrowed)
        insns, fd_array = _relocated(spec, maps, kernel, borrowed)

        def load(log: int = 0, room: int = 0) -> int:
            return bpf.prog_load(
                spec.type,
                insns,
                name=spec.name,
                license=license,
                expected_attach_type=spec.expected_attach_type,
                flags=_SLEEPABLE if spec.sleepable else 0,
                btf_fd=btf_fd,
                func_info=spec.func_info if btf_fd else b"",
                line_info=spec.line_info if btf_fd else b"",
                attach_btf_id=attach_btf_id,
                attach_fd=attach_fd,
                fd_array=fd_array,
                log=log,
                log_size=room,
                log_level=1 if log else 0,
            )

        try:
            return LoadedProgram(spec, load())
        except OSError as first:
            log = bpf.Mapping(-1, _LOG_SIZE + 1)
            try:
                # The same load once more, only to hear why. It may succeed: EAGAIN after a signal is one such case.
                return LoadedProgram(spec, load(log.address, _LOG_SIZE))
            except OSError as second:
                error = first if second.errno == errno.ENOSPC else second
                raise VerifierError(spec, error, _text(log), btf, log_size) from error
            finally:
                log.close()
    finally:
        for fd in borrowed:
            os.close(fd)


def _text(log: bpf.Mapping) -> str:
    content = log.view.tobytes() if log.length <= 1 << 20 else _until_nul(log.view)
    return content.partition(b"\0")[0].decode(errors="replace")


def _until_nul(view: memoryview) -> bytes:
    """The part before the first NUL, without touching the pages behind it."""
    pieces: list[bytes] = []
    for at in range(0, len(view), 1 << 16):
        piece = bytes(view[at : at + (1 << 16)])
        pieces.append(piece)
        if b"\0" in piece:
            break
    return b"".join(pieces)


def _relocated(
    spec: ProgSpec, maps: Mapping[str, KernelMap], kernel: Kernel, borrowed: list[int]
) -> tuple[bytes, bytes]:
    """Instructions with the fds in place, and the array of module BTF fds that kernel function calls refer to."""
    insns = bytearray(spec.insns)
    for reloc in spec.relocs:
        at = reloc.insn * 8
        source = _PSEUDO_MAP_VALUE if reloc.value else _PSEUDO_MAP_FD
        insns[at + 1] = (insns[at + 1] & 0x0F) | source << 4
        struct.pack_into("=i", insns, at + 4, maps[reloc.map].fd)
        struct.pack_into("=i", insns, at + 12, reloc.addend if reloc.value else 0)
    modules: dict[str, int] = {}
    fds = [0]  # index 0 is vmlinux
    for call in spec.func_relocs:
        at = call.insn * 8
        id, module = _kernel_function(call.name, kernel)
        if module and module not in modules:
            fd = module_btf_fd(module)
            borrowed.append(fd)
            modules[module] = len(fds)
            fds.append(fd)
        insns[at + 1] = (insns[at + 1] & 0x0F) | _PSEUDO_KFUNC_CALL << 4
        struct.pack_into("=hi", insns, at + 2, modules.get(module, 0), id)
    return bytes(insns), struct.pack(f"={len(fds)}i", *fds) if modules else b""


def _kernel_function(name: str, kernel: Kernel) -> tuple[int, str]:
    id = kernel.btf.id(_KIND_FUNC, name)
    if id is not None:
        return id, ""
    for module, btf in kernel.btf.modules.items():
        id = btf.id(_KIND_FUNC, name)
        if id is not None:
            return id, module
    raise LoadError(f"this kernel has no function {name}")


def _target(spec: ProgSpec, kernel: Kernel, borrowed: list[int]) -> tuple[int, int]:
    """BTF id and fd of what a tracing program is loaded for."""
    if not spec.attach_btf:
        return 0, 0
    program = next((a.target_prog for a in spec.attach if isinstance(a, Tracing) and a.target_prog), 0)
    if program:
        return _in_program(program, spec.attach_btf, borrowed)
    kind = _KIND_TYPEDEF if spec.attach_btf.startswith("btf_trace_") else _KIND_FUNC
    btf = kernel.btf.modules[spec.attach_module] if spec.attach_module else kernel.btf
    id = btf.id(kind, spec.attach_btf)
    if id is None:
        raise LoadError(f"the kernel's BTF has no {spec.attach_btf}")
    if not spec.attach_module:
        return id, 0
    fd = module_btf_fd(spec.attach_module)
    borrowed.append(fd)
    return id, fd


def _in_program(program: int, function: str, borrowed: list[int]) -> tuple[int, int]:
    """The BTF id of a function of the loaded BPF program with the id `program`, and a fd of that program."""
    try:
        fd = bpf.fd_by_id(Cmd.PROG_GET_FD_BY_ID, program)
    except OSError as error:
        raise LoadError(f"there is no BPF program with the id {program}") from error
    borrowed.append(fd)
    btf_id = struct.unpack_from("=I", bpf.object_info(fd), 128)[0]
    if not btf_id:
        raise LoadError(f"BPF program {program} has no BTF")
    from pytrace.kernel.bpfprogs import program_btf

    id = program_btf(btf_id).id(_KIND_FUNC, function)
    if id is None:
        raise LoadError(f"BPF program {program} has no function {function}")
    return id, fd


def module_btf_fd(module: str) -> int:
    """A fd of a kernel module's BTF (5.11+), the caller's to close. Raises `LoadError` if there is none."""
    for id in bpf.btf_ids():
        try:
            fd = bpf.fd_by_id(Cmd.BTF_GET_FD_BY_ID, id)
        except OSError:
            continue  # unloaded meanwhile
        name = bytearray(64)
        info = bytearray(struct.pack("=QIIQII", 0, 0, 0, bpf.address(name), len(name), 0))
        bpf.fill_info(fd, info)
        of_kernel = struct.unpack_from("=I", info, 28)[0]
        if of_kernel and name.partition(b"\0")[0].decode(errors="replace") == module:
            return fd
        os.close(fd)
    raise LoadError(f"module {module} is not loaded, or has no BTF")


__all__ = ["LoadError", "LoadedProgram", "ProgType", "load", "load_btf", "module_btf_fd"]
