"""A folder in the form of the Hugging Face Hub: what it says of the model as a whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from model.checkpoints.importers.huggingface_options import read_object
from model.checkpoints.importers.imported import ImportOptions
from model.checkpoints.importers.marian_options import read_yaml
from model.checkpoints.importers.problems import Problems
from model.checkpoints.importers.source_files import SourceFiles
from model.checkpoints.manifest import ModelMetadata, Origin
from model.errors import CheckpointError, InvalidRequestError
from model.text.tokenizer_config import TokenizerConfig

__all__ = ["HuggingFaceSource", "license_notes"]

_CARD = "README.md"
_MOST_CARD_BYTES = 4 * 2**20
_UNKNOWN_LICENSE = "not stated"
_NOT_COMMERCIAL = "-nc"


@dataclass(frozen=True)
class HuggingFaceSource:
    """A folder, and what the user says of it.

    Raises:
        CheckpointError: a file of its settings cannot be read.
    """

    files: SourceFiles
    options: ImportOptions
    problems: Problems

    @cached_property
    def config(self) -> dict[str, Any]:
        """The content of config.json."""
        return read_object(self.files, "config.json", needed=True)

    @cached_property
    def tokenizer(self) -> dict[str, Any]:
        """The content of tokenizer_config.json."""
        return read_object(self.files, "tokenizer_config.json")

    @cached_property
    def generation(self) -> dict[str, Any]:
        """How it searches: generation_config.json, which the older files do not have."""
        return read_object(self.files, "generation_config.json") or self.config

    @cached_property
    def special(self) -> dict[str, Any]:
        """Both, for the ids of special tokens."""
        given = {name: value for name, value in self.generation.items() if value is not None}
        return self.config | given

    @cached_property
    def license(self) -> str | None:
        """The licence in the model's card; None if it says nothing."""
        if _CARD not in self.files.names():
            return None
        text = self.files.read(_CARD, _MOST_CARD_BYTES).decode("utf-8-sig", errors="replace")
        begin, _, rest = "\n".join(text.splitlines()).partition("---\n")
        if begin.strip():
            return None
        try:
            card = read_yaml(rest.partition("\n---")[0].encode(), f"the head of {_CARD}")
        except CheckpointError:  # a card is for people
            return None
        value = card.get("license")
        if value == "other":
            value = card.get("license_name", value)
        if isinstance(value, list):
            value = ", ".join(map(str, value))
        return value.strip()[:200] if isinstance(value, str) and value.strip() else None

    @cached_property
    def repository(self) -> tuple[str, str | None]:
        """The name of the model at the Hub and its revision, if the folder is of the Hub's cache;
        otherwise the folder and None."""
        directory = self.files.directory.resolve()
        parents = directory.parents
        if len(parents) > 1 and parents[0].name == "snapshots":
            kind, _, name = parents[1].name.partition("--")
            if kind == "models" and name:
                return name.replace("--", "/"), directory.name
        return str(directory), None

    @property
    def name(self) -> str:
        """What the model is called if the user does not say."""
        return Path(self.repository[0]).name

    def metadata(
        self,
        *,
        sources: Iterable[str],
        targets: Iterable[str],
        tokenizer: TokenizerConfig,
        format: str,
        usual_license: str = _UNKNOWN_LICENSE,
    ) -> ModelMetadata | None:
        """What our directory says of the model; None if it breaks a rule, which is a problem."""
        repository, revision = self.repository
        sources, targets = tuple(sources), tuple(targets)
        if not sources or not targets:  # of which the problems know
            return None
        try:
            return ModelMetadata(
                name=self.options.name or self.name,
                version=self.options.version,
                source_languages=sources,
                target_languages=targets,
                license=self.options.license or self.license or usual_license,
                tokenizer=tokenizer,
                origin=Origin(
                    source=repository if revision is None else f"hf:{repository}",
                    format=f"Hugging Face {format}",
                    revision=revision,
                    sha256=self.files.checksums,
                ),
            )
        except (InvalidRequestError, CheckpointError) as error:
            self.problems.add(str(error))
            return None


def license_notes(metadata: ModelMetadata) -> tuple[str, ...]:
    """What must be known of a licence, in sentences."""
    if _NOT_COMMERCIAL in metadata.license.casefold():
        return (f"Its licence is {metadata.license}: it must not be used commercially.",)
    if metadata.license == _UNKNOWN_LICENSE:
        return ("Its files state no licence: ask those who made it, or say which it is.",)
    return (f"Its licence is {metadata.license}.",)
