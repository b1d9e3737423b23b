"""Products in int8 against the same ones in float32."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from model.training import int8
from model.training.int8 import (
    Int8TrainingLinear,
    int8_product,
    int8_projection_loss,
    quantise_columns,
    quantise_rows,
    rescale,
    use_int8,
)
from model.training.loss import reference_loss
from tests.tiny_model import tiny_transformer


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("shape", [(1, 16), (7, 48), (3, 1024)])
def test_numbers_and_scales_give_a_row_back_to_half_a_step(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape) * torch.exp(3 * torch.randn(shape[0], 1))
    numbers, scales = quantise_rows(x)
    torch.testing.assert_close(scales, x.abs().amax(1) / 127)
    assert ((numbers * scales[:, None] - x).abs() <= 0.501 * scales[:, None]).all()
    assert (numbers.abs().amax(1) == 127).all()


@pytest.mark.parametrize("shape", [(1, 16), (7, 48), (300, 272)])
@pytest.mark.parametrize("with_factors", [False, True])
def test_numbers_and_scales_give_a_column_back(shape: tuple[int, int], with_factors: bool) -> None:
    torch.manual_seed(0)
    x, factors = torch.randn(shape), torch.exp(torch.randn(shape[0]))
    expected = x * factors[:, None] if with_factors else x
    numbers, scales = quantise_columns(x, factors if with_factors else None)
    torch.testing.assert_close(scales, expected.abs().amax(0) / 127)
    assert ((numbers * scales - expected).abs() <= 0.501 * scales).all()


@pytest.mark.parametrize("by_rows", [False, True])
def test_at_random_the_mean_is_right(by_rows: bool) -> None:
    torch.manual_seed(0)
    row = torch.linspace(-1, 1, 32) * torch.rand(32)
    row[0] = 1.0
    rows = row.expand(20_000, -1).contiguous()
    if by_rows:
        numbers, scales = quantise_rows(rows, at_random=True)
        step = scales[:, None]
    else:
        rows[-1] = 1.0  # the largest of every column
        numbers, step = quantise_columns(rows, at_random=True)
    found = (numbers * step)[:-1]
    assert ((found - row).abs() <= 1.01 * step.max()).all()
    # The mean of 20,000 draws is off by at most step / 2 / sqrt(20,000), times five.
    torch.testing.assert_close(found.mean(0), row, rtol=0, atol=float(step.max()) * 0.018)
    assert (numbers[:-1] != numbers[0]).any(), "some rows are rounded differently"


def test_what_is_drawn_follows_from_the_seed() -> None:
    x = torch.randn(5, 64)

    for quantise in (quantise_rows, quantise_columns):
        drawn = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            drawn.append(quantise(x, at_random=True)[0])
        assert torch.equal(drawn[0], drawn[1])
        assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("at_random", [False, True])
def test_zeros_stay_zeros(at_random: bool) -> None:
    numbers, scales = quantise_rows(torch.zeros(2, 16), at_random=at_random)
    assert not numbers.any()
    assert not scales.any()
    numbers, scales = quantise_columns(torch.zeros(2, 16))
    assert not numbers.any()
    assert not scales.any()


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf])
def test_what_is_not_finite_is_not_hidden(wrong: float) -> None:
    x = torch.ones(3, 32)
    x[1, 20] = wrong
    assert quantise_rows(x)[1].isfinite().tolist() == [True, False, True]
    assert quantise_rows(x, at_random=True)[1].isfinite().tolist() == [True, False, True]
    assert (~quantise_columns(x)[1].isfinite()).nonzero().tolist() == [[20]]
    layer = Int8TrainingLinear(32, 16)
    assert not layer(x)[1].isfinite().any()


@pytest.mark.parametrize("exact", [False, True], ids=["in float32", "as the hardware has it"])
def test_products_are_exact(monkeypatch: pytest.MonkeyPatch, exact: bool) -> None:
    if not exact:
        monkeypatch.setattr(int8, "multiplies_int8", lambda: False)
    torch.manual_seed(0)
    left = torch.randint(-127, 128, (33, 64), dtype=torch.int8)
    right = torch.randint(-127, 128, (48, 64), dtype=torch.int8)
    left[0], right[0], right[1] = 127, 127, -127
    expected = (left.double() @ right.double().t()).to(torch.int32)
    assert torch.equal(int8_product(left, right.t()), expected)
    expected = (left.double().t() @ left.double()).to(torch.int32)
    assert torch.equal(int8_product(left.t(), left), expected)


def test_sums_get_scales_and_a_bias() -> None:
    torch.manual_seed(0)
    sums = torch.randint(-(2**22), 2**22, (3, 32), dtype=torch.int32)
    rows, columns, bias = torch.rand(3), torch.rand(32), torch.randn(32)
    expected = sums * rows[:, None] * columns
    torch.testing.assert_close(rescale(sums, rows, columns), expected)
    torch.testing.assert_close(rescale(sums, rows, columns, bias), expected + bias)
    torch.testing.assert_close(rescale(sums, None, columns), sums * columns)


def test_sums_that_might_not_fit_are_refused() -> None:
    left = torch.zeros(1, 133_145, dtype=torch.int8)
    with pytest.raises(ValueError, match="at most 133144 products fit into a sum, not 133145"):
        int8_product(left, left.t())


@pytest.mark.parametrize("shape", [(32,), (0, 32), (2, 0, 32), (2, 3, 4, 32)])
def test_inputs_of_any_shape(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape).transpose(0, -2) if len(shape) > 1 else torch.randn(shape)
    layer = Int8TrainingLinear(32, 16)
    assert layer(x).shape == layer.eval()(x).shape


@pytest.mark.parametrize("wrong", [torch.float64, torch.bfloat16])
def test_another_dtype_is_refused(wrong: torch.dtype) -> None:
    """Its bytes would be taken for float32."""
    with pytest.raises(TypeError, match=r"must be torch\.float32 on the CPU, without gaps, but is"):
        Int8TrainingLinear(32, 16)(torch.randn(3, 32).to(wrong))
    with pytest.raises(TypeError, match="with gaps"):
        quantise_rows(torch.randn(32, 16).t())


@pytest.mark.parametrize("target", [-1, 32])
def test_a_target_outside_the_vocabulary_is_refused(target: int) -> None:
    targets = torch.tensor([3, target])
    with pytest.raises(ValueError, match=r"targets must be in \[0, 32\), but are from"):
        int8_projection_loss(torch.randn(2, 16), torch.randn(32, 16), targets, 0.1)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(1, 16, 16), (70, 64, 32), (513, 32, 144)])
def test_a_layer_and_its_gradients_are_close_to_float32(
    shape: tuple[int, int, int], bias: bool
) -> None:
    torch.manual_seed(0)
    tokens, inputs, outputs = shape
    linear = nn.Linear(inputs, outputs, bias=bias)
    x = torch.randn(2, tokens, inputs)
    grad = torch.randn(2, tokens, outputs) * torch.exp(torch.randn(2, tokens, 1))
    found = []
    for layer in (linear, Int8TrainingLinear.sharing(linear)):
        given = x.clone().requires_grad_()
        linear.zero_grad()
        y = layer(given)
        y.backward(grad)
        found.append((y.detach(), given.grad, linear.weight.grad.clone()))
        if bias:
            found[-1] += (linear.bias.grad.clone(),)
    for expected, rough in zip(*found, strict=True):
        assert rough.shape == expected.shape
        assert relative_error(rough, expected) < 0.06


def test_many_rows_of_small_gradients_count_beside_a_few_of_large_ones() -> None:
    """To the nearest, each of them would be nothing in the gradient by the weights."""
    torch.manual_seed(0)
    x, grad = torch.randn(4104, 32), torch.randn(4104, 16)
    x[8:], grad[8:] = 1.0, 1 / 300
    layer = Int8TrainingLinear(32, 16, bias=False)
    layer(x).backward(grad)
    small = grad[8:].t() @ x[8:]
    assert small.norm() > 2 * (grad[:8].t() @ x[:8]).norm()
    assert relative_error(layer.weight.grad, grad.t() @ x) < 0.1


def mean_gradients(hidden: Tensor, weight: Tensor, targets: Tensor, draws: int) -> list[Tensor]:
    """The mean of what int8_projection_loss says of hidden states and of weights."""
    hidden, weight = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
    for _ in range(draws):
        (int8_projection_loss(hidden, weight, targets, 0.1)[0] / draws).backward()
    return [hidden.grad, weight.grad]


def test_the_loss_and_its_gradients_are_close_to_float32_and_right_in_the_mean() -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(300, 32), torch.randn(512, 32) / 4
    targets = torch.randint(512, (300,))
    exact = [hidden.clone().requires_grad_(), weight.clone().requires_grad_()]
    expected = reference_loss(*exact, targets, 0.1)
    expected.backward()
    loss, nll = int8_projection_loss(hidden, weight, targets, 0.1)
    assert abs(loss - expected) / expected < 0.01
    plain = reference_loss(hidden, weight, targets, 0.0)
    assert abs(nll - plain) / plain < 0.01
    assert not nll.requires_grad
    once = mean_gradients(hidden, weight, targets, 1)
    often = mean_gradients(hidden, weight, targets, 64)
    for rough, better, right in zip(once, often, exact, strict=True):
        assert relative_error(rough, right.grad) < 0.1
        assert relative_error(better, right.grad) < 0.4 * relative_error(rough, right.grad)


def test_the_gradient_of_a_loss_is_scaled() -> None:
    torch.manual_seed(0)
    weight, targets = torch.randn(32, 16), torch.randint(32, (9,))
    gradients = []
    for scale in (1.0, 0.25):
        hidden = torch.ones(9, 16, requires_grad=True)
        torch.manual_seed(1)
        (int8_projection_loss(hidden, weight, targets, 0.1)[0] * scale).backward()
        gradients.append(hidden.grad)
    torch.testing.assert_close(gradients[1], gradients[0] / 4)


def test_a_vocabulary_of_another_size_has_its_loss_in_float32() -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(9, 16), torch.randn(17, 16)
    targets = torch.randint(17, (9,))
    loss, _ = int8_projection_loss(hidden, weight, targets, 0.1)
    torch.testing.assert_close(loss, reference_loss(hidden, weight, targets, 0.1))


def shapes_of_int8(model: nn.Module) -> list[tuple[int, int]]:
    return [
        (m.in_features, m.out_features)
        for m in model.modules()
        if isinstance(m, Int8TrainingLinear)
    ]


def test_only_layers_whose_shape_allows_it_are_replaced_and_weights_stay_the_same() -> None:
    model = nn.Sequential(nn.Linear(32, 16), nn.Linear(16, 24), nn.LayerNorm(16))
    before = dict(model.named_parameters())
    use_int8(model)
    assert shapes_of_int8(model) == [(32, 16)]
    after = dict(model.named_parameters())
    assert list(after) == list(before)
    assert all(after[name] is before[name] for name in before)


def test_in_evaluation_nothing_is_rounded() -> None:
    model = nn.Sequential(nn.Linear(32, 16)).eval()
    x = torch.randn(3, 32)
    expected = model(x)
    use_int8(model)
    assert torch.equal(model.eval()(x), expected)
    assert not torch.equal(model.train()(x), expected)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of the left factors of all products in int8."""
    shapes: list[tuple[int, ...]] = []
    multiply: Callable[[Tensor, Tensor], Tensor] = int8.int8_product

    def count(left: Tensor, right: Tensor) -> Tensor:
        shapes.append(tuple(left.shape))
        return multiply(left, right)

    monkeypatch.setattr(int8, "int8_product", count)
    return shapes


def test_every_layer_of_a_model_multiplies_in_int8(counted: list[tuple[int, ...]]) -> None:
    transformer = tiny_transformer(seed=1).train()
    use_int8(transformer)
    source = torch.randint(4, 20, (2, 5))
    hidden = transformer.decode_hidden(
        source, transformer.encode(source, torch.tensor([5, 5])), torch.tensor([5, 5])
    )
    layers = len(shapes_of_int8(transformer))
    assert layers
    hidden.sum().backward()
    # The projection stands beside the layers, and is multiplied by the loss.
    projection = isinstance(transformer.projection, Int8TrainingLinear)
    assert len(counted) == 3 * (layers - projection)
