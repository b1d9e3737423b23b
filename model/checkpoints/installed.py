"""The user's own models: model directories in one folder, known by their names."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from model.checkpoints.files import CONFIG_FILE
from model.errors import InvalidRequestError

__all__ = [
    "FOLDER_VARIABLE",
    "installed_model",
    "installed_models",
    "models_folder",
    "remove_model",
    "require_model_name",
]

FOLDER_VARIABLE = "POLYHEAD_MODELS_FOLDER"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def models_folder() -> Path:
    """Where they are: POLYHEAD_MODELS_FOLDER, or polyhead/models in XDG_DATA_HOME, which is
    ~/.local/share where not set. It need not exist."""
    if given := os.environ.get(FOLDER_VARIABLE):
        return Path(os.path.expanduser(given)).absolute()
    given = os.environ.get("XDG_DATA_HOME", "")
    data = given if os.path.isabs(given) else os.path.expanduser("~/.local/share")
    return Path(data, "polyhead", "models")


def require_model_name(name: str) -> None:
    """Whether a model may be called so: its directory will.

    Raises:
        InvalidRequestError: it may not.
    """
    if not _NAME.fullmatch(name):
        raise InvalidRequestError(
            "the name of a model must be of 1 to 100 letters, digits, `.`, `_` and `-`, and begin "
            f"with a letter or digit, but is {name!r}"
        )


def installed_model(name: str) -> Path | None:
    """The directory of a model of the user's; None if there is none of that name."""
    if not _NAME.fullmatch(name):
        return None
    directory = models_folder() / name
    return directory if (directory / CONFIG_FILE).is_file() else None


def installed_models() -> list[Path]:
    """The directories of all of them, by name."""
    try:
        names = sorted(os.listdir(models_folder()))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InvalidRequestError(f"cannot read {models_folder()}: {error.strerror}") from error
    return [directory for name in names if (directory := installed_model(name)) is not None]


def remove_model(directory: Path) -> None:
    """Deletes a model of the user's. It is gone at once; if it is a link, the link alone is."""
    if directory.is_symlink():
        directory.unlink()
        return
    trash = Path(tempfile.mkdtemp(prefix=".removed-", dir=directory.parent))
    os.replace(directory, trash / directory.name)
    shutil.rmtree(trash)
