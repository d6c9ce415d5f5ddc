"""The raw system calls of tracing: bpf(2), perf_event_open(2), mmap(2), one thin function for each command.

Every failure is an `OSError` with the kernel's errno and the name of the command. Descriptors are plain ints,
close-on-exec, and belong to the caller. Structures are those of `include/uapi/linux/bpf.h` and `perf_event.h`; a field
that a kernel does not know yet may be sent as long as it is zero.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import re
import struct
from functools import lru_cache
from typing import Any

# Only the C half of cffi: the Python half parses declarations with pycparser, which takes 50 ms to import.
import _cffi_backend  # type: ignore[import-untyped]

_NUMBERS = {"x86_64": (321, 298), "aarch64": (280, 241), "riscv64": (280, 241), "loongarch64": (280, 241)}
_SYS_BPF, _SYS_PERF_EVENT_OPEN = _NUMBERS.get(os.uname().machine, (280, 241))

_ffi: Any = _cffi_backend.FFI()
_libc: Any = _cffi_backend.load_library(None, 0)
# libc's syscall() is variadic in C; with integers only, the calling conventions of Linux do not tell the difference.
_syscall: Any = _libc.load_function(_ffi.typeof("long (*)(long, long, long, long, long, long, long)"), "syscall")
_mmap: Any = _libc.load_function(_ffi.typeof("intptr_t (*)(intptr_t, size_t, int, int, int, long)"), "mmap")
_munmap: Any = _libc.load_function(_ffi.typeof("int (*)(intptr_t, size_t)"), "munmap")

Readable = bytes | bytearray | memoryview
PAGE = os.sysconf("SC_PAGE_SIZE")
PROT_READ, PROT_WRITE = 1, 2
MAP_SHARED, MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS, MAP_NORESERVE = 1, 2, 0x10, 0x20, 0x4000


class Cmd(enum.IntEnum):
    """`enum bpf_cmd`, as far as it is used."""

    MAP_CREATE = 0
    MAP_LOOKUP_ELEM = 1
    MAP_UPDATE_ELEM = 2
    MAP_DELETE_ELEM = 3
    MAP_GET_NEXT_KEY = 4
    PROG_LOAD = 5
    OBJ_PIN = 6
    PROG_TEST_RUN = 10
    PROG_GET_NEXT_ID = 11
    MAP_GET_NEXT_ID = 12
    PROG_GET_FD_BY_ID = 13
    OBJ_GET_INFO_BY_FD = 15
    RAW_TRACEPOINT_OPEN = 17
    BTF_LOAD = 18
    BTF_GET_FD_BY_ID = 19
    MAP_LOOKUP_AND_DELETE_ELEM = 21
    MAP_FREEZE = 22
    BTF_GET_NEXT_ID = 23
    MAP_LOOKUP_BATCH = 24
    LINK_CREATE = 28
    LINK_GET_NEXT_ID = 31
    ENABLE_STATS = 32
    ITER_CREATE = 33


class ProgType(enum.IntEnum):
    """`enum bpf_prog_type`, as far as it is used."""

    SOCKET_FILTER = 1
    KPROBE = 2
    TRACEPOINT = 5
    PERF_EVENT = 7
    RAW_TRACEPOINT = 17
    TRACING = 26
    EXT = 28
    LSM = 29
    SYSCALL = 31


class AttachType(enum.IntEnum):
    """`enum bpf_attach_type`, as far as it is used."""

    TRACE_RAW_TP = 23
    TRACE_FENTRY = 24
    TRACE_FEXIT = 25
    MODIFY_RETURN = 26
    LSM_MAC = 27
    TRACE_ITER = 28
    PERF_EVENT = 41
    TRACE_KPROBE_MULTI = 42
    TRACE_UPROBE_MULTI = 48
    TRACE_KPROBE_SESSION = 56
    TRACE_UPROBE_SESSION = 57


def address(buffer: Readable) -> int:
    """Where the bytes of an object are. The caller keeps the object alive for as long as the address is used."""
    return int(_ffi.cast("uintptr_t", _ffi.from_buffer(buffer))) if len(buffer) else 0


def _check(result: int, what: str) -> int:
    if result < 0:
        raise OSError(_ffi.errno, os.strerror(_ffi.errno), what)
    return result


def bpf(cmd: Cmd, attr: bytearray) -> int:
    """bpf(2). `attr` is a `union bpf_attr` of any length, into which the kernel writes what it returns."""
    result = int(_syscall(_SYS_BPF, cmd, address(attr), len(attr), 0, 0, 0))
    if result < 0 and _ffi.errno == errno.EPERM and _lift_memlock():
        result = int(_syscall(_SYS_BPF, cmd, address(attr), len(attr), 0, 0, 0))
    return _check(result, f"BPF_{cmd.name}") if result < 0 else result


@lru_cache(maxsize=1)
def _lift_memlock() -> bool:
    """Whether there is a point in trying again: before 5.11, maps and programs count as locked memory, of which a
    process may have 64 KiB. Tried once, and only where the kernel said no."""
    before = _ffi.errno
    version = re.match(r"(\d+)\.(\d+)", os.uname().release)
    lifted = False
    if version and (int(version[1]), int(version[2])) < (5, 11):
        import resource

        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            lifted = True
    _ffi.errno = before
    return lifted


def object_name(name: str) -> bytes:
    """The first 15 characters of a name, with those that the kernel refuses replaced by `_`."""
    return bytes(c if c < 128 and (chr(c).isalnum() or c in b"_.") else 0x5F for c in name.encode()[:15])


# --- maps ---------------------------------------------------------------------------------------


def map_create(
    type: int, key_size: int, value_size: int, max_entries: int, flags: int = 0, name: str = "", inner: int = 0
) -> int:
    """A new map's fd. A map of maps takes such as are like the map with the descriptor `inner`."""
    return bpf(
        Cmd.MAP_CREATE,
        bytearray(
            struct.pack("=7I16sI", type, key_size, value_size, max_entries, flags, inner, 0, object_name(name), 0),
        ),
    )


def map_lookup(fd: int, key: bytes, value: bytearray) -> None:
    """Fills `value`. Raises OSError ENOENT if there is no such key."""
    bpf(Cmd.MAP_LOOKUP_ELEM, bytearray(struct.pack("=IxxxxQQQ", fd, address(key), address(value), 0)))


def map_lookup_and_delete(fd: int, key: bytes, value: bytearray) -> None:
    """Takes an element out of a map; of a queue or stack with an empty `key`. Raises OSError ENOENT if there is
    none."""
    bpf(Cmd.MAP_LOOKUP_AND_DELETE_ELEM, bytearray(struct.pack("=IxxxxQQQ", fd, address(key), address(value), 0)))


def map_update(fd: int, key: bytes, value: Readable, flags: int = 0) -> None:
    bpf(Cmd.MAP_UPDATE_ELEM, bytearray(struct.pack("=IxxxxQQQ", fd, address(key), address(value), flags)))


def map_delete(fd: int, key: bytes) -> None:
    """Raises OSError ENOENT if there is no such key."""
    bpf(Cmd.MAP_DELETE_ELEM, bytearray(struct.pack("=IxxxxQQQ", fd, address(key), 0, 0)))


def map_next_key(fd: int, key: bytes | None, following: bytearray) -> bool:
    """Fills `following` with the key after `key` (None: the first one). False at the end. If `key` is no longer there,
    the kernel starts again from the first."""
    attr = bytearray(struct.pack("=IxxxxQQQ", fd, address(key) if key is not None else 0, address(following), 0))
    try:
        bpf(Cmd.MAP_GET_NEXT_KEY, attr)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return True


def map_lookup_batch(
    fd: int, start: Readable, following: bytearray, keys: bytearray, values: bytearray, count: int
) -> tuple[int, bool]:
    """Reads up to `count` entries (5.6+) from the place that `start` names (empty: the beginning) and leaves the next
    place in `following`. Gives how many were read and whether that was the end. Raises OSError ENOSPC if one bucket
    holds more than `count`."""
    attr = bytearray(
        struct.pack("=QQQQIIQQ", address(start), address(following), address(keys), address(values), count, fd, 0, 0)
    )
    done = False
    try:
        bpf(Cmd.MAP_LOOKUP_BATCH, attr)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        done = True
    return struct.unpack_from("=I", attr, 32)[0], done


def map_freeze(fd: int) -> None:
    """Makes a map read-only for user space (5.2+); the verifier then takes its contents for constants."""
    bpf(Cmd.MAP_FREEZE, bytearray(struct.pack("=I", fd)))


# --- programs -----------------------------------------------------------------------------------


def btf_load(data: bytes, log: Any = None, log_size: int = 0) -> int:
    """A fd of BTF. `log` is the address of a buffer for the kernel's complaints."""
    return bpf(
        Cmd.BTF_LOAD,
        bytearray(struct.pack("=QQIIIxxxx", address(data), log or 0, len(data), log_size, 1 if log else 0)),
    )


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
    """A loaded program's fd. `attach_fd` is the fd of a module's BTF or of the program to attach to; `log` the address
    of `log_size` bytes for the verifier's log."""
    text = license.encode() + b"\0"
    return bpf(
        Cmd.PROG_LOAD,
        bytearray(
            struct.pack(
                "=IIQQIIQII16sIIIIQIIQIIIIQ",
                type,
                len(insns) // 8,
                address(insns),
                address(text),
                log_level,
                log_size,
                log,
                0,
                flags,
                object_name(name),
                0,
                expected_attach_type,
                btf_fd,
                8 if func_info else 0,
                address(func_info),
                len(func_info) // 8,
                16 if line_info else 0,
                address(line_info),
                len(line_info) // 16,
                attach_btf_id,
                attach_fd,
                0,
                address(fd_array),
            )
        ),
    )


def prog_test_run(fd: int, context: bytes = b"", *, cpu: int | None = None) -> int:
    """Runs a program once and gives what it returned, as u32. Raw tracepoint programs from 5.10 on, syscall programs
    from 5.14 on. With `cpu`, raw tracepoint programs run there."""
    attr = bytearray(
        struct.pack(
            "=IIIIQQIIIIQQIII",
            fd,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            len(context),
            0,
            address(context),
            0,
            0 if cpu is None else 1,
            cpu or 0,
            0,
        )
    )
    bpf(Cmd.PROG_TEST_RUN, attr)
    return int(struct.unpack_from("=I", attr, 4)[0])


_INFO_SIZE = 256


def object_info(fd: int, size: int = _INFO_SIZE) -> bytes:
    """The `struct bpf_{prog,map,btf,link}_info` of a fd, zeros where the kernel's is shorter."""
    info = bytearray(size)
    bpf(Cmd.OBJ_GET_INFO_BY_FD, bytearray(struct.pack("=IIQ", fd, size, address(info))))
    return bytes(info)


def info_size(fd: int) -> int:
    """How many bytes of the `struct bpf_*_info` of a fd the kernel knows."""
    info = bytearray(_INFO_SIZE)
    attr = bytearray(struct.pack("=IIQ", fd, len(info), address(info)))
    bpf(Cmd.OBJ_GET_INFO_BY_FD, attr)
    return int(struct.unpack_from("=I", attr, 4)[0])


def fd_by_id(cmd: Cmd, id: int) -> int:
    """PROG_GET_FD_BY_ID or BTF_GET_FD_BY_ID."""
    return bpf(cmd, bytearray(struct.pack("=III", id, 0, 0)))


def ids(cmd: Cmd) -> list[int]:
    """The ids of everything of a kind that is loaded (`PROG_GET_NEXT_ID`, …)."""
    found: list[int] = []
    while True:
        attr = bytearray(struct.pack("=III", found[-1] if found else 0, 0, 0))
        try:
            bpf(cmd, attr)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return found
            raise
        found.append(struct.unpack_from("=I", attr, 4)[0])


def btf_ids() -> list[int]:
    """The ids of all BTF that is loaded: vmlinux, modules and programs."""
    return ids(Cmd.BTF_GET_NEXT_ID)


def enable_stats() -> int:
    """While the fd that this gives is open, the kernel counts how often and how long programs run (5.8+)."""
    return bpf(Cmd.ENABLE_STATS, bytearray(4))


# --- links ----------------------------------------------------------------------------------------


def raw_tracepoint_open(prog: int, name: str = "") -> int:
    """A link to a raw tracepoint; without a name, to where a tracing program was loaded for."""
    text = name.encode() + b"\0"
    return bpf(Cmd.RAW_TRACEPOINT_OPEN, bytearray(struct.pack("=QIxxxx", address(text) if name else 0, prog)))


def link_create(prog: int, target: int, attach_type: int, rest: bytes = b"", flags: int = 0) -> int:
    """BPF_LINK_CREATE (5.7+); `rest` is what stands in `bpf_attr.link_create` behind the flags."""
    return bpf(Cmd.LINK_CREATE, bytearray(struct.pack("=IIII", prog, target, attach_type, flags) + rest))


def iter_create(link: int) -> int:
    """A fd to read: each opening of an iterator's link walks it once."""
    return bpf(Cmd.ITER_CREATE, bytearray(struct.pack("=II", link, 0)))


def obj_pin(fd: int, path: str) -> None:
    """Gives an object a name in a BPF file system, where it outlives this process."""
    text = os.fsencode(path) + b"\0"
    bpf(Cmd.OBJ_PIN, bytearray(struct.pack("=QII", address(text), fd, 0)))


# --- perf events ------------------------------------------------------------------------------------

PERF_EVENT_IOC_ENABLE = 0x2400
PERF_EVENT_IOC_DISABLE = 0x2401
PERF_EVENT_IOC_SET_BPF = 0x40042408
PERF_FLAG_FD_CLOEXEC = 8


class PerfType(enum.IntEnum):
    """`enum perf_type_id`."""

    HARDWARE = 0
    SOFTWARE = 1
    TRACEPOINT = 2
    HW_CACHE = 3
    RAW = 4
    BREAKPOINT = 5


def perf_event_open(
    type: int,
    config: int,
    *,
    pid: int = -1,
    cpu: int = -1,
    period: int = 0,
    freq: int = 0,
    inherit: bool = False,
    disabled: bool = False,
    config1: int = 0,
    config2: int = 0,
    bp_type: int = 0,
    sample_type: int = 0,
    flags: int = 0,
    watermark: int = 0,
) -> int:
    """A perf event's fd. One of `period` and `freq` (Hz) may be given; `pid` -1 is every process, `cpu` -1 every CPU
    (not both). `flags` are further bits of the attribute's bit field. With a `watermark`, it is readable when there
    are so many bytes in its buffer."""
    bits = flags | (1 if disabled else 0) | (2 if inherit else 0) | (1 << 10 if freq else 0)
    bits |= 1 << 14 if watermark else 0
    attr = bytearray(
        struct.pack(
            "=IIQQQQQIIQQ",
            type,
            112,
            config,
            freq or period,
            sample_type,
            0,
            bits,
            watermark or (1 if period == 1 else 0),
            bp_type,
            config1,
            config2,
        )
    )
    attr += bytes(112 - len(attr))
    return _check(
        _syscall(_SYS_PERF_EVENT_OPEN, address(attr), pid, cpu, -1, PERF_FLAG_FD_CLOEXEC, 0), "perf_event_open"
    )


# --- memory -----------------------------------------------------------------------------------------


class Mapping:
    """`length` bytes of a file mapped shared (or anonymous memory with `fd` -1). `view` is writable if `prot` says so.

    Closing unmaps: no view of it may be used afterwards.
    """

    def __init__(self, fd: int, length: int, prot: int = PROT_READ | PROT_WRITE, offset: int = 0) -> None:
        flags = MAP_SHARED if fd >= 0 else MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        self.address = _check_mapped(_mmap(0, length, prot, flags, fd, offset))
        self.length = length
        view = memoryview(_ffi.buffer(_ffi.cast("char *", self.address), length)).cast("B")
        self.view = view if prot & PROT_WRITE else view.toreadonly()

    def close(self) -> None:
        if self.address:
            _munmap(self.address, self.length)
            self.address = 0
            self.view = memoryview(b"")


def _check_mapped(result: int) -> int:
    return _check(-1 if result == -1 else 0, "mmap") or result


def read_u64(at: int) -> int:
    """The u64 at an address, read at once."""
    return int(_ffi.cast("uint64_t *", at)[0])


def write_u64(at: int, value: int) -> None:
    """Writes the u64 at an address, at once."""
    _ffi.cast("uint64_t *", at)[0] = value
