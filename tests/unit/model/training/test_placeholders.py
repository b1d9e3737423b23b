"""Placeholders in pairs to train on."""

from model.checkpoints.embedded import EMBEDDED
from model.text.protection import Protection
from model.text.tokenizer import Tokenizer
from model.text.vocabulary import PLACEHOLDERS
from model.training.placeholders import with_placeholders

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
