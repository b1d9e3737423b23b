"""The texts a load test sends, and how long the next one is."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from model.errors import PolyheadError

__all__ = ["DEFAULT_PARAGRAPHS", "DEFAULT_SENTENCES", "Corpus", "LoadTestError", "heavy_tailed"]


class LoadTestError(PolyheadError):
    """An option, a file or a service is no good, or a threshold was missed; the message says so."""


_TEXTS = Path(__file__).parent / "texts"
DEFAULT_SENTENCES = _TEXTS / "en.txt"
DEFAULT_PARAGRAPHS = _TEXTS / "en_paragraphs.txt"


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Sentences and paragraphs to draw from. None of them is empty."""

    sentences: tuple[str, ...]
    """One from each line of a file."""
    paragraphs: tuple[str, ...]
    """Several sentences each; blank lines stand between them in a file."""

    @classmethod
    def read(
        cls, sentences: Path = DEFAULT_SENTENCES, paragraphs: Path = DEFAULT_PARAGRAPHS
    ) -> Self:
        """Reads two UTF-8 files.

        Raises:
            LoadTestError: a file cannot be read, or holds no text.
        """
        return cls(
            sentences=_texts(sentences, separator="\n"),
            paragraphs=_texts(paragraphs, separator="\n\n"),
        )

    def sentence(self, rng: random.Random) -> str:
        """One sentence, each as likely as the next."""
        return rng.choice(self.sentences)

    def document(self, rng: random.Random, *, most: int) -> str:
        """A text of 1 to `most` paragraphs with blank lines between them; long ones are rare."""
        count = heavy_tailed(rng, least=1, most=most)
        return "\n\n".join(_draw(rng, self.paragraphs, count))

    def batch(self, rng: random.Random, *, most: int) -> list[str]:
        """2 to `most` sentences, as a program that translates a list sends them; few are long."""
        return _draw(rng, self.sentences, heavy_tailed(rng, least=2, most=most))


def heavy_tailed(rng: random.Random, *, least: int, most: int, alpha: float = 1.3) -> int:
    """A whole number from a Pareto distribution cut off at both ends.

    Lengths of what people have translated look like this: most are short, and the few long ones
    hold a large part of all the words. A mean over equal lengths would hide what they do to others.

    Args:
        least: the smallest number, and by far the most frequent one.
        most: the largest number.
        alpha: how quickly large numbers become rare: P(X >= x) falls about as x ** -alpha.
    """
    # The inverse of the cut-off distribution's function on [least, most + 1), rounded down.
    cut_off = 1.0 - (least / (most + 1)) ** alpha
    drawn: float = least / (1.0 - rng.random() * cut_off) ** (1.0 / alpha)
    return min(most, math.floor(drawn))


def _draw(rng: random.Random, texts: Sequence[str], count: int) -> list[str]:
    # With replacement only where it must be: a file of any size serves.
    return rng.sample(texts, count) if count <= len(texts) else rng.choices(texts, k=count)


def _texts(path: Path, *, separator: str) -> tuple[str, ...]:
    try:
        content = path.read_text(encoding="utf-8")
    except OSError as error:
        raise LoadTestError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise LoadTestError(f"{path} must be UTF-8 text, but byte {error.start} is not") from error
    texts = tuple(text for piece in content.split(separator) if (text := piece.strip()))
    if not texts:
        raise LoadTestError(f"{path} must hold at least one text, but is empty")
    return texts
