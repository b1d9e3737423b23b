"""Placeholders in pairs to train on."""

import pytest

from model.checkpoints.embedded import EMBEDDED
from model.text.protection import Protection
from model.text.tokenizer import Tokenizer
from model.text.vocabulary import PLACEHOLDERS
from model.training.placeholders import all_with_placeholders, with_placeholders

A, B, C = PLACEHOLDERS[:3]
PROTECTION = Protection(Tokenizer.from_file(EMBEDDED["en-de"] / "tokenizer.model"))


def test_pairs_have_the_same_placeholders_for_the_same_spans() -> None:
    source, target = "Send {a} to {b}, then {a}.", "An {b} sende {a}, dann {a}."
    assert with_placeholders(PROTECTION, source, target) == (
        f"Send {A} to {B}, then {C}.", f"An {B} sende {A}, dann {C}.",
    )  # fmt: skip
    assert with_placeholders(PROTECTION, source, target, first=10) == with_placeholders(
        PROTECTION, source, target, first=8
    )
    later = with_placeholders(PROTECTION, source, target, first=8)
    assert later[0] == f"Send {PLACEHOLDERS[8]} to {PLACEHOLDERS[9]}, then {PLACEHOLDERS[10]}."
    for other in ("An {b}", "An {b}, {c} und {a}", target.replace("{b}", "{ b }")):
        assert with_placeholders(PROTECTION, source, other) == (source, other)
    assert with_placeholders(PROTECTION, "{a}, {b}", "{a}", first=10) == ("{a}, {b}", "{a}")
    assert with_placeholders(PROTECTION, "One.", "Eins, {a}.") == ("One.", "Eins, {a}.")


def test_several_processes_give_the_same_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [(f"Send {{a}} to {n}.", f"An {n} sende {{a}}.") for n in range(7)]
    firsts = [0, 3, 1, 10, 2, 0, 5]
    alone = all_with_placeholders(PROTECTION, pairs, firsts, num_processes=1)
    assert alone == [
        with_placeholders(PROTECTION, *pair, first=first)
        for pair, first in zip(pairs, firsts, strict=True)
    ]
    monkeypatch.setattr("model.training.placeholders._PAIRS_AT_ONCE", 3)
    assert all_with_placeholders(PROTECTION, pairs, firsts, num_processes=2) == alone
