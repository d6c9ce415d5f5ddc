"""The Python API. Its door is `pytrace` itself, which names what is public and imports it when it is asked for."""
