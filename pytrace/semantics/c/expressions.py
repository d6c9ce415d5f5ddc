"""C's constant expressions: tokens to the language's own expression tree, which `fold` evaluates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytrace.diagnostics import Span
from pytrace.semantics.c.tokens import CError, Token, number, unquote
from pytrace.syntax import ast

_LEVELS = (
    ("||",),
    ("&&",),
    ("|",),
    ("^",),
    ("&",),
    ("==", "!="),
    ("<", "<=", ">", ">="),
    ("<<", ">>"),
    ("+", "-"),
    ("*", "/", "%"),
)
_BINDING = {op: level for level, ops in enumerate(_LEVELS) for op in ops}
_SIZES = ("8", "16", "32", "64")
_TYPE_WORDS = {"void", "char", "short", "int", "long", "unsigned", "signed", "_Bool", "bool", "struct", "union", "enum"}
_TYPE_WORDS |= {"const", "volatile", "__signed__", "float", "double"}
_UAPI_TYPES = _TYPE_WORDS | {f"{p}{n}" for p in ("u", "s", "__u", "__s") for n in _SIZES}
_UAPI_TYPES |= {"size_t", "uintptr_t", "gfp_t", "fmode_t"} | {f"{p}int{n}_t" for p in ("u", "") for n in _SIZES}
MAX_DEPTH = 100


class ExpressionParser:
    """Reads one expression from the front of `tokens`; `at` is then behind it. Raises `CError` where there is none."""

    def __init__(self, tokens: Sequence[Token], at: int = 0, is_type: Callable[[str], bool] | None = None) -> None:
        self.tokens = tokens
        self.at = at
        self.is_type = is_type or (lambda name: name in _UAPI_TYPES)
        self.depth = 0

    def peek(self) -> str:
        token = self.tokens[self.at] if self.at < len(self.tokens) else None
        return token.text if token and token.kind not in ("string", "char") else ""

    def accept(self, text: str) -> bool:
        if self.peek() == text:
            self.at += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.accept(text):
            raise CError(self.here(), f"expected '{text}'")

    def here(self) -> Span:
        """Where the parser stands, for a diagnostic."""
        return self.tokens[min(self.at, len(self.tokens) - 1)].span

    def expression(self) -> ast.Expr:
        """A conditional expression: C's constant-expression."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise CError(self.here(), "this expression is nested too deeply")
        condition = self._binary(0)
        if self.accept("?"):
            then = None if self.peek() == ":" else self.expression()
            self.expect(":")
            otherwise = self.expression()
            condition = ast.Ternary(condition, then, otherwise, span=condition.span.to(otherwise.span))
        self.depth -= 1
        return condition

    def _binary(self, level: int) -> ast.Expr:
        """Operators that bind at least as tightly as `level`, by precedence climbing."""
        left = self._unary()
        while (binding := _BINDING.get(self.peek(), -1)) >= level:
            op = self.peek()
            self.at += 1
            right = self._binary(binding + 1)
            left = ast.Binary(op, left, right, span=left.span.to(right.span))
        return left

    def _unary(self) -> ast.Expr:
        span = self.here()
        op = self.peek()
        if op in ("-", "+", "~", "!"):
            self.at += 1
            operand = self._nested(self._unary)
            return ast.Unary(op, operand, span=span.to(operand.span)) if op != "+" else operand
        if op == "sizeof":
            self.at += 1
            self.expect("(")
            of = self.type_name() if self._type_ahead() else self.expression()
            self.expect(")")
            return ast.Sizeof(of, span=span)
        if op == "(":
            self.at += 1
            if self._type_ahead():
                kind = self.type_name()
                self.expect(")")
                operand = self._nested(self._unary)
                return ast.Cast(kind, operand, span=span.to(operand.span))
            inner = self.expression()
            self.expect(")")
            return inner
        return self._primary()

    def _nested(self, parse: Callable[[], ast.Expr]) -> ast.Expr:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise CError(self.here(), "this expression is nested too deeply")
        result = parse()
        self.depth -= 1
        return result

    def _type_ahead(self) -> bool:
        token = self.tokens[self.at] if self.at < len(self.tokens) else None
        if token is None or token.kind != "name":
            return False
        following = self.tokens[self.at + 1].text if self.at + 1 < len(self.tokens) else ""
        return token.text in _TYPE_WORDS or (self.is_type(token.text) and following in (")", "*"))

    def type_name(self) -> ast.TypeExpr:
        """A type without a name: words, `struct x`, any number of `*`."""
        span = self.here()
        words: list[str] = []
        tag = None
        while self.at < len(self.tokens) and self.tokens[self.at].kind == "name":
            text = self.tokens[self.at].text
            self.at += 1
            if text in ("struct", "union", "enum"):
                tag = text
            elif text not in ("const", "volatile"):
                words.append({"_Bool": "bool", "__signed__": "signed"}.get(text, text))
        kind: ast.TypeExpr = ast.NamedType(" ".join(words), tag, span=span)  # type: ignore[arg-type]  # one of three
        while self.accept("*"):
            kind = ast.PointerType(kind, span=span)
        return kind

    def _primary(self) -> ast.Expr:
        if self.at >= len(self.tokens):
            raise CError(self.here(), "expected an expression")
        token = self.tokens[self.at]
        self.at += 1
        match token.kind:
            case "number":
                return ast.Integer(number(token), span=token.span)
            case "char":
                data = unquote(token).encode("utf-8", "surrogateescape")
                value = int.from_bytes(data[:8], "big") if len(data) > 1 else (data[0] ^ 0x80) - 0x80
                if value < 0:
                    return ast.Unary("-", ast.Integer(-value, span=token.span), span=token.span)
                return ast.Integer(value, span=token.span)
            case "string":
                text = unquote(token)
                while self.at < len(self.tokens) and self.tokens[self.at].kind == "string":
                    text += unquote(self.tokens[self.at])
                    self.at += 1
                return ast.String(text, span=token.span)
            case "name":
                return self._postfix(ast.Identifier(token.text, span=token.span))
        raise CError(token.span, f"expected an expression, found '{token.text}'")

    def _postfix(self, node: ast.Expr) -> ast.Expr:
        """What follows a name: member access and calls, as in `#define FD args->fd`."""
        while True:
            if self.peek() in (".", "->") and self.at + 1 < len(self.tokens):
                arrow = self.peek() == "->"
                name = self.tokens[self.at + 1]
                self.at += 2
                node = ast.Field(node, name.text, arrow, span=node.span.to(name.span))
            elif isinstance(node, ast.Identifier) and self.accept("("):
                args: list[ast.Expr | ast.TypeExpr] = []
                while not self.accept(")"):
                    args.append(self.expression())
                    if not self.accept(","):
                        self.expect(")")
                        break
                node = ast.Call(node.name, tuple(args), span=node.span)
            else:
                return node
