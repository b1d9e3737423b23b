"""run.sh as it is used on a GPU, rehearsed without one, with every stage made to fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loadtests.bench import machine
from tests.unit.model.engine.fake_runner import until

ROOT = Path(__file__).parents[4]
BREAK = "kernels=exit agreement=raise steps=kill throughput=exit alone=kill online=raise peers=hang"
ERRORS = {
    "kernels": "it ended with 3", "agreement": "it ended with 1",
    "steps": "it was ended by signal 9", "throughput": "it ended with 3",
    "alone": "it was ended by signal 9", "online": "it ended with 1",
}  # fmt: skip


def errors(output: Path) -> dict[str, str | None]:
    """By stage, as the report has them now."""
    try:
        line: dict[str, Any] = json.loads((output / "result.json").read_text())
    except FileNotFoundError:
        return {}
    return {name: stage["error"] for name, stage in line["stages"].items()}


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_whatever_fails_the_report_is_there(tmp_path: Path, ending: signal.Signals) -> None:
    """Who ends the whole check, too, leaves it behind."""
    output = tmp_path / "out"
    process = subprocess.Popen(
        ["bash", str(ROOT / "loadtests/gpu/run.sh")],
        env=os.environ | {
            "REHEARSAL": "1", "BREAK": BREAK, "OUT": str(output), "PYTHON": sys.executable,
            "SECONDS_AT_MOST": "600", "TRITON_CACHE_DIR": str(tmp_path / "kernels"),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        under_way = ERRORS | {"peers": "it is under way"}
        for _ in range(5):  # a minute each, on a machine that does much else
            try:
                until(lambda: errors(output) == under_way or process.poll() is not None)
                break
            except AssertionError:
                continue
        assert errors(output) == under_way
    finally:
        os.killpg(process.pid, ending)
        process.wait(timeout=60)
    last = {signal.SIGTERM: "it was interrupted", signal.SIGKILL: "it is under way"}[ending]
    until(lambda: errors(output)["peers"] == last)
    assert errors(output) == ERRORS | {"peers": last}
    assert "peers: it" in (output / "table.txt").read_text()
    assert sorted(path.name for path in output.iterdir()) == ["result.json", "table.txt"]


def test_a_driver_that_does_not_answer_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(machine, "_COMMAND_SECONDS", 0.1)
    assert machine.read_hardware(range(1), "cuda")["gpus"] == ()
