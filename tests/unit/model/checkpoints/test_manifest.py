"""Whatever config.json holds, reading it ends in a manifest or in one line that says why not."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model.checkpoints.manifest import Manifest, read_manifest
from model.config import MAX_POSITIONS, GenerationConfig
from model.errors import CheckpointError
from model.network.shapes import weight_shapes
from tests.tiny_model import tiny_config

VALID: dict[str, Any] = {
    "format_version": 1,
    "name": "tiny",
    "version": "1",
    "license": "none needed",
    "source_languages": ["en", "pt-BR"],
    "target_languages": ["deu_Latn"],
    "max_source_tokens": 30,
    "placeholders": False,
    "shortlist": False,
    "tokenizer": {
        "kind": "vocabulary", "source_template": ["{source}", "{text}", "</s>"],
        "target_prefix": ["{target}"], "language_tokens": {"en": "__en__"},
        "normalize_punctuation": True,
    },
    "origin": {
        "source": "hf:a/b", "format": "MarianMT", "revision": "0a", "sha256": {"a.bin": "0" * 64},
    },
    "model": tiny_config().to_dict(),
    "generation": {
        "beam_size": 2, "length_penalty": 1.0, "max_new_tokens": None, "num_hypotheses": 1,
        "max_new_tokens_over_source": 8, "no_repeat_ngram_size": 3, "repetition_penalty": 1.1,
    },
}  # fmt: skip
PLACES = [
    *((name,) for name in VALID),
    *(("model", name) for name in VALID["model"]),
    *(("generation", name) for name in VALID["generation"]),
    *(("tokenizer", name) for name in VALID["tokenizer"]),
    *(("origin", name) for name in VALID["origin"]),
    ("origin", "sha256", "a.bin"), ("tokenizer", "language_tokens", "en"),
    ("more",), ("model", "more"), ("generation", "more"),
    ("tokenizer", "more"), ("origin", "more"),
]  # fmt: skip

numbers = (
    st.integers()
    | st.sampled_from([10**9, 2**31, 2**63, 10**18, 10**30, 10**4299, -(10**30), 1e308, 1e-320])
    | st.floats()
)
scalars = st.none() | st.booleans() | numbers | st.text(st.characters())
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=10,
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model")


def read(directory: Path, content: bytes) -> Manifest | None:
    """The manifest, or None where it is refused with one line."""
    (directory / "config.json").write_bytes(content)
    try:
        return read_manifest(directory)
    except CheckpointError as refused:
        message = str(refused)
    assert message.isprintable()
    assert len(message) <= 2000
    return None


def check_bounds(manifest: Manifest) -> None:
    config, metadata = manifest.config, manifest.metadata
    assert len(weight_shapes(config)) < 100_000
    assert config.max_positions <= MAX_POSITIONS
    assert manifest.generation.beam_size <= MAX_POSITIONS
    assert 0 < len(metadata.pairs) <= 100_000
    for text in (metadata.name, metadata.version, metadata.license):
        assert text.isprintable()
        assert 0 < len(text) <= 200


def changed(place: tuple[str, ...], value: Any) -> dict[str, Any]:
    values = copy.deepcopy(VALID)
    inner = values
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    return values


@given(st.sampled_from(PLACES), json_values)
@example(("format_version",), True)
@example(("name",), "x\n\x1b[31m")
@example(("name",), "\ud800")
@example(("source_languages",), ["en", "EN"])
@example(("source_languages",), [f"l{number}" for number in range(100_000)])
@example(("model", "norm_order"), ["pre"])
@example(("generation",), None)
def test_any_value_in_any_place(directory: Path, place: tuple[str, ...], value: Any) -> None:
    manifest = read(directory, json.dumps(changed(place, value)).encode())
    if manifest is not None:
        check_bounds(manifest)


@given(json_values)
def test_any_json(directory: Path, value: Any) -> None:
    assert read(directory, json.dumps(value).encode()) is None


@given(st.binary())
def test_any_bytes(directory: Path, content: bytes) -> None:
    assert read(directory, content) is None


@given(st.sampled_from(PLACES), st.integers(1, 20_000), st.sampled_from(["[]", '{"a":}']))
@example(("name",), 100_000, "[]")
@example(("model",), 980, "[]")
def test_any_depth(directory: Path, place: tuple[str, ...], depth: int, kind: str) -> None:
    begin, end = kind[:-1], kind[-1]
    nested = json.dumps(changed(place, "HERE")).replace('"HERE"', begin * depth + "1" + end * depth)
    assert read(directory, nested.encode()) is None


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("model", "num_encoder_layers"), 10**6, "must be an integer >= 1 and <= 1000, but is"),
        (("model", "d_ff"), 10**30, "`d_ff` must be an integer >= 1 and <= 1048576, but is 1000"),
        (("model", "max_positions"), 10**9, "`max_positions` must be an integer >= 2 and <= 16384"),
        (("model", "position_offset"), 10**12, "`position_offset` must be an integer >= 0 and <= "),
        (("model", "layer_norm_eps"), 1e-320, r"`layer_norm_eps` must be in \[1e-12, 1\)"),
        (("model", "alignment_heads"), [[99, 0]], r"`alignment_heads\[layer\]` must be an integer"),
        (("model", "alignment_heads"), [[0, 10**30]], r"`alignment_heads\[head\]` must be an int"),
        (("model", "alignment_heads"), [[0, "1"]], r"`alignment_heads\[head\]` must be an integer"),
        (("model", "alignment_heads"), [[0, 0]] * 5000, "must be a list of at most 1000 pairs"),
        (("model", "alignment_heads"), {"0": 0}, "`alignment_heads` must be a list of at most"),
        (("model", "alignment_heads"), None, "`alignment_heads` must be a list of at most"),
        (("model", "alignment_shifted"), 1, "`alignment_shifted` must be true or false, but is 1"),
        (("model",), [], "`model` must be a JSON object, but is"),
        (("generation", "beam_size"), 10**9, "`beam_size` must be at most 16384, but is"),
        (("max_source_tokens",), 10**30, "`max_source_tokens` must be an integer >= 2 and"),
        (("name",), "x\n\x1b[31m", r"must be a string of .* but is 'x\\n\\x1b\[31m'"),
        (("name",), "x" * 201, "must be a string of 1 to 200 printable characters"),
        (("source_languages",), ['en\n"}'], "`source_languages` must have codes of .* digits"),
        (("target_languages",), ["../../x"], "`target_languages` must have codes of"),
        (("source_languages",), ["en", "En"], "must have each language once, but has En again"),
        (("source_languages",), [f"l{n}" for n in range(1001)], "must have at most 1000 languages"),
        (("source_languages",), ["deu_Latn"], "must translate from one language to another"),
    ],
)  # fmt: skip
def test_what_is_beyond_its_bounds_is_named(
    directory: Path, place: tuple[str, ...], value: Any, message: str
) -> None:
    (directory / "config.json").write_text(json.dumps(changed(place, value)))
    with pytest.raises(CheckpointError, match=message):
        read_manifest(directory)


def test_pairs_are_counted_before_they_are_made(directory: Path) -> None:
    values = VALID | {
        "source_languages": [f"s{n}" for n in range(1000)],
        "target_languages": [f"t{n}" for n in range(1000)],
    }
    (directory / "config.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="at most 100000 pairs of languages, but has 1000000"):
        read_manifest(directory)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"beam_size": 2', '"beam_size": 2, "beam_size": 3', "`beam_size` is given again"),
        ('"name": "tiny"', '"name": "tiny", "name": "tiny"', "`name` is given again"),
        ('"length_penalty": 1.0', '"length_penalty": NaN', "must be finite, but one is NaN"),
        ('"format_version": 1', f'"format_version": {"9" * 5000}', "cannot read"),
        ('"format_version": 1', '"format_version": 1.0', "must be 1, but is 1.0"),
    ],
)
def test_what_json_leaves_open_is_refused(
    directory: Path, old: str, new: str, message: str
) -> None:
    text = json.dumps(VALID)
    assert old in text
    (directory / "config.json").write_text(text.replace(old, new))
    with pytest.raises(CheckpointError, match=message):
        read_manifest(directory)


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param({"d_model": 512, "d_ff": 2048, "vocab": 65_001}, id="OPUS-MT"),
        pytest.param(
            {"d_model": 4096, "d_ff": 16_384, "vocab": 128_112, "layers": 24}, id="M2M-100 12B"
        ),
        pytest.param(
            {"d_model": 2048, "d_ff": 8192, "vocab": 256_206, "layers": 24}, id="NLLB-200 3.3B"
        ),
        pytest.param(
            {"d_model": 8192, "d_ff": 65_536, "vocab": 1_000_000, "layers": 64},
            id="larger than any",
        ),
    ],
)
def test_models_that_there_are_are_within_the_bounds(
    directory: Path, shape: dict[str, int]
) -> None:
    layers, vocab = shape.pop("layers", 6), shape.pop("vocab")
    config = tiny_config(
        vocab, **shape, num_heads=16, max_positions=1024, position_offset=2,
        num_encoder_layers=layers, num_decoder_layers=layers, layer_norm_eps=1e-6,
    )  # fmt: skip
    languages = [f"l{number:02}_Latn" for number in range(202)]
    values = VALID | {
        "model": config.to_dict(), "source_languages": languages, "target_languages": languages,
    }  # fmt: skip
    manifest = read(directory, json.dumps(values).encode())
    assert manifest is not None
    assert manifest.config == config
    assert len(manifest.metadata.pairs) == 202 * 201
    assert manifest.generation == GenerationConfig(**VALID["generation"])
