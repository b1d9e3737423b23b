"""The wall clock as it would be if nobody set it, for those who measure durations with it.

Ray Serve's controller does. After the clock was set back by an hour, it would ask no replica for an
hour whether it lives, and would drop what replicas report for scaling.
"""

from __future__ import annotations

import sys
import time
from types import ModuleType

__all__ = ["give_steady_time", "steady_time"]


def steady_time() -> ModuleType:
    """A module like `time` whose `time()` goes on evenly from what the wall clock says now.

    Forked processes go on with it together; of others' clocks it knows nothing.
    """
    steady = ModuleType(time.__name__, time.__doc__)
    vars(steady).update(vars(time))
    offset = time.time() - time.monotonic()
    vars(steady)["time"] = lambda: time.monotonic() + offset
    return steady


def give_steady_time(package: str) -> None:
    """Lets all modules of a package that are imported have `steady_time` in place of `time`."""
    steady = steady_time()
    for name, module in list(sys.modules.items()):
        if f"{name}.".startswith(f"{package}.") and vars(module).get("time") is time:
            vars(module)["time"] = steady
