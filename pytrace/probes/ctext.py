"""C types as text: the declarations of tracepoint records become types."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, cast

from pytrace.types import BOOL, VOID, Array, Int, Pointer, Struct, Type

if TYPE_CHECKING:
    from pytrace.kernel.btf import Btf

Space = Literal["kernel", "user", ""]

CHAR = Int(8, True)
_QUALIFIERS = re.compile(r"\b(const|volatile|restrict|__user|__kernel|__rcu|__iomem|__percpu|__seg_[gf]s|register)\b")
_WORDS = {"char": 8, "short": 16, "long": 64}
_BASE = {"unsigned", "signed", "int", *_WORDS}


def parse(text: str, btf: Btf | None, space: Space = "", size: int = 0, signed: bool | None = None) -> Type:
    """The type of a C declaration without its name: `const char *`, `struct sockaddr *`, `umode_t`, `u8[16]`.

    Pointers point into `space`. `size` in bytes (0: unknown) and `signed` are what the record says where
    neither C nor BTF knows the type.
    """
    text = _QUALIFIERS.sub(" ", text).strip()
    if m := re.fullmatch(r"(.*?)\[(\w*)\]", text):
        element = parse(m[1], btf, space, 0, signed)
        count = size // element.size if size and element.size else int(m[2]) if m[2].isdigit() else 0
        return Array(element, count)
    stars = text.count("*")
    base = _base(" ".join(text.replace("*", " ").split()), btf, stars > 0, 0 if stars else size, signed)
    if "(" in text or base is None:
        base = VOID if stars else _int(size or 8, bool(signed))
    for _ in range(stars):
        base = Pointer(base, space)
    return base


def _base(name: str, btf: Btf | None, pointed: bool, size: int, signed: bool | None) -> Type | None:
    words = name.split()
    if not words or name == "void":
        return VOID
    if name in ("bool", "_Bool"):
        return BOOL
    if set(words) <= _BASE:
        bits = next((_WORDS[w] for w in words if w in _WORDS), 32)
        return Int(cast(Literal[8, 16, 32, 64], bits), "unsigned" not in words)
    if words[0] in ("struct", "union") and len(words) == 2:
        found = btf.struct(words[1], words[0]) if btf else None
        if found and pointed:
            return Struct(found.tag, found.name, found.byte_size, None)
        return found or (Struct("union" if words[0] == "union" else "struct", words[1], 0, None) if pointed else None)
    if words[0] == "enum" and len(words) == 2:
        return btf.enum(words[1]) if btf else None
    typedef = btf.typedef(name) if btf and len(words) == 1 else None
    if isinstance(typedef, Struct) and pointed and typedef.name:
        return Struct(typedef.tag, typedef.name, typedef.byte_size, None)
    return typedef if typedef is None or pointed or not size or size == 8 or typedef.size == size else None


def _int(size: int, signed: bool) -> Type:
    if size in (1, 2, 4, 8):
        return Int(cast(Literal[8, 16, 32, 64], size * 8), signed)
    return Array(Int(8, False), size)
