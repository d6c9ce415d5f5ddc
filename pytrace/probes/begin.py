"""begin — runs once, before anything is attached.

    begin { … }          (in any case; any number of them, run in the order of the script)

No arguments. A script that has only `begin` and `end` probes ends by itself.
"""

from pytrace.probes.runs import Run

PROVIDER = Run("begin", "once, before anything is attached")
