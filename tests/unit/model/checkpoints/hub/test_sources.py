"""Names with a scheme become files, from servers that speak as the real ones do."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from model.checkpoints.hub.argos import fetch_argos
from model.checkpoints.hub.download import Downloader
from model.checkpoints.hub.firefox import fetch_firefox
from model.checkpoints.hub.huggingface import _chosen
from model.checkpoints.hub.sources import fetch
from model.checkpoints.importers.imported import ImportOptions
from model.checkpoints.importers.registry import read_model
from model.errors import CheckpointError, DownloadError
from tests.fixtures.marian import FIXTURES
from tests.model_server import COMMIT, Site, argos_package, firefox_registry, zip_of

MODEL = "anna/opus-mt-en-fr"


def folder(name: str = "ssru") -> dict[str, bytes]:
    names = ("model.npz", "decoder.yml", "vocab.spm")
    return {each: (FIXTURES / name / each).read_bytes() for each in names}


@pytest.fixture
def hub(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("HF_ENDPOINT", site.base)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    site.repositories[MODEL] = {**folder(), "README.md": b"A card.", "tf_model.h5": b"x" * 1000}
    yield site
    huggingface_hub.close_session()


@pytest.fixture
def registry(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    site.files["/db/models.json"] = json.dumps(firefox_registry(site)).encode()
    monkeypatch.setenv("POLYHEAD_FIREFOX_REGISTRY", f"{site.base}/db/models.json")
    return site


@pytest.fixture
def index(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    site.files["/ar_en.argosmodel"] = argos_package()
    packages = [
        {"package_version": "1.9", "from_code": "ar", "to_code": "en", "links": ["ipfs://x"]},
        {
            "package_version": "1.10", "from_code": "ar", "to_code": "en",
            "links": ["ipfs://x", f"{site.base}/gone", f"{site.base}/ar_en.argosmodel"],
        },
        {"package_version": "2", "from_code": "ar", "to_code": "en", "type": "sbd", "links": []},
        {"package_version": "1", "from_code": "ar", "to_code": "de", "links": ["ipfs://x"]},
    ]  # fmt: skip
    site.files["/index.json"] = json.dumps(packages).encode()
    monkeypatch.setenv("POLYHEAD_ARGOS_INDEX", f"{site.base}/index.json")
    return site


def test_a_path_is_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fetch(str(tmp_path)).path == tmp_path
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hf:odd").touch()
    assert fetch("hf:odd").path == Path("hf:odd")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fetch("~/model").path == tmp_path / "model"


def test_schemes_that_are_not_known_are_refused() -> None:
    with pytest.raises(
        DownloadError, match="hf:, firefox:, argos: or https://, but begins with s3"
    ):
        fetch("s3://bucket/model")


def test_the_hub_sends_what_importers_read_and_its_commit_is_recorded(hub: Site) -> None:
    fetched = fetch(f"hf:{MODEL}")
    assert sorted(path.name for path in fetched.path.iterdir()) == [
        "README.md", "decoder.yml", "model.npz", "vocab.spm",
    ]  # fmt: skip
    assert (fetched.source, fetched.revision) == (f"hf:{MODEL}", COMMIT)
    assert fetched.name == "opus-mt-en-fr"
    options = ImportOptions(
        source_languages=("en",), target_languages=("fr",),
        origin=(f"hf:{MODEL}", fetched.revision),
    )  # fmt: skip
    origin = read_model(fetched.path, options).metadata.origin
    assert origin is not None
    assert (origin.source, origin.revision) == (f"hf:{MODEL}", COMMIT)
    assert origin.sha256["model.npz"] == hashlib.sha256(folder()["model.npz"]).hexdigest()


def test_a_broken_transfer_from_the_hub_goes_on(hub: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 10_000)
    place = f"/{MODEL}/resolve/{COMMIT}/model.npz"
    hub.breaks[place] = [50_000]
    assert fetch(f"hf:{MODEL}").path.joinpath("model.npz").read_bytes() == folder()["model.npz"]
    ranges = [each.headers.get("range") for each in hub.requests if each.path == place]
    assert "bytes=50000-" in ranges


@pytest.mark.parametrize("name", ["model.npz", "vocab.spm"])
def test_what_the_hub_sends_must_have_its_checksum(hub: Site, name: str) -> None:
    content = folder()[name]
    hub.stored[name] = content[:-1] + bytes([content[-1] ^ 1])
    with pytest.raises(DownloadError, match=f"{name} must have the checksum"):
        fetch(f"hf:{MODEL}")
    del hub.stored[name]
    assert fetch(f"hf:{MODEL}").path.joinpath(name).read_bytes() == content


def test_offline_the_cache_of_the_hub_is_enough(hub: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYHEAD_OFFLINE", "1")
    with pytest.raises(DownloadError, match=f"hf:{MODEL} must have been downloaded before"):
        fetch(f"hf:{MODEL}")
    monkeypatch.setenv("POLYHEAD_OFFLINE", "0")
    online = fetch(f"hf:{MODEL}@v1")
    asked = len(hub.requests)
    monkeypatch.setenv("POLYHEAD_OFFLINE", "1")
    assert fetch(f"hf:{MODEL}@v1") == online
    assert len(hub.requests) == asked


def test_what_is_gated_needs_a_token_from_the_environment(
    hub: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.gated[MODEL] = "hf_secret"
    with pytest.raises(DownloadError, match="is not for everybody: accept its terms"):
        fetch(f"hf:{MODEL}")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert fetch(f"hf:{MODEL}").revision == COMMIT


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("anna/nothing", "hf:anna/nothing is not there, or is private"),
        (f"{MODEL}@v9", f"hf:{MODEL}@v9 must be a revision of this model, but there is no v9"),
        ("anna/a/b", "must be followed by OWNER/NAME"),
        ("", "must be followed by OWNER/NAME"),
        ("../../etc", "must be followed by OWNER/NAME"),
    ],
)
def test_what_the_hub_has_not_is_one_line(hub: Site, name: str, message: str) -> None:
    with pytest.raises(DownloadError, match=message) as caught:
        fetch(f"hf:{name}")
    assert "\n" not in str(caught.value)


def test_of_weights_in_several_forms_the_best_is_fetched() -> None:
    both = ["config.json", "pytorch_model.bin", "model.safetensors", "onnx/model.onnx", "x.msgpack"]
    assert _chosen(both) == ["config.json", "model.safetensors"]
    parts = [f"model-0000{part}-of-00002.safetensors" for part in (1, 2)]
    assert _chosen([*both[:2], *parts, "model.safetensors.index.json"]) == sorted(
        ["config.json", *parts, "model.safetensors.index.json"]
    )
    assert _chosen(["model.bin", "shared_vocabulary.json", "[x].model"]) == [
        "model.bin", "shared_vocabulary.json",
    ]  # fmt: skip
    texts = ["added_tokens.json", "model.bin", "tokenizer.json", "vmap.txt"]
    assert _chosen([*texts, "trainer.json"]) == texts


def test_firefox_takes_the_released_model_and_checks_it(registry: Site) -> None:
    fetched = fetch("firefox:en-fr")
    assert sorted(path.name for path in fetched.path.iterdir()) == [
        "model.enfr.intgemm.alphas.bin", "vocab.enfr.spm",
    ]  # fmt: skip
    assert fetched.revision == "models/en-fr/base-memory/exported"
    assert fetched.name == "firefox-en-fr"
    imported = read_model(fetched.path, ImportOptions())
    assert imported.metadata.license == "MPL-2.0"
    assert imported.metadata.pairs == (("en", "fr"),)
    asked = registry.asked()
    assert fetch("firefox:en-fr") == fetched
    assert registry.asked() - asked == {"/db/models.json": 1}
    assert fetch("firefox:en-fr@tiny").revision == "models/en-fr/tiny/exported"


def test_a_file_of_firefox_with_another_checksum_is_not_kept(registry: Site) -> None:
    place = "/models/en-fr/base-memory/exported/vocab.enfr.spm.gz"
    real = registry.files[place]
    registry.files[place] = gzip.compress(b"x" * 100)
    with pytest.raises(DownloadError, match=r"vocab\.enfr\.spm\.gz must have SHA-256"):
        fetch("firefox:en-fr")
    registry.files[place] = gzip.compress(b"x" * 10_000_000)
    with pytest.raises(DownloadError, match="bytes inside, but has more"):
        fetch("firefox:en-fr")
    registry.files[place] = real[:-20]
    with pytest.raises(DownloadError, match="must be a whole gzip file"):
        fetch("firefox:en-fr")
    registry.files[place] = gzip.decompress(real)  # by a server that knows better
    assert fetch("firefox:en-fr").path.joinpath("vocab.enfr.spm").exists()


@pytest.mark.parametrize("size", [-1, -(10**30), 10**30, "12", None])
def test_a_size_that_firefox_cannot_mean_is_none(registry: Site, size: object) -> None:
    listed = firefox_registry(registry)
    for record in listed["models"]["en-fr"]:
        record["files"]["vocab"]["uncompressedSize"] = size
    registry.files["/db/models.json"] = json.dumps(listed).encode()
    assert fetch("firefox:en-fr").path.joinpath("vocab.enfr.spm").exists()


class _Public(Downloader):
    """As if lists were at a public address."""

    def file(self, address: str, name: str, **more: Any) -> Path:
        if name == "index.json":
            return self.folder / name
        return super().file(address, name, **more)


@pytest.mark.parametrize("inside", ["http://127.0.0.1:8265", "https://10.0.0.7"])
def test_public_lists_do_not_lead_into_this_network(tmp_path: Path, inside: str) -> None:
    downloader = _Public(folder=tmp_path)
    package = {"from_code": "ar", "to_code": "en", "links": [f"{inside}/x"]}
    (tmp_path / "index.json").write_text(json.dumps([package]))
    with pytest.raises(DownloadError, match="in a public list must not lead to this machine"):
        fetch_argos("ar-en", downloader)
    record = {"files": {"model": {"path": "a/m.bin"}, "vocab": {"path": "a/v.spm"}}}
    listed = {"models": {"en-fr": [record]}, "baseUrl": inside}
    (tmp_path / "index.json").write_text(json.dumps(listed))
    with pytest.raises(DownloadError, match="in a public list must not lead to this machine"):
        fetch_firefox("en-fr", downloader)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("en-xx", "must have en-xx, but has of 1 pairs from en only en-fr"),
        ("en-fr@large", "architecture of en-fr must be base-memory or tiny, but is 'large'"),
        ("enfr", "must be followed by two languages"),
    ],
)
def test_what_firefox_has_not_is_told(registry: Site, name: str, message: str) -> None:
    with pytest.raises(DownloadError, match=message):
        fetch(f"firefox:{name}")


@pytest.mark.parametrize(
    "content",
    [
        b"{", b"[]", b"{}", b'{"models": []}', b'{"models": {"en-fr": [{"files": []}]}}',
        b'{"models": {"en-fr": [{"files": {"model": {"path": 1}, "vocab": {}}}]}, "baseUrl": "x"}',
        b'{"models": {"en-fr": [{"files": {"model": {"path": ".."}, "vocab": {}}}]},'
        b' "baseUrl": "https://x"}',
        b'{"models": {"en-fr": [{"releaseStatus": {}, "files": {"model": 1}}]}}',
    ],
)  # fmt: skip
def test_a_registry_of_another_form_is_refused(registry: Site, content: bytes) -> None:
    registry.files["/db/models.json"] = content
    with pytest.raises(DownloadError):
        fetch("firefox:en-fr")


def test_argos_takes_the_newest_package_from_the_first_link_that_works(index: Site) -> None:
    fetched = fetch("argos:ar-en")
    assert fetched.path.read_bytes() == index.files["/ar_en.argosmodel"]
    assert (fetched.source, fetched.revision) == ("argos:ar-en", "1.10")
    assert read_model(fetched.path, ImportOptions()).metadata.pairs == (("ar", "en"),)


@pytest.mark.parametrize(
    ("name", "message"),
    [("ar-fr", "but has from ar only to de, en"), ("ar-de", "address of https, but has none")],
)
def test_what_argos_has_not_is_told(index: Site, name: str, message: str) -> None:
    with pytest.raises(DownloadError, match=message):
        fetch(f"argos:{name}")


def test_indexes_serve_offline_once_they_have_been_seen(
    index: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    online = fetch("argos:ar-en")
    asked = len(index.requests)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch("argos:ar-en") == online
    assert len(index.requests) == asked


@pytest.mark.parametrize("inside", ["", "opus/"])
def test_an_archive_is_unpacked(site: Site, inside: str) -> None:
    content = site.files["/opus-2020.zip"] = zip_of(
        FIXTURES / "ssru-pre-norm-two-vocabularies", inside
    )
    sha256 = hashlib.sha256(content).hexdigest()
    fetched = fetch(f"{site.base}/opus-2020.zip?key=secret#sha256={sha256}")
    assert (fetched.path / "model.npz").exists()
    assert (fetched.source, fetched.name) == (f"{site.base}/opus-2020.zip", "opus-2020")
    assert fetched.revision == f"sha256:{sha256}"
    again = fetch(f"{site.base}/opus-2020.zip?key=secret#sha256={sha256}")
    assert again == fetched


def test_a_package_of_argos_stays_packed(site: Site) -> None:
    site.files["/x.argosmodel"] = argos_package()
    assert fetch(f"{site.base}/x.argosmodel").path.is_file()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("../out.txt", b"x", "names within it"),
        ("/etc/out.txt", b"x", "names within it"),
        ("zeros", bytes(50_000_000), "must have at most .* bytes inside"),
    ],
)
def test_hostile_archives_are_refused(site: Site, name: str, content: bytes, message: str) -> None:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    site.files["/x.zip"] = output.getvalue()
    with pytest.raises(CheckpointError, match=message):
        fetch(f"{site.base}/x.zip")


def test_a_wrong_or_strange_checksum_is_refused(site: Site) -> None:
    site.files["/x.zip"] = b"x"
    with pytest.raises(DownloadError, match="must have SHA-256"):
        fetch(f"{site.base}/x.zip#sha256={'0' * 64}")
    with pytest.raises(DownloadError, match="must be sha256= and 64"):
        fetch(f"{site.base}/x.zip#md5=0")
    with pytest.raises(DownloadError, match="must end with the name of a file"):
        fetch(site.base)


def test_other_archives_are_refused_before_they_are_downloaded(site: Site) -> None:
    with pytest.raises(DownloadError, match=r"must be a zip, but is x\.tar\.gz: unpack it"):
        fetch(f"{site.base}/x.tar.gz")
    assert site.requests == []


@pytest.mark.parametrize("address", ["https://[x/y", "https://a:b/y", "http://\x00/y", "https://"])
def test_broken_addresses_are_refused(address: str) -> None:
    with pytest.raises(DownloadError):
        fetch(address)


def test_broken_redirections_are_refused(site: Site) -> None:
    site.redirects["/x.zip"] = "https://a:b/y"
    with pytest.raises(DownloadError, match="redirection must be well-formed"):
        fetch(f"{site.base}/x.zip")
