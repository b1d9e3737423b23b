"""Kinds of requests, their shares, and their judges."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from loadtests.corpus import Corpus
from loadtests.mix import MIXES, Kind, Mix


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus.read()


def _mix(name: str, corpus: Corpus) -> Mix:
    return Mix(name, corpus, source="en", target="de")


@pytest.mark.parametrize("name", list(MIXES))
def test_kinds_come_by_their_shares(name: str, corpus: Corpus) -> None:
    mix, rng = _mix(name, corpus), random.Random(1)
    drawn = Counter(mix.draw(rng).kind for _ in range(4000))
    shares = MIXES[name]
    assert drawn.keys() == shares.keys()
    for kind, share in shares.items():
        assert drawn[kind] / 4000 == pytest.approx(share / sum(shares.values()), rel=0.25)


def test_all_kinds_are_in_the_realistic_mix() -> None:
    assert set(MIXES["realistic"]) == set(Kind)


def test_each_kind_has_its_route_and_its_form(corpus: Corpus) -> None:
    requests = {r.kind: r for r in _mix("realistic", corpus).each(random.Random(2))}
    paths = {kind: request.path for kind, request in requests.items()}
    assert set(paths.values()) == {"/v1/translate", "/translate"}
    fields = {kind: set(request.body) - {"source", "target"} for kind, request in requests.items()}
    assert fields == {
        Kind.SENTENCE: {"text"},
        Kind.DOCUMENT: {"text"},
        Kind.LIST: {"texts"},
        Kind.LIBRETRANSLATE_TEXT: {"q"},
        Kind.LIBRETRANSLATE_LIST: {"q"},
    }


def test_models_are_asked_for_by_zipfs_law(corpus: Corpus) -> None:
    mix, rng = Mix("sentences", corpus, models=["a", "b", "c"]), random.Random(4)
    drawn = Counter(mix.draw(rng).body["model"] for _ in range(4000))
    for rank, name in enumerate("abc", start=1):
        assert drawn[name] / 4000 == pytest.approx(6 / 11 / rank, rel=0.1)


def test_an_answer_is_held_against_its_own_request(corpus: Corpus) -> None:
    mix, rng = _mix("lists", corpus), random.Random(3)
    first, second = mix.draw(rng), mix.draw(rng)
    while len(first.body["texts"]) == len(second.body["texts"]):
        second = mix.draw(rng)
    translations = [{"text": text, "finish_reason": "stop"} for text in first.body["texts"]]
    answer = {"translations": translations, "model": "echo"}
    assert first.fault_of(answer) is None
    assert second.fault_of(answer) is not None


def test_lengths_have_a_heavy_tail(corpus: Corpus) -> None:
    mix, rng = _mix("realistic", corpus), random.Random(4)
    lengths = sorted(len(str(mix.draw(rng).body)) for _ in range(3000))
    # A tenth of the requests brings more than a third of all the text.
    assert sum(lengths[-300:]) > sum(lengths) / 3
    assert lengths[-1] > 10 * lengths[1500]
