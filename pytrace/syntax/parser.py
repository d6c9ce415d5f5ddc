"""The LALR(1) driver: tokens in, nodes out, and on past a mistake to the next statement.

Every entry on the stack carries its extent and the depth of the tree below it: what is nested deeper than `MAX_DEPTH`
is refused here, so that no later pass, nor the comparison or printing of a tree, can exhaust Python's stack.
"""

from __future__ import annotations

from typing import Any

from pytrace.diagnostics import Diagnostics, Source, Span
from pytrace.syntax import messages, table
from pytrace.syntax.builder import Builder
from pytrace.syntax.lexer import MAX_DEPTH, MAX_ERRORS, MAX_HEIGHT, Lexer, Token, TooDeep, TooManyErrors

_MAX_STACK = 20 * MAX_DEPTH  # what is on the stack is not yet a tree, but would become one

_FLAT = ("parenthesised", "expression_statement", "ended")
"""Reductions that add nothing to the tree, or nothing that its parent does not count."""


class _Limited(Diagnostics):
    """Ends the parsing at `MAX_ERRORS`."""

    def error(self, span: Span, message: str, hint: str | None = None) -> None:
        super().error(span, message, hint)
        if len(self.errors) >= MAX_ERRORS:
            raise TooManyErrors


class Parser:
    """Parses one `source`, from one of the grammar's start symbols. Use once."""

    def __init__(self, source: Source, start: str) -> None:
        self.start = start
        self.source = source
        self.diagnostics = _Limited()
        self.table = table.load()
        self.lexer = Lexer(source, self.table, self.diagnostics, top_level=start == "script")
        self.builder = Builder(source, self.diagnostics, self.lexer)
        self.unfinished = False
        """Whether the only thing wrong is that the text ends too early, so that more of it could mend it."""
        self.before: Token | None = None
        """The last token that the parser took."""
        self._dropped = False
        self._recovered_at = -1
        self._gave_up = False
        ids = self.table.ids
        self._item_goto = ids["probe"]
        self._list_gotos = {ids["probe"], ids["block_statement"]}
        self._angle_open = ids["ANGLE_OPEN"]
        self._semicolon = ids["SEMICOLON"]
        self._right_brace = ids["RBRACE"]
        self._angle_close = ids["ANGLE_CLOSE"]
        self._closing = {ids["RBRACE"], ids["ANGLE_CLOSE"]}

    def parse(self) -> Any:
        """The node for the start symbol. Raises ScriptError with everything that was found."""
        result = None
        try:
            result = self._run()
            if not self.diagnostics.errors:  # otherwise it may have been meant as something else
                for found in self.builder.late:
                    self.diagnostics.error(*found)
        except TooManyErrors:
            pass
        except TooDeep:
            at = self.lexer.position
            span = Span(self.source, at, min(at + 1, len(self.source.text)))
            self.diagnostics.error(
                span, f"nested too deeply: more than {MAX_DEPTH} levels", "split it into several parts"
            )
        self.diagnostics.check()
        return result

    # --- the automaton ----------------------------------------------------------------------------

    def _run(self) -> Any:
        rows = self.table.row
        rules = self.table.rules
        lexer = self.lexer
        builder = self.builder
        self.states = states = [self.table.starts[self.start]]
        self.values: list[Any] = []
        self.extents: list[tuple[int, int]] = []
        self.depths: list[int] = []
        self.heights: list[int] = []
        self.opened: list[int] = []
        values, extents, depths, opened = self.values, self.extents, self.depths, self.opened
        heights = self.heights
        end = self.table.ends[self.start]

        row = rows(states[-1])
        token = lexer.next(row)
        while True:
            action = row.get(token.kind)
            if action is None:
                action = self._only_reduction(row)
            if action is None:
                token = self._recover(token)
                row = rows(states[-1])
                if self._gave_up:
                    return None
                continue
            if action > 0:
                states.append(action - 1)
                values.append(token)
                extents.append((token.start, token.end))
                depths.append(0)
                heights.append(0)
                opened.append(len(lexer.opened))
                if len(states) > _MAX_STACK:
                    raise TooDeep
                self.before = token
                row = rows(action - 1)
                token = lexer.next(row)
                continue
            symbol, length, name, kind, keep, nones = rules[-action - 1]
            if length == 1 and kind == "single":
                states.pop()
                state = rows(states[-1])[symbol] - 1
                states.append(state)
                row = rows(state)
                continue
            level = opened[-1] if opened else 0
            if length:
                children = values[-length:]
                extent = (extents[-length][0], extents[-1][1])
                depth = max(depths[-length:])
                if name == "binary":  # in a + b + c all are on one level, as a reader sees it
                    depth = max(depths[-length] - 1, depths[-1])
                height = max(heights[-length:])
                del states[-length:], values[-length:], extents[-length:], depths[-length:], opened[-length:]
                del heights[-length:]
            else:
                children = []
                at = extents[-1][1] if extents else token.start
                extent = (at, at)
                depth = height = 0
            if keep is not None:
                children = _kept(keep, nones, children)
            value: Any = children
            if kind == "build":
                depth += name not in _FLAT
                height += name not in _FLAT
                if depth > MAX_DEPTH or height > MAX_HEIGHT:
                    raise TooDeep
                value = getattr(builder, name)(children, extent)
            elif kind == "single":
                value = children[0] if len(children) == 1 else getattr(builder, name)(children, extent)
            state = rows(states[-1])[symbol] - 1
            states.append(state)
            values.append(value)
            extents.append(extent)
            depths.append(depth)
            heights.append(height)
            opened.append(level)
            row = rows(state)
            if state == end and token.kind == 0:
                return value

    def _only_reduction(self, row: dict[int, int]) -> int | None:
        """What a state does that is at the end of a rule and can do nothing else. An unexpected token is reported
        after it, where what it ends is one thing."""
        terminals = len(self.table.terminals)
        actions = {action for kind, action in row.items() if kind < terminals}
        return actions.pop() if len(actions) == 1 and min(actions) < 0 else None

    # --- mistakes ---------------------------------------------------------------------------------

    def expected(self) -> set[int]:
        """The terminals that the parser could go on with: not all in a row survive the reductions they cause."""
        terminals = len(self.table.terminals)
        return {kind for kind in self.table.row(self.states[-1]) if kind < terminals and self._accepts(kind)}

    def _accepts(self, kind: int) -> bool:
        states = self.states[-1:]
        below = len(self.states) - 1  # states[:below] of the real stack are still untouched
        while True:
            action = self.table.row(states[-1]).get(kind)
            if action is None:
                return False
            if action > 0:
                return True
            symbol, length, *_ = self.table.rules[-action - 1]
            if length < len(states):
                del states[len(states) - length :]
            else:
                below -= length - len(states) + 1
                states = [self.states[below]]
            goto = self.table.row(states[-1]).get(symbol)
            if goto is None:
                return kind == 0
            states.append(goto - 1)

    def _report(self, token: Token, message: str, hint: str | None) -> None:
        self.diagnostics.error(Span(self.source, token.start, token.end), message, hint)

    def _recover(self, token: Token) -> Token:
        """Reports `token`, unwinds to the innermost list of statements or items, skips to where the next one begins
        and returns the token there. Gives up if that is the end of the text."""
        if not self._follows_from_another(token):
            self.unfinished = token.kind == 0 and not self.diagnostics.errors
            self._report(*messages.explain(self, token))
        rows = self.table.row
        i = len(self.states) - 1
        while i > 0 and not rows(self.states[i]).keys() & self._list_gotos:
            i -= 1
        row = rows(self.states[i])
        del self.states[i + 1 :], self.values[i:], self.extents[i:], self.depths[i:], self.opened[i:]
        del self.heights[i:]
        level = self.opened[-1] if self.opened else 0
        top = self._item_goto in row

        lexer = self.lexer
        opened = lexer.opened
        meant = self._mistaken_closer(token)
        if meant is not None and len(opened) == level:
            opened.pop()
            return Token(meant, token.start, token.end, token.text)
        lexer.quiet = True
        # What was no way on before must not be tried again.
        first = token.start > self._recovered_at
        self._recovered_at = token.start
        if not first and token.kind != 0:
            token = lexer.next({})
        while token.kind != 0:
            if len(opened) < level or (first and token.kind in row and token.kind == self._right_brace):
                break
            first = False
            ends = token.kind == self._semicolon or token.kind in self._closing
            if ends and not any(character in "{<" for _, character in opened[level:]):
                self._dropped = len(opened) > level
                del opened[level:]
                lexer.quiet = False
                return lexer.next(row)
            angle = top and not any(character == "/" for _, character in opened)
            token = lexer.next({self._angle_open: 1} if angle else {})
        lexer.quiet = False
        self._gave_up = token.kind == 0
        return token

    def _mistaken_closer(self, token: Token) -> int | None:
        """The delimiter that `token` was meant to be, if it is the `}` of a `<` or the `>` of a `{`."""
        innermost = self.lexer.opened[-1][1] if self.lexer.opened else ""
        if token.text == "}" and innermost == "<":
            return self._angle_close
        if token.text == ">" and innermost == "{" and self.before is not None and self.before.text in (";", "{", "}"):
            return self._right_brace
        return None

    def _follows_from_another(self, token: Token) -> bool:
        """Whether a report would repeat an earlier one: stray characters stood just before `token`, or its opening
        counterpart was in what recovery skipped."""
        if self.lexer.stray > (self.before.end if self.before else -1):
            return True
        if self._dropped and token.text in (")", "]") and not self.lexer.closed:
            self._dropped = False
            return True
        return False


def _kept(keep: table.Keep, nones: int, children: list[Any]) -> list[Any]:
    """The children that a node is built from. Lists of inlined rules are spliced in; the first is extended in place,
    which keeps long lists linear."""
    kept: list[Any] = []
    for index, splice, gap in keep:
        kept.extend([None] * gap)
        if not splice:
            kept.append(children[index])
        elif kept:
            kept.extend(children[index])
        else:
            kept = children[index]
    kept.extend([None] * nones)
    return kept
