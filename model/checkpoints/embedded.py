"""The models that come with the project, and how a model is named."""

from __future__ import annotations

import os
from pathlib import Path

from model.checkpoints.installed import installed_model

__all__ = ["DEFAULT", "EMBEDDED", "model_directory"]

_FOLDER = Path(__file__).parents[1] / "pretrained"

EMBEDDED = {name: _FOLDER / name for name in ("en-de", "de-en")}
"""Their directories, by their names."""

DEFAULT = EMBEDDED["en-de"]
"""For what takes a single model, when it is not told which."""


def model_directory(model: str | Path) -> Path:
    """The directory of a model: of an embedded one or one of the user's, by its name, or of any
    other one, by its path.

    A folder that is called like one of them is given as `./en-de`, or as a Path.
    """
    if isinstance(model, str):
        if model in EMBEDDED:
            return EMBEDDED[model]
        if (directory := installed_model(model)) is not None:
            return directory
    # Path's own `expanduser` fails where there is no such user.
    return Path(os.path.expanduser(model))
