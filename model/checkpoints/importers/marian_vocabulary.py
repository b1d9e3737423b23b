"""Marian's vocabularies: SentencePiece models whose ids count, or lists of pieces in YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sentencepiece
import yaml

from model.checkpoints.importers.plain_yaml import load_yaml
from model.errors import CheckpointError

__all__ = ["MarianVocabulary", "read_sentencepiece", "read_vocabulary_yaml"]

_END, _UNKNOWN = "</s>", "<unk>"


@dataclass(frozen=True, kw_only=True)
class MarianVocabulary:
    """The pieces of one side."""

    pieces: tuple[str, ...]
    """In the order of their ids."""
    eos_id: int
    unk_id: int

    def ids(self) -> Mapping[str, int]:
        """The id of each piece."""
        return {piece: token for token, piece in enumerate(self.pieces)}


def read_sentencepiece(content: bytes) -> MarianVocabulary:
    """A SentencePiece model, of which Marian takes pieces and ids as they are.

    Raises:
        CheckpointError: it is none, or has no end or no unknown piece.
    """
    model = sentencepiece.SentencePieceProcessor()
    try:
        model.LoadFromSerializedProto(content)
        pieces = tuple(map(model.IdToPiece, range(model.GetPieceSize())))
    except Exception as error:  # of many types, UnicodeDecodeError among them
        raise CheckpointError(f"not a SentencePiece model: {error}") from error
    if min(model.eos_id(), model.unk_id()) < 0:
        raise CheckpointError(
            f"a SentencePiece model must define eos and unk, but has {model.eos_id()} and "
            f"{model.unk_id()}"
        )
    return MarianVocabulary(pieces=pieces, eos_id=model.eos_id(), unk_id=model.unk_id())


def read_vocabulary_yaml(content: bytes) -> MarianVocabulary:
    """An object of YAML, from piece to id. Pieces such as 1 or yes are strings there too.

    Raises:
        CheckpointError: it is none, or ids are not 0, 1, 2 and so on.
    """
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # strings only, compiled if it can be
    try:
        values = load_yaml(content.decode(), loader)
        if not isinstance(values, dict):
            raise ValueError("it is no object")
        places = {str(piece): int(token) for piece, token in values.items()}
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise CheckpointError(f"not a vocabulary in YAML: {str(error)[:200]}") from None
    if sorted(places.values()) != list(range(len(places))):
        raise CheckpointError(
            "a vocabulary must number its pieces from 0 without a gap, but does not"
        )
    if missing := {_END, _UNKNOWN} - places.keys():
        raise CheckpointError(
            f"a vocabulary must have {' and '.join(sorted(missing))}, but has not"
        )
    return MarianVocabulary(
        pieces=tuple(sorted(places, key=places.__getitem__)),
        eos_id=places[_END],
        unk_id=places[_UNKNOWN],
    )
