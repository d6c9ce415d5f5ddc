"""From an AST whose macros, imports and parameters are gone to the typed script.

Maps are global and get their types from all probes together, so the whole script is checked in rounds until a round
learns nothing new; the diagnostics of the last round are the ones that count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.diagnostics import Diagnostics, Span
from pytrace.kernel.glob import is_glob
from pytrace.probes import expand
from pytrace.probes.base import Context, NoMatch, Point, ProbeError, Target
from pytrace.probes.lowering import refine
from pytrace.program import Kprobe, KprobeMulti, Tracing, Uprobe, UprobeMulti
from pytrace.record import replace
from pytrace.semantics import typed
from pytrace.semantics.expressions import ExpressionChecker
from pytrace.semantics.hints import did_you_mean
from pytrace.semantics.scopes import PREFIXES, QUEUES, Guess, Learnt, Symbols
from pytrace.semantics.statements import StatementChecker
from pytrace.semantics.typenames import TypeResolver
from pytrace.syntax import ast

if TYPE_CHECKING:
    from pytrace.kernel import Kernel
    from pytrace.options import Mode, Options
    from pytrace.probes.programtypes import ProgramTypes
    from pytrace.program import MapSpec, UserMap
    from pytrace.semantics.cdefs import CEnvironment
    from pytrace.semantics.config import Config

MAX_ROUNDS = 2000
"""Of a chain of maps that take their types from each other one more is known with each; strings grow with each."""
_MANY = 1000
"""Functions of the kernel at which a probe is told that it will be felt."""
MAP_KINDS = ("hash", "lruhash", "percpuhash", "percpulruhash", PREFIXES, *QUEUES)
_CONTEXT_NAMES = frozenset(("args", "retval", "ctx", "func", "reg"))
_PROBE_NAMES = frozenset(("probe", "func", "probetype"))


def check(
    script: ast.Script,
    kernel: Kernel,
    options: Options,
    config: Config,
    names: CEnvironment,
    diagnostics: Diagnostics,
    maps: Iterable[tuple[UserMap, MapSpec]] = (),
    macros: frozenset[str] = frozenset(),
    foreign: Mapping[str, typed.SubprogramSymbol] | None = None,
) -> typed.Script:
    """The typed script. `maps` are there already, in the session that the script is for: it may use them as they are.
    `macros` are the names of those that have been expanded: a call that is left was reported. `foreign` are functions
    in C. Warnings are left in `diagnostics`; raises `ScriptError` when there are errors."""
    if not script.probes:
        nowhere = Span(script.source, 0, len(script.source.text.rstrip()))
        diagnostics.error(nowhere, "there is no probe in this script", "for example: interval:s:1 { time(); }")
    probes = _expand_all(script, kernel, options, config, diagnostics)
    learnt = Learnt({user.name[1:]: _known(user, spec, script) for user, spec in maps})
    learnt.subprograms.update(foreign or {})

    def settle(guess: Guess | None = None) -> tuple[typed.Script, Diagnostics]:
        learnt.changed, learnt.guess = False, guess
        found = Diagnostics()
        round_ = _Round(kernel, options, config, TypeResolver(names, found, config.max_strlen, macros), found, learnt)
        return round_.script(script, probes), found

    for _ in range(MAX_ROUNDS):
        result, found = settle()
        if not learnt.changed and not any(settle(guess) and learnt.changed for guess in _guesses(learnt)):
            break
    for d in found:
        (diagnostics.error if d.severity == "error" else diagnostics.warning)(d.span, d.message, d.hint)
    _check_maps(learnt, diagnostics)
    for item in script.items if not options.live else ():
        if isinstance(item, ast.MapDecl) and not learnt.maps[item.map.name].used:
            diagnostics.warning(item.span, f"Unused map: @{item.map.name}")
    diagnostics.check()
    return result


def _guesses(learnt: Learnt) -> Iterator[Guess]:
    """What can be tried for maps that are assigned to, and yet nothing says what they hold."""
    unknown = frozenset(s.name for s in learnt.maps.values() if isinstance(s.value, t.Unknown) and s.writers)
    for own in (True, False) if unknown else ():
        for text in (False, True):
            yield Guess(unknown, own, text)


def _known(user: UserMap, spec: MapSpec, script: ast.Script) -> typed.MapSymbol:
    """A map that the session has."""
    return typed.MapSymbol(
        user.name[1:],
        Span(script.source, 0, 0),
        user.key,
        user.value,
        keyed=user.key is not None,
        kind=user.declared,
        max_entries=spec.max_entries,
        known=(user, spec),
    )


def _check_maps(learnt: Learnt, diagnostics: Diagnostics) -> None:
    if diagnostics.errors:
        return
    unknown = [s for s in learnt.maps.values() if isinstance(s.value, t.Unknown) and s.used]
    # Maps that nothing is assigned to are the cause; those assigned from them are not worth a message of their own.
    for symbol in [s for s in unknown if not s.writers] or unknown:
        diagnostics.error(symbol.span, f"Undefined map: @{symbol.name}", "nothing is ever assigned to it")


def _runs(point: Point, mode: Mode) -> bool:
    """Whether a point takes part in a mode: test and bench probes only in theirs, then with begin and end only."""
    kind = point.name.split(":")[0]
    if kind in ("test", "bench"):
        return kind == mode
    return mode == "trace" or kind in ("begin", "end")


def _expand_all(
    script: ast.Script, kernel: Kernel, options: Options, config: Config, diagnostics: Diagnostics
) -> list[tuple[ast.Probe, list[Point]]]:
    target = Target(kernel, options.pid, options.unsafe)
    wanted = re.compile(options.probe_filter)
    result = []
    total = 0
    for probe in script.probes:
        points: list[Point] = []
        uses = frozenset(mentioned(probe))
        absent: list[tuple[Span, ProbeError]] = []
        for written in probe.points:
            if any(d.span is written.span for d in diagnostics.errors):
                continue
            try:
                found = [p for p in expand(written.text, target) if _runs(p, options.mode) and wanted.search(p.name)]
                points += (refine(p, uses, target) for p in found)
                for note in dict.fromkeys(p.note for p in found if p.note):
                    diagnostics.warning(written.span, note)
            except ProbeError as e:
                if isinstance(e, NoMatch) and is_glob(written.text):
                    absent.append((written.span, e))
                elif config.missing_probes == "error":
                    diagnostics.error(written.span, e.message, e.hint)
                elif config.missing_probes == "warn":
                    diagnostics.warning(written.span, e.message, e.hint)
        for span, none in absent:
            if config.missing_probes == "error" and not points:
                diagnostics.error(span, none.message, none.hint)
            elif config.missing_probes != "ignore":
                diagnostics.warning(span, none.message, none.hint)
        total += len(points)
        if total > config.max_probes:
            diagnostics.error(
                probe.points[0].span,
                f"Can't attach to {total} probes because it exceeds the current limit of {config.max_probes} probes.",
                "raise it with config = { max_probes=N }, knowing that many probes slow the machine down",
            )
        functions = sum(isinstance(p.attach, Kprobe | KprobeMulti | Tracing) for p in points)
        if functions >= _MANY:
            diagnostics.warning(
                probe.points[0].span,
                f"this attaches to {functions} functions of the kernel, some of which run all the time",
                "every call of each will cost the machine time: is there a narrower pattern?",
            )
        result.append((probe, points))
    return result


def mentioned(node: object) -> Iterator[str]:
    """Every bare name and called function below a node."""
    from pytrace.semantics.walk import walk

    for part in walk(node) if isinstance(node, ast.Node) else ():
        if isinstance(part, ast.Identifier | ast.Call):
            yield part.name


def _calls(node: object) -> Iterator[ast.Call]:
    """Every call below a node."""
    from pytrace.semantics.walk import walk

    if isinstance(node, ast.Node):
        yield from (n for n in walk(node) if isinstance(n, ast.Call))


def _general(context: Context) -> Context:
    """A context without what only bodies that look at arguments can tell apart."""
    return replace(context, args=None, struct=None, positional=(), retval=None)


def _program(point: Point) -> ProgramTypes | None:
    """Who knows the types of the program that is probed there."""
    if not isinstance(point.attach, Uprobe | UprobeMulti):
        return None

    from pytrace.probes.programtypes import ProgramTypes

    return ProgramTypes(point.attach.path, point.function)


def group_points(probe: ast.Probe, points: Iterable[Point]) -> dict[Context, list[Point]]:
    """Points that can share a body, by their context. Where the body does not look at arguments, contexts that
    differ in those only are one."""
    names = set(mentioned(probe))
    looks = bool(names & _CONTEXT_NAMES) or any(n.startswith("arg") and n[3:].isdigit() for n in names)
    groups: dict[Context, list[Point]] = {}
    for point in points:
        groups.setdefault(point.context if looks else _general(point.context), []).append(point)
    return groups


class _Round:
    def __init__(
        self,
        kernel: Kernel,
        options: Options,
        config: Config,
        names: TypeResolver,
        diagnostics: Diagnostics,
        learnt: Learnt,
    ) -> None:
        self.kernel = kernel
        self.options = options
        self.config = config
        self.names = names
        self.diagnostics = diagnostics
        self.learnt = learnt

    def script(self, script: ast.Script, probes: list[tuple[ast.Probe, list[Point]]]) -> typed.Script:
        for known in self.learnt.maps.values():
            known.writers.clear()
        for item in script.items:
            if isinstance(item, ast.MapDecl):
                self._map_declaration(item)
        subprograms = [self._declare_subprogram(i) for i in script.items if isinstance(i, ast.Subprogram)]
        self._refuse_redefinitions([node for node, _ in subprograms])
        self._refuse_recursion([node for node, _ in subprograms])
        for node, symbol in subprograms:
            self._check_subprogram(node, symbol)
        typed_probes = []
        ordinal = 0
        for probe, points in probes:
            for context, group in group_points(probe, points).items():
                typed_probes.append(self._probe(probe, context, tuple(group), ordinal))
                ordinal += 1
        return typed.Script(
            tuple(typed_probes),
            tuple(m for m in self.learnt.maps.values() if m.used),
            tuple(symbol for _, symbol in subprograms),
        )

    def _checker(
        self, owner: object, context: Context | None, points: tuple[Point, ...], ordinal: int
    ) -> ExpressionChecker:
        symbols = Symbols(self.learnt, owner)
        return ExpressionChecker(
            self.kernel,
            self.options,
            self.config,
            self.names,
            symbols,
            self.diagnostics,
            context,
            points,
            ordinal,
        )

    def _probe(self, probe: ast.Probe, context: Context, points: tuple[Point, ...], ordinal: int) -> typed.Probe:
        c = self._checker(ordinal, context, points, ordinal)
        self.names.names.program = _program(points[0]) if points else None
        statements = StatementChecker(c)
        predicate = c.condition(probe.predicate) if probe.predicate is not None else None
        body = statements.block(probe.body)
        self.names.names.program = None
        uses = c.uses_probe or bool(set(mentioned(probe)) & _PROBE_NAMES)
        return typed.Probe(points, context, predicate, body, ordinal, uses, span=probe.span)

    def _map_declaration(self, n: ast.MapDecl) -> None:
        c = self._checker("let", None, (), -1)
        if n.kind not in MAP_KINDS:
            hint = did_you_mean(n.kind, MAP_KINDS) or f"there are {', '.join(MAP_KINDS)}"
            self.diagnostics.error(n.span, f"Invalid bpf map type: {n.kind}", hint)
            return
        used = n.map.name in self.learnt.maps and self.learnt.maps[n.map.name].used
        symbol = c.symbols.map(n.map)
        symbol.used = used  # to be declared is not to be used
        size = symbol.max_entries
        if n.size is not None:
            size = c.constant(n.size, "the size of a map")
            if size is not None and not 0 < size < 1 << 32:
                self.diagnostics.error(n.size.span, f"a map cannot have {size} entries")
        if symbol.known is not None and (symbol.kind, symbol.max_entries) != (n.kind, size):
            self.diagnostics.error(n.span, f"@{symbol.name} is there already in this session, declared otherwise")
            return
        symbol.kind, symbol.max_entries = n.kind, size

    def _declare_subprogram(self, n: ast.Subprogram) -> tuple[ast.Subprogram, typed.SubprogramSymbol]:
        self.names.evaluate = None
        returns = self.names.resolve(n.returns) if n.returns is not None else t.VOID
        params = []
        for p in n.params:
            kind = self.names.resolve(p.type)
            if kind is not None and not t.is_word(kind):
                self.diagnostics.error(p.span, f"a parameter cannot be a '{kind}'", "pass integers, bools or pointers")
            params.append(typed.VarSymbol(p.name, kind or t.INT64))
        if returns is not None and not isinstance(returns, t.Void) and not t.is_word(returns):
            self.diagnostics.error(
                n.span, f"a function cannot return a '{returns}'", "return an integer, bool or pointer"
            )
        known = self.learnt.subprograms.get(n.name)
        if known is not None and known.foreign is not None:
            self.diagnostics.error(n.span, f"Redefinition of function: {n.name}", f"it is in '{known.span.text}'")
            return n, known
        symbol = typed.SubprogramSymbol(n.name, tuple(params), returns or t.UNKNOWN, n.span)
        self.learnt.subprograms[n.name] = symbol
        return n, symbol

    def _refuse_redefinitions(self, nodes: list[ast.Subprogram]) -> None:
        first: dict[str, ast.Subprogram] = {}
        for n in nodes:
            if n.name in first:
                hint = f"it is defined in line {first[n.name].span.line} of {first[n.name].span.source.name}"
                self.diagnostics.error(n.span, f"Redefinition of function: {n.name}", hint)
            first.setdefault(n.name, n)
            for i, p in enumerate(n.params):
                if p.name in [q.name for q in n.params[:i]]:
                    self.diagnostics.error(p.span, f"parameter '${p.name}' is already there")

    def _refuse_recursion(self, nodes: list[ast.Subprogram]) -> None:
        """Functions that come to call themselves, directly or through others."""
        calls = {
            n.name: {name: c for c in _calls(n.body) if (name := c.name) in self.learnt.subprograms} for n in nodes
        }
        for start in calls:
            way, seen = [start], {start}
            while way:
                name = way.pop()
                for called, call in calls.get(name, {}).items():
                    if called == start:
                        hint = "use a loop: a BPF program has no room for recursion"
                        self.diagnostics.error(call.span, f"{start}() comes to call itself here", hint)
                        return
                    if called not in seen:
                        seen.add(called)
                        way.append(called)

    def _check_subprogram(self, n: ast.Subprogram, symbol: typed.SubprogramSymbol) -> None:
        c = self._checker(("fn", n.name), None, (), -2)
        for p in symbol.params:
            c.symbols.adopt(p)
        symbol.body = StatementChecker(c, symbol.returns).block(n.body)
