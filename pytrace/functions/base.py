"""One entry for each builtin and function of the language: how it is called, what it means, how it is lowered.

`pytrace.functions.REGISTRY` holds them by name. An entry's `check` turns a call into a typed expression (usually a
`typed.Call` of itself) and reports what is wrong with it; `lower` emits it. Documentation, `--help` texts and
completion are generated from `signature`, `doc` and `example`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pytrace.record import record

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower
    from pytrace.semantics import typed
    from pytrace.semantics.expressions import ExpressionChecker
    from pytrace.syntax import ast
    from pytrace.types import Type

    Check = Callable[[ExpressionChecker, ast.Call], typed.Expr]
    Lowering = Callable[[Lower, typed.Call], Any]


@record
class Function:
    """`bare` functions may be written without parentheses. `unsafe` ones need `--unsafe`. `fills` says of a string
    function that it determines every byte of its value, so that a map key need not be zeroed first.

    `lower` returns an operand for a word type, a writer (a callable that stores the value at a pointer) for anything
    larger, and None for void. It is None itself where `check` never leaves a call behind.
    """

    name: str
    signature: str
    doc: str
    example: str
    check: Check
    lower: Lowering | None = None
    group: str = ""
    bare: bool = False
    unsafe: bool = False
    fills: bool = False


REGISTRY: dict[str, Function] = {}


def function(
    signature: str,
    doc: str,
    example: str = "",
    *,
    group: str,
    lower: Lowering | None = None,
    bare: bool = False,
    unsafe: bool = False,
    fills: bool = False,
) -> Callable[[Check], Check]:
    """Registers the decorated `check` under the name that `signature` begins with."""

    def register(check: Check) -> Check:
        name = signature.split("(")[0].split()[-1]
        REGISTRY[name] = Function(name, signature, doc, example, check, lower, group, bare, unsafe, fills)
        return check

    return register


def nullary(kind: Type) -> Check:
    """The `check` of a builtin that takes no argument and is always of one type."""

    def check(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
        return c.call(n, kind) if c.arity(n, 0) else c.error(n.span)

    return check
