"""The one exception of this package."""

from __future__ import annotations


class KernelError(Exception):
    """The kernel (or a file about it) does not give what was asked for. The message is one line for the user;
    `hint` says how to get it, where that is known."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint
