"""Text to ids and back."""

import io
import unicodedata
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from model.errors import CheckpointError
from model.text.tokenizer import Tokenizer
from model.text.vocabulary import PLACEHOLDERS, written
from tests.unit.model.text.tiny_tokenizer import train_tiny_tokenizer

TOKENIZER = train_tiny_tokenizer(byte_fallback=True)
SERIALIZED = TOKENIZER.files["tokenizer.model"]
SENTENCE = "the old man sees the red car, and then goes home."


def test_special_ids_are_read_from_the_model() -> None:
    specials = (TOKENIZER.pad_id, TOKENIZER.bos_id, TOKENIZER.eos_id, TOKENIZER.unk_id)
    assert specials == (0, 1, 2, 3)
    assert TOKENIZER.vocab_size > 256


def test_a_sentence_comes_back_and_has_no_special_id() -> None:
    token_ids = TOKENIZER.tokenize(SENTENCE)
    assert min(token_ids) > TOKENIZER.unk_id
    assert len(token_ids) < len(SENTENCE)
    assert TOKENIZER.detokenize(token_ids) == SENTENCE


def test_special_ids_leave_no_trace() -> None:
    token_ids = TOKENIZER.tokenize(SENTENCE)
    framed = [TOKENIZER.bos_id, *token_ids, TOKENIZER.eos_id, TOKENIZER.pad_id, TOKENIZER.pad_id]
    assert TOKENIZER.detokenize(framed) == SENTENCE


@pytest.mark.parametrize("num_threads", [1, 2])
def test_many_at_once_are_the_same_as_each_alone(num_threads: int) -> None:
    texts = [SENTENCE, "", "Der Hund sucht die Straße!", "two apples"]
    alone = [TOKENIZER.tokenize(text) for text in texts]
    assert TOKENIZER.tokenize_batch(texts, num_threads=num_threads) == alone
    assert TOKENIZER.tokenize_batch([]) == []


def test_nothing_is_nothing() -> None:
    assert TOKENIZER.tokenize("") == []
    assert TOKENIZER.detokenize([]) == ""


def test_composed_and_decomposed_letters_are_the_same() -> None:
    text = "die Straße über Köln"
    decomposed = unicodedata.normalize("NFD", text)
    assert decomposed != text
    assert TOKENIZER.tokenize(decomposed) == TOKENIZER.tokenize(text)


def test_characters_outside_the_vocabulary_become_bytes_and_come_back() -> None:
    token_ids = TOKENIZER.tokenize("the dog 犬")
    assert TOKENIZER.unk_id not in token_ids
    assert len(TOKENIZER.fallback_ids & set(token_ids)) == 3
    assert TOKENIZER.detokenize(token_ids) == "the dog 犬"


def test_placeholders_are_one_token_each_and_come_back() -> None:
    assert TOKENIZER.has_placeholders
    text = f"the {PLACEHOLDERS[0]} sees{PLACEHOLDERS[-1]}{PLACEHOLDERS[1]}, 犬 and \ue00b."
    token_ids = TOKENIZER.tokenize(text)
    unused = [TOKENIZER.tokenize(mark)[-1] for mark in PLACEHOLDERS]
    assert len(set(unused)) == len(PLACEHOLDERS)
    assert all(len(TOKENIZER.tokenize(f"the {mark}")) == 3 for mark in PLACEHOLDERS)
    assert [token for token in token_ids if token in unused] == [unused[0], unused[-1], unused[1]]
    assert TOKENIZER.detokenize(token_ids) == text
    texts = [text, "a dog", f"{PLACEHOLDERS[2]} \ue00b" * 200]
    assert TOKENIZER.tokenize_batch(texts) == [TOKENIZER.tokenize(each) for each in texts]


def test_a_vocabulary_without_bytes_has_no_placeholders() -> None:
    tokenizer = train_tiny_tokenizer(byte_fallback=False)
    assert not tokenizer.has_placeholders
    assert tokenizer.unk_id in tokenizer.tokenize(PLACEHOLDERS[0])


def test_fallback_ids_without_bytes_are_the_unknown_id() -> None:
    tokenizer = train_tiny_tokenizer(byte_fallback=False)
    assert tokenizer.fallback_ids == {tokenizer.unk_id}
    assert tokenizer.unk_id in tokenizer.tokenize("the dog 犬")
    assert len(TOKENIZER.fallback_ids) == 257


@given(st.text())
def test_any_text_has_ids_of_the_vocabulary_and_a_normal_form(text: str) -> None:
    token_ids = TOKENIZER.tokenize(text)
    assert all(0 <= token < TOKENIZER.vocab_size for token in token_ids)
    # What the normaliser has once made of a text, it leaves as it is.
    normal = TOKENIZER.detokenize(token_ids)
    assert TOKENIZER.detokenize(TOKENIZER.tokenize(normal)) == normal


def test_a_file_holds_the_same_tokenizer(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(SERIALIZED)
    assert Tokenizer.from_file(path).tokenize(SENTENCE) == TOKENIZER.tokenize(SENTENCE)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    with pytest.raises(CheckpointError, match=r"tokenizer\.model: No such file"):
        Tokenizer.from_file(path)


@pytest.mark.parametrize("content", [b"", b"not a model", SERIALIZED[:100]])
def test_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(CheckpointError, match="not a SentencePiece model"):
        Tokenizer.of_sentencepiece(content)


def test_a_model_without_padding_is_refused() -> None:
    serialized = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter([SENTENCE] * 10),
        model_writer=serialized,
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
        pad_id=-1,
    )
    with pytest.raises(
        CheckpointError, match="must define pad, bos, eos and unk, but has -1, 1, 2"
    ):
        Tokenizer.of_sentencepiece(serialized.getvalue())


def with_piece(piece: bytes) -> bytes:
    """The tokenizer with one more piece of at least 128 bytes, in the format of protobuf."""

    def field(content: bytes) -> bytes:
        return b"\x0a" + bytes([len(content) % 128 + 128, len(content) // 128]) + content

    return SERIALIZED + field(field(piece))


def test_a_piece_more_is_one_more() -> None:
    assert (
        Tokenizer.of_sentencepiece(with_piece(b"x" * 1000)).vocab_size == TOKENIZER.vocab_size + 1
    )


@pytest.mark.parametrize(
    ("piece", "message"),
    [
        pytest.param(b"x" * 200 + b"\xff", "not a SentencePiece model: 'utf-8'", id="no text"),
        pytest.param(b"x" * 1001, "must have at most 1000 characters, but one has 1001", id="long"),
    ],
)
def test_a_piece_that_cannot_be_written_is_refused(piece: bytes, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        Tokenizer.of_sentencepiece(with_piece(piece))


def test_a_damaged_name_of_a_byte_is_refused() -> None:
    with pytest.raises(CheckpointError, match="not a SentencePiece model"):
        Tokenizer.of_sentencepiece(SERIALIZED.replace(b"<0x41>", b"\xff0x41>", 1))


def test_surfaces_are_what_the_pieces_say_one_after_the_other() -> None:
    vocabulary = TOKENIZER.target
    ids = vocabulary.tokenize(f"{SENTENCE} 字 \U0001f600 {PLACEHOLDERS[2]} {SENTENCE}")
    names = vocabulary.names()
    [mark] = (token for token in ids if names[token] == "<0xF7>")
    pieces = [PLACEHOLDERS[2] if token == mark else names[token] for token in ids]
    assert vocabulary.surfaces(ids) == written(pieces)
    without = vocabulary.tokenize(SENTENCE)
    assert vocabulary.surfaces(without) == written([names[token] for token in without])
