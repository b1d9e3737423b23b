"""Models of Firefox, from the registry that Mozilla publishes."""

from __future__ import annotations

import hashlib
import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from model.checkpoints.hub.download import Downloader, sha256_of
from model.checkpoints.hub.fetched import Fetched
from model.checkpoints.hub.json_index import language_pair, read_index
from model.errors import DownloadError

__all__ = ["fetch_firefox"]

_REGISTRY = (
    "https://storage.googleapis.com/moz-fx-translations-data--303e-prod-translations-data/"
    "db/models.json"
)
_RELEASES = ("Release", "Release Desktop", "Release Android", "Nightly")
"""How far a model has come, the furthest first."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_GROWTH = 16
_MOST_BYTES = 2**30
_CHUNK_BYTES = 2**20


def fetch_firefox(name: str, downloader: Downloader) -> Fetched:
    """Fetches the model of a pair, "en-fr": of those that have come furthest, the largest.

    Args:
        name: languages as the registry names them; "en-fr@tiny" takes the architecture named so.
        downloader: where it is kept.

    Raises:
        DownloadError: there is no such model, or it cannot be had.
    """
    pair, _, architecture = name.partition("@")
    source, target = language_pair("firefox:", pair)
    address = os.environ.get("POLYHEAD_FIREFOX_REGISTRY", _REGISTRY)
    registry = read_index(downloader, address, dict)
    record = _chosen(registry, f"{source}-{target}", architecture)
    base = registry.get("baseUrl")
    if not isinstance(base, str):
        raise DownloadError("Mozilla's registry must have a `baseUrl`, but has none")
    files = _files(record)
    version = str(PurePosixPath(_text(files["model"], "path")).parent)
    folder = downloader.folder / "firefox" / hashlib.sha256(version.encode()).hexdigest()[:32]
    for each in files.values():
        _fetch(each, base.rstrip("/"), folder, downloader, registry=address)
    return Fetched(
        path=folder,
        source=f"firefox:{name}",
        revision=version[:200],
        name=f"firefox-{source}-{target}".replace("_", "-"),
        source_languages=(source.replace("_", "-"),),
        target_languages=(target.replace("_", "-"),),
    )


def _chosen(registry: Mapping[str, Any], pair: str, architecture: str) -> Mapping[str, Any]:
    models = registry.get("models")
    models = models if isinstance(models, dict) else {}
    listed = models.get(pair)
    records = (
        [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    )
    if not records:
        source = pair.partition("-")[0]
        near = sorted(other for other in models if other.startswith(f"{source}-"))
        raise DownloadError(
            f"Mozilla's registry must have {pair}, but has of {len(models)} pairs from {source} "
            f"only {', '.join(near[:50]) or 'none'}"
        )
    if architecture:
        known = sorted({str(each.get("architecture")) for each in records})
        records = [each for each in records if each.get("architecture") == architecture]
        if not records:
            raise DownloadError(
                f"the architecture of {pair} must be {' or '.join(known)}, but is {architecture!r}"
            )
    return min(records, key=_rank)


def _rank(record: Mapping[str, Any]) -> tuple[int, int]:
    status = record.get("releaseStatus")
    place = _RELEASES.index(status) if status in _RELEASES else len(_RELEASES)
    files = record.get("files")
    model = files.get("model") if isinstance(files, dict) else None
    size = model.get("uncompressedSize") if isinstance(model, dict) else None
    return place, -size if isinstance(size, int) else 0


def _files(record: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    listed = record.get("files")
    listed = listed if isinstance(listed, dict) else {}
    vocabularies = ("srcVocab", "trgVocab") if "srcVocab" in listed else ("vocab",)
    files = {
        name: listed[name]
        for name in ("model", *vocabularies, "lexicalShortlist")
        if isinstance(listed.get(name), dict)
    }
    for name in ("model", *vocabularies):
        if name not in files:
            raise DownloadError(f"a model in Mozilla's registry must have {name}, but has not")
    return files


def _text(values: Mapping[str, Any], name: str) -> str:
    if not isinstance(value := values.get(name), str):
        raise DownloadError(f"a file in Mozilla's registry must have `{name}`, but has not")
    return value


def _fetch(
    values: Mapping[str, Any], base: str, folder: Path, downloader: Downloader, *, registry: str
) -> None:
    """One file, decompressed: the registry's checksums and sizes are of what is inside."""
    place = _text(values, "path")
    name = PurePosixPath(place).name
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise DownloadError(
            f"a file in Mozilla's registry must have a plain name, but has {name!r}"
        )
    expected, size = values.get("uncompressedHash"), values.get("uncompressedSize")
    expected = expected if isinstance(expected, str) and _SHA256.fullmatch(expected) else None
    path = folder / name.removesuffix(".gz")
    if expected is not None and path.is_file() and sha256_of(path) == expected:
        return
    most = size if isinstance(size, int) and 0 <= size <= _MOST_BYTES else _MOST_BYTES
    address = f"{base}/{place.lstrip('/')}"
    compressed = downloader.file(address, name, named_by=registry, most=_MOST_BYTES)
    folder.mkdir(parents=True, exist_ok=True)
    working = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        _decompress(compressed, working, most)
        if expected is not None and (found := sha256_of(working)) != expected:
            compressed.unlink()  # or the next attempt would find it again
            raise DownloadError(f"{name} must have SHA-256 {expected} inside, but has {found}")
        os.replace(working, path)
    except (OSError, zlib.error) as error:
        raise DownloadError(f"cannot decompress {name}: {error}") from error
    finally:
        working.unlink(missing_ok=True)


def _decompress(compressed: Path, to: Path, most: int) -> None:
    """Writes what is in a gzip file; a file that a server has decompressed is taken as it is."""
    most = min(most, _MOST_GROWTH * compressed.stat().st_size + 2**16)
    written = 0
    with compressed.open("rb") as file, to.open("wb") as output:
        is_gzip = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        reader = zlib.decompressobj(wbits=31)  # gzip's form
        while chunk := file.read(_CHUNK_BYTES):
            content = reader.decompress(chunk, most + 1 - written) if is_gzip else chunk
            written += len(content)
            if written > most:
                raise DownloadError(
                    f"{compressed.name} must have {most} bytes inside, but has more"
                )
            output.write(content)
    if is_gzip and not reader.eof:
        raise DownloadError(f"{compressed.name} must be a whole gzip file, but is not")
