"""Maps of attention in NumPy, equal to those of the network in PyTorch."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from model.checkpoints.checkpoint import stored_weights
from model.checkpoints.embedded import EMBEDDED
from model.checkpoints.manifest import read_manifest
from model.config import (
    Activation,
    DecoderKind,
    NormOrder,
    PositionKind,
    TransformerConfig,
)
from model.network.attention import MultiHeadAttention
from model.network.attention_maps import AttentionMaps, attention_maps, map_size, mean_entropy
from model.network.transformer import Transformer
from model.network.weights import Weights

SOURCE, TARGET = [5, 9, 5, 7, 2], [1, 8, 6, 4]


def network(**changes: Any) -> Transformer:
    torch.manual_seed(3)
    shape: dict[str, Any] = {
        "src_vocab_size": 20, "tgt_vocab_size": 20, "d_model": 16, "d_ff": 24, "num_heads": 4,
        "num_encoder_layers": 2, "num_decoder_layers": 3, "max_positions": 16,
    }  # fmt: skip
    made = Transformer(TransformerConfig(**shape | changes)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)  # norms and biases, too
    return made


@torch.inference_mode()
def maps_in_torch(made: Transformer) -> dict[str, list[Tensor]]:
    """The weights of each attention, by the last part of its name, of a whole pass."""
    maps: dict[str, list[Tensor]] = {}

    def note(module: MultiHeadAttention, args: tuple[Tensor, ...], name: str) -> None:
        x, attended, mask = args
        key, _ = module.project_keys_values(attended)
        maps.setdefault(name, []).append(module.weights(x, key, mask)[0])

    for name, module in made.named_modules():
        if isinstance(module, MultiHeadAttention):
            part = "encoder" if name.startswith("encoder") else name.split(".")[-1]
            module.register_forward_pre_hook(lambda m, args, part=part: note(m, args, part))
    made(torch.tensor([SOURCE]), torch.tensor([len(SOURCE)]), torch.tensor([TARGET]))
    return maps


def check(weights: Weights, made: Transformer) -> AttentionMaps:
    found, expected = attention_maps(weights, SOURCE, TARGET), maps_in_torch(made)
    np.testing.assert_allclose(found.encoder, torch.stack(expected["encoder"]), atol=1e-5)
    np.testing.assert_allclose(found.cross, torch.stack(expected["cross_attn"]), atol=1e-5)
    if found.decoder is None:
        assert "self_attn" not in expected
    else:
        np.testing.assert_allclose(found.decoder, torch.stack(expected["self_attn"]), atol=1e-5)
    of_self = 0 if found.decoder is None else found.decoder.size
    size = map_size(made.config, len(SOURCE), len(TARGET))
    assert size == found.encoder.size + of_self + found.cross.size
    return found


@pytest.mark.parametrize("norm_order", NormOrder)
@pytest.mark.parametrize(
    "changes",
    [
        {"decoder_kind": DecoderKind.ATTENTION},
        {"decoder_kind": DecoderKind.SSRU, "shared_embeddings": False, "tied_projection": False},
        {"decoder_kind": DecoderKind.AVERAGE_ATTENTION, "d_average": 12},
        {"decoder_kind": DecoderKind.AVERAGE_ATTENTION, "scale_embedding": False},
        {"positions": PositionKind.LEARNED, "position_offset": 2, "embedding_norm": True},
        {"attention_bias": False, "positions": PositionKind.SINUSOIDAL_FAIRSEQ},
    ],
)
def test_maps_are_those_of_the_network(norm_order: NormOrder, changes: dict[str, Any]) -> None:
    made = network(norm_order=norm_order, final_norm=norm_order is NormOrder.PRE, **changes)
    check(made, made)


@pytest.mark.parametrize("activation", Activation)
def test_each_activation_is_the_networks(activation: Activation) -> None:
    made = network(activation=activation)
    check(made, made)


@pytest.mark.parametrize("name", EMBEDDED)
def test_the_models_that_come_with_the_project(name: str) -> None:
    directory = Path(EMBEDDED[name])
    weights = stored_weights(directory, read_manifest(directory).config)
    found = check(weights, weights.transformer())
    assert found.decoder is not None
    assert np.triu(found.decoder[0, 0], 1).max() == 0


def test_entropy_is_from_one_place_to_all() -> None:
    one, all_alike = np.eye(4, dtype=np.float32), np.full((4, 4), 0.25, np.float32)
    found = mean_entropy(np.stack([one, all_alike])[None])
    np.testing.assert_allclose(found, [[0.0, math.log(4)]], atol=1e-6)


def test_a_pass_ends_between_layers() -> None:
    def stop() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        attention_maps(network(), SOURCE, TARGET, check=stop)
