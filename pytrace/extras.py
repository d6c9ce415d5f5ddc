"""Optional packages: imported by name, and if one is missing, the error says which command installs it."""

from __future__ import annotations

import importlib
import sys
from typing import Any

EXTRAS = {"pandas": "pandas", "pyarrow": "arrow"}
"""The extra of pytrace that brings each optional package."""


class MissingExtra(ImportError):
    """An optional package is not installed. The message names the pip command that installs it."""


def optional(module: str) -> Any:
    """Imports an optional package and returns it. Raises `MissingExtra`, an `ImportError`, if it is not installed.

    A package that is there but fails to import raises its own error.
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        command = f"{sys.executable} -m pip install 'pytrace[{EXTRAS[package]}]'"
        raise MissingExtra(f"{package} is not installed; this installs it: {command}", name=package) from None
