"""From ids to batches: nothing lost, nothing doubled, and repeatable."""

import numpy as np
import pytest

from model.errors import RecipeError
from model.training.batches import Batch, Epoch
from model.training.corpus import Rows, TokenizedText
from model.training.recipe import CorpusRecipe

Part = tuple[CorpusRecipe, list[list[int]]]


def corpus_of(num_pairs: int, first: int = 10, **recipe: object) -> Part:
    """Pair i is [first + i] * (1 + i % 7) on both sides, then the end token."""
    rows = [[first + i] * (1 + i % 7) + [2] for i in range(num_pairs)]
    return CorpusRecipe(path="made up", **recipe), rows  # type: ignore[arg-type]


def epoch_of(parts: list[Part], number: int = 0, batch_tokens: int = 32) -> Epoch:
    rows = [row for _, own in parts for row in own]
    ends = np.cumsum([0, *(len(own) for _, own in parts)])
    text = TokenizedText(
        src=Rows.of(rows),
        tgt=Rows.of(rows),
        parts=tuple(
            (recipe, int(ends[i]), int(ends[i + 1])) for i, (recipe, _) in enumerate(parts)
        ),
    )
    return Epoch(text, epoch=number, seed=1, batch_tokens=batch_tokens, pad_id=0, bos_id=1)


def epoch(
    parts: list[Part], number: int = 0, *, skip: int = 0, batch_tokens: int = 32
) -> list[Batch]:
    planned = list(epoch_of(parts, number, batch_tokens).batches(skip))
    batches = [each.make() for each in planned]
    for each, batch in zip(planned, batches, strict=True):
        assert each.num_target_tokens == batch.num_target_tokens
        assert each.num_source_tokens == batch.src_lengths.sum()
    return batches


def pairs_in(batches: list[Batch]) -> list[int]:
    """Which pairs, by their first token."""
    return sorted(int(token) for batch in batches for token in batch.src_tokens[:, 0])


def test_every_pair_comes_once_and_shifted() -> None:
    batches = epoch([corpus_of(50)])
    assert pairs_in(batches) == list(range(10, 60))
    for batch in batches:
        assert (batch.tgt_input[:, 0] == 1).all()
        assert (batch.tgt_input[:, 1:] == batch.tgt_output[:, :-1]).all()
        for row, length in enumerate(batch.src_lengths):
            assert batch.src_tokens[row, length - 1] == 2
            assert (batch.src_tokens[row, length:] == 0).all()
        assert batch.num_target_tokens == (batch.tgt_output != 0).sum()


def test_batches_stay_below_their_size_and_pad_little() -> None:
    batches = epoch([corpus_of(200)], batch_tokens=64)
    assert all(batch.src_tokens.size <= 64 for batch in batches)
    padding = sum((batch.src_tokens == 0).sum() for batch in batches)
    assert padding / sum(batch.src_tokens.size for batch in batches) < 0.1


def test_a_pair_longer_than_a_batch_goes_alone() -> None:
    batches = epoch([corpus_of(14)], batch_tokens=4)
    assert pairs_in(batches) == list(range(10, 24))


def test_weights_are_shares_of_the_corpus() -> None:
    half = corpus_of(100, weight=0.5)
    double = corpus_of(10, first=500, weight=2.0)
    drawn = pairs_in(epoch([half, double]))
    assert len([pair for pair in drawn if pair < 500]) == 50
    assert [pair for pair in drawn if pair >= 500] == sorted([*range(500, 510)] * 2)
    other = pairs_in(epoch([half, double], number=1))
    assert drawn != other


def test_a_corpus_can_be_for_early_epochs_only() -> None:
    early, always = corpus_of(5, until_epoch=1), corpus_of(5, first=100)
    assert len(pairs_in(epoch([early, always]))) == 10
    assert pairs_in(epoch([early, always], number=1)) == list(range(100, 105))
    with pytest.raises(RecipeError, match="epoch 1 has no pair"):
        epoch([early], number=1)


def test_an_interrupted_epoch_goes_on_where_it_stopped() -> None:
    whole = epoch([corpus_of(100, weight=0.7)])
    rest = epoch([corpus_of(100, weight=0.7)], skip=5)
    assert len(rest) == len(whole) - 5
    for expected, found in zip(whole[5:], rest, strict=True):
        np.testing.assert_array_equal(found.src_tokens, expected.src_tokens)
