"""A replica breaks when it is told to, and only then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tests.ray_serve  # noqa: F401
from loadtests.faults import sabotage
from loadtests.faults.sabotage import FOLDER, FragileReplica
from service.hosting.replica import TranslatorReplica


class _Runner:
    """As much of one as is asked for here."""

    num_slots = 7

    def execute(self, plan: object) -> object:
        return ("done", plan)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a replica looks; building one builds nothing but the runner above."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setattr(sabotage, "build_runners", lambda *_: [_Runner()])
    # The replica replaces it for good, in what is else a process of its own.
    engine: Any = sabotage.engine_module
    monkeypatch.setattr(engine, "build_runners", engine.build_runners)
    monkeypatch.setattr(TranslatorReplica, "__init__", lambda *_, **__: None)
    return tmp_path


def _runner() -> Any:
    FragileReplica()
    engine: Any = sabotage.engine_module
    [runner] = engine.build_runners("a model", "a size")
    return runner


def test_without_a_file_nothing_breaks(folder: Path) -> None:
    runner = _runner()
    assert runner.num_slots == 7
    assert runner.execute("plan") == ("done", "plan")


def test_one_step_breaks_for_each_file(folder: Path) -> None:
    runner = _runner()
    (folder / "break-step").touch()
    with pytest.raises(RuntimeError, match="CUDA error"):
        runner.execute("plan")
    assert runner.execute("plan") == ("done", "plan")


def test_as_many_loads_fail_as_the_file_says(folder: Path) -> None:
    left = folder / "break-load"
    left.write_text("2", encoding="utf-8")
    for _ in range(2):
        with pytest.raises(MemoryError):
            FragileReplica()
    assert left.read_text(encoding="utf-8") == "0"
    FragileReplica()
