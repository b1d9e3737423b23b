"""Configurations refuse what cannot be, and say what must be and what was."""

import pytest

from model.config import EngineConfig, GenerationConfig, TransformerConfig
from model.errors import InvalidRequestError


def test_a_configuration_survives_the_round_trip() -> None:
    config = TransformerConfig.big(norm_order="pre", activation="gelu", positions="learned")
    assert TransformerConfig.from_dict(config.to_dict()) == config
    assert config.to_dict()["norm_order"] == "pre"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_heads": 7}, "must be a multiple of `num_heads`, but is 512 with 7 heads"),
        ({"dropout": 1.0}, "`dropout` must be in"),
        ({"norm_order": "middle"}, "must be one of post, pre, but is 'middle'"),
        ({"tgt_vocab_size": 5}, "must be equal with `shared_embeddings`"),
        ({"eos_id": 40_000}, r"`eos_id` must be in \[0, 37000\), but is 40000"),
        (
            {"num_decoder_layers": 0},
            "`num_decoder_layers` must be an integer >= 1 and <= 1000, but is 0",
        ),
        ({"eos_id": 2.0}, "`eos_id` must be an integer >= 0, but is 2.0"),
        (
            {"unk_id": 20, "src_vocab_size": 10, "tgt_vocab_size": 30, "shared_embeddings": False},
            r"`unk_id` must be in \[0, 10\), but is 20",
        ),
        ({"pad_id": 37_000}, r"`pad_id` must be in \[0, 37000\), but is 37000"),
        ({"d_average": 8}, "`d_average` must be 0 with `decoder_kind` attention, but is 8"),
        ({"decoder_kind": "gru"}, "must be one of attention, ssru, average_attention, but is"),
        (
            {"d_model": 2, "num_heads": 1, "positions": "sinusoidal_fairseq"},
            "`d_model` must be at least 4 for sinusoidal_fairseq positions, but is 2",
        ),
        ({"final_norm": "false"}, "`final_norm` must be true or false, but is 'false'"),
        ({"dropout": "0.1"}, "`dropout` must be a number, but is '0.1'"),
        ({"layer_norm_eps": 0.0}, r"`layer_norm_eps` must be in \[1e-12, 1\), but is 0.0"),
        ({"d_model": "wide"}, "`d_model` must be an integer >= 1 and <= 65536, but is 'wide'"),
    ],
)
def test_an_impossible_shape_is_refused(changes: dict[str, object], message: str) -> None:
    values = {"src_vocab_size": 37_000, "tgt_vocab_size": 37_000} | changes
    with pytest.raises(InvalidRequestError, match=message):
        TransformerConfig.from_dict(values)


def test_unknown_and_missing_fields_are_named() -> None:
    with pytest.raises(InvalidRequestError, match="hidden_size"):
        TransformerConfig.from_dict({"hidden_size": 3})
    with pytest.raises(InvalidRequestError, match="src_vocab_size"):
        TransformerConfig.from_dict({"d_model": 8})


def test_the_decoder_may_start_from_an_id_that_no_source_has() -> None:
    config = TransformerConfig(
        src_vocab_size=10, tgt_vocab_size=12, shared_embeddings=False, pad_id=11, bos_id=11
    )
    assert config.bos_id == 11


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beam_size": 0}, "`beam_size` must be an integer >= 1, but is 0"),
        ({"beam_size": True}, "`beam_size` must be an integer"),
        ({"num_hypotheses": 5}, r"at most `beam_size` \(4\), but is 5"),
        ({"length_penalty": -0.1}, "`length_penalty` must be in"),
        ({"length_penalty": "1"}, "`length_penalty` must be a number, but is '1'"),
        ({"length_penalty": float("nan")}, "`length_penalty` must be in"),
        ({"repetition_penalty": 0.5}, "`repetition_penalty` must be in"),
        ({"max_new_tokens": 0}, "`max_new_tokens` must be an integer >= 1"),
    ],
)
def test_an_impossible_search_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        GenerationConfig(**changes)  # type: ignore[arg-type]


def test_the_target_limit_is_the_papers_and_never_beyond_the_model() -> None:
    assert GenerationConfig().target_limit(10, 512) == 60
    assert GenerationConfig().target_limit(500, 512) == 512
    assert GenerationConfig(max_new_tokens=7).target_limit(10, 512) == 7


def test_an_engine_needs_slots_and_a_way_to_run() -> None:
    with pytest.raises(InvalidRequestError, match="`max_slots`"):
        EngineConfig(max_slots=0)
    with pytest.raises(InvalidRequestError, match="`dtype`"):
        EngineConfig(dtype="int3")
    with pytest.raises(InvalidRequestError, match="`backend` must be one of auto, eager, native"):
        EngineConfig(backend="abacus")


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ("01", r"`alignment_heads` must have pairs \[layer, head\], but has '0'"),
        (5, r"`alignment_heads` must be a list"),
        ([[0]], r"`alignment_heads` must have pairs \[layer, head\], but has \[0\]"),
        ([[6, 0]], r"`alignment_heads\[layer\]` must be"),
        ([[0, 8]], r"`alignment_heads\[head\]` must be"),
        ([[0, True]], r"`alignment_heads\[head\]` must be"),
        ([[0, 1], [0, 1]], "`alignment_heads` must have each head once"),
    ],
)
def test_alignment_heads_that_are_none_are_refused(heads: object, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        TransformerConfig.base(alignment_heads=heads)


@pytest.mark.parametrize(("layers", "aligning"), [(1, 0), (2, 1), (3, 1), (6, 4)])
def test_without_a_choice_a_late_layer_aligns(layers: int, aligning: int) -> None:
    config = TransformerConfig.base(num_decoder_layers=layers)
    heads = [config.alignment_heads_of(layer) for layer in range(layers)]
    assert heads[aligning] == tuple(range(8))
    assert sum(map(len, heads)) == 8


def test_chosen_heads_align_and_no_others() -> None:
    config = TransformerConfig.base(alignment_heads=[[5, 0], [2, 7], [5, 3]])
    assert config.alignment_heads == ((5, 0), (2, 7), (5, 3))
    assert [config.alignment_heads_of(layer) for layer in (0, 2, 5)] == [(), (7,), (0, 3)]
    assert TransformerConfig.from_dict(config.to_dict()) == config
