"""test — a test of a script, run on demand.

    test:NAME { … }

Runs only where tests are asked for (`--test`), and there nothing else runs. A test passes if it returns 0, reports
nothing with `errorf` and does not exit with another status than 0. No arguments.
"""

from pytrace.probes.runs import Run

PROVIDER = Run("test", "a test, run with --test", named=True)
