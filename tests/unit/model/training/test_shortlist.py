"""Shortlists that are learnt from parallel text."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from model.checkpoints.checkpoint import check_checkpoint
from model.checkpoints.shortlist import read_shortlist
from model.config import EngineConfig
from model.training.shortlist import add_shortlist, learn_shortlist
from model.translator import Translator
from tests.tiny_model import build_tiny_model

EOS = 2


def test_a_word_lists_what_it_becomes() -> None:
    """Source word s is target word s + 100, among others in another order."""
    generator = random.Random(0)
    pairs = []
    for _ in range(300):
        words = generator.sample(range(10, 40), 5)
        target = [word + 100 for word in words]
        generator.shuffle(target)
        pairs.append(([*words, EOS], [*target, EOS]))
    shortlist = learn_shortlist(pairs, src_vocab_size=50, first=3, best=2)
    assert shortlist.first == 3
    assert len(shortlist.offsets) == 51
    for word in range(10, 40):
        listed = shortlist.ids[shortlist.offsets[word] : shortlist.offsets[word + 1]]
        assert word + 100 in listed
        assert len(listed) <= 2
        assert (np.diff(listed) > 0).all()
    assert shortlist.offsets[10] - shortlist.offsets[3] == 0


@pytest.mark.parametrize("backend", ["native", "eager"])
def test_a_model_with_a_shortlist_says_nothing_else(tmp_path: Path, backend: str) -> None:
    whole = build_tiny_model(tmp_path / "whole")
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("the red house\tthe green house\nthe river\tthe street\n" * 5)
    add_shortlist(whole, [pairs], tmp_path / "part", first=4, best=2)
    manifest, tokenizer = check_checkpoint(tmp_path / "part")
    assert manifest.metadata.shortlist
    text = "the red river"
    source = (*tokenizer.tokenize(text), EOS)
    listed = read_shortlist(tmp_path / "part", manifest.config).candidates(source, manifest.config)
    assert listed is not None
    assert len(listed) < 40
    config = EngineConfig(device="cpu", backend=backend, dtype="float32")
    with Translator.load(tmp_path / "part", config) as translator:
        [restricted] = translator.translate([text])
    assert set(tokenizer.tokenize(restricted.text)) <= {*listed.tolist()}
    with Translator.load(whole, config) as translator:
        [free] = translator.translate([text])
    # Probabilities are of fewer tokens.
    assert restricted.hypotheses[0].score > free.hypotheses[0].score
    off = EngineConfig(device="cpu", backend=backend, dtype="float32", shortlist=False)
    with Translator.load(tmp_path / "part", off) as translator:
        assert translator.translate([text])[0].hypotheses == free.hypotheses
