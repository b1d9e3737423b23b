"""What a recipe's precision means on a device."""

import pytest
import torch

from model.errors import RecipeError
from model.training.precision import compute_dtype


def test_int8_leaves_everything_but_its_products_in_float32() -> None:
    assert compute_dtype("int8", torch.device("cpu")) == torch.float32


def test_int8_is_refused_where_its_products_cannot_be_made() -> None:
    with pytest.raises(RecipeError, match="int8 trains on a CPU, but the device is cuda"):
        compute_dtype("int8", torch.device("cuda"))
