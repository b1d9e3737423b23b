"""The model with its loss: what one batch goes through."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.network.transformer import Transformer
from model.training.batches import Batch
from model.training.loss import fused_projection_loss

__all__ = ["BatchLoss"]


class BatchLoss(nn.Module):
    """The summed loss of a batch; the part of training that is compiled and distributed.

    Args:
        compute_dtype: of products; weights and their updates stay float32.
        compiled: hand encoder and decoder to torch.compile, once for all shapes.
    """

    def __init__(
        self, model: Transformer, *, pad_id: int, label_smoothing: float,
        compute_dtype: torch.dtype, compiled: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.model = model
        self._pad_id = pad_id
        self._label_smoothing = label_smoothing
        self._compute_dtype = compute_dtype
        self._encode, self._decode = model.encode, model.decode_hidden
        if compiled:
            self._encode = torch.compile(model.encode, dynamic=True)
            self._decode = torch.compile(model.decode_hidden, dynamic=True)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The summed smoothed loss, differentiable, and the summed plain one, not: scalars."""
        device = self.model.projection.weight.device
        src_tokens, src_lengths, tgt_input, targets = (
            torch.from_numpy(array).to(device, non_blocking=True)
            for array in (batch.src_tokens, batch.src_lengths, batch.tgt_input, batch.tgt_output)
        )
        mixed = self._compute_dtype != torch.float32
        with torch.autocast(device.type, self._compute_dtype, enabled=mixed):
            encoder_output = self._encode(src_tokens, src_lengths)
            hidden = self._decode(tgt_input, encoder_output, src_lengths)
        # Rows of padding predict nothing: (B, T, D) -> (target tokens, D)
        wanted = targets != self._pad_id
        return fused_projection_loss(
            hidden[wanted].to(self._compute_dtype),
            self.model.projection.weight,
            targets[wanted],
            self._label_smoothing,
        )
