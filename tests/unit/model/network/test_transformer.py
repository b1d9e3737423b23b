"""The Transformer against PyTorch's own, its cached self, and the paper's numbers."""

import pytest
import torch
from torch import nn

from model.config import TransformerConfig
from model.network.kv_cache import KVCache
from model.network.transformer import Transformer
from tests.tiny_model import poison, tiny_transformer

VARIANTS = [
    {},
    {"norm_order": "pre", "final_norm": True},
    {"activation": "gelu", "positions": "learned", "position_offset": 2},
    {"activation": "silu", "embedding_norm": True, "scale_embedding": False},
    {"shared_embeddings": False, "tgt_vocab_size": 300, "projection_bias": True},
    {"num_encoder_layers": 3, "num_decoder_layers": 1, "positions": "sinusoidal_halves"},
    {"attention_bias": False, "tied_projection": False},
    {"activation": "gelu_tanh", "positions": "sinusoidal_fairseq"},
    {"decoder_kind": "ssru", "activation": "gelu_sigmoid"},
    {"decoder_kind": "ssru", "norm_order": "pre", "final_norm": True},
    {"decoder_kind": "average_attention", "d_average": 48},
    {"decoder_kind": "average_attention", "norm_order": "pre"},
]


def random_pairs(model: Transformer, rows: int = 4) -> tuple[torch.Tensor, ...]:
    config = model.config
    torch.manual_seed(1)
    src_lengths = torch.tensor([7, 1, 5, 3])[:rows]
    src_tokens = torch.randint(4, config.src_vocab_size, (rows, 7))
    tgt_tokens = torch.randint(4, config.tgt_vocab_size, (rows, 9))
    tgt_tokens[:, 0] = config.bos_id
    return src_tokens, src_lengths, tgt_tokens


@pytest.mark.parametrize("changes", VARIANTS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_cached_decoding_equals_teacher_forcing(changes, dtype, tolerance) -> None:
    model = tiny_transformer(**changes).to(dtype)
    src_tokens, src_lengths, tgt_tokens = random_pairs(model)
    with torch.inference_mode():
        expected = model(src_tokens, src_lengths, tgt_tokens)
        cache = KVCache(model.config, 8, dtype=dtype)
        poison(cache, torch.arange(8))
        slots = torch.tensor([6, 0, 3, 5])
        model.fill_cross_cache(model.encode(src_tokens, src_lengths), src_lengths, cache, slots)
        for position in range(tgt_tokens.size(1)):
            positions = torch.full_like(slots, position)
            logits = model.decode_step(tgt_tokens[:, position], positions, cache, slots, slots)
            torch.testing.assert_close(logits, expected[:, position], atol=tolerance, rtol=0)


def test_rows_at_different_positions_share_a_step() -> None:
    model = tiny_transformer().double()
    src_tokens, src_lengths, tgt_tokens = random_pairs(model)
    with torch.inference_mode():
        expected = model(src_tokens, src_lengths, tgt_tokens)
        cache = KVCache(model.config, 4, dtype=torch.float64)
        slots = torch.arange(4)
        model.fill_cross_cache(model.encode(src_tokens, src_lengths), src_lengths, cache, slots)
        starts = torch.tensor([0, 3, 1, 5])  # each row joins at a step of its own
        for step in range(14):
            positions = step - starts
            live = (positions >= 0) & (positions < tgt_tokens.size(1))
            rows = slots[live]
            if not len(rows):
                continue
            tokens = tgt_tokens[rows, positions[live]]
            logits = model.decode_step(tokens, positions[live], cache, rows, rows)
            torch.testing.assert_close(logits, expected[rows, positions[live]], atol=1e-10, rtol=0)


def test_beams_share_their_sources_cross_entry() -> None:
    model = tiny_transformer().double()
    src_tokens, src_lengths, _ = random_pairs(model, rows=2)
    with torch.inference_mode():
        sources = torch.tensor([0, 3])
        slots = torch.arange(6)
        beams = torch.randint(4, 400, (6, 4))
        encoder_output = model.encode(src_tokens, src_lengths)
        expected = model.decode(
            beams, encoder_output.repeat_interleave(3, 0), src_lengths.repeat_interleave(3)
        )
        cache = KVCache(model.config, 6, dtype=torch.float64)
        model.fill_cross_cache(encoder_output, src_lengths, cache, sources)
        for position in range(4):
            positions = torch.full_like(slots, position)
            logits = model.decode_step(beams[:, position], positions, cache, slots, sources)
            torch.testing.assert_close(logits, expected[:, position], atol=1e-10, rtol=0)


@pytest.mark.parametrize("norm_order", ["post", "pre"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_logits_equal_pytorchs_own_transformer(norm_order: str, activation: str) -> None:
    model = tiny_transformer(
        norm_order=norm_order, activation=activation, final_norm=True, num_decoder_layers=3
    ).double()
    shape = {
        "d_model": 32, "nhead": 4, "dim_feedforward": 64, "dropout": 0.0, "activation": activation,
        "batch_first": True, "norm_first": norm_order == "pre", "dtype": torch.float64,
    }  # fmt: skip
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(**shape),
        num_layers=2,
        norm=nn.LayerNorm(32, dtype=torch.float64),
        enable_nested_tensor=False,  # a prototype that warns
    )
    theirs = nn.Transformer(num_decoder_layers=3, custom_encoder=encoder, **shape).eval()
    theirs.load_state_dict(in_pytorchs_names(model))
    src_tokens, src_lengths, tgt_tokens = random_pairs(model)
    padding = torch.arange(7) >= src_lengths[:, None]
    embed = model.src_embedding
    with torch.no_grad():
        encoder_output = theirs.encoder(
            embed(src_tokens, torch.arange(7)), src_key_padding_mask=padding
        )
        hidden = theirs.decoder(
            embed(tgt_tokens, torch.arange(9)),
            encoder_output,
            tgt_mask=~torch.ones(9, 9, dtype=torch.bool).tril(),
            memory_key_padding_mask=padding,
        )
        expected = hidden @ embed.tokens.weight.t()
        ours = model(src_tokens, src_lengths, tgt_tokens)
    torch.testing.assert_close(ours, expected, atol=1e-10, rtol=0)


def in_pytorchs_names(model: Transformer) -> dict[str, torch.Tensor]:
    """Our weights under the names of `nn.Transformer`."""
    weights = {}

    def attention(theirs: str, ours: nn.Module) -> None:
        for kind in ("weight", "bias"):
            weights[f"{theirs}.in_proj_{kind}"] = torch.cat(
                [getattr(p, kind).detach() for p in (ours.q_proj, ours.k_proj, ours.v_proj)]
            )
        linear(f"{theirs}.out_proj", ours.out_proj)

    def linear(theirs: str, ours: nn.Module) -> None:
        weights[f"{theirs}.weight"] = ours.weight.detach()
        weights[f"{theirs}.bias"] = ours.bias.detach()

    for side, layers in (("encoder", model.encoder_layers), ("decoder", model.decoder_layers)):
        for index, layer in enumerate(layers):
            name = f"{side}.layers.{index}"
            attention(f"{name}.self_attn", layer.self_attn)
            norms = [layer.self_attn_residual.norm]
            if side == "decoder":
                attention(f"{name}.multihead_attn", layer.cross_attn)
                norms.append(layer.cross_attn_residual.norm)
            norms.append(layer.feed_forward_residual.norm)
            linear(f"{name}.linear1", layer.feed_forward.inner)
            linear(f"{name}.linear2", layer.feed_forward.outer)
            for number, norm in enumerate(norms, start=1):
                linear(f"{name}.norm{number}", norm)
    linear("encoder.norm", model.encoder_norm)
    linear("decoder.norm", model.decoder_norm)
    return weights


def test_parameter_counts_are_the_papers() -> None:
    """Table 3: 65 million for base, 213 million for big."""
    with torch.device("meta"):
        base = Transformer(TransformerConfig.base()).num_parameters
        big = Transformer(TransformerConfig.big()).num_parameters
    assert base / 1e6 == pytest.approx(63, abs=2)
    assert big / 1e6 == pytest.approx(213, abs=3)


def test_tied_weights_are_one_matrix() -> None:
    model = tiny_transformer()
    assert model.projection.weight is model.src_embedding.tokens.weight
    assert model.projection.weight is model.tgt_embedding.tokens.weight
    apart = tiny_transformer(shared_embeddings=False, tied_projection=False)
    assert apart.projection.weight is not apart.tgt_embedding.tokens.weight
    assert apart.src_embedding.tokens.weight is not apart.tgt_embedding.tokens.weight


def test_the_future_has_no_influence() -> None:
    model = tiny_transformer()
    src_tokens, src_lengths, tgt_tokens = random_pairs(model)
    with torch.inference_mode():
        before = model(src_tokens, src_lengths, tgt_tokens)
        tgt_tokens[:, 5:] = 77
        after = model(src_tokens, src_lengths, tgt_tokens)
    torch.testing.assert_close(after[:, :5], before[:, :5], atol=0, rtol=0)
    assert not torch.allclose(after[:, 5:], before[:, 5:])


def test_padding_has_no_influence() -> None:
    model = tiny_transformer()
    src_tokens, src_lengths, tgt_tokens = random_pairs(model)
    with torch.inference_mode():
        before = model(src_tokens, src_lengths, tgt_tokens)
        src_tokens[torch.arange(7) >= src_lengths[:, None]] = 99
        after = model(src_tokens, src_lengths, tgt_tokens)
    torch.testing.assert_close(after, before, atol=0, rtol=0)
