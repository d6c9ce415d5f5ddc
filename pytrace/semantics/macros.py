"""Macros: every call replaced by a copy of the body.

Arguments are put in place as they are written: an expression argument is evaluated wherever its parameter stands, a
variable or map argument *is* the caller's. Expansion is hygienic: a variable that the body assigns or declares is its
own (renamed to `name#n`, which no script can write), and a map that is no parameter is refused. A variable that the
body only reads, and has not assigned before, is the caller's, as it is in bpftrace.

Several macros may share a name if their parameters differ in number or kind. Of those that fit the one is taken that
says most of what it takes (a variable, a map, a type before any expression), the first of several; the script's own
before those of the library.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pytrace.diagnostics import Diagnostics, Span
from pytrace.record import replace
from pytrace.semantics.hints import nearest
from pytrace.semantics.walk import part_names, rewrite
from pytrace.syntax import ast

MAX_CHAIN = 40
MAX_EXPANSIONS = 20_000

Argument = ast.Expr | ast.TypeExpr
N = TypeVar("N", bound=ast.Node)
_TYPES = (ast.NamedType, ast.PointerType, ast.ArrayType, ast.TupleType, ast.TypeofType)
_LOOPS = (ast.ForMap, ast.ForRange, ast.While, ast.Unroll)


def expand_macros(script: ast.Script, diagnostics: Diagnostics, library: Sequence[ast.Macro] = ()) -> ast.Script:
    """The script without macros and calls of them. Mistakes become diagnostics, and the call stays."""
    own = [i for i in script.items if isinstance(i, ast.Macro)]
    items = tuple(i for i in script.items if not isinstance(i, ast.Macro))
    expander = _Expander(own, library, diagnostics)
    return replace(script, items=tuple(rewrite(i, expander.change(())) for i in items))


def _parameter_name(param: ast.Variable | ast.Identifier | ast.Map | ast.TypeofType) -> str:
    if isinstance(param, ast.TypeofType):
        return param.of.name if isinstance(param.of, ast.Identifier | ast.NamedType) else ""
    return param.name


def _kind(node: ast.Node) -> str:
    """What an argument or parameter is, in words."""
    match node:
        case ast.Variable():
            return "a variable"
        case ast.Map():
            return "a map"
        case _ if isinstance(node, _TYPES):
            return "a type"
        case _:
            return "an expression"


def _fits(param: ast.Node, arg: ast.Node) -> bool:
    match param:
        case ast.Variable():
            return isinstance(arg, ast.Variable)
        case ast.Map():
            return isinstance(arg, ast.Map)
        case ast.TypeofType():
            return isinstance(arg, (*_TYPES, ast.Identifier))
        case _:
            return True


class _Expander:
    def __init__(self, own: Sequence[ast.Macro], library: Sequence[ast.Macro], diagnostics: Diagnostics) -> None:
        self.diagnostics = diagnostics
        self.macros: dict[str, list[ast.Macro]] = {}
        self.library = library
        self.expansions = 0
        self.broken: set[str] = set()
        """Macros whose definitions were refused: calls of them stay, and nobody complains of those."""
        for macro in own:
            before = len(diagnostics.errors)
            self._check(macro)
            if len(diagnostics.errors) > before:
                self.broken.add(macro.name)
            self.macros.setdefault(macro.name, []).append(macro)
        for macro in library:
            self.macros.setdefault(macro.name, []).append(macro)

    # --- definitions --------------------------------------------------------------------------------

    def _check(self, macro: ast.Macro) -> None:
        seen: set[tuple[type, str]] = set()
        for param in macro.params:
            key = (ast.Identifier if isinstance(param, ast.TypeofType) else type(param), _parameter_name(param))
            if key in seen:
                self.diagnostics.error(param.span, f"parameter '{param.span.text}' is already there")
            seen.add(key)
        signature = [type(p) for p in macro.params]
        for other in self.macros.get(macro.name, ()):
            if [type(p) for p in other.params] == signature:
                hint = f"it is defined in line {other.span.line} of {other.span.source.name}"
                self.diagnostics.error(macro.span, f"Redefinition of macro: {macro.name}", hint)
        self._check_jumps(macro.body)

    def _check_jumps(self, part: object, in_loop: bool = False) -> None:
        match part:
            case tuple():
                for p in part:
                    self._check_jumps(p, in_loop)
            case ast.Return():
                self.diagnostics.error(part.span, "'return' statement is not allowed in a macro")
            case ast.Jump() if not in_loop:
                self.diagnostics.error(
                    part.span, f"'{part.kind}' statement is not allowed in a macro outside of a loop"
                )
            case ast.ImportStmt():
                self.diagnostics.error(part.span, "'import' is not allowed in a macro")
            case ast.Node():
                for name in part_names(type(part)):
                    self._check_jumps(getattr(part, name), in_loop or isinstance(part, _LOOPS))

    # --- calls --------------------------------------------------------------------------------------

    def change(self, chain: tuple[str, ...]) -> Callable[[ast.Node], ast.Node | None]:
        """What `rewrite` does to text that `chain`, the names of the macros around it, has led to."""

        def change(node: ast.Node) -> ast.Node | None:
            match node:
                case ast.Call(name=name) | ast.Identifier(name=name) if name in self.broken:
                    return node
                case ast.ExprStmt(value=ast.Call(name=name) | ast.Identifier(name=name)) if name in self.broken:
                    return node
                case ast.ExprStmt(value=ast.Call() | ast.Identifier() as call) if call.name in self.macros:
                    return self._statement(node, call, chain)
                case ast.Call() | ast.Identifier() if node.name in self.macros:
                    return self._value(node, chain)
                case ast.Call(bang=True):
                    close = nearest(node.name, self.macros)
                    hint = f"did you mean '{close}!'?" if close else None
                    self.diagnostics.error(node.span, f"Unknown macro: '{node.name}'", hint)
                    return node
                case _:
                    return None

        return change

    def _statement(self, statement: ast.ExprStmt, call: ast.Call | ast.Identifier, chain: tuple[str, ...]) -> ast.Stmt:
        expanded = self._expanded(call, chain)
        if expanded is None:
            return statement
        body, value = expanded
        if value is None:
            return ast.Block(body, span=statement.span)
        return replace(statement, value=ast.BlockExpr(body, value, span=call.span) if body else value)

    def _value(self, call: ast.Call | ast.Identifier, chain: tuple[str, ...]) -> ast.Expr:
        expanded = self._expanded(call, chain)
        if expanded is None:
            return call
        body, value = expanded
        if value is None:
            hint = "the last thing in its body must be an expression without ';'"
            self.diagnostics.error(call.span, f"macro {call.name}() gives no value", hint)
            return ast.Integer(0, span=call.span)
        return ast.BlockExpr(body, value, span=call.span) if body else value

    def _expanded(
        self, call: ast.Call | ast.Identifier, chain: tuple[str, ...]
    ) -> tuple[tuple[ast.Stmt, ...], ast.Expr | None] | None:
        name = call.name
        if name in chain:
            route = " > ".join((*chain[chain.index(name) :], name))
            self.diagnostics.error(call.span, f"Recursive macro call detected. Call chain: {route}")
            return None
        self.expansions += 1
        if len(chain) >= MAX_CHAIN or self.expansions > MAX_EXPANSIONS:
            self.diagnostics.error(call.span, f"macro {name}() leads to too many further macro calls")
            return None
        args = tuple(rewrite(a, self.change(chain)) for a in call.args) if isinstance(call, ast.Call) else ()
        macro = self._choose(call, args)
        if macro is None:
            return None
        copy = _Copy(macro, args, call.span, self.diagnostics, f"#{self.expansions}")
        body = copy.statements(macro.body)
        value = None if macro.value is None else copy.node(macro.value)
        inside = self.change((*chain, name))
        return (
            tuple(rewrite(s, inside) for s in body),
            None if value is None else rewrite(value, inside),
        )

    def _choose(self, call: ast.Call | ast.Identifier, args: tuple[Argument, ...]) -> ast.Macro | None:
        candidates = self.macros[call.name]
        same_count = [m for m in candidates if len(m.params) == len(args)]
        fitting = [m for m in same_count if all(map(_fits, m.params, args))]
        own = [m for m in fitting if m not in self.library] or fitting
        if own:
            return max(own, key=_narrowness)
        message = f"Call to {call.name}() has arguments that do not match any definition"
        if not same_count:
            counts = " or ".join(str(n) for n in sorted({len(m.params) for m in candidates}))
            noun = "argument" if counts == "1" else "arguments"
            self.diagnostics.error(call.span, f"{message}: it takes {counts} {noun}, not {len(args)}")
            return None
        macro = same_count[0]
        param, arg = next((p, a) for p, a in zip(macro.params, args, strict=True) if not _fits(p, a))
        self.diagnostics.error(
            arg.span, f"{message}: {param.span.text} must be {_kind(param)}, this is {_kind(arg)}", _advice(param)
        )
        return None


def _narrowness(macro: ast.Macro) -> int:
    """How many of its parameters take one kind of argument only."""
    return sum(not isinstance(p, ast.Identifier) for p in macro.params)


def _advice(param: ast.Node) -> str | None:
    if isinstance(param, ast.Variable):
        return f"assign it to a variable first, or declare the parameter as '{param.name}' to take any expression"
    return None


class _Copy:
    """Copies the body of a macro with its arguments in place."""

    def __init__(
        self, macro: ast.Macro, args: tuple[Argument, ...], call: Span, diagnostics: Diagnostics, suffix: str
    ) -> None:
        self.call = call
        self.diagnostics = diagnostics
        self.suffix = suffix
        self.variables: dict[str, ast.Node] = {}
        self.maps: dict[str, ast.Node] = {}
        self.names: dict[str, Argument] = {}
        self.own: set[str] = set()
        for param, arg in zip(macro.params, args, strict=True):
            match param:
                case ast.Variable(name=name):
                    self.variables[name] = arg
                case ast.Map(name=name):
                    self.maps[name] = arg
                case _:
                    self.names[_parameter_name(param)] = arg

    def statements(self, body: tuple[ast.Stmt, ...]) -> tuple[ast.Stmt, ...]:
        return tuple(self.node(s) for s in body)

    def node(self, node: N) -> N:
        """A copy. The type of a node stays what its place allows, though not what it was."""
        return self._copy(node)  # type: ignore[no-any-return]  # see above

    def _span(self, span: Span) -> Span:
        return replace(span, expanded_from=self.call)

    def _copy(self, part: Any) -> Any:
        if isinstance(part, tuple):
            return tuple(self._copy(p) for p in part)
        if not isinstance(part, ast.Node):
            return part
        match part:
            case ast.Variable(name=name):
                return self._variable(part, name)
            case ast.Map(name=name):
                return self._map(part, name)
            case ast.Identifier(name=name) if name in self.names:
                return self._expression(part)
            case ast.NamedType(name=name) if name in self.names:
                return self._type(part)
            case ast.Sizeof() | ast.Typeinfo() | ast.TypeofType() | ast.Offsetof():
                return replace(part, of=self._anything(part.of), span=self._span(part.span))
            case ast.Call():
                return replace(part, args=tuple(map(self._anything, part.args)), span=self._span(part.span))
            case ast.Assign():
                return self._assign(part)
            case ast.Let():
                return self._let(part)
            case ast.ForMap() | ast.ForRange():
                return self._loop(part)
        changes = {name: self._copy(getattr(part, name)) for name in part_names(type(part))}
        return replace(part, span=self._span(part.span), **changes)

    # --- names --------------------------------------------------------------------------------------

    def _variable(self, node: ast.Variable, name: str) -> ast.Node:
        if name in self.variables:
            return self.variables[name]
        renamed = name + self.suffix if name in self.own else name
        return ast.Variable(renamed, span=self._span(node.span))

    def _declared(self, node: ast.Variable) -> ast.Node:
        if node.name not in self.variables:
            self.own.add(node.name)
        return self._variable(node, node.name)

    def _map(self, node: ast.Map, name: str) -> ast.Node:
        if name not in self.maps:
            self.diagnostics.error(
                self._span(node.span),
                f"Unhygienic access to map: @{name}. Maps must be passed into the macro as arguments.",
                f"give the macro a parameter '@{name or 'm'}'",
            )
            return node
        return self.maps[name]

    def _expression(self, node: ast.Identifier) -> ast.Node:
        arg = self.names[node.name]
        if isinstance(arg, _TYPES):
            hint = "use it in a cast, sizeof(), typeof() or as an argument"
            self.diagnostics.error(self._span(node.span), f"'{node.name}' is a type here, not a value", hint)
            return ast.Integer(0, span=self._span(node.span))
        return arg

    def _anything(self, node: Argument) -> Argument:
        """Where both expressions and types may stand."""
        if isinstance(node, ast.Identifier) and node.name in self.names:
            return self.names[node.name]
        return self._copy(node)  # type: ignore[no-any-return]  # one of the two stays one of the two

    def _type(self, node: ast.NamedType) -> ast.TypeExpr:
        arg = self.names[node.name]
        if isinstance(arg, ast.Identifier):
            return replace(node, name=arg.name, span=arg.span)
        if isinstance(arg, _TYPES) and node.tag is None:
            return arg
        self.diagnostics.error(self._span(node.span), f"'{node.name}' is {_kind(arg)} here, not a type")
        return replace(node, span=self._span(node.span))

    # --- statements that make variables: what is on their right comes first -------------------------

    def _assign(self, node: ast.Assign) -> ast.Assign:
        value = self._copy(node.value)
        match node.target:
            case ast.Variable() if node.op is None:
                target = self._declared(node.target)
            case ast.Identifier(name=name) if name in self.names:
                hint = f"declare the parameter as '${name}' to change the caller's variable"
                self.diagnostics.error(self._span(node.target.span), f"cannot assign to the expression '{name}'", hint)
                target = self._copy(node.target)
            case _:
                target = self._copy(node.target)
        return replace(node, target=target, value=value, span=self._span(node.span))  # type: ignore[arg-type]

    def _let(self, node: ast.Let) -> ast.Let:
        name = node.variable.name
        if name in self.variables:
            message = f"Variable declaration shadows macro arg ${name}"
            self.diagnostics.error(self._span(node.span), message)
        value, kind = self._copy(node.value), self._copy(node.type)
        variable = self._declared(node.variable)
        return replace(node, variable=variable, type=kind, value=value, span=self._span(node.span))  # type: ignore[arg-type]

    def _loop(self, node: ast.ForMap | ast.ForRange) -> ast.ForMap | ast.ForRange:
        over = {n: self._copy(getattr(node, n)) for n in part_names(type(node)) if n not in ("variable", "body")}
        over["variable"] = self._declared(node.variable)
        return replace(node, **over, body=self._copy(node.body), span=self._span(node.span))
