"""The fused loss against PyTorch's cross-entropy on the whole logits."""

import pytest
import torch

from model.training.loss import chunk_rows, fused_projection_loss, reference_loss


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("rows", [1, 511, 1300])
def test_loss_and_gradients_equal_the_reference(smoothing: float, rows: int) -> None:
    torch.manual_seed(0)
    hidden = torch.randn(rows, 24)
    weight = torch.randn(90, 24)
    targets = torch.randint(90, (rows,))
    gradients = []
    for function in (reference_loss, lambda *a: fused_projection_loss(*a)[0]):
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        loss = function(h, w, targets, smoothing)
        (loss / 7).backward()
        gradients.append((loss.detach(), h.grad, w.grad))
    for expected, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_plain_likelihood_is_reported_beside_the_smoothed_loss() -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(9, 4), torch.randn(5, 4)
    targets = torch.randint(5, (9,))
    loss, nll = fused_projection_loss(hidden, weight, targets, 0.3)
    torch.testing.assert_close(nll, reference_loss(hidden, weight, targets, 0.0))
    assert loss > 0
    assert not nll.requires_grad


def test_the_gradient_is_scaled_without_rounding_the_scale() -> None:
    torch.manual_seed(0)
    hidden = torch.randn(9, 16).bfloat16().requires_grad_()
    weight, targets = torch.randn(20, 16), torch.randint(20, (9,))
    gradients = []
    for scale in (1.0, 1 / 769):  # 769 is between two numbers of bfloat16
        hidden.grad = None
        (fused_projection_loss(hidden, weight, targets, 0.1)[0] * scale).backward()
        gradients.append(hidden.grad)
    expected = (gradients[0].float() / 769).bfloat16()
    torch.testing.assert_close(gradients[1], expected, rtol=0, atol=0)


def test_bfloat16_stays_close() -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(64, 32), torch.randn(50, 32)
    targets = torch.randint(50, (64,))
    exact = reference_loss(hidden, weight, targets, 0.1)
    rough, _ = fused_projection_loss(hidden.bfloat16(), weight, targets, 0.1)
    assert abs(rough - exact) / exact < 0.01


def test_a_gpu_has_few_large_chunks_that_fit() -> None:
    assert chunk_rows("cpu", 8_000) == 512
    assert chunk_rows("cuda", 32_000) == 8192
    assert chunk_rows("cuda", 256_000) * 256_000 <= 2**28


def test_large_chunks_give_what_small_ones_do(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    hidden, weight, targets = torch.randn(700, 8), torch.randn(30, 8), torch.randint(30, (700,))
    small = fused_projection_loss(hidden, weight, targets, 0.1)
    monkeypatch.setattr("model.training.loss.chunk_rows", lambda *_: 8192)
    torch.testing.assert_close(fused_projection_loss(hidden, weight, targets, 0.1), small)
