"""Documents that are zip archives: bounded when they are read, and written with their files in
order."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from model.checkpoints.importers.archive_files import ARCHIVE_ERRORS, check_archive
from model.errors import CheckpointError
from service.documents.errors import DamagedDocumentError, DocumentTooLargeError
from service.documents.limits import DocumentLimits

__all__ = ["DocumentArchive"]

_FREE_GROWTH = 2**20
_ZIP = b"PK\3\4"
"""What archives with files begin with."""
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""What compound files begin with: what Office wrote before, and what it puts encrypted ones in."""
_MIMETYPE = "mimetype"
"""The file that OpenDocument and EPUB want first, as it is."""


class DocumentArchive:
    """The files of a document. Nothing is unpacked to a disk.

    Args:
        data: the archive.
        limits: that it must keep.

    Raises:
        DamagedDocumentError: it is no archive, is encrypted, or has names out of it or twice.
        DocumentTooLargeError: it is beyond a limit.
    """

    def __init__(self, data: bytes, limits: DocumentLimits) -> None:
        self.limits = limits
        if data.startswith(_OLD_OFFICE):
            raise DamagedDocumentError(
                "the document must be neither encrypted nor of an older format (.doc, .xls, .ppt), "
                "but is"
            )
        try:
            self._archive = _opened(data)
            check_archive(Path("the document"), self._archive, limits.max_members)
        except CheckpointError as error:
            raise DamagedDocumentError(str(error)) from error
        except ARCHIVE_ERRORS as error:
            problem = "is empty" if not data else "is none"
            if data.startswith(_ZIP):
                problem = "is damaged, or its end is missing"
            raise DamagedDocumentError(
                f"the document must be a zip archive, but {problem}"
            ) from error
        members = self._archive.infolist()
        if any(member.flag_bits & 1 for member in members):
            raise DamagedDocumentError("the document must not be encrypted, but is")
        size = sum(member.file_size for member in members)
        limits.check("max_unpacked_bytes", "the bytes of a document, unpacked,", size)
        if size > _FREE_GROWTH and size > limits.max_growth * len(data):
            raise DocumentTooLargeError(
                f"a document must be at most {limits.max_growth} times as large when it is "
                f"unpacked (`max_growth`), but {len(data)} bytes are {size}"
            )
        self.names = [member.filename for member in members]

    def __contains__(self, name: str) -> bool:
        return name in self._archive.NameToInfo

    def read(self, name: str) -> bytes:
        """One of its files.

        Raises:
            DamagedDocumentError: it is not there, or damaged.
            DocumentTooLargeError: it is larger than XML may be.
        """
        if name not in self:
            raise DamagedDocumentError(f"the document must have {name[:100]!r}, but has not")
        member = self._archive.getinfo(name)
        self.limits.check("max_xml_bytes", f"the bytes of {name[:100]!r}", member.file_size)
        return self._content(member)

    def written(self, changed: Mapping[str, bytes]) -> bytes:
        """The archive with other content in some of its files; names, order and dates stay.

        Raises:
            DamagedDocumentError: one of the others is damaged.
        """
        members = self._archive.infolist()
        members.sort(key=lambda member: member.filename != _MIMETYPE)
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for member in members:
                info = zipfile.ZipInfo(member.filename, member.date_time)
                info.external_attr = member.external_attr
                is_kept = member.filename == _MIMETYPE or member.compress_type == zipfile.ZIP_STORED
                info.compress_type = zipfile.ZIP_STORED if is_kept else zipfile.ZIP_DEFLATED
                content = changed.get(member.filename)
                archive.writestr(info, self._content(member) if content is None else content)
        return target.getvalue()

    def _content(self, member: zipfile.ZipInfo) -> bytes:
        try:
            return self._archive.read(member)
        except ARCHIVE_ERRORS as error:
            raise DamagedDocumentError(
                f"{member.filename[:100]!r} of the document is damaged"
            ) from error


def _opened(data: bytes) -> zipfile.ZipFile:
    """The archive. Names that do not tell their encoding are UTF-8, as most programs mean them."""
    try:
        return zipfile.ZipFile(io.BytesIO(data), metadata_encoding="utf-8")
    except UnicodeDecodeError:
        return zipfile.ZipFile(io.BytesIO(data))
