"""What goes between the preprocessor and the parser: C as compilers take it to the C of the standard.

The parser knows no attributes. They are taken out here, and what they say of layouts (`packed`, `aligned(n)`, also by
`#pragma pack`) is kept beside the tokens, by the declaration or the struct that it is said of. The text is also cut
into declarations, so that one which cannot be parsed does not take the others with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytrace.record import field, record, replace
from pytrace.semantics.c.tokens import Token, number

TAGS = frozenset(("struct", "union", "enum"))
_PACKED = frozenset(("packed", "__packed__", "__packed"))
_ALIGNED = frozenset(("aligned", "__aligned__", "__aligned", "_Alignas", "alignas"))
_ATTRIBUTE = frozenset(("__attribute__", "__attribute"))
_WITH_BRACKETS = frozenset(("asm", "__asm__", "__asm", "_Static_assert", "static_assert"))
# `volatile` says nothing of layouts, and carries through the parser what does matter: that a pointer is to user memory.
_REWRITTEN = {"__signed__": "signed", "__signed": "signed", "__const": "const", "__user": "volatile"}
_DROPPED = frozenset(("volatile", "__volatile__", "__volatile", "restrict", "__restrict", "__restrict__", "_Atomic"))
_DROPPED |= {"inline", "__inline", "__inline__", "__always_inline", "_Noreturn", "__thread", "_Thread_local"}
_DROPPED |= {"__extension__", "__rcu", "__iomem", "__percpu", "__force", "__kernel", "__bitwise", "__safe"}
_TYPEOF = frozenset(("typeof", "__typeof__", "__typeof", "typeof_unqual"))
_AFTER_DECLARATOR = frozenset((";", ",", "=", ")"))


@record
class Attribute:
    """`packed`, or `aligned` to what an expression or type in `value` says (to the most there is, if it is empty)."""

    packed: bool
    value: tuple[Token, ...] = ()


@record
class Declaration:
    """The tokens [start, end) of one declaration, with its `;`, or of a function with its body."""

    start: int
    end: int
    function: bool = False


@record(frozen=False)
class Scanned:
    """`tokens` without attributes. An index into it says what is meant in all the rest."""

    tokens: list[Token] = field(default_factory=list)
    declarations: list[Declaration] = field(default_factory=list)
    members: list[tuple[int, int]] = field(default_factory=list)
    """For each token: where the declaration (or the one of members) begins that it is in, and how many commas of it
    come before."""
    of_all: dict[int, list[Attribute]] = field(default_factory=dict)
    """What is said of everything that is declared by what begins there."""
    of_one: dict[tuple[int, int], list[Attribute]] = field(default_factory=dict)
    of_body: dict[int, list[Attribute]] = field(default_factory=dict)
    """What is said of the struct, union or enum whose `{` it is."""
    underlying: dict[int, list[Token]] = field(default_factory=dict)
    """The type that is said of the enum whose `{` it is."""
    packs: dict[int, int] = field(default_factory=dict)
    """The `#pragma pack` under which a `{` stands."""

    def of_member(self, name: int) -> list[Attribute]:
        """What is said of the one that a name declares."""
        start, commas = self.members[name]
        return self.of_all.get(start, []) + self.of_one.get((start, commas), [])


def scan(tokens: Sequence[Token]) -> Scanned:
    scanner = _Scanner(tokens)
    scanner.scan()
    return scanner.found


@record(frozen=False)
class _Level:
    """Where the scanner stands between two braces."""

    start: int
    open: int = -1
    commas: int = 0
    brackets: int = 0
    called: bool = False
    """Whether there were brackets in what is declared, as after the name of a function."""
    function: bool = False
    members: bool = False


class _Scanner:
    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.found = Scanned()
        self.levels = [_Level(0)]
        self.pending: list[Attribute] = []
        self.closed = -1
        """The `{` of the `}` before."""
        self.pack = [0]

    def scan(self) -> None:
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            self.at += 1
            if token.text in _ATTRIBUTE:
                self._attributes(self._brackets())
            elif token.text in _PACKED - {"packed"}:
                self.pending.append(Attribute(True))
            elif token.text in _ALIGNED - {"aligned"} and self._ahead("("):
                self.pending.append(Attribute(False, tuple(self._brackets())))
            elif token.text in _TYPEOF and self._ahead("("):
                for named in self._brackets():  # a type: of expressions the declarations of C have none
                    self._keep(named)
            elif token.text == ":" and self._in_enum_head():
                self._underlying()
            elif token.text in _WITH_BRACKETS:
                self._brackets()
            elif token.text == "#" and self._ahead("pragma"):
                self.at += 2
                self._pack([t.text for t in self._brackets()])
            elif token.text not in _DROPPED:
                self._keep(replace(token, text=_REWRITTEN.get(token.text, token.text)))
        if self.levels[0].start < len(self.found.tokens):
            self.found.declarations.append(Declaration(self.levels[0].start, len(self.found.tokens)))

    # --- C23 ----------------------------------------------------------------------------------------

    def _in_enum_head(self) -> bool:
        kept = self.found.tokens
        return any(t.text == "enum" for t in kept[max(self.levels[-1].start, len(kept) - 2) :])

    def _underlying(self) -> None:
        """Passes the type that an enum is to have, `enum name : type {`."""
        start = self.at
        while self.at < len(self.tokens) and self.tokens[self.at].text not in ("{", ";", "}"):
            self.at += 1
        if self._ahead("{"):
            self.found.underlying[len(self.found.tokens)] = list(self.tokens[start : self.at])

    # --- attributes ---------------------------------------------------------------------------------

    def _ahead(self, text: str) -> bool:
        return self.at < len(self.tokens) and self.tokens[self.at].text == text

    def _brackets(self) -> list[Token]:
        """Passes what stands in brackets here; without the brackets."""
        start, depth = self.at, 0
        while self.at < len(self.tokens) and (depth or self.at == start):
            text = self.tokens[self.at].text
            if depth == 0 and text != "(":
                return []
            depth += (text == "(") - (text == ")")
            self.at += 1
        return list(self.tokens[start + 1 : self.at - 1])

    def _attributes(self, inside: list[Token]) -> None:
        """Notes those that bear on layouts of what stands in the outer brackets of an `__attribute__`."""
        words, depth = inside[1:-1], 0
        for i, token in enumerate(words):
            if depth == 0 and token.text in _PACKED:
                self.pending.append(Attribute(True))
            elif depth == 0 and token.text in _ALIGNED:
                value: list[Token] = []
                nested = 0
                for t in words[i + 1 :]:
                    nested += (t.text == "(") - (t.text == ")")
                    if nested <= 0:
                        break
                    value.append(t)
                self.pending.append(Attribute(False, tuple(value[1:])))
            depth += (token.text == "(") - (token.text == ")")

    def _pack(self, words: list[str]) -> None:
        size = next((n for word in words if (n := number(word)) is not None), None)
        if "pop" in words:
            self.pack = self.pack[:-1] or [0]
        elif "push" in words:
            self.pack.append(self.pack[-1] if size is None else size)
        else:
            self.pack[-1] = size or 0

    def _give(self, following: str) -> None:
        """Gives the pending attributes to what they stand at, which the token after them shows."""
        kept, level = self.found.tokens, self.levels[-1]
        before = kept[-1].text if len(kept) > level.start else ""
        tagged = before in TAGS or (len(kept) - level.start > 1 and kept[-2].text in TAGS)
        if tagged and following == "{":
            where = self.found.of_body.setdefault(len(kept), [])
        elif before in TAGS:
            return
        elif before == "}" and self.closed >= level.start:
            where = self.found.of_body.setdefault(self.closed, [])
        elif following in _AFTER_DECLARATOR:
            where = self.found.of_one.setdefault((level.start, level.commas), [])
        else:
            where = self.found.of_all.setdefault(level.start, [])
        where += self.pending
        self.pending = []

    # --- declarations -------------------------------------------------------------------------------

    def _keep(self, token: Token) -> None:
        found, level, text = self.found, self.levels[-1], token.text
        if self.pending:
            self._give(text)
        if text == "}" and level.members and found.tokens[-1].text not in (";", "{"):
            self._keep(replace(token, text=";"))  # compilers do without the last one
        index = len(found.tokens)
        found.tokens.append(token)
        found.members.append((level.start, level.commas))
        if text == "{":
            if self.pack[-1]:
                found.packs[index] = self.pack[-1]
            before = [t.text for t in found.tokens[max(level.start, index - 2) : index]]
            function = not TAGS & set(before) and before[-1:] != ["="] and level.called
            members = "struct" in before or "union" in before
            self.levels.append(_Level(index + 1, index, function=function, members=members))
        elif text == "}" and len(self.levels) > 1:
            del self.levels[-1]
            self.closed = level.open
            if level.function and len(self.levels) == 1:
                self._end(function=True)
        elif text == ";" and not level.brackets:
            if len(self.levels) == 1:
                self._end(function=False)
            level.start, level.commas = index + 1, 0
        elif text == "," and not level.brackets:
            level.commas += 1
        elif text in "()":
            level.brackets = max(0, level.brackets + (text == "(") - (text == ")"))
            level.called = True

    def _end(self, function: bool) -> None:
        level, end = self.levels[0], len(self.found.tokens)
        if end - level.start > 1:  # more than a `;`
            self.found.declarations.append(Declaration(level.start, end, function))
        level.start, level.commas, level.called = end, 0, False
