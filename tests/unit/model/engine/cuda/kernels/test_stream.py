"""The residual stream and the products around it, against PyTorch in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from model.config import Activation
from model.engine.cuda.kernels.operations import Linear, Norm, Table
from tests.unit.model.engine.cuda.kernels.arena import error, make_operations

WIDTHS = [64, 20]
ACTIVATIONS = {
    Activation.RELU: F.relu,
    Activation.GELU: F.gelu,
    Activation.GELU_TANH: lambda x: x * (1 + torch.tanh(0.7978845608 * (x + 0.044715 * x**3))) / 2,
    Activation.GELU_SIGMOID: lambda x: x / (1 + torch.exp(-1.702 * x)),
    Activation.SILU: F.silu,
}


class Draw:
    """Random tensors of one device, each call other ones."""

    def __init__(self, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        self.device, self.dtype = device, dtype
        self._generator = torch.Generator().manual_seed(0)

    def floats(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self._generator).to(self.device)

    def norm(self, width: int) -> Norm:
        return Norm(self.floats(width), self.floats(width), 1e-3)

    def linear(self, wide: int, deep: int, *, bias: bool = True) -> Linear:
        weight = (self.floats(wide, deep) / deep**0.5).to(self.dtype)
        return Linear(weight, self.floats(wide).to(self.dtype) if bias else None)


def normed(x: Tensor, norm: Norm | None) -> Tensor:
    x = x.double()
    if norm is None:
        return x
    return F.layer_norm(x, x.shape[-1:], norm.weight.double(), norm.bias.double(), norm.eps)


def product(x: Tensor, linear: Linear) -> Tensor:
    bias = None if linear.bias is None else linear.bias.double()
    return F.linear(x.double(), linear.weight.double(), bias)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("with_norm", [False, True])
def test_embedding(operations, device, width: int, with_norm: bool) -> None:
    draw = Draw(device)
    table = Table(
        tokens=draw.floats(9, width),
        positions=draw.floats(12, width),
        offset=2,
        scale=3.0,
        norm=draw.norm(width) if with_norm else None,
    )
    token_ids = torch.tensor([8, 0, 3], dtype=torch.int32, device=device)
    positions = torch.tensor([0, 9, 4], dtype=torch.int32, device=device)
    found = operations.embed(token_ids, positions, table)
    sums = table.tokens[[8, 0, 3]].double() * 3.0 + table.positions[[2, 11, 6]]
    assert found.dtype == torch.float32
    assert error(found, normed(sums, table.norm)) < 1e-5


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("with_norm", [False, True])
@pytest.mark.parametrize("with_update", [False, True])
@pytest.mark.parametrize("keep", [False, True])
def test_add_and_normalise(
    operations, device, width: int, with_norm: bool, with_update: bool, keep: bool
) -> None:
    draw = Draw(device)
    stream = draw.floats(3, width) * 5 + 2
    update = draw.floats(3, width) if with_update else None
    norm = draw.norm(width) if with_norm else None
    total = stream.double() if update is None else stream.double() + update
    found = operations.add_norm(stream, update, norm, keep=keep)
    assert error(found, normed(total, norm)) < 1e-5
    assert error(stream, normed(total, norm) if keep else total) < 1e-5


@pytest.mark.parametrize("activation", [None, *Activation])
@pytest.mark.parametrize("bias", [False, True])
def test_linear(operations, device, activation: Activation | None, bias: bool) -> None:
    draw = Draw(device)
    linear, x = draw.linear(24, 20, bias=bias), draw.floats(40, 20)
    found = operations.linear(x, linear, activation)
    wanted = product(x, linear)
    assert error(found, wanted if activation is None else ACTIVATIONS[activation](wanted)) < 1e-5


@pytest.mark.parametrize("num_rows", [1, 16, 19])
@pytest.mark.parametrize("with_norm", [False, True])
@pytest.mark.parametrize("activation", [None, *Activation])
def test_normalise_and_multiply(
    operations, device, num_rows: int, with_norm: bool, activation: Activation | None
) -> None:
    draw = Draw(device)
    linear, x = draw.linear(40, 20, bias=with_norm), draw.floats(num_rows, 20) * 3 + 1
    norm = draw.norm(20) if with_norm else None
    found = operations.norm_linear(x, norm, linear, activation)
    wanted = product(normed(x, norm), linear)
    assert error(found, wanted if activation is None else ACTIVATIONS[activation](wanted)) < 1e-5


@pytest.mark.parametrize("num_rows", [1, 16, 19])
@pytest.mark.parametrize("with_norm", [False, True])
def test_multiply_and_add(operations, device, num_rows: int, with_norm: bool) -> None:
    draw = Draw(device)
    linear, x, stream = draw.linear(20, 140), draw.floats(num_rows, 140), draw.floats(num_rows, 20)
    norm = draw.norm(20) if with_norm else None
    found = operations.linear_add(x, linear, stream, norm)
    assert error(found, normed(stream, norm) + product(x, linear)) < 1e-5


def test_products_in_half_precision(rounding_operations, device) -> None:
    operations = rounding_operations
    draw = Draw(device, operations.dtype)
    stream, norm = draw.floats(5, 64), draw.norm(64)
    inner, outer = draw.linear(96, 64), draw.linear(64, 96)
    hidden = operations.norm_linear(stream, norm, inner, Activation.RELU)
    assert hidden.dtype == operations.dtype
    assert error(hidden, F.relu(product(normed(stream, norm), inner))) < 1e-2
    added = operations.linear_add(hidden, outer, stream, None)
    assert added.dtype == torch.float32
    # What is added is not rounded: only the products' operands are.
    assert error(added, stream.double() + product(hidden, outer)) < 1e-5


def test_logits(operations, device) -> None:
    draw = Draw(device)
    linear, x = draw.linear(50, 20), draw.floats(3, 20)
    found = operations.logits(x, linear)
    assert found.dtype == torch.float32
    assert error(found, product(x, linear)) < 1e-5


def test_a_row_does_not_depend_on_its_neighbours(operations, device) -> None:
    """Bit for bit, with equally many rows."""
    draw = Draw(device)
    linear, norm = draw.linear(40, 20), draw.norm(20)
    first, second = draw.floats(7, 20), draw.floats(7, 20)
    second[4] = first[2]
    for work in (
        lambda x: operations.norm_linear(x, norm, linear, None),
        lambda x: operations.add_norm(x.clone(), None, norm, keep=False),
    ):
        assert torch.equal(work(first)[2], work(second)[4])


def test_a_sum_in_parts_is_the_same_every_time(device) -> None:
    """Whoever comes last, and however often: it leaves everything as it was."""
    draw = Draw(device)
    linear, x, stream = draw.linear(40, 1000), draw.floats(3, 1000), draw.floats(3, 40)
    operations = make_operations("fused", torch.float32)
    once, again = (operations.linear_add(x, linear, stream, None) for _ in range(2))
    assert torch.equal(once, again)
    assert error(once, stream.double() + product(x, linear)) < 1e-5


@pytest.mark.parametrize(
    ("width", "programs", "wanted"),
    [(512, 16, (4, 128)), (2048, 16, (8, 256)), (512, 64, (2, 256)), (512, 200, (1, 512)),
     (20, 1, (1, 128))],
)  # fmt: skip
def test_a_depth_is_split_until_the_device_is_busy(width, programs, wanted) -> None:
    from model.engine.cuda.kernels.fused import _depth_split

    assert _depth_split(width, 128, programs) == wanted
