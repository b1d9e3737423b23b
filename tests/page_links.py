"""What a browser fetches for a page."""

from __future__ import annotations

import re
from html.parser import HTMLParser

__all__ = ["links"]


def links(html: str) -> list[str]:
    """Every src and href, and where Swagger UI is told to find the API's description."""
    collector = _Collector()
    collector.feed(html)
    return collector.found + re.findall(r"\burl: '([^']*)'", html)


class _Collector(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href")]
