"""What the verifier said when it refused a program: the whole log, and the one line in it that matters."""

from __future__ import annotations

import errno
import re
import struct

from pytrace.kernel import KernelError
from pytrace.program import ProgSpec

# What is no complaint: state dumps, instructions, source lines, marks of the backtracking and the figures at the end.
# Not compiled here, as few runs need it.
_NOISE = (
    r"^(;|\d+: |\(|from \d+|R\d+(_\w+)?=|R\d+ R\d+|processed \d+ insns|verification time|stack depth|mark_precise|"
    r"parent |cur state|old state|last_idx|regs=|frame\d+|func#|Func#|caller:|callee:|propagating|returning from|"
    r"to caller|max_states_per_insn|[Ll]ive regs|\s|$|\w+ -> )"
)
_INSN = r"^(\d+): \("


class VerifierError(KernelError):
    """The kernel refused a program. `str()` is the short form: what is wrong, and the script line it came from if that
    is known. `log` is the verifier's log, of which the last `log_size` characters are kept; `location` the (file, line,
    column) or None; `complaint` the line of the log.
    """

    def __init__(self, spec: ProgSpec, error: OSError, log: str, btf: bytes, log_size: int = 1_000_000) -> None:
        self.program, self.errno = spec.name, error.errno
        self.log = log
        if len(log) > log_size:
            cut = f"({len(log) - log_size} bytes were left out here; config = {{ log_size = N }} keeps more)\n"
            self.log = cut + log[len(log) - log_size :]
        lines = log.splitlines()
        complaints = [line for line in lines if not re.match(_NOISE, line)]
        self.complaint = complaints[-1].strip() if complaints else ""
        at = [int(m[1]) for line in lines if (m := re.match(_INSN, line))]
        self.location = line_of(spec, at[-1], btf) if at and self.complaint else None
        hint = "ulimit -n raises that limit" if error.errno == errno.EMFILE else None
        super().__init__(self._short(error), hint or ("-d verifier shows the whole log" if log else None))

    def _short(self, error: OSError) -> str:
        reason = self.complaint or _reason(error)
        where = "{}:{}:{}: ".format(*self.location) if self.location else ""
        return f"{where}the kernel refuses {self.program}: {reason}"


def _reason(error: OSError) -> str:
    match error.errno:
        case errno.EPERM | errno.EACCES:
            return "not permitted (it needs root, or CAP_BPF and CAP_PERFMON; or this kernel has such programs locked)"
        case errno.E2BIG:
            return "the program is too large"
        case errno.EINVAL:
            return "this kernel does not have such programs (EINVAL)"
        case _:
            return error.strerror or str(error)


def line_of(spec: ProgSpec, insn: int, btf: bytes) -> tuple[str, int, int] | None:
    """The (file, line, column) that the instruction at index `insn` came from, by the program's line records."""
    best: tuple[int, int, int] | None = None
    for start, file, _, place in struct.iter_unpack("=IIII", spec.line_info):
        if start <= insn and (best is None or start >= best[0]):
            best = (start, file, place)
    if best is None or len(btf) < 24:
        return None
    return _string(btf, best[1]), best[2] >> 10, best[2] & 1023


def _string(btf: bytes, offset: int) -> str:
    """A string of a BTF's string section (`struct btf_header`: …, str_off at 16, str_len at 20, after hdr_len
    bytes)."""
    header, strings = struct.unpack_from("=I", btf, 4)[0], struct.unpack_from("=I", btf, 16)[0]
    start = header + strings + offset
    return btf[start : btf.index(b"\0", start)].decode(errors="replace")
