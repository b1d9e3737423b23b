"""Paths that are nearly right."""

from __future__ import annotations

from urllib.parse import urljoin

import pytest

from service.gateway.api.meant_paths import is_same_but_slashes, meant_path, relative_to

KNOWN = frozenset({"/translate", "/v1/translate", "/languages", "/frontend/settings"})


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("//translate", "/translate"),
        ("/translate/", "/translate"),
        ("//v1///translate//", "/v1/translate"),
        ("/translate/translate", "/translate"),
        ("/translate/languages", "/languages"),
        ("/api/v1/translate", "/v1/translate"),
        ("/v3/translate", "/translate"),
        ("/x/frontend/settings", "/frontend/settings"),
        ("/translates", ""),
        ("/translate/x", ""),
        ("/", ""),
        ("", ""),
        ("//", ""),
        ("/" * 10_000 + "translate", ""),
        ("/a" * 10_000 + "/translate", ""),
    ],
)
def test_what_is_meant(path: str, meant: str) -> None:
    assert meant_path(path, KNOWN) == meant


@pytest.mark.parametrize(
    ("prefix", "path"),
    [
        ("", "//translate"),
        ("", "/v1//translate/"),
        ("", "///languages"),
        ("", "/translate/"),
        # With double slashes, Python's urljoin does not do there what RFC 3986 says.
        ("/mt", "/translate/"),
        ("/mt", "/v1/translate/"),
    ],
)
def test_a_redirect_leads_there_also_behind_a_prefix(prefix: str, path: str) -> None:
    meant = meant_path(path, KNOWN)
    assert is_same_but_slashes(path, meant)
    location = urljoin(f"http://host{prefix}{path}", relative_to(path, meant))
    assert location == f"http://host{prefix}{meant}"


def test_more_than_slashes() -> None:
    assert not is_same_but_slashes("/translate/translate", "/translate")
