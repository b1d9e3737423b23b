"""Model directories: what is written is read, and what is damaged is named."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from model.checkpoints import checkpoint, weights
from model.checkpoints.checkpoint import (
    check_checkpoint,
    load_checkpoint,
    save_checkpoint,
    write_checkpoint,
)
from model.checkpoints.checksums import verify_checksums
from model.checkpoints.manifest import ModelMetadata, Origin, read_manifest
from model.checkpoints.shortlist import Shortlist, read_shortlist
from model.config import GenerationConfig
from model.errors import CheckpointError
from model.network.memory import shortlist_limit
from model.network.shapes import weight_shapes
from model.network.transformer import Transformer
from model.text.languages import Pair
from tests.tiny_model import build_tiny_model, tiny_config
from tests.unit.model.checkpoints.rewriting import rewrite_manifest
from tests.unit.model.text.listed import (
    LANGUAGES,
    listed_config,
    listed_files,
    listed_tokenizer,
)
from tests.unit.model.text.tiny_tokenizer import train_tiny_tokenizer


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return build_tiny_model(tmp_path / "tiny")


def rewrite_bytes(path: Path) -> None:
    """Flips one bit in the last byte."""
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def test_what_is_saved_is_loaded(directory: Path) -> None:
    first = load_checkpoint(directory)
    save_checkpoint(
        directory.with_name("again"), first.model, first.tokenizer, first.metadata,
        first.generation, dtype="float32",
    )  # fmt: skip
    again = load_checkpoint(directory.with_name("again"))
    assert (again.config, again.metadata, again.generation) == (
        first.config, first.metadata, first.generation,
    )  # fmt: skip
    for name, tensor in first.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[name], tensor, rtol=0, atol=0)
    assert first.metadata.pairs == (("en", "de"),)
    assert not first.model.training


@pytest.mark.parametrize("name", ["lowercase_all_caps", "lower_shouting"])
def test_a_retired_field_of_an_old_directory_says_nothing(directory: Path, name: str) -> None:
    before = read_manifest(directory)
    rewrite_manifest(directory, lambda values: values.update({name: True}))
    assert read_manifest(directory) == before


def test_placeholders_need_a_vocabulary_with_bytes(directory: Path) -> None:
    rewrite_manifest(directory, lambda values: values.update(placeholders=True))
    loaded = load_checkpoint(directory)
    assert loaded.metadata.placeholders
    tokenizer = train_tiny_tokenizer(byte_fallback=False)
    config = tiny_config(tokenizer.vocab_size)
    without = directory.with_name("without")
    with pytest.raises(CheckpointError, match="there must be a piece for every byte"):
        save_checkpoint(without, Transformer(config), tokenizer, loaded.metadata, loaded.generation)
    assert not without.exists()


def test_large_weights_are_cut_into_shards(directory: Path, monkeypatch) -> None:
    loaded = load_checkpoint(directory)
    monkeypatch.setattr(weights, "MAX_SHARD_BYTES", 20_000)
    target = directory.with_name("sharded")
    save_checkpoint(target, loaded.model, loaded.tokenizer, loaded.metadata, loaded.generation)
    shards = sorted(path.name for path in target.glob("*.safetensors"))
    assert len(shards) > 2
    assert shards[0] == f"model-00001-of-{len(shards):05d}.safetensors"
    for name, tensor in loaded.model.state_dict().items():
        torch.testing.assert_close(
            load_checkpoint(target).model.state_dict()[name], tensor, rtol=0, atol=0
        )


def test_replacing_a_model_keeps_its_card(directory: Path) -> None:
    (directory / "MODEL_CARD.md").write_text("what it is good at")
    loaded = load_checkpoint(directory)
    save_checkpoint(directory, loaded.model, loaded.tokenizer, loaded.metadata, loaded.generation)
    assert (directory / "MODEL_CARD.md").read_text() == "what it is good at"
    assert [p.name for p in directory.parent.iterdir()] == ["tiny"]


def test_a_failed_save_leaves_the_old_model_alone(directory: Path) -> None:
    loaded = load_checkpoint(directory)
    with torch.no_grad():
        loaded.model.encoder_layers[0].feed_forward.inner.bias[0] = 1e6  # beyond float16
    with pytest.raises(CheckpointError, match="not finite"):
        save_checkpoint(
            directory, loaded.model, loaded.tokenizer, loaded.metadata, loaded.generation
        )
    verify_checksums(directory)
    assert [p.name for p in directory.parent.iterdir()] == ["tiny"]


def test_what_is_saved_can_be_read_by_others(directory: Path) -> None:
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o644}
    assert directory.stat().st_mode & 0o777 == 0o755


def test_saving_through_a_link_replaces_what_it_points_to(directory: Path) -> None:
    loaded = load_checkpoint(directory)
    link = directory.with_name("link")
    link.symlink_to(directory)
    save_checkpoint(link, loaded.model, loaded.tokenizer, loaded.metadata, loaded.generation)
    assert link.is_symlink()
    verify_checksums(link)
    assert {p.name for p in directory.parent.iterdir()} == {"tiny", "link"}


def test_saving_never_replaces_what_is_no_model(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load_checkpoint(directory)
    parts = loaded.model, loaded.tokenizer, loaded.metadata, loaded.generation
    home = tmp_path / "home"
    home.mkdir()
    precious = home / "precious.txt"
    precious.write_text("years of work")
    monkeypatch.chdir(home)
    with pytest.raises(CheckpointError, match="must be a model, empty or absent, but holds"):
        save_checkpoint(Path("."), *parts)
    with pytest.raises(CheckpointError, match="must be a directory"):
        save_checkpoint(precious, *parts)
    assert precious.read_text() == "years of work"
    settings = home / "config.json"
    settings.write_text("{}")
    with pytest.raises(CheckpointError, match="must be a model, empty or absent, but holds"):
        save_checkpoint(home, *parts)
    settings.unlink()
    precious.rename(home / "MODEL_CARD.md")
    save_checkpoint(home, *parts)
    assert (home / "MODEL_CARD.md").read_text() == "years of work"


def test_a_failed_replacement_leaves_the_old_model_alone(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load_checkpoint(directory)
    replace = checkpoint.os.replace

    def fail_to_put_in_place(source: Path, target: Path) -> None:
        if target == directory and not source.name.endswith("-replaced"):
            raise OSError("no space left on device")
        replace(source, target)

    monkeypatch.setattr(checkpoint.os, "replace", fail_to_put_in_place)
    with pytest.raises(OSError, match="no space left"):
        save_checkpoint(
            directory, loaded.model, loaded.tokenizer, loaded.metadata, loaded.generation
        )
    verify_checksums(directory)
    assert [p.name for p in directory.parent.iterdir()] == ["tiny"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda w: w.fill_(float("nan")), id="nan"),
        pytest.param(lambda w: w.fill_(float("inf")), id="inf"),
    ],
)
def test_weights_must_be_finite_numbers(directory: Path, change) -> None:
    shard = next(directory.glob("*.safetensors"))
    tensors = load_file(shard)
    name = next(iter(tensors))
    save_file(tensors | {name: change(tensors[name])}, shard)
    rewrite_manifest(directory, lambda values: None)
    with pytest.raises(CheckpointError, match="must be finite numbers"):
        load_checkpoint(directory)


def listed_model(directory: Path, **changes: Any) -> None:
    """Writes a model of three languages, whose ids are those of a list, with numbers from NumPy."""
    files = listed_files()
    config = tiny_config(listed_tokenizer().vocab_size, pad_id=2, bos_id=2, eos_id=0, unk_id=1)
    generator = np.random.default_rng(0)
    weights = {
        name: generator.standard_normal(shape, np.float32)
        for name, shape in weight_shapes(config).items()
    }
    metadata = ModelMetadata(
        name="listed", version="1", license="none needed", source_languages=LANGUAGES,
        target_languages=LANGUAGES, tokenizer=listed_config(),
        origin=Origin(source="hf:a/b", format="M2M-100", sha256={"model.bin": "0" * 64}),
    )  # fmt: skip
    given = {"weights": weights, "files": files, "metadata": metadata} | changes
    write_checkpoint(
        directory, given["weights"], config, given["files"], given["metadata"],
        GenerationConfig(), dtype="float32", shortlist=given.get("shortlist"),
        replace_model=given.get("replace_model", True),
    )  # fmt: skip


def test_two_writers_put_their_models_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "listed"
    listed_model(directory)
    other = threading.Thread(target=listed_model, args=(directory,))
    waits, placed = threading.Event(), []
    lock, put = checkpoint.fcntl.flock, checkpoint._put_in_place

    def observed_lock(*arguments: Any) -> None:
        if threading.current_thread() is other:
            waits.set()
        lock(*arguments)

    def observed_put(working: Path, to: Path) -> None:
        if not placed:
            other.start()
            assert waits.wait(60)
        placed.append(threading.current_thread())
        put(working, to)

    monkeypatch.setattr(checkpoint.fcntl, "flock", observed_lock)
    monkeypatch.setattr(checkpoint, "_put_in_place", observed_put)
    listed_model(directory)
    other.join(60)

    assert placed == [threading.current_thread(), other]
    check_checkpoint(directory)
    assert [path.name for path in tmp_path.iterdir()] == ["listed"]


def test_a_model_that_another_process_has_written_meanwhile_stays(tmp_path: Path) -> None:
    directory = tmp_path / "listed"
    config = tiny_config(listed_tokenizer().vocab_size)

    def weights() -> Iterator[tuple[str, Any]]:
        listed_model(directory)
        for name, shape in weight_shapes(config).items():
            yield name, np.zeros(shape, np.float32)

    with pytest.raises(CheckpointError, match="must be empty or absent, but is there already"):
        listed_model(directory, weights=weights(), replace_model=False)
    with pytest.raises(CheckpointError, match="must be empty or absent, but is there already"):
        listed_model(directory, replace_model=False)
    assert load_checkpoint(directory).model.src_embedding.tokens.weight.any()
    assert [path.name for path in tmp_path.iterdir()] == ["listed"]


def test_a_list_of_pieces_and_languages_are_written_and_read(tmp_path: Path) -> None:
    listed_model(tmp_path / "listed")
    names = sorted(path.name for path in (tmp_path / "listed").iterdir())
    assert names == [
        "SHA256SUMS", "config.json", "model-00001-of-00001.safetensors", "tokenizer.model",
        "vocabulary.json",
    ]  # fmt: skip
    loaded = load_checkpoint(tmp_path / "listed")
    assert loaded.metadata.tokenizer == listed_config()
    assert loaded.metadata.origin is not None
    assert loaded.metadata.origin.format == "M2M-100"
    pair = Pair("en", "fr")
    text = "the old man sees two apples."
    for found, expected in (
        (loaded.tokenizer.encode_source(text, pair), listed_tokenizer().encode_source(text, pair)),
        (loaded.tokenizer.target_prefix(pair), listed_tokenizer().target_prefix(pair)),
    ):
        assert found == expected


def test_all_that_is_wrong_with_weights_is_told(tmp_path: Path) -> None:
    bad = {"more": np.zeros(3), "src_embedding.tokens.weight": np.zeros((2, 2))}
    message = (
        r"more is unknown; src_embedding.tokens.weight is \(2, 2\) instead of .*; enc.* missing"
    )
    with pytest.raises(CheckpointError, match=message):
        listed_model(tmp_path / "bad", weights=bad)
    twice = [("src_embedding.tokens.weight", np.zeros((2, 2)))] * 2
    with pytest.raises(CheckpointError, match=r"src_embedding.tokens.weight is given twice"):
        listed_model(tmp_path / "bad", weights=twice)
    assert not list(tmp_path.iterdir())


def test_a_tokenizer_must_fit_its_model(tmp_path: Path) -> None:
    more = listed_files((*LANGUAGES, "xx"))
    with pytest.raises(CheckpointError, match=r"must have \d+ ids, but has \d+ pieces"):
        listed_model(tmp_path / "bad", files=more)
    metadata = ModelMetadata(
        name="a", version="1", license="-", source_languages=("en",), target_languages=("it",),
        tokenizer=listed_config(),
    )  # fmt: skip
    with pytest.raises(CheckpointError, match=r"must have a token for every language.* it"):
        listed_model(tmp_path / "bad", metadata=metadata)


def test_a_list_more_than_the_kind_says_is_refused(tmp_path: Path) -> None:
    listed_model(tmp_path / "listed")
    rewrite_manifest(tmp_path / "listed", lambda values: values.pop("tokenizer"))
    with pytest.raises(CheckpointError, match="must have no list of pieces, but has vocabulary"):
        load_checkpoint(tmp_path / "listed")


def test_a_shortlist_is_written_and_read(tmp_path: Path) -> None:
    shortlist = Shortlist(
        first=3, offsets=np.array([0, 0, 2, 3, 3]), ids=np.array([9, 50, 7], np.int32)
    )
    listed_model(tmp_path / "listed", shortlist=shortlist)
    manifest, _ = check_checkpoint(tmp_path / "listed")
    read = read_shortlist(tmp_path / "listed", manifest.config)
    # The first, those of the ids 1 and 2, the ids, for both sides share theirs, and the end token.
    found = read.candidates([2, 1, 40, 1], manifest.config)
    assert found is not None
    assert found.tolist() == [0, 1, 2, 7, 9, 40, 50]
    rewrite_manifest(tmp_path / "listed", lambda values: values.update(shortlist=False))
    with pytest.raises(CheckpointError, match=r"must have shortlist.safetensors if config.json"):
        check_checkpoint(tmp_path / "listed")


@pytest.mark.parametrize(
    "changes",
    [
        {"offsets": np.array([0, 2, 1, 3])},
        {"offsets": np.array([1, 3])},
        {"offsets": np.zeros(0, np.int64)},
        {"offsets": np.zeros(9999, np.int64), "ids": np.zeros(0, np.int32)},
        {"ids": np.array([9, -1, 7], np.int32)},
        {"ids": np.array([9, 10**6, 7], np.int32)},
        {"ids": np.array([[9, 8, 7]], np.int32)},
        {"first": -1},
        {"first": 10**6},
    ],
)
def test_another_shortlist_is_refused(tmp_path: Path, changes: Any) -> None:
    good = {"first": 3, "offsets": np.array([0, 1, 3]), "ids": np.array([9, 50, 7], np.int32)}
    with pytest.raises(CheckpointError, match="a shortlist must have"):
        listed_model(tmp_path / "bad", shortlist=Shortlist(**(good | changes)))


def test_a_shortlist_of_much_of_the_vocabulary_is_none() -> None:
    """A runner copies the listed rows of the projection for each sequence."""
    config = tiny_config(40_000)
    lists = np.arange(16_000, dtype=np.int32)
    shortlist = Shortlist(first=100, offsets=np.arange(0, 16_001, 1000), ids=lists)
    shortlist.check(config)
    few, many = (shortlist.candidates(range(1, count), config) for count in (8, 9))
    assert few is not None
    assert few.size == 7100 + len({*range(1, 8), config.eos_id} - {*range(100)})
    assert many is not None  # 8,100
    assert shortlist.candidates(range(1, 10), config) is None
    assert shortlist_limit(config) == 8192


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"first": 1025}, "at most 1024 first ids, but has 1025"),
        ({"offsets": np.array([0, 1025])}, "at most 1024 targets of a source id, but has 1025"),
    ],
)
def test_more_than_are_likely_are_refused(changes: Any, message: str) -> None:
    ids = np.arange(1025, dtype=np.int32)
    good = {"first": 3, "offsets": np.array([0, 5, 1000, 1025]), "ids": ids}
    Shortlist(**good).check(tiny_config(2000))
    with pytest.raises(CheckpointError, match=message):
        Shortlist(**(good | changes)).check(tiny_config(2000))


@given(st.binary(max_size=300), st.integers(0, 2000))
def test_a_damaged_shortlist_is_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, damage: bytes, at: int
) -> None:
    directory = tmp_path_factory.mktemp("model")
    config = tiny_config()
    good = Shortlist(first=3, offsets=np.arange(11), ids=np.arange(10, dtype=np.int32)).to_bytes()
    content = good[:at] + damage + good[at + len(damage) :]
    (directory / "shortlist.safetensors").write_bytes(content)
    with suppress(CheckpointError):
        read_shortlist(directory, config).candidates([1, 5], config)


def test_a_directory_is_checked_without_torch(directory: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from model.checkpoints.checkpoint import *;"
        f"check_checkpoint(Path({str(directory)!r}));"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "config.json").unlink(), "but has no config.json"),
        (lambda d: (d / "config.json").write_text("{"), "cannot read"),
        (lambda d: (d / "config.json").write_text("[]"), "must be a JSON object"),
        (lambda d: (d / "SHA256SUMS").unlink(), "SHA256SUMS"),
        (lambda d: (d / "tokenizer.model").unlink(), "has no tokenizer.model"),
        (
            lambda d: (d / "SHA256SUMS").write_text("one word\n"),
            "must have lines of a SHA-256 in small letters, two spaces .*, but has 'one word'",
        ),
        (
            lambda d: rewrite_manifest(d, lambda v: v.update(generations={})),
            r"known fields, but has \['generations'\]",
        ),
        (
            lambda d: rewrite_manifest(d, lambda v: v["model"].update(scale_embedding="no")),
            "`scale_embedding` must be true or false, but is 'no'",
        ),
        (
            lambda d: next(d.glob("*.safetensors")).write_bytes(b"short"),
            "cannot read .*model-00001-of-00001.safetensors",
        ),
        (
            lambda d: rewrite_bytes(next(d.glob("*.safetensors"))),
            "model-00001-of-00001.safetensors must have SHA-256",
        ),
        (
            lambda d: (d / "SHA256SUMS").write_text(
                (d / "SHA256SUMS").read_text() + f"{0:064}  ../../etc/passwd.safetensors\n"
            ),
            "plain names of .safetensors files, but lists",
        ),
        (lambda d: rewrite_manifest(d, lambda v: v.pop("name")), "must have the field `name`"),
        (lambda d: rewrite_manifest(d, lambda v: v.update(name=3)), "`name` must be a string"),
        (
            lambda d: rewrite_manifest(d, lambda v: v.update(format_version=9)),
            "`format_version` must be 1, but is 9",
        ),
        (
            lambda d: rewrite_manifest(d, lambda v: v.update(source_languages="en")),
            "`source_languages` must be a list",
        ),
        (lambda d: rewrite_manifest(d, lambda v: v["model"].update(d_ff=0)), "`d_ff` must be"),
        (
            lambda d: rewrite_manifest(d, lambda v: v["generation"].update(beams=2)),
            r"`generation` must have known fields, but has \['beams'\]",
        ),
        (lambda d: rewrite_manifest(d, lambda v: v["model"].update(d_ff=32)), "must be .* but is"),
        (
            lambda d: rewrite_manifest(d, lambda v: v["model"].update(num_encoder_layers=3)),
            "lacks the weights",
        ),
        (
            lambda d: rewrite_manifest(d, lambda v: v["model"].update(num_encoder_layers=1)),
            "has weights that the model has not",
        ),
        (lambda d: rewrite_manifest(d, lambda v: v["model"].update(eos_id=9)), "`eos_id` of"),
    ],
)
def test_damage_is_named(directory: Path, damage, message: str) -> None:
    damage(directory)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(directory)


def test_no_directory_is_named_too(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="must be a directory"):
        read_manifest(tmp_path / "nowhere")
