"""JSON within a text: what of it is kept."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.text.json_syntax import json_syntax


def said(text: str) -> list[str]:
    """What is between the spans that are kept, or begins or ends with none."""
    parts: list[str] = []
    at = 0
    for begin, end in json_syntax(text):
        parts.append(text[at:begin])
        at = end
    return [part for part in [*parts, text[at:]] if part]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('["Good morning","<b>Read</b> \\"more\\""]', ["Good morning", '<b>Read</b> \\"more\\"']),
        ('{"title": "A b", "n": [1, null, {"x": "c d"}], "": ""}', ["A b", "c d"]),
        ('So:\n["a b"],\nand {"x"}.', ["So:\n", "a b", ",\nand {\"x\"}."]),
        ('{\n  "a": "b c",\n  "d": "e"\n}\n', ["b c", "e", "\n"]),
        ('He said ["a b"] once.', ['He said ["a b"] once.']),
        ('["a b', ['["a b']),
        ("[1, 2]", ["[1, 2]"]),
        ("{name}", ["{name}"]),
        ('{"a" "b"}', ['{"a" "b"}']),
    ],
)  # fmt: skip
def test_all_but_values_is_kept(text: str, expected: list[str]) -> None:
    assert said(text) == expected


@given(st.recursive(st.text() | st.integers() | st.none(),
                    lambda each: st.lists(each) | st.dictionaries(st.text(), each)))  # fmt: skip
def test_values_can_be_put_back(value: object) -> None:
    text = json.dumps([value])
    spans = list(json_syntax(text))
    gaps = [(end, begin) for (_, end), (begin, _) in pairwise(spans)]
    changed = text
    for end, begin in reversed(gaps):
        changed = changed[:end] + "x" + changed[begin:]
    assert isinstance(json.loads(changed), list)


@pytest.mark.parametrize("unit", ['["', '{"a":', '["a\n', '["a"]\n', '["\\', "[", "1"])
def test_deep_and_long_texts_are_read(unit: str) -> None:
    text = unit * 20_000 + '"]'
    assert "".join(said(text)) in text or said(text)
