"""A real SentencePiece vocabulary, trained in a second on made-up sentences."""

from __future__ import annotations

import itertools

from model.text.tokenizer import Tokenizer
from tests.tiny_model import learn_pieces

SUBJECTS = ("the old man", "a small dog", "my sister", "our teacher", "every child", "Der Hund")
VERBS = ("sees", "likes", "carries", "follows", "waits for", "sucht")
OBJECTS = ("the red car", "a letter", "his brother", "the long river", "two apples", "die Straße")
ENDS = (".", "!", "?", ", and then goes home.", "; nobody knows why.", " (again).")


def train_tiny_tokenizer(vocab_size: int = 240, *, byte_fallback: bool = False) -> Tokenizer:
    """A tokenizer with the ids 0 pad, 1 bos, 2 eos, 3 unk."""
    sentences = (
        f"{subject} {verb} {thing}{end}"
        for subject, verb, thing, end in itertools.product(SUBJECTS, VERBS, OBJECTS, ENDS)
    )
    size = vocab_size + 256 * byte_fallback
    return learn_pieces(sentences, vocab_size=size, byte_fallback=byte_fallback)
