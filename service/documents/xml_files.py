"""XML files: nothing outside of them is read, nothing within them multiplies itself."""

from __future__ import annotations

import re
from typing import Any, TypeAlias

from lxml import etree

from service.documents.errors import DamagedDocumentError
from service.documents.limits import DocumentLimits

__all__ = ["Element", "XmlFile", "append_text", "local_name", "namespace"]

_DECLARATION = re.compile(rb"(?:\xef\xbb\xbf)?<\?xml[^>]*\?>\s*")
Element: TypeAlias = Any
"""An element of lxml, which has no types."""


class XmlFile:
    """An XML file that has been read.

    Args:
        data: the file.
        limits: that it must keep.
        name: what errors call it.

    Raises:
        DamagedDocumentError: it is not well-formed, nested too deeply, or defines entities.
    """

    def __init__(self, data: bytes, limits: DocumentLimits, name: str = "the document") -> None:
        limits.check("max_xml_bytes", f"the bytes of {name[:100]}", len(data))
        parser = etree.XMLParser(
            resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False,
            remove_blank_text=False, strip_cdata=False,
        )  # fmt: skip
        try:
            self.root: Element = etree.fromstring(data, parser)
        except (etree.XMLSyntaxError, ValueError) as error:
            if getattr(error, "code", None) == etree.ErrorTypes.ERR_NO_MEMORY:
                raise MemoryError from error
            reason = getattr(error, "msg", None) or str(error)
            raise DamagedDocumentError(
                f"{name[:100]} must be well-formed XML, but is not: {reason[:200]}"
            ) from error
        info = self.root.getroottree().docinfo
        self._encoding = info.encoding or "UTF-8"
        self._declaration = _DECLARATION.match(data)
        dtd = info.internalDTD
        if dtd is not None and next(iter(dtd.iterentities()), None) is not None:
            raise DamagedDocumentError(f"{name[:100]} must define no entities, but does")
        _check_depth(self.root, limits.max_depth, name)

    def written(self) -> bytes:
        """The file as it is now, with the declaration that it had."""
        is_short = self._declaration is not None or self._encoding.upper() == "UTF-8"
        data: bytes = etree.tostring(
            self.root.getroottree(), encoding=self._encoding, xml_declaration=not is_short
        )
        return data if self._declaration is None else self._declaration[0] + data


def _check_depth(root: Element, most: int, name: str) -> None:
    if root.xpath(f"boolean({'/*' * (most + 1)})"):
        raise DamagedDocumentError(
            f"the elements of {name[:100]} must be within each other at most {most} times "
            "(`max_depth`), but are more often"
        )


def local_name(element: Element) -> str:
    """The name of an element without its namespace; empty for a comment and the like."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def namespace(element: Element) -> str:
    """The namespace of an element; empty for none."""
    tag = element.tag
    return tag[1:].partition("}")[0] if isinstance(tag, str) and tag[:1] == "{" else ""


def append_text(element: Element, text: str) -> None:
    """Adds a text behind all that is in an element."""
    last = next(element.iterchildren(reversed=True), None)
    if last is not None:
        last.tail = (last.tail or "") + text
    else:
        element.text = (element.text or "") + text
