"""Folders of the Hugging Face Hub: what they say is kept, and what cannot be imported is told."""

from __future__ import annotations

import builtins
import json
import pickle
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from model.checkpoints.checkpoint import check_checkpoint, load_checkpoint
from model.checkpoints.importers.registry import import_model
from model.config import LengthNormalization, SearchRules
from model.errors import CheckpointError, ImportRefusedError, UnsupportedLanguageError
from model.text.languages import Pair
from tests.huggingface_models import MODELS, SavedModel, english, german
from tests.unit.model.checkpoints.importers.damage import damaged

_CARD = "---\nlicense: {}\nlanguage:\n- en\n---\n# A model\n"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a model, made once."""
    folders: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in folders:
            folders[name] = SavedModel.make(MODELS[name], tmp_path_factory.mktemp("saved")).folder
        return folders[name]

    return folder


def _copy(folder: Path, to: Path) -> Path:
    return shutil.copytree(folder, to / "source")


def _change(folder: Path, name: str = "config.json", **values: Any) -> None:
    path = folder / name
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(known | values))


def test_what_the_files_say_is_kept(saved: Callable[[str], Path], tmp_path: Path) -> None:
    source = _copy(saved("opus-mt, old"), tmp_path)
    (source / "README.md").write_text(_CARD.format("apache-2.0"))

    report = import_model(source, tmp_path / "model")
    manifest, tokenizer = check_checkpoint(tmp_path / "model")

    assert report.metadata == manifest.metadata
    assert manifest.metadata.license == "apache-2.0"
    assert "Its licence is apache-2.0." in report.notes
    assert manifest.metadata.source_languages == ("eng",)
    assert manifest.metadata.target_languages == ("deu",)
    assert manifest.metadata.tokenizer.normalize_punctuation
    assert manifest.metadata.origin is not None
    assert manifest.metadata.origin.format == "Hugging Face MarianMTModel"
    assert set(manifest.metadata.origin.sha256) == {
        "README.md", "config.json", "pytorch_model.bin", "source.spm", "target.spm",
        "tokenizer_config.json", "vocab.json",
    }  # fmt: skip
    assert manifest.config.bos_id == manifest.config.pad_id == tokenizer.vocab_size - 1
    assert manifest.generation.beam_size == 4
    assert manifest.generation.max_new_tokens == 16
    assert manifest.generation.search is SearchRules.TRANSFORMERS
    assert manifest.generation.length_normalization is LengthNormalization.MEAN


def test_a_folder_of_the_hubs_cache_tells_its_name_and_revision(
    saved: Callable[[str], Path], tmp_path: Path
) -> None:
    repository = tmp_path / "models--someone--opus-mt-tc-big-en-de"
    snapshot = repository / "snapshots" / ("0" * 40)
    blobs = repository / "blobs"
    shutil.copytree(saved("opus-mt, tc-big"), blobs)
    snapshot.mkdir(parents=True)
    for number, path in enumerate(sorted(blobs.iterdir())):
        (snapshot / path.name).symlink_to(path.rename(blobs / str(number)))
    (snapshot / "tokenizer_config.json").unlink()

    metadata = import_model(snapshot, tmp_path / "model").metadata

    assert metadata.name == "opus-mt-tc-big-en-de"
    assert metadata.languages.pairs == (Pair("en", "de"),)
    assert metadata.origin is not None
    assert metadata.origin.source == "hf:someone/opus-mt-tc-big-en-de"
    assert metadata.origin.revision == "0" * 40


def test_targets_are_called_as_they_were_asked_for(
    saved: Callable[[str], Path], tmp_path: Path
) -> None:
    import_model(
        saved("opus-mt, new"), tmp_path / "model", target_languages=["de", "zh"], license="MIT"
    )
    manifest, tokenizer = check_checkpoint(tmp_path / "model")

    assert manifest.metadata.license == "MIT"
    assert dict(manifest.metadata.tokenizer.language_tokens) == {
        "de": ">>deu<<",
        "zh": ">>zh_Hans<<",
    }
    first = tokenizer.encode_source("the old man", Pair("eng", "de"))[0]
    assert first == tokenizer.source.find(">>deu<<")
    with pytest.raises(UnsupportedLanguageError):
        tokenizer.encode_source("the old man", Pair("eng", "fr"))


@pytest.mark.parametrize(
    ("name", "template", "prefix", "license"),
    [
        ("m2m-100", ("{source}", "{text}", "</s>"), ("{target}",), "not stated"),
        ("small-100", ("{target}", "{text}", "</s>"), (), "not stated"),
        ("nllb-200", ("{source}", "{text}", "</s>"), ("{target}",), "CC-BY-NC-4.0"),
        ("nllb-200, legacy", ("{text}", "</s>", "{source}"), ("{target}",), "CC-BY-NC-4.0"),
    ],
)
def test_languages_are_told_to_the_model(
    saved: Callable[[str], Path],
    name: str,
    template: tuple[str, ...],
    prefix: tuple[str, ...],
    license: str,
    tmp_path: Path,
) -> None:
    metadata = import_model(saved(name), tmp_path / "model").metadata

    assert metadata.tokenizer.source_template == template
    assert metadata.tokenizer.target_prefix == prefix
    assert metadata.license == license
    assert len(metadata.source_languages) == (202 if "nllb" in name else 100)


def test_the_user_may_say_that_it_is_small_100(
    saved: Callable[[str], Path], tmp_path: Path
) -> None:
    report = import_model(saved("m2m-100"), tmp_path / "model", target_in_source=True)

    assert report.metadata.tokenizer.target_prefix == ()


def test_tokens_that_files_number_go_where_they_say(
    saved: Callable[[str], Path], tmp_path: Path
) -> None:
    source = _copy(saved("nllb-200"), tmp_path)
    size = json.loads((source / "config.json").read_text())["vocab_size"]
    tokens = {str(size - 1): {"content": "eng_Latn"}, str(size - 2): {"content": "tyv_Cyrl"}}
    _change(source, "tokenizer_config.json", added_tokens_decoder=tokens)

    metadata = import_model(source, tmp_path / "model").metadata
    tokenizer = check_checkpoint(tmp_path / "model")[1]

    assert metadata.source_languages == ("tyv_Cyrl", "eng_Latn")
    assert tokenizer.target_prefix(Pair("tyv_Cyrl", "eng_Latn")) == (size - 1,)


@pytest.mark.parametrize(("name", "scaled"), [("m2m-100", True), ("opus-mt, tc-big", False)])
def test_embeddings_are_scaled_as_the_family_does_if_its_files_do_not_say(
    saved: Callable[[str], Path], name: str, scaled: bool, tmp_path: Path
) -> None:
    source = _copy(saved(name), tmp_path)
    _change(source, scale_embedding=None)
    import_model(source, tmp_path / "model")

    assert check_checkpoint(tmp_path / "model")[0].config.scale_embedding is scaled


@pytest.mark.parametrize("name", ["m2m-100", "nllb-200", "opus-mt, tc-big"])
def test_a_vocabulary_of_nothing_costs_no_memory(
    saved: Callable[[str], Path], name: str, tmp_path: Path
) -> None:
    source = _copy(saved(name), tmp_path)
    tracemalloc.start()
    for size, told in ((10**7, "must name most of 10000000 ids"), (10**9, "1 to 16777215|5 to 16")):
        _change(source, vocab_size=size)
        with pytest.raises(ImportRefusedError, match=told):
            import_model(source, tmp_path / "model")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**25


@pytest.mark.parametrize(("name", "codes"), [("nllb-200", "en de"), ("m2m-100", "en de ru")])
def test_a_shorter_vocabulary_changes_nothing(
    saved: Callable[[str], Path], name: str, codes: str, tmp_path: Path
) -> None:
    texts = [*english(30), *german(30)]
    languages = codes.split()
    report = import_model(saved(name), tmp_path / "short", languages=languages, texts=texts)
    import_model(saved(name), tmp_path / "whole")
    short, whole = load_checkpoint(tmp_path / "short"), load_checkpoint(tmp_path / "whole")

    assert report.metadata.source_languages == tuple(languages)
    assert short.config.tgt_vocab_size < whole.config.tgt_vocab_size - 90
    assert "60 of 60 given lines are the same pieces as before, and 0 of " in report.notes[-1]
    own = whole.metadata.source_languages
    pair = Pair(*(next(code for code in own if code.startswith(each)) for each in ("en", "de")))
    rows = (
        short.tokenizer.encode_source(texts[0], Pair("en", "de")),
        whole.tokenizer.encode_source(texts[0], pair),
    )
    found = [
        model.model.encode(torch.tensor([row]), torch.tensor([len(row)]))
        for model, row in zip((short, whole), rows, strict=True)
    ]
    torch.testing.assert_close(*found)


def _remove(*names: str) -> Callable[[Path], None]:
    def apply(source: Path) -> None:
        for name in names:
            (source / name).unlink()

    return apply


def _set(**values: Any) -> Callable[[Path], None]:
    return lambda source: _change(source, **values)


def _pointer(source: Path) -> None:
    (source / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")


def _only_flax(source: Path) -> None:
    (source / "model.safetensors").rename(source / "flax_model.msgpack")


class _Program:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("this must not be run",))


def _program(source: Path) -> None:
    (source / "model.safetensors").unlink()
    (source / "pytorch_model.bin").write_bytes(pickle.dumps({"a": _Program()}))


def _no_tensors(source: Path) -> None:
    (source / "model.safetensors").unlink()
    torch.save({"epoch": 3}, source / "pytorch_model.bin")


def _repeated(source: Path) -> None:
    (source / "model.safetensors").unlink()
    torch.save({"a": torch.zeros(1).expand(2**40)}, source / "pytorch_model.bin")


def _tensors(change: Callable[[dict[str, np.ndarray]], None]) -> Callable[[Path], None]:
    def apply(source: Path) -> None:
        tensors = load_file(source / "model.safetensors")
        change(tensors)
        save_file(tensors, source / "model.safetensors")

    return apply


def _ids(source: Path) -> None:
    ids = json.loads((source / "vocab.json").read_text())
    (source / "vocab.json").write_text(json.dumps(ids | {"one more": 10**6}))


def _index(source: Path) -> None:
    (source / "model.safetensors").unlink()
    _change(source, "model.safetensors.index.json", weight_map={"a": "../elsewhere.safetensors"})


_MARIAN = "opus-mt, tc-big"
_REFUSED: list[tuple[str, Callable[[Path], None], str]] = [
    (_MARIAN, _set(model_type="t5"), "relative positions"),
    (_MARIAN, _set(model_type="mbart"), "trained positions"),
    (_MARIAN, _set(model_type="nllb-moe"), "a mixture of experts"),
    (_MARIAN, _set(model_type="qwen3", architectures=["Qwen3ForCausalLM"]), "without an encoder"),
    (_MARIAN, _set(model_type="led", architectures=["LEDModel"]), "LEDModel are not supported"),
    (_MARIAN, _set(quantization_config={"quant_method": "gptq"}), r"quantised \(gptq\)"),
    (_MARIAN, _set(normalize_before=True), "stand behind the layers"),
    (_MARIAN, _set(decoder_ffn_dim=8), "must be equal, but are 72 and 8"),
    (_MARIAN, _set(activation_function="mish"), "`activation_function` must be one of"),
    (_MARIAN, _set(d_model="wide"), "`d_model` must be an integer"),
    (_MARIAN, _set(encoder_layers=2000), "`num_encoder_layers` must be"),
    (_MARIAN, _set(encoder_layers=1), "model.encoder.layers.1.fc1.weight', which is not underst"),
    (_MARIAN, _set(decoder_layers=3), "the tensor model.decoder.layers.2.fc1.weight, but has not"),
    (_MARIAN, _set(vocab_size=60), "must have ids below 60"),
    (_MARIAN, _ids, "must have ids below"),
    (_MARIAN, _remove("source.spm", "vocab.json"), "it must have source.spm, vocab.json"),
    (_MARIAN, _remove("model.safetensors"), "but there are none"),
    (_MARIAN, _only_flax, "flax_model.msgpack: save the model with PyTorch"),
    (_MARIAN, _pointer, "a pointer of Git LFS"),
    (_MARIAN, _program, "a pickle can run programs"),
    (_MARIAN, _no_tensors, "weights alone, but has 'epoch'"),
    (_MARIAN, _repeated, "but repeats some"),
    (_MARIAN, _index, "must list 1 to 1000 files of its folder"),
    (_MARIAN, _tensors(lambda each: each.update(more=np.zeros(3, "f4"))), "'more', which is not"),
    (
        _MARIAN,
        _tensors(lambda each: each.update(final_logits_bias=np.zeros((1, 3), "f4"))),
        r"final_logits_bias must be \(1, \d+\), but is \(1, 3\)",
    ),
    (
        _MARIAN,
        _tensors(lambda each: each.update(final_logits_bias=each["final_logits_bias"] * np.nan)),
        "must be finite",
    ),
    ("m2m-100", _remove("sentencepiece.bpe.model"), "copy it from the model"),
    ("m2m-100", _set(vocab_size=50), "must have ids below 50"),
    ("m2m-100", _set(eos_token_id=[2, 3]), "`eos_token_id` must be an id"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "told"), _REFUSED)
def test_what_cannot_be_imported_is_told(
    saved: Callable[[str], Path],
    name: str,
    change: Callable[[Path], None],
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = _copy(saved(name), tmp_path)
    (source / "generation_config.json").unlink()
    change(source)

    with pytest.raises(CheckpointError, match=told) as error:
        import_model(source, tmp_path / "model")

    print(error.value)
    assert "this must not be run" not in capsys.readouterr().out.replace(str(error.value), "")
    assert not (tmp_path / "model").exists()


def test_all_problems_are_told_together(saved: Callable[[str], Path], tmp_path: Path) -> None:
    source = _copy(saved(_MARIAN), tmp_path)
    _change(source, activation_function="mish", encoder_ffn_dim=0, normalize_before=True)
    (source / "target.spm").unlink()

    with pytest.raises(ImportRefusedError) as error:
        import_model(source, tmp_path / "model")

    assert len(error.value.reasons) == 5


def test_languages_that_nobody_knows_are_refused(
    saved: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(ImportRefusedError, match="the language 'xx' must be one of ace_Arab"):
        import_model(saved("nllb-200"), tmp_path / "model", languages=["en", "xx"])
    with pytest.raises(ImportRefusedError, match="'ak' must be one of aka_Latn, twi_Latn"):
        import_model(saved("nllb-200"), tmp_path / "model", target_languages=["ak"])
    with pytest.raises(ImportRefusedError, match="no vocabulary of many languages"):
        import_model(saved(_MARIAN), tmp_path / "model", languages=["en", "de"])


def test_a_pickle_needs_torch(
    saved: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without_torch(name: str, *rest: Any, **more: Any) -> Any:
        if name == "torch":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_torch)
    with pytest.raises(ImportRefusedError, match="needs PyTorch to be read"):
        import_model(saved("opus-mt, old"), tmp_path / "model")
    import_model(saved(_MARIAN), tmp_path / "model")


_FILES = {
    "opus-mt, old": ("config.json", "vocab.json", "source.spm", "pytorch_model.bin"),
    _MARIAN: ("config.json", "generation_config.json", "tokenizer_config.json", "vocab.json"),
    "opus-mt, two vocabularies": ("model.safetensors.index.json", "target_vocab.json"),
    "m2m-100": ("model.safetensors", "vocab.json", "sentencepiece.bpe.model", "config.json"),
    "nllb-200, legacy": ("model.safetensors", "sentencepiece.bpe.model", "tokenizer_config.json"),
}


@pytest.mark.parametrize("name", _FILES)
@settings(max_examples=12, deadline=None)
@given(st.data())
def test_a_damaged_model_is_refused_or_imported(
    saved: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    source = _copy(saved(name), folder)
    path = source / data.draw(st.sampled_from(_FILES[name]))
    path.write_bytes(data.draw(damaged(path.read_bytes(), head=2000)))
    try:
        import_model(source, folder / "model")
    except CheckpointError:
        assert not (folder / "model").exists()
    else:
        check_checkpoint(folder / "model")
    shutil.rmtree(folder)
