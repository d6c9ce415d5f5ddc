"""The command line: one table of options, and its parser.

Options mean what they mean in bpftrace, and are read as getopt_long(3) reads them: anywhere before `--`, short ones
in clusters with their argument attached or next, long ones with `=` or next, abbreviated where that is unambiguous.
After `--` come the script's own parameters: `--name=value` and `--name` are named, the rest are positional.

Not argparse: importing it and building a parser of this size takes as long as Python itself takes to start.
"""

from __future__ import annotations

from collections.abc import Sequence

# (short, long, argument, attribute of Arguments, help); an option without an argument sets its attribute to True.
OPTIONS: tuple[tuple[str, str, str, str, str], ...] = (
    ("e", "", "PROGRAM", "program", "run this text"),
    ("l", "list", "", "list", "list the probes that match a pattern, or those of a script; all without one"),
    ("v", "verbose", "", "verbose", "say more; with -l, show the arguments of each probe"),
    ("q", "quiet", "", "quiet", "say nothing but what the script prints"),
    ("h", "help", "", "help", "show this text"),
    ("", "help-functions", "", "functions", "show the functions of the language, or those named, with examples"),
    ("V", "version", "", "version", "show the version"),
    ("", "info", "", "info", "show what this kernel can do"),
    ("p", "pid", "PID", "pid", "trace only this process, until it ends"),
    ("c", "cmd", "COMMAND", "command", "run a command and trace until it ends; its pid is `cpid`"),
    ("", "dwarf-pid", "PID", "dwarf_pids", "dw_ustack unwinds the stacks of this process too (repeatable)"),
    ("o", "output", "FILE", "output", "write the script's output to a file"),
    ("f", "", "FORMAT", "format", "text or json (one object a line)"),
    ("B", "", "MODE", "buffering", "flush the output after each line, when it is full, or at once: line, full, none"),
    ("k", "warnings", "", "helper_errors", "warn when a kernel helper or a read of memory fails"),
    ("", "no-warnings", "", "no_warnings", "show no warnings about the script"),
    ("I", "", "DIR", "include_dirs", "look for #include and import files here too (repeatable)"),
    ("", "include", "FILE", "includes", "#include this file first (repeatable)"),
    ("", "debuginfo", "DIR[:DIR]", "debug_dirs", "look for separate debug info here too"),
    ("", "unsafe", "", "unsafe", "allow functions that run commands or change what is traced"),
    ("", "no-feature", "NAME[,NAME]", "no_features", "do without these features of the kernel (see --info)"),
    ("", "test", "", "test", "run the script's test probes"),
    ("", "bench", "", "bench", "run the script's bench probes"),
    (
        "",
        "mode",
        "MODE",
        "mode",
        "test, bench, format: as --test, --bench, --fmt; codegen, compiler-bench: only compile",
    ),
    ("", "probe-filter", "REGEX", "probe_filter", "leave out probes whose names do not match"),
    ("", "fmt", "", "fmt", "print the script in its canonical form"),
    ("", "dry-run", "", "dry_run", "stop once everything is attached"),
    ("d", "debug", "STAGE", "debug", "show a stage: {stages}"),
    ("", "emit-elf", "FILE", "emit_elf", "write the BPF programs to FILE, too"),
    ("", "emit-llvm", "FILE", "emit_llvm", "write their LLVM IR to FILE.original.ll and FILE.optimized.ll, too"),
    ("", "aot", "FILE", "aot", "compile to FILE, for this kernel, and stop; `pytrace FILE` runs it"),
    ("", "traceable-functions", "FILE", "traceable_functions", "the kernel functions to choose from, one a line"),
    # Accepted because scripts that call bpftrace pass them; there is nothing left for them to do.
    ("", "usdt-file-activation", "", "_ignored", "accepted: semaphores of USDT probes always belong to files here"),
    ("", "verify-llvm-ir", "", "_ignored", "accepted: LLVM verifies everything"),
)

STAGES = ("ast", "types", "ir", "bpf", "user", "attach", "verifier")
_STAGE_NAMES = {"codegen": "ir", "codegen-opt": "bpf", "dis": "bpf", "parse": "ast", "libbpf": "attach"}

_MODES = {
    "test": "test",
    "bench": "bench",
    "format": "fmt",
    "codegen": "only_compile",
    "compiler-bench": "time_stages",
}

EXAMPLES = """\
  pytrace -e 'tracepoint:syscalls:sys_enter_openat { @[comm] = count(); }'
  pytrace -e 'tracepoint:syscalls:sys_exit_read /pid == $1/ { @bytes = hist(args.ret); }' 1234
  pytrace -l 'tracepoint:sched:*'
  pytrace -lv tracepoint:syscalls:sys_enter_openat
  pytrace script.pt argument -- --name=value"""


class UsageError(Exception):
    """A command line that makes no sense; the message is one line for the user."""


class Arguments:
    """What was asked for. `script` is a file name or `-`; `positional` and `named` are the script's parameters.
    With `list`, the first word that is not an option is in `script`, be it a pattern or a file."""

    def __init__(self) -> None:
        self.program: str | None = None
        self.script: str | None = None
        self.positional: list[str] = []
        self.named: dict[str, str] = {}
        self.list = self.info = self.functions = self.help = self.version = self.fmt = self.test = self.bench = False
        self.verbose = self.quiet = self.no_warnings = self.unsafe = self.dry_run = self.helper_errors = False
        self.pid: int | None = None
        self.dwarf_pids: list[int] = []
        self.command: str | None = None
        self.output: str | None = None
        self.format = "text"
        self.buffering = "line"
        self.include_dirs: list[str] = []
        self.includes: list[str] = []
        self.debug_dirs: list[str] = []
        self.no_features: list[str] = []
        self.probe_filter = ""
        self.debug: list[str] = []
        self.emit_elf: str | None = None
        self.emit_llvm: str | None = None
        self.aot: str | None = None
        self.traceable_functions = ""
        self.only_compile = self.time_stages = False

    @property
    def given(self) -> bool:
        """Whether there is a script to work on."""
        return self.program is not None or self.script is not None

    @property
    def sessional(self) -> bool:
        """Whether, without a script, it makes sense as a live session: nothing asks for something else."""
        works = self.test or self.bench or self.fmt or self.dry_run or self.only_compile or self.time_stages
        writes = self.debug or self.output or self.emit_elf or self.emit_llvm or self.aot
        return not (works or writes or self.command)


def usage() -> str:
    """The help text."""
    lines = [
        "pytrace: a tracing language and tool for Linux",
        "",
        "Usage:",
        "  pytrace [options] FILE [parameter...] [-- --name=value...]",
        "  pytrace [options] -e PROGRAM [parameter...] [-- --name=value...]",
        "  pytrace [options] -            reads the script from the standard input",
        "  pytrace [options]              a live session, on a terminal",
        "",
        "Options:",
    ]
    for short, long, argument, _, text in OPTIONS:
        if text:
            names = ", ".join(([f"-{short}"] if short else []) + ([f"--{long}"] if long else []))
            lines.append(f"  {names + ' ' + argument:<28} {text.format(stages=', '.join((*STAGES, 'all')))}")
    return "\n".join([*lines, "", "Examples:", EXAMPLES, ""])


def parse(words: Sequence[str]) -> Arguments:
    """The arguments of a command line (without the program's name). Raises `UsageError`."""
    arguments = Arguments()
    plain: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            for own in rest:
                if own.startswith("--"):
                    name, _, value = own[2:].partition("=")
                    arguments.named[name] = value if "=" in own else "true"
                else:
                    plain.append(own)
            break
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            _, long, metavar, attribute, _ = _long(name)
            if equals and not metavar:
                raise UsageError(f"option --{long} takes no argument")
            if metavar and not equals:
                value = _next(rest, f"--{long}")
            _set(arguments, attribute, value if metavar else None)
        elif word.startswith("-") and word != "-":
            cluster = word[1:]
            while cluster:
                metavar, attribute = _short(cluster[0])
                if metavar:
                    value = cluster[1:] or _next(rest, f"-{cluster[0]}")
                    _set(arguments, attribute, value)
                    break
                _set(arguments, attribute, None)
                cluster = cluster[1:]
        else:
            plain.append(word)
    if plain and arguments.program is None:
        arguments.script = plain.pop(0)
    arguments.positional = plain
    if arguments.command is not None and arguments.pid is not None:
        raise UsageError("options -c and -p exclude each other")
    return arguments


def _next(rest: list[str], option: str) -> str:
    if not rest:
        raise UsageError(f"option {option} needs an argument")
    return rest.pop(0)


def _long(name: str) -> tuple[str, str, str, str, str]:
    matching = [o for o in OPTIONS if o[1] and o[1].startswith(name)]
    for option in matching:
        if option[1] == name:
            return option
    if len(matching) == 1 and name:
        return matching[0]
    if matching and name:
        raise UsageError(f"option --{name} is ambiguous: " + ", ".join(f"--{o[1]}" for o in matching))
    from difflib import get_close_matches

    close = get_close_matches(name, [o[1] for o in OPTIONS], n=1)
    raise UsageError(f"unknown option --{name}" + (f"; did you mean --{close[0]}?" if close else ""))


def _short(letter: str) -> tuple[str, str]:
    for short, _, metavar, attribute, _ in OPTIONS:
        if short == letter:
            return metavar, attribute
    hint = "; a negative parameter goes after --" if letter.isdigit() else ""
    raise UsageError(f"unknown option -{letter}{hint}")


def _set(arguments: Arguments, attribute: str, value: str | None) -> None:
    if attribute.startswith("_"):
        return
    if value is None:
        setattr(arguments, attribute, True)
        return
    match attribute:
        case "pid":
            arguments.pid = _pid("-p", value)
        case "dwarf_pids":
            arguments.dwarf_pids.append(_pid("--dwarf-pid", value))
        case "format":
            arguments.format = _one_of("-f", value, ("text", "json"))
        case "buffering":
            arguments.buffering = _one_of("-B", value, ("line", "full", "none"))
        case "mode":
            setattr(arguments, _MODES[_one_of("--mode", value, tuple(_MODES))], True)
        case "debug":
            stage = _one_of("-d", _STAGE_NAMES.get(value, value), (*STAGES, "all"))
            arguments.debug += STAGES if stage == "all" else (stage,)
        case "probe_filter":
            arguments.probe_filter = _regex("--probe-filter", value)
        case "debug_dirs":
            arguments.debug_dirs += value.split(":")
        case "no_features":
            arguments.no_features += value.split(",")
        case "include_dirs" | "includes":
            getattr(arguments, attribute).append(value)
        case _:
            setattr(arguments, attribute, value)


def _pid(option: str, text: str) -> int:
    try:
        pid = int(text)
    except ValueError:
        pid = 0
    if not 0 < pid < 1 << 22:  # PID_MAX_LIMIT of the kernel
        raise UsageError(f"option {option} needs the number of a process, not '{text}'")
    return pid


def _regex(option: str, text: str) -> str:
    import re

    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(f"option {option} needs a regular expression, and '{text}' is none: {error}") from None
    return text


def _one_of(option: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise UsageError(f"option {option} takes {', '.join(choices[:-1])} or {choices[-1]}, not '{value}'")
    return value
