"""A tiny, random, but whole model directory, made in about a second and copied from then on."""

from __future__ import annotations

import io
import random
import shutil
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import sentencepiece
import torch
from torch import Tensor

from model.checkpoints.checkpoint import save_checkpoint
from model.checkpoints.manifest import ModelMetadata
from model.config import GenerationConfig, TransformerConfig
from model.network.kv_cache import KVCache
from model.network.transformer import Transformer
from model.text.tokenizer import Tokenizer

__all__ = [
    "build_tiny_model",
    "ending_transformer",
    "learn_pieces",
    "poison",
    "tiny_config",
    "tiny_tokenizer",
    "tiny_transformer",
]

_WORDS = (
    "the", "a", "one", "two", "red", "green", "old", "new", "small", "house", "street", "river",
    "animal", "child", "station", "ticket", "cross", "run", "see", "bring", "because", "when",
    "quiet", "tired", "open", "closed", "water", "bread", "morning", "evening", "train", "late",
)  # fmt: skip


def tiny_tokenizer(seed: int = 0) -> Tokenizer:
    """A SentencePiece vocabulary of 400 pieces with byte fallback."""
    generator = random.Random(seed)
    lines = [" ".join(generator.choices(_WORDS, k=8)).capitalize() + "." for _ in range(400)]
    return learn_pieces(lines, vocab_size=400, byte_fallback=True)


def learn_pieces(sentences: Iterable[str], *, vocab_size: int, byte_fallback: bool) -> Tokenizer:
    """A SentencePiece vocabulary with the ids 0 pad, 1 bos, 2 eos, 3 unk; smaller if need be."""
    return Tokenizer.of_sentencepiece(_learned(tuple(sentences), vocab_size, byte_fallback))


@cache
def _learned(sentences: tuple[str, ...], vocab_size: int, byte_fallback: bool) -> bytes:
    """Learning takes most of the time that a model takes to be made."""
    serialized = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(sentences), model_writer=serialized, vocab_size=vocab_size,
        byte_fallback=byte_fallback, hard_vocab_limit=False, num_threads=1, minloglevel=2,
        pad_id=0, bos_id=1, eos_id=2, unk_id=3,
    )  # fmt: skip
    return serialized.getvalue()


def poison(cache: KVCache, slots: Tensor) -> None:
    """Fills `slots` with a large number, to show that nobody reads what is not theirs."""
    of_self = (cache.self_keys, cache.self_values, cache.states)
    for tensor in (*of_self, cache.cross_keys, cache.cross_values):
        tensor[:, slots] = 1e4


def tiny_config(vocab_size: int = 400, **changes: object) -> TransformerConfig:
    """Two layers each way, 32 wide, at most 64 positions."""
    shape: dict[str, object] = {
        "src_vocab_size": vocab_size, "tgt_vocab_size": vocab_size, "d_model": 32, "d_ff": 64,
        "num_heads": 4, "num_encoder_layers": 2, "num_decoder_layers": 2, "max_positions": 64,
    }  # fmt: skip
    return TransformerConfig(**(shape | changes))  # type: ignore[arg-type]


def tiny_transformer(seed: int = 0, **changes: object) -> Transformer:
    """Random weights, in evaluation mode, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Transformer(tiny_config(**changes)).eval()  # type: ignore[arg-type]


def build_tiny_model(directory: Path, seed: int = 0) -> Path:
    """Writes a model directory that translates "en" to "de", nonsensically but repeatably."""
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    for name, content in _files_of_tiny_model(seed).items():
        (directory / name).write_bytes(content)
    return directory


@cache
def _files_of_tiny_model(seed: int) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        _save_tiny_model(Path(folder) / "tiny", seed)
        return {file.name: file.read_bytes() for file in (Path(folder) / "tiny").iterdir()}


def _save_tiny_model(directory: Path, seed: int) -> None:
    tokenizer = tiny_tokenizer(seed)
    model = tiny_transformer(seed, vocab_size=tokenizer.vocab_size)
    metadata = ModelMetadata(
        name="tiny-en-de",
        version="test",
        source_languages=("en",),
        target_languages=("de",),
        license="none needed: random numbers",
    )
    # A random model does not know when to stop.
    generation = GenerationConfig(beam_size=2, max_new_tokens_over_source=8)
    save_checkpoint(directory, model, tokenizer, metadata, generation)


def ending_transformer(**shape: object) -> Transformer:
    """One that says many different things, and ends after a few tokens or after many."""
    untied = {"tied_projection": False, "shared_embeddings": False, "projection_bias": True}
    model = tiny_transformer(seed=5, **untied, **shape)
    with torch.no_grad():
        model.projection.weight.mul_(5)
        model.projection.bias[model.config.eos_id] += 2.5
    return model
