"""Years and centuries before Christ stay before Christ."""

from __future__ import annotations

import pytest

from model.text.eras import Eras


@pytest.mark.parametrize(
    ("source", "target", "sentence", "found"),
    [
        ("en", "de", "In 600 BC, in the 4th century B.C. and 70 AD", [("BC", "v. Chr."),
         ("B.C.", "v. Chr."), ("AD", "n. Chr.")]),
        ("en", "pt", "Alexander died in 323 BCE.", [("BCE", "a.C.")]),
        ("de", "en", "Im Jahr 600 v. Chr. und im 1. Jh. n.Chr.", [("v. Chr.", "BC"),
         ("n.Chr.", "AD")]),
        ("en", "de", "The BC is in Vancouver, BC, an AD in a CD.", []),
        ("en", "ja", "In 600 BC", []),
        ("en", "de", "In 2019 BC Hydro was there, in 2010 BC had snow, EN 60950 CE marks.", []),
        ("en", "de", "Server 2019 AD, 10 AD campaigns, V8W 1P6 BC", []),
        ("en", "de", "In 70 AD, Rome burned; it was 12,000 BC when (5 CE)", [("AD", "n. Chr."),
         ("BC", "v. Chr."), ("CE", "n. Chr.")]),
        ("ja", "en", "600 BC", []),
    ],
)  # fmt: skip
def test_which_are_found(
    source: str, target: str, sentence: str, found: list[tuple[str, str]]
) -> None:
    terms = Eras(source, target).find(sentence)
    assert [(term.entry.source, *term.entry.targets) for term in terms] == found
    assert [sentence[term.begin : term.end] for term in terms] == [each for each, _ in found]


@pytest.mark.parametrize(
    ("target", "said", "others"),
    [
        ("de", ["600 v. Chr.", "600 v.Chr."], ["600 Uhr", "v."]),
        ("en", ["600 BC"], ["600 B", "BCD"]),
    ],
)
def test_what_says_it(target: str, said: list[str], others: list[str]) -> None:
    source, sentence = ("en", "in 600 BC") if target == "de" else ("de", "600 v. Chr.")
    [term] = Eras(source, target).find(sentence)
    assert term.said is not None
    assert all(map(term.said.search, said))
    assert not any(map(term.said.search, others))
