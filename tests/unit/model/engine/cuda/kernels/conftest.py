"""Each kernel is tested where it can run: compiled on a GPU, else in Triton's interpreter."""

from __future__ import annotations

import pytest
import torch

from model.engine.cuda.kernels.operations import Operations
from tests.unit.model.engine.cuda.kernels.arena import DEVICE, ROUNDING_DTYPE, make_operations


@pytest.fixture
def device() -> torch.device:
    """Where the operations run."""
    return DEVICE


@pytest.fixture(params=["plain", "fused"])
def operations(request: pytest.FixtureRequest) -> Operations:
    """Both implementations, in float32."""
    return make_operations(request.param, torch.float32)


@pytest.fixture(params=["plain", "fused"])
def rounding_operations(request: pytest.FixtureRequest) -> Operations:
    """Both implementations, in a type of half the size."""
    return make_operations(request.param, ROUNDING_DTYPE)
