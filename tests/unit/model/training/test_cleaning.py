"""What is no translation is found; what is one stays."""

import numpy as np
import pytest
import torch

from model.errors import RecipeError
from model.training.cleaning import in_their_languages, log_likelihoods
from tests.tiny_model import tiny_tokenizer, tiny_transformer


def test_pairs_in_other_languages_are_left_out() -> None:
    good = ("The weather is nice today, isn't it?", "Das Wetter ist heute schön, nicht wahr?")
    swapped = good[1], good[0]
    copied = good[0], good[0]
    short = "Hamburg", "Hamburg"
    assert in_their_languages([good, swapped, copied, short], "en", "de") == [good, short]
    with pytest.raises(RecipeError, match="must know the languages"):
        in_their_languages([good], "en", "klingon")


def test_likelihoods_are_those_of_each_pair_alone() -> None:
    model, tokenizer = tiny_transformer(), tiny_tokenizer()
    words = "the red house", "street", "one", "the", "the street one"
    pairs = [(words[i % 5], " ".join(words[: 1 + i % 4])) for i in range(40)]
    found = log_likelihoods(model, tokenizer, pairs)
    for (source, target), score in zip(pairs, found, strict=True):
        src, tgt = ([*tokenizer.tokenize(text), tokenizer.eos_id] for text in (source, target))
        logits = model(
            torch.tensor([src]),
            torch.tensor([len(src)]),
            torch.tensor([[tokenizer.bos_id, *tgt[:-1]]]),
        )
        log_probs = torch.log_softmax(logits[0], dim=-1)[torch.arange(len(tgt)), torch.tensor(tgt)]
        assert score == pytest.approx(log_probs.mean().item(), abs=1e-5)


def test_what_has_no_place_in_the_model_is_not_likely() -> None:
    model, tokenizer = tiny_transformer(), tiny_tokenizer()
    scores = log_likelihoods(model, tokenizer, [("the house " * 500, "the"), ("the", "one")])
    assert scores[0] == -np.inf
    assert np.isfinite(scores[1])
    assert len(log_likelihoods(model, tokenizer, [])) == 0
