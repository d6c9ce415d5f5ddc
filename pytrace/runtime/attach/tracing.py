"""Programs on raw tracepoints, on functions by trampoline (fentry, fexit), and iterators."""

from __future__ import annotations

import errno
import os
import struct

from pytrace.kernel import bpf
from pytrace.kernel.bpf import AttachType
from pytrace.program import Iter, RawTracepoint, Tracing
from pytrace.runtime.attach.link import AttachError, Link, Place

_BPFFS = "/sys/fs/bpf"


def raw_tracepoint(spec: RawTracepoint, prog: int, place: Place, *, typed: bool = False) -> Link:
    """`typed` is a tp_btf program, which was loaded for its tracepoint and takes no name."""
    try:
        return Link([bpf.raw_tracepoint_open(prog, "" if typed else spec.name)])
    except OSError as error:
        reason = "there is no such tracepoint" if error.errno == errno.ENOENT else error.strerror
        raise AttachError(f"cannot attach rawtracepoint:{spec.name}: {reason}") from error


def tracing(spec: Tracing, prog: int, place: Place, *, name: str = "") -> Link:
    """fentry, fexit and their like: BPF_RAW_TRACEPOINT_OPEN does it on every kernel that has them (5.5+)."""
    try:
        return Link([bpf.raw_tracepoint_open(prog)], slow=True)
    except OSError as error:
        reason = "the function has another program of this kind" if error.errno == errno.EBUSY else error.strerror
        raise AttachError(f"cannot attach fentry/fexit:{name}: {reason}") from error


def iterator(spec: Iter, prog: int, place: Place) -> Link:
    """Makes the link, from which `walk` makes each walk; with `pin`, gives it a name below /sys/fs/bpf as well."""
    info = bytearray(struct.pack("=IIQ", spec.order, 0, 0)) if spec.order else b""
    rest = struct.pack("=QI", bpf.address(info), len(info)) if info else b""
    try:
        link = Link([bpf.link_create(prog, 0, AttachType.TRACE_ITER, rest)], iterator=True)
    except OSError as error:
        raise AttachError(f"cannot make the iterator: {error.strerror}") from error
    if spec.pin:
        path = os.path.join(_BPFFS, spec.pin)
        try:
            bpf.obj_pin(link.fds[0], path)
        except OSError as error:
            link.close()
            reason = error.strerror
            if not os.path.ismount(_BPFFS):
                reason = f"no BPF file system is there (mount -t bpf bpf {_BPFFS})"
            raise AttachError(f"cannot pin the iterator at {path}: {reason}") from error
    return link


def walk(link: Link) -> bytes:
    """Runs an iterator from beginning to end and gives what its programs wrote to the file (records go to the ring)."""
    fd = bpf.iter_create(link.fds[0])
    pieces: list[bytes] = []
    try:
        while True:
            try:
                piece = os.read(fd, 1 << 16)
            except OSError as error:
                if error.errno == errno.EAGAIN:
                    continue  # it was long: the kernel wants to be asked again
                raise
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
    finally:
        os.close(fd)
