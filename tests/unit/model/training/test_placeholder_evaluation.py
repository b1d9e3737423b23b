"""Things put into sentences, and taken out again."""

from model.checkpoints.embedded import EMBEDDED
from model.text.protection import Protection
from model.text.tokenizer import Tokenizer
from model.text.vocabulary import PLACEHOLDERS
from model.training.placeholder_evaluation import THINGS, put_in, taken_out


def test_what_was_put_in_can_be_taken_out() -> None:
    text = f"{PLACEHOLDERS[0]} The {PLACEHOLDERS[1]} dog {PLACEHOLDERS[10]}."
    assert put_in(text) == f"{THINGS[0]} The {THINGS[1]} dog {THINGS[10]}."
    assert taken_out(put_in(text)) == "The dog ."


def test_everything_is_of_a_kind_that_is_recognised() -> None:
    protection = Protection(Tokenizer.from_file(EMBEDDED["en-de"] / "tokenizer.model"))
    for thing in THINGS:
        assert protection.bounds(f"the {thing} dog") == [(4, 4 + len(thing))]
