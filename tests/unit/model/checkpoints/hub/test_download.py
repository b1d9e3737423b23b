"""Files over HTTP: whole, checked and bounded, or not at all."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path
from typing import Any

import httpx2
import pytest

from model.checkpoints.hub.download import Downloader, _require_address, shown
from model.errors import DownloadError
from tests.model_server import Site

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def downloader(tmp_path: Path) -> Downloader:
    return Downloader(folder=tmp_path / "downloads")


@pytest.fixture(autouse=True)
def _file(site: Site) -> None:
    site.files["/model.bin"] = CONTENT


def test_a_file_is_downloaded_once(site: Site, downloader: Downloader) -> None:
    address = f"{site.base}/model.bin"
    path = downloader.file(address, "model.bin", sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert path.name == "model.bin"
    assert downloader.file(address, "model.bin", sha256=SHA256) == path
    assert len(site.requests) == 1


def test_without_a_checksum_the_server_is_asked_whether_it_has_changed(
    site: Site, downloader: Downloader
) -> None:
    address = f"{site.base}/model.bin"
    path = downloader.file(address, "model.bin")
    assert downloader.file(address, "model.bin").read_bytes() == CONTENT
    assert "if-none-match" in site.requests[1].headers
    site.files["/model.bin"] = b"another"
    assert downloader.file(address, "model.bin") == path
    assert path.read_bytes() == b"another"


@pytest.mark.parametrize("sha256", [SHA256, None])
def test_a_broken_transfer_goes_on(site: Site, downloader: Downloader, sha256: str | None) -> None:
    site.breaks["/model.bin"] = [300_000, 200_000]
    path = downloader.file(f"{site.base}/model.bin", "model.bin", sha256=sha256)
    assert path.read_bytes() == CONTENT
    begins = [each.headers.get("range") for each in site.requests]
    assert begins == [None, "bytes=300000-", "bytes=500000-"]
    assert [each.name for each in path.parent.glob("*.part*")] == []


def test_it_goes_on_in_another_process_too(site: Site, downloader: Downloader) -> None:
    address = f"{site.base}/model.bin"
    site.breaks["/model.bin"] = [300_000, 0, 0, 0, 0, 0]
    with pytest.raises(DownloadError, match=r"cannot download .*/model.bin: "):
        downloader.file(address, "model.bin")
    assert downloader.file(address, "model.bin").read_bytes() == CONTENT
    assert site.requests[-1].headers["range"] == "bytes=300000-"


def test_what_has_changed_meanwhile_begins_anew(site: Site, downloader: Downloader) -> None:
    site.breaks["/model.bin"] = [300_000, 0, 0, 0, 0, 0]
    with pytest.raises(DownloadError):
        downloader.file(f"{site.base}/model.bin", "model.bin")
    site.files["/model.bin"] = b"another"
    assert downloader.file(f"{site.base}/model.bin", "model.bin").read_bytes() == b"another"


def test_a_server_that_cannot_send_parts_begins_anew(site: Site, downloader: Downloader) -> None:
    site.has_versions = False
    site.breaks["/model.bin"] = [300_000]
    path = downloader.file(f"{site.base}/model.bin", "model.bin", sha256=SHA256)
    assert path.read_bytes() == CONTENT


def test_transfers_that_never_bring_more_end(site: Site, downloader: Downloader) -> None:
    site.has_versions = False
    site.breaks["/model.bin"] = [100, 50] * 20
    with pytest.raises(DownloadError, match="cannot download"):
        downloader.file(f"{site.base}/model.bin", "model.bin")
    assert len(site.requests) == 6


def test_a_server_that_is_busy_is_asked_again(site: Site, downloader: Downloader) -> None:
    site.statuses["/model.bin"] = [503, 429]
    assert downloader.file(f"{site.base}/model.bin", "m").read_bytes() == CONTENT
    site.statuses["/model.bin"] = [503] * 20
    with pytest.raises(DownloadError, match="the server answers 503"):
        downloader.file(f"{site.base}/model.bin?again", "m")


@pytest.mark.parametrize(
    ("status", "meaning"),
    [(401, "login"), (403, "everybody"), (404, "no such file"), (418, "does not send it")],
)
def test_other_answers_end_it(
    site: Site, downloader: Downloader, status: int, meaning: str
) -> None:
    site.statuses["/model.bin"] = [status]
    with pytest.raises(DownloadError, match=rf"{meaning}.* \({status}\)"):
        downloader.file(f"{site.base}/model.bin", "model.bin")
    assert len(site.requests) == 1


def test_a_wrong_checksum_leaves_nothing(site: Site, downloader: Downloader) -> None:
    with pytest.raises(DownloadError, match=f"must have SHA-256 {'0' * 64}, but has {SHA256}"):
        downloader.file(f"{site.base}/model.bin", "model.bin", sha256="0" * 64)
    left = [path for path in downloader.folder.rglob("model*") if path.is_file()]
    assert [path for path in left if path.suffix != ".json"] == []


@pytest.mark.parametrize("has_length", [True, False])
def test_nothing_is_larger_than_its_bound(
    site: Site, downloader: Downloader, has_length: bool
) -> None:
    with pytest.raises(DownloadError, match="must have at most 1000 bytes"):
        downloader.file(f"{site.base}/model.bin", "model.bin", most=1000)
    assert list(downloader.folder.rglob("*.part")) == []


def test_encoded_content_is_refused(site: Site, downloader: Downloader) -> None:
    site.headers["content-encoding"] = "gzip"
    with pytest.raises(DownloadError, match="as it is, but is encoded"):
        downloader.file(f"{site.base}/model.bin", "model.bin")
    # But gzip is what a .gz is.
    assert downloader.file(f"{site.base}/model.bin", "model.bin.gz").read_bytes() == CONTENT


def test_redirections_are_followed_within_this_machine_or_to_https(
    site: Site, downloader: Downloader
) -> None:
    site.redirects["/latest"] = "/model.bin"
    assert downloader.file(f"{site.base}/latest", "model.bin").read_bytes() == CONTENT
    site.redirects["/round"] = "/round"
    with pytest.raises(DownloadError, match="at most 5 times"):
        downloader.file(f"{site.base}/round", "model.bin")
    for place in ("http://192.0.2.1/x", "ftp://192.0.2.1/x", "file:///etc/passwd"):
        site.redirects["/out"] = place
        with pytest.raises(DownloadError, match="must begin with https://"):
            downloader.file(f"{site.base}/out", "model.bin")


@pytest.mark.parametrize(
    "address",
    ["http://192.0.2.1/x", "http://example.invalid/x", "file:///etc/passwd", "https:///x"],
)
def test_other_addresses_are_refused(downloader: Downloader, address: str) -> None:
    with pytest.raises(DownloadError, match="must begin with https://"):
        downloader.file(address, "x")


_PLACES = {
    "public.example": "93.184.215.14", "inner.example": "10.0.0.7", "named.example": "127.0.0.1",
    "127.1": "127.0.0.1", "[::ffff:10.0.0.7]": "::ffff:10.0.0.7",
}  # fmt: skip


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def found(host: str, *rest: Any, **more: Any) -> Any:
        return real(_PLACES.get(host, host), *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", found)


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:8265/x", "http://localhost/x", "https://127.0.0.1/x", "https://127.1/x",
        "https://[::1]/x", "https://10.0.0.7/x", "https://169.254.169.254/x",
        "https://inner.example/x", "https://named.example/x", "https://[::ffff:10.0.0.7]/x",
    ],
)  # fmt: skip
def test_a_public_list_does_not_lead_to_this_machine_or_its_network(
    downloader: Downloader, names: None, address: str
) -> None:
    with pytest.raises(DownloadError, match="in a public list must not lead to this machine or"):
        downloader.file(address, "x", named_by="https://public.example/index.json")
    with pytest.raises(DownloadError, match="a redirection must not lead to this machine or"):
        _require_address(httpx2.URL(address), inside=False, what="a redirection")


def test_a_list_of_this_network_leads_to_it(
    site: Site, downloader: Downloader, names: None
) -> None:
    address = f"{site.base}/model.bin"
    for place in (f"{site.base}/index.json", "https://inner.example/index.json", None):
        assert downloader.file(address, "model.bin", named_by=place).read_bytes() == CONTENT


@pytest.mark.parametrize("etag", ['"ä"', '"\u0663"'])
def test_a_version_that_no_header_can_name_is_none(
    site: Site, downloader: Downloader, etag: str
) -> None:
    site.headers["etag"] = etag.encode().decode("latin-1")
    site.breaks["/model.bin"] = [300_000]
    for _ in range(2):
        assert downloader.file(f"{site.base}/model.bin", "m").read_bytes() == CONTENT
    assert not any("if-none-match" in each.headers for each in site.requests)


def test_secrets_are_not_shown(downloader: Downloader) -> None:
    assert shown("https://a.invalid/x?signature=secret#secret") == "https://a.invalid/x"
    with pytest.raises(DownloadError) as caught:
        downloader.file("https://anna:secret@a.invalid/x?key=secret", "x")
    assert "secret" not in str(caught.value)


def test_offline_only_what_is_here_is_there(site: Site, downloader: Downloader) -> None:
    address = f"{site.base}/model.bin"
    offline = Downloader(folder=downloader.folder, offline=True)
    with pytest.raises(DownloadError, match="POLYHEAD_OFFLINE"):
        offline.file(address, "model.bin")
    path = downloader.file(address, "model.bin")
    asked = len(site.requests)
    assert offline.file(address, "model.bin") == path
    with pytest.raises(DownloadError, match="POLYHEAD_OFFLINE"):
        offline.file(address, "model.bin", sha256="0" * 64)
    assert len(site.requests) == asked


def test_no_server_at_all_is_one_line(downloader: Downloader) -> None:
    with pytest.raises(DownloadError, match=r"cannot download http://127\.0\.0\.1:9/x: "):
        downloader.file("http://127.0.0.1:9/x", "x")
