"""Stages: each in a process and a time of its own, whatever becomes of the others."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from loadtests.gpu.limits import PARTS, limits, measured_parts
from loadtests.gpu.stages import (
    TARGETS,
    Figures,
    Outcome,
    Report,
    as_json_line,
    as_text,
    run_stage,
)
from tests.unit.model.engine.fake_runner import until

_RECORD = """
import sys
from pathlib import Path
from loadtests.gpu.stages import Figures
Figures(Path(sys.argv[1])).record("answer", 42.0)
"""


def run(script: str, folder: Path, seconds: float = 60.0) -> Outcome:
    figures = folder / "figures.json"
    command = [sys.executable, "-c", script, str(figures)]
    return run_stage("trial", command, figures, at_most=seconds)


@pytest.fixture(autouse=True)
def from_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[4]))


def test_figures_come_back(tmp_path: Path) -> None:
    outcome = run(_RECORD, tmp_path)
    assert (outcome["error"], outcome["figures"]) == (None, {"answer": 42.0})


def test_what_was_recorded_survives_a_failure(tmp_path: Path) -> None:
    outcome = run(_RECORD + "\nsys.exit(3)", tmp_path)
    assert (outcome["error"], outcome["figures"]) == ("it ended with 3", {"answer": 42.0})


def test_figures_of_an_earlier_run_are_gone(tmp_path: Path) -> None:
    run(_RECORD, tmp_path)
    assert run("", tmp_path)["figures"] == {}


def test_a_stage_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, threading\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import threading; "
        "threading.Event().wait()'])\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        "threading.Event().wait()"
    )
    outcome = run(script, tmp_path, seconds=2.0)
    assert outcome["error"] == "it was ended after 2 s"
    child = Path("/proc", (tmp_path / "pid").read_text(), "stat")
    until(lambda: not child.exists() or state(child) == "Z")


def state(stat: Path) -> str:
    """State of a process: Z is for who has ended, and nobody has asked how."""
    return stat.read_text().rpartition(")")[2].split()[0]


def test_without_time_nothing_is_begun(tmp_path: Path) -> None:
    outcome = run(_RECORD, tmp_path, seconds=-1.0)
    assert (outcome["error"], outcome["figures"]) == ("no time was left", {})


def test_a_stage_that_is_killed_leaves_what_it_had(tmp_path: Path) -> None:
    outcome = run(_RECORD + "\nimport os\nos.kill(os.getpid(), 9)", tmp_path)
    assert (outcome["error"], outcome["figures"]) == ("it was ended by signal 9", {"answer": 42.0})


def test_who_is_interrupted_has_noted_how_far_it_was(tmp_path: Path) -> None:
    noted: list[Outcome] = []
    script = _RECORD + "\nimport threading\nthreading.Event().wait()"

    def note(outcome: Outcome) -> None:
        noted.append(outcome)
        if outcome["figures"] and outcome["error"] == "it is under way":
            raise SystemExit(143)

    figures = tmp_path / "figures.json"
    command = [sys.executable, "-c", script, str(figures)]
    with pytest.raises(SystemExit):
        run_stage("trial", command, figures, at_most=60.0, note=note)
    assert noted[-1]["error"] == "it was interrupted"
    assert noted[-1]["figures"] == {"answer": 42.0}


def test_the_report_is_there_from_the_beginning_and_after_each_stage(tmp_path: Path) -> None:
    report = Report(tmp_path, ["steps", "peers"])

    def stages() -> dict[str, str | None]:
        line = json.loads((tmp_path / "result.json").read_text())
        return {name: stage["error"] for name, stage in line["stages"].items()}

    assert stages() == {"steps": "it was not begun", "peers": "it was not begun"}
    report.describe({"gpus": ["one"]})
    report.note("steps", {"seconds": 3.0, "error": None, "figures": {"a": 1}, "parts": {"b": 2.0}})
    assert stages() == {"steps": None, "peers": "it was not begun"}
    assert "steps: done, 3 s" in (tmp_path / "table.txt").read_text()
    line = json.loads((tmp_path / "result.json").read_text())
    assert (line["figures"], line["environment"]) == ({"a": 1}, {"gpus": ["one"]})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result.json", "table.txt"]


def test_limits_are_what_was_measured_and_half_as_much_again(tmp_path: Path) -> None:
    cold, warm = (limits({}, cached=cached) for cached in (False, True))
    assert list(cold) == list(PARTS)
    assert cold["agreement"] == pytest.approx(1.5 * sum(PARTS["agreement"].values()))
    assert warm["agreement"] < cold["agreement"] - 40
    report = Report(tmp_path, ["steps", "online"])
    parts = {"compile": 1.0, "measure": 40.0, "ceilings": 3.0}
    report.note("steps", {"seconds": 44.0, "error": None, "figures": {}, "parts": parts})
    cut = {"seconds": 60.0, "error": "it was ended after 60 s", "figures": {}, "parts": parts}
    report.note("online", cut)
    known = measured_parts(tmp_path / "result.json")
    assert known == {"steps": parts}  # how long the other one takes was not seen
    assert limits(known, cached=True)["steps"] == pytest.approx(1.5 * 44.0)
    (tmp_path / "table.txt").write_text("{}")
    with pytest.raises(ValueError, match="must be the result of an earlier run"):
        measured_parts(tmp_path / "table.txt")


def test_figures_are_in_the_file_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = Figures(tmp_path / "figures.json")
    figures.record("rate", 1_234_567.8)
    figures.record("kind", "a word")
    with figures.part("compile"):
        pass
    kept = json.loads((tmp_path / "figures.json").read_text())
    assert kept["figures"] == {"rate": 1_234_567.8, "kind": "a word"}
    assert list(kept["parts"]) == ["compile"]
    assert capsys.readouterr().out == "rate: 1,234,568\nkind: a word\n"


def outcomes() -> dict[str, Outcome]:
    found = {"throughput_beam1_tokens_per_second": 1.3e6, "alone_beam1_p50_ms": 9.5}
    return {
        "throughput": {"seconds": 12.0, "error": None, "figures": found, "parts": {}},
        "peers": {"seconds": 3.0, "error": "it ended with 1", "figures": {}, "parts": {}},
    }


def test_the_table_says_which_targets_were_met() -> None:
    lines = as_text(outcomes()).splitlines()
    by_name = {line.split()[0]: line for line in lines if line and not line.startswith(" ")}
    assert by_name["throughput_beam1_tokens_per_second"].endswith("  met")
    assert by_name["alone_beam1_p50_ms"].endswith("  MISSED")
    assert by_name["ratio_ctranslate2-float16_greedy"].endswith("-")
    assert "peers: it ended with 1, 3 s" in lines


def test_the_line_holds_everything() -> None:
    line = json.loads(as_json_line(outcomes(), {"gpus": ["one"]}))
    assert line["figures"]["alone_beam1_p50_ms"] == 9.5
    assert line["stages"]["peers"] == {"seconds": 3.0, "error": "it ended with 1", "parts": {}}
    assert line["targets"] == TARGETS
    assert line["environment"] == {"gpus": ["one"]}


_BLOCKED = """
import pkgutil, sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {
            "ray", "fastapi", "starlette", "pydantic", "uvicorn", "prometheus_client", "locust",
            "sentencex", "babel", "service",
        }:
            raise ImportError(name)

sys.meta_path.insert(0, Nothing())
import importlib
import loadtests.gpu
for module in pkgutil.iter_modules(loadtests.gpu.__path__, "loadtests.gpu."):
    importlib.import_module(module.name)
import model.engine.cuda.runner, model.engine.cuda.kernels.fused, loadtests.bench.worker
"""


def test_neither_ray_nor_the_web_is_needed(tmp_path: Path) -> None:
    assert run(_BLOCKED, tmp_path)["error"] is None
