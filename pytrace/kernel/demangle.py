"""C++ names as people write them, by the C++ runtime's own demangler where there is one."""

from __future__ import annotations

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


def is_mangled(name: str) -> bool:
    """Whether it looks like a name of the Itanium C++ ABI (which older Rust uses too)."""
    return name.startswith(("_Z", "__Z", "___Z"))


@lru_cache(maxsize=65536)
def demangle(name: str) -> str:
    """`ns::f(int)` for `_ZN2ns1fEi`; the name itself if it is not mangled or no C++ runtime is installed."""
    runtime = _runtime() if is_mangled(name) else None
    return (runtime(name.encode()) or name) if runtime else name


def base_name(demangled: str) -> str:
    """The name without its parameters, template arguments kept: `ns::f` for `ns::f(int) const`."""
    depth = 0
    for at, c in enumerate(demangled):
        if c in "<":
            depth += 1
        elif c == ">" and not demangled[:at].endswith("operator-"):
            depth -= 1
        elif c == "(" and depth <= 0 and not demangled[:at].endswith("operator"):
            if demangled.startswith("(anonymous namespace)", at):
                continue
            return demangled[:at]
    return demangled
