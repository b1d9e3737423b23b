"""Vocabularies as transformers keeps them: pieces by their names, and tokens that were added."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from model.checkpoints.importers.huggingface_options import read_object
from model.checkpoints.importers.source_files import MAX_TEXT_BYTES, SourceFiles
from model.errors import CheckpointError

__all__ = ["added_tokens", "in_order", "named_ids", "read_ids"]

_MOST_UNUSED = 1000
"""Ids without a piece, beside as many as have one: tables are filled up to round numbers."""


def read_ids(files: SourceFiles, name: str) -> dict[str, int]:
    """The id of each piece of a file such as vocab.json.

    Raises:
        CheckpointError: it holds something else, or an id twice.
    """
    values = read_object(files, name, MAX_TEXT_BYTES, needed=True)
    for piece, token in values.items():
        _require_id(name, piece, token)
    if len(set(values.values())) < len(values):
        raise CheckpointError(f"{name} must have each id once, but has some twice")
    return values


def added_tokens(files: SourceFiles, tokenizer_config: Mapping[str, Any]) -> dict[str, int]:
    """The ids of tokens that stand behind the pieces, as far as the files say; perhaps none.

    Raises:
        CheckpointError: they cannot be read.
    """
    decoder = tokenizer_config.get("added_tokens_decoder")
    rows: Iterable[tuple[Any, Any]] = ()
    if isinstance(decoder, Mapping) and decoder:
        name = "tokenizer_config.json"
        rows = ((_content(each), token) for token, each in decoder.items())
    elif listed := read_object(files, "tokenizer.json", MAX_TEXT_BYTES).get("added_tokens"):
        name = "tokenizer.json"
        if not isinstance(listed, list) or not all(isinstance(each, Mapping) for each in listed):
            raise CheckpointError(f"`added_tokens` of {name} must be a list of objects")
        rows = ((_content(each), each.get("id")) for each in listed)
    else:
        name = "added_tokens.json"
        rows = read_object(files, name).items()
    found: dict[str, int] = {}
    for piece, token in rows:
        if isinstance(token, str) and token.isdecimal() and len(token) < 10:
            token = int(token)
        _require_id(name, piece, token)
        found[piece] = token
    return found


def in_order(ids: Mapping[str, int], size: int, what: str) -> list[str]:
    """The pieces by their ids, `size` of them; ids without a piece get a name that is no text's.

    Raises:
        CheckpointError: an id is not below `size`, two pieces have one id, or most ids have none.
    """
    by_id = {token: piece for piece, token in ids.items()}
    if len(by_id) < len(ids):
        raise CheckpointError(f"{what} must have each id once, but has some twice")
    if by_id and max(by_id) >= size:
        raise CheckpointError(f"{what} must have ids below {size}, but has {max(by_id)}")
    return named_ids(by_id, size, what)


def named_ids(names: Mapping[int, str], size: int, what: str) -> list[str]:
    """The names of `size` ids; those that have none get one that is no text's.

    Raises:
        CheckpointError: most ids have none, which costs memory and helps nobody.
    """
    if size > (most := 2 * len(names) + _MOST_UNUSED):
        raise CheckpointError(
            f"{what} must name most of {size} ids, for {len(names)} pieces at most {most}"
        )
    return [names.get(token, f"<unused {token}>") for token in range(size)]


def _content(token: Any) -> Any:
    return token.get("content") if isinstance(token, Mapping) else token


def _require_id(name: str, piece: Any, token: Any) -> None:
    is_id = isinstance(token, int) and not isinstance(token, bool) and 0 <= token < 2**24
    if not isinstance(piece, str) or not is_id:
        raise CheckpointError(
            f"{name} must have an id for each piece, but {ascii(piece)[:100]} has "
            f"{repr(token)[:100]}"
        )
