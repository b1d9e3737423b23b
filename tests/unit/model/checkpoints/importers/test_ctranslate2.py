"""CTranslate2's folders become model directories, or are refused with all reasons."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from model.checkpoints.importers.ctranslate2 import read_ctranslate2
from model.checkpoints.importers.imported import ImportOptions
from model.checkpoints.importers.registry import import_model
from model.config import LengthNormalization, PositionKind
from model.errors import CheckpointError, ImportRefusedError
from model.network.positions import sinusoidal_positions
from model.text.languages import Pair
from tests.fixtures.ctranslate2 import FIXTURES
from tests.tiny_model import learn_pieces
from tests.unit.model.checkpoints.importers.ctranslate2_writing import (
    NAMES,
    PIECES,
    ctranslate2_binary,
    small_model,
    write_folder,
)
from tests.unit.model.checkpoints.importers.damage import damaged

_LANGUAGES: dict[str, Any] = {"source_languages": ["en"], "target_languages": ["de"]}
_V2 = FIXTURES / "v2-aren-transliteration-i8"
_SIZE = len(NAMES)
_PAIR = Pair("en", "de")


def _imported(source: Path, to: Path, **options: Any) -> Checkpoint:
    import_model(source, to, **(_LANGUAGES | options))
    return load_checkpoint(to)


def _reasons(source: Path, to: Path, **options: Any) -> str:
    with pytest.raises(ImportRefusedError) as refused:
        import_model(source, to, **(_LANGUAGES | options))
    assert not to.exists()
    return "\n".join(refused.value.reasons)


def test_what_the_files_say_is_in_the_directory(tmp_path: Path) -> None:
    report = import_model(_V2 / "model.bin", tmp_path / "model", **_LANGUAGES, license="MIT")
    model = load_checkpoint(tmp_path / "model")

    assert report.metadata == model.metadata
    assert model.metadata.name == _V2.name
    assert model.metadata.origin is not None
    assert model.metadata.origin.format == "CTranslate2"
    assert set(model.metadata.origin.sha256) == {
        "model.bin", "source_vocabulary.txt", "target_vocabulary.txt",
    }  # fmt: skip
    assert model.generation.beam_size == 2
    assert model.generation.length_normalization is LengthNormalization.MEAN
    assert model.config.positions is PositionKind.SINUSOIDAL_FAIRSEQ
    assert model.config.position_offset == 1
    assert any("characters" in note for note in report.notes)


def test_characters_are_tokens_as_they_stand(tmp_path: Path) -> None:
    model = _imported(_V2, tmp_path / "model")
    lines = (_V2 / "source_vocabulary.txt").read_text("utf-8").split("\n")

    ids = model.tokenizer.encode_source("م\u200eحمدZ", _PAIR)

    unknown = model.config.unk_id
    assert ids == (*(_place(model, each) for each in "م\u200eحمد"), unknown)
    assert unknown == len((_V2 / "target_vocabulary.txt").read_text("utf-8").split("\n")) - 1
    assert lines[unknown] != "<unk>"  # of the source, which has been moved to where it is there


def _place(model: Checkpoint, name: str) -> int:
    found = model.tokenizer.source.find(name)
    assert found is not None
    return found


def test_two_vocabularies_end_with_one_id(tmp_path: Path) -> None:
    source = ["</s>", "<s>", *NAMES[4:], "<unk>"]
    names = (source, NAMES)
    folder = write_folder(tmp_path / "source", small_model(len(source), _SIZE), names=names)
    model = _imported(folder, tmp_path / "model")

    stored = small_model(len(source), _SIZE)
    for side, name, listed in (
        ("source", "encoder/embeddings_0/weight", source),
        ("target", "decoder/embeddings/weight", NAMES),
    ):  # fmt: skip
        vocabulary = getattr(model.tokenizer, side)
        embedding = model.model.src_embedding if side == "source" else model.model.tgt_embedding
        ours = embedding.tokens.weight.detach().numpy()
        assert vocabulary.find("</s>") == model.config.eos_id
        assert vocabulary.find("<unk>") == model.config.unk_id
        for place, each in enumerate(listed):
            np.testing.assert_array_equal(ours[vocabulary.find(each)], stored[name][place])
    projection = model.model.projection.weight.detach().numpy()
    end = stored["decoder/projection/weight"][NAMES.index("</s>")]
    np.testing.assert_array_equal(projection[model.config.eos_id], end)
    assert model.tokenizer.encode_source("the", _PAIR)[-1] == model.config.eos_id


def test_a_tokenizer_that_lies_elsewhere_is_given(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "source", small_model(_SIZE, _SIZE), pieces=None)
    assert "must be beside it" in _reasons(folder, tmp_path / "model")
    elsewhere = tmp_path / "my.model"
    elsewhere.write_bytes(PIECES.files["tokenizer.model"])

    model = _imported(folder, tmp_path / "model", tokenizer=[elsewhere])

    assert model.metadata.origin is not None
    assert "my.model" in model.metadata.origin.sha256
    assert model.tokenizer.encode_source("the old man", _PAIR) == (
        *PIECES.tokenize("the old man"),
        PIECES.eos_id,
    )


def test_tokenizers_of_one_file_name_are_two(tmp_path: Path) -> None:
    german = learn_pieces(
        ["der alte Mann sieht ein rotes Auto"], vocab_size=40, byte_fallback=False
    )
    names = tuple(german.source.names())  # type: ignore[attr-defined]
    folder = write_folder(
        tmp_path / "source", small_model(_SIZE, len(names)), names=(NAMES, names), pieces=None
    )
    given = []
    for language, pieces in (("en", PIECES), ("de", german)):
        given.append(tmp_path / language / "spm.model")
        given[-1].parent.mkdir()
        given[-1].write_bytes(pieces.files["tokenizer.model"])

    model = _imported(folder, tmp_path / "model", tokenizer=given)

    assert model.tokenizer.files["source.model"] == given[0].read_bytes()
    assert model.tokenizer.files["target.model"] == given[1].read_bytes()
    assert model.metadata.origin is not None
    assert {str(path) for path in given} <= model.metadata.origin.sha256.keys()


def test_another_models_tokenizer_is_refused(tmp_path: Path) -> None:
    names = ["<unk>", "<s>", "</s>", *(f"word{place}" for place in range(_SIZE - 3))]
    folder = write_folder(tmp_path / "source", small_model(_SIZE, _SIZE), names=(names,))

    assert "must be the SentencePiece model of this" in _reasons(folder, tmp_path / "model")


@pytest.mark.parametrize("kind", list(PositionKind))
def test_tables_of_positions(kind: PositionKind, tmp_path: Path) -> None:
    table = (
        np.random.default_rng(1).normal(size=(20, 8)).astype(np.float32)
        if kind is PositionKind.LEARNED
        else sinusoidal_positions(22, 8, kind)[2:]
    )
    tables = {f"{stack}/position_encodings/encodings": table for stack in ("encoder", "decoder")}
    model = _imported(
        write_folder(tmp_path / "source", small_model(_SIZE, _SIZE) | tables), tmp_path / "model"
    )

    assert model.config.positions is kind
    assert model.config.max_positions == 20
    assert model.config.position_offset == (0 if kind is PositionKind.LEARNED else 2)
    for side in (model.model.src_embedding, model.model.tgt_embedding):
        offset = model.config.position_offset
        np.testing.assert_allclose(side.positions[offset:].detach().numpy(), table, atol=1e-6)


def test_old_settings_are_in_the_file(tmp_path: Path) -> None:
    old = {
        "with_source_eos": np.array(1, np.int8),
        "with_source_bos": np.array(1, np.int8),
        "with_target_bos": np.array(0, np.int8),
    }
    variables = small_model(_SIZE, _SIZE) | old
    folder = write_folder(tmp_path / "source", variables, version=5)
    (folder / "config.json").unlink()
    model = _imported(folder, tmp_path / "model")

    assert model.metadata.tokenizer.source_template == ("<s>", "{text}", "</s>")
    assert model.config.bos_id == model.config.eos_id


def test_a_decoder_that_begins_with_the_language(tmp_path: Path) -> None:
    names = [*NAMES, "__de__", "__en__", "__fr__"]
    folder = write_folder(
        tmp_path / "source", small_model(len(names), len(names)), names=(names,),
        config={"decoder_start_token": None},
    )  # fmt: skip
    reasons = _reasons(folder, tmp_path / "model", target_languages=["de", "fr"])
    assert "one target language must be given" in reasons

    model = _imported(folder, tmp_path / "model")

    assert names[model.config.bos_id] == "__de__"
    assert model.tokenizer.target_prefix(_PAIR) == ()
    assert model.metadata.tokenizer.source_template == ("{source}", "{text}", "</s>")


def test_languages_named_in_the_source(tmp_path: Path) -> None:
    names = [*NAMES, ">>deu<<", ">>fra<<"]
    folder = write_folder(
        tmp_path / "source", small_model(len(names), len(names)), names=(names,)
    )  # fmt: skip

    model = _imported(folder, tmp_path / "model", target_languages=["de", "fr"])

    assert model.metadata.tokenizer.language_tokens == {"de": ">>deu<<", "fr": ">>fra<<"}
    assert model.tokenizer.encode_source("the", Pair("en", "fr"))[0] == _SIZE + 1


def test_languages_of_nllb_and_its_licence(tmp_path: Path) -> None:
    names = [*NAMES, "deu_Latn", "eng_Latn", "fra_Latn"]
    folder = write_folder(
        tmp_path / "source", small_model(len(names), len(names)), names=(names,),
        config={"decoder_start_token": "</s>", "add_source_eos": False},
    )  # fmt: skip

    report = import_model(folder, tmp_path / "model")
    model = load_checkpoint(tmp_path / "model")

    assert model.metadata.license == "CC-BY-NC-4.0"
    assert any("commercially" in note for note in report.notes)
    pair = Pair("eng_Latn", "fra_Latn")
    assert pair in model.metadata.pairs
    assert model.tokenizer.target_prefix(pair) == (_SIZE + 2,)
    ids = model.tokenizer.encode_source("the", pair)
    assert (ids[0], ids[-1]) == (_SIZE + 1, model.config.eos_id)


@pytest.mark.parametrize(
    ("card", "license"),
    [
        ("---\nlicense: mit\ntags:\n- translation\n---\n# A model", "mit"),
        ("# A model\nlicense: mit\n", "not stated"),
        ("---\nlicense: [\n---\n", "not stated"),
    ],
)
def test_the_licence_is_that_of_the_card(card: str, license: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "source", small_model(_SIZE, _SIZE))
    (folder / "README.md").write_text(card)

    report = import_model(folder, tmp_path / "model", **_LANGUAGES)

    assert report.metadata.license == license
    assert "README.md" in report.metadata.origin.sha256  # type: ignore[union-attr]
    given = import_model(folder, tmp_path / "model", **_LANGUAGES, license="Apache-2.0")
    assert given.metadata.license == "Apache-2.0"


_M2M = ("__de__", "__en__", "__fr__", "__ru__")
_NLLB = ("deu_Latn", "eng_Latn", "fra_Latn", "rus_Cyrl")
_MANY = {"decoder_start_token": "</s>", "add_source_eos": False}


@pytest.mark.parametrize("languages", [_M2M, _NLLB])
def test_a_shorter_vocabulary_changes_nothing(languages: tuple[str, ...], tmp_path: Path) -> None:
    names = [*NAMES[:20], "▁Москва", "дом", *languages, *NAMES[20:], "東京"]
    size = len(names) + 2  # rows without a piece
    folder = write_folder(
        tmp_path / "source", small_model(size, size), names=(names,), config=_MANY
    )
    texts = ["the old man sees a red car", "my sister likes it", "12 % the"]
    report = import_model(folder, tmp_path / "short", languages=["en", "de"], texts=texts)
    import_model(folder, tmp_path / "whole")
    short, whole = load_checkpoint(tmp_path / "short"), load_checkpoint(tmp_path / "whole")

    assert report.metadata.source_languages == report.metadata.target_languages == ("en", "de")
    note = f"{_SIZE + 2} of {size} pieces are kept; 3 of 3 given lines are the same pieces as"
    assert any(note in each for each in report.notes)
    kept = [_place(whole, name) for name in json.loads(short.tokenizer.files["vocabulary.json"])]
    for name, weight in short.model.named_parameters():
        before = dict(whole.model.named_parameters())[name].detach()
        torch.testing.assert_close(
            weight.detach(), before[kept] if len(before) == size else before, rtol=0, atol=0
        )
    own = whole.metadata.languages
    pair = Pair(str(own.source("en")), str(own.target("de")))
    rows = [
        short.tokenizer.encode_source(texts[0], Pair("en", "de")),
        whole.tokenizer.encode_source(texts[0], pair),
    ]
    assert [kept[token] for token in rows[0]] == list(rows[1])
    assert [kept[each] for each in short.tokenizer.target_prefix(Pair("en", "de"))] == list(
        whole.tokenizer.target_prefix(pair)
    )
    encoded = [
        model.model.encode(torch.tensor([row]), torch.tensor([len(row)]))
        for model, row in zip((short, whole), rows, strict=True)
    ]
    torch.testing.assert_close(*encoded)


def test_languages_are_kept_of_models_of_many_alone(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "source", small_model(_SIZE, _SIZE))
    assert "no vocabulary of many languages" in _reasons(
        folder, tmp_path / "model", languages=["en", "de"]
    )
    names = [*NAMES, *_NLLB]
    size = len(names)
    many = write_folder(tmp_path / "many", small_model(size, size), names=(names,), config=_MANY)
    with pytest.raises(ImportRefusedError, match="the language 'xx' must be one of deu_Latn, eng"):
        import_model(many, tmp_path / "model", languages=["en", "xx"])


def test_languages_of_mbart_are_refused(tmp_path: Path) -> None:
    names = [*NAMES, *(f"{letter}{other}_XX" for letter in "abcde" for other in "abcde")]
    folder = write_folder(tmp_path / "source", small_model(len(names), len(names)), names=(names,))

    assert "those of mBART" in _reasons(folder, tmp_path / "model")


_INT8, _F4 = np.int8, np.float32


def _heads(value: float) -> dict[str, Any]:
    return {f"{stack}/num_heads": np.array(value, _F4) for stack in ("encoder", "decoder")}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"encoder/layer_0/ffn/linear_0_noact/weight": np.ones((12, 8), _F4)}, "gated feed-forw"),
        ({"encoder/layer_0/self_attention/rotary_dim": np.array(4, "<i4")}, "rotary positions"),
        (
            {"encoder/layer_0/self_attention/relative_position_keys": np.ones((3, 4), _F4)},
            "relative positions are not supported",
        ),
        (
            {"encoder/layer_0/self_attention/relative_attention_bias": np.ones((3, 4), _F4)},
            "as of T5",
        ),
        ({"encoder/embeddings_1/weight": np.ones((9, 8), _F4)}, "source features"),
        ({"decoder/alibi": np.array(1, _INT8)}, "ALiBi"),
        ({"decoder/activation": np.array(9, _INT8)}, "`activation` must be"),
        ({"encoder/num_heads": np.array(4, "<i2")}, "`num_heads` must be the same"),
        (_heads(np.nan), "`num_heads` must be an integer >= 1, but is nan"),
        (_heads(np.inf), "`num_heads` must be an integer >= 1, but is inf"),
        (_heads(2.5), "`num_heads` must be an integer >= 1, but is 2.5"),
        (_heads(0), "`num_heads` must be an integer >= 1, but is 0"),
        ({"decoder/scale_embeddings": np.array(3.5, _F4)}, "`scale_embeddings` must be"),
        ({"encoder/layer_0/self_attention/num_heads_kv": np.array(1, "<i4")}, "share keys"),
        ({"encoder/layer_0/self_attention/queries_scale": np.array(1, _F4)}, "queries_scale` must"),
        ({"decoder/something": np.array(1, _INT8)}, "'decoder/something' is not understood"),
        ({"decoder/some/weight": np.ones((2, 2), _F4)}, "'decoder/some/weight', which is not"),
        ({"decoder/layer_0/ffn/linear_0/weight": np.ones((12, 9), _F4)}, "must be (12, 8)"),
        ({"encoder/layer_2/ffn/linear_0/weight": np.ones((12, 8), _F4)}, "layers from 0 on"),
    ],
)
def test_other_parts_are_refused(variables: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "source", small_model(_SIZE, _SIZE) | variables)

    assert message in _reasons(folder, tmp_path / "model")


@pytest.mark.parametrize(
    ("kind", "revision", "message"),
    [
        ("TransformerDecoderSpec", 8, "language model without an encoder"),
        ("WhisperSpec", 3, "reads speech"),
        ("TransformerEncoderSpec", 1, "an encoder alone"),
        ("OtherSpec", 1, "is a OtherSpec"),
        ("TransformerSpec", 8, "revision must be at most 7"),
    ],
)
def test_other_kinds_are_refused(kind: str, revision: int, message: str, tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path / "source", small_model(_SIZE, _SIZE), kind=kind, revision=revision
    )

    assert message in _reasons(folder, tmp_path / "model")


def test_all_reasons_are_told_together(tmp_path: Path) -> None:
    variables = small_model(_SIZE, _SIZE) | {"decoder/alibi": np.array(1, np.int8)}
    del variables["encoder/layer_0/ffn/layer_norm/beta"]
    folder = write_folder(tmp_path / "source", variables, pieces=None)

    reasons = _reasons(folder, tmp_path / "model", source_languages=[])

    for message in ("RMS", "ALiBi", "SentencePiece", "source language", "layer_norm/beta"):
        assert message in reasons


def test_missing_and_wrong_vocabularies(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "source", small_model(_SIZE - 2, _SIZE - 2))
    assert "at most" in _reasons(folder, tmp_path / "model")
    shutil.rmtree(folder)
    write_folder(folder, small_model(10_000, 10_000))
    assert "must name most of 10000 ids" in _reasons(folder, tmp_path / "model")
    (folder / "shared_vocabulary.json").unlink()
    assert "must have shared_vocabulary.json" in _reasons(folder, tmp_path / "model")


def test_a_vocabulary_map_is_left_out_and_noted(tmp_path: Path) -> None:
    folder = shutil.copytree(_V2, tmp_path / "source")
    (folder / "vmap.txt").write_text("a\tb\n")

    report = import_model(folder, tmp_path / "model", **_LANGUAGES)

    assert any("vmap.txt" in note for note in report.notes)


@settings(max_examples=60)
@given(data=st.data())
def test_damage_is_one_error_or_other_numbers(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    write_folder(folder, {})
    whole = ctranslate2_binary(small_model(_SIZE, _SIZE))
    (folder / "model.bin").write_bytes(data.draw(damaged(whole)))
    options = ImportOptions(source_languages=("en",), target_languages=("de",))
    try:
        read = read_ctranslate2(folder, options)
        for name in read.weights.shapes:
            read.weights.array(name)
    except CheckpointError:
        pass
