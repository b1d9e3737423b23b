"""Options of `polyhead translate` about what its texts say: terms, and what is kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from model.text_options import GlossaryEntry, TextOptions

__all__ = [
    "AttributesOption",
    "BanOption",
    "FormatOption",
    "GlossaryOption",
    "KeepOption",
    "PrefixOption",
    "read_glossary",
    "text_options",
]

_MOST_BYTES = 2**24
"""Largest file of a glossary."""

GlossaryOption = Annotated[
    Path | None,
    typer.Option(
        "--glossary",
        metavar="FILE.tsv",
        help="Terms: a line has one, a tab and its translation, perhaps with further forms of it.",
    ),
]
KeepOption = Annotated[
    list[str] | None,
    typer.Option("--keep", help="A string that is not translated; may be given several times."),
]
BanOption = Annotated[
    list[str] | None,
    typer.Option("--ban", help="A word that no translation has; may be given several times."),
]
PrefixOption = Annotated[
    str, typer.Option("--prefix", help="How the translation begins; for one text.")
]
FormatOption = Annotated[
    str,
    typer.Option(
        "--format",
        help="What is translated: text, or a document of html, xml, markdown; wrapped: text whose "
        "paragraphs are broken into lines.",
    ),
]
AttributesOption = Annotated[
    bool,
    typer.Option(
        "--attributes",
        help="Translate attributes too, such as alt and title; of Markdown, descriptions of images "
        "and titles of links.",
    ),
]


def text_options(
    glossary: Path | None,
    keep: Sequence[str] | None,
    ban: Sequence[str] | None,
    prefix: str,
    text_format: str,
    attributes: bool,
) -> TextOptions:
    """What the options say.

    Raises:
        InvalidRequestError: the file cannot be read, or a value breaks a rule.
    """
    from model.text_options import TextFormat, TextOptions

    known = {str(each): each for each in TextFormat}
    return TextOptions(
        keep=tuple(keep or ()),
        glossary=() if glossary is None else read_glossary(glossary),
        banned_terms=tuple(ban or ()),
        target_prefix=prefix,
        format=known.get(text_format, text_format),  # type: ignore[arg-type]  # is refused
        translate_attributes=attributes,
    )


def read_glossary(path: Path) -> tuple[GlossaryEntry, ...]:
    """The terms of a file in UTF-8; lines without text and those that begin with # are left out.

    Raises:
        InvalidRequestError: it cannot be read, is too large, or a line has no translation.
    """
    from model.errors import InvalidRequestError
    from model.text_options import GlossaryEntry

    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise InvalidRequestError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise InvalidRequestError(f"{path} must be UTF-8, but is not") from None
    if len(content) > _MOST_BYTES:
        raise InvalidRequestError(f"{path} must have at most {_MOST_BYTES} bytes, but has more")
    entries = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        source, *forms = (cell.strip() for cell in line.split("\t"))
        forms = [form for form in forms if form]
        if not source or not forms:
            raise InvalidRequestError(
                f"line {number} of {path} must have a term, a tab and its translation, but has not"
            )
        entries.append(GlossaryEntry(source, tuple(forms)))
    return tuple(entries)
