"""CTranslate2's vocabularies, and the SentencePiece models that cut text into what they list.

A CTranslate2 model is given tokens, not text: what makes them lies beside it or elsewhere.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import sentencepiece

from model.checkpoints.importers.huggingface_vocabulary import named_ids
from model.checkpoints.importers.problems import Problems
from model.checkpoints.importers.source_files import SourceFiles
from model.errors import CheckpointError
from model.network.weights import Floats
from model.text.tokenizer import vocabulary_list
from model.text.tokenizer_config import (
    PIECES_FILE,
    PIECES_FILES,
    VOCABULARY_FILE,
    VOCABULARY_FILES,
)
from model.text.vocabulary import SentencePieceVocabulary, read_vocabulary_list

__all__ = ["Names", "Rows", "SpecialTokens", "find_pieces", "read_names", "tokenizer_files"]

_SOURCE = re.compile(r"(.*[._-])?(source|src)[._-].*(model|spm)")
_TARGET = re.compile(r"(.*[._-])?(target|tgt|trg)[._-].*(model|spm)")
_PIECES = re.compile(r".*\.(model|spm)")
_CODES = "bpe.model"
"""The merges of subword-nmt, which is no SentencePiece model, whatever it is called."""
_LEAST_KNOWN = 0.5
"""How many of a SentencePiece model's pieces a vocabulary must have to be that model's. The models
of one language each share a vocabulary in which each finds most of its own."""


@dataclass(frozen=True, kw_only=True)
class SpecialTokens:
    """The names of tokens that are not of the text."""

    unk: str
    bos: str
    eos: str
    start: str | None
    """What the decoder reads first; None if that depends on the language of the target."""
    source_bos: bool
    """Whether CTranslate2 puts the begin token before a source."""
    source_eos: bool
    """Whether it puts the end token behind it."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """How rows of embeddings become ours."""

    stored: int
    """Number of them in the source."""
    order: Sequence[int]
    """For each of our ids the row that it has there; one that is not stored is zeros."""

    def of(self, array: Floats) -> Floats:
        """Our rows of (stored, ...) ones."""
        missing = max(self.order) + 1 - len(array)
        if missing > 0:
            array = np.append(array, np.zeros((missing, *array.shape[1:]), np.float32), axis=0)
        return array[list(self.order)]


@dataclass(frozen=True, kw_only=True)
class Names:
    """The tokens of both sides, in the order of our ids."""

    source: tuple[str, ...]
    target: tuple[str, ...]
    source_rows: Rows
    target_rows: Rows

    def id(self, name: str) -> int:
        """The id of a token of the target, which is there."""
        return self.target.index(name)

    @property
    def added(self) -> list[int]:
        """Target ids that the source has not."""
        rows = self.target_rows
        return [token for token, row in enumerate(rows.order) if row >= rows.stored]

    def only(self, ids: Sequence[int]) -> Names:
        """With some ids alone, if both sides have the same."""
        rows = self.source_rows
        rows = replace(rows, order=[rows.order[token] for token in ids])
        names = tuple(self.source[token] for token in ids)
        return Names(source=names, target=names, source_rows=rows, target_rows=rows)

    def with_zero_row(self, *, shared: bool) -> Names:
        """With an id more behind those of the target, which has no name.

        Args:
            shared: whether the embeddings of both sides are one matrix.
        """
        grown = _and_one(self.target_rows)
        return replace(self, target_rows=grown, source_rows=grown if shared else self.source_rows)


def read_names(
    files: SourceFiles, special: SpecialTokens, sizes: tuple[int, int], problems: Problems
) -> Names | None:
    """The vocabularies of a folder; None if there is none, which is a problem.

    An id that both sides must have in one place, such as that of the end token, is moved there in
    the longer vocabulary.

    Args:
        files: of the folder.
        special: tokens that must be there; what is missing is added.
        sizes: rows of the embeddings of the source and of the target.
        problems: told what is wrong.
    """
    found = _vocabulary_files(files.names())
    if not found:
        problems.add(
            "it must have shared_vocabulary.json, or source_vocabulary.json and "
            "target_vocabulary.json (or .txt), but has not"
        )
        return None
    try:
        listed = [_read_list(name, files.read(name)) for name in found]
    except CheckpointError as error:
        problems.add(f"its vocabulary: {error}")
        return None
    sides = []
    for names, rows in zip((listed[0], listed[-1]), sizes, strict=True):
        if len(names) > rows:
            problems.add(
                f"its vocabulary must have at most {rows} tokens, as the embeddings have rows, but "
                f"has {len(names)}"
            )
            return None
        try:
            sides.append(_completed(names, rows, special))
        except CheckpointError as error:
            problems.add(str(error))
            return None
    orders = _orders(sides[0], sides[1], (special.eos, special.unk))
    source, target = (
        tuple(names[place] for place in order) for names, order in zip(sides, orders, strict=True)
    )
    return Names(
        source=source,
        target=target,
        source_rows=Rows(stored=sizes[0], order=orders[0]),
        target_rows=Rows(stored=sizes[1], order=orders[1]),
    )


def find_pieces(
    files: SourceFiles,
    given: Mapping[str, bytes] | None,
    names: Names,
    special: SpecialTokens,
    problems: Problems,
) -> tuple[list[bytes], str | None]:
    """The SentencePiece models of both sides, one if they are the same, and a note or None.

    No models are a problem, unless all tokens are characters.

    Args:
        files: of the folder.
        given: models by their names, which go before those of the folder; None: look there.
        names: of the vocabularies.
        special: tokens that are not of the text.
        problems: told what is missing.
    """
    if given is not None:
        if len(given) > 2:
            problems.add(f"the SentencePiece models must be one or two, but {len(given)} are given")
        _check_pieces(given, names, problems)
        return list(given.values()), None
    there = files.names()
    found = [name for name in there if _PIECES.fullmatch(name) and name != _CODES]
    sides = [[name for name in found if form.fullmatch(name)] for form in (_SOURCE, _TARGET)]
    if all(len(side) == 1 for side in sides):
        found = [sides[0][0], sides[1][0]]
    elif len(found) > 1:
        problems.add(f"its SentencePiece model must be given, for it may be {' or '.join(found)}")
        return [], None
    if found:
        contents = {name: files.read(name) for name in found}
        _check_pieces(contents, names, problems)
        return list(contents.values()), None
    if _are_characters(names, special):
        return [_character_model(names)], (
            "Its tokens are characters, so a SentencePiece model was made of them: each character "
            "of a text is a token, as it stands, and a space is one only if the vocabulary has ▁."
        )
    has = f"; {_CODES} is subword-nmt's, which is not supported" if _CODES in there else ""
    if "tokenizer.json" in there:
        has += "; tokenizer.json is not read"
    problems.add(
        "the SentencePiece model that cuts its text must be beside it (sentencepiece.model, or "
        "source.spm and target.spm) or be given as its tokenizer, but is not: the model that was "
        f"converted has it{has}"
    )
    return [], None


def tokenizer_files(names: Names, pieces: Sequence[bytes]) -> dict[str, bytes]:
    """The files of a model directory."""
    lists = [vocabulary_list(names.source), vocabulary_list(names.target)]
    return _one_or_two(PIECES_FILE, PIECES_FILES, pieces) | _one_or_two(
        VOCABULARY_FILE, VOCABULARY_FILES, lists
    )


def _vocabulary_files(there: Sequence[str]) -> list[str]:
    """The file of both sides, or one for each; none if there are none."""
    for sides in (("shared",), ("source", "target")):
        names = [[f"{side}_vocabulary.{end}" for end in ("json", "txt")] for side in sides]
        found = [next((name for name in each if name in there), "") for each in names]
        if all(found):
            return found
    return []


def _read_list(name: str, content: bytes) -> list[str]:
    if name.endswith(".json"):
        return read_vocabulary_list(content)
    try:
        lines = content.decode().split("\n")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"a vocabulary must be UTF-8, but is not: {error}") from error
    if lines[-1] == "":
        lines.pop()
    return read_vocabulary_list(vocabulary_list(lines))


def _completed(names: list[str], rows: int, special: SpecialTokens) -> list[str]:
    """With what CTranslate2 adds: the unknown token, if it is not there; then names for rows that
    have none, and the end token, which our ids cannot be without."""
    known = set(names)
    names = names + [each for each in (special.unk,) if each not in known]
    names = named_ids(dict(enumerate(names)), max(rows, len(names)), "its vocabulary")
    return names + [each for each in (special.eos,) if each not in known]


def _orders(
    source: list[str], target: list[str], alike: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Which place each id of ours had, with the tokens `alike` in the same place on both sides."""
    orders = list(range(len(source))), list(range(len(target)))
    longer = int(len(target) > len(source))
    fixed, moved, order = (source, target)[1 - longer], (source, target)[longer], orders[longer]
    for name in alike:
        wanted, place = fixed.index(name), order.index(moved.index(name))
        order[wanted], order[place] = order[place], order[wanted]
    return orders


def _and_one(rows: Rows) -> Rows:
    return replace(rows, order=[*rows.order, max(rows.stored, len(rows.order))])


def _check_pieces(contents: Mapping[str, bytes], names: Names, problems: Problems) -> None:
    for (file, content), known in zip(contents.items(), (names.source, names.target)):  # noqa: B905
        try:
            pieces = SentencePieceVocabulary(content).names()
        except CheckpointError as error:
            problems.add(f"{file}: {error}")
            continue
        found = len(set(known).intersection(pieces))
        if found < _LEAST_KNOWN * len(pieces):
            problems.add(
                f"{file} must be the SentencePiece model of this vocabulary, but only {found} of "
                f"its {len(pieces)} pieces are there"
            )


def _are_characters(names: Names, special: SpecialTokens) -> bool:
    of_text = [
        name
        for name in (*names.source, *names.target)
        if name not in (special.unk, special.bos, special.eos) and not re.fullmatch("<.+>", name)
    ]
    return bool(of_text) and all(len(name) == 1 for name in of_text)


def _character_model(names: Names) -> bytes:
    characters = sorted({name for name in (*names.source, *names.target) if len(name) == 1})
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(characters),
        model_writer=written,
        model_type="char",
        vocab_size=len(characters) + 3,
        hard_vocab_limit=False,
        character_coverage=1.0,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    return written.getvalue()


def _one_or_two(one: str, two: tuple[str, str], contents: Sequence[bytes]) -> dict[str, bytes]:
    if contents[0] == contents[-1]:
        return {one: contents[0]}
    return dict(zip(two, contents, strict=True))
