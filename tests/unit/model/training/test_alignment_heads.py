"""Which heads align, chosen by agreement, and how wrong alignments are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from model.checkpoints.checkpoint import check_checkpoint
from model.text.word_links import WordLink
from model.training.alignment_heads import (
    AlignedPair,
    Choice,
    GoldPair,
    agreement,
    alignment_error_rate,
    choose,
    main,
    read_gold,
    record,
)
from tests.tiny_model import build_tiny_model

GOLD = Path(__file__).parents[3] / "fixtures" / "alignments" / "en-de.tsv"
WORDS = [[(0, 1)], [(2, 3)], [(4, 5)], [(6, 7)]]
ORDER = np.array([2, 0, 3, 1])


def pair(right: tuple[int, int], order: np.ndarray, *, shifted: bool) -> AlignedPair:
    """Four words each way; of all heads one says where they are from, the others by chance."""
    attention = np.random.default_rng(sum(order * 7) % 5).random((2, 2, 5, 4), np.float32)
    attention[right] = 0.0
    for target, source in enumerate(order):
        attention[(*right, target + shifted, source)] = 1.0
    return AlignedPair(attention, WORDS, WORDS)


@pytest.mark.parametrize("shifted", [False, True])
def test_the_heads_of_two_directions_that_agree_are_chosen(shifted: bool) -> None:
    orders = [ORDER, ORDER[::-1], np.array([0, 1, 3, 2])]
    forward = [pair((1, 0), order, shifted=False) for order in orders]
    backward = [pair((0, 1), order.argsort(), shifted=shifted) for order in orders]
    one, other, f1 = choose(forward, backward)
    assert one == Choice(((1, 0),), shifted=False)
    assert other == Choice(((0, 1),), shifted=shifted)
    assert f1 == 1.0


def test_agreement_turns_the_other_direction_around() -> None:
    ours = [{WordLink((0, 1), (2, 3)), WordLink((2, 3), (0, 1))}, set()]
    theirs = [{WordLink((2, 3), (0, 1))}, {WordLink((0, 1), (0, 1))}]
    assert agreement(ours, theirs) == pytest.approx(2 * 1 / (2 + 2))


def test_possible_links_are_neither_asked_for_nor_wrong() -> None:
    sure, possible, wrong = (WordLink((0, 1), (place, place + 1)) for place in range(3))
    gold = [GoldPair("a", "x y z", {sure}, {sure, possible})]
    assert alignment_error_rate([{sure}], gold) == 0.0
    assert alignment_error_rate([{sure, possible}], gold) == 0.0
    assert alignment_error_rate([{sure, wrong}], gold) == pytest.approx(1 - 2 / 3)
    assert alignment_error_rate([set()], gold) == 1.0


def test_all_pairs_aligned_by_hand_can_be_read() -> None:
    pairs = read_gold(GOLD)
    assert len(pairs) == 100
    first = pairs[0]
    assert first.source == "The old man reads a newspaper every morning."
    assert {
        (first.source[slice(*link.source)], first.target[slice(*link.target)])
        for link in first.sure
    } >= {("old", "alte"), ("morning", "Morgen"), (".", ".")}
    assert all(5 <= len(each.source.split()) <= 20 for each in pairs)
    turned = read_gold(GOLD, reverse=True)
    assert turned[0].source == first.target
    assert {link[::-1] for link in turned[0].sure} == set(first.sure)


def test_heads_are_recorded_and_the_directory_stays_whole(tmp_path: Path) -> None:
    directory = build_tiny_model(tmp_path / "tiny")
    record(directory, Choice(((0, 1), (1, 3)), shifted=True))
    manifest, _ = check_checkpoint(directory)
    assert manifest.config.alignment_heads == ((0, 1), (1, 3))
    assert manifest.config.alignment_shifted is True
    text = (directory / "config.json").read_text(encoding="utf-8")
    assert json.loads(text)["model"]["alignment_heads"] == [[0, 1], [1, 3]]


def test_pairs_that_are_all_too_long_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("word " * 200 + "\t" + "Wort " * 200 + "\n", encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["alignment_heads", "en-de", "de-en", str(pairs)])
    with pytest.raises(SystemExit):
        main()
    assert "must have at most 100 tokens in both models, but none has" in capsys.readouterr().err
