"""Office documents written by hand, as small as their programs would still open."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

__all__ = ["A", "W", "docx_file", "member", "pptx_file", "xlsx_file", "zip_file"]

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
A = "http://schemas.openxmlformats.org/drawingml/2006/main"
_P = "http://schemas.openxmlformats.org/presentationml/2006/main"
_S = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_TYPES = "application/vnd.openxmlformats-officedocument"


def zip_file(files: Mapping[str, str | bytes]) -> bytes:
    """An archive with these files, in their order."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def member(data: bytes, name: str) -> str:
    """A file of an archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(name).decode()


def _content_types(parts: Mapping[str, str]) -> str:
    overrides = "".join(
        f'<Override PartName="/{name}" ContentType="{_TYPES}.{kind}+xml"/>'
        for name, kind in parts.items()
    )
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="xml" ContentType="application/xml"/>'
        '<Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f"{overrides}</Types>"
    )


def docx_file(body: str, more: Mapping[str, tuple[str, str]] | None = None) -> bytes:
    """A Word document.

    Args:
        body: its XML, with the prefixes w, r and a.
        more: further parts, their names with kinds and content.
    """
    names = f'xmlns:w="{W}" xmlns:r="{_R}" xmlns:a="{A}"'
    document = f"<w:document {names}><w:body>{body}</w:body></w:document>"
    parts = {"word/document.xml": ("wordprocessingml.document.main", document), **(more or {})}
    return zip_file(
        {
            "[Content_Types].xml": _content_types(
                {name: kind for name, (kind, _) in parts.items()}
            ),
            "word/media/picture.png": b"\x89PNG not really",
            **{name: content.replace("NAMES", names) for name, (_, content) in parts.items()},
        }
    )


def pptx_file(paragraphs: str, notes: str = "") -> bytes:
    """A presentation of one slide.

    Args:
        paragraphs, notes: their XML, with the prefix a.
    """
    names = f'xmlns:p="{_P}" xmlns:a="{A}" xmlns:r="{_R}"'
    kinds = {"ppt/presentation.xml": "presentationml.presentation.main",
             "ppt/slides/slide1.xml": "presentationml.slide",
             "ppt/notesSlides/notesSlide1.xml": "presentationml.notesSlide"}  # fmt: skip
    return zip_file(
        {
            "[Content_Types].xml": _content_types(kinds),
            "ppt/presentation.xml": f"<p:presentation {names}/>",
            "ppt/slides/slide1.xml": f"<p:sld {names}><p:txBody>{paragraphs}</p:txBody></p:sld>",
            "ppt/notesSlides/notesSlide1.xml":
                f"<p:notes {names}><p:txBody>{notes}</p:txBody></p:notes>",
        }
    )  # fmt: skip


def xlsx_file(strings: str, cells: str, more: Mapping[str, tuple[str, str]] | None = None) -> bytes:
    """A workbook of one sheet.

    Args:
        strings: the XML of its shared strings.
        cells: that of a row.
        more: further parts, their names with kinds and content.
    """
    sheet = f"<worksheet xmlns='{_S}'><sheetData><row r='1'>{cells}</row></sheetData></worksheet>"
    parts = {
        "xl/workbook.xml": (
            "spreadsheetml.sheet.main",
            f"<workbook xmlns='{_S}' xmlns:r='{_R}'><sheets>"
            "<sheet name='Old house' sheetId='1' r:id='rId1'/></sheets></workbook>",
        ),
        "xl/worksheets/sheet1.xml": ("spreadsheetml.worksheet", sheet),
        "xl/sharedStrings.xml": (
            "spreadsheetml.sharedStrings",
            f"<sst xmlns='{_S}'>{strings}</sst>",
        ),
        **(more or {}),
    }
    return zip_file(
        {
            "[Content_Types].xml": _content_types(
                {name: kind for name, (kind, _) in parts.items()}
            ),
            **{name: content.replace("SHEET", _S) for name, (_, content) in parts.items()},
        }
    )
