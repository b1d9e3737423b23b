"""The report: its pictures, and that what is kept belongs to the code that is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.simulation import __main__ as report
from loadtests.simulation.cluster import Cluster
from loadtests.simulation.profiles import CONTROLLER_COSTS
from loadtests.simulation.scenarios import cpu_spike, gateways_for, gpu_day, sentences_of, spike
from loadtests.simulation.trace import plot_courses, plot_goodput

_FOLDER = Path(report.__file__).parent
_LARGEST_PICTURE = 200_000


def test_the_same_run_gives_the_same_picture(tmp_path: Path) -> None:
    scenario = replace(
        cpu_spike(), traffic=spike(200.0, 3.0, begin=60.0, end=120.0, ramp=5.0), seconds=240.0
    )
    for name in ("one.png", "two.png"):
        run = ("autoscaled", scenario, Cluster(scenario).run())
        plot_courses(tmp_path / name, [run], hours=False, logarithmic=False)
    first, second = ((tmp_path / name).read_bytes() for name in ("one.png", "two.png"))
    assert first == second
    assert first.startswith(b"\x89PNG")


def test_goodput_is_drawn(tmp_path: Path) -> None:
    plot_goodput(tmp_path / "goodput.png", [("4 gateways", (1, 10), (1e6, 2e6))])
    assert (tmp_path / "goodput.png").stat().st_size > 1000


def test_the_report_that_is_kept_has_all_tables_and_small_pictures() -> None:
    kept = report.REPORT.read_text(encoding="utf-8")
    names = ("PROFILES", "COURSES", "GATEWAYS", "CONTROLLER")
    emptied = report.with_tables(kept, dict.fromkeys(names, "a table"))
    assert emptied.count("a table") == len(names)
    assert "| --- |" not in emptied.split("## What happened", 1)[0]
    pictures = sorted(_FOLDER.glob("*.png"))
    assert {path.name for path in pictures} == {
        line.split("(")[1].rstrip(")") for line in kept.splitlines() if line.startswith("![")
    }
    assert all(path.stat().st_size < _LARGEST_PICTURE for path in pictures)


def test_tables_take_the_place_of_others() -> None:
    text = "before\n\n<!-- A -->\n| old |\n\n| x |\n<!-- end -->\n\nafter\n"
    once = report.with_tables(text, {"A": "| new |"})
    assert once == "before\n\n<!-- A -->\n| new |\n<!-- end -->\n\nafter\n"
    assert report.with_tables(once, {"A": "| new |"}) == once
    with pytest.raises(KeyError, match="A"):
        report.with_tables(text, {})


@pytest.mark.parametrize("table", [report._profiles, report._controller])
def test_tables_that_need_no_run_are_up_to_date(table: object) -> None:
    assert callable(table)
    assert table() in report.REPORT.read_text(encoding="utf-8")


def test_gateways_that_are_enough_are_twice_what_is_needed() -> None:
    day = gpu_day()
    # 1,000 replicas of 1.67 M tokens/s, three quarters busy, 30 tokens a sentence, 8 of those a
    # request, 500 of these a gateway.
    assert sentences_of(1000, day.replica, 0.75) == pytest.approx(41.75e6)
    assert day.gateways == gateways_for(41.75e6) == 20_875


def test_the_controller_is_busier_with_more_to_hear() -> None:
    small, large = CONTROLLER_COSTS[0], CONTROLLER_COSTS[-1]
    assert small.share_of_a_core(1.0) < 0.01
    # 1,000 * 319 us + 100 * 577 us a second, nine questions of 22.9 ms and a decision of 27.8.
    assert large.share_of_a_core(1.0) == pytest.approx(0.611, abs=0.001)
    assert large.share_of_a_core(10.0) < 0.5 * large.share_of_a_core(1.0)
