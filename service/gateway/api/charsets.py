"""The character set of a request's body: as it is declared, or as a byte order mark tells."""

from __future__ import annotations

import codecs
import re

from service.errors import MalformedBodyError, MediaTypeError, shown

__all__ = ["charset_of", "in_utf8"]

_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s\";]{1,40})", re.IGNORECASE)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_KNOWN = re.compile(
    r"ascii|utf-(8|16|32)(-[lb]e)?|iso8859-\d+|cp(125\d|437|850|852|866|932|949)|koi8-[ru]|"
    r"gb18030|gbk|gb2312|big5|shift_jis|euc_(jp|kr)|iso2022_jp|mac-roman|tis-620"
)
"""Python's names of character sets for text. It has others, such as unicode_escape."""


def charset_of(content_type: str) -> str:
    """The character set that a Content-Type declares, by Python's name; "utf-8" by default.

    Raises:
        MediaTypeError: it is unknown.
    """
    declared = _CHARSET.search(content_type)
    if declared is None:
        return "utf-8"
    try:
        name = codecs.lookup(declared[1]).name
    except (LookupError, ValueError):
        name = ""
    if not _KNOWN.fullmatch(name):
        raise MediaTypeError(
            f"the charset must be utf-8 or another one for text, but is {shown(declared[1])}"
        )
    return name


def in_utf8(content_type: str, body: bytes) -> bytes:
    """The body in UTF-8, without a byte order mark, which goes before what is declared.

    Raises:
        MediaTypeError: the character set that is declared is unknown.
        MalformedBodyError: the body is not in it.
    """
    charset = charset_of(content_type)
    for mark, by_mark in _MARKS if body[:1] in _FIRST_OF_MARKS else ():
        if body.startswith(mark):
            charset = by_mark
            break
    if charset == "utf-8":
        return body
    if charset == "utf-8-sig":
        return body[len(codecs.BOM_UTF8) :]
    try:
        return body.decode(charset).encode()
    except UnicodeError:
        raise MalformedBodyError(f"the body must be in {charset}, but is not") from None


_FIRST_OF_MARKS = frozenset(mark[:1] for mark, _ in _MARKS)
