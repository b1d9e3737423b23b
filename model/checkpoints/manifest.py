"""`config.json` of a model directory: what a model is called, what it translates, its shape.

Whatever the file holds, reading it ends in a Manifest or in a CheckpointError, and takes little:
sizes, lists and names have bounds, in here or in `model.config`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn

from model.checkpoints.files import CONFIG_FILE, read_file
from model.config import (
    GENERATION_OPTIONS,
    MAX_POSITIONS,
    GenerationConfig,
    TransformerConfig,
    without_retired_fields,
)
from model.errors import CheckpointError, InvalidRequestError
from model.options import require_integer
from model.text.languages import Languages, Pair
from model.text.tokenizer_config import TokenizerConfig

__all__ = ["FORMAT_VERSION", "Manifest", "ModelMetadata", "Origin", "read_manifest"]

FORMAT_VERSION = 1

_MOST_LANGUAGES = 1_000
_MOST_PAIRS = 100_000
"""Each pair is an entry in tables and an item in lists. The broadest models translate 202 languages
into each other: 40,602 pairs."""
_MOST_CHARACTERS = 200
"""Longest name: it stands in logs, labels and answers."""
_MOST_ORIGIN_CHARACTERS = 4096
_MOST_ORIGIN_FILES = 1000
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LANGUAGE = re.compile(r"[A-Za-z0-9]+([_-][A-Za-z0-9]+)*")
_MOST_LANGUAGE_CHARACTERS = 35
"""The longest tags that RFC 5646 asks everybody to bear (section 4.4.1)."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a model was imported from."""

    source: str
    """A path, an address or a name with a scheme; a printable line, as `format` and `revision`."""
    format: str
    """What it was there: "Marian", "Hugging Face MarianMTModel", ..."""
    revision: str | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)
    """The checksum of each file that was read, by its name there."""

    def __post_init__(self) -> None:
        _require_line("origin.source", self.source, _MOST_ORIGIN_CHARACTERS)
        _require_line("origin.format", self.format)
        if self.revision is not None:
            _require_line("origin.revision", self.revision)
        if not isinstance(self.sha256, Mapping) or len(self.sha256) > _MOST_ORIGIN_FILES:
            raise InvalidRequestError(
                f"`origin.sha256` must have the checksums of at most {_MOST_ORIGIN_FILES} files, "
                f"but is {self.sha256!r}"
            )
        object.__setattr__(self, "sha256", dict(self.sha256))
        for name, digest in self.sha256.items():
            _require_line("origin.sha256", name, _MOST_ORIGIN_CHARACTERS)
            if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
                raise InvalidRequestError(
                    "`origin.sha256` must have SHA-256 sums in small letters, "
                    f"but {name!r} has {digest!r}"
                )


@dataclass(frozen=True, kw_only=True)
class ModelMetadata:
    """What a model is called and what it translates."""

    name: str
    """A printable line, as `version` and `license` are."""
    version: str
    source_languages: tuple[str, ...]
    """Codes such as "en", "pt-BR" or "eng_Latn", each once in any letter case."""
    target_languages: tuple[str, ...]
    license: str
    max_source_tokens: int | None = None
    """Longest source it was trained on, the end token included; longer sentences are split, for a
    model falls apart beyond it. None means all the positions it has."""
    placeholders: bool = False
    """Addresses, tags and the like within a sentence are placeholders to the model
    (model/text/protection.py), which has learnt to put them in their places."""
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    """Where ids come from, and how the model is told its languages."""
    shortlist: bool = False
    """Whether there is a list of the targets' pieces that each source's piece may become
    (model/checkpoints/shortlist.py); others are not predicted then."""
    origin: Origin | None = None
    """Where it was imported from; None if it was trained here."""

    def __post_init__(self) -> None:
        for name in ("name", "version", "license"):
            _require_line(name, getattr(self, name))
        for name in ("source_languages", "target_languages"):
            object.__setattr__(self, name, _languages(name, getattr(self, name)))
        if (pairs := len(self.source_languages) * len(self.target_languages)) > _MOST_PAIRS:
            raise InvalidRequestError(
                f"a model must have at most {_MOST_PAIRS} pairs of languages, but has {pairs}"
            )
        if not self.languages.num_pairs:
            raise InvalidRequestError(
                "a model must translate from one language to another, but has only "
                f"{self.source_languages[0]}"
            )
        if self.max_source_tokens is not None:
            require_integer("max_source_tokens", self.max_source_tokens, 2, MAX_POSITIONS)
        for name in ("placeholders", "shortlist"):
            if not isinstance(value := getattr(self, name), bool):
                raise InvalidRequestError(f"`{name}` must be true or false, but is {value!r}")

    @property
    def languages(self) -> Languages:
        """What it translates from and into."""
        return Languages(sources=self.source_languages, targets=self.target_languages)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """All pairs; a broad model has tens of thousands."""
        return self.languages.pairs


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of `config.json`."""

    config: TransformerConfig
    generation: GenerationConfig
    metadata: ModelMetadata


def read_manifest(directory: Path) -> Manifest:
    """Reads `config.json`.

    Raises:
        CheckpointError: there is no such directory or file, or a field is missing or wrong.
    """
    path = directory / CONFIG_FILE
    if not os.path.isdir(directory):  # unlike Path's, it takes any name, and a closed folder
        raise CheckpointError(
            "a model must be a directory or one of those that `polyhead models list` has, "
            f"but {directory} is neither"
        )
    content = read_file(directory, CONFIG_FILE)
    try:
        return _manifest(
            json.loads(content.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
        )
    except RecursionError:
        raise CheckpointError(
            f"{path} must hold objects of plain values, but is nested beyond all measure"
        ) from None
    except InvalidRequestError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except ValueError as error:  # no JSON, no UTF-8, or a number of thousands of digits
        raise CheckpointError(f"cannot read {path}: {error}") from error


def _manifest(values: Any) -> Manifest:
    values = _object("the file", values)
    version = values.get("format_version")
    if type(version) is not int or version != FORMAT_VERSION:
        raise InvalidRequestError(f"`format_version` must be {FORMAT_VERSION}, but is {version!r}")
    values = without_retired_fields(values)
    metadata = {field.name for field in fields(ModelMetadata)}
    _require_fields("the file", values, metadata | {"format_version", "model", "generation"})
    required = ("name", "version", "source_languages", "target_languages", "license", "model")
    if missing := [name for name in required if name not in values]:
        raise InvalidRequestError(f"the file must have the field `{missing[0]}`, but has not")
    given = {name: value for name, value in values.items() if name in metadata}
    if "tokenizer" in given:
        given["tokenizer"] = TokenizerConfig.from_dict(_object("`tokenizer`", given["tokenizer"]))
    if given.get("origin") is not None:
        origin = _object("`origin`", given["origin"])
        _require_fields("`origin`", origin, {each.name for each in fields(Origin)})
        for name in ("source", "format"):
            if name not in origin:
                raise InvalidRequestError(f"`origin` must have the field `{name}`, but has not")
        given["origin"] = Origin(**origin)
    return Manifest(
        config=TransformerConfig.from_dict(_object("`model`", values["model"])),
        generation=_generation(_object("`generation`", values.get("generation", {}))),
        metadata=ModelMetadata(**given),
    )


def _generation(values: Mapping[str, Any]) -> GenerationConfig:
    _require_fields("`generation`", values, {each.name for each in GENERATION_OPTIONS})
    for name, value in values.items():
        # No beam, n-gram or target is longer than the longest of all targets.
        if isinstance(value, int) and value > MAX_POSITIONS:
            raise InvalidRequestError(f"`{name}` must be at most {MAX_POSITIONS}, but is {value}")
    return GenerationConfig(**values)


def _object(what: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequestError(f"{what} must be a JSON object, but is {value!r}")
    return value


def _require_fields(what: str, values: Iterable[str], known: set[str]) -> None:
    if unknown := sorted(set(values) - known):
        raise InvalidRequestError(f"{what} must have known fields, but has {unknown}")


def _require_line(name: str, value: Any, most: int = _MOST_CHARACTERS) -> None:
    is_line = isinstance(value, str) and value.strip() and value.isprintable()
    if not is_line or len(value) > most:
        raise InvalidRequestError(
            f"`{name}` must be a string of 1 to {most} printable characters, but is {value!r}"
        )


def _languages(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise InvalidRequestError(f"`{name}` must be a list of language codes, but is {value!r}")
    if len(value) > _MOST_LANGUAGES:
        raise InvalidRequestError(
            f"`{name}` must have at most {_MOST_LANGUAGES} languages, but has {len(value)}"
        )
    seen = set()
    for code in value:
        is_code = isinstance(code, str) and len(code) <= _MOST_LANGUAGE_CHARACTERS
        if not is_code or not _LANGUAGE.fullmatch(code):
            raise InvalidRequestError(
                f"`{name}` must have codes of at most {_MOST_LANGUAGE_CHARACTERS} letters, digits, "
                f"- and _, but has {code!r}"
            )
        if code.casefold() in seen:
            raise InvalidRequestError(
                f"`{name}` must have each language once, but has {code} again"
            )
        seen.add(code.casefold())
    return tuple(value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise InvalidRequestError(f"a field must be given once, but `{name}` is given again")
        values[name] = value
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidRequestError(f"numbers must be finite, but one is {name}")
