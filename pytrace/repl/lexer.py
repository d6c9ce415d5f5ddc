"""The language for Pygments: colours at the prompt, in documents and on web pages (`pygmentize -l pytrace`)."""

from __future__ import annotations

from pygments.lexer import RegexLexer, bygroups, words
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Text, Whitespace

from pytrace.functions import REGISTRY
from pytrace.probes import PROVIDERS
from pytrace.syntax.words import BUILTIN_TYPES, BUILTIN_VALUES

_KEYWORDS = (
    *("if", "else", "while", "for", "unroll", "return", "break", "continue", "let", "macro", "fn", "import"),
    *("config", "comptime", "sizeof", "offsetof", "typeof", "typeinfo"),
)
_PROVIDERS = sorted({name for p in PROVIDERS.values() for name in (p.name, *p.aliases)}, key=len, reverse=True)


class PytraceLexer(RegexLexer):  # type: ignore[misc]  # Pygments has no types
    """Probes, statements, and the `:commands` of the prompt."""

    name = "pytrace"
    aliases = ["pytrace", "bpftrace"]  # noqa: RUF012 - what Pygments asks for
    filenames = ["*.pt", "*.bt"]  # noqa: RUF012 - likewise
    mimetypes: list[str] = []  # noqa: RUF012 - likewise

    tokens = {  # noqa: RUF012 - likewise
        "root": [
            (r"\A\s*:\w*", Name.Decorator),
            (r"\A#!.*", Comment.Hashbang),
            (r"\s+", Whitespace),
            (r"//[^\n]*", Comment.Single),
            (r"/\*(?:[^*]|\*(?!/))*(?:\*/)?", Comment.Multiline),
            (r"^\s*#\s*(?:include|define|undef|if|ifdef|ifndef|else|endif|pragma)\b[^\n]*", Comment.Preproc),
            (r'"', String, "string"),
            (rf"\b({'|'.join(_PROVIDERS)})(:)([^\s,{{}}<;()]*)", bygroups(Name.Namespace, Punctuation, Name.Label)),
            (r"(?i)\b(?:begin|end)\b(?=\s*[{<,/])", Name.Namespace),
            (r"@\w*", Name.Variable.Global),
            (r"\$(?:\w+|#)", Name.Variable),
            (r"0[xX][0-9a-fA-F_]+|\d[\d_]*(?:e\d+)?(?:ns|us|ms|s|m|h|d)?\b", Number),
            (r"(\.|->)(\w+)", bygroups(Operator, Name.Attribute)),
            (r"(struct|union|enum)(\s+)(\w+)", bygroups(Keyword, Whitespace, Name.Class)),
            (words(_KEYWORDS, r"\b", r"\b"), Keyword),
            (words(sorted(BUILTIN_TYPES), r"\b", r"\b"), Keyword.Type),
            (words(sorted(BUILTIN_VALUES), r"\b", r"\b(?!\s*\()"), Name.Builtin),
            (words(sorted(REGISTRY), r"\b", r"\b"), Name.Function),
            (r"\b(?:true|false)\b", Keyword.Constant),
            (r"\w+", Name),
            (r"[-+*/%&|^~!<>=?:]+", Operator),
            (r"[(){}\[\],;.]", Punctuation),
            (r".", Text),
        ],
        "string": [
            (r"\\(?:x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", String.Escape),
            (r"%[-+ #0-9.*lhz]*[a-zA-Z]", String.Interpol),
            (r'[^"\\%\n]+|%', String),
            (r'"|$', String, "#pop"),
        ],
    }
