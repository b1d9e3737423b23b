"""Vocabularies cut to some languages: which pieces stay, and what that does to texts."""

from __future__ import annotations

import pytest

from model.checkpoints.importers.vocabulary_trim import compare_tokens, needed_pieces
from model.errors import CheckpointError
from model.text.tokenizer import Tokenizer, keep_ids
from tests.unit.model.text.listed import SPECIAL, listed_config, listed_files

_NAMES = [
    "<s>", "</s>", "▁the", "ße", "▁Москва", "東京", "ひらがな", "한국", "αβ", "،", "12", "…", "🐕",
    "<0x0A>", "e\u0301", "한a", "ß東", "▁", "％", "\u0915\u094d",
]  # fmt: skip


@pytest.mark.parametrize(
    ("languages", "kept"),
    [
        ("de", "<s> </s> ▁the ße ، 12 … 🐕 <0x0A> é ▁ ％"),
        ("ru", "<s> </s> ▁the ▁Москва ، 12 … 🐕 <0x0A> é ▁ ％"),
        ("ja en", "<s> </s> ▁the ße 東京 ひらがな ، 12 … 🐕 <0x0A> é ß東 ▁ ％"),
        ("kor_Hang", "<s> </s> ▁the 東京 한국 ، 12 … 🐕 <0x0A> é 한a ▁ ％"),
        ("hi", "<s> </s> ▁the ، 12 … 🐕 <0x0A> é ▁ ％ \u0915\u094d"),
    ],
)
def test_pieces_of_other_scripts_go(languages: str, kept: str) -> None:
    found = [_NAMES[token] for token in needed_pieces(_NAMES, languages.split())]
    assert [name.replace("e\u0301", "é") for name in found] == kept.split()


def test_what_is_needed_anyway_stays() -> None:
    assert 8 in needed_pieces(_NAMES, ["de"], always={8})


def test_the_script_must_be_known() -> None:
    with pytest.raises(CheckpointError, match="the script of 'xx' must be known"):
        needed_pieces(_NAMES, ["xx"])


def test_lost_tokens_are_counted() -> None:
    files = listed_files()
    before = Tokenizer.from_files(files, listed_config(), SPECIAL)
    ids = [token for token in range(before.vocab_size) if token not in before.tokenize("dog")[:1]]
    shorter = keep_ids(files["vocabulary.json"], ids)
    after = Tokenizer.from_files(files | {"vocabulary.json": shorter}, listed_config(), SPECIAL)

    report = compare_tokens(before, after, ["the car", "dog", "日本"])

    assert (report.num_texts, report.num_unchanged, report.num_lost) == (3, 2, 1)
    assert report.size == report.size_before - 1
    assert str(report).endswith("2 of 3 given lines are the same pieces as before, and 1 of their "
                                f"{report.num_tokens} tokens are lost.")  # fmt: skip
