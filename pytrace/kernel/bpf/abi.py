"""The binary interface of bpf(2): commands, types, and the fields of `union bpf_attr` for each command.

Names, order and widths are those of `include/uapi/linux/bpf.h`. A field that the running kernel does not know may
be passed as long as it is zero.
"""

from __future__ import annotations

import enum
import struct


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


_CODES = {"u32": "I", "u64": "Q", "name": "16s", "pad": "4x"}


class Layout:
    """The fields of a C struct, in order: `pack` takes them by name, and those left out are zero.

    `text` has one word for each field, `name:type`; the types are u32 (the default), u64, name (16 bytes) and pad (4
    bytes).
    """

    def __init__(self, text: str) -> None:
        fields = [(name, kind or "u32") for name, _, kind in (word.partition(":") for word in text.split())]
        self._struct = struct.Struct("=" + "".join(_CODES[kind] for _, kind in fields))
        self._empty = {name: b"" if kind == "name" else 0 for name, kind in fields if kind != "pad"}
        self._offsets: dict[str, int] = {}
        offset = 0
        for name, kind in fields:
            self._offsets[name] = offset
            offset += struct.calcsize("=" + _CODES[kind])

    def pack(self, **values: int | bytes) -> bytearray:
        """The bytes of the struct. Raises TypeError for a field that it does not have."""
        if not values.keys() <= self._empty.keys():
            raise TypeError(f"no such field: {', '.join(sorted(values.keys() - self._empty.keys()))}")
        return bytearray(self._struct.pack(*{**self._empty, **values}.values()))

    def get_u32(self, attr: bytearray, field: str) -> int:
        """A field of the struct, after the kernel has written to it."""
        return int(struct.unpack_from("=I", attr, self._offsets[field])[0])


# `value` is `next_key` for BPF_MAP_GET_NEXT_KEY.
MAP_ELEM = Layout("map_fd :pad key:u64 value:u64 flags:u64")
MAP_BATCH = Layout(
    "in_batch:u64 out_batch:u64 keys:u64 values:u64 count map_fd elem_flags:u64 flags:u64",
)
MAP_CREATE = Layout(
    "map_type key_size value_size max_entries map_flags inner_map_fd numa_node map_name:name map_ifindex",
)
MAP_FREEZE = Layout("map_fd")
PROG_LOAD = Layout(
    """prog_type insn_cnt insns:u64 license:u64 log_level log_size log_buf:u64 kern_version prog_flags prog_name:name
    prog_ifindex expected_attach_type prog_btf_fd func_info_rec_size func_info:u64 func_info_cnt line_info_rec_size
    line_info:u64 line_info_cnt attach_btf_id attach_fd core_relo_cnt fd_array:u64"""
)
PROG_TEST_RUN = Layout(
    """prog_fd retval data_size_in data_size_out data_in:u64 data_out:u64 repeat duration ctx_size_in ctx_size_out
    ctx_in:u64 ctx_out:u64 flags cpu batch_size"""
)
BTF_LOAD = Layout("btf:u64 btf_log_buf:u64 btf_size btf_log_size btf_log_level :pad")
OBJ_INFO = Layout("bpf_fd info_len info:u64")
OBJ_PIN = Layout("pathname:u64 bpf_fd file_flags")
GET_ID = Layout("start_id next_id open_flags")  # start_id is the id itself for *_GET_FD_BY_ID
RAW_TRACEPOINT = Layout("name:u64 prog_fd :pad")
LINK_CREATE = Layout("prog_fd target_fd attach_type flags")  # then what the attach type has
ITER_CREATE = Layout("link_fd flags")
ENABLE_STATS = Layout("type")


def object_name(name: str) -> bytes:
    """Returns the first 15 characters of a name, with those that the kernel refuses replaced by `_`."""
    return bytes(c if c < 128 and (chr(c).isalnum() or c in b"_.") else 0x5F for c in name.encode()[:15])
