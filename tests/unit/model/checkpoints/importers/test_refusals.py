"""The table of refusals in deploy/MODELS.md is what importers say of such models.

`python -m tests.unit.model.checkpoints.importers.test_refusals` writes it anew.
"""

from __future__ import annotations

import json
import pickle
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from model.checkpoints.importers.registry import import_model
from model.errors import CheckpointError, ImportRefusedError
from tests.fixtures.marian import FIXTURES
from tests.unit.model.checkpoints.importers.ctranslate2_writing import (
    NAMES,
    PIECES,
    small_model,
    write_folder,
)
from tests.unit.model.checkpoints.importers.marian_writing import Item, marian_binary, marian_npz

_DOCUMENT = Path(__file__).parents[5] / "deploy" / "MODELS.md"
_BEGIN, _END = "<!-- refusals -->\n", "<!-- end -->\n"
_SIZE = len(NAMES)
_LANGUAGES = {"source_languages": ["en"], "target_languages": ["de"]}

Make = Callable[[Path], Path]


def _hub(**config: Any) -> Make:
    def make(folder: Path) -> Path:
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return make


def _hub_weights(name: str, content: bytes, **config: Any) -> Make:
    def make(folder: Path) -> Path:
        _hub(model_type="marian", **config)(folder)
        ids = {"</s>": 0, "<unk>": 1, "a": 2, "<pad>": 3}
        (folder / "vocab.json").write_text(json.dumps(ids))
        for side in ("source", "target"):
            (folder / f"{side}.spm").write_bytes(PIECES.files["tokenizer.model"])
        (folder / name).write_bytes(content)
        return folder

    return make


def _marian(**options: Any) -> Make:
    def make(folder: Path) -> Path:
        shutil.copytree(FIXTURES / "ssru", folder)
        with np.load(folder / "model.npz") as file:
            arrays = dict(file)
        known = yaml.safe_load(arrays.pop("special:model.yml").tobytes().rstrip(b"\0"))
        changes = {name.replace("_", "-"): value for name, value in options.items()}
        (folder / "model.npz").write_bytes(marian_npz(arrays, known | changes))
        return folder / "model.npz"

    return make


def _marian_packed(folder: Path) -> Path:
    source = _marian()(folder)
    with np.load(source) as file:
        options = file["special:model.yml"].tobytes()
    items = {
        "special:model.yml": Item(0x101, (len(options),), options),
        "encoder_l1_self_Wq": Item(0x802, (2, 2), bytes(8)),
    }
    (folder / "model.bin").write_bytes(marian_binary(items))
    return folder / "model.bin"


def _ctranslate2(variables: dict[str, Any] | None = None, **options: Any) -> Make:
    def make(folder: Path) -> Path:
        return write_folder(folder, small_model(_SIZE, _SIZE) | (variables or {}), **options)

    return make


def _argos(pieces: str, **metadata: Any) -> Make:
    def make(folder: Path) -> Path:
        write_folder(folder / "model", small_model(_SIZE, _SIZE), pieces=None)
        (folder / pieces).write_bytes(b"#version: 0.2\n")
        values = {"from_code": "en", "to_code": "de"} | metadata
        (folder / "metadata.json").write_text(json.dumps(values))
        return folder

    return make


def _unknown(folder: Path) -> Path:
    folder.mkdir()
    (folder / "model.pt").touch()
    return folder


class _Program:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("this must not be run",))


_F4 = np.float32
_ATTENTION = "encoder/layer_0/self_attention"
_SHAPE = {
    "vocab_size": 4, "d_model": 8, "encoder_layers": 1, "decoder_layers": 1, "pad_token_id": 3,
    "eos_token_id": 0, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8, "activation_function": "relu",
    "encoder_attention_heads": 1, "decoder_attention_heads": 1,
}  # fmt: skip
_CASES: list[tuple[str, Make]] = [
    ("T5, MADLAD-400", _hub(model_type="t5")),
    ("mBART-50, BART", _hub(model_type="mbart")),
    ("NLLB-MoE", _hub(model_type="nllb-moe")),
    ("FSMT (WMT 2019)", _hub(model_type="fsmt")),
    ("Whisper, SeamlessM4T", _hub(model_type="seamless_m4t_v2")),
    (
        "Qwen, Llama, TranslateGemma, ...",
        _hub(model_type="qwen3", architectures=["Qwen3ForCausalLM"]),
    ),
    ("other types", _hub(model_type="led", architectures=["LEDForConditionalGeneration"])),
    ("AWQ, GPTQ, bitsandbytes", _hub(model_type="marian", quantization_config={})),
    ("OPUS-MT of trained positions", _hub(model_type="marian", static_position_embeddings=False)),
    ("weights of TensorFlow or Flax alone", _hub_weights("tf_model.h5", b"", **_SHAPE)),
    (
        "a pickle that runs a program",
        _hub_weights("pytorch_model.bin", pickle.dumps({"a": _Program()}), **_SHAPE),
    ),
    (
        "a pointer of Git LFS",
        _hub_weights("model.safetensors", b"version https://git-lfs.github.com/spec/v1", **_SHAPE),
    ),
    ("Marian: RNNs", _marian(type="s2s")),
    ("Marian: factors", _marian(lemma_dim_emb=128)),
    ("Marian: layers that share weights", _marian(transformer_tied_layers=[1, 1, 2])),
    ("Marian: targets from right to left", _marian(right_left=True)),
    ("Marian: feed-forward networks of more layers", _marian(transformer_ffn_depth=3)),
    ("Marian: weights packed for one processor", _marian_packed),
    ("CTranslate2: Whisper", _ctranslate2(kind="WhisperSpec", revision=3)),
    ("CTranslate2: language models", _ctranslate2(kind="TransformerDecoderSpec", revision=8)),
    (
        "CTranslate2: T5",
        _ctranslate2({f"{_ATTENTION}/relative_attention_bias": np.ones((3, 4), _F4)}),
    ),
    (
        "CTranslate2: gated networks",
        _ctranslate2({"encoder/layer_0/ffn/linear_0_noact/weight": np.ones((12, 8), _F4)}),
    ),
    ("CTranslate2: ALiBi", _ctranslate2({"decoder/alibi": np.array(1, np.int8)})),
    ("CTranslate2: 4 bits", _ctranslate2(config={"quantization_type": "awq"})),
    ("CTranslate2: a version to come", _ctranslate2(version=7)),
    ("CTranslate2: no SentencePiece model beside it", _ctranslate2(pieces=None)),
    ("Argos: packages with bpe.model", _argos("bpe.model")),
    ("Argos: packages that cut sentences", _argos("sentencepiece.model", type="sbd")),
    ("anything else, such as fairseq's or OpenNMT-py's", _unknown),
]  # fmt: skip


def _table(folder: Path) -> str:
    rows = ["| what | the message |", "|---|---|"]
    for place, (what, make) in enumerate(_CASES):
        source = make(folder / str(place))
        with pytest.raises(CheckpointError) as refused:
            import_model(source, folder / "model", **_LANGUAGES)
        error = refused.value
        message = error.reasons[0] if isinstance(error, ImportRefusedError) else str(error)
        message = message.replace(f"{source}: ", "").replace(str(source), "FOLDER")
        rows.append(f"| {what} | {message} |")
    return "\n".join(rows) + "\n"


def test_the_table_of_refusals_is_what_importers_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = _DOCUMENT.read_text(encoding="utf-8")
    assert document.partition(_BEGIN)[2].partition(_END)[0] == _table(tmp_path)
    assert capsys.readouterr().out == ""


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        before, _, rest = _DOCUMENT.read_text(encoding="utf-8").partition(_BEGIN)
        after = rest.partition(_END)[2]
        _DOCUMENT.write_text(before + _BEGIN + _table(Path(folder)) + _END + after, "utf-8")
