"""What the stages work on: a GPU at full size, or everything small on the CPU, as a rehearsal."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import sentencepiece
import torch

from loadtests.bench.contender import Peer
from loadtests.bench.models import RANDOM_MODELS, BenchModel
from loadtests.bench.options import BenchOptions
from loadtests.corpus import DEFAULT_SENTENCES
from loadtests.gpu.agreement import Maker, cuda_runner
from loadtests.gpu.rates import GUARDED, PEERS, RATES
from loadtests.gpu.simulated_device import ImmediateStream
from loadtests.gpu.step_times import Ceilings
from model.checkpoints.checkpoint import check_checkpoint, save_checkpoint
from model.checkpoints.embedded import DEFAULT
from model.config import GenerationConfig, TransformerConfig
from model.engine.cuda import packing
from model.engine.cuda.runner import CudaRunner
from model.network.transformer import Transformer
from model.text.tokenizer import Tokenizer

__all__ = ["Scale", "full", "make_small_model", "rehearsal"]

_WIDTH = 32
_PIECES = 500
"""Pieces of the small model's vocabulary: three full tiles of a projection, and a part of one."""
_LONGEST = 12
"""Tokens of its sources and targets."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Sizes of all stages, and where they run."""

    make: Maker
    model: BenchModel
    """Trained, for agreement."""
    num_sentences: int = 240
    num_exact: int = 96
    config: TransformerConfig
    """The model whose steps are timed."""
    ceilings: Callable[[], Ceilings]
    rows: tuple[int, ...] = (1, 64, 256, 1024)
    narrow_rows: tuple[int, ...] = (1, 4, 8, 16, 32, 64)
    repeats: int = 15
    steps: int = 10
    rates: Mapping[str, BenchOptions]
    guarded: BenchOptions
    peers: Mapping[Peer, BenchOptions]
    device: str
    dtypes: tuple[str, ...]
    """That are held against each other by their BLEU."""


def full() -> Scale:
    """On a GPU."""
    return Scale(
        make=cuda_runner,
        model=BenchModel.named("embedded", seed=0),
        # 256 positions, and a bias to keep targets from ending
        config=replace(RANDOM_MODELS["paper-base"], max_positions=256, projection_bias=True),
        ceilings=Ceilings.measured,
        rates=RATES,
        guarded=GUARDED,
        peers=PEERS,
        device="cuda",
        dtypes=("float32", "bfloat16"),
    )


def rehearsal(model: Path) -> Scale:
    """Without a GPU: kernels in Triton's interpreter, the benchmark on the engine for CPUs.

    Args:
        model: of `make_small_model`.
    """
    packing._LARGEST_BUCKET = 64  # the interpreter takes a second for some hundred tokens
    small = BenchModel.named(str(model), seed=0)
    # As long as what is timed reads: see `step_times`.
    config = replace(small.config, projection_bias=True, max_positions=32)

    def on_cpu(options: BenchOptions, **changes: int | float) -> BenchOptions:
        options = replace(options, model=str(model), device="cpu", rounds=1)
        return replace(options, dtypes=("float32",), **changes)  # type: ignore[arg-type]

    return Scale(
        make=_rehearsed,
        model=small,
        num_sentences=1,
        num_exact=1,
        config=config,
        ceilings=lambda: Ceilings.measured(device="cpu", size=2**20, width=64),
        rows=(1, 4),
        narrow_rows=(1,),
        repeats=1,
        steps=1,
        rates={
            "throughput": on_cpu(RATES["throughput"], sentences=12),
            "alone": on_cpu(RATES["alone"], sentences=12, latency_sentences=2),
            "online": on_cpu(RATES["online"], sentences=8, seconds=0.2),
        },
        guarded=on_cpu(GUARDED, sentences=12),
        peers={
            peer: replace(on_cpu(options, sentences=8), peer_dtype="float32")
            for peer, options in PEERS.items()
        },
        device="cpu",
        dtypes=("float32", "int8"),
    )


def make_small_model(directory: Path) -> Path:
    """Writes a model directory of the embedded model's kind, with random weights, and small.

    Its vocabulary is small as well, and targets, none of which ends before its limit, are short:
    each step of each takes the interpreter a third of a second.
    """
    manifest, _ = check_checkpoint(DEFAULT)
    metadata = replace(
        manifest.metadata, shortlist=False, placeholders=False, max_source_tokens=None
    )
    tokenizer = _small_tokenizer()
    size = tokenizer.vocab_size
    shape = {"d_model": _WIDTH, "d_ff": 2 * _WIDTH, "num_heads": 2, "max_positions": _LONGEST}
    layers = {"num_encoder_layers": 1, "num_decoder_layers": 1}
    torch.manual_seed(0)
    transformer = Transformer(TransformerConfig.base(size, **shape, **layers)).eval()
    save_checkpoint(directory, transformer, tokenizer, metadata, manifest.generation)
    return directory


def _small_tokenizer() -> Tokenizer:
    serialized = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(DEFAULT_SENTENCES.read_text(encoding="utf-8").splitlines()),
        model_writer=serialized, vocab_size=_PIECES, num_threads=1, minloglevel=2,
        pad_id=0, bos_id=1, eos_id=2, unk_id=3,
    )  # fmt: skip
    return Tokenizer.of_sentencepiece(serialized.getvalue())


def _rehearsed(
    transformer: Transformer,
    *,
    dtype: torch.dtype,
    max_slots: int,
    captured: bool = True,
    searches: Sequence[GenerationConfig] = (),
) -> CudaRunner:
    """A few slots of a device that is none. With or without graphs is the same there."""
    del captured, searches
    return cuda_runner(
        transformer,
        dtype=dtype,
        max_slots=min(max_slots, 4),
        stream=ImmediateStream(),
    )
