"""What the gateway costs, as people measure it: with Ray, and without a trace of it afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.integration.service_process import processes, wait_for

ROOT = Path(__file__).parents[2]


@contextmanager
def _measuring(folder: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "loadtests.gateway_cost", "--clients", "2", *options]
    with (folder / "stdout").open("wb") as output, (folder / "stderr").open("wb") as errors:
        ran = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        try:
            yield ran
        finally:
            ran.kill()
            ran.wait(timeout=30)


def test_who_serves_is_counted_by_kind(tmp_path: Path) -> None:
    names = ("haproxy", "alone", "single-process", "bare")
    fronts = [word for name in names for word in ("--front", name)]
    results = tmp_path / "results" / "gateway.jsonl"
    short = ("--rounds", "1", "--seconds", "0.3", "--results", str(results))
    with _measuring(tmp_path, *fronts, *short) as ran:
        status = ran.wait(timeout=240)
    assert status == 0, (tmp_path / "stderr").read_text()
    printed = (tmp_path / "stdout").read_text()
    last = printed.splitlines()[-1]
    assert results.read_text() == last + "\n"
    measured: dict[str, Any] = {m["front"]: m for m in json.loads(last)["measurements"]}
    assert set(measured) == set(names)
    assert all(m["requests"] >= 2 for m in measured.values())
    assert {"gateway", "model replica", "HAProxy", "raylet", "GCS"} <= set(
        measured["haproxy"]["core_ms_by_kind"]
    )
    assert set(measured["bare"]["core_ms_by_kind"]) == {"uvicorn"}
    assert "haproxy-over-alone@2" in printed


def test_nothing_outlives_who_measures(tmp_path: Path) -> None:
    with _measuring(tmp_path, "--front", "bare", "--seconds", "600") as ran:
        children: list[psutil.Process] = []
        wait_for(lambda: children.extend(psutil.Process(ran.pid).children()) or children)
        ran.kill()
        _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
    assert processes("gateway_cost.server", session=os.getsid(0)) == []
