"""Text to the ids that a model reads, and from those that it writes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from pathlib import Path
from typing import Self, TypeVar

from model.errors import CheckpointError, UnsupportedLanguageError
from model.text.languages import Pair, listed
from model.text.punctuation import PunctuationNormalizer
from model.text.tokenizer_config import (
    PIECES_FILE,
    PIECES_FILES,
    SOURCE,
    TARGET,
    TEXT,
    VOCABULARY_FILE,
    VOCABULARY_FILES,
    TokenizerConfig,
    TokenizerKind,
)
from model.text.vocabulary import (
    BYTE,
    WORD_BEGIN,
    ListedVocabulary,
    SentencePieceVocabulary,
    SpecialIds,
    Vocabulary,
    read_vocabulary_list,
)

__all__ = [
    "SourceEncoder",
    "Tokenizer",
    "keep_ids",
    "vocabulary_list",
]

_MOST_PIECES = 10_000
"""Pieces of which it is remembered whether they have letters."""
_STAND_INS = tuple(
    letter + str((number + turn) % 9 + 1)
    for turn in range(9)
    for number, letter in enumerate("ZKXBWJQ")
)
"""Neighbours differ in both signs, so that models take none for another one: of these they lose or
confuse one in a hundred, of X1, X2, X3 twice as many."""
_MOST_FORMS = 10_000
"""Texts whose forms are remembered."""
_NOT_JOINED = '("/-'
"""Signs before a text that may show how its pieces are without a space before them."""
_LETTER = "a"
_BEHIND = ".,"
"""Signs that stand behind a text in any target."""
_DIGIT = re.compile(r"\d")
_FEWEST_TOGETHER = 24
"""Texts that cost less together, where SentencePiece starts a thread, than one by one."""

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class SourceEncoder:
    """Makes ids of texts of one pair of languages. Safe to use from several threads."""

    vocabulary: Vocabulary
    before: tuple[int, ...]
    """Ids that stand before every text."""
    after: tuple[int, ...]
    """Ids that stand after it."""
    normalizer: PunctuationNormalizer | None

    def tokenize(self, text: str) -> list[int]:
        """Ids of `text`, without what stands around it."""
        if self.normalizer is not None:
            text = self.normalizer.normalize(text)
        return self.vocabulary.tokenize(text)

    def encode(self, text: str) -> tuple[int, ...]:
        """Ids of `text`, as the encoder of the model reads them."""
        return (*self.before, *self.tokenize(text), *self.after)

    def encode_batch(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """`encode` of many texts at once."""
        if len(texts) < _FEWEST_TOGETHER:
            return [self.encode(text) for text in texts]
        if self.normalizer is not None:
            texts = [self.normalizer.normalize(text) for text in texts]
        before, after = self.before, self.after
        return [(*before, *ids, *after) for ids in self.vocabulary.tokenize_batch(texts)]


class Tokenizer:
    """The vocabularies of a model, and the tokens that name languages to it.

    Safe to use from several threads.

    Args:
        source, target: the pieces of each side; one object where they are the same.
        special: ids of both sides; they need not be pieces.
        config: what stands around a text.
        files: what it was made of, by the names in a model directory.

    Raises:
        CheckpointError: `config` names a token that the vocabulary has not.
    """

    def __init__(
        self,
        source: Vocabulary,
        target: Vocabulary,
        *,
        special: SpecialIds,
        config: TokenizerConfig,
        files: Mapping[str, bytes],
    ) -> None:
        self.source = source
        self.target = target
        self.config = config
        self.files = files
        self.pad_id, self.bos_id, self.eos_id, self.unk_id = special
        self._source_names = _TokenNames(source, config)
        self._target_names = _TokenNames(target, config)
        self._source_names.check(config.source_template or ())
        self._target_names.check(config.target_prefix)
        self.fallback_ids: frozenset[int] = source.fallback_ids
        """What characters of a source outside the vocabulary become: the unknown id, or bytes."""
        self.has_letter = lru_cache(_MOST_PIECES)(source.has_letter)
        """Whether the text of an id of a source has a letter that the vocabulary knows."""
        self.forms: Callable[..., tuple[tuple[int, ...], ...]] = lru_cache(_MOST_FORMS)(
            _Forms(target, self.unk_id)
        )
        """The ids by which a target may say a text: with a space before it and without one; where
        one piece has both, with a sign behind it too, and with the signs given as `before` and
        `behind` it. None for what the vocabulary lacks."""
        self.has_placeholders: bool = source.has_placeholders and target.has_placeholders
        """Whether `PLACEHOLDERS` are one token each."""
        self._without_text = {
            self.pad_id, self.bos_id, self.eos_id, *self._target_names.languages.values()
        }  # fmt: skip

    @classmethod
    def of_sentencepiece(cls, serialized: bytes) -> Self:
        """One SentencePiece model for both sides, which defines all special ids.

        Raises:
            CheckpointError: the bytes are no SentencePiece model, or a special id is missing.
        """
        pieces = SentencePieceVocabulary(serialized)
        if min(pieces.special_ids) < 0:
            raise CheckpointError(
                "a tokenizer must define pad, bos, eos and unk, but has "
                f"{', '.join(map(str, pieces.special_ids))}"
            )
        return cls(
            pieces, pieces, special=pieces.special_ids, config=TokenizerConfig(),
            files={PIECES_FILE: serialized},
        )  # fmt: skip

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """`of_sentencepiece` of a `.model` file."""
        try:
            return cls.of_sentencepiece(path.read_bytes())
        except OSError as error:
            raise CheckpointError(f"cannot read the tokenizer {path}: {error.strerror}") from error

    @classmethod
    def from_files(
        cls, files: Mapping[str, bytes], config: TokenizerConfig, special: SpecialIds
    ) -> Self:
        """A tokenizer of the files of a model directory.

        Args:
            files: the content of each file of the tokenizer, by its name.
            config: of the tokenizer.
            special: the ids of the model.

        Raises:
            CheckpointError: files are missing, too many or damaged, or a SentencePiece model whose
                own ids count defines another special id.
        """
        pieces = [_read(SentencePieceVocabulary, files, name) for name in _pieces_files(files)]
        lists = [
            _read(read_vocabulary_list, files, name) for name in _list_files(files, config.kind)
        ]
        sides: list[Vocabulary] = []
        if lists:
            # As the target calls them: in another list of the source, other pieces have these ids.
            of_target = lists[-1]
            hidden = [
                of_target[token]
                for token in (special.pad, special.bos, special.eos)
                if token < len(of_target)
            ]
            for side in range(max(len(pieces), len(lists))):
                names = lists[min(side, len(lists) - 1)]
                sides.append(
                    ListedVocabulary(
                        pieces[min(side, len(pieces) - 1)],
                        names,
                        unk_id=special.unk,
                        hidden={
                            *hidden,
                            *config.language_tokens.values(),
                        },
                    )
                )
        else:
            for name, each in zip(_pieces_files(files), pieces, strict=True):
                _check_special_ids(name, each.special_ids, special)
            sides += pieces
        return cls(sides[0], sides[-1], special=special, config=config, files=dict(files))

    @cached_property
    def stand_ins(self) -> tuple[str, ...]:
        """What models copy though they were not trained to: a letter and a digit each."""
        return tuple(
            mark
            for mark in _STAND_INS
            if self.fallback_ids.isdisjoint(self.source.tokenize(mark))
            and self.target.fallback_ids.isdisjoint(self.target.tokenize(mark))
        )

    @property
    def vocab_size(self) -> int:
        """Number of the source's pieces, the special ones included."""
        return self.source.size

    @property
    def target_vocab_size(self) -> int:
        """Number of the target's pieces, the special ones included."""
        return self.target.size

    def tokenize(self, text: str) -> list[int]:
        """Ids of a source, as it is, without any special id."""
        return self.source.tokenize(text)

    def tokenize_batch(self, texts: Sequence[str], *, num_threads: int = 1) -> list[list[int]]:
        """`tokenize` of many texts at once."""
        return self.source.tokenize_batch(texts, num_threads=num_threads)

    def encode_source(self, text: str, pair: Pair) -> tuple[int, ...]:
        """Ids of `text`, as the encoder reads them for a translation of this pair.

        Raises:
            UnsupportedLanguageError: the model must be told a language that it has no token for.
        """
        return self.source_encoder(pair).encode(text)

    def target_prefix(self, pair: Pair) -> tuple[int, ...]:
        """Ids that every target of this pair begins with; no part of its text.

        Raises:
            UnsupportedLanguageError: as `encode_source`.
        """
        return self._target_names.ids(self.config.target_prefix, pair)

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """The text of a target; special ids and languages leave no trace."""
        size, without_text = self.target.size, self._without_text
        if without_text.isdisjoint(token_ids) and max(token_ids, default=0) < size:
            return self.target.detokenize(token_ids)
        return self.target.detokenize(
            [token for token in token_ids if token < size and token not in without_text]
        )

    def surfaces(self, token_ids: Sequence[int]) -> list[tuple[str, int]]:
        """What `detokenize` writes, white space aside, in parts with the number of ids of each."""
        size, without_text = self.target.size, self._without_text
        if without_text.isdisjoint(token_ids) and max(token_ids, default=0) < size:
            return self.target.surfaces(token_ids)
        parts: list[tuple[str, int]] = []
        for is_text, ids in groupby(
            token_ids, key=lambda token: token < size and token not in without_text
        ):
            run = list(ids)
            parts += self.target.surfaces(run) if is_text else [("", len(run))]
        return parts

    def ids_with_digits(self) -> dict[int, bool]:
        """The ids by which a target says digits; for each whether it is one word with what stands
        before it."""
        return {
            token: not name.startswith(WORD_BEGIN)
            for token, name in enumerate(self.target.names())
            if token not in self._without_text and _DIGIT.search(_said(name))
        }

    def special_name(self, token: int) -> str:
        """What a token is called that stands for no text: the end, a language or another one."""
        if token == self.eos_id:
            return "</s>"
        names = {**self._source_names.languages, **self._target_names.languages}
        code = next((code for code, known in names.items() if known == token), None)
        return f"<{token}>" if code is None else self.config.language_tokens[code]

    @property
    def texts(self) -> list[str]:
        """What each id of a target writes by itself, with the space before it; nothing for those
        of special meaning."""
        return [
            "".join(text for text, _ in self.target.surfaces([token]))
            if token not in self._without_text
            else ""
            for token in range(self.target.size)
        ]

    def check_languages(self, sources: Iterable[str], targets: Iterable[str]) -> None:
        """Whether the model can be told every language that it must be told.

        Raises:
            CheckpointError: a language has no token.
        """
        needed = [
            *(sources if self.config.names_source else ()),
            *(targets if self.config.names_target else ()),
        ]
        if missing := [code for code in needed if code not in self.config.language_tokens]:
            raise CheckpointError(
                f"`language_tokens` must have a token for every language, but has none for "
                f"{', '.join(missing[:5])}"
            )

    def source_encoder(self, pair: Pair) -> SourceEncoder:
        """What encodes the sources of a pair of languages; to make it takes microseconds.

        Raises:
            UnsupportedLanguageError: the vocabulary has no token for a language.
        """
        template, names = self.config.source_template, self._source_names
        normalize = self.config.normalize_punctuation
        place = 0 if template is None else template.index(TEXT)
        return SourceEncoder(
            vocabulary=self.source,
            before=() if template is None else names.ids(template[:place], pair),
            after=(self.eos_id,) if template is None else names.ids(template[place + 1 :], pair),
            normalizer=PunctuationNormalizer(pair.source) if normalize else None,
        )


class _Forms:
    """Finds `Tokenizer.forms`. Safe to use from several threads."""

    def __init__(self, vocabulary: Vocabulary, unk_id: int) -> None:
        self._vocabulary = vocabulary
        self._unk_id = unk_id
        self._signs: dict[str, bool] = {}
        """Whether pieces have a digit and that before or behind it."""
        self._ids_before = {
            sign: tuple(vocabulary.tokenize(sign)) for sign in (*_NOT_JOINED, _LETTER)
        }

    def __call__(
        self, text: str, before: str = "", behind: str = ""
    ) -> tuple[tuple[int, ...], ...]:
        """The ids by which a target may say `text`; see `Tokenizer.forms`."""
        forms: dict[tuple[int, ...], None] = {}
        signs = [sign for sign in dict.fromkeys((*_BEHIND, behind)) if self._is_joined(sign)]
        for sign in ("", *signs):
            alone = self._vocabulary.find(sign) if sign else None
            joined = False
            for context, ids_before, has_sign in self._contexts(before):
                if joined and not has_sign:
                    continue
                ids = self._vocabulary.tokenize(context + text + sign)
                if self._unk_id in ids or (sign and ids[-1] == alone):
                    break  # or as without the sign
                place = len(ids_before)
                if tuple(ids[:place]) != ids_before:
                    continue
                if not has_sign:
                    joined = context != ""
                elif tuple(ids[place:]) in forms or self._is_apart(ids[place:], context):
                    continue
                forms[tuple(ids[place:])] = None
        return tuple(forms)

    def _contexts(self, before: str) -> Iterator[tuple[str, tuple[int, ...], bool]]:
        """What may stand before a text, the ids of that which are none of the text's form, and
        whether there is a sign that is one piece with the text."""
        yield "", (), False
        for sign in _NOT_JOINED:
            yield sign, self._ids_before[sign], False
        if self._is_joined(before):
            yield before, (), True
            yield f"{_LETTER}{before}", self._ids_before[_LETTER], True

    def _is_apart(self, ids: Sequence[int], context: str) -> bool:
        """Whether the sign before a text is a piece of its own."""
        alone = self._vocabulary.tokenize(context)[len(context) - 1 :]
        return list(ids[: len(alone)]) == alone

    def _is_joined(self, sign: str) -> bool:
        if not sign or sign.isalnum() or sign.isspace():
            return False
        known = self._signs.get(sign)
        if known is None:
            find = self._vocabulary.find
            known = any(
                find(piece) is not None
                for digit in "0123456789"
                for piece in (f"{digit}{sign}", f"{sign}{digit}", f"{WORD_BEGIN}{sign}{digit}")
            )
            if len(self._signs) < _MOST_PIECES:
                self._signs[sign] = known
        return known


def _said(name: str) -> str:
    """What a piece says; of a byte, what it says alone."""
    byte = BYTE.fullmatch(name)
    return name if byte is None else chr(int(byte[1], 16))


class _TokenNames:
    """The tokens that a tokenizer's configuration names, in the vocabulary of one side."""

    def __init__(self, vocabulary: Vocabulary, config: TokenizerConfig) -> None:
        self._vocabulary = vocabulary
        self._language_tokens = config.language_tokens
        found = ((code, vocabulary.find(token)) for code, token in self._language_tokens.items())
        self.languages = {code: token_id for code, token_id in found if token_id is not None}

    def ids(self, tokens: Iterable[str], pair: Pair) -> tuple[int, ...]:
        """The id of each token, for a pair; UnsupportedLanguageError if a language has none."""
        languages = {SOURCE: pair.source, TARGET: pair.target}
        ids = []
        for token in tokens:
            code = languages.get(token)
            if code is not None and code not in self.languages:
                raise UnsupportedLanguageError(
                    "a language of this model must be one of "
                    f"{listed(self.languages)}, but is {code!r}"
                )
            token_id = self._vocabulary.find(token) if code is None else self.languages[code]
            assert token_id is not None  # `check` has passed
            ids.append(token_id)
        return tuple(ids)

    def check(self, tokens: Iterable[str]) -> None:
        """CheckpointError if the vocabulary lacks one of `tokens`, or that of a language."""
        needed: list[str] = []
        for token in tokens:
            if token in (SOURCE, TARGET):
                needed += self._language_tokens.values()
            elif token != TEXT:
                needed.append(token)
        missing = [repr(token) for token in needed if self._vocabulary.find(token) is None]
        if missing:
            raise CheckpointError(
                "a vocabulary must have the tokens that `tokenizer` names, but lacks "
                f"{', '.join(missing[:5])}"
            )


def _pieces_files(files: Mapping[str, bytes]) -> tuple[str, ...]:
    return _one_or_two("a SentencePiece model", files, PIECES_FILE, PIECES_FILES)


def _list_files(files: Mapping[str, bytes], kind: TokenizerKind) -> tuple[str, ...]:
    if kind is TokenizerKind.VOCABULARY:
        return _one_or_two("a list of pieces", files, VOCABULARY_FILE, VOCABULARY_FILES)
    if lists := sorted(files.keys() & {VOCABULARY_FILE, *VOCABULARY_FILES}):
        raise CheckpointError(
            f"a tokenizer of kind {kind} must have no list of pieces, but has {', '.join(lists)}"
        )
    return ()


def _one_or_two(
    what: str, files: Mapping[str, bytes], one: str, two: tuple[str, str]
) -> tuple[str, ...]:
    if (found := files.keys() & {one, *two}) == {one}:
        return (one,)
    if found == set(two):
        return two
    raise CheckpointError(
        f"a tokenizer must have {what} as {one}, or as {' and '.join(two)}, "
        f"but has {', '.join(sorted(found)) or 'neither'}"
    )


def _read(reader: Callable[[bytes], _T], files: Mapping[str, bytes], name: str) -> _T:
    try:
        return reader(files[name])
    except CheckpointError as error:
        raise CheckpointError(f"{name}: {error}") from error


def _check_special_ids(name: str, own: SpecialIds, special: SpecialIds) -> None:
    """What a SentencePiece model defines, its ids being the model's, must be as configured."""
    for which, found, wanted in zip(SpecialIds._fields, own, special, strict=True):
        if found not in (-1, wanted):
            raise CheckpointError(f"`{which}_id` of {name} must be {wanted}, but is {found}")


def keep_ids(vocabulary: bytes, ids: Iterable[int]) -> bytes:
    """A vocabulary's list with only the pieces of some ids, in the order given.

    Whoever shortens a list takes the same rows of the weights, in the same order; the special ids
    of the model and the tokens that its tokenizer's configuration names must be among them.

    Raises:
        CheckpointError: the list is none.
    """
    names = read_vocabulary_list(vocabulary)
    return vocabulary_list([names[token] for token in ids])


def vocabulary_list(names: Sequence[str]) -> bytes:
    """The content of a file of a vocabulary: the pieces in the order of their ids."""
    return json.dumps(list(names), ensure_ascii=False, indent=0).encode()
