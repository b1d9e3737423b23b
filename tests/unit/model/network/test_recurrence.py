"""Decoders without self-attention, against their formulas in NumPy's float64.

Nothing of ours computes there: weights are read by name, positions and activations written anew.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.network.transformer import Transformer
from tests.tiny_model import tiny_transformer

Doubles = NDArray[np.float64]


def sigmoid(x: Doubles) -> Doubles:
    return 1 / (1 + np.exp(-x))


class Decoder:
    """One target, post-norm or pre-norm, positions as fairseq has them."""

    def __init__(self, model: Transformer, encoder_output: Doubles) -> None:
        self.config = model.config
        self.encoder_output = encoder_output
        self.weights = {
            name: weight.detach().numpy().astype(np.float64)
            for name, weight in model.named_parameters()
        }

    def logits(self, tokens: list[int]) -> Doubles:
        """(T, V)."""
        width, half = self.config.d_model, self.config.d_model // 2
        table = self.weights["src_embedding.tokens.weight"]
        x = np.zeros((len(tokens), width))
        for position, token in enumerate(tokens):
            angles = [position / 10_000 ** (i / (half - 1)) for i in range(half)]
            waves = [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]
            x[position] = table[token] * math.sqrt(width) + np.array(waves)
        for index in range(self.config.num_decoder_layers):
            layer = f"decoder_layers.{index}."
            past = self.ssru if self.config.decoder_kind == "ssru" else self.average_attention
            x = past(layer, x)
            x = self.residual(f"{layer}cross_attn_residual", x, self.cross_attention(layer))
            x = self.residual(f"{layer}feed_forward_residual", x, self.feed_forward(layer))
        if self.config.final_norm:
            x = self.norm("decoder_norm", x)
        return x @ table.T

    def linear(self, name: str, x: Doubles) -> Doubles:
        return x @ self.weights[f"{name}.weight"].T + self.weights.get(f"{name}.bias", 0.0)

    def norm(self, name: str, x: Doubles) -> Doubles:
        centred = x - x.mean(-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + self.config.layer_norm_eps)
        return centred / deviation * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def residual(self, name: str, x: Doubles, function: Any) -> Doubles:
        if self.config.norm_order == "pre":
            return x + function(self.norm(f"{name}.norm", x))
        return self.norm(f"{name}.norm", x + function(x))

    def ssru(self, layer: str, x: Doubles) -> Doubles:
        def cell(inputs: Doubles) -> Doubles:
            state = np.zeros(inputs.shape[1])
            outputs = []
            for row in inputs:
                forget = sigmoid(self.linear(f"{layer}ssru.forget", row))
                state = forget * state + (1 - forget) * self.linear(f"{layer}ssru.input", row)
                outputs.append(np.maximum(state, 0))
            return np.array(outputs)

        return self.residual(f"{layer}ssru_residual", x, cell)

    def average_attention(self, layer: str, x: Doubles) -> Doubles:
        name, norm = f"{layer}average_attn", f"{layer}average_attn_residual.norm"
        average = np.array([x[: t + 1].mean(0) for t in range(len(x))])
        if self.config.norm_order == "pre":
            average = self.norm(norm, average)
        if self.config.d_average:
            inner = self.linear(f"{name}.inner", average)
            average = self.linear(f"{name}.outer", inner * sigmoid(inner))
        y = sigmoid(self.linear(f"{name}.input_gate", x)) * x
        y = y + sigmoid(self.linear(f"{name}.forget_gate", average)) * average
        return x + y if self.config.norm_order == "pre" else self.norm(norm, x + y)

    def cross_attention(self, layer: str) -> Any:
        name, heads = f"{layer}cross_attn", self.config.num_heads

        def attend(x: Doubles) -> Doubles:
            query, key, value = (
                self.linear(f"{name}.{part}", of).reshape(len(of), heads, -1)
                for part, of in (
                    ("q_proj", x), ("k_proj", self.encoder_output), ("v_proj", self.encoder_output)
                )
            )  # fmt: skip
            scores = np.einsum("thk,shk->hts", query, key) / math.sqrt(query.shape[-1])
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            weights /= weights.sum(-1, keepdims=True)
            joined = np.einsum("hts,shk->thk", weights, value).reshape(len(x), -1)
            return self.linear(f"{name}.out_proj", joined)

        return attend

    def feed_forward(self, layer: str) -> Any:
        def function(x: Doubles) -> Doubles:
            inner = self.linear(f"{layer}feed_forward.inner", x)
            return self.linear(f"{layer}feed_forward.outer", np.maximum(inner, 0))

        return function


@pytest.mark.parametrize("norm_order", ["post", "pre"])
@pytest.mark.parametrize(
    "changes",
    [
        {"decoder_kind": "ssru"},
        {"decoder_kind": "average_attention"},
        {"decoder_kind": "average_attention", "d_average": 48},
    ],
)
def test_logits_equal_the_formulas(changes: dict[str, Any], norm_order: str) -> None:
    model = tiny_transformer(
        positions="sinusoidal_fairseq", norm_order=norm_order, final_norm=norm_order == "pre",
        layer_norm_eps=1e-9, **changes,
    ).double()  # fmt: skip
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 1:  # as they are made, biases are all zero and norms all one
                torch.manual_seed(len(name))
                weight += 0.3 * torch.randn_like(weight)
        source = torch.tensor([[5, 17, 80, 33, 2]])
        target = [1, 40, 41, 7, 300, 7, 7, 99, 12]
        length = torch.tensor([5])
        encoder_output = model.encode(source, length)
        ours = model.decode(torch.tensor([target]), encoder_output, length)[0]
    expected = Decoder(model, encoder_output[0].numpy()).logits(target)
    # Our table of positions is float32.
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-5)
