"""Pairs of languages, and the sets of languages that a model translates from and into."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from model.text.language_tags import bcp47

__all__ = ["Languages", "Pair", "listed"]

_MOST_NAMED = 20
"""Languages that a message lists."""
_MOST_CHARACTERS = 35
"""The longest tags that RFC 5646 asks everybody to bear (section 4.4.1)."""
_MOST_PAIRS = 4
"""Pairs that a line about a model lists."""


class Pair(NamedTuple):
    """A direction of translation: two language codes, as the model writes them."""

    source: str
    target: str


@dataclass(frozen=True, kw_only=True)
class Languages:
    """What a model translates: each source into each target that is another language."""

    sources: tuple[str, ...]
    """Codes, each once in any letter case, as are the targets."""
    targets: tuple[str, ...]

    @cached_property
    def _sources(self) -> dict[str, str]:
        return {code.casefold(): code for code in self.sources}

    @cached_property
    def _targets(self) -> dict[str, str]:
        return {code.casefold(): code for code in self.targets}

    @cached_property
    def _source_tags(self) -> dict[str, str]:
        return _by_tag(self.sources)

    @cached_property
    def _target_tags(self) -> dict[str, str]:
        return _by_tag(self.targets)

    @property
    def num_pairs(self) -> int:
        """How many pairs there are."""
        return len(self.sources) * len(self.targets) - len(set(self.sources) & set(self.targets))

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """All of them; a broad model has tens of thousands."""
        return tuple(
            Pair(source, target)
            for source in self.sources
            for target in self.targets
            if source != target
        )

    def find(self, source: str, target: str) -> Pair | None:
        """The pair of two codes in any letter case; None if there is none."""
        known_source, known_target = self.source(source), self.target(target)
        if known_source is None or known_target is None or known_source == known_target:
            return None
        return Pair(known_source, known_target)

    def source(self, code: str) -> str | None:
        """The source of a code in any letter case or, if there is none, of another name that it has
        by BCP 47, as "de" is one of "deu_Latn"; None if that is none either, or could be several.
        """
        return self._sources.get(code.casefold()) or _tagged(code, self._source_tags)

    def target(self, code: str) -> str | None:
        """The target of a code, as `source`."""
        return self._targets.get(code.casefold()) or _tagged(code, self._target_tags)

    def __str__(self) -> str:
        """For a person, in a few words: the pairs, or how many languages there are."""
        if self.num_pairs <= _MOST_PAIRS:
            return ", ".join(f"{source} to {target}" for source, target in self.pairs)
        if set(self.sources) == set(self.targets):
            return f"{len(self.sources)} languages"
        return f"{_counted(self.sources)} to {_counted(self.targets)}"


def listed(codes: Iterable[str]) -> str:
    """Codes in alphabetical order, and how many more there are beyond some."""
    ordered = sorted(codes)
    more = len(ordered) - _MOST_NAMED
    names = ", ".join(ordered[:_MOST_NAMED])
    return f"{names} and {more} more" if more > 0 else names


def _by_tag(codes: tuple[str, ...]) -> dict[str, str]:
    """Codes by their tags of BCP 47, where these are of one code alone."""
    counted = Counter(map(bcp47, codes))
    return {tag: code for code in codes if counted[tag := bcp47(code)] == 1}


def _tagged(code: str, tags: dict[str, str]) -> str | None:
    return tags.get(bcp47(code)) if len(code) <= _MOST_CHARACTERS else None


def _counted(codes: tuple[str, ...]) -> str:
    return codes[0] if len(codes) == 1 else f"{len(codes)} languages"
