"""Every stage of the check for a GPU, without one: small, slow, and through the same code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from operator import ne
from pathlib import Path
from typing import Any

import pytest
import torch

from loadtests.bench.contender import Peer
from loadtests.bench.models import BenchModel
from loadtests.bench.options import BenchOptions
from loadtests.bench.workload import TextFile, draw_workload
from loadtests.gpu import agreement, rates
from loadtests.gpu.agreement import SEARCHES, check_agreement, cuda_runner
from loadtests.gpu.rates import GUARDED, PEERS, RATES, compare_dtypes, measure, measure_peers
from loadtests.gpu.scale import make_small_model
from loadtests.gpu.stages import TARGETS, Figures
from loadtests.gpu.step_times import Ceilings, measure_steps
from model.config import GenerationConfig
from model.decoding.reference import generate
from model.decoding.search import Hypothesis
from model.decoding.token_ids import packed_ids
from model.engine.cuda import packing
from model.engine.cuda.kernels.plain import PlainOperations
from model.engine.cuda.runner import CudaRunner
from model.network.transformer import Transformer
from tests.tiny_model import tiny_config
from tests.unit.model.engine.deferred_stream import DeferredStream


def rehearsed(
    transformer: Transformer,
    *,
    dtype: torch.dtype,
    max_slots: int,
    captured: bool = True,
    searches: Sequence[GenerationConfig] = (),
) -> CudaRunner:
    """A few slots of a device that is none."""
    return cuda_runner(
        transformer,
        dtype=dtype,
        max_slots=min(max_slots, 16),
        stream=DeferredStream(hasty=captured),
        operations=PlainOperations(dtype),
    )


@pytest.fixture(autouse=True)
def small_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_LARGEST_BUCKET", 64)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> BenchModel:
    directory = make_small_model(tmp_path_factory.mktemp("model") / "small")
    return BenchModel.named(str(directory), seed=0)


@pytest.fixture
def figures(tmp_path: Path) -> Figures:
    return Figures(tmp_path / "figures.json")


def recorded(tmp_path: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((tmp_path / "figures.json").read_text())["figures"]
    return found


def test_agreement(figures: Figures, tmp_path: Path, model: BenchModel) -> None:
    assert check_agreement(rehearsed, figures, model=model, num_sentences=6, num_exact=3) == []
    found = recorded(tmp_path)
    assert found["float32_beam4_differs_from_plain_loop"] == 0.0
    assert found["bfloat16_beam1_bits_differ_without_graphs"] == 0.0
    assert found["bfloat16_beam4_bits_differ_when_repeated"] == 0.0
    assert found["bfloat16_guarded_beam4_bits_differ_without_graphs"] == 0.0
    assert found["float32_guarded_beam4_differs_from_plain_loop"] == 0.0


def test_what_differs_is_named(
    figures: Figures, tmp_path: Path, model: BenchModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def others(*arguments: Any) -> list[list[Hypothesis]]:
        return [
            [best._replace(target=packed_ids((7,)), score=best.score - 0.01)]
            for best, *_ in generate(*arguments)
        ]

    monkeypatch.setattr(agreement, "generate", others)
    assert check_agreement(rehearsed, figures, model=model, num_sentences=4, num_exact=2) == [
        "float32_beam1_differs_from_plain_loop: 100.00%",
        "float32_beam4_differs_from_plain_loop: 100.00%",
        "float32_guarded_beam4_differs_from_plain_loop: 100.00%",
    ]
    assert recorded(tmp_path)["float32_guarded_beam4_decided_by_rounding"] == 0.0


@pytest.mark.parametrize("precisely", [False, True])
def test_what_rounding_decides_is_no_difference(
    precisely: bool, figures: Figures, tmp_path: Path, model: BenchModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Another hypothesis with the same score, or one that the plain loop finds in float64."""

    def others(transformer: Transformer, *arguments: Any) -> list[list[Hypothesis]]:
        [[best, *_]] = generate(transformer, *arguments)
        if transformer.projection.weight.dtype is torch.float64:
            return [[best]]
        return [
            [
                best._replace(
                    target=packed_ids((7,)), score=best.score - (0.01 if precisely else 1e-6)
                )
            ]
        ]

    monkeypatch.setattr(agreement, "generate", others)
    assert check_agreement(rehearsed, figures, model=model, num_sentences=4, num_exact=2) == []
    found = recorded(tmp_path)
    assert found["float32_guarded_beam4_differs_from_plain_loop"] == 0.0
    assert found["float32_guarded_beam4_decided_by_rounding"] == 1.0


def test_other_tokens_with_the_score_of_the_right_ones_are_a_difference(
    figures: Figures, model: BenchModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the host puts a hypothesis together from rows of another one."""
    translate = agreement._translate

    def mixed_up(*arguments: Any) -> list[tuple[Hypothesis, ...]]:
        return [
            (best._replace(target=packed_ids((*best.token_ids[:-1], 7))),)
            for best, *_ in translate(*arguments)
        ]

    monkeypatch.setattr(agreement, "_translate", mixed_up)
    assert check_agreement(rehearsed, figures, model=model, num_sentences=2, num_exact=2) == [
        "float32_beam1_differs_from_plain_loop: 100.00%",
        "float32_beam4_differs_from_plain_loop: 100.00%",
    ]


def test_the_guard_changes_what_is_compared(model: BenchModel) -> None:
    """Or nothing would be compared of it."""
    transformer = model.load()
    sources = draw_workload(model, TextFile(), count=8, seed=0).sources
    free, guarded = (
        [
            generate(transformer, [list(source)], SEARCHES[name])[0][0].token_ids
            for source in sources
        ]
        for name in ("beam4", "guarded_beam4")
    )
    assert sum(map(ne, free, guarded)) > 4


def test_steps(figures: Figures, tmp_path: Path) -> None:
    config = tiny_config(projection_bias=True)
    ceilings = Ceilings(bytes_per_second=4e12, flops=8e14)
    measure_steps(rehearsed, figures, config, ceilings, rows=(1, 8), narrow_rows=(1, 4))
    found = recorded(tmp_path)
    assert found["step_beam4_rows8_tokens_per_second"] > 0
    assert 0 < found["step_beam1_rows1_share_of_bound"] < 1
    assert "step_rows4_fused_products_us" in found


def small(options: BenchOptions, model: BenchModel, **changes: Any) -> BenchOptions:
    """What a stage measures, on a tiny model and the CPU."""
    return replace(
        options, model=model.name, device="cpu", dtypes=("float32",), rounds=1, **changes
    )


@pytest.mark.parametrize(
    ("stage", "changes", "figure"),
    [
        ("throughput", {"sentences": 12}, "tokens_per_second"),
        ("alone", {"latency_sentences": 2}, "p50_ms"),
        ("online", {"sentences": 8, "seconds": 0.2}, "load80%_p95_ms"),
    ],
)
def test_rates(
    stage: str, changes: dict[str, Any], figure: str,
    figures: Figures, tmp_path: Path, model: BenchModel,
) -> None:  # fmt: skip
    assert RATES[stage].device == "cuda"
    measure(stage, small(RATES[stage], model, **changes), figures)
    found = recorded(tmp_path)
    for beam_size in (1, 4):
        assert found[f"{stage}_beam{beam_size}_{figure}"] > 0
        load = "load25%_" if stage == "online" else ""
        assert found[f"{stage}_beam{beam_size}_{load}max_slots"] > 0


def test_the_guarded_search_has_figures_of_its_own(
    figures: Figures, tmp_path: Path, model: BenchModel
) -> None:
    assert (GUARDED.device, GUARDED.sentences) == ("cuda", RATES["throughput"].sentences)
    measure("throughput", small(GUARDED, model, sentences=12), figures)
    found = recorded(tmp_path)
    assert found["throughput_guarded_beam4_tokens_per_second"] > 0
    assert not any("_beam1_" in name or "throughput_beam4_" in name for name in found)


def test_peers(figures: Figures, tmp_path: Path, model: BenchModel) -> None:
    theirs = small(PEERS[Peer.CTRANSLATE2], model, sentences=8)
    assert theirs.peer_dtype == "float16"
    exact = replace(theirs, peer_dtype="float32")
    assert measure_peers(figures, {Peer.CTRANSLATE2: exact}) == []
    found = recorded(tmp_path)
    assert found["ratio_ctranslate2-float32_beam4"] > 0
    assert found["peer_ctranslate2-float32_beam1_max_batch_size"] > 0


def test_a_ratio_is_named_by_the_peer_and_its_type(
    figures: Figures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ratios = {"bfloat16-over-ctranslate2-float16/greedy": 3.5, "other-bfloat16/beam4": 9.0}
    result = {"measurements": [], "ratios": ratios, "notes": []}
    monkeypatch.setattr(rates, "run", lambda options: result)
    assert measure_peers(figures, {Peer.CTRANSLATE2: BenchOptions()}) == []
    found = recorded(tmp_path)
    assert found == {
        "ratio_ctranslate2-float16_greedy": 3.5,
        "ratio_other-bfloat16_beam4": 9.0,
    }
    assert "ratio_ctranslate2-float16_greedy" in TARGETS


def test_a_peer_that_cannot_run_is_named_and_hides_nothing(
    figures: Figures, model: BenchModel
) -> None:
    # There is no float16 on a CPU.
    options = small(PEERS[Peer.CTRANSLATE2], model, sentences=8)
    [missing] = measure_peers(figures, {Peer.CTRANSLATE2: options})
    assert missing.startswith("ctranslate2 was excluded: ctranslate2-float16: ValueError")


def test_a_type_that_translates_worse_is_named(
    figures: Figures, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[BenchOptions] = []
    notes = ["polyhead-bfloat16, throughput, beam4: 0.4 BLEU below the best", "fewer than 3 rounds"]

    def run(options: BenchOptions) -> dict[str, Any]:
        asked.append(options)
        return {"measurements": [], "ratios": {}, "notes": notes}

    monkeypatch.setattr(rates, "run", run)
    assert compare_dtypes(figures, Path("test.tsv")) == notes[:1]
    [options] = asked
    assert (options.our_dtypes, options.text.references) == (("float32", "bfloat16"), True)
