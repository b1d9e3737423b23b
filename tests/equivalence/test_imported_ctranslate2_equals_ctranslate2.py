"""Imported models of CTranslate2 and Argos Translate against CTranslate2, in float32.

By hand, with more models that transliterate Arabic: CTRANSLATE2_MODELS=FOLDER pytest tests/...
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from loadtests.peers.argos_package import write_argos_package
from model.checkpoints.checkpoint import load_checkpoint
from model.checkpoints.importers.registry import import_model
from model.config import PositionKind
from model.text.languages import Pair
from tests.ctranslate2_models import WORDS, convert, difference, sources_of
from tests.fixtures.ctranslate2 import FIXTURES
from tests.huggingface_models import english
from tests.tiny_model import build_tiny_model

_SCORES = 1e-4
_FOLDER = Path(os.environ.get("CTRANSLATE2_MODELS", FIXTURES))
_REAL = sorted(path.parent for path in _FOLDER.glob("*/model.bin"))


@pytest.mark.parametrize("folder", _REAL, ids=lambda path: path.name)
def test_real_models(folder: Path, tmp_path: Path) -> None:
    import_model(folder, tmp_path / "model", source_languages=["ar"], target_languages=["en"])
    ours = load_checkpoint(tmp_path / "model")

    sources = sources_of(ours, WORDS, Pair("ar", "en"))
    for beam_size in (1, 2, 4):
        found = difference(folder, ours, sources, (), beam_size=beam_size, added_end=False)
        assert found.same == found.hypotheses > 0
        assert found.score < _SCORES


@pytest.mark.parametrize(
    ("kind", "quantization"),
    [
        ("opus-mt, old", None),
        ("opus-mt, old", "int8"),
        ("opus-mt, old", "int16"),
        ("opus-mt, old", "float16"),
        ("opus-mt, old", "bfloat16"),
        ("m2m-100", None),
        ("small-100", "int8"),
    ],
)
def test_converted_models(kind: str, quantization: str | None, tmp_path: Path) -> None:
    folder = convert(kind, tmp_path, quantization)
    import_model(folder, tmp_path / "model", source_languages=["en"], target_languages=["de"])
    ours = load_checkpoint(tmp_path / "model")

    pair = Pair("en", "de")
    sources, prefix = sources_of(ours, english(12), pair), ours.tokenizer.target_prefix(pair)
    assert len(prefix) == (kind == "m2m-100")
    for beam_size in (1, 2, 4):
        found = difference(folder, ours, sources, prefix, beam_size=beam_size, added_end=False)
        assert found.same == found.hypotheses > 0
        assert found.score < _SCORES


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_packages_of_argos(dtype: str, tmp_path: Path) -> None:
    tiny = build_tiny_model(tmp_path / "tiny")
    package = write_argos_package(str(tiny), tmp_path / "packages", dtype=dtype)
    import_model(package, tmp_path / "model")
    ours = load_checkpoint(tmp_path / "model")
    assert ours.metadata.pairs == (Pair("en", "de"),)
    assert ours.config.positions is PositionKind.SINUSOIDAL

    texts = ["The old house.", "One green animal", "because the train is late", "zzz ąę"]
    sources = sources_of(ours, texts, Pair("en", "de"))
    for beam_size in (1, 2, 4):
        found = difference(
            package / "model", ours, sources, (), beam_size=beam_size, added_end=True
        )
        assert found.same == found.hypotheses > 0
        assert found.score < _SCORES
