"""Our weights in the form of others find the same tokens."""

from __future__ import annotations

import random
from pathlib import Path

import ctranslate2
import pytest
import torch
from torch import Tensor

from loadtests.bench.contender import BenchError
from loadtests.bench.ctranslate2_model import write_ctranslate2_model
from model.config import GenerationConfig
from model.decoding.reference import generate, pad_sources
from model.network.attention import padding_mask
from model.network.transformer import Transformer
from tests.tiny_model import tiny_transformer
from tests.transformers_models import to_transformers

_VOCAB = 60
_NEW_TOKENS = 12
_POST_NORM = {
    "paper": {},
    "halves": {"positions": "sinusoidal_halves"},
    "learned": {"positions": "learned", "position_offset": 2},
    "biased": {"projection_bias": True},
    "untied": {"tied_projection": False},
    "two vocabularies": {"shared_embeddings": False, "tied_projection": False},
    "unscaled": {"scale_embedding": False},
    "gelu": {"activation": "gelu"},
    "gelu by tanh": {"activation": "gelu_tanh", "positions": "sinusoidal_fairseq"},
    "gelu by sigmoid": {"activation": "gelu_sigmoid"},
    "silu": {"activation": "silu", "num_decoder_layers": 1},
    "no attention bias": {"attention_bias": False},
    "epsilon": {"layer_norm_eps": 0.05},
}
_PRE_NORM = {
    f"{name}, pre-norm": {**changes, "norm_order": "pre", "final_norm": True}
    for name, changes in _POST_NORM.items()
}
_BOTH_PEERS = _POST_NORM | _PRE_NORM
_CTRANSLATE2_ONLY = {
    "normalised embeddings": {"embedding_norm": True},
    "pre-norm without a final one": {"norm_order": "pre"},
}


def _transformer(changes: dict[str, object], seed: int = 5) -> Transformer:
    weights = tiny_transformer(seed=seed, vocab_size=_VOCAB, **changes)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        for name, weight in weights.named_parameters():
            # As they are made, biases are all zero and norms all one: mistakes would not show.
            if weight.dim() == 1:
                weight += 0.3 * torch.randn_like(weight)
            elif "out_proj" in name or "outer" in name:
                weight *= 3.0  # or a tied model repeats its last token
    return weights


def _sources() -> list[list[int]]:
    rng = random.Random(7)
    return [[*(rng.randrange(4, _VOCAB) for _ in range(rng.randint(1, 14))), 2] for _ in range(12)]


def _as_tokens(rows: list[list[int]]) -> list[list[str]]:
    return [[str(token) for token in row] for row in rows]


def _expected(weights: Transformer, beam_size: int) -> list[list[int]]:
    generation = GenerationConfig(
        beam_size=beam_size, max_new_tokens=_NEW_TOKENS, length_penalty=0.0
    )
    return [list(best.token_ids) for best, *_ in generate(weights, _sources(), generation)]


def _ctranslate2(weights: Transformer, directory: Path, beam_size: int) -> list[list[int]]:
    write_ctranslate2_model(weights, directory, "float32")
    translator = ctranslate2.Translator(str(directory), compute_type="float32", intra_threads=1)
    results = translator.translate_batch(
        _as_tokens(_sources()),
        beam_size=beam_size,
        min_decoding_length=0,
        length_penalty=0,
        max_decoding_length=_NEW_TOKENS,
    )
    return [[int(token) for token in result.hypotheses[0]] for result in results]


def _transformers(weights: Transformer, beam_size: int) -> list[list[int]]:
    src_tokens, lengths = pad_sources(_sources(), weights.config.pad_id)
    options = {"length_penalty": 0.0, "early_stopping": True} if beam_size > 1 else {}
    found = to_transformers(weights).generate(
        input_ids=src_tokens,
        attention_mask=padding_mask(lengths, src_tokens.size(1))[:, 0, 0].long(),
        num_beams=beam_size,
        do_sample=False,
        max_new_tokens=_NEW_TOKENS,
        **options,
    )
    rows = [row[1:] for row in found.tolist()]
    return [row[: row.index(2)] if 2 in row else row for row in rows]


def _targets() -> list[list[int]]:
    rng = random.Random(8)
    return [[rng.randrange(3, _VOCAB) for _ in range(10)] for _ in _sources()]


def _log_probs(weights: Transformer) -> Tensor:
    """(rows, positions, V) of given targets, teacher-forced."""
    src_tokens, lengths = pad_sources(_sources(), weights.config.pad_id)
    shifted = torch.tensor([[weights.config.bos_id, *target] for target in _targets()])
    with torch.inference_mode():
        return weights(src_tokens, lengths, shifted).log_softmax(-1)


@pytest.mark.parametrize("name", [*_BOTH_PEERS, *_CTRANSLATE2_ONLY])
def test_ctranslate2_predicts_the_same(name: str, tmp_path: Path) -> None:
    weights = _transformer((_BOTH_PEERS | _CTRANSLATE2_ONLY)[name])
    write_ctranslate2_model(weights, tmp_path, "float32")
    translator = ctranslate2.Translator(str(tmp_path), compute_type="float32", intra_threads=1)
    scored = translator.score_batch(_as_tokens(_sources()), _as_tokens(_targets()))
    ended = torch.tensor([[*target, weights.config.eos_id] for target in _targets()])
    expected = _log_probs(weights).gather(-1, ended[:, :, None])[:, :, 0]
    found = torch.tensor([row.log_probs for row in scored])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", _BOTH_PEERS)
def test_transformers_predicts_the_same(name: str) -> None:
    weights = _transformer(_BOTH_PEERS[name])
    expected = _log_probs(weights)
    src_tokens, lengths = pad_sources(_sources(), weights.config.pad_id)
    shifted = torch.tensor([[weights.config.bos_id, *target] for target in _targets()])
    with torch.inference_mode():
        found = to_transformers(weights)(
            input_ids=src_tokens,
            attention_mask=padding_mask(lengths, src_tokens.size(1))[:, 0, 0].long(),
            decoder_input_ids=shifted,
        ).logits
    torch.testing.assert_close(found.log_softmax(-1), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("beam_size", [1, 4])
@pytest.mark.parametrize("name", ["paper", "paper, pre-norm"])
def test_searches_find_the_same_tokens(name: str, beam_size: int, tmp_path: Path) -> None:
    weights = _transformer(_BOTH_PEERS[name], seed=20)  # whose targets are of all kinds
    expected = _expected(weights, beam_size)
    assert len(set(map(tuple, expected))) > 3
    assert _ctranslate2(weights, tmp_path, beam_size) == expected
    assert _transformers(weights, beam_size) == expected


def test_our_weights_stay_what_they_are(tmp_path: Path) -> None:
    weights = _transformer({})
    before = {name: weight.clone() for name, weight in weights.named_parameters()}
    write_ctranslate2_model(weights, tmp_path, "int8")
    to_transformers(weights)
    for name, weight in weights.named_parameters():
        assert torch.equal(weight, before[name]), name


@pytest.mark.parametrize(
    "changes",
    [
        {"final_norm": True},
        {"norm_order": "pre"},
        {"embedding_norm": True},
        {"decoder_kind": "ssru"},
    ],
)
def test_what_transformers_cannot_express(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="transformers"):
        to_transformers(_transformer(changes))


def test_what_ctranslate2_cannot_express(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="CTranslate2 has no decoders without self-attention"):
        write_ctranslate2_model(tiny_transformer(decoder_kind="ssru"), tmp_path, "float32")
    with pytest.raises(BenchError, match="CTranslate2 has no post-norm models with a final"):
        write_ctranslate2_model(_transformer({"final_norm": True}), tmp_path, "float32")
