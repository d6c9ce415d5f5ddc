"""pytrace: a tracing language and tool for Linux."""
