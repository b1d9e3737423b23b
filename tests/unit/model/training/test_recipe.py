"""Recipes are read strictly: nothing misspelt is silently ignored."""

from pathlib import Path

import pytest

from model.errors import RecipeError
from model.training.recipe import load_recipe

RECIPES = Path(__file__).parents[4] / "model" / "training" / "recipes"

SMALL = """
name: x
license: none
source_language: en
target_language: de
data: {train: [{path: a.tsv}], valid: [b.tsv]}
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda p: p.name)
def test_the_recipes_that_come_with_the_project_can_be_read(path: Path) -> None:
    assert load_recipe(path).transformer_config(8000).src_vocab_size == 8000


def test_what_is_not_given_has_a_default(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, SMALL))
    assert recipe.training.label_smoothing == 0.1
    assert recipe.data.train[0].weight == 1.0
    assert recipe.optimizer.schedule == "paper"


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("optimiser: {}", "unknown fields .'optimiser'"),
        ("training: {max_step: 3}", "training has unknown fields .'max_step'"),
        ("training: {max_steps: many}", "max_steps must be int, but is 'many'"),
        ("training: {max_steps: true}", "max_steps must be int, but is True"),
        ("training: [1]", "training must be a mapping, but is list"),
        ("optimizer: {schedule: cosine}", "`schedule` must be one of"),
        ("training: {precision: int4}", "`precision` must be one of"),
        ("version: 3", "version must be str, but is 3"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, extra: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(tmp_path, SMALL + extra))


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="license"):
        load_recipe(write(tmp_path, SMALL.replace("license: none\n", "")))
    with pytest.raises(RecipeError, match="list with something in it"):
        load_recipe(write(tmp_path, SMALL.replace("[b.tsv]", "[]")))


def test_no_yaml_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot read"):
        load_recipe(write(tmp_path, "a: [b"))
    with pytest.raises(RecipeError, match="cannot read"):
        load_recipe(tmp_path / "none.yaml")
    with pytest.raises(RecipeError, match="must be a mapping"):
        load_recipe(write(tmp_path, ""))


def test_the_shape_is_checked(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, SMALL + "model: {d_model: 10, num_heads: 3}"))
    with pytest.raises(RecipeError, match="multiple of `num_heads`"):
        recipe.transformer_config(100)
