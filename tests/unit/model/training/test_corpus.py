"""From text to ids: nothing lost, nothing doubled."""

from dataclasses import replace

import numpy as np
import pytest

from model.errors import RecipeError
from model.text.vocabulary import PLACEHOLDERS
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


def test_what_both_sides_keep_becomes_placeholders_where_the_recipe_says_so() -> None:
    tokenizer = tiny_tokenizer()
    pairs = [("the {x} house", "das {x} Haus"), ("the {x} house", "das Haus")] * 50
    corpus = CorpusRecipe(path="a.tsv")
    plain = tokenize(recipe(corpus), [pairs], tokenizer)
    assert list(plain.src.lengths[::2]) == list(plain.src.lengths[1::2])
    text = tokenize(replace(recipe(corpus), placeholders=True), [pairs], tokenizer)
    assert len(text) == len(pairs)
    expected = [
        ([*tokenizer.tokenize(f"the {mark} house"), tokenizer.eos_id],
         [*tokenizer.tokenize(f"das {mark} Haus"), tokenizer.eos_id])
        for mark in PLACEHOLDERS
    ]  # fmt: skip
    used = []
    for row in range(0, len(pairs), 2):
        sides = [
            [token for token in side.padded(np.array([row]), pad_id=0)[0].tolist() if token]
            for side in (text.src, text.tgt)
        ]
        used.append(expected.index((sides[0], sides[1])))
        unlike = text.src.padded(np.array([row + 1]), pad_id=0)[0]
        assert list(unlike) == [*tokenizer.tokenize("the {x} house"), tokenizer.eos_id]
    assert used.count(0) > 15
    assert max(used) > 5


def test_a_vocabulary_has_no_pieces_of_placeholders() -> None:
    pairs = [(f"word{i} {PLACEHOLDERS[0]}", f"Wort{i} {PLACEHOLDERS[0]}") for i in range(300)]
    tokenizer = learn_tokenizer(recipe(CorpusRecipe(path="a.tsv"), vocab_size=278), [pairs])
    with_one, without = (tokenizer.tokenize(text) for text in (f"word1 {PLACEHOLDERS[0]}", "word1"))
    assert with_one[: len(without)] == without
    # A space, and the id that every vocabulary with bytes has for it.
    assert len(with_one) == len(without) + 2
    assert with_one[-1] in tokenizer.fallback_ids


def test_a_tokenizer_is_learned_from_both_sides() -> None:
    pairs = [(f"word{i} apple", f"Wort{i} Äpfel") for i in range(300)]
    corpus = CorpusRecipe(path="a.tsv")
    tokenizer = learn_tokenizer(recipe(corpus), [pairs])
    assert tokenizer.vocab_size == 285
    for text in ("apple", "Äpfel", "日本"):
        assert tokenizer.detokenize(tokenizer.tokenize(text)) == text
    with pytest.raises(RecipeError, match="tokenizer could not be trained"):
        learn_tokenizer(recipe(corpus, vocab_size=90_000), [pairs])
