"""Pieces of text and their ids: SentencePiece, with ids of its own or from a list."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import groupby
from typing import NamedTuple, Protocol

import sentencepiece

from model.errors import CheckpointError

__all__ = [
    "BYTE",
    "PLACEHOLDER",
    "PLACEHOLDERS",
    "WORD_BEGIN",
    "ListedVocabulary",
    "SentencePieceVocabulary",
    "SpecialIds",
    "Vocabulary",
    "read_vocabulary_list",
]

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

BYTE = re.compile("<0x([0-9A-F]{2})>")
"""The name of a piece that is one byte of a character."""
_CHARACTER = re.compile(rb".[\x80-\xbf]*", re.DOTALL)
"""In UTF-8, or what is left of one."""
_SHORT = 500
"""Ids of a text in which a few are replaced in their place: it costs the square of their number."""

WORD_BEGIN = "\u2581"
"""What SentencePiece writes for a space."""


class SpecialIds(NamedTuple):
    """The ids that stand for no text."""

    pad: int
    bos: int
    eos: int
    unk: int


class Vocabulary(Protocol):
    """The pieces of one side of a model, and their ids. Safe to use from several threads."""

    @property
    def size(self) -> int:
        """Number of pieces; their ids begin with 0."""
        ...

    @property
    def has_placeholders(self) -> bool:
        """Whether `PLACEHOLDERS` are one token each."""
        ...

    @property
    def fallback_ids(self) -> frozenset[int]:
        """What characters outside the vocabulary become: the unknown id, or bytes."""
        ...

    def tokenize(self, text: str) -> list[int]:
        """Ids of `text`, without any special id."""
        ...

    def tokenize_batch(self, texts: Sequence[str], *, num_threads: int = 1) -> list[list[int]]:
        """`tokenize` of many texts at once."""
        ...

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """The text of ids of pieces."""
        ...

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where in `text` each id of `tokenize(text)` begins and ends, perhaps with white space;
        ids of one character have the same span.
        """
        ...

    def surfaces(self, token_ids: Sequence[int]) -> list[tuple[str, int]]:
        """What `detokenize` writes, white space aside, in parts with the number of ids of each."""
        ...

    def find(self, piece: str) -> int | None:
        """The id of a piece, special ones included, by its name."""
        ...

    def has_letter(self, token: int) -> bool:
        """Whether a piece has a letter, and is no fallback and no sign for control."""
        ...

    def names(self) -> Sequence[str]:
        """The pieces, in the order of their ids."""
        ...


class SentencePieceVocabulary:
    """A SentencePiece model, and its own ids: see `Vocabulary`.

    Raises:
        CheckpointError: the bytes are no SentencePiece model, or a piece is no text.
    """

    def __init__(self, serialized: bytes) -> None:
        self.serialized = serialized
        self._pieces = sentencepiece.SentencePieceProcessor()
        try:
            self._pieces.LoadFromSerializedProto(serialized)
            longest = max(map(len, self._all_text()))
        except Exception as error:  # of many types, UnicodeDecodeError among them
            raise CheckpointError(f"not a SentencePiece model: {error}") from error
        _require_length(longest)
        self.special_ids = SpecialIds(
            self._pieces.pad_id(),
            self._pieces.bos_id(),
            self._pieces.eos_id(),
            self._pieces.unk_id(),
        )
        """Those that the model defines; -1 for others."""
        self._bytes = [self._pieces.PieceToId(f"<0x{byte:02X}>") for byte in range(256)]
        self.has_placeholders: bool = all(map(self._pieces.IsByte, self._bytes))
        self._first_of_placeholders: int = self._bytes[PLACEHOLDERS[0].encode()[0]]
        self.fallback_ids = frozenset(
            {self.special_ids.unk, *filter(self._pieces.IsByte, self._bytes)}
        )

    def _all_text(self) -> Iterator[str]:
        """All that decoding may write: the library does not care whether that is UTF-8."""
        yield from map(self._pieces.IdToPiece, range(self.size))
        yield self._pieces.DecodeIds([self._pieces.unk_id()])

    @property
    def size(self) -> int:
        """See `Vocabulary`."""
        return int(self._pieces.GetPieceSize())

    def has_letter(self, token: int) -> bool:
        """See `Vocabulary`."""
        return (
            token not in self.fallback_ids
            and not self._pieces.IsControl(token)
            and any(map(str.isalpha, self._pieces.IdToPiece(token)))
        )

    def find(self, piece: str) -> int | None:
        """See `Vocabulary`."""
        token = int(self._pieces.PieceToId(piece))
        return token if self._pieces.IdToPiece(token) == piece else None

    def names(self) -> list[str]:
        """The pieces, in the order of their ids."""
        return [str(self._pieces.IdToPiece(token)) for token in range(self.size)]

    def cut(self, text: str) -> list[str]:
        """The pieces of `text`; what the model does not know is as it stands there."""
        return list(self._pieces.EncodeAsPieces(text))

    def cut_batch(self, texts: Sequence[str], *, num_threads: int = 1) -> list[list[str]]:
        """`cut` of many texts at once."""
        return list(self._pieces.Encode(list(texts), out_type=str, num_threads=num_threads))

    def join(self, pieces: Sequence[str]) -> str:
        """The text of pieces, which the model need not know."""
        return str(self._pieces.DecodePieces(list(pieces))).replace(WORD_BEGIN, " ")

    def tokenize(self, text: str) -> list[int]:
        """See `Vocabulary`."""
        return self._with_placeholders(text, self._pieces.Encode(text, return_type=int))

    def tokenize_batch(self, texts: Sequence[str], *, num_threads: int = 1) -> list[list[int]]:
        """See `Vocabulary`."""
        rows: list[list[int]] = self._pieces.Encode(list(texts), num_threads=num_threads)
        if not self.has_placeholders or not PLACEHOLDER.search("".join(texts)):
            return rows
        first, by_bytes = self._first_of_placeholders, self._placeholders_by_bytes
        for number, ids in enumerate(rows):
            if len(ids) > _SHORT:
                rows[number] = self._with_placeholders(texts[number], ids)
                continue
            place = -1
            for _ in range(ids.count(first)):
                place = ids.index(first, place + 1)
                if (mark := by_bytes.get(tuple(ids[place : place + 3]))) is not None:
                    ids[place : place + 3] = (mark,)
        return rows

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """See `Vocabulary`; the unknown id is written as the model says."""
        ids = list(token_ids)
        if self.has_placeholders and not self._placeholder_bytes.keys().isdisjoint(ids):
            ids = [part for token in ids for part in self._placeholder_bytes.get(token, (token,))]
        return str(self._pieces.DecodeIds(ids))

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Where in `text` each piece of `cut(text)` begins and ends, perhaps with white space."""
        return _of_whole_characters(self._offsets(text))

    def spans(self, text: str) -> list[tuple[int, int]]:
        """See `Vocabulary`."""
        offsets = self._offsets(text)
        if self.has_placeholders and PLACEHOLDER.search(text):
            joined: list[tuple[int, int]] = []
            for begin, end in offsets:
                if end == begin + 1 and text[begin] in PLACEHOLDERS:
                    del joined[-2:]  # the bytes before the last have empty spans
                joined.append((begin, end))
            offsets = joined
        return _of_whole_characters(offsets)

    def _offsets(self, text: str) -> list[tuple[int, int]]:
        """As the library has them: of the pieces of a character, all but the last are empty."""
        found = self._pieces.Encode(text, return_type="offset_mapping")
        return [tuple(each) for each in found["offsets"]]

    def surfaces(self, token_ids: Sequence[int]) -> list[tuple[str, int]]:
        """See `Vocabulary`."""
        if self._byte_ids.isdisjoint(token_ids):
            alone = self._surfaces
            return [alone[token] for token in token_ids]
        return written(map(self._shown_names.__getitem__, token_ids))

    @cached_property
    def _shown_names(self) -> list[str]:
        """What each id is in a target: its piece, a placeholder, or nothing."""
        unknown = self.special_ids.unk
        names = [
            "" if self._pieces.IsControl(token) else name for token, name in enumerate(self.names())
        ]
        if unknown >= 0:
            names[unknown] = self._pieces.DecodeIds([unknown]) or names[unknown]
        if self.has_placeholders:
            for token, mark in zip(self._placeholder_bytes, PLACEHOLDERS, strict=True):
                names[token] = mark
        return names

    @cached_property
    def _byte_ids(self) -> frozenset[int]:
        """Ids that are written together with those beside them."""
        names = self._shown_names
        return frozenset(token for token, name in enumerate(names) if BYTE.fullmatch(name))

    @cached_property
    def _surfaces(self) -> list[tuple[str, int]]:
        """What each id writes that is no byte."""
        return [(name.replace(WORD_BEGIN, " "), 1) for name in self._shown_names]

    @cached_property
    def _placeholder_bytes(self) -> dict[int, tuple[int, ...]]:
        """Maps each placeholder's id to the ids of its bytes in UTF-8."""
        return {
            self._bytes[unused]: tuple(self._bytes[byte] for byte in mark.encode())
            for unused, mark in zip(_UNUSED_BYTES, PLACEHOLDERS, strict=True)
        }

    @cached_property
    def _placeholders_by_bytes(self) -> dict[tuple[int, ...], int]:
        """Maps the ids of each placeholder's bytes in UTF-8 to its id."""
        return {of_bytes: token for token, of_bytes in self._placeholder_bytes.items()}

    def _with_placeholders(self, text: str, ids: list[int]) -> list[int]:
        """`ids` of `text` with one id for each placeholder, instead of its three bytes."""
        if text.isascii() or not self.has_placeholders:
            return ids
        first = self._first_of_placeholders
        if not (count := ids.count(first)):
            return ids
        by_bytes = self._placeholders_by_bytes
        joined: list[int] = []
        at = place = 0
        for _ in range(count):
            place = ids.index(first, place)
            mark = by_bytes.get(tuple(ids[place : place + 3]))
            if mark is None:
                place += 1
                continue
            joined += ids[at:place]
            joined.append(mark)
            at = place = place + 3
        return joined + ids[at:]


class ListedVocabulary:
    """Pieces of a SentencePiece model whose ids are their places in a list: see `Vocabulary`.

    A piece that the list lacks becomes the unknown id, which leaves no trace in a text.

    Args:
        pieces: cuts and joins; its own ids have no meaning here.
        names: the pieces, in the order of their ids.
        unk_id: in the list.
        hidden: names that no text has, such as those of special ids and languages: what looks like
            them in a text is unknown.
    """

    has_placeholders = False

    def __init__(
        self,
        pieces: SentencePieceVocabulary,
        names: Sequence[str],
        *,
        unk_id: int,
        hidden: Collection[str] = (),
    ) -> None:
        self._pieces = pieces
        self._names = names
        self._unk_id = unk_id
        ids = {name: token for token, name in enumerate(names)}
        self._hidden = {name: ids.pop(name) for name in hidden if ids.get(name, unk_id) != unk_id}
        self._ids = ids
        of_bytes = (f"<0x{byte:02X}>" for byte in range(256 * pieces.has_placeholders))
        self.fallback_ids = frozenset(
            {unk_id, *(self._ids[name] for name in of_bytes if name in self._ids)}
        )

    @property
    def size(self) -> int:
        """See `Vocabulary`."""
        return len(self._names)

    def has_letter(self, token: int) -> bool:
        """See `Vocabulary`."""
        return token not in self.fallback_ids and any(map(str.isalpha, self._names[token]))

    def names(self) -> Sequence[str]:
        """See `Vocabulary`."""
        return self._names

    def find(self, piece: str) -> int | None:
        """See `Vocabulary`."""
        return self._ids.get(piece, self._hidden.get(piece))

    def tokenize(self, text: str) -> list[int]:
        """See `Vocabulary`."""
        return self._looked_up(self._pieces.cut(text))

    def tokenize_batch(self, texts: Sequence[str], *, num_threads: int = 1) -> list[list[int]]:
        """See `Vocabulary`."""
        rows = self._pieces.cut_batch(texts, num_threads=num_threads)
        return [self._looked_up(pieces) for pieces in rows]

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """See `Vocabulary`."""
        return self._pieces.join(
            [self._names[token] for token in token_ids if token != self._unk_id]
        )

    def spans(self, text: str) -> list[tuple[int, int]]:
        """See `Vocabulary`."""
        return self._pieces.offsets(text)

    def surfaces(self, token_ids: Sequence[int]) -> list[tuple[str, int]]:
        """See `Vocabulary`."""
        names = self._names
        return written(["" if token == self._unk_id else names[token] for token in token_ids])

    def _looked_up(self, pieces: Iterable[str]) -> list[int]:
        ids, unk_id = self._ids, self._unk_id
        return [ids.get(piece, unk_id) for piece in pieces]


def _of_whole_characters(offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """`offsets` in which what is empty has what follows it at the same place."""
    spans: list[tuple[int, int]] = []
    for begin, end in reversed(offsets):
        follows = begin == end and spans and spans[-1][0] == begin
        spans.append(spans[-1] if follows else (begin, end))
    return spans[::-1]


def written(names: Iterable[str]) -> list[tuple[str, int]]:
    """What pieces say in parts with the number of pieces of each: bytes of a character are one."""
    parts: list[tuple[str, int]] = []
    for is_byte, group in groupby(names, key=lambda name: BYTE.fullmatch(name) is not None):
        if is_byte:
            values = bytes(int(name[3:5], 16) for name in group)
            for character in _CHARACTER.findall(values):
                parts.append((character.decode(errors="replace"), len(character)))
        else:
            parts += [(name.replace(WORD_BEGIN, " "), 1) for name in group]
    return parts


def read_vocabulary_list(serialized: bytes) -> list[str]:
    """The strings of a JSON list, each once.

    Raises:
        CheckpointError: it is something else, or a string is no text, longer than any piece, or
            given twice.
    """
    try:
        names = json.loads(serialized, parse_constant=_no_constant)
    except (ValueError, RecursionError, MemoryError) as error:
        raise CheckpointError(f"not a list of strings in JSON: {error}") from error
    if not isinstance(names, list):
        raise CheckpointError(f"a vocabulary must be a list, but is {type(names).__name__}")
    for token, name in enumerate(names):
        if not isinstance(name, str) or not _is_unicode(name):
            raise CheckpointError(
                f"a vocabulary must be a list of strings, but number {token} is {ascii(name)[:200]}"
            )
    _require_length(max(map(len, names), default=0))
    if len(set(names)) < len(names):
        seen: set[str] = set()
        again = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise CheckpointError(f"a vocabulary must have each piece once, but has {again!r} again")
    return names


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_constant(name: str) -> Callable[[], None]:
    raise ValueError(f"{name} is no string")


def _require_length(longest: int) -> None:
    if longest > _MOST_CHARACTERS:
        raise CheckpointError(
            f"the pieces of a tokenizer must have at most {_MOST_CHARACTERS} characters, "
            f"but one has {longest}"
        )
