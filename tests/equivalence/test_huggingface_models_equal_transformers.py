"""Imported models of the Hugging Face Hub against transformers, on random models that it saves.

By hand, with more sentences: POLYHEAD_SENTENCES=200 pytest tests/equivalence/test_huggingface...
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import pytest
import torch

from model.checkpoints.checkpoint import (
    Checkpoint,
    load_checkpoint,
)
from model.checkpoints.importers.registry import import_model
from model.config import GenerationConfig
from model.decoding.reference import generate, pad_sources
from model.decoding.search import Hypothesis
from model.decoding.sequence_options import SequenceOptions
from model.engine.native.binding import NativeModel
from model.network.attention import padding_mask
from model.text.languages import Pair
from tests.equivalence.native_calls import translate
from tests.huggingface_models import MODELS, SavedModel, english

NUM_SENTENCES = int(os.environ.get("POLYHEAD_SENTENCES", "24"))


@dataclass(frozen=True)
class Both:
    """A model there and here."""

    theirs: SavedModel
    ours: Checkpoint
    pair: Pair

    @property
    def sources(self) -> list[tuple[int, ...]]:
        texts = english(NUM_SENTENCES)
        return [self.ours.tokenizer.encode_source(text, self.pair) for text in texts]

    @property
    def prefix(self) -> tuple[int, ...]:
        return self.ours.tokenizer.target_prefix(self.pair)

    @property
    def options(self) -> list[SequenceOptions]:
        return [SequenceOptions(target_prefix=self.prefix)] * NUM_SENTENCES


@pytest.fixture(scope="module", autouse=True)
def offline() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="module", params=MODELS)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    folder = tmp_path_factory.mktemp("models")
    saved = SavedModel.make(MODELS[request.param], folder / "theirs")
    import_model(saved.folder, folder / "ours")
    ours = load_checkpoint(folder / "ours")
    languages = ours.metadata
    source = next(code for code in languages.source_languages if code.startswith("en"))
    target = next(code for code in languages.target_languages if code.startswith("de"))
    return Both(saved, ours, Pair(source, target))


def _padded(both: Both) -> tuple[torch.Tensor, torch.Tensor]:
    rows, lengths = pad_sources(both.sources, both.theirs.pad_id)
    if rows.max() >= both.theirs.model.config.vocab_size:  # a pad of the target alone
        rows = rows.masked_fill(~padding_mask(lengths, rows.size(1))[:, 0, 0], 0)
    return rows, padding_mask(lengths, rows.size(1))[:, 0, 0].long()


@torch.inference_mode()
def test_logits(both: Both) -> None:
    rows, mask = _padded(both)
    targets = torch.randint(4, both.ours.config.tgt_vocab_size - 1, (NUM_SENTENCES, 12))
    targets[:, 0] = both.ours.config.bos_id
    theirs = both.theirs.model(input_ids=rows, attention_mask=mask, decoder_input_ids=targets)
    encoded = both.ours.model.encode(rows, mask.sum(1))
    ours = both.ours.model.decode(targets, encoded, mask.sum(1))
    banned = ours < -1e8
    assert banned.sum() == NUM_SENTENCES * 12 * both.ours.config.projection_bias
    difference = (ours - theirs.logits).abs().masked_fill(banned, 0).max().item()
    print(f"largest difference of logits: {difference:.1e}")
    assert difference <= 1e-4


@torch.inference_mode()
def _generated(both: Both, beam_size: int) -> list[tuple[tuple[int, ...], float]]:
    """The best of each sentence, without what it had to begin with, and its score."""
    rows, mask = _padded(both)
    found: Any = both.theirs.model.generate(
        input_ids=rows, attention_mask=mask, num_beams=beam_size,
        forced_bos_token_id=both.prefix[0] if both.prefix else None,
        return_dict_in_generate=True, output_scores=True, output_logits=True,
        **({} if beam_size > 1 else {"length_penalty": 1.0}),
    )  # fmt: skip
    end = both.theirs.end_id
    begin = 1 + len(both.prefix)
    tokens = [
        tuple(takewhile(lambda token: token != end, row[begin:]))
        for row in found.sequences.tolist()
    ]
    if beam_size > 1:
        return list(zip(tokens, found.sequences_scores.tolist(), strict=True))
    renormalised = both.theirs.model.generation_config.renormalize_logits
    numbers = found.scores if renormalised else found.logits
    steps = torch.stack(numbers, dim=1).log_softmax(-1)
    chosen = steps.gather(2, found.sequences[:, 1:, None])[..., 0]
    chosen[:, : len(both.prefix)] = 0  # for it was given
    scores = []
    for row, ids in zip(chosen, tokens, strict=True):
        length = min(len(both.prefix) + len(ids) + 1, row.numel())
        scores.append((row[:length].sum() / length**both.ours.generation.length_penalty).item())
    return list(zip(tokens, scores, strict=True))


def _same(ours: list[tuple[Hypothesis, ...]], theirs: list[tuple[tuple[int, ...], float]]) -> None:
    for (best, *_), (tokens, score) in zip(ours, theirs, strict=True):
        assert best.token_ids == tokens
        assert best.score == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize("beam_size", [1, 4], ids=["greedy", "beam"])
def test_translations(both: Both, beam_size: int) -> None:
    """Tokens and scores, of the plain loop and of the compiled engine."""
    # Without what transformers does not do.
    generation = replace(both.ours.generation, beam_size=beam_size, limit_repeats=False)
    theirs = _generated(both, beam_size)
    assert len({tokens for tokens, _ in theirs}) >= 3
    _same(generate(both.ours.model, both.sources, generation, both.options), theirs)
    sources = [list(each) for each in both.sources]
    native = NativeModel(both.ours.model, "float32")
    _same(translate(native, sources, generation, both.options), theirs)


@torch.inference_mode()
def test_int8_predicts_the_same_tokens(both: Both) -> None:
    """After each beginning of a target, the compiled engine is asked for one more token. A random
    model is often as good as undecided, so those steps count where it is sure of its choice."""
    model, prefix = both.ours.model, both.prefix
    found = generate(model, both.sources, _greedy(12), both.options)
    beginnings = [
        (source, (*prefix, *best.token_ids[:step]))
        for source, (best,) in list(zip(both.sources, found, strict=True))[:24]
        for step in range(min(6, len(best.token_ids)))
    ]
    native = NativeModel(model, "int8")
    same, sure = [], []
    for source, target in beginnings:
        rows, lengths = torch.tensor([source]), torch.tensor([len(source)])
        tokens = torch.tensor([[both.ours.config.bos_id, *target]])
        logits = model.decode(tokens, model.encode(rows, lengths), lengths)[0, -1]
        first, second = logits.topk(2).values.tolist()
        options = [SequenceOptions(target_prefix=target)]
        ((next_one,),) = translate(native, [list(source)], _greedy(len(target) + 1), options)
        best = logits.argmax().item()
        wanted = () if best == both.ours.config.eos_id else (best,)
        same.append(next_one.token_ids == wanted)
        sure.append(first - second > 0.25 * logits[logits > -1e8].std().item())
    of_sure = [a for a, b in zip(same, sure, strict=True) if b]
    print(f"int8: {sum(same)} of {len(same)}, {sum(of_sure)} of {len(of_sure)} sure steps")
    assert sum(of_sure) >= 0.98 * len(of_sure)


def _greedy(limit: int) -> GenerationConfig:
    return GenerationConfig(beam_size=1, max_new_tokens=limit)
