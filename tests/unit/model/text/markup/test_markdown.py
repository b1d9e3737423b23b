"""Markdown: what is translated of it, and that all else is as it was."""

from __future__ import annotations

from collections import Counter
from functools import partial
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from model.text.markup.block import OBJECT
from model.text.markup.documents import read_document
from model.text.markup.rendering import Translated
from model.text_options import TextFormat
from tests.unit.model.text.markup.word_translators import by_table, identity, rendered, shuffled

markdown_document = partial(read_document, syntax=TextFormat.MARKDOWN)

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
PAGE = """---
title: No words
---
# Setup #

Run `pip install -U "demo[extra]"` first, then:

```bash
export HTTP_PROXY=http://10.0.0.1:3128
echo "done"  # a comment
```

    indented code

See [the *big* manual](https://docs.example/a_b(c)?d=1#part-2 "Title") and **read** it
_twice_ \\* &amp; x. Second line{TWO_SPACES}
after a break\\
more ![alt](a.png) <b>html</b> <https://a.example> ~~gone~~ ***both***

- [ ] open the box
- [x] plug it in
  continued
  1. deeper

> quoted text
> goes on
lazily

| Name | Age \\| x |
|------|-----|
| Old oak tree | 250 `a\\|b` |
|  | b |

Underlined
twice
=====

<div>Some <i>HTML</i> text<script>no</script></div>

***

[ref]: http://x.example "T"
1. one [a][ref]
""".replace("{TWO_SPACES}", "  ")
TEXTS = [
    "Setup",
    f"Run {OBJECT} first, then:",
    "See the big manual and read it twice * & x. Second line\nafter a break\n"
    f"more html {OBJECT} gone both",
    "open the box",
    "plug it in continued",
    "deeper",
    "quoted text goes on lazily",
    "Name",
    "Age | x",
    "Old oak tree",
    f"250 {OBJECT}",
    "b",
    "Underlined twice",
    "Some HTML text",
    "one a",
]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_page_has_its_texts_and_stays_itself(line_end: str) -> None:
    source = PAGE.replace("\n", line_end)
    document = markdown_document(source)
    assert [block.text for block in document.blocks] == TEXTS
    assert identity(document) == source


def test_marks_move_with_their_words() -> None:
    source = 'I have **read** [the *good* book](/a_b "T") `x|y` \\* today.\n'
    document = markdown_document(source)
    table = {
        "I": "Ich", "have": "habe", "read": "gelesen", "the": "das", "good": "gute",
        "book": "Buch", "today": "heute", ".": ".",
    }  # fmt: skip
    target = f"Ich habe heute das gute Buch {OBJECT} * gelesen."
    (block,) = document.blocks
    assert rendered(document, [by_table(block, target, table)]) == (
        'Ich habe heute [das *gute* Buch](/a_b "T") `x|y` \\* **gelesen**.\n'
    )


def test_signs_of_the_translators_are_no_marks() -> None:
    source = "Two times three.\n"
    target = "2*3*4 _a_ [x](y) `z` <b> a|b &amp; \\"
    translated = rendered(markdown_document(source), [Translated(target)])
    (inline,) = [token for token in PARSER.parse(translated) if token.type == "inline"]
    assert [child.type for child in inline.children or ()] == ["text"]
    assert (inline.children or [])[0].content == target


WORD = st.sampled_from(
    [
        *("Haus", "house,", "red.", "12", "don't", "東京", "&amp;", "\\*", "ä", "(", ")", '"'),
        *("so:", "R&D", "x_y", "2*3"),
    ]
)
INLINE = st.recursive(
    st.one_of(
        WORD, WORD, WORD, st.sampled_from(["`a|b *c*`", "![a](b.png)", "<https://a.example>"])
    ),
    lambda inner: st.one_of(
        st.builds("**{}**".format, inner),
        st.builds("*{}*".format, inner),
        st.builds("[{}](/a_b)".format, inner),
        st.builds("<b>{}</b>".format, inner),
        st.lists(inner, max_size=4).map(" ".join),
    ),
    max_leaves=10,
)
BLOCK = st.one_of(
    INLINE,
    st.builds("# {}".format, INLINE),
    st.builds("> {}\n> {}".format, INLINE, INLINE),
    st.builds("- {}\n- {}".format, INLINE, INLINE),
    st.builds("1. {}\n   {}".format, INLINE, INLINE),
    st.builds("{}\n===".format, INLINE),
    st.sampled_from(["```\ncode *x*\n```", "    code", "---", "<div>\nhtml *x*\n</div>"]),
)
PAGES = st.lists(BLOCK, max_size=4).map("\n\n".join)


def _structure(source: str) -> tuple[list[str], Counter[str]]:
    blocks, inlines = [], Counter[str]()
    for token in PARSER.parse(source):
        blocks.append(token.type)
        for child in token.children or ():
            if not child.type.startswith(("text", "softbreak")):
                inlines[child.type + child.content * (child.type == "code_inline")] += 1
    return blocks, inlines


@settings(max_examples=max(100, settings().max_examples))
@given(source=st.one_of(PAGES, st.text()))
def test_a_page_with_its_own_texts_is_itself(source: str) -> None:
    assert identity(markdown_document(source)) == source


@settings(max_examples=max(100, settings().max_examples))
@given(source=PAGES, random=st.randoms(use_true_random=False))
def test_a_page_keeps_its_structure(source: str, random: Random) -> None:
    document = markdown_document(source)
    translated = rendered(
        document, [shuffled(block, random, losing=0.0) for block in document.blocks]
    )
    assert _structure(translated) == _structure(source)
