"""Pairs of which a model has written one side.

Back-translation (Sennrich et al., 2016) gives true targets a source: the decoder learns from what
people wrote. Distillation (Kim and Rush, 2016) gives true sources the target of a larger model,
which is easier to learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from model.config import GenerationConfig
from model.errors import CheckpointError, RecipeError
from model.training.variations import Pair

__all__ = ["back_translated", "distilled"]


def back_translated(pairs: Sequence[Pair], model: Path) -> list[Pair]:
    """The sources replaced by what `model`, which translates the other way, makes of the targets.

    Greedily: many sources of one kind of error teach less than the time for a beam is worth.
    """
    sources = _translations([target for _, target in pairs], model, GenerationConfig(beam_size=1))
    return [(source, target) for source, (_, target) in zip(sources, pairs, strict=True) if source]


def distilled(pairs: Sequence[Pair], model: Path) -> list[Pair]:
    """The targets replaced by what `model` makes of the sources, with its own search."""
    targets = _translations([source for source, _ in pairs], model, None)
    return [(source, target) for target, (source, _) in zip(targets, pairs, strict=True) if target]


def _translations(
    texts: Sequence[str], model: Path, generation: GenerationConfig | None
) -> list[str]:
    # Brings what cuts text into sentences, which a machine that only trains need not have.
    from model.translator import Translator

    try:
        translator = Translator.load(model)
    except CheckpointError as error:
        raise RecipeError(
            f"`back_translate` and `distil` must name model directories: {error}"
        ) from error
    with translator:
        found = translator.translate_stream(texts, generation=generation)
        return [" ".join(translation.text.split()) for translation in found]
