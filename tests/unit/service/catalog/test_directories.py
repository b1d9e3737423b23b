"""What the catalog says of models that nobody has loaded, and where it places them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from model.checkpoints.embedded import EMBEDDED
from model.errors import CheckpointError, InvalidRequestError
from model.translator import Translator
from service.catalog.directories import catalog_of, check_names, engine_config, read_entry
from service.catalog.entry import POOL, CatalogEntry
from service.settings import Autoscaling, ModelRecord, Settings
from tests.tiny_model import build_tiny_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def _entry(tiny: Path, settings: dict[str, Any] | None = None, **record: Any) -> CatalogEntry:
    given = {"engine": {"device": "cpu"}, **(settings or {})}
    return read_entry(ModelRecord(model=str(tiny), **record), Settings.model_validate(given))


def test_it_says_what_a_replica_would() -> None:
    [entry] = catalog_of(Settings(models=["en-de"]))
    with Translator.load("en-de", engine_config(Settings())) as translator:
        assert entry.info.languages == translator.languages
        assert entry.info.num_parameters == translator.num_parameters
        assert entry.info.max_source_tokens == translator.max_source_tokens
        assert entry.info.generation == translator.generation
        assert (entry.info.device, entry.info.dtype) == (translator.device, translator.dtype)


def test_the_embedded_models_are_the_default_and_are_known_everywhere() -> None:
    entries = catalog_of(Settings(models=["en-de", str(EMBEDDED["de-en"])]))
    assert [entry.hosted.directory for entry in entries] == ["en-de", "de-en"]
    assert [entry.id for entry in catalog_of(Settings())] == ["en-de", "de-en"]


def test_a_record_says_more_than_a_name(tiny: Path) -> None:
    entry = _entry(
        tiny, id="news", aliases=["n"], dtype="float32", generation={"beam_size": 2}, replicas=2
    )
    assert entry.names == ("news", "n")
    assert entry.hosted.key.startswith("news@")
    assert (entry.hosted.dtype, entry.info.dtype) == ("float32", "float32")
    assert entry.info.generation.beam_size == 2
    assert entry.deployment == "Translator-news"
    assert entry.num_replicas(Settings()) == 2


@pytest.mark.parametrize(
    ("settings", "record", "shared"),
    [
        ({}, {}, True),
        ({}, {"placement": "dedicated"}, False),
        ({}, {"replicas": 1}, False),
        ({}, {"autoscaling": {"min_replicas": 0}}, False),
        ({"replicas": 2}, {}, False),
        ({"autoscaling": {}}, {}, False),
        ({"autoscaling": {}}, {"placement": "shared"}, True),
        ({"engine": {"device": "cuda"}}, {}, False),
        ({"engine": {"device": "auto"}, "num_gpus_per_replica": 1}, {}, False),
    ],
)
def test_small_models_on_the_cpu_share_replicas_unasked(
    tiny: Path, settings: dict[str, Any], record: dict[str, Any], shared: bool
) -> None:
    entry = _entry(tiny, settings, **record)
    assert entry.shared is shared
    assert entry.deployment == (POOL if shared else "Translator-tiny")


def test_large_models_have_replicas_of_their_own(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.catalog.directories._SHARED_BYTES", 1000)
    assert not _entry(tiny).shared
    assert _entry(tiny, placement="shared").shared


def test_a_dedicated_model_has_an_application_of_its_own(tiny: Path) -> None:
    record = ModelRecord(model=str(tiny), placement="dedicated")
    entry = read_entry(record, Settings(), revision=7)
    assert (entry.application("polyhead"), entry.hosted.key) == ("polyhead@tiny@7", "tiny@7")
    assert _entry(tiny).application("polyhead") == "polyhead"


def test_of_the_settings_a_revision_is_called_after_what_is_loaded(tiny: Path) -> None:
    key = _entry(tiny).hosted.key
    assert re.fullmatch(r"tiny@[0-9a-f]{8}", key)
    assert _entry(tiny, {"replicas": 2}, aliases=["t"]).hosted.key == key
    for record in ({"dtype": "float32"}, {"generation": {"beam_size": 2}}, {"device": "cpu"}):
        assert _entry(tiny, **record).hosted.key != key


def test_another_content_of_a_directory_is_another_revision(tmp_path: Path) -> None:
    directory = build_tiny_model(tmp_path / "m")
    before = _entry(directory).hosted
    assert _entry(directory).hosted == before
    (directory / "SHA256SUMS").write_text((directory / "SHA256SUMS").read_text() + "\n")
    after = _entry(directory).hosted
    assert (after.key != before.key, after.fingerprint != before.fingerprint) == (True, True)


@pytest.mark.parametrize(
    ("settings", "record", "sleeps"),
    [
        ({}, {"placement": "dedicated"}, False),
        ({}, {"autoscaling": {"min_replicas": 0}}, True),
        ({"autoscaling": {"min_replicas": 0}}, {}, True),
        ({"autoscaling": {"min_replicas": 0}}, {"replicas": 1}, False),
        ({"autoscaling": {"min_replicas": 0}}, {"placement": "shared"}, False),
    ],
)
def test_who_may_sleep(
    tiny: Path, settings: dict[str, Any], record: dict[str, Any], sleeps: bool
) -> None:
    assert _entry(tiny, settings, **record).can_sleep is sleeps


@pytest.mark.parametrize(
    ("engine", "num_gpus", "device", "dtype"),
    [
        ({}, 0, "cpu", "int8"),
        ({"backend": "eager"}, 0, "cpu", "float32"),
        ({"dtype": "bfloat16"}, 0, "cpu", "bfloat16"),
        ({}, 0.5, "cuda", "bfloat16"),
        ({"device": "cuda:1"}, 1, "cuda:1", "bfloat16"),
        ({"device": "cpu"}, 1, "cpu", "int8"),
    ],
)
def test_device_and_type_are_those_of_the_replicas_machine(
    tiny: Path, engine: dict[str, str], num_gpus: float, device: str, dtype: str
) -> None:
    info = _entry(tiny, {"engine": engine, "num_gpus_per_replica": num_gpus}).info
    assert (info.device, info.dtype) == (device, dtype)


def test_languages_can_be_restricted(tiny: Path) -> None:
    assert _entry(tiny, languages=["EN", "de"]).info.languages.num_pairs == 1
    with pytest.raises(InvalidRequestError, match=r"`languages` of tiny .*, but 'fr' is not"):
        _entry(tiny, languages=["en", "fr"])
    with pytest.raises(InvalidRequestError, match="must have a pair"):
        _entry(tiny, languages=["en"])


def test_names_must_differ_and_be_few(tiny: Path) -> None:
    one, two = _entry(tiny), _entry(tiny, id="two", aliases=["tiny"])
    with pytest.raises(InvalidRequestError, match="two are called 'tiny'"):
        check_names([one, two], Settings())
    other = _entry(tiny, id="other")
    check_names([one, other], Settings(max_models=2))
    with pytest.raises(InvalidRequestError, match="at most 1 models, but there are 2"):
        check_names([one, other], Settings(max_models=1))


def test_what_is_no_model_or_no_option_is_refused(tmp_path: Path, tiny: Path) -> None:
    with pytest.raises(CheckpointError, match="must be a directory"):
        _entry(tmp_path / "missing")
    with pytest.raises(InvalidRequestError, match="`beam_size` must be"):
        _entry(tiny, generation={"beam_size": 0})
    with pytest.raises(InvalidRequestError, match="printable names"):
        _entry(build_tiny_model(tmp_path / "a\x1b[31mb"))
    assert _entry(tiny, id="a#b").shared
    with pytest.raises(InvalidRequestError, match="must not have '#', but is 'a#b'"):
        _entry(tiny, id="a#b", placement="dedicated")


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"id": "a/b"}, "pattern"),
        ({"id": "x" * 101}, "at most 100"),
        ({"aliases": ["a"] * 17}, "at most 16"),
        ({"generation": {"nonsense": 1}}, "options of the search alone, but has 'nonsense'"),
        ({"replicas": 1, "autoscaling": {}}, "must not be given together"),
        ({"replicas": 1, "placement": "shared"}, "where `placement` is shared"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_records_are_checked(record: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ModelRecord(model="m", **record)


def test_settings_have_names_or_records(monkeypatch: pytest.MonkeyPatch) -> None:
    record = {"model": "b", "id": "c"}
    assert Settings(models=["a", record]).models == ["a", ModelRecord(model="b", id="c")]  # type: ignore[list-item]
    monkeypatch.setenv("POLYHEAD_MODELS", '["a", {"model": "b", "id": "c"}]')
    assert Settings().models == ["a", ModelRecord(model="b", id="c")]
    monkeypatch.setenv("POLYHEAD_MODELS", "a, b")
    assert Settings().models == ["a", "b"]
    assert Autoscaling(min_replicas=0).min_replicas == 0


@pytest.mark.parametrize(("reserved", "share"), [(0, 1.0), (0.25, 0.25), (1, 1.0), (2, 1.0)])
def test_who_has_a_share_of_a_gpu_has_that_share_of_its_memory(
    reserved: float, share: float
) -> None:
    assert engine_config(Settings(num_gpus_per_replica=reserved)).gpu_share == share
