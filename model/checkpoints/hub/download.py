"""Files over HTTPS: sizes have bounds, checksums are checked, broken transfers go on.

A file is kept in a folder of its own, named after its address, beside what the server called its
version (ETag). It gets its name when it is whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import ipaddress
import json
import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import httpx2
from tqdm import tqdm

from model.checkpoints.importers.source_files import MAX_MODEL_BYTES
from model.errors import DownloadError

__all__ = ["Downloader", "sha256_of", "shown"]

_MOST_REDIRECTS = 5
_MOST_FAILURES = 5
"""Transfers in a row that brought nothing."""
_FIRST_WAIT_SECONDS = 0.5
_TIMEOUT = httpx2.Timeout(30.0, connect=10.0)
"""Seconds without a byte."""
_PASSING = (408, 429, 500, 502, 503, 504)
"""Statuses after which asking again may help."""
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_MEANINGS = {
    401: "asks for a login, which is not supported",
    403: "does not give it to everybody",
    404: "has no such file",
    410: "has it no more",
}


class _InterruptedError(Exception):
    """A transfer that may be tried again."""


@dataclass(frozen=True, kw_only=True)
class Downloader:
    """Fetches files into a folder.

    Raises:
        DownloadError: a method cannot do what it is for.
    """

    folder: Path
    offline: bool = False
    """Only what has been downloaded before is there."""

    def file(
        self,
        address: str,
        name: str,
        *,
        named_by: str | None = None,
        sha256: str | None = None,
        most: int = MAX_MODEL_BYTES,
    ) -> Path:
        """The file at an address, downloaded unless it is here and has not changed there.

        Args:
            address: https://, or http:// for this machine.
            name: what the file is called here; a plain name.
            named_by: the address of the list that has `address`: one that everybody reaches must
                not lead to what only this machine or its network does. None: the user gave it.
            sha256: hexadecimal, if it is known.
            most: bytes of the largest that is of use.
        """
        url = _url(address)
        inside = named_by is None or self.offline or _is_inside(_url(named_by))
        _require_address(url, inside=inside, what="an address in a public list")
        transfer = _Transfer(
            address=address,
            path=self.folder / hashlib.sha256(address.encode()).hexdigest()[:32] / name,
            sha256=sha256,
            most=most,
        )
        try:
            transfer.path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(transfer.path.parent):
                if not transfer.is_here() or (sha256 is None and not self.offline):
                    if self.offline:
                        raise DownloadError(
                            f"{shown(address)} must have been downloaded before, for nothing may "
                            "be downloaded (POLYHEAD_OFFLINE or HF_HUB_OFFLINE is set), but has not"
                        )
                    transfer.run()
        except OSError as error:
            raise DownloadError(f"cannot keep {shown(address)}: {error}") from error
        return transfer.path


def shown(address: str) -> str:
    """An address without what may be secret: its user, its query and its fragment."""
    url = _url(address)
    return str(url.copy_with(userinfo=b"", query=None, fragment=None))


def sha256_of(path: Path) -> str:
    """The hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, kw_only=True)
class _Transfer:
    """One file, from an address to a path."""

    address: str
    path: Path
    sha256: str | None
    most: int

    def is_here(self) -> bool:
        """Whether the file has been downloaded, with the right checksum if there is one."""
        return self.path.is_file() and self.sha256 in (None, sha256_of(self.path))

    def run(self) -> None:
        """Downloads the file, in several transfers if need be."""
        failures, most = 0, _size(self._part)
        with httpx2.Client(timeout=_TIMEOUT) as client:
            while True:
                try:
                    if self._receive(client):
                        self._check()
                    return
                except (_InterruptedError, httpx2.TransportError) as error:
                    size = _size(self._part)
                    failures, most = (0, size) if size > most else (failures + 1, most)
                    if failures >= _MOST_FAILURES:
                        raise DownloadError(
                            f"cannot download {shown(self.address)}: "
                            f"{str(error) or type(error).__name__}"
                        ) from error
                time.sleep(_FIRST_WAIT_SECONDS * 2**failures)

    @property
    def _part(self) -> Path:
        return self.path.with_name(f"{self.path.name}.part")

    def _receive(self, client: httpx2.Client) -> bool:
        """One transfer; False if the file that is here is the one that is there."""
        headers = {"accept-encoding": "identity"}
        begun, version = _size(self._part), _version_of(self._part)
        if begun and (version or self.sha256):
            headers["range"] = f"bytes={begun}-"
            if version:
                headers["if-range"] = version
        elif self.sha256 is None and self.path.is_file() and (kept := _version_of(self.path)):
            headers["if-none-match"] = kept
        with _answer(client, self.address, headers) as response:
            if response.status_code == 304 and "if-none-match" in headers:
                return False
            if response.status_code == 416 and begun:
                self._part.unlink()
                raise _InterruptedError("there is no more of it")
            if response.status_code in _PASSING:
                raise _InterruptedError(f"the server answers {response.status_code}")
            if response.status_code not in (200, 206):
                meaning = _MEANINGS.get(response.status_code, "does not send it")
                raise DownloadError(
                    f"{shown(self.address)}: the server {meaning} ({response.status_code})"
                )
            encoding = response.headers.get("content-encoding", "identity")
            # Some servers say gzip of a file that is one.
            if encoding != "identity" and not (encoding == "gzip" and self.path.suffix == ".gz"):
                raise DownloadError(f"{shown(self.address)} must be sent as it is, but is encoded")
            self._write(response, begun)
        return True

    def _write(self, response: httpx2.Response, begun: int) -> None:
        size, total = 0, _length(response)
        if response.status_code == 206:
            found = _RANGE.fullmatch(response.headers.get("content-range", ""))
            if found is None or int(found[1]) != begun:
                self._part.unlink(missing_ok=True)
                raise _InterruptedError("another part of it was sent than was asked for")
            size, total = begun, None if found[2] == "*" else int(found[2])
        self._require_size(total or 0)
        _set_version(self._part, response.headers.get("etag"))
        with (
            self._part.open("ab" if size else "wb") as file,
            _progress(self.path.name, size, total) as bar,
        ):
            for chunk in response.iter_raw():
                size += len(chunk)
                self._require_size(size)
                file.write(chunk)
                bar.update(len(chunk))
        if total is not None and size < total:
            raise _InterruptedError(f"the connection ended after {size} of {total} bytes")

    def _require_size(self, size: int) -> None:
        if size > self.most:
            self._part.unlink(missing_ok=True)
            raise DownloadError(
                f"{shown(self.address)} must have at most {self.most} bytes, but has {size} or more"
            )

    def _check(self) -> None:
        """Gives a whole file its name."""
        if self.sha256 is not None and (found := sha256_of(self._part)) != self.sha256:
            self._part.unlink()
            raise DownloadError(
                f"{shown(self.address)} must have SHA-256 {self.sha256}, but has {found}"
            )
        version = _version_of(self._part)
        os.replace(self._part, self.path)
        _set_version(self.path, version)
        _set_version(self._part, None)


@contextmanager
def _answer(
    client: httpx2.Client, address: str, headers: dict[str, str]
) -> Iterator[httpx2.Response]:
    """The answer at an address, behind redirections to permitted ones."""
    url = httpx2.URL(address)
    for _ in range(_MOST_REDIRECTS + 1):
        with client.stream("GET", url, headers=headers, follow_redirects=False) as response:
            if not response.has_redirect_location:
                yield response
                return
            url = _joined(url, response.headers["location"])
        _require_address(url, inside=_is_inside(httpx2.URL(address)), what="a redirection")
    raise DownloadError(f"{shown(address)} must redirect at most {_MOST_REDIRECTS} times, but does")


def _url(address: str) -> httpx2.URL:
    try:
        return httpx2.URL(address)
    except httpx2.InvalidURL as error:
        raise DownloadError(f"an address must be well-formed, but is not: {error}") from None


def _joined(url: httpx2.URL, place: str) -> httpx2.URL:
    try:
        return url.join(place)
    except httpx2.InvalidURL as error:
        raise DownloadError(f"a redirection must be well-formed, but is not: {error}") from None


def _require_address(url: httpx2.URL, *, inside: bool, what: str) -> None:
    """Nothing is asked of addresses that somebody on the way could answer for, or, unless
    `inside`, of this machine and its network.

    Raises:
        DownloadError: it is not permitted.
    """
    address = shown(str(url))
    if url.userinfo:
        raise DownloadError(f"{address} must be given without a user, but has one")
    if not (_is_local(url) or (url.scheme == "https" and url.host)):
        raise DownloadError(f"an address must begin with https://, but is {address}")
    if not inside and _is_inside(url):
        raise DownloadError(
            f"{what} must not lead to this machine or its network, but does: {address}"
        )


def _is_local(url: httpx2.URL) -> bool:
    """Whether an address says that it is of this machine."""
    if url.scheme not in ("http", "https"):
        return False
    try:
        return ipaddress.ip_address(url.host).is_loopback
    except ValueError:
        return url.host == "localhost"


def _is_inside(url: httpx2.URL) -> bool:
    """Whether an address is of this machine or its network, whatever its name is."""
    try:
        found = socket.getaddrinfo(url.host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # who downloads from it will say so
        return _is_local(url)
    places = (ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found)
    return not all(place.is_global for place in places)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time downloads a file."""
    with (folder / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _progress(name: str, done: int, total: int | None) -> tqdm[NoReturn]:
    return tqdm(
        desc=name, initial=done, total=total, unit="B", unit_scale=True, unit_divisor=1024,
        file=sys.stderr, disable=not sys.stderr.isatty(), dynamic_ncols=True,
    )  # fmt: skip


def _length(response: httpx2.Response) -> int | None:
    text = response.headers.get("content-length", "")
    return int(text) if text.isdecimal() and len(text) < 20 else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _version_of(path: Path) -> str | None:
    """What the server called the version of a file."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        version = json.loads(path.with_name(f"{path.name}.json").read_text())["etag"]
        # Others cannot be asked for: headers are ASCII.
        return version if isinstance(version, str) and version.isascii() else None
    return None


def _set_version(path: Path, version: str | None) -> None:
    record = path.with_name(f"{path.name}.json")
    if version is None or version.startswith("W/"):  # a weak one does not tell bytes apart
        record.unlink(missing_ok=True)
    else:
        record.write_text(json.dumps({"etag": version}))
