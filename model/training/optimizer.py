"""The optimiser of a whole model: Adam, or Muon within the layers and Adam for the rest."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from model.network.transformer import Transformer
from model.training.muon import Muon
from model.training.recipe import OptimizerRecipe

__all__ = ["ModelOptimizer"]


class ModelOptimizer:
    """Updates all weights of a model, each by the optimiser that the recipe has for its kind."""

    def __init__(self, model: Transformer, recipe: OptimizerRecipe) -> None:
        matrices = layer_matrices(model) if recipe.kind == "muon" else []
        chosen = set(map(id, matrices))
        adam = torch.optim.AdamW(
            [weight for weight in model.parameters() if id(weight) not in chosen],
            lr=0.0,
            betas=(recipe.beta1, recipe.beta2),
            eps=recipe.epsilon,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        self._parts: dict[str, torch.optim.Optimizer] = {"adam": adam}
        if matrices:
            self._parts["muon"] = Muon(matrices, lr=0.0, weight_decay=recipe.weight_decay)

    def step(self, learning_rate: float) -> None:
        """One update from the gradients that are there, which it clears."""
        for group in self.param_groups:
            group["lr"] = learning_rate
        for part in self._parts.values():
            part.step()
            part.zero_grad(set_to_none=True)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """How each of the optimisers works, Adam first."""
        return [group for part in self._parts.values() for group in part.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """What the optimisers have learned about the weights."""
        # Adam's by itself is what runs saved when there was no other.
        return {**self._parts["adam"].state_dict(), **{
            name: part.state_dict() for name, part in self._parts.items() if name != "adam"
        }}  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes what they had learned, but not how they worked: that is the recipe's to say.

        Raises:
            ValueError: the state is of optimisers of other kinds. Adam's own code would read and
                write where the moments of other weights end.
        """
        kinds = {"adam", *state} - {"state", "param_groups"}
        if kinds != self._parts.keys():
            raise ValueError(
                f"its optimisers are {', '.join(sorted(kinds))}, but the recipe wants "
                f"{', '.join(sorted(self._parts))}"
            )
        for name, part in self._parts.items():
            saved = state if name == "adam" else state[name]
            groups = part.state_dict()["param_groups"]
            part.load_state_dict({"state": saved["state"], "param_groups": groups})


def layer_matrices(model: Transformer) -> list[nn.Parameter]:
    """The matrices of encoder and decoder layers: not embeddings, projection, norms and biases."""
    layers = [*model.encoder_layers.parameters(), *model.decoder_layers.parameters()]
    return [weight for weight in layers if weight.dim() == 2]
