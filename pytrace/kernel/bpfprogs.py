"""The BPF programs that are loaded, by the names of their functions."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator

from pytrace.kernel import bpf
from pytrace.kernel.bpf import Cmd
from pytrace.kernel.btf import Btf
from pytrace.record import record

# Offsets in `struct bpf_prog_info`.
_BTF_ID, _FUNC_INFO_SIZE, _FUNC_INFO, _FUNC_INFOS = 128, 132, 136, 144
_INFO = 256


@record
class BpfFunction:
    """A function of the loaded program `id`, which is of that `type`."""

    id: int
    type: int
    name: str


def functions() -> Iterator[BpfFunction]:
    """Each function of each loaded program that tells its types, programs in the order of their loading. Raises
    OSError without the privilege to see them."""
    for id in bpf.ids(Cmd.PROG_GET_NEXT_ID):
        with contextlib.suppress(OSError):  # it may be gone meanwhile
            fd = bpf.fd_by_id(Cmd.PROG_GET_FD_BY_ID, id)
            try:
                info = bpf.object_info(fd)
                yield from (BpfFunction(id, info[0], name) for name in _names(fd, info))
            finally:
                os.close(fd)


def _names(fd: int, info: bytes) -> list[str]:
    btf_id, size = struct.unpack_from("=II", info, _BTF_ID)
    count = struct.unpack_from("=I", info, _FUNC_INFOS)[0]
    if not btf_id or not count:
        return []
    records = bytearray(size * count)
    asked = bytearray(_INFO)
    struct.pack_into("=IQI", asked, _FUNC_INFO_SIZE, size, bpf.address(records), count)
    bpf.fill_info(fd, asked)
    btf = program_btf(btf_id)
    types = [struct.unpack_from("=I", records, i * size + 4)[0] for i in range(count)]
    return [btf.text(btf.record(type)[0]) for type in types]


def program_btf(id: int) -> Btf:
    """The BTF with an id (`struct bpf_btf_info`: address, size, id, …). Raises OSError if it is gone."""
    fd = bpf.fd_by_id(Cmd.BTF_GET_FD_BY_ID, id)
    try:
        size = struct.unpack_from("=I", bpf.object_info(fd), 8)[0]
        data = bytearray(size)
        info = bytearray(struct.pack("=QIxxxxQII", bpf.address(data), size, 0, 0, 0))
        bpf.fill_info(fd, info)
        return Btf(bytes(data))
    finally:
        os.close(fd)
