"""The compiled engine against Marian itself, on the models of tests/fixtures/marian."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from model.checkpoints.checkpoint import check_checkpoint, stored_weights
from model.checkpoints.importers.registry import import_model
from model.engine.native.binding import NativeModel
from model.text.languages import Pair
from tests.equivalence.native_calls import translate
from tests.fixtures.marian import FIXTURES, VARIANTS, outputs

_DECODED = [name for name in VARIANTS if "greedy" in outputs(name)]
_AS_PRINTED = 3e-5
"""Marian prints five digits of numbers that it computes in float32."""


@pytest.mark.parametrize("variant", _DECODED)
def test_tokens_and_scores_are_marians(variant: str, tmp_path: Path) -> None:
    import_model(
        FIXTURES / variant, tmp_path / "model", source_languages=["en"], target_languages=["pt"]
    )
    manifest, tokenizer = check_checkpoint(tmp_path / "model")
    weights = NativeModel(stored_weights(tmp_path / "model", manifest.config), "float32")
    answers = outputs(variant)
    for name, beam_size in (("greedy", 1), ("beam", 4)):
        sources = [
            list(tokenizer.encode_source(each["source"], Pair("en", "pt")))
            for each in answers[name]
        ]
        # Without what Marian does not do.
        generation = replace(
            manifest.generation,
            beam_size=beam_size,
            num_hypotheses=beam_size,
            limit_repeats=False,
        )
        found = translate(weights, sources, generation)
        for ours, each in zip(found, answers[name], strict=True):
            theirs = each["hypotheses"]
            assert [h.token_ids for h in ours] == [
                tuple(map(tokenizer.target.find, hypothesis["pieces"])) for hypothesis in theirs
            ]
            assert [h.score for h in ours] == pytest.approx(
                [hypothesis["score"] for hypothesis in theirs], abs=_AS_PRINTED
            )
