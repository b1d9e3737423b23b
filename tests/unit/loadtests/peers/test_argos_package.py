"""A model of ours as LibreTranslate reads it."""

from __future__ import annotations

import json
from pathlib import Path

import ctranslate2
import pytest
from sentencepiece import SentencePieceProcessor

from loadtests.bench.contender import BenchError
from loadtests.bench.ctranslate2_model import write_ctranslate2_model
from loadtests.bench.models import BenchModel
from loadtests.peers.argos_package import write_argos_package
from tests.tiny_model import build_tiny_model


def test_pieces_translate_as_their_numbers_do(tmp_path: Path) -> None:
    directory = build_tiny_model(tmp_path / "tiny")
    package = write_argos_package(str(directory), tmp_path / "packages", dtype="float32")
    assert package == tmp_path / "packages" / "en_de"
    metadata = json.loads((package / "metadata.json").read_text(encoding="utf-8"))
    assert (metadata["from_code"], metadata["from_name"]) == ("en", "English")
    assert (metadata["to_code"], metadata["to_name"]) == ("de", "German")

    pieces = SentencePieceProcessor(model_file=str(package / "sentencepiece.model"))
    numbered = tmp_path / "numbered"
    numbered.mkdir()
    write_ctranslate2_model(BenchModel.named(str(directory), seed=0).load(), numbered, "float32")
    for text in ("the cat", "a small house"):
        # As Argos Translate asks: pieces, without an end.
        by_pieces = _translated(package / "model", pieces.EncodeAsPieces(text))
        ids = [*pieces.EncodeAsIds(text), pieces.eos_id()]
        by_numbers = _translated(numbered, [str(number) for number in ids])
        assert by_pieces
        assert by_pieces == [pieces.IdToPiece(int(number)) for number in by_numbers]


def _translated(directory: Path, tokens: list[str]) -> list[str]:
    translator = ctranslate2.Translator(str(directory), intra_threads=1)
    found = translator.translate_batch([tokens], beam_size=1, max_decoding_length=20)
    tokens_found: list[str] = found[0].hypotheses[0]
    return tokens_found


def test_random_weights_are_no_package(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="must be embedded or a model directory"):
        write_argos_package("paper-base", tmp_path)
