"""end — runs once, after everything is detached.

    end { … }            (in any case; any number of them, run in the order of the script)

No arguments. It runs before maps are printed at the end of a session.
"""

from pytrace.probes.runs import Run

PROVIDER = Run("end", "once, after everything is detached")
