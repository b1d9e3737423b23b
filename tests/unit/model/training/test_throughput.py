"""The arithmetic of training is that of the products it does."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from model.training.throughput import matmul_rate, training_flops
from tests.tiny_model import tiny_transformer


def test_operations_are_those_that_pytorch_counts() -> None:
    model = tiny_transformer(dropout=0.0)
    src_tokens, tgt_tokens = torch.full((3, 5), 7), torch.full((3, 4), 7)
    with FlopCounterMode(display=False) as counter:
        model(src_tokens, torch.full((3,), 5), tgt_tokens).sum().backward()
    products = sum(
        count
        for operation, count in counter.get_flop_counts()["Global"].items()
        if "bmm" not in str(operation) and "attention" not in str(operation)
    )
    # The gradient with respect to embeddings needs no product, but that of the first layer's input
    # is computed: the counts agree.
    assert training_flops(model, src_tokens.numel(), tgt_tokens.numel()) == pytest.approx(
        products, rel=0.01
    )


def test_the_rate_is_one() -> None:
    for dtype in (torch.float32, torch.int8):
        assert matmul_rate(torch.device("cpu"), dtype) > 1e6
