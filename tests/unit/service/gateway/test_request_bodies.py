"""Compressed bodies."""

from __future__ import annotations

import gzip

import pytest

from service.errors import BodyTooLargeError, MalformedBodyError, MediaTypeError
from service.gateway.request_bodies import is_compressed, uncompressed


def test_members_one_after_the_other_are_one_body() -> None:
    assert uncompressed(gzip.compress(b"ab") + gzip.compress(b"cd"), 4) == b"abcd"


def test_an_empty_body() -> None:
    assert uncompressed(b"", 4) == b""
    assert uncompressed(gzip.compress(b""), 4) == b""


@pytest.mark.parametrize(
    "body",
    [gzip.compress(b"12345"), gzip.compress(b"12") + gzip.compress(b"345")],
    ids=["one member", "two members"],  # gzip writes the time
)
def test_one_byte_more_than_may_be(body: bytes) -> None:
    assert uncompressed(body, 5) == b"12345"
    with pytest.raises(BodyTooLargeError, match="at most 4 bytes"):
        uncompressed(body, 4)


def test_members_are_bounded_in_number() -> None:
    assert uncompressed(gzip.compress(b"") * 64, 4) == b""
    with pytest.raises(MalformedBodyError, match="at most 64 members"):
        uncompressed(gzip.compress(b"") * 65, 4)


@pytest.mark.parametrize(
    "body",
    [b"{}", gzip.compress(b"abc")[:-1], gzip.compress(b"abc") + b"x", b"\x1f\x8b"],
    ids=["JSON", "cut off", "more behind", "a head alone"],
)
def test_what_is_no_gzip(body: bytes) -> None:
    with pytest.raises(MalformedBodyError):
        uncompressed(body, 100)


def test_what_a_content_encoding_says() -> None:
    assert [is_compressed(one) for one in ("gzip", " X-GZIP ", "identity", None, "")] == [
        True, True, False, False, False,
    ]  # fmt: skip
    for kind in ("br", "deflate", "gzip, gzip", "zstd"):
        with pytest.raises(MediaTypeError, match="must be gzip"):
            is_compressed(kind)
