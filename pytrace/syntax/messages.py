"""What to say about a token that cannot stand where it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.syntax.lexer import Token

if TYPE_CHECKING:
    from pytrace.syntax.parser import Parser


def explain(parser: Parser, token: Token) -> tuple[Token, str, str | None]:
    """Where to point, what is wrong, and what to do about it."""
    return token, f"unexpected '{token.text}'", None
