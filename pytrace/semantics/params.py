"""Parameters from the command line: `$1 … $N`, `$#` and `getopt("name", default, description)`.

What the command line gave is put into the tree as literals. A positional parameter is an integer if it reads as one in
any of the language's forms, else a string; in `str($1)` it is always a string. In probe text it is pasted as it is. A
missing one is 0, or "" where text is wanted. Named parameters take their type from the default: a boolean (`--flag`
alone is true), an integer or a string; no default means a boolean that is false.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pytrace.diagnostics import Diagnostics, Source, Span
from pytrace.record import record, replace
from pytrace.semantics import fold
from pytrace.semantics.hints import nearest
from pytrace.semantics.literals import parse_integer
from pytrace.semantics.walk import rewrite, walk
from pytrace.syntax import ast

Value = int | bool | str


@record
class Option:
    """A named parameter of a script: what `getopt` said about it where it stands first."""

    name: str
    default: Value
    description: str
    span: Span


def split_arguments(arguments: Sequence[str]) -> tuple[tuple[str, ...], dict[str, Value]]:
    """What follows the script on the command line, as positional and named parameters. Behind the first `--`,
    `--name=value` and `--name` (True) are named; the last one of a name counts; the rest is positional."""
    if "--" not in arguments:
        return tuple(arguments), {}
    cut = list(arguments).index("--")
    positional = list(arguments[:cut])
    named: dict[str, Value] = {}
    for argument in arguments[cut + 1 :]:
        if argument.startswith("--") and len(argument) > 2:
            name, equals, value = argument[2:].partition("=")
            named[name] = value if equals else True
        else:
            positional.append(argument)
    return tuple(positional), named


def substitute(
    script: ast.Script,
    positional: Sequence[str],
    named: Mapping[str, Value],
    diagnostics: Diagnostics,
    env: fold.Environment | None = None,
) -> ast.Script:
    """The script with literals in place of its parameters. Every mistake becomes a diagnostic; those of the command
    line stand in a source called "command line". `env` knows constants that the defaults of `getopt` may use."""
    script = _Positional(positional, diagnostics).script(script)
    options: dict[str, Option] = {}
    script = rewrite(script, lambda n: _declared(n, options, diagnostics, env))
    values = _values(options, named, diagnostics)
    if not options:
        return script
    return rewrite(script, lambda n: _taken(n, options, values))


def options(script: ast.Script, positional: Sequence[str] = (), env: fold.Environment | None = None) -> list[Option]:
    """The named parameters of a script, in source order; calls of `getopt` with mistakes in them are left out."""
    found: dict[str, Option] = {}
    quiet = Diagnostics()
    rewrite(_Positional(positional, quiet).script(script), lambda n: _declared(n, found, quiet, env))
    return list(found.values())


def help_text(options: Sequence[Option], name: str) -> str:
    """What `pytrace name -- --help` prints."""
    if not options:
        return f"{name} takes no named parameters.\n"
    forms = [f"--{o.name}" if isinstance(o.default, bool) else f"--{o.name}={_kind(o.default)}" for o in options]
    width = max(map(len, forms))
    lines = [f"Named parameters of {name} (after --):"]
    for form, option in zip(forms, options, strict=True):
        shown = str(option.default).lower() if isinstance(option.default, bool) else repr(option.default)
        lines.append(f"  {form:<{width}}  {option.description}{' ' if option.description else ''}(default {shown})")
    return "\n".join(lines) + "\n"


def _kind(value: Value) -> str:
    return "BOOL" if isinstance(value, bool) else "INT" if isinstance(value, int) else "STRING"


# --- positional ---------------------------------------------------------------------------------

_IN_TEXT = re.compile(r'"[^"]*"|\$(\d+)|\$(.?)', re.DOTALL)


class _Positional:
    def __init__(self, values: Sequence[str], diagnostics: Diagnostics) -> None:
        self.values = values
        self.diagnostics = diagnostics

    def script(self, script: ast.Script) -> ast.Script:
        return rewrite(script, self._change)

    def _change(self, node: ast.Node) -> ast.Node | None:
        match node:
            case ast.Positional():
                return self._number(node)
            case ast.PositionalCount():
                return ast.Integer(len(self.values), span=node.span)
            case ast.Call(name="str" | "getopt", args=(first, *rest)):
                text = self._text(first)
                if text is None:
                    return None
                return replace(node, args=(text, *(rewrite(a, self._change) for a in rest)))
            case ast.AttachPoint():
                return self._point(node)
            case _:
                return None

    def _given(self, index: int) -> str:
        return self.values[index - 1] if index <= len(self.values) else ""

    def _number(self, node: ast.Positional) -> ast.Expr:
        if node.index < 1:
            self.diagnostics.error(node.span, f"${node.index} is no parameter", "the first one is $1")
        text = self._given(node.index)
        if not text:
            self.diagnostics.warning(node.span, f"Positional parameter ${node.index} is empty or not provided.")
            return ast.Integer(0, span=node.span)
        value = parse_integer(text)
        return fold.literal(text if value is None else value, node.span)

    def _text(self, node: ast.Expr | ast.TypeExpr) -> ast.Expr | None:
        """A parameter as text, alone or with an offset (`str($1 + 2)`); None for anything else."""
        match node:
            case ast.Positional(index=index):
                return ast.String(self._given(index), span=node.span)
            case ast.PositionalCount():
                return ast.String(str(len(self.values)), span=node.span)
            case ast.Binary(op="+", left=ast.Positional(index=index), right=ast.Integer(value=skip)):
                return ast.String(self._given(index)[skip:], span=node.span)
            case _:
                return None

    def _point(self, node: ast.AttachPoint) -> ast.AttachPoint:
        def paste(match: re.Match[str]) -> str:
            if match[1] is not None:
                return self._given(int(match[1]))
            if match[2] is not None:
                hint = 'quote this part if it is meant as it is, e.g. "$#"'
                self.diagnostics.error(
                    node.span, f"invalid character after '$' in a probe: '{match[2]}'" if match[2] else "lone '$'", hint
                )
            return match[0]

        text = _IN_TEXT.sub(paste, node.text)
        return node if text == node.text else replace(node, text=text)


# --- named --------------------------------------------------------------------------------------


def _declared(
    node: ast.Node, found: dict[str, Option], diagnostics: Diagnostics, env: fold.Environment | None
) -> ast.Node | None:
    """Notes what a `getopt` call declares; any other node is passed."""
    if not isinstance(node, ast.Call) or node.name != "getopt":
        return None
    if not 1 <= len(node.args) <= 3:
        diagnostics.error(node.span, f"getopt() takes one to three arguments ({len(node.args)} given)", _USAGE)
        return node
    values = [_constant(a, env) for a in node.args]
    name = values[0]
    default = values[1] if len(values) > 1 else False
    description = values[2] if len(values) > 2 else ""
    if not isinstance(name, str) or not name:
        diagnostics.error(node.args[0].span, "The first argument of getopt() must be a string literal", _USAGE)
    elif default is None:
        diagnostics.error(
            node.args[1].span, "The default of getopt() must be a string, integer or boolean literal", _USAGE
        )
    elif not isinstance(description, str):
        diagnostics.error(node.args[2].span, "The third argument of getopt() must be a string literal", _USAGE)
    elif name not in found:
        found[name] = Option(name, default, description, node.span)
    elif type(found[name].default) is not type(default) or found[name].default != default:
        other = found[name]
        diagnostics.error(
            node.span,
            f"The default of parameter '{name}' must be the same wherever it is used",
            f"line {other.span.line} says {other.default!r}",
        )
    elif description and not found[name].description:
        found[name] = replace(found[name], description=description)
    return node


_USAGE = 'getopt("name", default, "what it is for")'


def _constant(node: ast.Expr | ast.TypeExpr, env: fold.Environment | None) -> Value | None:
    if isinstance(node, ast.NamedType | ast.PointerType | ast.ArrayType | ast.TupleType | ast.TypeofType):
        return None
    match node:  # str($1), where nothing else is said
        case ast.Call(name="str", args=(ast.String(value=text),)):
            return text
    try:
        return fold.evaluate(node, env)
    except fold.FoldError:
        return None


def _values(options: Mapping[str, Option], named: Mapping[str, Value], diagnostics: Diagnostics) -> dict[str, Value]:
    values: dict[str, Value] = {name: o.default for name, o in options.items()}
    for name, given in named.items():
        text = f"--{name}" if given is True else f"--{name}={given}"
        span = Span(Source("command line", text), 0, len(text))
        option = options.get(name)
        if option is None:
            close = nearest(name, options)
            hint = f"did you mean '--{close}'?" if close else None
            if hint is None:
                known = ", ".join(f"--{n}" for n in options)
                hint = f"this script knows {known}" if known else "this script has no named parameters"
            diagnostics.error(span, f"unexpected named parameter --{name}", hint)
            continue
        try:
            values[name] = _converted(given, option.default)
        except ValueError as e:
            diagnostics.error(span, f"--{name} expects {e}")
    return values


def _converted(given: Value, default: Value) -> Value:
    if isinstance(default, bool):
        word = str(given).lower()
        if word not in ("true", "false", "1", "0"):
            raise ValueError(f"a boolean (true or false), got {_shown(given)}")
        return word in ("true", "1")
    if isinstance(default, int):
        number = given if isinstance(given, int) else parse_integer(given)
        if number is None or isinstance(given, bool):
            raise ValueError(f"an integer of at most 64 bits, got {_shown(given)}")
        return number
    if isinstance(given, bool):
        raise ValueError("a string: --name=value")
    return str(given)


def _shown(given: Value) -> str:
    return "nothing" if given is True else repr(given)


def _taken(node: ast.Node, options: Mapping[str, Option], values: Mapping[str, Value]) -> ast.Node | None:
    match node:
        case ast.Call(name="getopt", args=(ast.String(value=name), *_)) if name in options:
            return fold.literal(values[name], node.span)
        case _:
            return None


def uses_parameters(script: ast.Script) -> bool:
    """Whether the program depends on its command line, so that it cannot be compiled without one."""
    return any(
        isinstance(n, ast.Positional | ast.PositionalCount)
        or (isinstance(n, ast.Call) and n.name == "getopt")
        or (isinstance(n, ast.AttachPoint) and "$" in n.text)
        for n in walk(script)
    )
