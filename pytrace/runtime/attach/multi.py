"""One link for many places: kprobe.multi (5.18+), uprobe.multi (6.6+) and their sessions."""

from __future__ import annotations

import errno
import os
import struct

from pytrace.kernel import bpf
from pytrace.kernel.bpf import AttachType
from pytrace.program import KprobeMulti, UprobeMulti
from pytrace.runtime.attach.link import ENOTSUPP, AttachError, Link, Place

_RETURN = 1


def kprobe_multi(spec: KprobeMulti, prog: int, place: Place) -> Link:
    """Every function of the spec, or none."""
    names = [name.encode() + b"\0" for name in spec.functions]
    addresses = struct.pack(f"={len(names)}Q", *map(bpf.address, names))
    cookies = struct.pack(f"={len(spec.cookies)}Q", *spec.cookies)
    flags = _RETURN if spec.returns and not spec.session else 0
    rest = struct.pack("=IIQQQ", flags, len(names), bpf.address(addresses), 0, bpf.address(cookies))
    type = AttachType.TRACE_KPROBE_SESSION if spec.session else AttachType.TRACE_KPROBE_MULTI
    try:
        return Link([bpf.link_create(prog, 0, type, rest)], slow=True)
    except OSError as error:
        raise AttachError(f"cannot attach {_some(spec.functions)}: {_reason(error)}") from error


def uprobe_multi(spec: UprobeMulti, prog: int, place: Place) -> Link:
    """Every offset of the file, or none."""

    def words(values: tuple[int, ...]) -> bytes:
        return struct.pack(f"={len(values)}Q", *values)

    path = os.fsencode(spec.path) + b"\0"
    offsets, counters, cookies = words(spec.offsets), words(spec.ref_ctr_offsets), words(spec.cookies)
    rest = struct.pack(
        "=QQQQIIIxxxx",
        bpf.address(path),
        bpf.address(offsets),
        bpf.address(counters),
        bpf.address(cookies),
        len(spec.offsets),
        _RETURN if spec.returns and not spec.session else 0,
        place.pid,
    )
    type = AttachType.TRACE_UPROBE_SESSION if spec.session else AttachType.TRACE_UPROBE_MULTI
    try:
        return Link([bpf.link_create(prog, 0, type, rest)], slow=True)
    except OSError as error:
        places = f"{len(spec.offsets)} places of {spec.path}"
        raise AttachError(f"cannot attach to {places}: {_reason(error)}") from error


def _some(names: tuple[str, ...]) -> str:
    return f"kprobe:{names[0]}" if len(names) == 1 else f"{len(names)} kprobes ({names[0]}, …)"


def _reason(error: OSError) -> str:
    match error.errno:
        case errno.ESRCH:
            return "there is no such function or process"
        case errno.EPERM | errno.EACCES:
            return "not permitted (it needs root, or CAP_BPF and CAP_PERFMON)"
        case errno.EINVAL:
            return "the kernel does not allow a probe there, or has no such links"
        case errno.EOPNOTSUPP:
            return "this kernel has no such links"
        case errno.ENOENT:
            return "there is no such file or function"
        case n if n == ENOTSUPP:
            return "the kernel cannot put a probe on one of these instructions"
        case _:
            return error.strerror or str(error)
