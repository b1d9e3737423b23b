"""Every stage of the check for a GPU, without one: small, slow, and through the same code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from loadtests.bench.contender import Peer
from loadtests.bench.models import BenchModel
from loadtests.gpu.agreement import check_agreement
from loadtests.gpu.ceilings import Ceilings
from loadtests.gpu.figures import Figures
from loadtests.gpu.peers import measure_peers
from loadtests.gpu.rates import measure_alone, measure_online, measure_throughput
from loadtests.gpu.runners import cuda_runner
from loadtests.gpu.step_times import measure_encoding, measure_steps
from model.engine.cuda import packing
from model.engine.cuda.kernels.plain import PlainOperations
from model.engine.cuda.runner import CudaRunner
from model.network.transformer import Transformer
from tests.tiny_model import build_tiny_model, tiny_config
from tests.unit.model.engine.deferred_stream import DeferredStream


def rehearsed(
    transformer: Transformer,
    *,
    dtype: torch.dtype,
    max_slots: int,
    captured: bool = True,
    beams: tuple[int, ...] = (1, 4),
) -> CudaRunner:
    """A few slots of a device that is none."""
    return cuda_runner(
        transformer,
        dtype=dtype,
        max_slots=min(max_slots, 16),
        beams=(),
        stream=DeferredStream(hasty=captured),
        operations=PlainOperations(dtype),
    )


@pytest.fixture(autouse=True)
def small_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_LARGEST_BUCKET", 64)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> BenchModel:
    directory = build_tiny_model(tmp_path_factory.mktemp("model"))
    return BenchModel.named(str(directory), seed=0)


@pytest.fixture
def figures(tmp_path: Path) -> Figures:
    return Figures(tmp_path / "figures.json")


def recorded(tmp_path: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((tmp_path / "figures.json").read_text())
    return found


def test_agreement(figures: Figures, tmp_path: Path, model: BenchModel) -> None:
    text = tmp_path / "test.tsv"
    text.write_text("The old house.\tDas alte Haus.\nOne red ticket.\tEine rote Fahrkarte.\n")
    wrong = check_agreement(
        rehearsed, figures, model=model, text=text, num_sentences=6, num_exact=3
    )
    assert wrong == []
    found = recorded(tmp_path)
    assert found["float32_beam4_differs_from_plain_loop"] == 0.0
    assert found["bfloat16_beam1_bits_differ_without_graphs"] == 0.0
    assert {"bfloat16_beam4_differ_among_1", "bfloat16_beam4_bleu"} <= set(found)


def test_steps(figures: Figures, tmp_path: Path) -> None:
    config = tiny_config(projection_bias=True)
    ceilings = Ceilings(bytes_per_second=4e12, flops=8e14)
    measure_steps(rehearsed, figures, config, ceilings, rows=(1, 8), narrow_rows=(1, 4))
    measure_encoding(rehearsed, figures, config)
    found = recorded(tmp_path)
    assert found["step_beam4_rows8_tokens_per_second"] > 0
    assert 0 < found["step_beam1_rows1_share_of_bound"] < 1
    assert {"step_rows4_fused_products_us", "encode_64_tokens_us"} <= set(found)


def test_throughput(figures: Figures, tmp_path: Path, model: BenchModel) -> None:
    measure_throughput(rehearsed, figures, model, slots=(16,), count=12)
    found = recorded(tmp_path)
    assert found["throughput_beam4_slots16_tokens_per_second"] > 0
    assert 0 < found["throughput_beam1_slots16_rows_per_step"] <= 16
    assert 0 < found["throughput_beam1_slots16_encoder_share"] < 1
    assert found["runner_alone_beam1_slots16_tokens_per_second"] > 0


def test_one_alone_and_many_as_they_come(
    figures: Figures, tmp_path: Path, model: BenchModel
) -> None:
    measure_alone(rehearsed, figures, model, count=2)
    measure_online(rehearsed, figures, model, slots=16, seconds=0.2, count=8)
    found = recorded(tmp_path)
    assert found["alone_beam1_p50_ms"] <= found["alone_beam1_p95_ms"]
    assert found["online_beam4_load80%_p50_ms"] <= found["online_beam4_load80%_p95_ms"]


def test_peers(figures: Figures, tmp_path: Path, model: BenchModel) -> None:
    missing = measure_peers(
        rehearsed, figures, model, device="cpu",
        dtypes={Peer.CTRANSLATE2: "float32"}, sentences={Peer.CTRANSLATE2: 8}, slots=16,
    )  # fmt: skip
    assert missing == []
    assert recorded(tmp_path)["ratio_ctranslate2-float32_beam4"] > 0


def test_a_peer_that_cannot_run_is_named_and_hides_nothing(
    figures: Figures, model: BenchModel
) -> None:
    [missing] = measure_peers(
        rehearsed, figures, model, device="cuda",
        dtypes={Peer.CTRANSLATE2: "float32"}, sentences={Peer.CTRANSLATE2: 8}, slots=16,
    )  # fmt: skip
    assert missing.startswith("ctranslate2: ")
