"""A folder in the form of the Hugging Face Hub: what it says of the model as a whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from model.checkpoints.importers.huggingface_options import read_object
from model.checkpoints.importers.imported import ImportOptions
from model.checkpoints.importers.licenses import UNKNOWN_LICENSE, card_license
from model.checkpoints.importers.problems import Problems
from model.checkpoints.importers.source_files import SourceFiles
from model.checkpoints.manifest import ModelMetadata, Origin
from model.errors import CheckpointError, InvalidRequestError
from model.text.tokenizer_config import TokenizerConfig

__all__ = ["HuggingFaceSource"]


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
        usual_license: str = UNKNOWN_LICENSE,
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
                license=self.options.license or card_license(self.files) or usual_license,
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
