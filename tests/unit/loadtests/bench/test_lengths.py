"""Which lengths are measured, and what is read from their times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from loadtests.bench import lengths
from loadtests.bench.budget import Budget
from loadtests.bench.contender import Search, Task, TokenIds, Translated
from loadtests.bench.lengths import attention_shares, measure_lengths, points
from loadtests.bench.lengths_plot import draw
from loadtests.bench.models import BenchModel
from loadtests.bench.options import BenchOptions
from loadtests.bench.report import as_lengths, as_tables
from tests.tiny_model import build_tiny_model, tiny_config
from tests.unit.loadtests.bench.fake_field import FakeField, FakeWorker


def _seconds(source: int, target: int) -> float:
    """Seconds of a contender whose encoder is quadratic, as is its decoder."""
    return 0.1 + 0.002 * source + 1e-5 * source**2 + target * (0.01 + 2e-5 * source + 1e-5 * target)


class _Worker(FakeWorker):
    def translate(self, task: Task, sources: Any, **options: Any) -> Translated:
        assert task.limit is not None
        self.log.append((self.label, "translate", task, sources))
        return Translated(
            seconds=(_seconds(len(sources[0]), task.limit),), targets=[[5] * task.limit]
        )


@pytest.fixture
def model() -> BenchModel:
    return BenchModel(
        name="tiny",
        config=tiny_config(max_positions=512),
        directory=None,
        max_source_tokens=100,
        seed=0,
        endless=True,
    )


def test_both_sides_are_doubled_within_what_the_model_can() -> None:
    grid = points(512)
    assert {(8, 1), (512, 1), (8, 64), (512, 64), (64, 8), (64, 512)} <= set(grid)
    assert len(grid) == len(set(grid)) == 20
    assert max(max(point) for point in points(256)) == 256
    assert grid[0] == (8, 1), "what takes longest comes last"
    assert grid[-1] == (64, 512)


def test_the_share_of_attention_is_what_grows_with_a_product() -> None:
    times = {(s, t): _seconds(s, t) for s, t in points(512)}
    shares, error = attention_shares(times)
    assert error < 1e-6
    for (source, target), share in shares.items():
        attention = 1e-5 * source**2 + target * (2e-5 * source + 1e-5 * target)
        assert share == pytest.approx(attention / times[source, target], abs=1e-6)


def test_noise_makes_no_share_negative() -> None:
    times = {(s, t): (0.01 * s + 0.1 * t) * (1.1 if s > 100 else 1.0) for s, t in points(512)}
    shares, error = attention_shares(times)
    assert min(shares.values()) >= 0
    assert 0.001 < error < 0.1


def test_every_contender_has_every_length(model: BenchModel, tmp_path: Path) -> None:
    field: Any = FakeField(_Worker("polyhead-int8", 0.1), _Worker("ctranslate2-int8", 0.1))
    measured = measure_lengths(field, model, (Search.GREEDY,), 2, Budget(None))
    assert [one["contender"] for one in measured] == ["polyhead-int8", "ctranslate2-int8"]
    [first, _] = measured
    assert len(first["points"]) == 20
    assert {len(point["seconds"]["rounds"]) for point in first["points"]} == {2}
    sources = {len(entry[3][0]) for entry in field.log if entry[1] == "translate"}
    assert sources == {8, 16, 32, 64, 128, 256, 512}
    given: list[list[TokenIds]] = [entry[3] for entry in field.log if entry[1] == "translate"]
    assert {len(call) for call in given} == {lengths.SEQUENCES}
    options = BenchOptions()
    values = as_lengths(
        options, measured, idle_cpu={}, hardware=_HARDWARE, instruction_set="avx2", forced={}
    )
    assert values["notes"] == ["fewer than 3 rounds: do not compare with these ratios"]
    text = as_tables(json.loads(json.dumps(values)))
    assert "polyhead-int8, greedy, tokens of the target" in text
    times = {(p["source"], p["target"]): p["seconds"]["median"] for p in first["points"]}
    [row, *_] = [row.split() for row in text.splitlines() if row.startswith("16 ")]
    assert row[2] == f"{times[16, 64] / times[8, 64]:.2f}"
    draw(values, tmp_path / "plot.svg")
    assert "tokens of the source" in (tmp_path / "plot.svg").read_text(encoding="utf-8")


_HARDWARE = {"cpu": "A CPU", "cores": 2, "cores_of_machine": 4}


def test_when_time_is_up_the_longest_are_left_out(model: BenchModel, tmp_path: Path) -> None:
    field: Any = FakeField(_Worker("polyhead-int8", 0.1))
    [one] = measure_lengths(field, model, (Search.GREEDY,), 3, Budget(1e-9))
    assert [(point["source"], point["target"]) for point in one["points"]] == [(8, 1)]
    values = as_lengths(
        BenchOptions(), [one], idle_cpu={}, hardware=_HARDWARE, instruction_set="avx2", forced={}
    )
    draw(values, tmp_path / "plot.svg")
    assert (tmp_path / "plot.svg").exists()


def test_endless_weights_never_say_the_end(tmp_path: Path) -> None:
    model = BenchModel.named(str(build_tiny_model(tmp_path / "tiny")), seed=0)
    endless = BenchModel(**(vars(model) | {"endless": True})).load()
    assert endless.projection.weight[2].abs().max() == 0
    assert model.load().projection.weight[2].abs().max() > 0
