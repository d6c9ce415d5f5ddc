"""The commands of bpf(2) for programs and their BTF, for links, and for all objects by id."""

from __future__ import annotations

import errno
import os

from pytrace.kernel.bpf.abi import (
    BTF_LOAD,
    ENABLE_STATS,
    GET_ID,
    ITER_CREATE,
    LINK_CREATE,
    OBJ_INFO,
    OBJ_PIN,
    PROG_LOAD,
    PROG_TEST_RUN,
    RAW_TRACEPOINT,
    Cmd,
    object_name,
)
from pytrace.kernel.bpf.syscall import Readable, address, bpf

_INSN_SIZE, _FUNC_INFO_SIZE, _LINE_INFO_SIZE = 8, 8, 16
_INFO_SIZE = 256
_TEST_RUN_ON_CPU = 1  # BPF_F_TEST_RUN_ON_CPU


def btf_load(data: bytes, log: int = 0, log_size: int = 0) -> int:
    """Returns the descriptor of loaded BTF. `log` is the address of `log_size` bytes for the kernel's messages."""
    attr = BTF_LOAD.pack(
        btf=address(data), btf_log_buf=log, btf_size=len(data), btf_log_size=log_size, btf_log_level=1 if log else 0
    )
    return bpf(Cmd.BTF_LOAD, attr)


def prog_load(
    type: int,
    insns: Readable,
    *,
    name: str = "",
    license: str = "GPL",
    expected_attach_type: int = 0,
    flags: int = 0,
    btf_fd: int = 0,
    func_info: bytes = b"",
    line_info: bytes = b"",
    attach_btf_id: int = 0,
    attach_fd: int = 0,
    fd_array: bytes = b"",
    log: int = 0,
    log_size: int = 0,
    log_level: int = 0,
) -> int:
    """Returns the descriptor of a loaded program. `attach_fd` is that of a module's BTF or of the program to attach to;
    `log` is the address of `log_size` bytes for the verifier's log."""
    text = license.encode() + b"\0"
    attr = PROG_LOAD.pack(
        prog_type=type,
        insn_cnt=len(insns) // _INSN_SIZE,
        insns=address(insns),
        license=address(text),
        log_level=log_level,
        log_size=log_size,
        log_buf=log,
        prog_flags=flags,
        prog_name=object_name(name),
        expected_attach_type=expected_attach_type,
        prog_btf_fd=btf_fd,
        func_info_rec_size=_FUNC_INFO_SIZE if func_info else 0,
        func_info=address(func_info),
        func_info_cnt=len(func_info) // _FUNC_INFO_SIZE,
        line_info_rec_size=_LINE_INFO_SIZE if line_info else 0,
        line_info=address(line_info),
        line_info_cnt=len(line_info) // _LINE_INFO_SIZE,
        attach_btf_id=attach_btf_id,
        attach_fd=attach_fd,
        fd_array=address(fd_array),
    )
    return bpf(Cmd.PROG_LOAD, attr)


def prog_test_run(fd: int, context: bytes = b"", *, cpu: int | None = None) -> int:
    """Runs a program once and returns its return value as u32: raw tracepoint programs from Linux 5.10 on, syscall
    programs from 5.14 on. With `cpu`, a raw tracepoint program runs on that CPU."""
    attr = PROG_TEST_RUN.pack(
        prog_fd=fd,
        ctx_size_in=len(context),
        ctx_in=address(context),
        flags=0 if cpu is None else _TEST_RUN_ON_CPU,
        cpu=cpu or 0,
    )
    bpf(Cmd.PROG_TEST_RUN, attr)
    return PROG_TEST_RUN.get_u32(attr, "retval")


# --- objects by descriptor and id -----------------------------------------------------------------


def object_info(fd: int, size: int = _INFO_SIZE) -> bytes:
    """Returns the `struct bpf_{prog,map,btf,link}_info` of a descriptor, with zeros where the kernel's is shorter."""
    info = bytearray(size)
    bpf(Cmd.OBJ_GET_INFO_BY_FD, OBJ_INFO.pack(bpf_fd=fd, info_len=size, info=address(info)))
    return bytes(info)


def info_size(fd: int) -> int:
    """Returns how many bytes of the `struct bpf_*_info` of a descriptor the kernel knows."""
    info = bytearray(_INFO_SIZE)
    attr = OBJ_INFO.pack(bpf_fd=fd, info_len=len(info), info=address(info))
    bpf(Cmd.OBJ_GET_INFO_BY_FD, attr)
    return OBJ_INFO.get_u32(attr, "info_len")


def fill_info(fd: int, info: bytearray) -> None:
    """Asks for the `struct bpf_*_info` of a descriptor, where `info` holds the addresses of buffers to be filled."""
    bpf(Cmd.OBJ_GET_INFO_BY_FD, OBJ_INFO.pack(bpf_fd=fd, info_len=len(info), info=address(info)))


def fd_by_id(cmd: Cmd, id: int) -> int:
    """Returns a descriptor of the object with an id; `cmd` is PROG_GET_FD_BY_ID or BTF_GET_FD_BY_ID."""
    return bpf(cmd, GET_ID.pack(start_id=id))


def ids(cmd: Cmd) -> list[int]:
    """Returns the ids of all loaded objects of one kind; `cmd` is PROG_GET_NEXT_ID or one like it."""
    found: list[int] = []
    while True:
        attr = GET_ID.pack(start_id=found[-1] if found else 0)
        try:
            bpf(cmd, attr)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return found
            raise
        found.append(GET_ID.get_u32(attr, "next_id"))


def btf_ids() -> list[int]:
    """Returns the ids of all loaded BTF: vmlinux, modules and programs."""
    return ids(Cmd.BTF_GET_NEXT_ID)


def obj_pin(fd: int, path: str) -> None:
    """Gives an object a name in a BPF file system, where it outlives this process."""
    text = os.fsencode(path) + b"\0"
    bpf(Cmd.OBJ_PIN, OBJ_PIN.pack(pathname=address(text), bpf_fd=fd))


def enable_stats() -> int:
    """Returns a descriptor; while it is open, the kernel counts how often and how long programs run (Linux 5.8 and
    later)."""
    return bpf(Cmd.ENABLE_STATS, ENABLE_STATS.pack())


# --- links ------------------------------------------------------------------------------------------


def raw_tracepoint_open(prog: int, name: str = "") -> int:
    """Returns a link to a raw tracepoint; without a name, to what a tracing program was loaded for."""
    text = name.encode() + b"\0"
    return bpf(Cmd.RAW_TRACEPOINT_OPEN, RAW_TRACEPOINT.pack(name=address(text) if name else 0, prog_fd=prog))


def link_create(prog: int, target: int, attach_type: int, rest: bytes = b"", flags: int = 0) -> int:
    """Returns a link (Linux 5.7 and later); `rest` is what follows the flags in `bpf_attr.link_create`."""
    attr = LINK_CREATE.pack(prog_fd=prog, target_fd=target, attach_type=attach_type, flags=flags)
    return bpf(Cmd.LINK_CREATE, attr + rest)


def iter_create(link: int) -> int:
    """Returns a descriptor to read from: each descriptor of an iterator's link walks it once."""
    return bpf(Cmd.ITER_CREATE, ITER_CREATE.pack(link_fd=link))
