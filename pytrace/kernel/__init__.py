"""What is known about the running kernel and about binaries, read only. Asks nobody else; importing it is cheap.

`Kernel.running()` is the door: everything behind it is read when it is first asked for.
"""

from pytrace.kernel.errors import KernelError
from pytrace.kernel.kernel import Kernel

__all__ = ["Kernel", "KernelError"]
