"""Whether memory grows, from looks at it."""

from __future__ import annotations

import json
import os
import re

import numpy as np
import pytest

from loadtests.corpus import LoadTestError
from loadtests.open_loop.figures import Result
from loadtests.open_loop.memory import Memory, MemoryWatch
from loadtests.open_loop.report import as_page, as_tables
from tests.unit.loadtests.open_loop.results import recorded, result_of


def _memory(*totals: float) -> Memory:
    """One look a minute, all of it in one gateway but for ten megabytes."""
    all_ = np.array(totals)
    return Memory(
        seconds=60.0 * np.arange(len(totals)),
        megabytes={"gateway": all_ - 10.0, "HAProxy": np.full(len(totals), 10.0)},
    )


def _result(memory: Memory, most: float) -> Result:
    wanted = {"max_memory_growth": most}
    record = recorded((20, 0.1))
    return result_of(record, profile_name="soak", memory=memory, pid=1, thresholds=wanted)


def test_a_flat_course_does_not_grow() -> None:
    memory = _memory(*[100.0] * 21)
    assert memory.figures()["growth_percent"] == 0.0
    assert memory.figures()["slope_mb_per_hour"] == pytest.approx(0.0, abs=1e-6)
    assert _result(memory, 0.0).figures["misses"] == []


def test_what_grows_all_the_time_is_measured() -> None:
    memory = _memory(*(100.0 + minute for minute in range(21)))
    assert memory.figures()["slope_mb_per_hour"] == pytest.approx(60.0)
    # Minutes 5 to 9 and 15 to 20: means of 107 and 117.5.
    assert memory.figures()["growth_percent"] == pytest.approx(100 * (117.5 / 107 - 1), rel=1e-3)


def test_caches_that_fill_in_the_beginning_are_no_growth() -> None:
    memory = _memory(50, 70, 90, *[100.0] * 18)
    assert memory.figures()["growth_percent"] == 0.0
    assert memory.figures()["quarter_means_mb"][0] == pytest.approx(82.0)


@pytest.mark.parametrize("looks", [1, 2])
def test_too_short_a_look_passes_no_threshold(looks: int) -> None:
    memory = _memory(*[100.0] * looks)
    assert memory.figures()["growth_percent"] is None
    assert _result(memory, 5.0).figures["misses"] == [
        "`memory.growth_percent` must be at most 5, but was not seen"
    ]
    assert re.search(r"growth percent +-\n", as_tables(_result(memory, 5.0).figures))


def test_the_report_has_it() -> None:
    memory = _memory(*(100.0 + minute for minute in range(21)))
    result = _result(memory, 5.0)
    values = json.loads(json.dumps(result.figures))["memory"]
    assert values["slope_mb_per_hour"] == 60
    assert values["growth_percent"] == pytest.approx(9.813)
    assert values["by_process"]["HAProxy"] == [10, 10, 10, 10]
    assert next(iter(values["by_process"])) == "gateway"
    assert result.figures["misses"] == ["`memory.growth_percent` must be at most 5, but is 9.813"]
    assert re.search(r"growth percent +9.813\n", as_tables(result.figures))
    assert "Memory of the service" in as_page(result)


def test_a_process_is_looked_at_from_beginning_to_end() -> None:
    with MemoryWatch(os.getpid()) as watch:
        pass
    memory = watch.memory
    assert memory is not None
    assert len(memory.seconds) == len(memory.total) == 2
    assert memory.total.min() > 1


def test_a_process_that_is_not_there_is_named() -> None:
    with pytest.raises(LoadTestError, match="cannot see the memory of process 4194305"):
        MemoryWatch(4_194_305)  # above the highest id that Linux gives
