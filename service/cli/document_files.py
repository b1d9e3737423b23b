"""Documents of `polyhead translate`: a file in, a file out."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

if TYPE_CHECKING:
    from model.config import EngineConfig, GenerationConfig
    from model.text_options import TextOptions
    from service.documents.document import Batch, DocumentOptions

__all__ = [
    "AllOption",
    "ColumnsOption",
    "KeysOption",
    "ToOption",
    "document_options",
    "document_path",
    "translate_file",
]

_FILE_NAME = re.compile(r"\S[^\n]{0,4000}\.\w{2,8}")

ToOption = Annotated[
    Path | None,
    typer.Option("--to", metavar="OUT", help="Where a document goes  [default: NAME.TARGET.EXT]"),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option("--columns", help="Of .csv: numbers or names of columns, with commas between."),
]
KeysOption = Annotated[
    str | None,
    typer.Option("--keys", help="Of .json: names or paths, such as title,menu.*.label."),
]
AllOption = Annotated[
    bool,
    typer.Option("--all", help="Of .po and .xliff: messages that have a translation too."),
]


def document_options(columns: str | None, keys: str | None, retranslate: bool) -> DocumentOptions:
    """What the options say."""
    from service.documents.document import DocumentOptions

    return DocumentOptions(columns=_listed(columns), keys=_listed(keys), retranslate=retranslate)


def _listed(names: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (names or "").split(",") if name.strip())


def document_path(text: str | None, to: Path | None, *, as_lines: bool = False) -> Path | None:
    """The document that the argument names; None if it is a text.

    Args:
        as_lines: whether options are given that documents do not have.

    Raises:
        InvalidRequestError: there is no such file, or it does not go with the options.
    """
    from model.errors import InvalidRequestError

    looks_so = text is not None and _FILE_NAME.fullmatch(text) is not None
    if text is None or not looks_so:
        if to is not None:
            raise InvalidRequestError("`--to` must come with a document, but comes with a text")
        return None
    from service.documents.errors import UnsupportedDocumentError
    from service.documents.formats import find_format

    try:
        find_format(text)
    except UnsupportedDocumentError:
        if to is not None or os.path.isfile(text):
            raise
        return None
    if not os.path.isfile(text):
        if to is None and " " in text:
            return None
        raise InvalidRequestError(f"there must be a file {text}, but there is none")
    if as_lines:
        raise InvalidRequestError(
            "`--json`, `--alignments` and `--stream` must come with texts, but come with a document"
        )
    return Path(text)


def translate_file(
    path: Path,
    to: Path | None,
    directory: Path,
    *,
    options: DocumentOptions,
    engine: EngineConfig,
    source: str | None = None,
    target: str | None = None,
    generation: GenerationConfig | None = None,
    text_options: TextOptions,
    progress: TextIO | None = None,
) -> Path:
    """Translates a document and writes it, whole or not at all.

    Args:
        path: of the document.
        to: where it goes; None for a name beside it that must be free.
        directory: of the model.
        options: of the document; its languages are the model's.
        progress: for a bar, on a terminal; stderr by default.

    Returns:
        Where it was written.

    Raises:
        InvalidRequestError: the document, an option or the place is not as it must be.
    """
    from tqdm import tqdm

    from model.translator import Translator
    from service.cli.translate import settle
    from service.documents.formats import find_format
    from service.documents.translation import translated

    progress = progress or sys.stderr
    document_format = find_format(path.name)
    data = _read(path, options)
    with Translator.load(directory, engine) as translator:
        settle(translator, progress)
        pair = translator.pair(source, target)
        place = _place(path, to, pair.target)
        options = replace(options, source=pair.source, target=pair.target)
        document = document_format.read(data, options)

        def translate(batch: Batch) -> list[str]:
            own = batch.text_options(text_options)
            translations = translator.translate(
                batch.texts, source=source, target=target, generation=generation, text_options=own
            )
            return [translation.text for translation in translations]

        size, hidden = document.num_characters, not progress.isatty()
        with tqdm(total=size, file=progress, unit=" characters", disable=hidden) as bar:
            written = translated(document, translate, bar.update)
    _write(place, written)
    return place


def _read(path: Path, options: DocumentOptions) -> bytes:
    from model.errors import InvalidRequestError

    most = options.limits.max_bytes
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except OSError as error:
        raise InvalidRequestError(f"cannot read {path}: {error.strerror}") from error


def _place(path: Path, to: Path | None, target: str) -> Path:
    from model.errors import InvalidRequestError

    if to is not None:
        return to
    place = path.with_name(f"{path.stem}.{target}{path.suffix}")
    if place.exists():
        raise InvalidRequestError(f"{place} must not be there yet, but is; `--to` names another")
    return place


def _write(place: Path, data: bytes) -> None:
    from model.errors import InvalidRequestError

    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{place.name[:100]}-", dir=place.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, place)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise InvalidRequestError(f"cannot write {place}: {error.strerror}") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
