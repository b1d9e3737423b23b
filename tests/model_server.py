"""A server on this machine that speaks as the Hugging Face Hub does, and has other files."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import sentencepiece

from tests.fixtures.ctranslate2 import FIXTURES as CTRANSLATE2
from tests.fixtures.marian import FIXTURES as MARIAN

__all__ = [
    "COMMIT", "Request", "Site", "argos_package", "firefox_registry", "serving", "zip_of",
]  # fmt: skip

COMMIT = "1234567890abcdef1234567890abcdef12345678"
"""The revision of every repository."""


@dataclass(frozen=True)
class Request:
    """What a client asked for."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Site:
    """What the server has, and how it misbehaves."""

    base: str = ""
    """Its address, without a slash at the end."""
    files: dict[str, bytes] = field(default_factory=dict)
    """By path."""
    breaks: dict[str, list[int]] = field(default_factory=dict)
    """After how many bytes the next transfers of a path end."""
    statuses: dict[str, list[int]] = field(default_factory=dict)
    """What the next requests of a path are answered instead."""
    redirects: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    """Headers of every answer that has a file."""
    has_versions: bool = True
    """Whether files have an ETag, and parts of them can be had."""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Files of the Hub, by OWNER/NAME."""
    gated: dict[str, str] = field(default_factory=dict)
    """Those that need a token, and which."""
    stored: dict[str, bytes] = field(default_factory=dict)
    """What is sent in place of a file of a repository, by its name."""
    requests: list[Request] = field(default_factory=list)

    def asked(self) -> Counter[str]:
        """How often each path was asked for with GET."""
        return Counter(each.path for each in self.requests if each.method == "GET")


@contextmanager
def serving() -> Iterator[Site]:
    """Serves a site until the block ends."""
    site = Site()

    class Handler(_Handler):
        pass

    Handler.site = site
    server = _Server(("127.0.0.1", 0), Handler)
    site.base = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join(30)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients hang up when they have read enough."""


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self) -> None:
        path, site = unquote(urlsplit(self.path).path), self.site
        headers = {name.lower(): value for name, value in self.headers.items()}
        site.requests.append(Request(self.command, path, headers))
        if waiting := site.statuses.get(path):
            self._send(waiting.pop(0), b"")
        elif path in site.redirects:
            self._send(302, b"", location=site.redirects[path])
        elif path in site.files:
            self._send_file(path, site.files[path], f'"{_sha256(site.files[path])}"')
        elif found := _repository(path, site):
            self._answer_of_hub(path, *found)
        else:
            self._send(404, b"", **{"x-error-code": "RepoNotFound"})

    def _answer_of_hub(self, path: str, repository: str, rest: str) -> None:
        files = self.site.repositories[repository]
        token = self.site.gated.get(repository)
        if token is not None and self.headers.get("authorization") != f"Bearer {token}":
            message = f"Access to model {repository} is restricted"
            self._send(403, b"", **{"x-error-code": "GatedRepo", "x-error-message": message})
            return
        api = path.startswith("/api/")
        if api and rest.startswith("revision/") and rest[9:] not in ("main", "v1", COMMIT):
            self._send(404, b"", **{"x-error-code": "RevisionNotFound"})
        elif api and (not rest or rest.startswith("revision/")):
            self._send(200, json.dumps(_info(repository, files)).encode())
        elif api and rest.startswith("tree/"):
            self._send(200, json.dumps([_entry(*each) for each in files.items()]).encode())
        elif rest.startswith("resolve/") and (name := rest.split("/", 2)[2]) in files:
            entry = _entry(name, files[name])
            content = self.site.stored.get(name, files[name])
            etag = entry["lfs"]["oid"] if "lfs" in entry else entry["oid"]
            self._send_file(path, content, f'"{etag}"', **{"x-repo-commit": COMMIT})
        else:
            self._send(404, b"", **{"x-error-code": "EntryNotFound"})

    def _send_file(self, path: str, content: bytes, etag: str, **headers: str) -> None:
        site, begin = self.site, 0
        if site.has_versions:
            headers["etag"] = etag
            if self.headers.get("if-none-match") == etag:
                self._send(304, b"", **headers)
                return
            asked = self.headers.get("range", "")
            if asked and self.headers.get("if-range", etag) == etag:
                begin = int(asked.removeprefix("bytes=").partition("-")[0])
                headers["content-range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
                if begin >= len(content):
                    self._send(416, b"")
                    return
        most = None
        if self.command == "GET" and (ends := site.breaks.get(path)):
            most = ends.pop(0)
        status = 206 if "content-range" in headers else 200
        self._send(status, content[begin:], most, **{**headers, **site.headers})

    def _send(self, status: int, content: bytes, most: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("content-length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[:most])


def _repository(path: str, site: Site) -> tuple[str, str] | None:
    inner = path.removeprefix("/api/models").lstrip("/")
    for repository in site.repositories:
        if inner == repository or inner.startswith(f"{repository}/"):
            return repository, inner[len(repository) + 1 :]
    return None


def _info(repository: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    siblings = [
        {"rfilename": name, "size": len(content), "blobId": _git_sum(content)}
        for name, content in files.items()
    ]
    return {"_id": "1", "id": repository, "sha": COMMIT, "siblings": siblings}


def _entry(name: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "type": "file", "path": name, "size": len(content), "oid": _git_sum(content),
    }  # fmt: skip
    if name.endswith((".safetensors", ".bin", ".npz")):
        entry["lfs"] = {"oid": _sha256(content), "size": len(content), "pointerSize": 134}
    return entry


def _git_sum(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def zip_of(folder: Path, inside: str = "") -> bytes:
    """An archive of a folder's files."""
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.writestr(f"{inside}{path.name}", path.read_bytes())
    return output.getvalue()


def argos_package() -> bytes:
    """A small package of Argos Translate, from Arabic to English."""
    folder = CTRANSLATE2 / "v2-aren-transliteration-i8"
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        metadata = {"package_version": "1.10", "from_code": "ar", "to_code": "en"}
        archive.writestr("translate-ar_en/metadata.json", json.dumps(metadata))
        archive.writestr("translate-ar_en/sentencepiece.model", _characters(folder))
        for path in sorted(folder.iterdir()):
            archive.writestr(f"translate-ar_en/model/{path.name}", path.read_bytes())
    return output.getvalue()


def _characters(folder: Path) -> bytes:
    """A SentencePiece model whose pieces are the characters of a model's vocabularies."""
    serialized = io.BytesIO()
    names = [path.read_text("utf-8") for path in folder.glob("*_vocabulary.txt")]
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter("".join(names).split() * 2), model_writer=serialized,
        model_type="char", vocab_size=200, hard_vocab_limit=False, character_coverage=1.0,
        add_dummy_prefix=False, num_threads=1, minloglevel=2,
    )  # fmt: skip
    return serialized.getvalue()


def firefox_registry(site: Site) -> dict[str, Any]:
    """Puts a model of Firefox's form on a site, from English to French, and what lists it."""
    model = (MARIAN / "ssru" / "intgemm8.bin").read_bytes()
    vocabulary = (MARIAN / "ssru" / "vocab.spm").read_bytes()
    records = []
    for architecture, status in (("tiny", "Release Android"), ("base-memory", "Release")):
        place = f"models/en-fr/{architecture}/exported"
        files = {"model": "model.enfr.intgemm.alphas.bin", "vocab": "vocab.enfr.spm"}
        listed = {}
        for kind, content in (("model", model), ("vocab", vocabulary)):
            path = f"{place}/{files[kind]}.gz"
            site.files[f"/{path}"] = gzip.compress(content)
            listed[kind] = {
                "path": path,
                "uncompressedHash": _sha256(content),
                "uncompressedSize": len(content),
            }
        records.append(
            {
                "architecture": architecture,
                "releaseStatus": status,
                "files": listed,
                "sourceLanguage": "en",
                "targetLanguage": "fr",
            }
        )
    return {"baseUrl": site.base, "generated": "2026-11-01", "models": {"en-fr": records}}
