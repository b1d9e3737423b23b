"""The model with its loss: what one batch goes through."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from model.network.transformer import Transformer
from model.training.batches import Batch
from model.training.corpus import IntArray
from model.training.int8 import int8_projection_loss, use_int8
from model.training.loss import fused_projection_loss

__all__ = ["BatchLoss"]


class BatchLoss(nn.Module):
    """The summed loss of a batch; the part of training that is compiled and distributed.

    Args:
        compute_dtype: of products; weights and their updates stay float32.
        compiled: hand encoder and decoder to torch.compile, once for all shapes.
        int8: make the products of linear layers and of the loss in int8.
    """

    def __init__(
        self, model: Transformer, *, pad_id: int, label_smoothing: float,
        compute_dtype: torch.dtype, compiled: bool, int8: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.model = model
        self._pad_id = pad_id
        self._label_smoothing = label_smoothing
        self._compute_dtype = compute_dtype
        self._compiled = compiled
        self._loss = int8_projection_loss if int8 else fused_projection_loss
        if int8:
            use_int8(model)
        self._encode, self._decode = model.encode, model.decode_hidden
        if compiled:
            self._encode = torch.compile(model.encode, dynamic=True)
            self._decode = torch.compile(model.decode_hidden, dynamic=True)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The summed smoothed loss, differentiable, and the summed plain one, not: scalars.

        The host never waits for a GPU: which rows are padding it finds out by itself.
        """
        tgt_output = batch.tgt_output.ravel()
        predicted = np.flatnonzero(tgt_output != self._pad_id)
        if self._compiled and len(batch.src_tokens) == 1:
            batch = _twice(batch)
        src_tokens, src_lengths, tgt_input, wanted, targets = map(
            self._uploaded,
            (
                batch.src_tokens, batch.src_lengths, batch.tgt_input, predicted,
                tgt_output[predicted],
            ),
        )  # fmt: skip
        mixed = self._compute_dtype != torch.float32
        with torch.autocast(src_tokens.device.type, self._compute_dtype, enabled=mixed):
            encoder_output = self._encode(src_tokens, src_lengths)
            hidden = self._decode(tgt_input, encoder_output, src_lengths)
        # Rows of padding predict nothing: (B, T, D) -> (target tokens, D)
        return self._loss(
            hidden.flatten(0, 1).index_select(0, wanted).to(self._compute_dtype),
            self.model.projection.weight,
            targets,
            self._label_smoothing,
        )

    def _uploaded(self, values: IntArray) -> Tensor:
        device = self.model.projection.weight.device
        tensor = torch.from_numpy(values)
        if device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(device, non_blocking=True)


def _twice(batch: Batch) -> Batch:
    """The one pair of a batch in two rows, for what is compiled takes one row for another shape."""
    return replace(
        batch,
        src_tokens=batch.src_tokens.repeat(2, axis=0),
        src_lengths=batch.src_lengths.repeat(2),
        tgt_input=batch.tgt_input.repeat(2, axis=0),
        tgt_output=batch.tgt_output.repeat(2, axis=0),
    )
