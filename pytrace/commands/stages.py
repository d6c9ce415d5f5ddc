"""`-d STAGE`: what each stage of compilation made of a script."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytrace.codegen import bpf
from pytrace.compiler import analyse
from pytrace.options import Options
from pytrace.program import Program
from pytrace.recursion import deep


@deep()
def show_stages(
    stages: Sequence[str],
    name: str,
    text: str,
    params: Sequence[str],
    named: Mapping[str, str],
    options: Options,
) -> None:
    """Writes the stages to the standard error, each under a heading. Raises `ScriptError`."""
    made = analyse(text, name=name, params=params, named=named, options=options)
    # The module is whole only when the Program is.
    program = bpf.finish(made.unit, name, text, made.warnings)
    for stage in dict.fromkeys(stages):
        match stage:
            case "ast":
                lines = _tree(made.script, "")
            case "types":
                lines = _tree(made.typed, "")
            case "ir":
                lines = iter(made.unit.module.text().splitlines())
            case "bpf":
                lines = instructions(program, text)
            case "user":
                from pytrace.codegen.user import user_ir

                lines = iter(user_ir(program.events, program.timestamps).splitlines())
            case "attach":
                lines = (f"{p.name}: {attach}" for p in program.progs for attach in p.attach)
            case _:  # the verifier speaks when the program is loaded
                continue
        sys.stderr.write(f"-- {stage}\n")
        sys.stderr.writelines(f"{line}\n" for line in lines)


def instructions(program: Program, text: str) -> Iterator[str]:
    """The BPF instructions of all programs, the lines of the script's `text` between them."""
    import struct

    from pytrace.commands.disassembly import disassemble
    from pytrace.kernel import Kernel

    known = Kernel.running().btf.enum("bpf_func_id")
    helpers = {value: name.replace("BPF_FUNC_", "bpf_") for name, value in known.members} if known else {}
    script = text.splitlines()
    for spec in program.progs:
        # Of each record of struct bpf_line_info: the instruction, and line << 10 | column.
        starts = {start: place for start, _, _, place in struct.iter_unpack("=IIII", spec.line_info)}

        def line(insn: int, starts: dict[int, int] = starts) -> str:
            number, column = divmod(starts.get(insn, 0), 1024)
            if not 0 < number <= len(script):
                return ""
            return f"{number}:{column}: {script[number - 1][max(0, column - 1) :][:70]}"

        yield f"{spec.name}:"
        yield from disassemble(spec, lambda n: f"{helpers.get(n, 'helper')}#{n}", line)


def _tree(node: Any, indent: str) -> Iterator[str]:
    """A node and, below it, what it is made of: nodes and tuples on lines of their own, the rest beside the name."""
    names = [n for n in getattr(node, "__match_args__", ()) if n not in ("span", "source", "context")]
    plain, nested = [], []
    for name in names:
        value = getattr(node, name)
        if _is_node(value) or (isinstance(value, tuple) and any(_is_node(v) or isinstance(v, tuple) for v in value)):
            nested.append((name, value))
        elif value is not None and value != ():
            plain.append(f"{name}={_word(value)}")
    type_ = getattr(node, "type", None)
    shown = f" : {type_}" if type_ is not None and "type" not in names else ""
    yield f"{indent}{type(node).__name__}{' ' if plain else ''}{' '.join(plain)}{shown}"
    for name, value in nested:
        yield f"{indent}  {name}:"
        for item in value if isinstance(value, tuple) else (value,):
            yield from _tree(item, indent + "    ")


def _word(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_word, value))
    if hasattr(value, "attach"):  # a point has a name that says it all
        return str(value.name)
    return repr(value) if isinstance(value, str) else str(value)


def _is_node(value: Any) -> bool:
    return hasattr(value, "span") and hasattr(value, "__match_args__")
