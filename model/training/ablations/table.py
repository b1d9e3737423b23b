"""A table of ablations: variants of a recipe, each with one thing more than another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from model.training.recipe import recipe_values

__all__ = ["TableError", "Variant", "added", "read_table"]


class TableError(ValueError):
    """The file is no table of ablations."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One training."""

    name: str
    recipe: Mapping[str, Any]
    """Fields of a recipe (model/training/recipe.py), complete."""


_FIELDS = {"name", "to", "add"}


def read_table(path: Path) -> list[Variant]:
    """The variants of a YAML file.

    `recipe` is what all have in common; each of `lines` has a `name`, and what it would `add` `to`
    the line of that name, or to the one before. Lists grow, mappings are joined, all else is
    replaced. A recipe that `recipe` extends is resolved first, so that its lists grow as well.

    Raises:
        TableError: it is none.
        RecipeError: the recipe that it extends is none.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict) or set(values) != {"recipe", "lines"}:
            raise TableError(f"{path} must have `recipe` and `lines` and nothing else")
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TableError(f"cannot read the table {path}: {error}") from error
    common, lines = values["recipe"], values["lines"]
    if not isinstance(common, dict) or not isinstance(lines, list):
        raise TableError(f"{path}: `recipe` must be a mapping and `lines` a list")
    if "extends" in common:
        common = added(recipe_values(path.parent / common.pop("extends")), common)
    return list(_variants(common, lines, path))


def _variants(common: Any, lines: list[Any], path: Path) -> Iterator[Variant]:
    known: dict[str, Any] = {}
    last = common
    for values in lines:
        name = values.get("name") if isinstance(values, dict) else None
        if not name or name in known or set(values) - _FIELDS:
            raise TableError(f"{path}: a line must have a name of its own, but is {values}")
        if values.get("to", name) not in {name, *known}:
            raise TableError(f"{path}: `to` must name an earlier line, but is {values['to']!r}")
        beginning = known[values["to"]] if "to" in values else last
        last = known[name] = added(beginning, values.get("add", {}))
        yield Variant(name=name, recipe=last)


def added(old: Any, new: Any) -> Any:
    """`new` on top of `old`."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: added(old.get(key), value) for key, value in new.items()}}
    if isinstance(old, list) and isinstance(new, list):
        return old + new
    return new
