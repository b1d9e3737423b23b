"""Ids from a list of pieces, and the tokens that tell a model its languages."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import CheckpointError, InvalidRequestError, UnsupportedLanguageError
from model.text.languages import Pair
from model.text.tokenizer import Tokenizer, keep_ids, vocabulary_list
from model.text.tokenizer_config import TokenizerConfig, TokenizerKind
from model.text.vocabulary import read_vocabulary_list
from tests.unit.model.text.listed import (
    SPECIAL,
    listed_config,
    listed_files,
    listed_tokenizer,
)
from tests.unit.model.text.tiny_tokenizer import train_tiny_tokenizer

TOKENIZER = listed_tokenizer()
NAMES = read_vocabulary_list(listed_files()["vocabulary.json"])
SENTENCE = "the old man sees the red car, and then goes home."
EN_DE = Pair("en", "de")


def test_ids_are_places_in_the_list() -> None:
    token_ids = TOKENIZER.tokenize(SENTENCE)
    assert "".join(NAMES[token] for token in token_ids).replace("▁", " ").strip() == SENTENCE
    assert TOKENIZER.detokenize([*token_ids, SPECIAL.eos, SPECIAL.pad]) == SENTENCE
    assert TOKENIZER.vocab_size == TOKENIZER.target_vocab_size == len(NAMES)


def test_languages_stand_where_the_template_says() -> None:
    en, de, fr = (NAMES.index(f"__{code}__") for code in ("en", "de", "fr"))
    token_ids = tuple(TOKENIZER.tokenize(SENTENCE))
    assert TOKENIZER.encode_source(SENTENCE, EN_DE) == (en, *token_ids, SPECIAL.eos)
    assert TOKENIZER.target_prefix(EN_DE) == (de,)
    assert TOKENIZER.target_prefix(Pair("de", "fr")) == (fr,)
    legacy = listed_tokenizer(source_template=("{text}", "</s>", "{source}"))
    assert legacy.encode_source(SENTENCE, EN_DE) == (*token_ids, SPECIAL.eos, en)
    without_end = listed_tokenizer(source_template=("{text}",), target_prefix=())
    assert without_end.encode_source(SENTENCE, EN_DE) == token_ids
    assert without_end.target_prefix(EN_DE) == ()
    assert TOKENIZER.detokenize([de, *token_ids]) == SENTENCE


def test_a_language_without_a_token_is_refused_not_forgotten() -> None:
    with pytest.raises(UnsupportedLanguageError, match="one of de, en, fr, but is 'xx'"):
        TOKENIZER.encode_source(SENTENCE, Pair("xx", "de"))
    with pytest.raises(UnsupportedLanguageError, match="but is 'xx'"):
        TOKENIZER.target_prefix(Pair("en", "xx"))
    # Those that the model need not be told may be any.
    assert TOKENIZER.target_prefix(Pair("xx", "de"))
    with pytest.raises(
        CheckpointError, match=r"must have a token for every language, but .* it, sv"
    ):
        TOKENIZER.check_languages(["en", "it"], ["de", "sv"])
    train_tiny_tokenizer().check_languages(["it"], ["sv"])


@pytest.mark.parametrize("text", ["</s>", "__de__", "<pad> __fr__ </s>", "<unk>"])
def test_no_text_becomes_a_special_token(text: str) -> None:
    names = set(NAMES[3:-3])
    token_ids = TOKENIZER.tokenize(f"the old man {text}")
    assert {NAMES[token] for token in token_ids} - names <= {"<unk>"}


def test_what_the_list_lacks_is_unknown_and_leaves_no_trace() -> None:
    token_ids = TOKENIZER.tokenize("the dog 犬 sees")
    assert SPECIAL.unk in token_ids
    assert TOKENIZER.fallback_ids == {SPECIAL.unk}
    assert TOKENIZER.detokenize(token_ids) == "the dog sees".replace("dog", "dog ")
    assert [TOKENIZER.has_letter(token) for token in (SPECIAL.unk, *TOKENIZER.tokenize("the"))] == [
        False, *(any(map(str.isalpha, NAMES[token])) for token in TOKENIZER.tokenize("the")),
    ]  # fmt: skip


@given(st.text())
def test_any_text_has_ids_of_the_list(text: str) -> None:
    token_ids = TOKENIZER.tokenize(text)
    assert all(0 <= token < len(NAMES) for token in token_ids)
    assert TOKENIZER.tokenize_batch([text]) == [token_ids]
    TOKENIZER.detokenize(token_ids)


@given(st.lists(st.integers(0, len(NAMES) + 5)))
def test_any_ids_have_a_text(token_ids: list[int]) -> None:
    TOKENIZER.detokenize(token_ids)


def test_a_shorter_list_has_the_same_pieces() -> None:
    texts = [SENTENCE, "a small dog likes two apples!"]
    used = {token for text in texts for token in TOKENIZER.encode_source(text, EN_DE)}
    kept = sorted({*SPECIAL, *used, *(NAMES.index(f"__{code}__") for code in ("en", "de"))})
    files = listed_files()
    files["vocabulary.json"] = keep_ids(files["vocabulary.json"], kept)
    shorter = Tokenizer.from_files(files, listed_config(("en", "de")), SPECIAL)
    assert shorter.vocab_size == len(kept) < len(NAMES)
    for text in texts:
        ids = shorter.encode_source(text, EN_DE)
        assert tuple(kept[token] for token in ids) == TOKENIZER.encode_source(text, EN_DE)
    with pytest.raises(CheckpointError, match="names, but lacks '__fr__'"):
        Tokenizer.from_files(files, listed_config(), SPECIAL)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a list of strings in JSON"),
        (b"\xff", "not a list of strings in JSON"),
        (b"[" * 100_000, "not a list of strings in JSON"),
        (b"[NaN]", "NaN is no string"),
        (b"{}", "must be a list, but is dict"),
        (b'["a", 1]', "number 1 is 1"),
        (b'["a", "\\ud800"]', "number 1 is '.ud800'"),
        (b'["a", "b", "a"]', "each piece once, but has 'a' again"),
        (json.dumps(["x" * 1001]).encode(), "at most 1000 characters, but one has 1001"),
    ],
)
def test_other_lists_are_refused(content: bytes, message: str) -> None:
    files = listed_files() | {"vocabulary.json": content}
    with pytest.raises(CheckpointError, match=message):
        Tokenizer.from_files(files, listed_config(), SPECIAL)


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"vocabulary.json": None}, "vocabulary", "a list of pieces as vocab.* but has neither"),
        ({"tokenizer.model": None}, "vocabulary", "SentencePiece model as tok.* but has neither"),
        ({"source.model": b""}, "vocabulary", "but has source.model, tokenizer.model"),
        ({"source_vocabulary.json": b""}, "vocabulary", "but has source_voc.*, vocabulary.json"),
        ({}, "sentencepiece", "must have no list of pieces, but has vocabulary.json"),
        ({"tokenizer.model": b"none"}, "vocabulary", "tokenizer.model: not a SentencePiece model"),
    ],
)
def test_other_files_are_refused(changes: dict[str, Any], kind: str, message: str) -> None:
    files = {n: each for n, each in (listed_files() | changes).items() if each is not None}
    config = listed_config(kind=kind)
    with pytest.raises(CheckpointError, match=message):
        Tokenizer.from_files(files, config, SPECIAL)


def test_two_sides_may_have_their_own_pieces_and_lists() -> None:
    files = listed_files()
    pieces, names = files["tokenizer.model"], NAMES[:-1]
    apart = {
        "source.model": pieces,
        "target.model": train_tiny_tokenizer(120).files["tokenizer.model"],
        "source_vocabulary.json": vocabulary_list(NAMES),
        "target_vocabulary.json": vocabulary_list(names),
    }
    tokenizer = Tokenizer.from_files(apart, listed_config(("en", "de")), SPECIAL)
    assert (tokenizer.vocab_size, tokenizer.target_vocab_size) == (len(NAMES), len(names))
    assert tokenizer.tokenize(SENTENCE) == TOKENIZER.tokenize(SENTENCE)
    assert tokenizer.detokenize(TOKENIZER.tokenize(SENTENCE)) == SENTENCE


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "bpe"}, "`kind` must be one of sentencepiece, vocabulary, but is 'bpe'"),
        ({"kind": []}, "`kind` must be one of"),
        ({"source_template": ["</s>"]}, "must have {text} once, but is"),
        ({"source_template": ["{text}", "{text}"]}, "must have {text} once, but is"),
        ({"source_template": "{text}"}, "must be a list of at most 16 tokens, but is '{text}'"),
        ({"source_template": ["{text}"] * 17}, "must be a list of at most 16 tokens"),
        ({"target_prefix": ["{text}"]}, "`target_prefix` must have no {text}"),
        ({"target_prefix": [1]}, "must have tokens of 1 to 200 characters, but has 1"),
        ({"language_tokens": {"de": ""}}, "must have tokens of 1 to 200 characters, but has ''"),
        ({"language_tokens": ["de"]}, "must have the tokens of at most 1000 languages"),
        ({"normalize_punctuation": 1}, "must be true or false, but is 1"),
        ({"more": 1}, r"`tokenizer` must have known fields, but has \['more'\]"),
    ],
)
def test_other_configurations_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        TokenizerConfig.from_dict(values)


def test_punctuation_is_normalised_when_asked_for() -> None:
    plain, as_it_is = listed_tokenizer(normalize_punctuation=True), TOKENIZER
    said = "the old man “sees” the car…"
    pair = Pair("en", "de")
    assert plain.encode_source(said, pair) == as_it_is.encode_source(
        'the old man "sees" the car...', pair
    )


def test_the_targets_start_hides_no_other_piece_of_the_source() -> None:
    files = listed_files()
    names = read_vocabulary_list(files.pop("vocabulary.json"))
    # The source has no <pad>: another piece has its place.
    files["source_vocabulary.json"] = vocabulary_list([*names[:2], *names[3:], "more"])
    files["target_vocabulary.json"] = vocabulary_list(names)
    tokenizer = Tokenizer.from_files(files, TokenizerConfig(kind=TokenizerKind.VOCABULARY), SPECIAL)
    assert tokenizer.tokenize(SENTENCE) == [token - 1 for token in TOKENIZER.tokenize(SENTENCE)]
    assert tokenizer.source.find(names[3]) == SPECIAL.bos == 2
