"""The C preprocessor: pcpp, with what it reads and finds wrong tied to the places of the script."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from copy import copy
from typing import Any

from pcpp import Action, OutputDirective
from pcpp import Preprocessor as Pcpp

from pytrace.diagnostics import Diagnostics, Source, Span
from pytrace.semantics.c.tokens import Lines, Token

MAX_INCLUDE_DEPTH = 100
MAX_EXPANSIONS = 50_000
"""So many macros within macros are replaced for one script; more are a bomb."""

# What the compiler of the kernel says of itself, as far as headers ask.
PREDEFINED = {
    "BPFTRACE_HAVE_BTF": "1",
    "__linux__": "1",
    "__LP64__": "1",
    "_LP64": "1",
    "__STDC__": "1",
    "__STDC_VERSION__": "201112L",
    "__GNUC__": "12",
    "__GNUC_MINOR__": "2",
    "__GNUC_PATCHLEVEL__": "0",
    "__CHAR_BIT__": "8",
    "__SIZEOF_INT__": "4",
    "__SIZEOF_LONG__": "8",
    "__SIZEOF_POINTER__": "8",
    "__ORDER_LITTLE_ENDIAN__": "1234",
    "__ORDER_BIG_ENDIAN__": "4321",
    "__BYTE_ORDER__": "1234",
    "__USER_LABEL_PREFIX__": "",
    "__SIZE_TYPE__": "unsigned long",
    "__PTRDIFF_TYPE__": "long",
    "__WCHAR_TYPE__": "int",
    "__WINT_TYPE__": "unsigned int",
}
MACHINES = {"x86_64": "__x86_64__", "aarch64": "__aarch64__", "riscv64": "__riscv"}

# Gives the text of a header by its name, whether it was asked for in <>, and the directive that asks; None: not there.
Find = Callable[[str, bool, Span], Source | None]


class _EndlessError(Exception):
    """Ends the replacing of macros that grow without end."""


class Preprocessor(Pcpp):  # type: ignore[misc]  # pcpp has no type hints
    """Reads texts one after the other; `macros` is what they have defined so far. A directive that cannot be understood
    is reported, and read over."""

    def __init__(self, find: Find, diagnostics: Diagnostics, machine: str = "x86_64") -> None:
        super().__init__()
        self.find = find
        self.diagnostics = diagnostics
        self.rewrite_paths: list[tuple[str, str]] = []  # so that a token's `source` is the key of its text
        self._texts: dict[str, Lines] = {}
        self._expansions = 0
        self._unread = 0
        """Conditionals that were left out: what belongs to them is no mistake of its own."""
        for name, value in (PREDEFINED | {MACHINES.get(machine, f"__{machine}__"): "1"}).items():
            self.define(f"{name} {value}")

    def read(self, *spans: Span) -> list[Token]:
        """The tokens that are left of the texts which `spans` cover, read as one file. `#pragma pack` is left in."""
        output: list[Any] = []
        try:
            for token in self._read(f"<{len(self._texts)}>", Lines(spans, complete=True)):
                output.append(token)
        except _EndlessError as e:
            self.on_error(self.source, self.linemacro, f"the macro {e} grows without end")
        except RecursionError:
            self.on_error(self.source, self.linemacro, "macros are nested too deeply here")
        except Exception as e:  # malformed directives end pcpp in many ways
            directive = self.lastdirective
            self.on_error(self.source, directive.lineno if directive else 1, f"the preprocessor cannot read this: {e}")
        return self._placed(output)

    def names(self) -> Iterator[str]:
        """Macros without parameters that texts have defined; names of the implementation are left out."""
        return (n for n, m in self.macros.items() if m.arglist is None and n not in PREDEFINED and n[:2] != "__")

    def body(self, name: str) -> list[Token]:
        """What a macro without parameters stands for, with the macros in it replaced; empty for any other name."""
        macro = self.macros.get(name)
        if macro is None or macro.arglist is not None:
            return []
        self._expansions = 0
        try:
            return self._placed(self.expand_macros([copy(token) for token in macro.value], [name]))
        except (_EndlessError, RecursionError):
            return []

    # --- where things are ---------------------------------------------------------------------------

    def _read(self, key: str, lines: Lines) -> Iterator[Any]:
        self._texts[key] = lines
        found: Iterator[Any] = self.parsegen(lines.text, key, key)
        return found

    def _placed(self, tokens: Iterable[Any]) -> list[Token]:
        output: list[Token] = []
        joined = False
        for token in tokens:
            if token.type in self.t_WS or token.type in self.t_COMMENT:
                joined = False
                continue
            text = token.value.replace("\n", "")
            if not text:
                continue
            # pcpp cuts what it has no token for: `1ULL`, `0b11`, `...`, and what `##` makes of those.
            if joined and (
                (_is_word(output[-1].text[-1]) and _is_word(text[0]))
                or (text == "." and output[-1].text in (".", ".."))
            ):
                last = output.pop()
                output.append(Token(last.text + text, Span(last.span.source, last.span.start, last.span.end + 1)))
            else:
                output.append(Token(text, self._span(token)))
            joined = True
        return output

    def _span(self, token: Any) -> Span:
        """Where a token stands. What a macro stands for is where the macro is used."""
        lines = self._texts.get(token.source)
        if lines is None:
            return Span(Source("predefined", token.value), 0, len(token.value))
        if used := getattr(token, "expanded_from", None):
            return lines.word(token.lineno, used[::-1])
        return lines.span(token.lexpos, len(token.value))

    def _line(self, key: str, number: int) -> Span:
        lines = self._texts.get(key)
        return Span(Source("predefined", ""), 0, 0) if lines is None else lines.line(max(1, number))

    # --- what pcpp asks -----------------------------------------------------------------------------

    def on_error(self, file: str, line: int, msg: str) -> None:
        """A complaint of pcpp's, in the words of the other diagnostics."""
        if msg.startswith("Misplaced") and self._unread:
            self._unread -= "endif" in msg
            return
        if msg.startswith("Unterminated"):
            msg = "this conditional has no #endif"
        elif msg.startswith("Misplaced"):
            msg = f"{msg.split()[1]} without #if"
        elif msg.startswith("Could not evaluate"):
            msg = "division by zero" if "ZeroDivision" in msg else "this condition is no integer expression"
        self.diagnostics.error(self._line(file, line), msg[0].lower() + msg[1:])

    def on_directive_handle(self, directive: Any, toks: Any, ifpassthru: bool, precedingtoks: Any) -> bool:
        self.lastdirective = directive
        name = directive.value
        if name in ("define", "undef", "ifdef", "ifndef") and (not toks or toks[0].type != self.t_ID):
            self.on_error(directive.source, directive.lineno, f"#{name} needs a name")
            raise OutputDirective(Action.IgnoreAndRemove)
        if name in ("if", "elif", "pragma") and not toks:
            if name != "pragma":
                self.on_error(directive.source, directive.lineno, f"#{name} needs an expression")
                self._unread += name == "if"
            raise OutputDirective(Action.IgnoreAndRemove)
        return True

    def on_directive_unknown(self, directive: Any, toks: Any, ifpassthru: bool, precedingtoks: Any) -> bool | None:
        name = directive.value
        if name == "pragma":
            return None if toks[0].value == "pack" else True
        if name == "error":
            self.on_error(directive.source, directive.lineno, " ".join(["error", "".join(t.value for t in toks)]))
        elif name not in ("warning", "line", "ident", "include_next", "import"):
            self.on_error(directive.source, directive.lineno, f"unknown preprocessor directive #{name}")
        return True

    def include(self, tokens: Any, original_line: Any) -> Iterator[Any]:
        """What stands in the place of an `#include`: the tokens of a header that `find` gives."""
        if not tokens:
            self.on_error(original_line[0].source, original_line[0].lineno, "#include needs the name of a file")
            return
        key, line = original_line[0].source, original_line[0].lineno
        text = "".join(token.value for token in tokens)
        if tokens[0].type == self.t_STRING:
            name, system = tokens[0].value[1:-1], False
        elif text[0] == "<" and ">" in text:
            name, system = text[1 : text.index(">")].strip(), True
        else:
            self.on_error(key, line, "#include needs a name in <> or quotes")
            return
        if not name:
            self.on_error(key, line, "#include needs the name of a file")
            return
        source = self.find(name, system, self._line(key, line))
        if source is None or source.name in self.include_once:
            return
        if self.include_depth > MAX_INCLUDE_DEPTH:
            self.on_error(key, line, "headers include each other without end")
            return
        yield from self._read(source.name, Lines([Span(source, 0, len(source.text))]))

    def expand_macros(self, tokens: Any, expanding_from: Any = ()) -> Any:
        if expanding_from:
            self._expansions += 1
            if self._expansions > MAX_EXPANSIONS:
                raise _EndlessError(expanding_from[0])
        return super().expand_macros(tokens, list(expanding_from))


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
