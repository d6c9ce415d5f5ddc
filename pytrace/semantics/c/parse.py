"""The parser: pycparser, one declaration at a time, with its complaints tied to the places of the script."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from pycparser.c_parser import CParser, ParseError

from pytrace.semantics.c.scan import TAGS
from pytrace.semantics.c.tokens import CError, Token

MAX_ANNOTATIONS = 20
_WORDS = TAGS | {"auto", "char", "const", "double", "enum", "extern", "float", "int", "long", "register", "short"}
_WORDS |= {"signed", "sizeof", "static", "typedef", "unsigned", "void", "volatile", "_Bool", "__int128"}
_BEFORE_TYPE = frozenset(("{", ";", "(", "typedef", "const", "volatile", "static", "extern", "register"))
_PLACE = re.compile(r"[^:]*:(\d+)(?::\d+)?: (.*)", re.DOTALL)


class Parser:
    """`is_type` tells whether a name is a type's. Where a node of the last tree stands is for `index` to say."""

    def __init__(self, is_type: Callable[[str], bool]) -> None:
        self.is_type = is_type
        self._parser = CParser()
        self._indices: list[int] = []

    def index(self, coord: Any) -> int:
        """The index of the token at a node's `coord`; of the first one for a node that has none."""
        return self._indices[0 if coord is None else min(max(coord.line - 2, 0), len(self._indices) - 1)]

    def declaration(self, tokens: Sequence[Token], start: int, end: int) -> list[Any]:
        """The nodes of the declaration that tokens [start, end) are. Raises `CError`."""
        first: CError | None = None
        self._indices = list(range(start, end))
        for _ in range(MAX_ANNOTATIONS):
            try:
                return self._parse(tokens, "", "")
            except (ParseError, AssertionError) as e:  # some versions assert where there is a `}` too many
                first = first or self._explained(tokens, e)
                if not self._drop_annotation(tokens, e):
                    break
            except RecursionError:
                raise CError(tokens[start].span, "this declaration is nested too deeply") from None
        assert first is not None
        raise first

    def expression(self, tokens: Sequence[Token], before: str = "(") -> Any:
        """The expression that the tokens are; with ``sizeof(`` `before` it, a type's name may stand there too. None if
        they are none."""
        self._indices = list(range(len(tokens)))
        try:
            nodes = self._parse(tokens, f"int x = {before}", "\n);")
        except (ParseError, AssertionError, RecursionError):
            return None
        return nodes[0].init if len(nodes) == 1 else None

    def _parse(self, tokens: Sequence[Token], before: str, after: str) -> list[Any]:
        chosen = [tokens[i] for i in self._indices]
        types = list(self._types(chosen, bool(before)))
        known = f"typedef int {','.join(types)};" if types else ""
        # One token to a line: the line then tells the token.
        text = "\n".join([f"{known}{before}", *(t.text for t in chosen)])
        nodes: list[Any] = self._parser.parse(text + after, "").ext
        return nodes[len(types) :]

    def _types(self, tokens: Sequence[Token], inside: bool) -> Iterable[str]:
        """The names of types that stand where such a name may stand."""
        found: dict[str, None] = {}
        depth = 0
        for i, token in enumerate(tokens):
            depth += (token.text == "(") - (token.text == ")")
            if not token.is_name or token.text in _WORDS or token.text in found:
                continue
            before = tokens[i - 1].text if i else "(" if inside else ";"
            after = tokens[i + 1] if i + 1 < len(tokens) else None
            if (
                (before in _BEFORE_TYPE or (before == "," and depth))
                and (after is None or after.is_name or after.text in ("*", "(", ")", ":", ",", "["))
                and self.is_type(token.text)
            ):
                found[token.text] = None
        return found

    # --- what is wrong ------------------------------------------------------------------------------

    def _place(self, error: Exception) -> int | None:
        match = _PLACE.match(str(error))
        line = int(match[1]) - 2 if match else -1
        return line if 0 <= line < len(self._indices) else None

    def _drop_annotation(self, tokens: Sequence[Token], error: Exception) -> bool:
        """Forgets a word like `__randomize_layout`, which headers have invented, where the parser was stopped."""
        place = self._place(error)
        for i in () if place is None else (place, place - 1):
            token = tokens[self._indices[i]]
            if i >= 0 and token.text.startswith("__") and token.text not in _WORDS and not self.is_type(token.text):
                end = i + 1
                depth = 0
                while i == place and end < len(self._indices):
                    text = tokens[self._indices[end]].text
                    depth += (text == "(") - (text == ")")
                    if depth <= 0 and text != ")":
                        break
                    end += 1
                del self._indices[i:end]
                return True
        return False

    def _explained(self, tokens: Sequence[Token], error: Exception) -> CError:
        chosen = [tokens[i] for i in self._indices]
        opened: list[int] = []
        for i, token in enumerate(chosen):
            if token.text == "{":
                opened.append(i)
            elif token.text == "}" and opened:
                opened.pop()
            following = chosen[i + 1] if i + 1 < len(chosen) else None
            if token.text == "/" and following and following.text == "*" and following.span.start == token.span.end:
                return CError(token.span.to(following.span), "this comment does not end")
        unknown = next(self._unknown_types(chosen), None)
        if unknown is not None:
            return CError(unknown.span, f"unknown type name '{unknown.text}'")
        if opened:
            tag = next((t.text for t in reversed(chosen[: opened[-1]]) if t.text in TAGS), "definition")
            return CError(chosen[opened[-1]].span, f"this {tag} does not end", "its closing '}' is missing")
        place = self._place(error)
        if place is None:
            return CError(chosen[-1].span, "this declaration is not complete")
        token = chosen[place]
        if token.text == "}" or (place and chosen[place - 1].span.line < token.span.line):
            return CError(token.span, "expected ';'")
        return CError(token.span, f"unexpected '{token.text}'")

    def _unknown_types(self, tokens: Sequence[Token]) -> Iterator[Token]:
        start = True
        for i, token in enumerate(tokens):
            following = tokens[i + 1] if i + 1 < len(tokens) else None
            if (
                start
                and token.is_name
                and token.text not in _WORDS
                and following is not None
                and (following.text == "*" or following.is_name)
                and not self.is_type(token.text)
            ):
                yield token
            start = token.text in _BEFORE_TYPE and token.text != "("
