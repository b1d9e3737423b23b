"""Models from the Hugging Face Hub, through its own client and in its own cache."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from model.checkpoints.hub.download import sha256_of
from model.checkpoints.hub.fetched import Fetched
from model.checkpoints.importers.source_files import MAX_MODEL_BYTES
from model.errors import DownloadError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["fetch_huggingface"]

_WEIGHTS = (
    ("model.safetensors",),
    ("model.safetensors.index.json", "model-*-of-*.safetensors"),
    ("pytorch_model.bin",),
    ("pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin"),
    ("model.bin",),
    ("*.npz",),
)
"""Forms that weights have, the better first: the first one that is there is fetched."""
_OTHERS = (
    "config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json",
    "README.md", "vocab.json", "target_vocab.json", "shared_vocabulary.*", "source_vocabulary.*",
    "target_vocabulary.*", "*.spm", "*.model", "vocab.yml", "*.vocab.yml", "decoder.yml",
    "tokenizer.json", "added_tokens.json", "vmap.txt",
)  # fmt: skip
"""All else that importers read."""
_NAME = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?")
_MOST_FILES = 1000
_MOST_GIT_BYTES = 2**28
"""Larger files lie in Git LFS."""


def fetch_huggingface(name: str, *, offline: bool) -> Fetched:
    """Fetches the files of a model that importers read.

    The environment names the server (HF_ENDPOINT), the cache (HF_HUB_CACHE, HF_HOME) and, for what
    is not for everybody, a token (HF_TOKEN).

    Args:
        name: OWNER/NAME, and perhaps @REVISION, a branch, tag or commit.
        offline: takes what is in the cache.

    Raises:
        DownloadError: it is not there, or cannot be had.
    """
    repository, _, revision = name.partition("@")
    if not _NAME.fullmatch(repository):
        raise DownloadError(f"hf: must be followed by OWNER/NAME, but is by {name!r}")
    import httpx2
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    token = os.environ.get("HF_TOKEN") or False  # False: not the one that a login has stored
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, token=token)
    try:
        # Offline the client asks for no more than what is here; an importer says what is missing.
        wanted = ["config.json"] if offline else _wanted(api, repository, revision or None)
        path = snapshot_download(
            repository,
            revision=revision or None,
            allow_patterns=wanted,
            local_files_only=offline,
            token=token,
            endpoint=api.endpoint,
        )
    except (OSError, HFValidationError, RuntimeError, httpx2.HTTPError) as error:
        raise DownloadError(f"hf:{name} {_reason(error, revision, offline)}") from error
    folder = Path(path)
    for each in sorted(folder.iterdir()):
        _check(each)
    return Fetched(
        path=folder,
        source=f"hf:{repository}",
        revision=folder.name,
        name=repository.rpartition("/")[2],
    )


def _wanted(api: HfApi, repository: str, revision: str | None) -> list[str]:
    """Names of the files to fetch."""
    info = api.model_info(repository, revision=revision, files_metadata=True)
    sizes = {each.rfilename: each.size or 0 for each in info.siblings or ()}
    names = _chosen(list(sizes))
    size = sum(sizes[name] for name in names)
    if len(names) > _MOST_FILES or size > MAX_MODEL_BYTES:
        raise DownloadError(
            f"{repository} must have at most {MAX_MODEL_BYTES} bytes in {_MOST_FILES} files, "
            f"but has {size} in {len(names)}"
        )
    return names


def _chosen(names: Sequence[str]) -> list[str]:
    """Those of a repository's files that importers read."""
    plain = [name for name in names if "/" not in name and not set("*?[") & set(name)]
    for patterns in _WEIGHTS:
        weights = _matching(plain, patterns)
        if any(fnmatchcase(name, patterns[0]) for name in weights):
            return sorted({*weights, *_matching(plain, _OTHERS)})
    # An importer says what is missing.
    return _matching(plain, _OTHERS) or ["config.json"]


def _matching(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    return [name for name in names if any(fnmatchcase(name, each) for each in patterns)]


def _check(path: Path) -> None:
    """Holds a file against its name in the cache: the SHA-256 of what lies in Git LFS, and Git's
    own sum of the rest."""
    if not path.is_symlink() or not path.is_file():
        return
    blob = Path(os.readlink(path))
    if re.fullmatch(r"[0-9a-f]{64}", blob.name):
        found = sha256_of(path)
    elif re.fullmatch(r"[0-9a-f]{40}", blob.name) and path.stat().st_size < _MOST_GIT_BYTES:
        content = path.read_bytes()
        head = f"blob {len(content)}\0".encode()
        found = hashlib.sha1(head + content, usedforsecurity=False).hexdigest()
    else:
        return
    if found != blob.name:
        path.resolve().unlink()  # or it would be found again
        path.unlink()
        raise DownloadError(f"{path.name} must have the checksum {blob.name}, but has {found}")


def _reason(error: Exception, revision: str, offline: bool) -> str:
    """Why a model cannot be had, in words for its user."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return "is not for everybody: accept its terms on its page, and give HF_TOKEN"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "is not there, or is private: then HF_TOKEN must be given"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"must be a revision of this model, but there is no {revision}"
    if offline and isinstance(error, errors.LocalEntryNotFoundError):
        return (
            "must have been downloaded before, for nothing may be downloaded (POLYHEAD_OFFLINE or "
            "HF_HUB_OFFLINE is set), but has not"
        )
    if isinstance(error, errors.HfHubHTTPError):
        return f"cannot be had: the server answers {error.response.status_code}"
    return f"cannot be had: {(str(error) or type(error).__name__).splitlines()[0][:300]}"
