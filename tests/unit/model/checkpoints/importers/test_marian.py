"""Marian's models become model directories that translate as Marian does."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from model.checkpoints.importers.registry import import_model
from model.checkpoints.shortlist import read_shortlist
from model.config import LengthNormalization
from model.decoding.reference import generate
from model.errors import CheckpointError, ImportRefusedError
from model.text.languages import Pair
from tests.fixtures.marian import FIXTURES, VARIANTS, outputs
from tests.marian_models import MarianModel
from tests.unit.model.checkpoints.importers.damage import damaged
from tests.unit.model.checkpoints.importers.marian_writing import lexicon, marian_npz

_DECODED = tuple(name for name in VARIANTS if "greedy" in outputs(name))
_AS_PRINTED = 3e-5
_Scored = tuple[tuple[int, ...], float]
_LANGUAGES: dict[str, Any] = {"source_languages": ["en"], "target_languages": ["pt"]}


def _imported(source: Path, to: Path, **options: Any) -> Checkpoint:
    import_model(source, to, **(_LANGUAGES | options))
    return load_checkpoint(to)


def _copy(variant: str, to: Path) -> Path:
    return shutil.copytree(FIXTURES / variant, to / "source")


def _hypotheses(model: Checkpoint, text: str, beam_size: int) -> list[_Scored]:
    source = model.tokenizer.encode_source(text, Pair("en", "pt"))
    # Without what Marian does not do.
    generation = replace(
        model.generation, beam_size=beam_size, num_hypotheses=beam_size, limit_repeats=False
    )
    (found,) = generate(model.model, [source], generation)
    return [(each.token_ids, each.score) for each in found]


def _marians(model: Checkpoint, each: dict[str, Any]) -> list[_Scored]:
    return [
        (tuple(map(model.tokenizer.target.find, found["pieces"])), found["score"])
        for found in each["hypotheses"]
    ]


@pytest.mark.parametrize("variant", _DECODED)
def test_greedy_search_says_what_marian_says(variant: str, tmp_path: Path) -> None:
    model = _imported(FIXTURES / variant, tmp_path / "model")

    for each in outputs(variant)["greedy"]:
        ((tokens, score),) = _marians(model, each)
        ((ours, our_score),) = _hypotheses(model, each["source"], 1)
        assert ours == tokens
        assert our_score == pytest.approx(score, abs=_AS_PRINTED)


@pytest.mark.parametrize("variant", _DECODED)
def test_beam_search_finds_what_marian_finds(variant: str, tmp_path: Path) -> None:
    model = _imported(FIXTURES / variant, tmp_path / "model")

    for each in outputs(variant)["beam"]:
        theirs = _marians(model, each)
        ours = _hypotheses(model, each["source"], 4)
        assert [tokens for tokens, _ in ours] == [tokens for tokens, _ in theirs]
        assert [score for _, score in ours] == pytest.approx(
            [score for _, score in theirs], abs=_AS_PRINTED
        )


def test_what_the_files_say_is_in_the_directory(tmp_path: Path) -> None:
    report = import_model(FIXTURES / "ssru" / "model.npz", tmp_path / "model", **_LANGUAGES)
    model = load_checkpoint(tmp_path / "model")

    assert report.metadata == model.metadata
    assert report.num_parameters == sum(each.numel() for each in model.model.parameters())
    assert model.metadata.name == "marian-en-pt"
    assert model.metadata.license == "not stated"
    assert model.metadata.origin is not None
    assert model.metadata.origin.format == "marian"
    assert model.metadata.origin.source.endswith("ssru/model.npz")
    assert set(model.metadata.origin.sha256) == {"decoder.yml", "model.npz", "vocab.spm"}
    assert model.generation.beam_size == 4
    assert model.generation.length_penalty == 1
    assert model.generation.length_normalization is LengthNormalization.MEAN
    assert model.generation.max_length_factor == 2


def test_what_the_user_says_goes_before(tmp_path: Path) -> None:
    model = _imported(
        FIXTURES / "ssru" / "model.npz", tmp_path / "model", name="mine", version="7", license="MIT"
    )

    assert (model.metadata.name, model.metadata.version) == ("mine", "7")
    assert model.metadata.license == "MIT"


@pytest.mark.parametrize("gemm_type", ["float32", "intgemm8", "intgemm16", "intgemm8avx2"])
def test_binary_files(gemm_type: str, tmp_path: Path) -> None:
    exact = _imported(FIXTURES / "ssru" / "model.npz", tmp_path / "exact")
    model = _imported(FIXTURES / "ssru" / f"{gemm_type}.bin", tmp_path / "model")

    assert model.config == exact.config
    for (name, ours), theirs in zip(
        model.model.named_parameters(), exact.model.parameters(), strict=True
    ):
        if name != "projection.bias":  # decoder.yml, which allows the unknown piece, is not of it
            assert (ours - theirs).abs().max() <= 0.5001 * theirs.abs().max() / 127, name


def test_compressed_files(tmp_path: Path) -> None:
    source = _copy("ssru", tmp_path)
    for name in ("model.npz", "vocab.spm"):
        (source / f"{name}.gz").write_bytes(gzip.compress((source / name).read_bytes()))
        (source / name).unlink()
    for other in source.glob("*.bin"):
        other.unlink()

    model = _imported(source, tmp_path / "model")

    assert model.metadata.origin is not None
    assert set(model.metadata.origin.sha256) == {"decoder.yml", "model.npz.gz", "vocab.spm.gz"}


def test_a_vocabulary_in_yaml_names_the_ids(tmp_path: Path) -> None:
    source = _copy("post-norm-tied-all", tmp_path)
    spm = MarianModel("post-norm-tied-all").source
    pieces = {spm.IdToPiece(token): token for token in range(spm.GetPieceSize())}
    (source / "opus.vocab.yml").write_text(yaml.safe_dump(pieces, allow_unicode=True))
    (source / "source.spm").write_bytes((source / "vocab.spm").read_bytes())
    (source / "vocab.spm").rename(source / "target.spm")
    (source / "decoder.yml").unlink()

    model = _imported(source, tmp_path / "model")

    for each in outputs("post-norm-tied-all")["greedy"][:2]:
        assert _hypotheses(model, each["source"], 1)[0][0] == _marians(model, each)[0][0]


def test_the_unknown_piece_is_never_predicted_unless_that_is_allowed(tmp_path: Path) -> None:
    source = _copy("ssru", tmp_path)
    settings_file = source / "decoder.yml"
    allowed = _imported(source / "model.npz", tmp_path / "allowed")
    settings_file.write_text(settings_file.read_text().replace("allow-unk: true", ""))
    banned = _imported(source / "model.npz", tmp_path / "banned")

    assert allowed.model.projection.bias[1] > -1e8
    assert banned.model.projection.bias[1] == -1e9


@pytest.mark.parametrize("binary", [True, False])
def test_lexicons(binary: bool, tmp_path: Path) -> None:
    source = _copy("ssru", tmp_path)
    marian = MarianModel("ssru")
    size = marian.source.GetPieceSize()
    lists = [[(token * 7) % size] for token in range(size)]
    if binary:
        (source / "lex.50.50.enpt.s2t.bin").write_bytes(lexicon(20, lists))
    else:
        names = [marian.source.IdToPiece(token) for token in range(size)]
        lines = [f"{names[likely]} {names[token]} 1" for token, (likely,) in enumerate(lists)]
        (source / "lex.s2t").write_text("\n".join(lines))
        shortlist = 'shortlist: ["lex.s2t", 20, 50]\n'
        (source / "decoder.yml").write_text((source / "decoder.yml").read_text() + shortlist)

    import_model(source / "model.npz", tmp_path / "model", **_LANGUAGES)

    model = load_checkpoint(tmp_path / "model")
    found = read_shortlist(tmp_path / "model", model.config)
    assert model.metadata.shortlist
    assert found.first == 20
    assert found.ids.tolist() == [likely for (likely,) in lists]


def _rename_vocabulary(source: Path) -> None:
    (source / "vocab.spm").rename(source / "words.spm")


def _settings(change: dict[str, Any]) -> Callable[[Path], None]:
    def apply(source: Path) -> None:
        path = source / "decoder.yml"
        path.write_text(json.dumps(yaml.safe_load(path.read_text()) | change))

    return apply


def _smaller_vocabulary(source: Path) -> None:
    shutil.copy(FIXTURES / "ssru-pre-norm-two-vocabularies" / "source.spm", source / "vocab.spm")


def _yaml_vocabulary_only(source: Path) -> None:
    (source / "vocab.spm").unlink()
    (source / "vocab.yml").write_text("</s>: 0\n<unk>: 1\n")
    (source / "decoder.yml").unlink()


def _second_model(source: Path) -> None:
    (source / "decoder.yml").unlink()
    shutil.copy(source / "model.npz", source / "other.npz")


def _damaged_lexicon(source: Path) -> None:
    (source / "lex.50.50.enpt.s2t.bin").write_bytes(b"no lexicon")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_rename_vocabulary, "its vocabularies must be beside it"),
        (_settings({"models": ["model.npz", "other.npz"]}), "no ensembles"),
        (_settings({"beam-size": 0}), "`beam_size` must be"),
        (_settings({"normalize": "much"}), "settings of its decoder"),
        (_smaller_vocabulary, "must have 110 pieces, but has 7"),
        (_yaml_vocabulary_only, "subword-nmt"),
        (_second_model, "model.npz, other.npz: name the file"),
        (_damaged_lexicon, "a lexicon must have 48 bytes"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    change: Callable[[Path], None], told: str, tmp_path: Path
) -> None:
    source = _copy("post-norm-tied-all", tmp_path)
    change(source)

    with pytest.raises(ImportRefusedError, match=told):
        import_model(source, tmp_path / "model", **_LANGUAGES)

    assert not (tmp_path / "model").exists()


def test_languages_must_be_given_if_no_name_tells_them(tmp_path: Path) -> None:
    with pytest.raises(ImportRefusedError) as error:
        import_model(FIXTURES / "untied-gelu", tmp_path / "model")

    assert len(error.value.reasons) == 2
    assert "the source language" in error.value.reasons[0]


def test_other_things_are_of_no_known_format(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"\6\0\0\0")

    for source in (tmp_path, tmp_path / "model.bin", tmp_path / "none"):
        with pytest.raises(CheckpointError, match="a model"):
            import_model(source, tmp_path / "model")


def test_an_import_that_fails_leaves_nothing(tmp_path: Path) -> None:
    source = _copy("ssru", tmp_path)
    marian = MarianModel("ssru")
    marian.tensors["decoder_l2_ffn_b2"][0, 0] = np.inf
    (source / "model.npz").write_bytes(marian_npz(marian.tensors, marian.options))

    with pytest.raises(CheckpointError, match="finite"):
        import_model(source / "model.npz", tmp_path / "model", **_LANGUAGES)

    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_word_penalties_are_told(tmp_path: Path) -> None:
    source = _copy("untied-gelu", tmp_path)
    _settings({"word-penalty": 0.2})(source)

    report = import_model(source, tmp_path / "model", **_LANGUAGES)

    assert "state no licence" in report.notes[0]
    assert "word-penalty of 0.2" in report.notes[1]


def test_options_that_would_change_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="`languages` must not be given"):
        import_model(
            FIXTURES / "untied-gelu", tmp_path / "model", languages=["en", "pt"], **_LANGUAGES
        )


def test_a_file_is_read_without_more_memory_than_it_has(tmp_path: Path) -> None:
    script = (
        "import resource, sys; from pathlib import Path; "
        "from model.checkpoints.importers.registry import import_model; "
        "resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30, 8 * 2**30)); "
        "import_model(Path(sys.argv[1]), Path(sys.argv[2]), "
        "source_languages=['en'], target_languages=['pt'])"
    )
    subprocess.run(
        [sys.executable, "-c", script, FIXTURES / "untied-gelu", tmp_path / "model"],
        check=True,
        timeout=120,
    )


@settings(max_examples=30)
@given(st.data())
def test_a_damaged_model_is_refused_or_imported(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    source = _copy("average-attention-pre-norm", folder)
    name = data.draw(st.sampled_from(["model.npz", "vocab.spm", "decoder.yml"]))
    (source / name).write_bytes(data.draw(damaged((source / name).read_bytes(), head=2000)))
    try:
        import_model(source, folder / "model", **_LANGUAGES)
    except CheckpointError:
        assert not (folder / "model").exists()
