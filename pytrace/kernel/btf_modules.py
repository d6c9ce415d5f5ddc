"""The BTF of loaded kernel modules."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from pytrace.kernel.btf_identity import digest, kernel_build_id
from pytrace.kernel.btf_raw import Blob, read_blob

if TYPE_CHECKING:
    from pytrace.kernel.btf import Btf


class Modules(Mapping[str, "Btf"]):
    """The BTFs below `directory`, by module name. `open_module` makes one from its bytes, the key of its index
    and its name.

    A module whose BTF cannot be read (it may just have been unloaded) raises KeyError.
    """

    def __init__(self, directory: str, open_module: Callable[[Blob, str, str], Btf]) -> None:
        self._directory, self._open_module = directory, open_module
        try:
            self._names = sorted(name for name in os.listdir(directory) if name != "vmlinux")
        except OSError:
            self._names = []
        self._open: dict[str, Btf] = {}

    def __getitem__(self, name: str) -> Btf:
        if name not in self._open:
            if name not in self._names:
                raise KeyError(name)
            try:
                data = read_blob(f"{self._directory}/{name}")
            except OSError as error:
                raise KeyError(name) from error
            # The index holds names and ids of the base, so its key must have both.
            key = digest(kernel_build_id().encode() + data[:])
            self._open[name] = self._open_module(data, key, name)
        return self._open[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
