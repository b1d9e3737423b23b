"""What a model is imported from, as users name it."""

from __future__ import annotations

import os
import re
import zipfile
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urldefrag, urlsplit

from model.checkpoints.hub.archive import unpacked
from model.checkpoints.hub.argos import fetch_argos
from model.checkpoints.hub.download import Downloader, shown
from model.checkpoints.hub.fetched import Fetched, cache_folder, is_offline
from model.checkpoints.hub.firefox import fetch_firefox
from model.checkpoints.hub.huggingface import fetch_huggingface
from model.checkpoints.importers.argos import is_argos
from model.errors import DownloadError

__all__ = ["fetch"]

_SCHEME = re.compile(r"([a-z][a-z0-9]*):(.*)", re.DOTALL)
_TAR = re.compile(r"\.(tar(\.\w+)?|tgz|tbz2|txz|7z|rar)$", re.IGNORECASE)
_PLAIN_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def fetch(source: str) -> Fetched:
    """Makes files on this machine of a source.

    Args:
        source: a path, or hf:OWNER/NAME[@REVISION], firefox:en-fr[@ARCHITECTURE], argos:en-fr, or
            https://... of a file or a zip archive, perhaps with #sha256=... behind it.

    Raises:
        DownloadError: it cannot be had.
        CheckpointError: an archive cannot be unpacked.
    """
    found = _SCHEME.fullmatch(source)
    if found is None or os.path.exists(os.path.expanduser(source)):
        return Fetched(path=Path(os.path.expanduser(source)))
    scheme, rest = found[1], found[2]
    downloader = Downloader(folder=cache_folder() / "downloads", offline=is_offline())
    if scheme == "hf":
        return fetch_huggingface(rest, offline=downloader.offline)
    if scheme == "firefox":
        return fetch_firefox(rest, downloader)
    if scheme == "argos":
        return fetch_argos(rest, downloader)
    if scheme in ("https", "http"):
        return _fetch_address(source, downloader)
    raise DownloadError(
        f"a source must be a path, or begin with hf:, firefox:, argos: or https://, "
        f"but begins with {scheme}:"
    )


def _fetch_address(source: str, downloader: Downloader) -> Fetched:
    address, fragment = urldefrag(source)
    sha256 = None
    if fragment:
        found = re.fullmatch(r"sha256=([0-9a-f]{64})", fragment.lower())
        if found is None:
            raise DownloadError(
                "what is behind # must be sha256= and 64 hexadecimal digits, but is "
                f"{fragment[:100]!r}"
            )
        sha256 = found[1]
    place = shown(address)
    name = PurePosixPath(unquote(urlsplit(place).path)).name
    name = _PLAIN_NAME.sub("-", name)[-100:].lstrip("._-")
    if not name:
        raise DownloadError(f"an address must end with the name of a file, but is {place}")
    if _TAR.search(name):
        raise DownloadError(
            f"an archive must be a zip, but is {name}: unpack it, and import its folder"
        )
    path = downloader.file(address, name, sha256=sha256)
    if zipfile.is_zipfile(path) and path.suffix != ".npz" and not is_argos(path):
        path = unpacked(path)
    return Fetched(
        path=path,
        source=place,
        revision=sha256 and f"sha256:{sha256}",
        name=Path(name).stem,
    )
