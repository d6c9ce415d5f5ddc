"""The settings of a script: every key with its type, default and meaning, and where values come from.

A value is taken, in rising order of power, from the default, the script's `config = { … }` block, the environment
(`BPFTRACE_X`, then `PYTRACE_X`, X being the key in capitals) and the caller's own options. Accepted forms are those
of bpftrace: a number, a boolean, a string or a bare word, each converted where that makes sense
(`print_maps_on_exit = off`, `max_map_keys = "0x10"`). Keys may be written in any case and with a `bpftrace_` prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pytrace.diagnostics import Diagnostics, Source, Span
from pytrace.environment import variable
from pytrace.record import field, fields, record, replace
from pytrace.semantics.hints import nearest
from pytrace.semantics.literals import parse_integer
from pytrace.syntax import ast

Value = str | int | bool

LICENSES = ("GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL")
UNSTABLE = ("enable", "warn", "error")


@record
class Key:
    """One setting. `parse` turns a written value into the typed one or raises `ValueError` with the reason."""

    name: str
    default: Value
    doc: str
    parse: Callable[[Value], Value]
    choices: tuple[str, ...] = ()

    @property
    def type_name(self) -> str:
        """How the reference names its type."""
        return " | ".join(self.choices) or {bool: "bool", int: "uint64", str: "string"}[type(self.default)]


def _boolean(value: Value) -> bool:
    if isinstance(value, bool | int):
        return bool(value)
    match value.lower():
        case "true" | "yes" | "on" | "1":
            return True
        case "false" | "no" | "off" | "0":
            return False
    raise ValueError("invalid boolean: valid values are true, false, 1 and 0")


def _number(minimum: int, maximum: int) -> Callable[[Value], int]:
    def parse(value: Value) -> int:
        number = int(value) if isinstance(value, bool | int) else parse_integer(value)
        if number is None:
            raise ValueError(f"expecting a number, got {value!r}")
        if not minimum <= number <= maximum:
            raise ValueError(f"{number} is not between {minimum} and {maximum}")
        return number

    return parse


def _choice(choices: tuple[str, ...], *, any_case: bool = False) -> Callable[[Value], str]:
    def parse(value: Value) -> str:
        text = str(value)
        for choice in choices:
            if text == choice or (any_case and text.lower() == choice.lower()):
                return choice
        raise ValueError(f"invalid value {text!r}: valid values are {', '.join(choices[:-1])} and {choices[-1]}")

    return parse


def _unstable(value: Value) -> str:
    if isinstance(value, bool | int):
        return "enable" if value else "error"
    word = {"true": "enable", "1": "enable", "false": "error", "0": "error"}.get(value.lower(), value)
    return _choice(UNSTABLE, any_case=True)(word)


def _text(value: Value) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _setting(
    default: Any, doc: str, parse: Callable[[Value], Value], choices: tuple[str, ...] = ()
) -> Any:  # the dataclass field it makes stands for a value of any of the three types
    return field(default=default, metadata={"doc": doc, "parse": parse, "choices": choices})


_KEYS = _number(1, 2**32 - 1)
_UINT64 = _number(0, 2**64 - 1)


@record(kw_only=True)
class Config:
    """The value of every setting. Field order is that of the record which the builtin `config` gives."""

    cpp_demangle: bool = _setting(True, "Demangle C++ symbols in stacks and symbol output", _boolean)
    lazy_symbolication: bool = _setting(
        True, "Read the symbols of programs when one is printed; false: when probes are attached", _boolean
    )
    print_maps_on_exit: bool = _setting(True, "Print every non-empty map at the end", _boolean)
    use_blazesym: bool = _setting(False, "Accepted for compatibility; symbols are always resolved here", _boolean)
    show_debug_info: bool = _setting(False, "File, line and inlined functions in stacks, from debug info", _boolean)
    log_size: int = _setting(1_000_000, "Bytes kept of the verifier's log", _UINT64)
    max_bpf_progs: int = _setting(1024, "Most BPF programs a script may make", _UINT64)
    max_cat_bytes: int = _setting(10240, "Most bytes that cat() prints of a file", _UINT64)
    max_map_keys: int = _setting(4096, "Most keys in a map without a declared size", _KEYS)
    max_probes: int = _setting(1024, "Most probes a script may attach", _UINT64)
    max_strlen: int = _setting(1024, "Most bytes of a str(), buf() or path()", _number(1, 2**30))
    on_stack_limit: int = _setting(32, "Largest value in bytes that is kept on the BPF stack", _UINT64)
    perf_rb_pages: int = _setting(0, "Pages of the ring buffer; 0 chooses by the size of memory", _UINT64)
    str_trunc_trailer: str = _setting("..", "Printed after a string that was cut", _text)
    unstable_import_statement: Literal["enable", "warn", "error"] = _setting(
        "error", "`import` as a statement", _unstable, UNSTABLE
    )
    unstable_tseries: Literal["enable", "warn", "error"] = _setting("warn", "tseries()", _unstable, UNSTABLE)
    unstable_typeinfo: Literal["enable", "warn", "error"] = _setting("error", "typeinfo()", _unstable, UNSTABLE)
    unstable_dw_ustack: Literal["enable", "warn", "error"] = _setting("warn", "dw_ustack()", _unstable, UNSTABLE)
    missing_probes: Literal["error", "warn", "ignore"] = _setting(
        "error",
        "What to do about a probe that cannot be attached",
        _choice(("error", "warn", "ignore"), any_case=True),
        ("error", "warn", "ignore"),
    )
    stack_mode: Literal["bpftrace", "perf", "raw", "build_id"] = _setting(
        "bpftrace",
        "How stacks print that do not say it themselves",
        _choice(("bpftrace", "perf", "raw", "build_id")),
        ("bpftrace", "perf", "raw", "build_id"),
    )
    license: str = _setting("GPL", "License the programs declare to the kernel", _choice(LICENSES), LICENSES)
    cache_user_symbols: Literal["AUTO", "PER_PID", "PER_PROGRAM", "NONE"] = _setting(
        "AUTO",
        "Which user symbols stay known once found: those of a program, of a process, or none; AUTO is PER_PROGRAM",
        # bpftrace takes any boolean here too, from the time when it was one.
        lambda v: (
            ("AUTO" if v else "NONE")
            if isinstance(v, bool | int) or v in ("0", "1")
            else _choice(("PER_PID", "PER_PROGRAM", "NONE", "AUTO"), any_case=True)(v)
        ),
        ("AUTO", "PER_PID", "PER_PROGRAM", "NONE"),
    )

    percentiles: bool = _setting(False, "A line of p50, p90 and p99 below every histogram", _boolean)

    def record(self) -> tuple[tuple[str, Value], ...]:
        """What the builtin `config` holds: all settings in order, except those that bpftrace leaves out or has not."""
        return tuple(i for i in self.items() if i[0] not in ("cache_user_symbols", "percentiles"))

    def items(self) -> tuple[tuple[str, Value], ...]:
        """Every setting and its value, as `Program.config` keeps them."""
        return tuple((name, getattr(self, name)) for name in KEYS)


KEYS: Mapping[str, Key] = {
    f.name: Key(f.name, f.default, f.metadata["doc"], f.metadata["parse"], f.metadata["choices"])
    for f in fields(Config)
}

# Read where they matter and never from a script.
ENVIRONMENT_ONLY: Mapping[str, str] = {
    "btf": "Path of the BTF to use instead of /sys/kernel/btf/vmlinux",
    "kernel_build": "Kernel build directory, if that is not the source directory: its generated headers",
    "kernel_source": "Kernel source directory: #include looks there for headers of the kernel",
    "vmlinux": "Path of a vmlinux with debug info, for the source lines of kernel stacks (show_debug_info)",
}
_RENAMED = {"strlen": "max_strlen", "map_keys_max": "max_map_keys", "no_cpp_demangle": "cpp_demangle"}
_DEPRECATED = ("max_type_res_iterations", "symbol_source", "unstable_map_decl", "unstable_import", "unstable_macro")


def configure(
    block: ast.Config | None,
    diagnostics: Diagnostics,
    *,
    environ: Mapping[str, str] | None = None,
    options: Mapping[str, Value] | None = None,
) -> Config:
    """The settings of a script whose config block is `block`. Mistakes, wherever they are, become diagnostics and
    leave the key as it was. `environ` is the process's unless given."""
    values: dict[str, Value] = {}
    for entry in block.entries if block else ():
        _from_entry(entry, values, diagnostics)
    for name, key in KEYS.items():
        text = variable(name, environ)
        if text is not None:
            values[name] = _given(key, text, "environment", f"{name.upper()}={text}", diagnostics, values)
    for name, value in (options or {}).items():
        if name not in KEYS:
            at = _span("options", f"{name}={value}")
            diagnostics.error(at, f"{name}: not a known configuration option", _nearest(name))
        else:
            values[name] = _given(KEYS[name], value, "options", f"{name}={value}", diagnostics, values)
    return replace(Config(), **values)  # type: ignore[arg-type]  # each value went through its key's parse


def _from_entry(entry: ast.ConfigEntry, values: dict[str, Value], diagnostics: Diagnostics) -> None:
    name = entry.key.lower().removeprefix("bpftrace_").removeprefix("pytrace_")
    value = _written(entry.value)
    if name in ENVIRONMENT_ONLY:
        hint = f"set PYTRACE_{name.upper()} in the environment"
        diagnostics.error(entry.span, f"{name}: can only be set as an environment variable", hint)
        return
    if name in _DEPRECATED:
        diagnostics.warning(entry.span, f"{name} is deprecated and has no effect")
        return
    if name in _RENAMED:
        diagnostics.warning(entry.span, f"{name} has been renamed, please use {_RENAMED[name]}")
        if name == "no_cpp_demangle" and isinstance(value, bool | int):
            value = not value
        name = _RENAMED[name]
    key = KEYS.get(name)
    if key is None:
        diagnostics.error(entry.span, f"{entry.key}: not a known configuration option", _nearest(name))
    elif value is None:
        diagnostics.error(entry.span, f"{name}: expected a string, a number, a boolean or a word")
    else:
        try:
            values[name] = key.parse(value)
        except ValueError as e:
            diagnostics.error(entry.span, f"{name}: {e}")


def _written(value: ast.Expr | str) -> Value | None:
    match value:
        case str():
            return value
        case ast.Integer(value=v) | ast.String(value=v) | ast.Boolean(value=v) | ast.Identifier(name=v):
            return v
        case _:
            return None


def _given(
    key: Key, value: Value, where: str, text: str, diagnostics: Diagnostics, values: Mapping[str, Value]
) -> Value:
    try:
        return key.parse(value)
    except ValueError as e:
        diagnostics.error(_span(where, text), f"{key.name}: {e}")
        return values.get(key.name, key.default)


def _span(where: str, text: str) -> Span:
    return Span(Source(where, text), 0, len(text))


def _nearest(name: str) -> str | None:
    close = nearest(name, KEYS)
    return f"did you mean '{close}'?" if close else None
