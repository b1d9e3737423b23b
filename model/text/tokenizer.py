"""Text to token ids and back, with SentencePiece."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Self

import sentencepiece

from model.errors import CheckpointError

__all__ = ["PLACEHOLDER", "PLACEHOLDERS", "Tokenizer"]

_FIRST_PLACEHOLDER = 0xE000
_UNUSED_BYTES = range(0xF5, 0x100)
"""No UTF-8 text has them, so their pieces are free in every vocabulary with bytes."""

PLACEHOLDERS = tuple(chr(_FIRST_PLACEHOLDER + number) for number in range(len(_UNUSED_BYTES)))
"""Characters for private use (U+E000 and on) that stand for something else in a sentence, and are
one token each where the vocabulary has bytes."""

PLACEHOLDER = re.compile(f"([{PLACEHOLDERS[0]}-{PLACEHOLDERS[-1]}])")
"""Any of them."""

_MOST_CHARACTERS = 1000
"""Longest piece: a target has as many pieces as there are steps."""


class Tokenizer:
    """One SentencePiece vocabulary shared by source and target. Safe to use from several threads.

    Raises:
        CheckpointError: the bytes are no SentencePiece model, a special id is missing, or a
            piece is no text.
    """

    def __init__(self, serialized: bytes) -> None:
        self.serialized = serialized
        self._pieces = sentencepiece.SentencePieceProcessor()
        try:
            self._pieces.LoadFromSerializedProto(serialized)
            longest = max(map(len, self._all_text()))
        except Exception as error:  # of many types, UnicodeDecodeError among them
            raise CheckpointError(f"not a SentencePiece model: {error}") from error
        if longest > _MOST_CHARACTERS:
            raise CheckpointError(
                f"the pieces of a tokenizer must have at most {_MOST_CHARACTERS} characters, "
                f"but one has {longest}"
            )
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
        self.letter_ids: frozenset[int] = frozenset(
            token
            for token in range(self.vocab_size)
            if any(map(str.isalpha, self._pieces.IdToPiece(token)))
            and token not in self.fallback_ids
            and not self._pieces.IsControl(token)
        )
        """Those whose text has a letter."""
        self._bytes = [self._pieces.PieceToId(f"<0x{byte:02X}>") for byte in range(256)]
        self.has_placeholders: bool = all(map(self._pieces.IsByte, self._bytes))
        """Whether `PLACEHOLDERS` are one token each."""

    def _all_text(self) -> Iterator[str]:
        """All that decoding may write: the library does not care whether that is UTF-8."""
        yield from map(self._pieces.IdToPiece, range(self.vocab_size))
        yield self._pieces.DecodeIds([self._pieces.unk_id()])

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
        return self._with_placeholders(text, self._pieces.Encode(text, return_type=int))

    def tokenize_batch(self, texts: Sequence[str], *, num_threads: int = 1) -> list[list[int]]:
        """`tokenize` of many texts at once."""
        rows = self._pieces.Encode(list(texts), num_threads=num_threads)
        return [self._with_placeholders(text, ids) for text, ids in zip(texts, rows, strict=True)]

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """The text of `token_ids`; special ids leave no trace."""
        special = (self.pad_id, self.bos_id, self.eos_id)
        ids = [token for token in token_ids if token not in special]
        if self.has_placeholders and any(token in self._placeholder_bytes for token in ids):
            ids = [part for token in ids for part in self._placeholder_bytes.get(token, (token,))]
        return str(self._pieces.DecodeIds(ids))

    @cached_property
    def _placeholder_bytes(self) -> dict[int, tuple[int, ...]]:
        """Maps each placeholder's id to the ids of its bytes in UTF-8."""
        return {
            self._bytes[unused]: tuple(self._bytes[byte] for byte in mark.encode())
            for unused, mark in zip(_UNUSED_BYTES, PLACEHOLDERS, strict=True)
        }

    @cached_property
    def _placeholders_by_last_byte(self) -> dict[int, int]:
        """Maps the id of each placeholder's last byte in UTF-8, in which they differ, to its id."""
        return {ids[-1]: placeholder for placeholder, ids in self._placeholder_bytes.items()}

    def _with_placeholders(self, text: str, ids: list[int]) -> list[int]:
        """`ids` of `text` with one id for each placeholder, instead of its three bytes."""
        if text.isascii() or not self.has_placeholders or not PLACEHOLDER.search(text):
            return ids
        first, second, *_ = (self._bytes[byte] for byte in PLACEHOLDERS[0].encode())
        joined: list[int] = []
        at = place = 0
        with suppress(ValueError):  # until there is no other one
            while True:
                place = ids.index(second, place + 1, len(ids) - 1)
                mark = self._placeholders_by_last_byte.get(ids[place + 1])
                if mark is not None and ids[place - 1] == first:
                    joined += ids[at : place - 1]
                    joined.append(mark)
                    at = place + 2
        return joined + ids[at:]
