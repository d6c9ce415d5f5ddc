"""`:commands`, one function each. They give text, or raise `CommandError` with a line for the user."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

from pytrace.record import record
from pytrace.repl.screen import safe

if TYPE_CHECKING:
    from pytrace.repl.workspace import Numbered, Workspace

Run = Callable[["Workspace", str], str]
LISTED = 200
"""So many probes are listed; who wants more has `pytrace -l`."""


class CommandError(Exception):
    """The message is for the user."""


@record
class Command:
    """`argument` is how the help shows it; `takes` what it is, for completion: probe, map, number, file, function."""

    name: str
    argument: str
    doc: str
    run: Run
    takes: str = ""


COMMANDS: dict[str, Command] = {}


def command(argument: str, doc: str, takes: str = "") -> Callable[[Run], Run]:
    """Registers a function under its name without the underscore."""

    def register(run: Run) -> Run:
        name = run.__name__.strip("_")
        COMMANDS[name] = Command(name, argument, doc, run, takes)
        return run

    return register


def run(workspace: Workspace, line: str) -> str:
    """Does `:name argument`; a name may be abbreviated. Raises `CommandError`, and what commands raise."""
    name, _, argument = line.strip().removeprefix(":").partition(" ")
    return find(name).run(workspace, argument.strip())


def find(name: str) -> Command:
    """The command of that name, or whose name alone begins so."""
    if name in COMMANDS:
        return COMMANDS[name]
    found = [c for n, c in COMMANDS.items() if n.startswith(name)]
    if len(found) == 1:
        return found[0]
    if found and name:
        raise CommandError(f":{name} may be " + ", ".join(f":{c.name}" for c in found))
    from difflib import get_close_matches

    near = get_close_matches(name, COMMANDS, 1)
    hint = f"did you mean :{near[0]}?" if near else ":help lists what there is"
    raise CommandError(f"there is no :{name}; {hint}")


def _script(workspace: Workspace, word: str) -> Numbered:
    """The script of that number; without one, the only one that is attached."""
    if not word and len(workspace.attached) == 1:
        return workspace.attached[0]
    if not word:
        raise CommandError("say which: its number, as :probes shows it")
    try:
        return workspace.numbered(word)
    except LookupError as error:
        raise CommandError(str(error.args[0])) from None


@command("", "what is attached")
def _probes(workspace: Workspace, argument: str) -> str:
    lines = []
    for script in workspace.attached:
        names = script.attachment.probes
        count = f"{len(names)} probe{'' if len(names) == 1 else 's'}"
        lines.append(f"#{script.number}  {count}: " + ", ".join(names[:3]) + (", …" if len(names) > 3 else ""))
        lines += [f"    {safe(line)}" for line in script.text.strip().splitlines()]
    return "\n".join(lines) or "nothing is attached; enter a probe, or see :help"


@command("N", "detaches a script: its number, or all", "number")
def _detach(workspace: Workspace, argument: str) -> str:
    scripts = workspace.attached if argument == "all" else [_script(workspace, argument)]
    lines = []
    for script in scripts:
        if not script.attachment.attached:
            raise CommandError(f"#{script.number} is detached already")
        script.attachment.detach()
        lines.append(f"#{script.number} detached")
    return "\n".join(lines) or "nothing is attached"


@command("", "the maps, with types and sizes")
def _maps(workspace: Workspace, argument: str) -> str:
    rows = []
    for name, kind in sorted(workspace.session.types().items()):
        count = len(workspace.maps[name])
        shape = f"[{kind.key}]" if kind.key is not None else ""
        rows.append((f"{name}{shape}", str(kind.value), f"{count} entr{'y' if count == 1 else 'ies'}"))
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(2)]
    return "\n".join(f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}" for a, b, c in rows) or "there are no maps yet"


@command("PATTERN", "probes whose names match", "probe")
def _list(workspace: Workspace, argument: str) -> str:
    from pytrace.probes import list_probes

    names = list_probes(argument or "*", workspace.target)
    lines = list(islice(names, LISTED))
    more = sum(1 for _ in names)
    if more:
        lines.append(f"… and {more:,} more; a narrower pattern shows them, as does `pytrace -l`")
    return "\n".join(lines) or "no probe matches"


@command("PROBE", "the arguments of a probe, or the members of a `struct NAME`", "probe")
def _args(workspace: Workspace, argument: str) -> str:
    from pytrace.probes import describe, list_probes

    if not argument:
        raise CommandError("say of which probe: `:args tracepoint:sched:sched_switch`")
    if argument.startswith(("struct ", "union ", "enum ")):
        return _type(argument)
    target = workspace.target
    lines: list[str] = []
    for name in islice(list_probes(argument, target), 20):
        lines += [name, *("    " + line for line in describe(name, target))]
    return "\n".join(lines) or "no probe matches"


def _type(text: str) -> str:
    from pytrace.commands.declaration import declaration
    from pytrace.kernel import Kernel

    tag, _, name = text.partition(" ")
    btf = Kernel.running().btf
    found = btf.enum(name.strip()) if tag == "enum" else btf.struct(name.strip(), tag)
    if found is None:
        raise CommandError(f"this kernel has no {text}")
    return declaration(found)


@command("[@MAP]", "a map as it changes, until a key is pressed; all of them without a name", "map")
def _show(workspace: Workspace, argument: str) -> str:
    # Whoever has a terminal shows it live; this is one look.
    return map_text(workspace, argument)


def map_text(workspace: Workspace, name: str) -> str:
    """A map as `print()` shows it; all if there is no name. Raises `CommandError`."""
    if not name:
        return workspace.maps_text().removesuffix("\n") or "there is nothing in the maps"
    name = name if name.startswith("@") else f"@{name}"
    found = workspace.maps.get(name)
    if found is None:
        there = ", ".join(sorted(workspace.maps)) or "none yet"
        raise CommandError(f"there is no map {name}; there are: {there}")
    return safe(str(found)).removesuffix("\n") or f"{name} is empty"


@command("FILE", "writes a script that does it all again", "file")
def _save(workspace: Workspace, argument: str) -> str:
    from pytrace.repl.saving import script_of

    if not argument:
        raise CommandError("say where: `:save session.pt`")
    path = os.path.expanduser(argument)
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(script_of(workspace))
    return f"saved as {path}; `pytrace {path}` runs it"


@command("FILE", "attaches the script in a file", "file")
def _load(workspace: Workspace, argument: str) -> str:
    if not argument:
        raise CommandError("say what: `:load script.pt`")
    path = os.path.expanduser(argument)
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        text = file.read()
    if text.startswith("#!"):
        text = text[len(text.partition("\n")[0]) :]  # an empty line, for the numbers of the others
    return workspace.enter(text, path)


@command("[N]", "edits the last entry, or script N and puts it in its place, in $EDITOR", "number")
def _edit(workspace: Workspace, argument: str) -> str:
    old = _script(workspace, argument) if argument else None
    before = old.text if old else workspace.last
    text = _edited(before)
    if not text.strip() or text.strip() == before.strip():
        return "nothing was changed"
    said = workspace.enter(text)
    if old is not None and old.attachment.attached:
        old.attachment.detach()
        said += f"\n#{old.number} detached"
    return said


def _edited(text: str) -> str:
    import shlex
    import subprocess
    import tempfile

    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.NamedTemporaryFile("w+", suffix=".pt", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        try:
            subprocess.run([*shlex.split(editor), file.name], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise CommandError(f"the editor failed: {error}") from None
        with open(file.name, encoding="utf-8") as again:
            return again.read().rstrip("\n")


@command("[N]", "the LLVM IR of a script", "number")
def _ir(workspace: Workspace, argument: str) -> str:
    from pytrace.api.compiling import options_of
    from pytrace.codegen import bpf
    from pytrace.compiler import analyse

    script = _script(workspace, argument)
    maps = workspace.session._known_maps()
    made = analyse(script.whole.text, name=f"#{script.number}", options=options_of(workspace.options), maps=maps)
    bpf.finish(made.unit, f"#{script.number}", script.whole.text, made.warnings)  # only now the module is whole
    return made.unit.module.text().rstrip()


@command("[N]", "the BPF instructions of a script", "number")
def _bpf(workspace: Workspace, argument: str) -> str:
    from pytrace.commands.stages import instructions

    script = _script(workspace, argument)
    return "\n".join(instructions(script.attachment.program, script.whole.text))


@command("ENTRY", "runs an entry and says how long that took")
def _time(workspace: Workspace, argument: str) -> str:
    if not argument:
        raise CommandError("say what to run: `:time print(@)`")
    if argument.startswith(":"):
        raise CommandError("it is entries that are timed: probes, statements, an expression")
    said = workspace.enter(argument)
    parts = (f"{what} {seconds * 1000:.1f} ms" for what, seconds in workspace.took.items())
    return "\n".join(filter(None, (said, ", ".join(parts))))


@command("[NAME]", "this list; what a function, a kind of probe or a command does", "function")
def _help(workspace: Workspace, argument: str) -> str:
    from pytrace.repl.help import overview, topic

    text = topic(argument, COMMANDS) if argument else overview(COMMANDS)
    if text is None:
        raise CommandError(f"nothing is known of '{argument}'; there are functions, probes and commands")
    return text


@command("", "ends the session, as Ctrl-D does")
def _quit(workspace: Workspace, argument: str) -> str:
    raise EOFError
