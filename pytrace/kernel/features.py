"""What this kernel can do for BPF, each feature found out by trying it.

A version number is only ever information: distributions take features back to old kernels, and a kernel may be built
or locked without a new one. Trials are small programs, maps and events that exist for the moment of the trial. They run
when they are asked for, once in a process; most take a fraction of a millisecond.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pytrace.kernel.feature import Feature, Missing
from pytrace.record import record

if TYPE_CHECKING:
    from pytrace.kernel.kernel import Kernel


@record
class Answer:
    """One line of `Features.table`; `why` is empty where `has`."""

    name: str
    doc: str
    since: str
    has: bool
    why: str


class Features:
    """The features of a kernel, by name; see `FEATURES` for which there are. Iterating gives the names.

    `without` are features to do without as if the kernel had not got them.
    """

    def __init__(self, kernel: Kernel, without: frozenset[str] = frozenset()) -> None:
        self._kernel, self._without = kernel, without
        self._why: dict[str, str] = {}

    def has(self, name: str) -> bool:
        """Whether the kernel has a feature. Raises `KeyError` for a name that is none."""
        return not self.why(name)

    def why(self, name: str) -> str:
        """Why the kernel has not got a feature, in a few words; empty if it has. Raises `KeyError` as `has` does."""
        if name not in self._why:
            self._why[name] = self._try(_table()[name])
        return self._why[name]

    def _try(self, feature: Feature) -> str:
        if feature.name in self._without:
            return "told to do without it"
        try:
            feature.trial(self._kernel)
        except Missing as missing:
            return str(missing)
        except OSError as error:
            code = errno.errorcode.get(error.errno or 0, str(error.errno))
            return f"{error.filename or 'the kernel'}: {code}"
        return ""

    def allows(self, function: str, type: int, expected: int = 0, target: str = "") -> bool:
        """Whether programs of a type (and expected attach type, attached to `target`) may call a kernel function."""
        from pytrace.kernel.trials import allows

        key = f"{function} {type} {expected} {target}"
        if key not in self._why:
            self._why[key] = "" if allows(self._kernel, function, type, expected, target) else "not allowed"
        return not self._why[key]

    def do_without(self, names: frozenset[str]) -> None:
        """From now on these are not there. Raises `KeyError` for a name that is none."""
        for name in names:
            _table()[name]
        self._without |= names
        for name in names:
            self._why.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(_table())

    def __contains__(self, name: object) -> bool:
        return name in _table()

    def table(self) -> list[Answer]:
        """All features with their answers, for `--info`. Tries everything."""
        return [Answer(f.name, f.doc, f.since, self.has(f.name), self.why(f.name)) for f in _table().values()]


def _table() -> dict[str, Feature]:
    from pytrace.kernel.trials import FEATURES

    return FEATURES
