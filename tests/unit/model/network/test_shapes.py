"""The shapes that are told without torch are those of the network."""

import pytest

from model.network.shapes import num_parameters, weight_shapes
from model.network.transformer import Transformer
from tests.tiny_model import tiny_config


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"final_norm": True, "embedding_norm": True, "projection_bias": True},
        {"positions": "learned", "position_offset": 2, "attention_bias": False},
        {"shared_embeddings": False, "tgt_vocab_size": 300, "num_encoder_layers": 3},
        {"tied_projection": False, "num_decoder_layers": 1},
        {"shared_embeddings": False, "tied_projection": False, "tgt_vocab_size": 300},
        {"decoder_kind": "ssru"},
        {"decoder_kind": "average_attention", "attention_bias": False},
        {"decoder_kind": "average_attention", "d_average": 48},
    ],
)
def test_they_are_those_of_the_networks_parameters(changes: dict[str, object]) -> None:
    config = tiny_config(**changes)  # type: ignore[arg-type]
    made = Transformer(config)
    shapes = {name: tuple(each.shape) for name, each in made.named_parameters()}
    assert weight_shapes(config) == shapes
    assert num_parameters(config) == made.num_parameters
