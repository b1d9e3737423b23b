"""From text to ids: nothing lost, nothing doubled."""

import numpy as np
import pytest

from model.errors import RecipeError
from model.training.corpus import Rows, learn_tokenizer, tokenize
from model.training.recipe import CorpusRecipe, DataRecipe, Recipe, TokenizerRecipe
from tests.tiny_model import tiny_tokenizer


def recipe(*corpora: CorpusRecipe, vocab_size: int = 285, max_tokens: int = 30) -> Recipe:
    return Recipe(
        name="tiny", license="none", source_language="en", target_language="de",
        data=DataRecipe(train=corpora, valid=("a.tsv",), max_tokens=max_tokens),
        tokenizer=TokenizerRecipe(vocab_size=vocab_size),
    )  # fmt: skip


def test_rows_are_padded_in_any_order() -> None:
    rows = Rows.joined([Rows.of([[1, 2, 3], [4]]), Rows.of([]), Rows.of([[5, 6]])])
    np.testing.assert_array_equal(rows.lengths, [3, 1, 2])
    np.testing.assert_array_equal(
        rows.padded(np.array([2, 0, 1, 1]), pad_id=9),
        [[5, 6, 9], [1, 2, 3], [4, 9, 9], [4, 9, 9]],
    )


def test_unfit_pairs_are_left_out_and_corpora_kept_apart() -> None:
    long = "the red house " * 40
    first = [
        ("the house", "the street"), (" ", "the street"), ("the house", long), (long, long),
        ("the", "one"),
    ]  # fmt: skip
    tokenizer = tiny_tokenizer()
    corpora = CorpusRecipe(path="a.tsv"), CorpusRecipe(path="b.tsv")
    text = tokenize(recipe(*corpora), iter([first, [("the street", "one")]]), tokenizer)
    assert text.parts == ((corpora[0], 0, 2), (corpora[1], 2, 3))
    expected = [("the house", "the street"), ("the", "one"), ("the street", "one")]
    assert len(text) == len(expected)
    for side, texts in zip((text.src, text.tgt), zip(*expected, strict=True), strict=True):
        for row, written in enumerate(texts):
            found = side.padded(np.array([row]), pad_id=0)[0]
            assert list(found) == [*tokenizer.tokenize(written), tokenizer.eos_id]


def test_a_tokenizer_is_learned_from_both_sides() -> None:
    pairs = [(f"word{i} apple", f"Wort{i} Äpfel") for i in range(300)]
    corpus = CorpusRecipe(path="a.tsv")
    tokenizer = learn_tokenizer(recipe(corpus), [pairs])
    assert tokenizer.vocab_size == 285
    for text in ("apple", "Äpfel", "日本"):
        assert tokenizer.detokenize(tokenizer.tokenize(text)) == text
    with pytest.raises(RecipeError, match="tokenizer could not be trained"):
        learn_tokenizer(recipe(corpus, vocab_size=90_000), [pairs])
