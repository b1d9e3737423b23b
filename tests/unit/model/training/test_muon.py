"""Updates by Muon are what its formula says, for matrices of either shape."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from model.config import TransformerConfig
from model.network.transformer import Transformer
from model.training.muon import Muon, orthogonalized
from model.training.optimizer import ModelOptimizer, layer_matrices
from model.training.recipe import OptimizerRecipe

SHAPES = [(48, 48), (32, 128), (128, 32)]


def matrix(shape: tuple[int, int], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_become_about_one_and_their_vectors_stay(shape: tuple[int, int]) -> None:
    given = matrix(shape)
    left, values, right = torch.linalg.svd(given, full_matrices=False)
    in_their_basis = left.t() @ orthogonalized(given) @ right.t()
    found = in_their_basis.diagonal()
    large = values > values.max() * 0.05
    assert bool(((found > 0.5) & (found < 1.5))[large].all())
    torch.testing.assert_close(in_their_basis, torch.diag(found), atol=1e-4, rtol=0)


def test_how_large_a_matrix_is_makes_no_difference() -> None:
    given = matrix((16, 64))
    torch.testing.assert_close(orthogonalized(given * 1e-6), orthogonalized(given))
    assert bool((orthogonalized(given * 0.0) == 0.0).all())


@pytest.mark.parametrize("shape", SHAPES)
def test_an_update_is_as_large_as_one_of_adam(shape: tuple[int, int]) -> None:
    weight = nn.Parameter(torch.zeros(shape))
    optimizer = Muon([weight], lr=0.01)
    weight.grad = matrix(shape) * 100.0
    optimizer.step()
    assert float(weight.detach().square().mean().sqrt()) == pytest.approx(0.002, rel=0.3)


def test_updates_follow_nesterovs_momentum_of_all_gradients() -> None:
    weight = nn.Parameter(matrix((24, 32), seed=9))
    expected, mean = weight.detach().clone(), torch.zeros(24, 32)
    optimizer = Muon([weight], lr=0.02, momentum=0.9, weight_decay=0.1)
    for seed in range(3):
        grad = matrix((24, 32), seed)
        weight.grad = grad.clone()
        optimizer.step()
        mean = 0.9 * mean + 0.1 * grad
        update = orthogonalized(0.1 * grad + 0.9 * mean)
        expected = expected * (1 - 0.02 * 0.1) - 0.02 * 0.2 * 32**0.5 * update
        torch.testing.assert_close(weight.detach(), expected)


def small_transformer() -> Transformer:
    return Transformer(
        TransformerConfig(
            src_vocab_size=24, tgt_vocab_size=24, d_model=8, d_ff=16, num_heads=2,
            num_encoder_layers=1, num_decoder_layers=1, max_positions=16,
        )
    )  # fmt: skip


def updated(model: Transformer, optimizer: ModelOptimizer, seeds: range) -> None:
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        for weight in model.parameters():
            weight.grad = torch.randn(weight.shape, generator=generator)
        optimizer.step(0.01)


def test_matrices_of_layers_go_to_muon_and_everything_else_to_adam() -> None:
    model = small_transformer()
    optimizer = ModelOptimizer(model, OptimizerRecipe(kind="muon"))
    state = optimizer.state_dict()
    matrices = layer_matrices(model)
    others = sum(1 for _ in model.parameters()) - len(matrices)
    assert len(state["muon"]["param_groups"][0]["params"]) == len(matrices) > 0
    assert len(state["param_groups"][0]["params"]) == others > 0
    assert not {model.projection.weight.data_ptr()} & {w.data_ptr() for w in matrices}
    before = [weight.detach().clone() for weight in model.parameters()]
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    optimizer.step(0.01)
    assert all(weight.grad is None for weight in model.parameters())
    for weight, old in zip(model.parameters(), before, strict=True):
        assert not torch.equal(weight.detach(), old)


def test_a_resumed_run_goes_on_as_one_that_was_not_interrupted() -> None:
    model, resumed = small_transformer(), small_transformer()
    optimizer = ModelOptimizer(model, OptimizerRecipe(kind="muon"))
    updated(model, optimizer, range(2))
    saved = deepcopy((model.state_dict(), optimizer.state_dict()))
    updated(model, optimizer, range(2, 4))
    resumed.load_state_dict(saved[0])
    follower = ModelOptimizer(resumed, OptimizerRecipe(kind="muon"))
    follower.load_state_dict(saved[1])
    updated(resumed, follower, range(2, 4))
    for weight, other in zip(model.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(weight, other)


@pytest.mark.parametrize(("saved", "wanted"), [("muon", "adam"), ("adam", "muon")])
def test_the_state_of_other_optimisers_is_refused(saved: str, wanted: str) -> None:
    """Adam's moments would be those of other weights, of other sizes."""
    first, second = (
        ModelOptimizer(small_transformer(), OptimizerRecipe(kind=kind)) for kind in (saved, wanted)
    )
    with pytest.raises(ValueError, match="its optimisers are adam"):
        second.load_state_dict(first.state_dict())
