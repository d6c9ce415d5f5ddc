"""Where in a half-written entry the cursor stands: what is before it, seen from the end."""

from __future__ import annotations

import re

from pytrace.record import record

_TOKEN = re.compile(
    r"""(?P<open>"(?:[^"\\\n]|\\.)*\Z|//[^\n]*\Z|/\*(?:[^*]|\*(?!/))*\Z)
    | (?P<skip>\s+|//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/) | (?P<string>"(?:[^"\\\n]|\\.)*")
    | (?P<word>\w+) | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_CHAIN = re.compile(r"(?:[@$]?\w+|@)\Z")
_PROBE_WORD = re.compile(r"[^\s,{}<;()\"]*\Z")


@record
class Cursor:
    """`word` is what is being typed. In a `body`, `probe` is the first attach point of the block; `member_of` the
    expression before a dot or arrow; `call` the function whose arguments are being typed. `quoted`: in a string or a
    comment."""

    word: str
    body: bool = False
    probe: str = ""
    member_of: str = ""
    call: str = ""
    quoted: bool = False
    before: str = ""


def cursor_at(text: str) -> Cursor:
    """The place at the end of `text`."""
    opened: list[tuple[str, str]] = []  # delimiters that are open, with the word before each
    depth_of_head = 0
    head_start, head = 0, ""
    last = ""
    quoted = False
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup, match[0]
        if kind == "open":
            quoted = True
        elif kind == "other" and token in "([{":
            if token == "{" and not any(o == "{" for o, _ in opened):
                head, depth_of_head = text[head_start : match.start()], match.end()
            opened.append((token, last))
        elif kind == "other" and token in ")]}" and opened:
            opened.pop()
            if token == "}" and not any(o == "{" for o, _ in opened):
                head, head_start = "", match.end()
        if kind in ("word", "other", "string"):
            last = token
    body = any(o == "{" for o, _ in opened)
    call = next((word for o, word in reversed(opened) if o == "("), "")
    if not body and (angle := re.search(r"[^\s<=>]\s+<\s", text[head_start:])) and ":" in text[head_start:]:
        # The action of a one-liner in angle brackets.
        body, head, depth_of_head = True, text[head_start : head_start + angle.start() + 1], head_start + angle.end()
    probe = re.split(r"[\s,/]", head.strip(), maxsplit=1)[0] if body and ":" in head else ""
    if probe.startswith(("uprobe", "usdt", "ur", "u:", "U:")):
        probe = re.split(r"[\s,]", head.strip(), maxsplit=1)[0]
    if not body:
        predicate = re.search(r"\s/(?!.*/)(.*)\Z", text[head_start:], re.DOTALL)
        if predicate and ":" in text[head_start : head_start + predicate.start()]:
            body, probe = True, re.split(r"[\s,]", text[head_start:].strip(), maxsplit=1)[0]
            depth_of_head = head_start + predicate.start(1)
    if quoted:
        return Cursor("", body, probe, call=call, quoted=True)
    if not body and not opened:
        found = _PROBE_WORD.search(text)
        assert found is not None  # it matches nothing at all, too
        if ":" in found[0]:
            return Cursor(found[0], before=text[: found.start()])
    member = re.search(r"(\.|->)\s*(\w*)\Z", text)
    if member and (chain := _chain(text[: member.start()])):
        return Cursor(member[2], body, probe, member_of=chain, call=call, before=text[depth_of_head : member.start()])
    word = re.search(r"[@$]?\w*\Z", text)
    assert word is not None  # as above
    return Cursor(word[0], body, probe, call=call, before=text[: word.start()])


def _chain(text: str) -> str:
    """The expression that ends here: names, members, calls, elements and what is in parentheses, as a whole."""
    end = at = len(text.rstrip())
    while at > 0:
        if text[at - 1] in ")]":
            at = _opening(text, at)
            if at < 0:
                return ""
            name = _CHAIN.search(text[:at])
            at = name.start() if name else at
            if name is None and text[at] == "[":
                continue  # an element of an element
        elif name := _CHAIN.search(text[:at]):
            at = name.start()
        else:
            return ""
        link = re.search(r"(?:\.|->)\s*\Z", text[:at])
        if link is None:
            return text[at:end]
        at = link.start()
    return text[at:end]


def _opening(text: str, end: int) -> int:
    """Where the bracket opens that closes before `end`; -1 if it does not."""
    depth = 0
    for i in range(end - 1, -1, -1):
        if text[i] in ")]":
            depth += 1
        elif text[i] in "([":
            depth -= 1
            if depth == 0:
                return i
    return -1
