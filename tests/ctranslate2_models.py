"""Models in the form of CTranslate2: real ones, and random ones that its own converters write."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ctranslate2  # type: ignore[import-untyped]
import torch
from ctranslate2.converters.transformers import (  # type: ignore[import-untyped]
    M2M100Loader,
    MarianMTLoader,
)

from model.checkpoints.checkpoint import Checkpoint
from model.config import LengthNormalization
from model.decoding.reference import generate
from model.decoding.sequence_options import SequenceOptions
from model.text.languages import Pair
from tests.huggingface_models import MODELS, SavedModel

__all__ = ["WORDS", "Difference", "convert", "difference", "sources_of"]

WORDS = (
    "آتزمون", "محمد", "واشنطن", "القاهرة", "برلين", "ميكائيل", "عبدالله", "فاطمة", "يوسف", "لندن",
    "ستيفن", "جورج",
)  # fmt: skip
"""Names in Arabic, for the real models."""

_MOST_TOKENS = 16


def convert(kind: str, folder: Path, quantization: str | None = None) -> Path:
    """A random model of transformers (`MODELS`), converted by CTranslate2.

    Args:
        folder: an empty one, for both.
        quantization: of the weights, as CTranslate2 calls it; None: float32.

    Returns:
        The folder of CTranslate2's form, with its SentencePiece models.
    """
    saved = SavedModel.make(MODELS[kind], folder / "saved")
    to = folder / "converted"
    to.mkdir()
    names = list(json.loads((saved.folder / "vocab.json").read_text()))
    if MODELS[kind].family == "marian":
        with torch.no_grad():
            saved.model.final_logits_bias[0, saved.end_id] += 1.5
        spec = MarianMTLoader().get_model_spec(saved.model)
        names.remove("<pad>")
        spec.config.decoder_start_token = "</s>"
        pieces = ["source.spm", "target.spm"]
    else:
        spec = M2M100Loader().get_model_spec(saved.model)
        size = saved.model.config.vocab_size
        names += [f"__{code}__" for code in ("en", "de", "fr")]
        names += [f"madeupword{place}" for place in range(size - len(names))]
        spec.config.decoder_start_token = "</s>"
        pieces = ["sentencepiece.bpe.model"]
    spec.register_source_vocabulary(names)
    spec.register_target_vocabulary(names)
    spec.validate()
    spec.optimize(quantization=quantization)
    spec.save(str(to))
    for name in pieces:
        (to / name).write_bytes((saved.folder / name).read_bytes())
    return to


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How a model of ours answers, beside CTranslate2."""

    hypotheses: int
    same: int
    """Those with the same tokens in the same place."""
    score: float
    """The largest difference of the scores of those."""


def difference(
    folder: Path,
    ours: Checkpoint,
    sources: Sequence[Sequence[int]],
    prefix: Sequence[int],
    *,
    beam_size: int,
    added_end: bool,
) -> Difference:
    """Compares the best `beam_size` hypotheses, CTranslate2 computing in float32.

    A search that is cut off prefers what has ended by itself, theirs does not: what has hypotheses
    of both kinds is left out.

    Args:
        folder: of its model.
        sources: ids of ours.
        prefix: of the target; ids of ours.
        added_end: whether CTranslate2 adds the end token to a source.
    """
    names = {side: vocabulary_names(ours, side) for side in ("source", "target")}
    generation = replace(
        ours.generation,
        limit_repeats=False,  # which CTranslate2 does not do
        beam_size=beam_size,
        num_hypotheses=beam_size,
        length_penalty=1.0,
        length_normalization=LengthNormalization.MEAN,
        max_new_tokens=_MOST_TOKENS,
    )
    options = [SequenceOptions(target_prefix=tuple(prefix))] * len(sources)
    found = generate(ours.model, sources, generation, options)
    translator = ctranslate2.Translator(str(folder), compute_type="float32", intra_threads=1)
    cut = [source[: len(source) - added_end] for source in sources]
    theirs = translator.translate_batch(
        [[names["source"][token] for token in source] for source in cut],
        target_prefix=[[names["target"][token] for token in prefix]] * len(cut) if prefix else None,
        beam_size=beam_size,
        num_hypotheses=beam_size,
        length_penalty=generation.length_penalty,
        max_decoding_length=_MOST_TOKENS,
        min_decoding_length=0,
        return_scores=True,
    )
    same, worst, count = 0, 0.0, 0
    for mine, other in zip(found, theirs, strict=True):
        if len({each.finish_reason for each in mine}) > 1:
            continue
        for each, tokens, score in zip(mine, other.hypotheses, other.scores, strict=True):
            count += 1
            if [names["target"][token] for token in each.token_ids] == tokens[len(prefix) :]:
                same += 1
                worst = max(worst, abs(each.score - score))
    return Difference(hypotheses=count, same=same, score=worst)


def vocabulary_names(model: Checkpoint, side: str) -> list[str]:
    """The names of one side's tokens."""
    files = model.tokenizer.files
    name = "vocabulary.json" if "vocabulary.json" in files else f"{side}_vocabulary.json"
    names: list[str] = json.loads(files[name])
    return names


def sources_of(model: Checkpoint, texts: Sequence[str], pair: Pair) -> list[tuple[int, ...]]:
    """Ids of texts."""
    return [model.tokenizer.encode_source(text, pair) for text in texts]
