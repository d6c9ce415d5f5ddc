"""What tells one BTF from another without comparing megabytes."""

from __future__ import annotations

from pytrace.kernel.btf_raw import Blob


def digest(data: Blob) -> str:
    """A name for the contents of a BTF."""
    import hashlib

    return hashlib.sha256(data).hexdigest()[:40]


def kernel_build_id(path: str = "/sys/kernel/notes") -> str:
    """The GNU build id of the running kernel in hex; "" if it has none."""
    try:
        with open(path, "rb") as file:
            notes = file.read()
    except OSError:
        return ""
    at = 0
    while at + 12 <= len(notes):
        name_size, size, kind = (int.from_bytes(notes[at + i : at + i + 4], "little") for i in (0, 4, 8))
        name = notes[at + 12 : at + 12 + name_size]
        at += 12 + (name_size + 3) // 4 * 4
        if kind == 3 and name == b"GNU\0":
            return notes[at : at + size].hex()
        at += (size + 3) // 4 * 4
    return ""
