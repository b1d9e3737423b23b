"""Packages of Argos Translate, from the index that it publishes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from model.checkpoints.hub.download import Downloader
from model.checkpoints.hub.fetched import Fetched
from model.checkpoints.hub.json_index import language_pair, read_index
from model.errors import DownloadError

__all__ = ["fetch_argos"]

_INDEX = "https://raw.githubusercontent.com/argosopentech/argospm-index/main/index.json"


def fetch_argos(name: str, downloader: Downloader) -> Fetched:
    """Fetches the newest package of a pair, "en-fr".

    Raises:
        DownloadError: there is none, or it cannot be had.
    """
    source, target = language_pair("argos:", name)
    address = os.environ.get("POLYHEAD_ARGOS_INDEX", _INDEX)
    index = read_index(downloader, address, list)
    packages = [
        each
        for each in index
        if isinstance(each, dict)
        and (each.get("from_code"), each.get("to_code")) == (source, target)
        and each.get("type", "translate") == "translate"
    ]
    if not packages:
        targets = sorted(
            str(each.get("to_code"))
            for each in index
            if isinstance(each, dict) and each.get("from_code") == source
        )
        raise DownloadError(
            f"the index of Argos Translate must have {name}, but has from {source} "
            f"{'only to ' + ', '.join(targets[:100]) if targets else 'none'}"
        )
    package = max(packages, key=_version)
    path = None
    failure = DownloadError(f"the package {name} must have an address of https, but has none")
    for link in _links(package):
        try:
            path = downloader.file(link, f"{source}_{target}.argosmodel", named_by=address)
            break
        except DownloadError as error:
            failure = error
    if path is None:
        raise failure
    return Fetched(
        path=path,
        source=f"argos:{name}",
        revision=str(package.get("package_version", "unknown"))[:200],
        name=f"argos-{source}-{target}",
    )


def _version(package: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d{1,9}", str(package.get("package_version")))))


def _links(package: Mapping[str, Any]) -> list[str]:
    links = package.get("links")
    given = links if isinstance(links, list) else []
    return [link for link in given if isinstance(link, str) and link.startswith("http")]
