"""What is said about the machine and the process."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from loadtests.bench import machine
from loadtests.bench.machine import commit, read_hardware, read_memory, versions


def test_this_machine() -> None:
    hardware = read_hardware([0], "cpu")
    assert hardware["cpu"]
    assert hardware["cores"] == 1
    assert hardware["cores_of_machine"] == os.cpu_count()
    assert hardware["memory_bytes"] > 2**28
    assert hardware["gpus"] == ()


def test_this_process() -> None:
    memory = read_memory()
    assert 2**20 < memory["rss"] <= memory["peak_rss"]
    assert 0 < memory["pss"] < 2 * memory["rss"]


def test_the_commit_is_that_of_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = commit()
    assert found is None or re.fullmatch(r"[0-9a-f]{40}\+?", found)
    monkeypatch.setattr(machine, "_ROOT", tmp_path)
    assert commit() is None


def test_a_machine_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert commit() is None
    assert read_hardware([0], "cuda")["gpus"] == ()


def test_versions_of_what_computes() -> None:
    found = versions()
    assert {"python", "polyhead", "torch", "ctranslate2"} <= set(found)
