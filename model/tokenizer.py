"""Text to token ids and back, with SentencePiece."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import sentencepiece

from model.errors import CheckpointError

__all__ = ["Tokenizer"]


class Tokenizer:
    """One SentencePiece vocabulary shared by source and target. Safe to use from several threads.

    Raises:
        CheckpointError: the bytes are no SentencePiece model, or a special id is missing.
    """

    def __init__(self, serialized: bytes) -> None:
        self.serialized = serialized
        self._pieces = sentencepiece.SentencePieceProcessor()
        try:
            self._pieces.LoadFromSerializedProto(serialized)
        except RuntimeError as error:
            raise CheckpointError(f"not a SentencePiece model: {error}") from error
        self.pad_id: int = self._pieces.pad_id()
        self.bos_id: int = self._pieces.bos_id()
        self.eos_id: int = self._pieces.eos_id()
        self.unk_id: int = self._pieces.unk_id()
        if min(self.pad_id, self.bos_id, self.eos_id, self.unk_id) < 0:
            raise CheckpointError(
                "a tokenizer must define pad, bos, eos and unk, but has "
                f"{self.pad_id}, {self.bos_id}, {self.eos_id}, {self.unk_id}"
            )
        self.fallback_ids: frozenset[int] = frozenset(
            token
            for token in range(self.vocab_size)
            if token == self.unk_id or self._pieces.IsByte(token)
        )
        """What characters outside the vocabulary become: the unknown id, or bytes."""

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Reads a `.model` file."""
        try:
            return cls(path.read_bytes())
        except OSError as error:
            raise CheckpointError(f"cannot read the tokenizer {path}: {error.strerror}") from error

    @property
    def vocab_size(self) -> int:
        """Number of ids, the special ones included."""
        return int(self._pieces.GetPieceSize())

    def tokenize(self, text: str) -> list[int]:
        """Ids of `text`, without any special id."""
        return list(self._pieces.EncodeAsIds(text))

    def tokenize_batch(self, texts: Sequence[str], *, num_threads: int = 1) -> list[list[int]]:
        """`tokenize` of many texts at once."""
        return [list(ids) for ids in self._pieces.Encode(list(texts), num_threads=num_threads)]

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """The text of `token_ids`; special ids leave no trace."""
        special = (self.pad_id, self.bos_id, self.eos_id)
        return str(self._pieces.DecodeIds([token for token in token_ids if token not in special]))
