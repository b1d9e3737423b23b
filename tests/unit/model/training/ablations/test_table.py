"""Lines of a table are recipes, each with more than another."""

from pathlib import Path

import pytest
import yaml

from model.training.ablations.table import TableError, read_table
from model.training.recipe import load_recipe

BASE = {"name": "base", "data": {"train": [{"path": "a"}], "valid": ["v"]}, "seed": 1}


def write(folder: Path, lines: object, **common: object) -> Path:
    (folder / "base.yaml").write_text(yaml.safe_dump(BASE))
    path = folder / "table.yaml"
    path.write_text(yaml.safe_dump({"recipe": {"extends": "base.yaml", **common}, "lines": lines}))
    return path


def test_each_line_adds_to_the_one_before(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        [
            {"name": "nothing"},
            {"name": "more text", "add": {"data": {"train": [{"path": "b"}]}}},
            {"name": "two seeds", "add": {"seed": 2}},
            {"name": "aside", "to": "nothing", "add": {"data": {"root": "there"}}},
        ],
        version="9",
    )
    nothing, more, seeds, aside = read_table(path)
    assert nothing.recipe == {**BASE, "version": "9"}
    assert more.recipe["data"] == {"train": [{"path": "a"}, {"path": "b"}], "valid": ["v"]}
    assert seeds.recipe == {**more.recipe, "seed": 2}
    assert aside.recipe["data"] == {**BASE["data"], "root": "there"}
    assert aside.recipe["seed"] == 1


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([{"add": {}}], "a line must have a name"),
        (["typos"], "a line must have a name"),
        ({"name": "a"}, "`recipe` must be a mapping and `lines` a list"),
        ([{"name": "a"}, {"name": "a"}], "a line must have a name of its own"),
        ([{"name": "a", "more": {}}], "a line must have a name"),
        ([{"name": "a", "to": "b"}, {"name": "b"}], "`to` must name an earlier line, but is 'b'"),
    ],
)
def test_what_is_no_table_is_said(tmp_path: Path, lines: object, problem: str) -> None:
    with pytest.raises(TableError, match=problem):
        read_table(write(tmp_path, lines))


def test_a_recipe_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("name: x\n")
    with pytest.raises(TableError, match="must have `recipe` and `lines`"):
        read_table(path)


def test_the_project_s_table_is_of_recipes(tmp_path: Path) -> None:
    lines = read_table(Path("model/training/ablations/en-de.yaml"))
    for line in lines:
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(dict(line.recipe)))
        assert load_recipe(path).training.max_steps == 200
    kinds = [v["kinds"] for v in lines[-1].recipe["data"]["variations"]]
    assert ["typos"] in kinds
    assert ["lowercase"] in kinds
