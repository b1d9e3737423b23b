"""What a Markdown text is made of, to tell whether two have the same marks."""

from __future__ import annotations

from collections import Counter

from markdown_it import MarkdownIt

__all__ = ["markdown_structure"]

_PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def markdown_structure(source: str) -> tuple[tuple[str, ...], Counter[str]]:
    """The blocks of `source` in their order, and how often it has each inline element."""
    blocks: list[str] = []
    inlines: Counter[str] = Counter()
    for token in _PARSER.parse(source):
        blocks.append(token.type)
        for child in token.children or ():
            if child.type not in ("text", "text_special", "softbreak"):
                verbatim = child.content if child.type in ("code_inline", "html_inline") else ""
                inlines[f"{child.type} {verbatim or child.attrs}"] += 1
    return tuple(blocks), inlines
