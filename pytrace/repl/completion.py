"""What Tab offers: names for the place where the cursor stands. Knows nothing of terminals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pytrace.functions import REGISTRY, Function
from pytrace.kernel import Kernel, KernelError
from pytrace.record import record
from pytrace.repl import commands
from pytrace.repl.cursor import Cursor, cursor_at
from pytrace.repl.inference import Surroundings
from pytrace.repl.probenames import MOST, ProbeNames, limited
from pytrace.repl.workspace import Workspace
from pytrace.syntax import ast
from pytrace.syntax.words import BUILTIN_TYPES

_KEYWORDS = ("if", "else", "for", "while", "unroll", "return", "break", "continue", "let", "sizeof", "offsetof")
_TOP = ("macro", "config", "import", "struct", "let", "fn")


@record
class Offer:
    """`text` replaces the last `replaces` characters; `note` says what it is."""

    text: str
    replaces: int
    note: str = ""


class Completer:
    """Offers for a text that ends at the cursor."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.probes = ProbeNames(workspace.target)

    def offers(self, text: str) -> Iterator[Offer]:
        """In the order in which they are to be shown."""
        if text.lstrip().startswith(":"):
            yield from self._command(text.lstrip()[1:])
            return
        where = cursor_at(text)
        if where.quoted:
            return
        if where.member_of:
            yield from self._members(where)
        elif ":" in where.word:
            yield from _all(self.probes.complete(where.word), where.word)
        elif tag := re.search(r"\b(struct|union|enum)\s+\Z", text[: len(text) - len(where.word)]):
            yield from _all(self._types(tag[1], where.word), where.word)
        else:
            yield from self._words(text, where)

    def hint(self, text: str) -> str:
        """The signature of the function whose arguments are being typed."""
        if text.lstrip().startswith(":"):
            return ""
        call = cursor_at(text).call
        return REGISTRY[call].signature if call in REGISTRY else ""

    # --- kinds ---------------------------------------------------------------------------------------

    def _command(self, text: str) -> Iterator[Offer]:
        name, space, argument = text.partition(" ")
        if not space:
            yield from (
                Offer(f":{n}", len(name) + 1, c.doc) for n, c in commands.COMMANDS.items() if n.startswith(name)
            )
            return
        argument = argument.lstrip()
        try:
            takes = commands.find(name).takes
        except commands.CommandError:
            return
        match takes:
            case "probe":
                yield from _all(self.probes.complete(argument), argument)
            case "map":
                yield from _all((n for n in sorted(self._workspace.maps) if n.startswith(argument)), argument)
            case "number":
                yield from (
                    Offer(str(s.number), len(argument), ", ".join(s.attachment.probes[:2]))
                    for s in self._workspace.attached
                    if str(s.number).startswith(argument)
                )
            case "function":
                yield from (Offer(n, len(argument), f.signature) for n, f in _functions(argument))
            case "file":
                yield from _all(_files(argument), argument)

    def _members(self, where: Cursor) -> Iterator[Offer]:
        around = Surroundings(where.before, where.probe, self._workspace.session.types(), self._workspace.target)
        for name, kind in around.members(where.member_of):
            if name.startswith(where.word):
                yield Offer(name, len(where.word), kind)

    def _types(self, tag: str, word: str) -> Iterable[str]:
        try:
            btf = Kernel.running().btf
        except KernelError:
            return ()
        if not word:
            return ()  # the kernel has more than ten thousand
        names = btf.enum_names(f"{word}*") if tag == "enum" else btf.struct_names(f"{word}*", tag)
        return limited(sorted(set(names)))[: MOST + 1]

    def _words(self, text: str, where: Cursor) -> Iterator[Offer]:
        word, size = where.word, len(where.word)
        if word.startswith("@") or not word:
            for name, kind in sorted(self._maps(text, where).items()):
                if name.startswith(word):
                    yield Offer(name, size, kind)
        if word.startswith("$"):
            names = set(re.findall(r"\$[A-Za-z_]\w*", where.before))
            yield from _all(sorted(n for n in names if n.startswith(word)), word)
        if word.startswith(("@", "$")):
            return
        if not where.body and not where.before.strip(" \t\n"):
            yield from (Offer(name, size, "probe") for name in self.probes.complete(word))
            yield from _all((w for w in _TOP if word and w.startswith(word)), word)
        if not word:
            return
        for name, function in _functions(word):
            yield Offer(name if function.bare else f"{name}(", size, function.signature)
        for script in self._workspace.definitions:
            for item in script.items:
                if isinstance(item, ast.Macro | ast.Subprogram) and item.name.startswith(word):
                    yield Offer(f"{item.name}(", size, "macro")
        yield from _all((w for w in (*_KEYWORDS, *sorted(BUILTIN_TYPES)) if w.startswith(word)), word)

    def _maps(self, text: str, where: Cursor) -> dict[str, str]:
        """Names and types: the session's, and those that this entry has so far."""
        here = re.findall(r"@\w*", text[: len(text) - len(where.word)])
        known = {name: str(kind.value) for name, kind in self._workspace.session.types().items()}
        return {**dict.fromkeys(here, ""), **known}


def _all(names: Iterable[str], word: str) -> Iterator[Offer]:
    return (Offer(name, len(word)) for name in names)


def _functions(word: str) -> Iterator[tuple[str, Function]]:
    return ((name, f) for name, f in sorted(REGISTRY.items()) if name.startswith(word))


def _files(start: str) -> Iterator[str]:
    import glob
    import os

    for path in sorted(glob.glob(glob.escape(os.path.expanduser(start)) + "*")):
        yield path + "/" if os.path.isdir(path) else path
