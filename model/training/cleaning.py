"""Pairs that teach the wrong thing are left out: other languages, and what is no translation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from model.checkpoints.checkpoint import load_checkpoint
from model.errors import CheckpointError, RecipeError
from model.network.transformer import Transformer
from model.text.protection import Protection
from model.text.tokenizer import Tokenizer
from model.training.corpus import Rows, encode
from model.training.placeholders import with_placeholders
from model.training.precision import compute_dtype
from model.training.variations import Pair

__all__ = ["in_their_languages", "log_likelihoods", "without_least_likely"]

_SHORTEST_WITH_A_LANGUAGE = 20
"""Characters; a shorter text may be of several languages."""
_TOKENS_AT_ONCE = 8192
_ROWS_AT_ONCE = 512


def in_their_languages(pairs: Sequence[Pair], source: str, target: str) -> list[Pair]:
    """Pairs of which no side looks more like the other's language than like its own.

    Raises:
        RecipeError: the identifier is not installed, or does not know a language.
    """
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as error:
        raise RecipeError(
            "`check_languages` must have py3langid, which is not installed: "
            "pip install 'polyhead[train]'"
        ) from error
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    try:
        identifier.set_languages([source, target])
    except ValueError as error:
        raise RecipeError(f"`check_languages` must know the languages, but: {error}") from error

    def fits(text: str, language: str) -> bool:
        short = len(text) < _SHORTEST_WITH_A_LANGUAGE
        return short or str(identifier.classify(text)[0]) == language

    return [pair for pair in pairs if fits(pair[0], source) and fits(pair[1], target)]


def without_least_likely(
    pairs: Sequence[Pair], share: float, model: Path, device: torch.device
) -> list[Pair]:
    """Leaves out the `share` of the pairs whose target `model` finds least likely, a token.

    Raises:
        RecipeError: there is no such model.
    """
    try:
        checkpoint = load_checkpoint(model)
    except CheckpointError as error:
        raise RecipeError(f"`scorer` must name a model directory: {error}") from error
    read = pairs
    if checkpoint.metadata.placeholders:
        protection = Protection(checkpoint.tokenizer)
        read = [with_placeholders(protection, *pair) for pair in pairs]
    # What is unlikely is so in bfloat16 too, which is found in less than half the time.
    dtype = compute_dtype("auto", device)
    scores = log_likelihoods(checkpoint.model.to(device), checkpoint.tokenizer, read, dtype)
    kept = np.argsort(scores, kind="stable")[int(share * len(pairs)) :]
    return [pairs[index] for index in np.sort(kept)]


@torch.inference_mode()
def log_likelihoods(
    model: Transformer,
    tokenizer: Tokenizer,
    pairs: Sequence[Pair],
    dtype: torch.dtype = torch.float32,
) -> npt.NDArray[np.float64]:
    """The mean log-probability of each target's tokens, given its source: (pairs,).

    Pairs of more tokens than the model has positions are not possible at all: minus infinity.
    """
    model.eval()
    device = model.projection.weight.device.type
    src = encode(tokenizer, [source for source, _ in pairs])
    tgt = encode(tokenizer, [target for _, target in pairs])
    longest = np.maximum(src.lengths, tgt.lengths)
    scores = np.full(len(pairs), -np.inf)
    order = np.argsort(longest, kind="stable")
    order = order[longest[order] <= model.config.max_positions]
    while len(order):
        # Of the longest that are left, so many as fit.
        count = max(1, _TOKENS_AT_ONCE // int(longest[order[-1]]))
        order, rows = order[:-count], order[-count:]
        with torch.autocast(device, dtype, enabled=dtype != torch.float32):
            scores[rows] = _of_rows(model, tokenizer, src, tgt, rows)
    return scores


def _of_rows(
    model: Transformer, tokenizer: Tokenizer, src: Rows, tgt: Rows, rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    device = model.projection.weight.device
    targets = torch.from_numpy(tgt.padded(rows, tokenizer.pad_id)).to(device)
    inputs = torch.full_like(targets, tokenizer.bos_id)
    inputs[:, 1:] = targets[:, :-1]
    src_tokens = torch.from_numpy(src.padded(rows, tokenizer.pad_id)).to(device)
    src_lengths = torch.from_numpy(src.lengths[rows]).to(device)
    hidden = model.decode_hidden(inputs, model.encode(src_tokens, src_lengths), src_lengths)
    wanted = targets != tokenizer.pad_id
    log_probs = torch.zeros(targets.shape, device=device)
    # In chunks, for whole batches of logits do not fit any cache, nor where memory is kept ready.
    log_probs[wanted] = torch.cat(
        [
            torch.log_softmax(model.project(each).float(), dim=-1).gather(1, tokens[:, None])[:, 0]
            for each, tokens in zip(
                torch.split(hidden[wanted], _ROWS_AT_ONCE),
                torch.split(targets[wanted], _ROWS_AT_ONCE),
                strict=True,
            )
        ]
    )
    means = log_probs.sum(dim=1) / wanted.sum(dim=1)
    return means.double().cpu().numpy()
