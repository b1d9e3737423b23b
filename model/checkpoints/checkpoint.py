"""A model directory: what is in it, how it is written and how it is read.

    config.json                       manifest: name, languages, licence, shape, search defaults
    model-0000k-of-0000n.safetensors  the weights; no pickle, so a file cannot run code
    tokenizer.model                   SentencePiece
    SHA256SUMS                        checksums of all of these, in the form of `sha256sum`
    MODEL_CARD.md                     for people

Reading is strict: a missing, unknown, misshapen or damaged piece is a CheckpointError that names
it. Only `load_checkpoint` and `save_checkpoint` need torch; the manifest is read without it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.config import GenerationConfig, TransformerConfig, with_present_names
from model.errors import CheckpointError, InvalidRequestError

if TYPE_CHECKING:
    import torch

    from model.network.transformer import Transformer
    from model.text.tokenizer import Tokenizer

__all__ = [
    "Checkpoint",
    "Manifest",
    "ModelMetadata",
    "load_checkpoint",
    "read_manifest",
    "save_checkpoint",
    "verify_checksums",
]

CONFIG_FILE = "config.json"
TOKENIZER_FILE = "tokenizer.model"
CHECKSUM_FILE = "SHA256SUMS"
CARD_FILE = "MODEL_CARD.md"
FORMAT_VERSION = 1
MAX_SHARD_BYTES = 40 * 2**20
"""Keeps every file below the 45 MB that common hosts of repositories accept without complaint."""


@dataclass(frozen=True, kw_only=True)
class ModelMetadata:
    """What a model is called and what it translates."""

    name: str
    version: str
    source_languages: tuple[str, ...]
    target_languages: tuple[str, ...]
    license: str
    max_source_tokens: int | None = None
    """Longest source it was trained on, the end token included; longer sentences are split, for a
    model falls apart beyond it. None means all the positions it has."""
    lowercase_all_caps: bool = False
    """Sentences in capitals are read in small letters, and their translations capitalised: for a
    model whose vocabulary has few words in capitals."""
    placeholders: bool = False
    """Addresses, tags and the like within a sentence are placeholders to the model
    (model/text/protection.py), which has learnt to put them in their places."""

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """(source, target) codes of every pair."""
        return tuple(
            (source, target)
            for source in self.source_languages
            for target in self.target_languages
            if source != target
        )


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of `config.json`."""

    config: TransformerConfig
    generation: GenerationConfig
    metadata: ModelMetadata


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A loaded model directory."""

    config: TransformerConfig
    generation: GenerationConfig
    metadata: ModelMetadata
    tokenizer: Tokenizer
    model: Transformer
    """On the CPU, float32, in evaluation mode."""


def read_manifest(directory: Path) -> Manifest:
    """Reads `config.json`.

    Raises:
        CheckpointError: there is no such directory or file, or a field is missing or wrong.
    """
    path = directory / CONFIG_FILE
    if not os.path.isdir(directory):  # unlike Path's, it takes any name, and a closed folder
        raise CheckpointError(f"a model must be a directory, but {directory} is none")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{directory} is no model directory: it has no {CONFIG_FILE}"
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} must hold a JSON object, but holds {type(values).__name__}")
    if values.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} must have format_version {FORMAT_VERSION}, "
            f"but has {values.get('format_version')!r}"
        )
    known = {"format_version", "model", "generation"} | {f.name for f in fields(ModelMetadata)}
    try:
        values = with_present_names(values)
        if unknown := sorted(set(values) - known):
            raise CheckpointError(f"{path} has unknown fields {unknown}")
        return Manifest(
            config=TransformerConfig.from_dict(values["model"]),
            generation=GenerationConfig(**values.get("generation", {})),
            metadata=_read_metadata(values),
        )
    except KeyError as error:
        raise CheckpointError(f"{path} must have the field {error}") from None
    except (InvalidRequestError, TypeError) as error:
        raise CheckpointError(f"{path}: {error}") from error


def verify_checksums(directory: Path) -> None:
    """Compares every file with SHA256SUMS.

    Raises:
        CheckpointError: names every file that is missing or differs.
    """
    problems = []
    for name, expected in _read_checksums(directory).items():
        path = directory / name
        if not path.is_file():
            problems.append(f"{name} is missing")
            continue
        try:
            found = _sha256(path)
        except OSError as error:
            problems.append(f"{name} cannot be read: {error.strerror}")
            continue
        if found != expected:
            problems.append(f"{name} must have SHA-256 {expected[:12]}…, but has {found[:12]}…")
    if problems:
        raise CheckpointError(f"the model in {directory} is damaged: {'; '.join(problems)}")


def load_checkpoint(directory: Path) -> Checkpoint:
    """Reads and checks a whole model directory.

    Raises:
        CheckpointError: something is missing, damaged, or does not fit together.
    """
    # Weight files are useless to whoever only wants a manifest, and torch takes a second to import.
    from model.network.transformer import Transformer
    from model.text.tokenizer import Tokenizer

    manifest = read_manifest(directory)
    verify_checksums(directory)
    tokenizer = Tokenizer.from_file(directory / TOKENIZER_FILE)
    config = manifest.config
    _check_tokenizer(tokenizer, manifest, directory)
    model = Transformer(config)
    _load_weights(model, directory)
    return Checkpoint(
        config=config,
        generation=manifest.generation,
        metadata=manifest.metadata,
        tokenizer=tokenizer,
        model=model.eval(),
    )


def _check_tokenizer(tokenizer: Tokenizer, manifest: Manifest, directory: Path) -> None:
    config = manifest.config
    if tokenizer.vocab_size != config.src_vocab_size:
        raise CheckpointError(
            f"the tokenizer of {directory} must have {config.src_vocab_size} pieces, "
            f"but has {tokenizer.vocab_size}"
        )
    for name in ("pad_id", "bos_id", "eos_id", "unk_id"):
        if getattr(tokenizer, name) != getattr(config, name):
            raise CheckpointError(
                f"`{name}` of {directory} must be the same in {CONFIG_FILE} and {TOKENIZER_FILE}, "
                f"but is {getattr(config, name)} and {getattr(tokenizer, name)}"
            )
    if manifest.metadata.placeholders and not tokenizer.has_placeholders:
        raise CheckpointError(
            f"{directory} must have a tokenizer with a piece for every byte, for the placeholders "
            f"that {CONFIG_FILE} asks for, but has none"
        )


def save_checkpoint(
    directory: Path,
    model: Transformer,
    tokenizer: Tokenizer,
    metadata: ModelMetadata,
    generation: GenerationConfig,
    *,
    dtype: torch.dtype | None = None,
) -> None:
    """Writes a model directory, whole or not at all; one that is there is replaced.

    Args:
        dtype: of the stored weights; float16 when not given.

    Raises:
        CheckpointError: `directory` holds something else, or a weight does not fit into `dtype`.
    """
    directory = directory.resolve()  # what a link points to is replaced, not the link
    _refuse_other_content(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    working = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        _write_weights(working, model, dtype)
        (working / TOKENIZER_FILE).write_bytes(tokenizer.serialized)
        manifest = {
            "format_version": FORMAT_VERSION,
            **asdict(metadata),
            "model": model.config.to_dict(),
            "generation": asdict(generation),
        }
        text = json.dumps(manifest, indent=2, ensure_ascii=False)
        (working / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
        sums = [f"{_sha256(path)}  {path.name}\n" for path in sorted(working.iterdir())]
        (working / CHECKSUM_FILE).write_text("".join(sums), encoding="utf-8")
        # Temporary folders and safetensors' files are for their owner alone; a model need not be.
        working.chmod(0o755)
        for path in working.iterdir():
            path.chmod(0o644)
        _put_in_place(working, directory)
    except BaseException:
        shutil.rmtree(working, ignore_errors=True)
        raise


def _refuse_other_content(directory: Path) -> None:
    """A slip in a path must not cost anybody their files."""
    if not directory.exists():
        return
    if not directory.is_dir():
        raise CheckpointError(f"a model must be a directory, but {directory} is none")
    names = {path.name for path in directory.iterdir()}
    if CONFIG_FILE not in names and names - {CARD_FILE}:
        raise CheckpointError(
            f"{directory} must be a model, empty or absent, but holds {sorted(names)[:5]}"
        )


def _put_in_place(working: Path, directory: Path) -> None:
    """Replaces `directory`, whose card stays; at every moment a whole model is on the disk."""
    if not directory.exists():
        os.replace(working, directory)
        return
    card = directory / CARD_FILE
    if card.exists():
        shutil.copy2(card, working)
    replaced = working.with_name(f"{working.name}-replaced")
    os.replace(directory, replaced)
    try:
        os.replace(working, directory)
    except BaseException:
        os.replace(replaced, directory)
        raise
    shutil.rmtree(replaced)


def _read_metadata(values: Mapping[str, Any]) -> ModelMetadata:
    content: dict[str, Any] = {}
    for field in fields(ModelMetadata):
        if field.name == "max_source_tokens":
            content[field.name] = _read_max_source_tokens(values.get(field.name))
            continue
        if field.name in {"lowercase_all_caps", "placeholders"}:
            content[field.name] = _read_flag(field.name, values.get(field.name, False))
            continue
        value = values[field.name]
        is_list = field.name.endswith("languages")
        if is_list and isinstance(value, list) and value and all(isinstance(v, str) for v in value):
            content[field.name] = tuple(value)
        elif not is_list and isinstance(value, str) and value:
            content[field.name] = value
        else:
            kind = "a list of language codes" if is_list else "a string"
            raise InvalidRequestError(f"`{field.name}` must be {kind}, but is {value!r}")
    return ModelMetadata(**content)


def _read_max_source_tokens(value: Any) -> int | None:
    valid = value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 1)
    if not valid:
        raise InvalidRequestError(
            f"`max_source_tokens` must be an integer >= 2 or null, but is {value!r}"
        )
    return value  # type: ignore[no-any-return]


def _read_flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequestError(f"`{name}` must be true or false, but is {value!r}")
    return value


def _read_checksums(directory: Path) -> dict[str, str]:
    path = directory / CHECKSUM_FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    if malformed := [line for line in lines if "  " not in line]:
        raise CheckpointError(
            f"{path} must have lines of a checksum, two spaces and a file name, "
            f"but has {malformed[0]!r}"
        )
    sums = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    for name in (CONFIG_FILE, TOKENIZER_FILE):
        if name not in sums:
            raise CheckpointError(f"{path} must list {name}, but does not")
    if foreign := [name for name in sums if Path(name).name != name]:
        raise CheckpointError(f"{path} must list plain file names, but lists {foreign}")
    return sums


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load_weights(model: Transformer, directory: Path) -> None:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    shards = sorted(name for name in _read_checksums(directory) if name.endswith(".safetensors"))
    if not shards:
        raise CheckpointError(f"{directory} must have weights, but lists no .safetensors file")
    expected = dict(_named_weights(model))
    missing = set(expected)
    with torch.no_grad():
        for shard in shards:
            try:
                tensors = load_file(directory / shard)
            except (SafetensorError, OSError) as error:
                raise CheckpointError(f"cannot read {directory / shard}: {error}") from error
            if unknown := sorted(set(tensors) - set(expected)):
                raise CheckpointError(f"{shard} has weights that the model has not: {unknown[:5]}")
            for name, tensor in tensors.items():
                wanted, found = tuple(expected[name].shape), tuple(tensor.shape)
                if wanted != found:
                    raise CheckpointError(f"{name} must be {wanted}, but is {found}")
                if not tensor.is_floating_point() or not torch.isfinite(tensor).all():
                    raise CheckpointError(f"{name} in {shard} must be finite numbers, but is not")
                expected[name].copy_(tensor)
                missing.discard(name)
    if missing:
        raise CheckpointError(f"{directory} lacks the weights {sorted(missing)[:5]}")


def _write_weights(directory: Path, model: Transformer, dtype: torch.dtype | None) -> None:
    import torch
    from safetensors.torch import save_file

    shards: list[dict[str, torch.Tensor]] = [{}]
    size = 0
    for name, weight in _named_weights(model):
        stored = weight.detach().to("cpu", dtype or torch.float16).contiguous()
        if not torch.isfinite(stored).all():
            raise CheckpointError(
                f"{name} does not fit into {stored.dtype}: it is not finite there"
            )
        if size + stored.nbytes > MAX_SHARD_BYTES and shards[-1]:
            shards.append({})
            size = 0
        shards[-1][name] = stored
        size += stored.nbytes
    for index, tensors in enumerate(shards, start=1):
        save_file(tensors, directory / f"model-{index:05d}-of-{len(shards):05d}.safetensors")


def _named_weights(model: Transformer) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """Every weight once, under its first name: tied matrices are stored once."""
    return model.named_parameters()
