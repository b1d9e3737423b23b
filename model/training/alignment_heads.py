"""The heads of a model that align best: `python -m model.training.alignment_heads MODEL REVERSE`.

No alignment is needed to choose them, only sentence pairs and a model of the opposite direction:
heads of the two that agree about which words belong together are right (section 4.3 of Chen et
al., 2020, who choose so between layers). Each single head is looked at, attending to the token
that a step predicts or to the one that it reads; the best are averaged as long as that helps.

With `--gold` the result is held against alignments made by hand.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice, product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from model.checkpoints.checksums import read_checksums
from model.checkpoints.embedded import model_directory
from model.checkpoints.files import CHECKSUM_FILE, CONFIG_FILE
from model.decoding.reference import pad_sources
from model.text.alignment import tokens_attended
from model.text.word_links import WordLink
from model.text.words import overlapping, words
from model.training.text import read_pairs

__all__ = [
    "AlignedPair",
    "Choice",
    "GoldPair",
    "agreement",
    "alignment_error_rate",
    "choose",
    "main",
    "read_gold",
    "read_pair",
    "record",
]  # fmt: skip

_MOST_HEADS = 4
_GAIN = 0.002
"""By which agreement must grow for one more head: less is chance."""
_MOST_TOKENS = 100

Links = set[WordLink]


class Choice(NamedTuple):
    """Heads, and which token of a step they align."""

    heads: tuple[tuple[int, int], ...]
    shifted: bool


class GoldPair(NamedTuple):
    """A sentence pair, aligned by hand."""

    source: str
    target: str
    sure: Links
    possible: Links
    """The sure ones among them."""


class AlignedPair(NamedTuple):
    """A pair of sentences as a model reads it."""

    attention: NDArray[np.float32]
    """(L, H, T + 1, S) of the steps that predict the T target tokens and the end."""
    source_words: list[list[tuple[int, int]]]
    """The word of each of the S source tokens that are text."""
    target_words: list[list[tuple[int, int]]]
    """The word of each of the T target tokens."""

    def links(self, choice: Choice) -> Links:
        """Which words belong together."""
        weights = sum(self.attention[layer, head] for layer, head in choice.heads)
        assert isinstance(weights, np.ndarray)
        places = weights.argmax(axis=1).tolist()
        attended = tokens_attended(places, len(self.target_words), shifted=choice.shifted)
        return {
            WordLink(source, target)
            for of_target, place in zip(self.target_words, attended, strict=True)
            for target in of_target
            for source in self.source_words[place]
        }


@torch.inference_mode()
def read_pair(checkpoint: Checkpoint, source: str, target: str) -> AlignedPair | None:
    """A sentence pair as a model reads it; None if it is too long for it."""
    tokenizer, pair = checkpoint.tokenizer, checkpoint.metadata.pairs[0]
    encoder = tokenizer.source_encoder(pair)
    source_ids = encoder.encode(source)
    prefix, target_ids = tokenizer.target_prefix(pair), tokenizer.target.tokenize(target)
    if max(len(source_ids), len(prefix) + len(target_ids) + 1) > _MOST_TOKENS:
        return None
    read = [checkpoint.config.bos_id, *prefix, *target_ids]
    tokens, lengths = pad_sources([source_ids], checkpoint.config.eos_id)
    attention = checkpoint.model.cross_attention(tokens, lengths, torch.tensor([read]))[:, 0]
    first, last = len(encoder.before), len(source_ids) - len(encoder.after)
    return AlignedPair(
        attention[:, :, len(prefix) :, first:last].numpy(),
        _words_of(source, encoder.vocabulary.spans(source)),
        _words_of(target, tokenizer.target.spans(target)),
    )


def _words_of(text: str, spans: Sequence[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    found = words(text, boundaries={begin for begin, _ in spans})
    return [[found[place] for place in overlapping(found, *span)] for span in spans]


def choose(
    forward: Sequence[AlignedPair], backward: Sequence[AlignedPair]
) -> tuple[Choice, Choice, float]:
    """The heads of a model and of its opposite that agree most, and how much they do (F1).

    Args:
        forward, backward: the same pairs, read by each.
    """
    best = max(
        (agreement(ours, theirs), one, other)
        for one, ours in _single_heads(forward)
        for other, theirs in _single_heads(backward)
    )
    f1, one, other = best
    while len(one.heads) < _MOST_HEADS:
        f1_before = f1
        f1, one = _with_one_more(forward, one, [each.links(other) for each in backward], f1)
        f1, other = _with_one_more(backward, other, [each.links(one) for each in forward], f1)
        if f1 == f1_before:
            break
    return one, other, f1


def _single_heads(pairs: Sequence[AlignedPair]) -> list[tuple[Choice, list[Links]]]:
    layers, heads = pairs[0].attention.shape[:2]
    choices = [
        Choice(((layer, head),), shifted)
        for layer, head, shifted in product(range(layers), range(heads), (False, True))
    ]
    return [(choice, [pair.links(choice) for pair in pairs]) for choice in choices]


def _with_one_more(
    pairs: Sequence[AlignedPair], choice: Choice, others: Sequence[Links], f1: float
) -> tuple[float, Choice]:
    """The choice with the head that makes it agree more with `others`, if there is one."""
    best = f1 + _GAIN, choice
    layers, heads = pairs[0].attention.shape[:2]
    for head in product(range(layers), range(heads)):
        if head not in choice.heads:
            wider = choice._replace(heads=(*choice.heads, head))
            best = max(best, (agreement([each.links(wider) for each in pairs], others), wider))
    return best if best[1] != choice else (f1, choice)


def agreement(forward: Sequence[Links], backward: Sequence[Links]) -> float:
    """F1 of the links of one direction and those of the other, turned around."""
    turned = [{WordLink(link.target, link.source) for link in links} for links in backward]
    common = sum(len(ours & theirs) for ours, theirs in zip(forward, turned, strict=True))
    return 2 * common / max(1, sum(map(len, forward)) + sum(map(len, turned)))


def alignment_error_rate(found: Sequence[Links], gold: Sequence[GoldPair]) -> float:
    """1 - (|A & S| + |A & P|) / (|A| + |S|), of Och and Ney (2003)."""
    right = sum(
        len(links & pair.sure) + len(links & pair.possible)
        for links, pair in zip(found, gold, strict=True)
    )
    return 1 - right / max(1, sum(map(len, found)) + sum(len(pair.sure) for pair in gold))


def read_gold(path: Path, *, reverse: bool = False) -> list[GoldPair]:
    """Sentence pairs with their alignment.

    Args:
        path: lines of source, target and links, with tabs between. Texts are cut into words by
            spaces, those before punctuation included; a link is `i-j` with the places of both
            words from 0, or `ipj` where it is possible and not sure.
        reverse: turns each pair around.
    """
    pairs = []
    for line in path.read_text(encoding="utf-8").splitlines():
        texts, links = line.split("\t")[:2], line.split("\t")[2].split()
        (source, sources), (target, targets) = map(_placed, texts)
        kinds: tuple[Links, Links] = set(), set()
        for link in links:
            i, kind, j = re.split("([-p])", link)
            kinds[kind == "p"].add(WordLink(sources[int(i)], targets[int(j)]))
        sure, possible = kinds
        pairs.append(GoldPair(source, target, sure, sure | possible))
    return [_turned(pair) for pair in pairs] if reverse else pairs


def _placed(text: str) -> tuple[str, list[tuple[int, int]]]:
    """A text without the spaces before its punctuation, and where its words are."""
    natural = re.sub(" ([.,?!])", r"\1", text)
    places, at = [], 0
    for word in text.split():
        at = natural.index(word, at)
        places.append((at, at := at + len(word)))
    return natural, places


def _turned(pair: GoldPair) -> GoldPair:
    sure, possible = (
        {WordLink(link.target, link.source) for link in links}
        for links in (pair.sure, pair.possible)
    )
    return GoldPair(pair.target, pair.source, sure, possible)


def record(directory: Path, choice: Choice) -> None:
    """Writes the heads into `config.json` of a model directory, and its checksum."""
    path = directory / CONFIG_FILE
    values = json.loads(path.read_text(encoding="utf-8"))
    values["model"] |= {
        "alignment_heads": [list(pair) for pair in choice.heads],
        "alignment_shifted": choice.shifted,
    }
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    sums = read_checksums(directory) | {CONFIG_FILE: hashlib.sha256(text.encode()).hexdigest()}
    path.write_text(text, encoding="utf-8")
    lines = [f"{digest}  {name}\n" for name, digest in sums.items()]
    (directory / CHECKSUM_FILE).write_text("".join(lines), encoding="utf-8")


def main() -> None:
    """Prints one line of JSON for each of the two models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a model directory or name")
    parser.add_argument("reverse", help="a model of the opposite direction")
    parser.add_argument("pairs", type=Path, help="sentence pairs, source and target with a tab")
    parser.add_argument("--lines", type=int, default=500, help="of the pairs that are looked at")
    parser.add_argument("--gold", type=Path, help="pairs aligned by hand, source to target")
    parser.add_argument("--write", action="store_true", help="record the heads in both models")
    options = parser.parse_args()
    directories = [Path(model_directory(name)) for name in (options.model, options.reverse)]
    models = [load_checkpoint(directory) for directory in directories]
    read = [
        (read_pair(models[0], source, target), read_pair(models[1], target, source))
        for source, target in islice(read_pairs(options.pairs), options.lines)
    ]
    both = [(ours, theirs) for ours, theirs in read if ours is not None and theirs is not None]
    if not both:
        parser.error(
            f"one of the first {options.lines} pairs of {options.pairs} must have at most "
            f"{_MOST_TOKENS} tokens in both models, but none has"
        )
    *choices, f1 = choose([ours for ours, _ in both], [theirs for _, theirs in both])
    for number, (directory, loaded, choice) in enumerate(
        zip(directories, models, choices, strict=True)
    ):
        facts: dict[str, object] = {
            "model": directory.name,
            "pairs": len(both),
            "alignment_heads": choice.heads,
            "alignment_shifted": choice.shifted,
            "agreement_f1": round(f1, 4),
        }
        if options.gold is not None:
            gold = read_gold(options.gold, reverse=bool(number))
            facts["alignment_error_rate"] = round(_error_rate(loaded, gold, choice), 4)
            default = Choice(_default_heads(loaded), shifted=False)
            facts["error_rate_of_default_heads"] = round(_error_rate(loaded, gold, default), 4)
        print(json.dumps(facts))
        if options.write:
            record(directory, choice)


def _error_rate(loaded: Checkpoint, gold: Sequence[GoldPair], choice: Choice) -> float:
    read = [read_pair(loaded, pair.source, pair.target) for pair in gold]
    found = [set() if each is None else each.links(choice) for each in read]
    return alignment_error_rate(found, gold)


def _default_heads(loaded: Checkpoint) -> tuple[tuple[int, int], ...]:
    """What is aligned by where nothing is recorded."""
    config = replace(loaded.config, alignment_heads=())
    layers = range(config.num_decoder_layers)
    return tuple((layer, head) for layer in layers for head in config.alignment_heads_of(layer))


if __name__ == "__main__":
    main()
