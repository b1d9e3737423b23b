"""What one batch goes through, against the loss on all of its logits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from model.network.transformer import Transformer
from model.training.batches import Batch
from model.training.loss import reference_loss
from model.training.step import BatchLoss
from tests.tiny_model import tiny_transformer

PAD = 0


def made_batch(*pairs: tuple[list[int], list[int]]) -> Batch:
    def padded(rows: list[list[int]]) -> np.ndarray:
        found = np.full((len(rows), max(map(len, rows))), PAD, dtype=np.int64)
        for row, values in zip(found, rows, strict=True):
            row[: len(values)] = values
        return found

    sources, targets = zip(*pairs, strict=True)
    return Batch(
        src_tokens=padded(list(sources)),
        src_lengths=np.array([len(source) for source in sources]),
        tgt_input=padded([[1, *target[:-1]] for target in targets]),
        tgt_output=padded(list(targets)),
        num_target_tokens=sum(map(len, targets)),
    )


SEVERAL = made_batch(([5, 6, 2], [7, 2]), ([9, 8, 7, 2], [11, 12, 13, 2]), ([4, 2], [2]))
ONE = made_batch(([5, 6, 2], [7, 8, 9, 2]))


def batch_loss(transformer: Transformer, *, compiled: bool) -> BatchLoss:
    return BatchLoss(
        transformer, pad_id=PAD, label_smoothing=0.1, compute_dtype=torch.float32,
        compiled=compiled, int8=False,
    )  # fmt: skip


def wanted(transformer: Transformer, batch: Batch) -> Tensor:
    tokens, lengths, before, targets = map(
        torch.from_numpy, (batch.src_tokens, batch.src_lengths, batch.tgt_input, batch.tgt_output)
    )
    hidden = transformer.decode_hidden(before, transformer.encode(tokens, lengths), lengths)
    real = targets != PAD
    return reference_loss(hidden[real], transformer.projection.weight, targets[real], 0.1)


@pytest.mark.parametrize("batch", [SEVERAL, ONE], ids=["several", "one"])
def test_padding_costs_nothing(batch: Batch) -> None:
    transformer = tiny_transformer(seed=1)
    loss, nll = batch_loss(transformer, compiled=False)(batch)
    torch.testing.assert_close(loss, wanted(transformer, batch))
    assert float(nll) > 0
    loss.backward()
    assert transformer.projection.weight.grad.isfinite().all()


@pytest.mark.parametrize("batch", [SEVERAL, ONE], ids=["several", "one"])
def test_what_is_compiled_never_sees_a_single_row(
    monkeypatch: pytest.MonkeyPatch, batch: Batch
) -> None:
    rows: list[int] = []

    def noting(function: Callable[..., Tensor], *, dynamic: bool) -> Callable[..., Tensor]:
        def noted(*arguments: Tensor) -> Tensor:
            rows.extend(len(argument) for argument in arguments)
            return function(*arguments)

        return noted

    monkeypatch.setattr(torch, "compile", noting)
    transformer = tiny_transformer(seed=1)
    loss, _ = batch_loss(transformer, compiled=True)(batch)
    assert set(rows) == {max(2, len(batch.src_tokens))}
    torch.testing.assert_close(loss, wanted(transformer, batch))
