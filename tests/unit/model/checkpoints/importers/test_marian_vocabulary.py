"""Marian's vocabularies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.checkpoints.importers.marian_vocabulary import read_sentencepiece, read_vocabulary_yaml
from model.errors import CheckpointError
from tests.fixtures.marian import FIXTURES
from tests.unit.model.checkpoints.importers.damage import damaged

_YAML = '</s>: 0\n<unk>: 1\n"\\u2581a": 2\nyes: 3\n1: 4\n"\\\\": 5\n'


def test_sentencepiece_has_marians_ids() -> None:
    read = read_sentencepiece((FIXTURES / "ssru" / "vocab.spm").read_bytes())

    assert (read.eos_id, read.unk_id) == (0, 1)
    assert read.pieces[0] == "</s>"
    assert read.ids()["<unk>"] == 1


def test_pieces_in_yaml_are_strings_whatever_they_look_like() -> None:
    read = read_vocabulary_yaml(_YAML.encode())

    assert read.pieces == ("</s>", "<unk>", "\u2581a", "yes", "1", "\\")
    assert (read.eos_id, read.unk_id) == (0, 1)


@pytest.mark.parametrize(
    "text",
    [
        "", "- a", "a: [0]", "a: 0\nb: 0", "a: 0\nb: 2", "a: 0", "</s>: 0", "a: -1", "\x00",
        "[" * 5000, "!!python/object/apply:os.getcwd []",
    ],
)  # fmt: skip
def test_other_files_are_refused(text: str) -> None:
    with pytest.raises(CheckpointError):
        read_vocabulary_yaml(text.encode())
    with pytest.raises(CheckpointError):
        read_sentencepiece(text.encode())


@given(st.data())
def test_damaged_yaml_is_an_error_or_another_vocabulary(data: st.DataObject) -> None:
    try:
        read = read_vocabulary_yaml(data.draw(damaged(_YAML.encode())))
    except CheckpointError:
        return
    assert len(read.ids()) == len(read.pieces)
