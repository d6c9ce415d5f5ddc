"""What to say about a token that cannot stand where it stands.

The parser's state knows what could have come; `explain` turns that and the surroundings into one sentence and a hint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.syntax import ast
from pytrace.syntax.lexer import Token

if TYPE_CHECKING:
    from pytrace.syntax.parser import Parser

_STARTS_STATEMENT = frozenset(
    "IDENT VARIABLE MAP IF IF_STATEMENT WHILE FOR UNROLL LET BREAK CONTINUE RETURN IMPORT".split()  # noqa: SIM905
)
_OPERATORS = frozenset(
    "OR AND BIT_OR BIT_XOR AMPERSAND EQUALITY RELATION SHIFT PLUS MINUS STAR DIVIDE QMARK".split()  # noqa: SIM905
)
_SHOWN = {
    "ASSIGN": "'='",
    "COLON": "':'",
    "COMMA": "','",
    "DOT": "'.'",
    "IDENT": "a name",
    "LBRACE": "'{'",
    "LPAR": "'('",
    "LSQB": "'['",
    "MAP": "a map",
    "NUMBER": "a number",
    "PREDICATE_CLOSE": "'/'",
    "RANGE": "'..'",
    "RBRACE": "'}'",
    "RPAR": "')'",
    "RSQB": "']'",
    "SEMICOLON": "';'",
    "STRING": "a string",
    "VARIABLE": "a variable",
    "ANGLE_CLOSE": "'>'",
    "ELSE": "'else'",
}
_FOREIGN = {
    "elif": "write `else if`",
    "elsif": "write `else if`",
    "elseif": "write `else if`",
    "switch": "use a chain of `if … else if …`",
    "do": "use `while`",
    "and": "write `&&`",
    "or": "write `||`",
    "not": "write `!`",
    "function": "a function is `fn name($a : type) : type { … }`, a macro `macro name(a) { … }`",
    "def": "a function is `fn name($a : type) : type { … }`, a macro `macro name(a) { … }`",
}

_C_WORDS = frozenset("static extern inline const void char short int long unsigned signed float double".split())  # noqa: SIM905

_DECLARING = frozenset(("var", "auto"))


def explain(parser: Parser, token: Token) -> tuple[Token, str, str | None]:
    """Where to point, what is wrong, and what to do about it."""
    expected = parser.expected()
    names = {parser.table.symbols[kind] for kind in expected}
    kind = parser.table.symbols[token.kind]
    previous = parser.before
    if kind == "$END":
        return _at_end(parser, token, names)
    return (
        _delimiter(parser, token, kind, names)
        or _separator(token, kind, names, previous)
        or _header(parser, token, names, previous)
        or _general(parser, token, kind, names, previous)
    )


def _at_end(parser: Parser, token: Token, names: set[str]) -> tuple[Token, str, str | None]:
    opened = parser.lexer.opened
    if opened:
        offset, character = opened[-1]
        at = Token(0, offset, offset + 1, character)
        if character == "<":
            hint = "the action ends with '>'; a '>' that compares stands in parentheses, `(a > b)`"
            return at, "this '<' opens an action that is never closed", hint
        if character == "/":
            return at, "this predicate is never closed", "it ends with '/', and an action '{ … }' follows"
        return at, f"this '{character}' is never closed", None
    return token, f"the script ends here, but {_listed(names)} must follow", None


def _delimiter(parser: Parser, token: Token, kind: str, names: set[str]) -> tuple[Token, str, str | None] | None:
    lexer = parser.lexer
    if token.text in (")", "]", "}") and kind in ("RPAR", "RSQB", "RBRACE"):
        if len(lexer.closed) > 1:
            offset, character = lexer.closed[-1]
            line, _ = parser.source.position(token.start)
            at = Token(0, offset, offset + 1, character)
            if character == "<":
                return token, "this '}' cannot close an action that was opened with '<'", "close it with '>'"
            return at, f"this '{character}' is not closed before the '{token.text}' in line {line}", None
        if token.text == "}" and any(character == "<" for _, character in lexer.opened):
            return token, "this '}' cannot close an action that was opened with '<'", "close it with '>'"
        if not lexer.closed:
            return token, f"this '{token.text}' closes nothing", None
    elif kind == "ANGLE_CLOSE" or (token.text == ">" and lexer.opened and lexer.opened[-1][1] == "{"):
        if kind == "RELATION" and parser.before is not None and parser.before.text in (";", "{", "}"):
            return token, "this '>' cannot close an action that was opened with '{'", "close it with '}'"
        if kind == "ANGLE_CLOSE":
            return token, f"the action ends here, but {_listed(names)} must follow", None
    return None


def _separator(
    token: Token, kind: str, names: set[str], previous: Token | None
) -> tuple[Token, str, str | None] | None:
    if previous is None or "SEMICOLON" not in names:
        return None
    if kind in _STARTS_STATEMENT and token.text not in _FOREIGN and previous.text not in _FOREIGN:
        if previous.text in _C_WORDS | _DECLARING and kind == "IDENT":
            name = f"${_short(token)}"
            return token, f"a variable is written with '$': {name}", f"{name} = 5; or let {name} : uint64 = 5;"
        at = Token(0, previous.end, previous.end + 1, "")
        return at, f"missing ';' before '{_short(token)}'", None
    if kind in ("STRING", "NUMBER") and previous.text.isidentifier() and previous.text not in _FOREIGN:
        return token, f"unexpected {_short(token)}", f"arguments stand in parentheses: `{previous.text}(…)`"
    return None


def _header(
    parser: Parser, token: Token, names: set[str], previous: Token | None
) -> tuple[Token, str, str | None] | None:
    """Mistakes outside of any action."""
    if token.text == "{" and not parser.lexer.opened[:-1] and "COMMA" not in names and "SEMICOLON" in names:
        hint = "a probe is written like `tracepoint:syscalls:sys_enter_openat { … }` or `begin { … }`"
        return token, "there is no probe before this action", hint
    if "PREDICATE_OPEN" in names:
        hint = "write `probe /condition/ { statements }`; an attach point with spaces in it stands in double quotes"
        if previous is not None and previous.text in _C_WORDS:
            whole = Token(0, previous.start, token.end, "")
            return whole, "functions and variables of C cannot stand in a script", _FOREIGN["function"]
        if previous is not None and "/" in previous.text:
            hint = "after a path, a predicate needs a space before its first '/'"
        return token, f"expected '{{' or a predicate after the probe, found '{_short(token)}'", hint
    if "PROBE" in names and not parser.lexer.opened:
        hint = "a probe is written like `tracepoint:syscalls:sys_enter_openat { … }` or `begin { … }`"
        if previous is not None and parser.table.symbols[previous.kind] == "ANGLE_CLOSE":
            hint = "the '>' before it ended the action: a '>' that compares stands in parentheses, `(a > b)`"
        return token, f"expected a probe, found '{_short(token)}'", hint
    if names == {"LBRACE", "ANGLE_OPEN"}:
        return token, f"expected '{{' after the predicate, found '{_short(token)}'", None
    return None


def _general(
    parser: Parser, token: Token, kind: str, names: set[str], previous: Token | None
) -> tuple[Token, str, str | None]:
    hint = None
    opened = [character for offset, character in parser.lexer.opened if offset < token.start][-1:]
    called = parser.values[-1] if parser.values else None
    for word in (token.text, previous.text if previous else "", called.name if isinstance(called, ast.Call) else ""):
        hint = hint or _FOREIGN.get(word)
    if (
        hint is None
        and names == {"COLON"}
        and any(isinstance(v, Token) and v.text == "for" for v in parser.values[-3:])
    ):
        hint = "loops are `for ($i : 0..10) { … }` and `for ($kv : @map) { … }`"
    if hint is None and kind == "ASSIGN" and names & _OPERATORS:
        hint = "'=' assigns, and only in a statement of its own; '==' compares"
    elif hint is None and kind in ("COMPOUND_ASSIGN",) and names & _OPERATORS:
        hint = "an assignment is a statement of its own"
    elif hint is None and kind == "ELSE":
        hint = "`else` follows the '}' of an `if`"
    elif hint is None and opened == ["/"]:
        hint = "a predicate ends with '/', and an action '{ … }' follows"
    elif hint is None and "LBRACE" in names and "NUMBER" not in names and opened:
        hint = "the body of an if, else, for, while or unroll stands in braces"
    elif hint is None and kind == "RELATION" and token.text == ">" and opened == ["<"]:
        hint = "inside '< … >', write a comparison in parentheses, `(a > b)`"
    return token, f"expected {_listed(names)}, found '{_short(token)}'", hint


def _listed(names: set[str]) -> str:
    """What could have come, in a few words."""
    words = []
    rest = set(names)
    if {"NUMBER", "STRING", "LPAR"} <= rest:
        words.append("a statement" if "WHILE" in rest else "an expression")
        rest = rest & {"RBRACE", "RPAR", "RSQB", "ANGLE_CLOSE"}
    elif {"TAG", "TYPEOF"} <= rest:
        words.append("a type")
        rest -= {"IDENT", "LPAR"}
    words.extend(_SHOWN[name] for name in sorted(rest) if name in _SHOWN and name not in ("DOT", "LSQB"))
    if not words:
        words = ["an operator"]
    if len(words) > 4:
        words = words[:4]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


def _short(token: Token) -> str:
    text = token.text if len(token.text) <= 30 else token.text[:29] + "…"
    return "".join(c if c.isprintable() else " " for c in text)
