"""A robustness set: texts in categories, with what their translations must have in them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from model.errors import RecipeError

__all__ = ["Case", "Language", "RobustnessSet", "read_set"]

Language = Literal["en", "de"]
"""Those whose negations and number words the checks know."""
_Wanted = Annotated[str, StringConstraints(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Case(_Strict):
    """One source text, with expectations beyond what is checked for every text."""

    text: _Wanted
    keep: tuple[_Wanted, ...] = ()
    """Names, addresses and marks of the source. Each must be in the translation, whatever its case;
    `Munich|München` is either of two. Letters up to three must begin a word there."""
    says: tuple[_Wanted, ...] = ()
    """Words of the target language, or parts of them, that every right translation has; found like
    `keep`."""
    never: tuple[_Wanted, ...] = ()
    """What no right translation has in it, whatever its case."""
    negated: bool | None = None
    """Whether the translation must have a negation, or must have none; None does not ask."""
    copied: bool = False
    """The translation may be the source itself: `Hotel`, or a text in the target language."""


_Cases = Annotated[tuple[Case, ...], Field(min_length=1)]


class RobustnessSet(_Strict):
    """What one file holds."""

    source: Language
    target: Language
    cases: Annotated[dict[str, _Cases], Field(min_length=1)]
    """By category, in the file's order."""


def read_set(path: Path) -> RobustnessSet:
    """Reads a YAML file; a case without expectations may be its text alone.

    Raises:
        RecipeError: it cannot be read, a field is unknown, missing or mistyped, or a text is there
            twice.
    """
    try:
        # Every scalar a string: a text may be `No`, `12:30` or `null`.
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
        cases = RobustnessSet.model_validate(_with_mappings(values))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"cannot read the robustness set {path}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise RecipeError(f"{path}: {place}: {first['msg']}") from error
    texts = [case.text for group in cases.cases.values() for case in group]
    if twice := sorted({text for text in texts if texts.count(text) > 1}):
        raise RecipeError(f"{path} must have each text once, but has {twice} more often")
    return cases


def _with_mappings(values: object) -> object:
    """The same, with `{text: ...}` for cases that are written as their text alone."""
    if not isinstance(values, dict) or not isinstance(groups := values.get("cases"), dict):
        return values
    return values | {
        "cases": {
            category: [{"text": case} if isinstance(case, str) else case for case in group]
            if isinstance(group, list)
            else group
            for category, group in groups.items()
        }
    }
