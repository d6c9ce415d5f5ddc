"""One script made of several, in the order that the grammar asks for, with the way back for diagnostics."""

from __future__ import annotations

from collections.abc import Sequence

from pytrace.diagnostics import Diagnostic, ScriptError, Source, Span
from pytrace.record import record
from pytrace.syntax import ast


@record
class Piece:
    """`text` stands at `start` of the whole; it came from `origin` of `source`."""

    start: int
    text: str
    source: Source
    origin: int


@record
class ComposedScript:
    """A composed script and where its pieces came from."""

    text: str
    pieces: tuple[Piece, ...]

    def origin(self, start: int, end: int) -> Span | None:
        """The place where what stands in [start, end) was written; None for what was added between the pieces."""
        for piece in self.pieces:
            if piece.start <= start < piece.start + len(piece.text):
                first = piece.origin + start - piece.start
                return Span(piece.source, first, min(first + end - start, piece.origin + len(piece.text)))
        return None

    def own(self, error: ScriptError, fallback: Source) -> ScriptError:
        """The error with the places that its author knows. What has none is said of the end of `fallback`."""

        def moved(d: Diagnostic) -> Diagnostic:
            if d.span.source.text != self.text:
                return d
            end = len(fallback.text)
            span = self.origin(d.span.start, d.span.end) or Span(fallback, max(0, end - 1), end)
            return Diagnostic(span, d.message, d.hint, d.severity)

        return ScriptError(map(moved, error.diagnostics))


class Composer:
    """Collects pieces; `whole` puts them one below the other."""

    def __init__(self) -> None:
        self._text = ""
        self._pieces: list[Piece] = []

    def add(self, source: Source, start: int, end: int) -> None:
        """[start, end) of a source, on lines of its own."""
        text = source.text[start:end]
        self._pieces.append(Piece(len(self._text), text, source, start))
        self._text += text + "\n"

    def put(self, text: str) -> None:
        """Words of our own."""
        self._text += text

    def whole(self) -> ComposedScript:
        return ComposedScript(self._text, tuple(self._pieces))


def compose(scripts: Sequence[ast.Script]) -> Composer:
    """C definitions first, then one config block, imports, and the rest in the order of the scripts. Comments between
    items stay with the item that follows them; of what is defined twice, the last counts."""
    made = Composer()
    seen: set[str] = set()

    def once(source: Source, start: int, end: int) -> None:
        if source.text[start:end] not in seen:
            seen.add(source.text[start:end])
            made.add(source, start, end)

    for script in scripts:
        for c in script.c_definitions:
            once(c.span.source, c.span.start, c.span.end)
    entries = [entry for script in scripts for entry in (script.config.entries if script.config else ())]
    if entries:
        made.put("config = {\n")
        # Of a setting that is given twice, the later one counts.
        for entry in {entry.key: entry for entry in entries}.values():
            made.add(entry.span.source, entry.span.start, entry.span.end)
            made.put(";\n")
        made.put("}\n")
    for script in scripts:
        for i in script.imports:
            once(i.span.source, i.span.start, i.span.end)
    items = [(script, item) for script in scripts for item in script.items]
    last = {_name(item): item for _, item in items}
    for script, item in items:
        if last[_name(item)] is item:
            made.add(item.span.source, _with_comments(script, item.span.start), item.span.end)
            if isinstance(item, ast.MapDecl):
                made.put(";\n")
    return made


def _name(item: ast.Item) -> tuple[type, str | int]:
    """What only one of can be there."""
    match item:
        case ast.MapDecl(map=ast.Map(name)) | ast.Macro(name=name) | ast.Subprogram(name=name):
            return type(item), name
    return type(item), id(item)


def _with_comments(script: ast.Script, start: int) -> int:
    """Where the comments begin that stand right above `start`."""
    text = script.source.text
    for comment in reversed(script.comments):
        if comment.span.end <= start:
            if text[comment.span.end : start].strip():
                break
            start = comment.span.start
    return start
