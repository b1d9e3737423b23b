"""From files to batches: nothing lost, nothing doubled, and repeatable."""

import gzip
import lzma
from pathlib import Path

import numpy as np
import pytest

from model.errors import RecipeError
from model.training.data import (
    Batch,
    TokenizedCorpus,
    batches_of_epoch,
    learn_tokenizer,
    read_pairs,
    tokenize,
)
from model.training.recipe import CorpusRecipe, DataRecipe, TokenizerRecipe
from tests.tiny_model import tiny_tokenizer


def corpus_of(num_pairs: int, first: int = 10, **recipe: object) -> TokenizedCorpus:
    """Pair i is [first + i] * (1 + i % 7) on both sides, then the end token."""
    rows = [[first + i] * (1 + i % 7) + [2] for i in range(num_pairs)]
    flat = np.array([t for row in rows for t in row], dtype=np.int32)
    offsets = np.cumsum([0, *map(len, rows)])
    return TokenizedCorpus(
        recipe=CorpusRecipe(path="made up", **recipe),  # type: ignore[arg-type]
        src_flat=flat, src_offsets=offsets, tgt_flat=flat, tgt_offsets=offsets,
    )  # fmt: skip


def epoch(corpora: list[TokenizedCorpus], number: int = 0, **changes: int) -> list[Batch]:
    settings = {"seed": 1, "batch_tokens": 32, "pad_id": 0, "bos_id": 1} | changes
    return list(batches_of_epoch(corpora, epoch=number, **settings))  # type: ignore[arg-type]


def pairs_in(batches: list[Batch]) -> list[int]:
    """Which pairs, by their first token."""
    return sorted(int(token) for batch in batches for token in batch.src_tokens[:, 0])


@pytest.mark.parametrize(("suffix", "opener"), [("", open), (".xz", lzma.open), (".gz", gzip.open)])
def test_files_are_read_packed_or_not(tmp_path: Path, suffix: str, opener) -> None:
    path = tmp_path / f"a.tsv{suffix}"
    with opener(path, "wb") as file:
        file.write("one\teins\nzwei\u2028 lines\tein\r\n".encode())
    assert list(read_pairs(path)) == [("one", "eins"), ("zwei\u2028 lines", "ein")]


def test_only_line_feeds_end_lines_and_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes("\ufeffone\x0c1\teins\x85\n\x1ctwo\t\u2029zwei\n".encode())
    assert list(read_pairs(tmp_path / "a.tsv")) == [
        ("one\x0c1", "eins\x85"),
        ("\x1ctwo", "\u2029zwei"),
    ]


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    for suffix, opener in ((".gz", gzip), (".xz", lzma)):
        whole = bytearray(opener.compress(b"".join(b"%d\t%d\n" % (i, i) for i in range(999))))
        middle = len(whole) // 2
        for name, content in (
            ("cut", whole[:middle]),
            ("garbled", whole[:20] + bytes(range(64)) + whole[84:]),
        ):
            path = tmp_path / f"{name}.tsv{suffix}"
            path.write_bytes(content)
            with pytest.raises(RecipeError, match="cannot read"):
                list(read_pairs(path))


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("one\teins\nno tab\n")
    with pytest.raises(RecipeError, match="line 2 must be source<TAB>target, but has 0 tabs"):
        list(read_pairs(path))
    with pytest.raises(RecipeError, match="cannot read"):
        list(read_pairs(tmp_path / "none.tsv"))
    (tmp_path / "b.tsv.xz").write_bytes(b"no xz")
    with pytest.raises(RecipeError, match="cannot read"):
        list(read_pairs(tmp_path / "b.tsv.xz"))


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


def test_unfit_pairs_are_left_out(tmp_path: Path) -> None:
    long = "the red house " * 40
    (tmp_path / "a.tsv").write_text(
        f"the house\tthe street\n \tthe street\nthe house\t{long}\n{long}\t{long}\nthe\tone\n"
    )
    data = DataRecipe(train=(CorpusRecipe(path="a.tsv"),), valid=("a.tsv",), max_tokens=30)
    tokenizer = tiny_tokenizer()
    corpus = tokenize(data.train[0], data, tmp_path, tokenizer)
    assert len(corpus) == 2
    assert list(corpus.src_flat[: corpus.src_offsets[1]]) == [
        *tokenizer.tokenize("the house"), 2,
    ]  # fmt: skip


def test_a_tokenizer_is_learned_from_both_sides(tmp_path: Path) -> None:
    lines = [f"word{i} apple\tWort{i} Äpfel\n" for i in range(300)]
    (tmp_path / "a.tsv").write_text("".join(lines))
    data = DataRecipe(train=(CorpusRecipe(path="a.tsv"),), valid=("a.tsv",))
    tokenizer = learn_tokenizer(TokenizerRecipe(vocab_size=285), data, tmp_path, seed=1)
    assert tokenizer.vocab_size == 285
    for text in ("apple", "Äpfel", "日本"):
        assert tokenizer.detokenize(tokenizer.tokenize(text)) == text
    with pytest.raises(RecipeError, match="tokenizer could not be trained"):
        learn_tokenizer(TokenizerRecipe(vocab_size=90_000), data, tmp_path, seed=1)
