"""From characters to tokens, one at a time, in the light of what the parser can take next.

Contextual: `next(row)` is given the actions of the current parser state, and what characters mean depends on it:

- where a probe may stand, text up to a space, `,`, `{` or `<` is one attach point, and C definitions are raw lines;
- after the attach points, `/` opens a predicate and `<` an action; a later `/` closes the predicate if no expression
  can follow it, and a later `>` closes the action if a statement has just ended (or the script goes on after it);
- a word is a keyword only where that keyword can stand, so that `args.if` and `config` as a builtin are names;
- `(` opens a cast if what stands between it and its `)` is a type and a value follows.
"""

from __future__ import annotations

from functools import cache

from pytrace.diagnostics import Diagnostics, Source, Span
from pytrace.syntax.patterns import Pattern
from pytrace.syntax.table import Table
from pytrace.syntax.words import BUILTIN_TYPES, BUILTIN_VALUES, PATHLESS_PROVIDERS

MAX_ERRORS = 20
"""So many mistakes are reported for one script; then parsing ends."""


MAX_DEPTH = 200
MAX_HEIGHT = 3000
"""Of a tree with its chains of operators: `recursion.deep` has room for that."""
"""How deep expressions, statements and chains of operators may nest; delimiters twice as deep, as the printer adds
parentheses."""


class TooDeep(Exception):
    """Ends the parsing of a text that nests deeper than `MAX_DEPTH`. Does not leave this package."""


class TooManyErrors(Exception):
    """Ends the parsing of a text that is no script at all. Does not leave this package."""


class Token:
    """`text` is what stands at [start, end) of the source; `kind` is the terminal's number in the table."""

    __slots__ = ("end", "kind", "start", "text")

    def __init__(self, kind: int, start: int, end: int, text: str) -> None:
        self.kind = kind
        self.start = start
        self.end = end
        self.text = text


_SPACE = Pattern(r"(?:\s+|//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)*")
_COMMENT = Pattern(r"//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/")
_ATTACH_POINT = Pattern(r'(?:"(?:[^"\\\n]|\\[^\n])*"|[^\s,{}<;"])+')
_TEMPLATE_POINT = Pattern(r'(?:"(?:[^"\\\n]|\\[^\n])*"|[^\s,{};"])+')
_PROBE_NAME = Pattern(r"[A-Za-z_]\w*=(?=[\w*?])")
_DIRECTIVE = Pattern(r"#(?:\\\r?\n|[^\n])*")
_C_DEFINITION = Pattern(r"(?:struct|union|enum|typedef)\b(?!\s*[:=])")
_GAP = r"(?:\s+|//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)*+"
_BRACKETS = r"\([^()]*+\)"
for _ in range(4):
    _BRACKETS = rf"\((?:[^()]|{_BRACKETS})*+\)"
_AFTER_C_BRACE = Pattern(rf"(?:{_GAP}(?:__packed\b|__(?:attribute(?:__)?|aligned)\s*{_BRACKETS}))*(?:{_GAP};)?")
_ITEM_WORDS = (
    ("MACRO", Pattern(r"macro(?=\s+\w)")),
    ("FN", Pattern(r"fn(?=\s+\w)")),
    ("LET_MAP", Pattern(r"let(?=\s+[@$])")),
    ("CONFIG", Pattern(r"config(?=\s*[={])")),
    ("IMPORT", Pattern(r"import(?=[\s\"])")),
)
_TAGGED = r"(?:struct|union|enum)\s+[A-Za-z_]\w*"
_SUFFIXES = r"(?:\s*+\*|\s*+\[\s*+\w*+\s*+\])*+"
_SURE_CAST = Pattern(rf"\(\s*(?:typeof\s*\(|{_TAGGED}|[A-Za-z_]\w*\s*(?:\[\s*+\w*+\s*+\]\s*+)*+\*++{_SUFFIXES}\s*\))")
_LIKELY_CAST = Pattern(rf"\(\s*([A-Za-z_]\w*){_SUFFIXES}\s*\)")
_SIZED_CAST = Pattern(r"\(\s*([A-Za-z_]\w*)\s*\[[^\[\]]*\]\s*\)")
_OPERAND = Pattern(r'[\w"$@(!~*]|--|\+\+|-|&(?!&)')
_POINTER_ARGUMENT = Pattern(r"\s*+\*[\s*]*+[,)]")
_ITEM_START = (
    r"#|(?:macro|fn|struct|union|enum|typedef|import)\s|let\s+@|config\s*=\s*\{"
    r"|[A-Za-z*?][\w*?.-]*+:[^\s:]|[A-Za-z_]\w*+=[A-Za-z]\w*:|(?:begin|end)\s*[{<,/]"
)
_ITEM = Pattern(_ITEM_START, ignore_case=True)
_SCRIPT_GOES_ON = Pattern(r"\Z|" + _ITEM_START, ignore_case=True)
_CHARACTER = Pattern(r"'[^'\n]{0,4}'")
_CLOSERS = {")": "(", "]": "[", "}": "{"}
_LITERALS = ("IDENT", "VARIABLE", "POSITIONAL", "MAP", "NUMBER", "STRING")


class Lexer:
    """The tokens of `source`. Comments are kept aside in `comments`; `opened` holds the offset and character of every
    delimiter that is open, with `/` for a predicate. Characters that begin no token are reported and skipped."""

    def __init__(self, source: Source, table: Table, diagnostics: Diagnostics, *, top_level: bool = True) -> None:
        self.source = source
        self.text = source.text
        self.top_level = top_level
        self.table = table
        self.diagnostics = diagnostics
        self.position = 0
        self.opened: list[tuple[int, str]] = []
        self.stray = -1
        """Where the last run of characters ended that begins no token."""
        self.closed: list[tuple[int, str]] = []
        """What the last closing delimiter closed: more than one if inner ones were left open."""
        self.comments: list[tuple[int, int]] = []
        self.previous: Token | None = None
        self.quiet = False
        """Set while the parser skips what it could not understand: nothing in there is worth a report."""
        self._tokens = _tokens(table.pattern)
        ids = table.ids
        self._ids = ids
        self._kinds = {name: ids[name] for name in _LITERALS}
        self._after_statement = {ids[n] for n in ("SEMICOLON", "RBRACE", "ANGLE_OPEN", "BLOCK_OPEN", "LBRACE")}
        if self.text.startswith("\ufeff"):  # a mark of byte order, which some editors write
            self.position = 1
        if self.text.startswith("#!", self.position):
            end = self.text.find("\n")
            self.position = len(self.text) if end < 0 else end

    def next(self, row: dict[int, int]) -> Token:
        """The next token that makes sense where `row` is what the parser accepts, else the plain one."""
        token = None
        while token is None:
            self._skip()
            if self.position >= len(self.text):
                token = Token(self._ids["$END"], len(self.text), len(self.text), "")
            elif self.top_level and not self.opened and self._ids["PROBE"] in row:
                token = self._top_level(row)
            else:
                token = self._inside(row)
        self.previous = token
        return token

    # --- top level ----------------------------------------------------------------------------

    def _top_level(self, row: dict[int, int]) -> Token | None:
        text, start, ids = self.text, self.position, self._ids
        if ids["C_DEFINITION"] in row:
            if text[start] == "#":
                match = _DIRECTIVE.match(text, start)
                assert match is not None
                return self._token("C_DEFINITION", len(match[0].rstrip()))
            if _C_DEFINITION.match(text, start):
                return self._c_definition()
            for name, pattern in _ITEM_WORDS:
                if match := pattern.match(text, start):
                    return self._token(name, len(match[0]))
        if text[start] in "{},;<>()" or (text[start] == "/" and ids["PREDICATE_OPEN"] in row):
            return self._inside(row)
        if ids["PROBE_NAME"] in row and (match := _PROBE_NAME.match(text, start)):
            return self._token("PROBE_NAME", len(match[0]))
        match = _ATTACH_POINT.match(text, start)
        if match is None:
            return self._inside(row)
        if ":cpp:" in match[0]:  # `<` belongs to a C++ name
            match = _TEMPLATE_POINT.match(text, start)
            assert match is not None
        point = match[0]
        if "/" in point and point.split(":", 1)[0].split("/", 1)[0].lower() in PATHLESS_PROVIDERS:
            point = point[: point.index("/")]
        return self._token("PROBE", len(point))

    def _c_definition(self) -> Token:
        """A struct, union, enum or typedef up to its `;`, or without one up to its closing brace and the attributes
        behind that (as bpftrace allows)."""
        text, start = self.text, self.position
        typedef = text.startswith("typedef", start)
        depth = 0
        position = start
        while position < len(text):
            character = text[position]
            if character in "/" and (match := _COMMENT.match(text, position)):
                position = match.end()
                continue
            position += 1
            if character == "{":
                depth += 1
            elif character == "}":
                depth -= 1
                if depth <= 0 and not typedef:
                    after = _AFTER_C_BRACE.match(text, position)
                    assert after is not None
                    position = after.end()
                    break
            elif character == ";" and depth == 0:
                break
        else:
            self._error(start, start + 6, "this C definition is never finished", "it ends with '};'")
        return self._token("C_DEFINITION", position - start)

    # --- inside ---------------------------------------------------------------------------------

    def _inside(self, row: dict[int, int]) -> Token | None:
        text, start, ids = self.text, self.position, self._ids
        character = text[start]
        inner = self.opened[-1][1] if self.opened else ""
        if character == "/":
            if ids["PREDICATE_OPEN"] in row:
                return self._open("PREDICATE_OPEN")
            if inner == "/" and self._closes_predicate():
                return self._close("PREDICATE_CLOSE")
        elif character == "<" and ids["ANGLE_OPEN"] in row:
            return self._open("ANGLE_OPEN")
        elif character == ">" and inner == "<" and self._closes_angle():
            return self._close("ANGLE_CLOSE")
        match = self._tokens.match(text, start)
        if match is None:
            return self._stray()
        kind = match.lastgroup
        if kind == "IDENT":
            return self._word(match[0], row)
        if kind != "OPERATOR":
            assert kind is not None
            return self._token(kind, len(match[0]))
        operator = match[0]
        if operator == "{":
            return self._open("BLOCK_OPEN" if ids["BLOCK_OPEN"] in row else "LBRACE")
        if operator == "(":
            return self._open("CAST_OPEN" if ids["CAST_OPEN"] in row and self._opens_cast() else "LPAR")
        if operator == "[":
            return self._open("LSQB")
        token = Token(self.table.operators[operator], start, match.end(), operator)
        self.position = match.end()
        if operator in _CLOSERS:
            self._pop(_CLOSERS[operator])
        return token

    def _word(self, word: str, row: dict[int, int]) -> Token:
        ids = self._ids
        keyword = self.table.words.get(word)
        if keyword is not None:
            if word == "if" and ids["IF_STATEMENT"] in row:
                keyword = ids["IF_STATEMENT"]
            # Where a statement or an expression may begin, a word is what it looks like; after a dot it is a name.
            if keyword in row or ids["IDENT"] not in row or ids["VARIABLE"] in row:
                return self._token(self.table.symbols[keyword], len(word))
        elif ids["TYPE_NAME"] in row and (
            word in BUILTIN_TYPES or _POINTER_ARGUMENT.match(self.text, self.position + len(word))
        ):
            return self._token("TYPE_NAME", len(word))
        return self._token("IDENT", len(word))

    def _opens_cast(self) -> bool:
        text, start = self.text, self.position
        if _SURE_CAST.match(text, start):
            return True
        match = _LIKELY_CAST.match(text, start)
        if match is None:
            match = _SIZED_CAST.match(text, start)
            if match is None or match[1] not in BUILTIN_TYPES:
                return False
        if match[1] in BUILTIN_VALUES or match[1] in self.table.words:
            return False
        after = _SPACE.match(text, match.end())
        assert after is not None
        return _OPERAND.match(text, after.end()) is not None

    def _closes_predicate(self) -> bool:
        """A `/` that no operand follows is not a division."""
        if self.text.startswith("/=", self.position):
            return False
        after = _SPACE.match(self.text, self.position + 1)
        assert after is not None
        return _OPERAND.match(self.text, after.end()) is None

    def _closes_angle(self) -> bool:
        if self.previous is not None and self.previous.kind in self._after_statement:
            return True
        if self.text[self.position + 1 : self.position + 2] in (">", "="):
            return False
        after = _SPACE.match(self.text, self.position + 1)
        assert after is not None
        if _SCRIPT_GOES_ON.match(self.text, after.end()):
            return True
        self._error(
            self.position,
            self.position + 1,
            "this '>' can be read as a comparison or as the end of the action",
            "inside '< … >', write a comparison in parentheses, `(a > b)`, and end the last statement with ';'",
        )
        return False

    # --- helpers ----------------------------------------------------------------------------------

    def _skip(self) -> None:
        """Past white space and comments, which are noted."""
        text = self.text
        while True:
            match = _SPACE.match(text, self.position)
            assert match is not None
            if match.end() > self.position:
                self.comments.extend((m.start(), m.end()) for m in _COMMENT.finditer(text, self.position, match.end()))
                self.position = match.end()
            if not text.startswith("/*", self.position):
                return
            self._error(self.position, self.position + 2, "this comment is never closed", "a comment ends with '*/'")
            self.position = self.stray = len(text)

    def _stray(self) -> Token | None:
        """A character that begins no token. The rest of the run of such characters goes with it."""
        text, start = self.text, self.position
        end = start + 1
        character = text[start]
        if character == '"':
            newline = text.find("\n", start)
            # What closes the statement is more likely forgotten to be outside than meant to be in the string.
            end = max(start + 1, len(text[start : None if newline < 0 else newline].rstrip("\t\r ;)}]")) + start)
            self._error(start, end, "this string is never closed", "a string ends with '\"' on the same line")
            return self._token("STRING", end - start)
        if character == "'" and (match := _CHARACTER.match(text, start)):
            end = match.end()
        while end < len(text) and not text[end].isspace() and text[end] != '"' and not self._tokens.match(text, end):
            end += 1
        hint = None
        if character == "'":
            hint = "strings are written in double quotes; a character is written as its number"
        elif character == "$":
            hint = "a variable is '$' and a name, a parameter of the command line '$' and a number"
        elif character == "#":
            hint = "'#' directives stand on lines of their own before the probes"
        elif not character.isascii():
            hint = "outside of strings and comments only ASCII characters mean something"
        shown = text[start:end] if text[start:end].isprintable() and end - start <= 20 else ascii(text[start])[1:-1]
        self._error(start, end, f"unexpected '{shown}'", hint)
        self.position = self.stray = end
        return None

    def _error(self, start: int, end: int, message: str, hint: str | None) -> None:
        if self.quiet:
            return
        self.diagnostics.error(Span(self.source, start, min(end, len(self.text))), message, hint)

    def _token(self, name: str, length: int) -> Token:
        start = self.position
        self.position = start + length
        return Token(self._ids[name], start, start + length, self.text[start : start + length])

    def _open(self, name: str) -> Token:
        if len(self.opened) >= 2 * MAX_DEPTH:
            raise TooDeep
        self.opened.append((self.position, self.text[self.position]))
        return self._token(name, 1)

    def _close(self, name: str) -> Token:
        self.opened.pop()
        return self._token(name, 1)

    def _pop(self, opener: str) -> None:
        """A closing delimiter ends what was opened since its opener; without one it ends nothing."""
        self.closed = []
        for i in range(len(self.opened) - 1, -1, -1):
            if self.opened[i][1] == opener:
                self.closed = self.opened[i:]
                del self.opened[i:]
                return
            if self.opened[i][1] in "{<" and opener in "([":
                return


@cache
def _tokens(pattern: str) -> Pattern:
    return Pattern(pattern)


def looks_like_script(text: str) -> bool:
    """Whether a text begins like a script (a probe, a definition) and not like a statement."""
    start = _SPACE.match(text)
    return start is not None and start.end() < len(text) and _ITEM.match(text, start.end()) is not None
