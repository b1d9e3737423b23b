"""Recipes are read strictly: nothing misspelt is silently ignored."""

from pathlib import Path
from typing import get_type_hints

import pytest

from model.checkpoints.embedded import EMBEDDED
from model.errors import RecipeError
from model.training import recipe as recipes
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
        ("optimizer: {schedule: cosine}", "schedule must be one of"),
        ("training: {precision: int4}", "precision must be one of"),
        ("tokenizer: {model_type: morse}", "model_type must be one of"),
        ("optimizer: {warmup_steps: 0}", r"`warmup_steps` must be in \[1, inf\), but is 0"),
        ("optimizer: {peak_lr: .nan}", r"`peak_lr` must be in \[0, inf\), but is nan"),
        ("optimizer: {beta2: 1}", r"`beta2` must be in \[0, 1\), but is 1.0"),
        ("training: {accumulate: 0}", r"`accumulate` must be in \[1, inf\), but is 0"),
        ("training: {validate_every: 0}", r"`validate_every` must be in"),
        ("training: {num_threads: 0}", r"`num_threads` must be in"),
        ("training: {compile: 1}", "compile must be bool, but is 1"),
        ("training: {initialize_from: 1}", "initialize_from must be str or NoneType, but is 1"),
        ("generation: {beams: 4}", "generation: .*'beams'"),
        ("generation: {beam_size: 0}", "generation: `beam_size` must be"),
        ("version: 3", "version must be str, but is 3"),
        ("version: ' '", "`version` must be a string of 1 to 200 printable characters"),
        (
            "optimizer: {schedule: linear}\ntraining: {max_steps: 4000}",
            "`warmup_steps` must be below `max_steps` with the linear .*4000 of 4000",
        ),
        ("model: {d_model: 10, num_heads: 3}", "multiple of `num_heads`"),
        ("training: {seed: 9223372036854775808}", "`seed` must be in"),
        (
            "training: {max_steps: 1, patience: 2, max_steps: 3}",
            r"once, but \['max_steps'\] are not",
        ),
        ("training: {}\ntraining: {}", r"once, but \['training'\] are not"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, extra: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(tmp_path, SMALL + extra))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "target_language: de",
            "target_language: en",
            "must translate from one language to another, but has only en",
        ),
        ("[b.tsv]", "[]", "`valid` must have a file"),
        ("[{path: a.tsv}]", "[]", "`train` must have a file"),
        ("{path: a.tsv}", "{path: a.tsv, weight: 0}", "epochs run dry"),
        ("{path: a.tsv}", "{path: a.tsv, until_epoch: 3}", "epochs run dry"),
        ("{path: a.tsv}", "{path: a.tsv, drop_least_likely: 0.1}", "must have a `scorer`"),
        ("data: {", "data: {variations: [{kinds: [], share: 0.1}], ", "`kinds` must name"),
        (
            "data: {",
            "data: {variations: [{kinds: [placeholders], share: 0.1}], ",
            "must have `placeholders: true`",
        ),
        (
            "license: none",
            "license: none\nplaceholders: true\ntokenizer: {byte_fallback: false}",
            "must have `byte_fallback`",
        ),
        (
            "license: none",
            "license: none\ntraining: {precision: int8, compile: true}",
            "`precision` int8 must not have `compile`",
        ),
    ],
)
def test_what_can_not_be_meant_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in SMALL
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(tmp_path, SMALL.replace(old, new)))


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="license"):
        load_recipe(write(tmp_path, SMALL.replace("license: none\n", "")))
    with pytest.raises(RecipeError, match="valid must be a list, but is 'b"):
        load_recipe(write(tmp_path, SMALL.replace("[b.tsv]", "b.tsv")))


def test_no_yaml_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot read"):
        load_recipe(write(tmp_path, "a: [b"))
    with pytest.raises(RecipeError, match="cannot read"):
        load_recipe(tmp_path / "none.yaml")
    with pytest.raises(RecipeError, match="must be a mapping"):
        load_recipe(write(tmp_path, ""))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ("d_model: 10, num_heads: 3", "multiple of `num_heads`"),
        ("dropout: much", "`dropout` must be a number, but is 'much'"),
        ("max_positions: 64", r"`max_tokens` must be at most `max_positions` \(64\), but is 128"),
        ("eos_id: 9", r"model must leave \['eos_id'\] to the tokenizer"),
        ("projection_bias: true", r"model must leave \['projection_bias'\]"),
    ],
)
def test_the_shape_is_checked(tmp_path: Path, shape: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(tmp_path, SMALL + f"model: {{{shape}}}"))


def test_every_number_has_a_range() -> None:
    numbers = {
        name
        for kind in (
            recipes.CorpusRecipe, recipes.DataRecipe, recipes.VariationRecipe,
            recipes.TokenizerRecipe, recipes.OptimizerRecipe, recipes.TrainingRecipe,
        )
        for name, hint in get_type_hints(kind).items()
        if hint in (int, float, int | None)
    }  # fmt: skip
    assert numbers == set(recipes._RANGES)


def test_models_are_found_beside_the_recipe(tmp_path: Path) -> None:
    text = SMALL.replace("{path: a.tsv}", "{path: a.tsv, back_translate: x, distil: ../y}")
    text = text.replace("data: {", "data: {scorer: z, ") + "training: {initialize_from: /w}"
    recipe = load_recipe(write(tmp_path, text))
    (corpus,) = recipe.data.train
    found = corpus.back_translate, corpus.distil, recipe.data.scorer
    assert found == (str(tmp_path / "x"), str(tmp_path / "../y"), str(tmp_path / "z"))
    assert recipe.training.initialize_from == "/w"


def test_kinds_of_variations_are_checked(tmp_path: Path) -> None:
    text = SMALL.replace("data: {", "data: {variations: [{kinds: [louder], share: 0.1}], ")
    with pytest.raises(RecipeError, match=r"kinds\[0\] must be one of .*lowercase.*'louder'"):
        load_recipe(write(tmp_path, text))


def test_a_recipe_says_how_it_differs_from_another(tmp_path: Path) -> None:
    write(tmp_path, SMALL + "optimizer: {scale: 0.5, warmup_steps: 7}")
    (tmp_path / "other.yaml").write_text(
        "extends: recipe.yaml\nname: y\ndata: {train: [{path: c.tsv}]}\noptimizer: {scale: 2}"
    )
    recipe = load_recipe(tmp_path / "other.yaml")
    assert (recipe.name, recipe.license, recipe.data.valid) == ("y", "none", ("b.tsv",))
    assert [corpus.path for corpus in recipe.data.train] == ["c.tsv"]
    assert (recipe.optimizer.scale, recipe.optimizer.warmup_steps) == (2.0, 7)


def test_what_another_recipe_names_lies_beside_that_one(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    write(tmp_path / "far", SMALL + "training: {initialize_from: x}")
    path = write(tmp_path, "extends: far/recipe.yaml")
    assert load_recipe(path).training.initialize_from == str(tmp_path / "far" / "x")
    path = write(tmp_path, "extends: far/recipe.yaml\ntraining: {initialize_from: y}")
    assert load_recipe(path).training.initialize_from == str(tmp_path / "y")
    path = write(tmp_path, "extends: far/recipe.yaml\ntraining: {initialize_from: de-en}")
    assert load_recipe(path).training.initialize_from == str(EMBEDDED["de-en"])


def test_text_may_lie_beside_the_recipe_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    write(tmp_path / "far", SMALL.replace("a.tsv", "./own/a.tsv"))
    path = write(tmp_path, "extends: far/recipe.yaml")
    [corpus] = load_recipe(path).data.train
    assert corpus.path == str(tmp_path / "far" / "own" / "a.tsv")
    # Where a checkout lies does not decide which of its lines are varied.
    assert corpus.label == "a.tsv"
    path = write(tmp_path, "extends: far/recipe.yaml\ndata: {train: [{path: own/a.tsv}]}")
    [corpus] = load_recipe(path).data.train
    assert corpus.path == corpus.label == "own/a.tsv"


def test_variations_of_another_recipe_can_be_left_out(tmp_path: Path) -> None:
    varied = SMALL.replace("data: {", "data: {variations: [{kinds: [typos], share: 0.1}], ")
    (tmp_path / "varied.yaml").write_text(varied)
    recipe = load_recipe(write(tmp_path, "extends: varied.yaml\ndata: {variations: []}"))
    assert recipe.data.variations == ()


def test_recipes_do_not_extend_each_other_for_ever(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: b.yaml")
    (tmp_path / "b.yaml").write_text("extends: a.yaml")
    with pytest.raises(RecipeError, match=r"a\.yaml must not extend itself"):
        load_recipe(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text("extends: none.yaml")
    with pytest.raises(RecipeError, match="cannot read the recipe"):
        load_recipe(tmp_path / "a.yaml")


@pytest.mark.parametrize("name", ["lowercase_all_caps", "lower_shouting"])
def test_a_retired_field_of_an_old_recipe_says_nothing(tmp_path: Path, name: str) -> None:
    recipe = load_recipe(write(tmp_path, SMALL))
    assert load_recipe(write(tmp_path, SMALL + f"{name}: true")) == recipe
