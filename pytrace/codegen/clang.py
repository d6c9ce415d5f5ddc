"""C imported by a script (`import "x.bpf.c"`), where the machine has a clang: C in, functions that programs can call
out.

clang makes LLVM's bitcode of the file; what its functions take and return is read from the debug information in it.
They become part of every program that calls them, as code of its own: nothing of them is left to be called.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

from pytrace import types as t
from pytrace.record import record

_DEFINE = re.compile(
    r"^define (?!internal)(?P<head>.*?)@(?P<name>[\w$.]+)\((?P<params>.*)\)(?P<rest>.*?) !dbg (?P<id>!\d+) \{$", re.M
)
_NODE = re.compile(r"^(!\d+) = (?:distinct )?(.*)$", re.M)
_GLOBAL = re.compile(r'^@"?([^"\s=]+)"? = (.*)$', re.M)
_NEEDLESS = re.compile(r'^@(?:llvm\.(?:compiler\.)?used = .*|[^\n]* section "license".*)\n', re.M)
_WORD = re.compile(r"\b(void|ptr|i1|i8|i16|i32|i64)\b")
_QUALIFIERS = ("typedef", "const_type", "volatile_type", "restrict_type")
_UNSIGNED = ("unsigned", "unsigned_char", "boolean", "UTF")


class ClangError(Exception):
    """Why a file cannot be imported, with clang's words where they are."""


@record
class Foreign:
    """A function of an imported file. `words` are LLVM's types of what it takes, `result` of what it returns."""

    name: str
    params: tuple[tuple[str, t.Type], ...]
    returns: t.Type
    words: tuple[str, ...]
    result: str
    bitcode: bytes

    @property
    def signature(self) -> str:
        return f"{self.result} @({', '.join(self.words)})"


def find() -> str | None:
    """Where clang is."""
    for directory in os.get_exec_path():
        path = os.path.join(directory, "clang")
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return None


def compile_c(clang: str, path: str, include_directories: Sequence[str]) -> tuple[list[Foreign], list[str]]:
    """The functions of a C file that scripts can call, and the names of those that they cannot. Raises `ClangError`."""
    import subprocess

    import llvmlite.binding

    command = [clang, "-target", "bpf", "-mcpu=v3", "-O2", "-g", "-emit-llvm", "-c", "-o", "-"]
    command += [f"-I{directory}" for directory in include_directories]
    command += ["-idirafter", f"/usr/include/{os.uname().machine}-linux-gnu", os.path.abspath(path)]
    made = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    if made.returncode:
        raise ClangError(made.stderr.decode(errors="replace").strip() or f"clang ended with status {made.returncode}")
    try:
        text = str(llvmlite.binding.parse_bitcode(made.stdout, llvmlite.binding.create_context()))
    except RuntimeError as e:
        raise ClangError(f"this clang's code is not understood: {e}") from None
    for name, what in _GLOBAL.findall(text):
        harmless = name.startswith("llvm.") or 'section "license"' in what or "private unnamed_addr constant" in what
        if not harmless and "external" not in what:
            raise ClangError(f"it has a variable, '{name}': only functions can be imported")
    for name in re.findall(r"^declare .*?@([\w$.]+)\(", text, re.M):
        if not name.startswith("llvm."):
            raise ClangError(f"it calls {name}(), which it does not define")
    _refuse_recursion(text)
    nodes = dict(_NODE.findall(text))
    found, other = [], []
    for match in _DEFINE.finditer(text):
        function = _function(match, nodes, made.stdout)
        found += [function] if function else []
        other += [] if function else [match["name"]]
    return found, other


def _refuse_recursion(text: str) -> None:
    """Raises `ClangError` where functions come to call themselves: they cannot become part of their callers."""
    calls: dict[str, set[str]] = {}
    for body in re.findall(r"^define .*?^}", text, re.M | re.S):
        name, *called = re.findall(r"@([\w$.]+)\(", body)
        calls[name] = set(called)
    for start in calls:
        reached, new = set(), calls[start]
        while new:
            reached |= new
            new = {c for name in new for c in calls.get(name, ())} - reached
        if start in reached:
            raise ClangError(f"{start}() comes to call itself, which a BPF program has no room for")


def _function(match: re.Match[str], nodes: dict[str, str], bitcode: bytes) -> Foreign | None:
    """A function, unless it takes or returns what is no integer or pointer."""
    taken = [_WORD.search(p) for p in match["params"].split(", ")] if match["params"] else []
    result = _WORD.search(match["head"])
    scope = nodes[match["id"]]
    signature = _reference(nodes[_reference(scope, "type")], "types")
    kinds = [_type(nodes, node) for node in re.findall(r"!\d+|null", nodes[signature])]
    if result is None or None in taken or None in kinds or len(kinds) != len(taken) + 1:
        return None
    names = _names(nodes, scope)
    params = tuple((names.get(i + 1, f"p{i}"), kind) for i, kind in enumerate(kinds[1:]) if kind is not None)
    words = tuple(word[1] for word in taken if word is not None)
    if any(isinstance(kind, t.Void) for _, kind in params) or kinds[0] is None:
        return None
    return Foreign(match["name"], params, kinds[0], words, result[1], bitcode)


def _names(nodes: dict[str, str], scope: str) -> dict[int, str]:
    """The names of parameters by their numbers, of which the first is 1."""
    kept = nodes.get(_reference(scope, "retainedNodes"), "")
    variables = [nodes[node] for node in re.findall(r"!\d+", kept)]
    return {int(_word(v, "arg")): _word(v, "name") for v in variables if _word(v, "arg")}


def _type(nodes: dict[str, str], node: str) -> t.Type | None:
    """The type that a node of debug information describes; None for what no word holds."""
    if node == "null":
        return t.VOID
    text = nodes[node]
    tag = _word(text, "tag").removeprefix("DW_TAG_")
    if text.startswith("!DIBasicType"):
        encoding = _word(text, "encoding").removeprefix("DW_ATE_")
        bits = int(_word(text, "size"))
        if encoding == "boolean":
            return t.BOOL
        if bits not in (8, 16, 32, 64) or encoding not in ("signed", "signed_char", *_UNSIGNED):
            return None
        return t.Int(bits, encoding not in _UNSIGNED)  # type: ignore[arg-type]  # one of the four
    if tag in _QUALIFIERS or tag == "enumeration_type":
        return _type(nodes, _reference(text, "baseType"))
    if tag == "pointer_type":
        return t.Pointer(_target(nodes, _reference(text, "baseType")))
    return None


def _target(nodes: dict[str, str], node: str) -> t.Type:
    text = nodes.get(node, "")
    tag = _word(text, "tag").removeprefix("DW_TAG_")
    if tag in _QUALIFIERS:
        return _target(nodes, _reference(text, "baseType"))
    if tag in ("structure_type", "union_type") and _word(text, "name"):
        kind = "union" if tag == "union_type" else "struct"
        return t.Struct(kind, _word(text, "name"), int(_word(text, "size") or 0) // 8, None)  # type: ignore[arg-type]
    return (_type(nodes, node) if text else None) or t.VOID


def _word(text: str, name: str) -> str:
    match = re.search(rf'\b{name}: "?([^",)]*)', text)
    return match[1] if match else ""


def _reference(text: str, name: str) -> str:
    match = re.search(rf"\b{name}: (!\d+|null)", text)
    return match[1] if match else "null"


def linked(text: str, functions: Iterable[Foreign]) -> str:
    """The module's IR with the functions in it, to be made part of those that call them. Raises `ClangError` where two
    files have functions of one name."""
    import llvmlite.binding

    context: Any = llvmlite.binding.create_context()
    module = llvmlite.binding.parse_assembly(text, context)
    functions = list(functions)
    defined: set[str] = set()
    try:
        for bitcode in dict.fromkeys(f.bitcode for f in functions):
            other = llvmlite.binding.parse_bitcode(bitcode, context)
            defined |= {f.name for f in other.functions if not f.is_declaration}
            module.link_in(other)
    except RuntimeError as e:
        raise ClangError(str(e)) from None

    def inline(match: re.Match[str]) -> str:
        if match["name"] not in defined:
            return match[0]
        head = match["head"].replace("dso_local ", "")
        rest = match["rest"].replace(" local_unnamed_addr", "").replace(" unnamed_addr", "")
        signature = f"{head}@{match['name']}({match['params']})"
        return f"define internal {signature} alwaysinline{rest} !dbg {match['id']} {{"

    text = _DEFINE.sub(inline, str(module))
    text = _NEEDLESS.sub("", text)
    # What a file says about inlining would contradict it.
    return re.sub(r"^attributes (#\d+) = \{(.*)\}$", _inlinable, text, flags=re.M)


def _inlinable(match: re.Match[str]) -> str:
    if '"target-cpu"' not in match[2]:  # ours have none
        return match[0]
    words = match[2].replace(" noinline ", " ").replace(" optnone ", " ")
    return f"attributes {match[1]} = {{{words}}}"
