"""Marian's options: what becomes of them, and which of them are refused, all at once."""

from __future__ import annotations

from typing import Any

import pytest

from model.checkpoints.importers.marian_options import MarianOptions, read_yaml
from model.checkpoints.importers.problems import Problems
from model.config import (
    Activation,
    DecoderKind,
    NormOrder,
    PositionKind,
    TransformerConfig,
)
from model.errors import CheckpointError, ImportRefusedError

_TINY: dict[str, Any] = {
    "type": "transformer", "dim-emb": 256, "dim-vocabs": [32000, 32000], "enc-depth": 6,
    "dec-depth": 2, "transformer-heads": 8, "transformer-dim-ffn": 1536, "transformer-ffn-depth": 2,
    "transformer-ffn-activation": "relu", "transformer-preprocess": "",
    "transformer-postprocess": "dan", "transformer-postprocess-emb": "d",
    "transformer-postprocess-top": "", "transformer-decoder-autoreg": "rnn", "dec-cell": "ssru",
    "tied-embeddings-all": True, "transformer-guided-alignment-layer": "last", "input-types": [],
    "lemma-dim-emb": 0, "transformer-tied-layers": [], "version": "v1.9.56 94aeaa46 2021-04-28",
}  # fmt: skip
"""A student of Firefox's."""


def _config(**changes: Any) -> TransformerConfig:
    problems = Problems("the model")
    options = MarianOptions(_TINY | changes, problems)
    config = options.config({}, eos_id=0, unk_id=1)
    problems.raise_any()
    assert config is not None
    return config


def test_a_student_of_firefoxs() -> None:
    config = _config()

    assert config.src_vocab_size == config.tgt_vocab_size == 32001
    assert (config.pad_id, config.bos_id, config.eos_id, config.unk_id) == (32000, 32000, 0, 1)
    assert config.decoder_kind is DecoderKind.SSRU
    assert config.positions is PositionKind.SINUSOIDAL_FAIRSEQ
    assert config.norm_order is NormOrder.POST
    assert config.scale_embedding
    assert config.shared_embeddings
    assert config.tied_projection
    assert config.layer_norm_eps == 1e-9


@pytest.mark.parametrize(
    ("d_model", "d_ff", "decoder_layers", "vocabularies", "tied"),
    [
        (256, 1536, 2, 32000, "tied-embeddings-all"),
        (384, 1536, 4, 32000, "tied-embeddings-all"),
        (512, 2048, 2, 32000, "tied-embeddings-all"),
        (512, 2048, 2, 64000, "tied-embeddings-all"),
        (384, 1536, 4, 64000, "tied-embeddings-all"),
        (384, 1536, 4, 32000, "tied-embeddings"),
        (256, 1536, 2, 16000, "tied-embeddings-all"),
        (512, 2048, 2, 32000, "tied-embeddings"),
    ],
)
def test_all_shapes_that_mozilla_has_published(
    d_model: int, d_ff: int, decoder_layers: int, vocabularies: int, tied: str
) -> None:
    config = _config(
        **{
            "dim-emb": d_model,
            "transformer-dim-ffn": d_ff,
            "dec-depth": decoder_layers,
            "dim-vocabs": [vocabularies] * 2,
            "tied-embeddings-all": False,
            tied: True,
            "transformer-decoder-dim-ffn": 0,
            "transformer-decoder-ffn-depth": 0,
            "transformer-no-affine": False,
            "transformer-no-bias": False,
            "transformer-rnn-projection": False,
        }
    )

    shared = tied == "tied-embeddings-all"
    assert config.shared_embeddings is shared
    assert config.tied_projection
    assert config.src_vocab_size == vocabularies + shared
    assert config.tgt_vocab_size == vocabularies + 1


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"transformer-ffn-activation": "swish"}, "activation", Activation.SILU),
        ({"transformer-ffn-activation": "gelu"}, "activation", Activation.GELU_SIGMOID),
        (
            {"transformer-ffn-activation": "gelu", "version": "v1.12.42 b7be0e964 2025-05-24"},
            "activation",
            Activation.GELU,
        ),
        ({"transformer-preprocess": "n", "transformer-postprocess": "da"}, "norm_order", "pre"),
        ({"transformer-postprocess-top": "n"}, "final_norm", True),
        ({"transformer-postprocess-emb": "nd"}, "embedding_norm", True),
        ({"transformer-decoder-autoreg": "self-attention"}, "decoder_kind", "attention"),
        ({"tied-embeddings-all": False}, "tied_projection", False),
        ({"tied-embeddings-all": False, "tied-embeddings-src": True}, "shared_embeddings", True),
        (
            {"transformer-decoder-autoreg": "average-attention", "transformer-dim-aan": 2048},
            "d_average",
            2048,
        ),
        (
            {"transformer-decoder-autoreg": "average-attention", "transformer-aan-depth": 1},
            "d_average",
            0,
        ),
    ],
)
def test_options_that_have_a_counterpart(changes: dict[str, Any], field: str, value: Any) -> None:
    assert getattr(_config(**changes), field) == value


def test_trained_positions_are_known_by_their_table() -> None:
    problems = Problems("the model")
    options = MarianOptions(_TINY, problems)

    config = options.config({"Wpos": (300, 256)}, eos_id=0, unk_id=1)

    problems.raise_any()
    assert config is not None
    assert config.positions is PositionKind.LEARNED
    assert config.max_positions == 300
    assert not config.scale_embedding


REFUSED: dict[str, tuple[Any, str]] = {
    "type": ("s2s", "recurrent models"),
    "lemma-dim-emb": (128, "factored vocabularies"),
    "transformer-tied-layers": ([1, 1, 2], "share weights"),
    "ulr": (True, "universal language representations"),
    "transformer-no-projection": (True, "without a projection"),
    "transformer-pool": (True, "pooled"),
    "input-types": (["sequence", "class"], "must be sequences"),
    "transformer-ffn-depth": (3, "two layers"),
    "transformer-decoder-ffn-depth": (1, "two layers"),
    "transformer-decoder-dim-ffn": (2048, "one width"),
    "right-left": (True, "right to left"),
    "transformer-rnn-projection": (True, "SSRU with a projection"),
    "layer-normalization": (True, "within recurrent cells"),
    "transformer-no-bias": (True, "without biases"),
    "transformer-no-affine": (True, "norms without weights"),
    "transformer-disable-position-embeddings": (True, "positions"),
    "transformer-attention-mask": ("alibi", "ALiBi"),
    "transformer-aan-depth": (3, "two layers"),
    "transformer-aan-activation": ("relu", "one activation"),
    "transformer-aan-nogate": (True, "without gates"),
    "transformer-ffn-activation": ("prelu", "must be relu or swish or gelu"),
    "transformer-decoder-autoreg": ("lstm", "must be self-attention or"),
    "dec-cell": ("gru", "must be ssru"),
    "transformer-preprocess": ("h", "must be '' and 'dan'"),
    "transformer-postprocess": ("dar", "must be '' and 'dan'"),
    "transformer-postprocess-emb": ("r", "norm or nothing"),
    "transformer-postprocess-top": ("an", "norm or nothing"),
    "dim-vocabs": ([32000], "two sizes"),
    "dim-emb": ("wide", "integer >= 1"),
    "enc-depth": (0, "integer >= 1"),
    "dec-depth": (True, "integer >= 1"),
    "transformer-heads": (-8, "integer >= 1"),
    "transformer-dim-ffn": (None, "integer >= 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_option_without_a_counterpart_is_refused_by_its_name(name: str) -> None:
    value, told = REFUSED[name]

    with pytest.raises(CheckpointError, match=told) as error:
        _config(**{name: value})

    assert f"`{name}`" in str(error.value)


def test_all_that_is_wrong_is_told_at_once() -> None:
    changes = {name: value for name, (value, _) in REFUSED.items()}

    with pytest.raises(ImportRefusedError) as error:
        _config(**changes)

    told = " ".join(error.value.reasons)
    for name in REFUSED.keys() - {"dec-cell"}:
        assert f"`{name}`" in told


def test_old_pre_norm_models_are_refused() -> None:
    values = {
        name: value for name, value in _TINY.items() if name != "transformer-postprocess-top"
    } | {"transformer-preprocess": "n", "transformer-postprocess": "da"}
    problems = Problems("the model")
    MarianOptions(values, problems).config({}, eos_id=0, unk_id=1)

    with pytest.raises(CheckpointError, match=r"Marian 1\.10 or newer"):
        problems.raise_any()


def test_sizes_that_no_model_has_are_refused() -> None:
    with pytest.raises(CheckpointError, match="`dim-emb`"):
        _config(**{"dim-emb": 2**40})
    with pytest.raises(CheckpointError, match="multiple of `num_heads`"):
        _config(**{"dim-emb": 250})
    with pytest.raises(CheckpointError, match="tied embeddings"):
        _config(**{"dim-vocabs": [100, 200]})
    with pytest.raises(CheckpointError, match="one layer fewer"):
        _config(**{"transformer-decoder-autoreg": "average-attention", "transformer-dim-aan": 256})


@pytest.mark.parametrize(
    "content", [b"", b"- a", b"\xff", b"a: [", b"[" * 5000, b" " * (2**20 + 1), b"!!set {a}"]
)
def test_options_must_be_an_object_of_yaml(content: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"special:model\.yml must"):
        read_yaml(content, "special:model.yml")
