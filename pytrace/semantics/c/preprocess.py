"""The C preprocessor: macros of both kinds, conditionals, includes. Tokens in, tokens out, with the spans of the text
that a person wrote: what a macro stands for is reported where the macro is used.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from pytrace.diagnostics import Diagnostics, Source, Span
from pytrace.record import record, replace
from pytrace.semantics import fold
from pytrace.semantics.c.expressions import ExpressionParser
from pytrace.semantics.c.tokens import CError, Token, tokenize

MAX_INCLUDE_DEPTH = 100
MAX_EXPANDED = 1_000_000

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


@record
class Macro:
    """A `#define`. `params` is None for one without parentheses; `variadic` takes the rest as `__VA_ARGS__`."""

    name: str
    body: tuple[Token, ...]
    span: Span
    params: tuple[str, ...] | None = None
    variadic: bool = False


@record(frozen=False)
class _Conditional:
    span: Span
    active: bool
    taken: bool
    outer: bool
    otherwise: bool = False


# Gives the text of a header by its name, whether it was asked for in <>, and the directive that asks; None: not there.
Find = Callable[[str, bool, Span], Source | None]
_Hidden = tuple[Token, frozenset[str]]


class Preprocessor:
    """Reads texts one after the other; `macros` is what they have defined so far. A directive that cannot be understood
    is reported, and read over."""

    def __init__(self, find: Find, diagnostics: Diagnostics, machine: str = "x86_64") -> None:
        self.find = find
        self.diagnostics = diagnostics
        self.macros: dict[str, Macro] = {}
        self.depth = 0
        self.expanded = 0
        self._seen_once: set[str] = set()
        for name, value in (PREDEFINED | {MACHINES.get(machine, f"__{machine}__"): "1"}).items():
            source = Source("predefined", value)
            span = Span(source, 0, len(value))
            self.macros[name] = Macro(name, tuple(tokenize(span)), span)

    def read(self, *spans: Span) -> list[Token]:
        """The tokens that are left of the texts which `spans` cover, read as one file."""
        output: list[Token] = []
        pending: list[Token] = []
        conditions: list[_Conditional] = []
        tokens = [t for span in spans for t in tokenize(span)]
        at = 0
        while at < len(tokens):
            token = tokens[at]
            end = at + 1
            if token.text == "#" and token.gap == "\n":
                while end < len(tokens) and tokens[end].gap != "\n":
                    end += 1
                try:
                    included = self._directive(tokens[at:end], conditions)
                except CError as e:
                    self._report(e)
                    included = None
                if included is not None:
                    output += self.expand(pending)
                    pending = []
                    output += included
            elif not conditions or conditions[-1].active:
                pending.append(token)
            at = end
        for c in conditions:
            self.diagnostics.error(c.span, "this conditional has no #endif")
        return output + self.expand(pending)

    def _report(self, error: CError) -> None:
        for d in error.diagnostics:
            self.diagnostics.error(d.span, d.message, d.hint)

    # --- directives -------------------------------------------------------------------------------

    def _directive(self, line: Sequence[Token], conditions: list[_Conditional]) -> list[Token] | None:
        active = not conditions or conditions[-1].active
        if len(line) < 2:
            return None
        name, rest = line[1], line[2:]
        whole = line[0].span.to(line[-1].span)
        match name.text:
            case "if" | "ifdef" | "ifndef":
                value = active and self._condition(name, rest)
                conditions.append(_Conditional(whole, value, value, active))
            case "elif" | "else" | "endif" if not conditions:
                raise CError(whole, f"#{name.text} without #if")
            case "elif" | "else":
                c = conditions[-1]
                if c.otherwise:
                    raise CError(whole, f"#{name.text} after #else")
                c.otherwise = name.text == "else"
                c.active = c.outer and not c.taken and (c.otherwise or self._condition(name, rest))
                c.taken = c.taken or c.active
            case "endif":
                conditions.pop()
            case _ if not active:
                return None
            case "define":
                self._define(rest, whole)
            case "undef" if rest:
                self.macros.pop(rest[0].text, None)
            case "include" | "include_next" | "import":
                return self._include(rest, whole)
            case "error":
                raise CError(whole, whole.text.lstrip("# "))
            case "pragma" if rest and rest[0].text == "once":
                self._seen_once.add(whole.source.name)
            case "pragma" | "warning" | "line" | "ident" | "undef":
                pass
            case _:
                raise CError(whole, f"unknown preprocessor directive #{name.text}")
        return None

    def _condition(self, name: Token, rest: Sequence[Token]) -> bool:
        if name.text in ("ifdef", "ifndef"):
            if not rest:
                raise CError(name.span, f"#{name.text} needs a name")
            return (rest[0].text in self.macros) == (name.text == "ifdef")
        if not rest:
            raise CError(name.span, f"#{name.text} needs an expression")
        tokens: list[Token] = []
        at = 0
        while at < len(rest):
            token = rest[at]
            if token.text == "defined":
                bracket = at + 1 < len(rest) and rest[at + 1].text == "("
                at += 2 if bracket else 1
                known = at < len(rest) and rest[at].text in self.macros
                tokens.append(Token("number", "1" if known else "0", token.span))
                at += 1 if bracket else 0
            else:
                tokens.append(token)
            at += 1
        parser = ExpressionParser(self.expand(tokens), is_type=lambda name: False)
        if not parser.tokens:
            return False
        try:
            return bool(fold.evaluate(parser.expression(), _Zero()))
        except fold.FoldError as e:
            raise CError(name.span.to(rest[-1].span), str(e)) from None

    def _define(self, rest: Sequence[Token], whole: Span) -> None:
        if not rest or rest[0].kind != "name":
            raise CError(whole, "#define needs a name")
        name, body = rest[0], list(rest[1:])
        params: list[str] | None = None
        variadic = False
        if body and body[0].text == "(" and body[0].gap == "":
            params = []
            at = 1
            while at < len(body) and body[at].text != ")":
                if body[at].text == "...":
                    variadic = True
                elif body[at].kind == "name":
                    params.append(body[at].text)
                at += 1
            if at >= len(body):
                raise CError(whole, f"the parameters of {name.text} do not end")
            body = body[at + 1 :]
        if variadic and params is not None:
            params.append("__VA_ARGS__")
        known = None if params is None else tuple(params)
        self.macros[name.text] = Macro(name.text, tuple(body), name.span, known, variadic)

    def _include(self, rest: Sequence[Token], whole: Span) -> list[Token] | None:
        if rest and rest[0].kind == "name":
            rest = self.expand(rest)
        if not rest:
            raise CError(whole, "#include needs the name of a file")
        if rest[0].kind == "string":
            name, system = rest[0].text[1:-1], False
        elif rest[0].text == "<" and rest[-1].text == ">":
            name, system = rest[0].span.to(rest[-1].span).text[1:-1], True
        else:
            raise CError(whole, "#include needs a name in <> or quotes")
        source = self.find(name, system, whole)
        if source is None or source.name in self._seen_once:
            return None
        if self.depth >= MAX_INCLUDE_DEPTH:
            raise CError(whole, "headers include each other without end")
        self.depth += 1
        try:
            return self.read(Span(source, 0, len(source.text)))
        finally:
            self.depth -= 1

    # --- macros -----------------------------------------------------------------------------------

    def expand(self, tokens: Iterable[Token]) -> list[Token]:
        """The tokens with every macro replaced by what it stands for."""
        return [t for t, _ in self._expand(deque((t, frozenset[str]()) for t in tokens))]

    def _expand(self, pending: deque[_Hidden]) -> list[_Hidden]:
        output: list[_Hidden] = []
        while pending:
            token, hidden = pending.popleft()
            macro = self.macros.get(token.text) if token.kind == "name" else None
            if macro is None or token.text in hidden:
                output.append((token, hidden))
                continue
            if macro.params is None:
                body = [(t, frozenset[str]()) for t in macro.body]
            elif pending and pending[0][0].text == "(":
                body = self._call(macro, token, pending)
            else:
                output.append((token, hidden))
                continue
            self.expanded += len(body)
            if self.expanded > MAX_EXPANDED:
                raise CError(token.span, f"the macro {macro.name} grows without end")
            inner = hidden | {macro.name}
            pending.extendleft((replace(t, span=token.span), h | inner) for t, h in reversed(_pasted(body)))
        return output

    def _call(self, macro: Macro, name: Token, pending: deque[_Hidden]) -> list[_Hidden]:
        args: list[list[_Hidden]] = [[]]
        pending.popleft()
        depth = 1
        params = macro.params or ()
        while depth:
            if not pending:
                raise CError(name.span, f"the arguments of {macro.name} do not end")
            item = pending.popleft()
            text = item[0].text
            depth += (text in ("(", "[", "{")) - (text in (")", "]", "}"))
            if text == "," and depth == 1 and not (macro.variadic and len(args) == len(params)):
                args.append([])
            elif depth:
                args[-1].append(item)
        given = dict(zip(params, args, strict=False))
        for missing in params[len(args) :]:
            given[missing] = []
        body: list[_Hidden] = []
        for i, token in enumerate(macro.body):
            before = macro.body[i - 1].text if i else ""
            after = macro.body[i + 1].text if i + 1 < len(macro.body) else ""
            if token.text == "#" and after in given:
                continue
            if token.kind != "name" or token.text not in given:
                body.append((token, frozenset()))
            elif before == "#":
                text = "".join((" " if t.gap and j else "") + t.text for j, (t, _) in enumerate(given[token.text]))
                quoted = text.replace("\\", "\\\\").replace('"', '\\"')
                body.append((Token("string", f'"{quoted}"', token.span, " "), frozenset()))
            elif "##" in (before, after):
                body += given[token.text] or [(Token("op", "", token.span), frozenset())]
            else:
                body += self._expand(deque(given[token.text]))
        return body


class _Zero:
    """In `#if`, a name that is no macro is 0."""

    def value(self, node: object) -> fold.Value | None:
        return 0


def _pasted(body: list[_Hidden]) -> list[_Hidden]:
    if not any(t.text == "##" for t, _ in body):
        return [(t, h) for t, h in body if t.text]
    output: list[_Hidden] = []
    paste = False
    for token, hidden in body:
        if token.text == "##":
            paste = True
        elif paste and output:
            paste = False
            left, _ = output.pop()
            text = left.text + token.text
            source = Source("pasted", text)
            output += [(replace(t, span=left.span), hidden) for t in tokenize(Span(source, 0, len(text)))]
            if not text:
                output.append((Token("op", "", left.span), hidden))
        else:
            output.append((token, hidden))
    return [(t, h) for t, h in output if t.text]
