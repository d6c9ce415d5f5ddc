"""interval — a timer on one CPU: periodic output.

    interval:s:1   interval:hz:10   interval:100ms   interval:1000000     (units: see `probes.times`)

No arguments. Attaches as a perf software event (cpu-clock) on one CPU; `pid` and `comm` are of whatever happened to
run there.
"""

from pytrace.probes.times import Timer

PROVIDER = Timer("interval", ("i",), "a timer on one CPU", one_cpu=True)
