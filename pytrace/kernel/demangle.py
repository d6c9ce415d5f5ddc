"""C++ names as people write them, by the C++ runtime's own demangler where there is one."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, lru_cache


@cache
def _runtime() -> Callable[[bytes], str | None] | None:
    # The backend alone: cffi.FFI().cdef() would import a C parser for 40 ms.
    import _cffi_backend  # type: ignore[import-untyped]

    ffi = _cffi_backend.FFI()
    free = _cffi_backend.load_library(None).load_function(ffi.typeof("void(*)(void *)"), "free")
    for library in ("libstdc++.so.6", "libc++abi.so.1"):
        try:
            runtime = _cffi_backend.load_library(library)
            function = runtime.load_function(ffi.typeof("char *(*)(char *, char *, size_t *, int *)"), "__cxa_demangle")
        except (OSError, AttributeError):
            continue

        def in_runtime(name: bytes, function: Callable[..., object] = function) -> str | None:
            text = function(ffi.new("char[]", name), ffi.NULL, ffi.NULL, ffi.new("int *"))
            if text == ffi.NULL:
                return None
            found: bytes = ffi.string(text)
            free(text)
            return found.decode("utf-8", "replace")

        return in_runtime
    return None


def can_demangle() -> bool:
    """Whether there is a C++ runtime to ask."""
    return _runtime() is not None


def is_mangled(name: str) -> bool:
    """Whether it looks like a name of the Itanium C++ ABI (which older Rust uses too)."""
    return name.startswith(("_Z", "__Z", "___Z"))


@lru_cache(maxsize=65536)
def demangle(name: str) -> str:
    """`ns::f(int)` for `_ZN2ns1fEi`; the name itself if it is not mangled or no C++ runtime is installed."""
    runtime = _runtime() if is_mangled(name) else None
    return (runtime(name.encode()) or name) if runtime else name


def spellings(demangled: str) -> tuple[str, ...]:
    """The ways to write the name of a demangled function: as it is, without the type that templates return, and both
    without the parameters. `int ns::f<char>(char) const` is also `ns::f<char>(char) const`, `int ns::f<char>` and
    `ns::f<char>`."""
    text = _CLONE.sub("", demangled)
    start, end = _name_within(text)
    whole = [text[at:] for at in {0, start}]
    return tuple(dict.fromkeys([*whole, *(text[at:end] for at in {0, start})]))


def is_fragment(demangled: str) -> bool:
    """Whether a compiler made it of a function's body: a part that is jumped to, or called by the rest of it. It is not
    where calls of the function arrive."""
    return _FRAGMENT.search(demangled) is not None


_CLONE = re.compile(r"(?: \[clone [^\]]*\])+$")
_FRAGMENT = re.compile(r" \[clone \.(?:cold|part)\b")
# What has brackets in it that enclose nothing.
_WHOLE = re.compile(r"operator\b\s*(?:<=>|->\*?|<<=?|>>=?|<=?|>=?|\(\)|\[\]|[^\w\s(<]+)?|\(anonymous namespace\)")
_OPENING, _CLOSING = "([{<", ")]}>"


def _name_within(text: str) -> tuple[int, int]:
    """Where the qualified name begins, behind the type it returns, and ends, before its parameters. Words of special
    symbols (`virtual thunk to f()`) are left with it."""
    depth, at, start, end, operator = 0, 0, 0, len(text), False
    while at < len(text):
        c = text[at]
        if (m := _WHOLE.match(text, at)) and (at == 0 or not _is_word(text[at - 1])):
            # A type may follow (`operator bool`, `operator< <int>`): what has spaces in it is still the name.
            operator = operator or (depth == 0 and m[0].startswith("operator"))
            at = m.end()
            continue
        if c in _OPENING:
            if depth == 0 and c == "(" and not text[:at].endswith("decltype "):
                # The last list is that of the function; one before it belongs to a function that this one is local to.
                end = at
            depth += 1
        elif c in _CLOSING:
            depth -= 1
        elif c == " " and depth == 0 and not operator and end == len(text):
            start = at + 1
        at += 1
    return (0 if " to " in text[:start] or text[:start].endswith("for ") else start), end


def _is_word(c: str) -> bool:
    return c.isalnum() or c == "_"
