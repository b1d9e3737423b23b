"""The cheap dropout is a dropout."""

import pytest
import torch

from model.network.dropout import Dropout


def test_is_the_identity_in_evaluation() -> None:
    x = torch.randn(3, 5)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0).train()(x) is x


@pytest.mark.parametrize("p", [0.001, 0.999])
def test_never_drops_nothing_or_everything(p: float) -> None:
    torch.manual_seed(0)
    dropped = Dropout(p).train()(torch.ones(1000, 1000))
    assert dropped.isfinite().all()
    assert len(dropped.unique()) == 2


@pytest.mark.parametrize("p", [0.1, 0.3])
def test_drops_its_share_and_keeps_the_mean(p: float) -> None:
    torch.manual_seed(0)
    dropped = Dropout(p).train()(torch.ones(999, 1001))
    share = (dropped == 0).float().mean().item()
    assert share == pytest.approx(p, abs=0.003)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.003)
    assert len(dropped.unique()) == 2


def test_the_gradient_passes_where_the_value_did() -> None:
    torch.manual_seed(0)
    x = torch.ones(64, 64, requires_grad=True)
    y = Dropout(0.25).train()(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad, y.detach())
