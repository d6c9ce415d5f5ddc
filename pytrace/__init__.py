"""pytrace: a tracing language and tool for Linux."""

__version__ = "0.1.0"
