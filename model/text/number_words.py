"""Small numbers in words, whose value a translation must have, in whatever form it says it.

Models leave them out ("um zehn"), say another one (siebenundzwanzig for seventy), or none that
there is (siebenzehn). Where the translation has the value, as a word, in digits or as the beginning
of a longer word, nothing is done. Where it has not, the word is a term (model/text/terms.py) with
the target language's word for the value. Known are words of English and German from three to
twenty, and for thirty, forty, ... ninety: for two, languages have many (both, a pair, twice).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType

from model.text.glossary import LetterCase, TermMatch
from model.text.language_tags import base_language
from model.text.numbers import number_words, ordinals, words_above_twelve
from model.text.words import Span, overlapping
from model.text_options import GlossaryEntry

__all__ = ["NumberWords"]

_LEAST = 3
_HALF_DAY = 12
"""Hours between a time of day by a clock of 12 hours and one of 24."""
_MOST_BESIDE = 32
"""Characters beside a word that say what it is a part of."""
_SPACE = r"[^\S\n]+"
_MORE = MappingProxyType({
    "en": "hundred|thousand|dozen|half|point|quarters?|thirds?"
    "|(?:four|fif|six|seven|eigh|nin|ten)ths?",
    "de": "hundert|tausend|halb|viertel|f\xfcnftel|komma",
})  # fmt: skip
"""Further words beside which a number is, or may be, a part of more: of another number, a fraction,
or a time of day that other languages say otherwise."""
_BETWEEN = MappingProxyType({"en": "past|to", "de": "vor|nach"})
"""What stands between the minutes of a time of day and its hour."""
_PARTS = MappingProxyType({"en": "quarter|minutes?", "de": "viertel|minuten?"})
"""What stands before that, beside numbers."""
_ALSO_I_OR_S = frozenset("\u0130\u0131\u017f")
"""What is found for i and s as well, though its small letter is another one."""
_GIVE = r"g(?:[ia]bs?t?|ab(?:en|t)|eb(?:e|en|t)|egeben)"
_IDIOMS = MappingProxyType({
    "de": re.compile(
        # Heed, which is given, had or left: no amount of what a noun says, or an adjective.
        rf"\b(?:in|au\xdfer|gib|gebt|geben|habt){_SPACE}(acht)(?!{_SPACE}(?-i:[A-Z\xc4\xd6\xdc][a-z\xe4\xf6\xfc\xdf]))"
        rf"|\b{_GIVE}\b(?:{_SPACE}\w+){{0,3}}?{_SPACE}(acht)"
        rf"(?=\s*(?:[^\w\s]|\Z)|{_SPACE}(?:auf|da\xdf|dass|was|wie|ob|und|oder)\b)"
        rf"|\b(acht)(?={_SPACE}(?:zu{_SPACE})?{_GIVE}\b)"
        # What is too much.
        rf"|\bschl(?:\xe4|ae)gt(?:['\u2019]?s|{_SPACE}es)(?:{_SPACE}\w+)?{_SPACE}(dreizehn)",
        re.I,
    ),
    "en": re.compile(rf"\bcloud{_SPACE}(nine)\b|\b(forty){_SPACE}winks\b", re.I),
})  # fmt: skip
"""Words that are no numbers there, as groups."""
_GOES_ON = MappingProxyType({
    "en": r"(?:fold|some)?(?!\w)",
    "de": "(?!zehn|zig|\xdfig|und|hundert|tausend)",
})  # fmt: skip
"""How a word that says a number may go on, in languages in which it may."""
_ALSO = MappingProxyType({
    "en": {3: "tri[op]", 4: "quart(?!er)", 12: "dozen", 15: "quarter", 30: "half"},
    "de": {3: "dritt", 7: "siebt", 12: "dutzend", 15: "viertel", 30: "halb"},
})  # fmt: skip
"""What else says a number, or begins a word that does."""


class NumberWords:
    """Finds the small numbers in words of sentences. Safe to use from several threads.

    Args:
        source: code of the language of the sentences; none are found in those that are not known.
        target: code of the language that they are translated into.
    """

    def __init__(self, source: str, target: str) -> None:
        source, target = base_language(source), base_language(target)
        self._terms: Mapping[str, tuple[GlossaryEntry, re.Pattern[str]]] = {}
        self._parts: Sequence[str] = ()
        own = _words(source) if source in _MORE else {}
        others = _words(target)
        if not own or not others:
            return
        self._terms = {
            word: (GlossaryEntry(word, others[value]), _said(value, target))
            for value, words in own.items()
            if value >= _LEAST
            for word in _spellings(words)
        }
        self._parts = _shortest(self._terms)
        known = "|".join(self._terms)
        spelled = [word for value, words in own.items() if value for word in _spellings(words)]
        numbers = "|".join([*spelled, _MORE[source]])
        between = rf"(?:{_BETWEEN[source]})"
        self._word = re.compile(rf"(?<![\w'\u2019-])(?:{known})(?![\w-])", re.I)
        self._before = re.compile(
            rf"(?<!\w)(?:(?:{numbers})|(?:{numbers}|{_PARTS[source]}){_SPACE}{between}){_SPACE}\Z",
            re.I,
        )
        self._behind = re.compile(
            rf"{_SPACE}(?:(?:{numbers})|(?:(?:{_PARTS[source]}){_SPACE})?{between}{_SPACE}"
            rf"(?:{numbers}))(?!\w)",
            re.I,
        )
        self._idioms = _IDIOMS.get(source)

    def find(self, sentence: str, taken: Sequence[Span] = ()) -> tuple[TermMatch, ...]:
        """Those of `sentence` that are surely a number, in order, as terms.

        What begins with a capital, where neither a sentence begins nor all are capitals, may be a
        name.

        Args:
            sentence: or a longer text.
            taken: parts of it where none is looked for; in order, apart from each other.
        """
        if not self._may_have(sentence):
            return ()
        return tuple(self._found(sentence, taken))

    def _may_have(self, sentence: str) -> bool:
        """Whether a sentence has the letters of any; most have not."""
        small = sentence.lower()
        return any(map(small.__contains__, self._parts)) or (
            not sentence.isascii() and not _ALSO_I_OR_S.isdisjoint(sentence)
        )

    def _found(self, sentence: str, taken: Sequence[Span]) -> Iterator[TermMatch]:
        for match in self._word.finditer(sentence):
            begin, end = match.span()
            before = sentence[max(0, begin - _MOST_BESIDE) : begin]
            if (
                (match[0].islower() or sentence.isupper() or not any(map(str.isalnum, before)))
                and not self._before.search(before)
                and not self._behind.match(sentence, end)
                and not overlapping(taken, begin, end)
                and not self._is_idiom(sentence, begin)
            ):
                # Other letters are found for i and s as well: DREI with a dot, the long s.
                if (term := self._terms.get(match[0].casefold())) is None:
                    continue
                entry, said = term
                yield TermMatch(begin, end, entry, LetterCase(), said)

    def _is_idiom(self, sentence: str, begin: int) -> bool:
        """Whether the word that begins there is no number."""
        if self._idioms is None:
            return False
        first = max(0, begin - _MOST_BESIDE)
        found = self._idioms.finditer(sentence, first, begin + 2 * _MOST_BESIDE)
        return any(each.start(each.lastindex or 0) == begin for each in found)


def _words(language: str) -> Mapping[int, tuple[str, ...]]:
    """How a language says each small number."""
    return {**dict(enumerate(number_words(language))), **words_above_twelve(language)}


def _spellings(words: Sequence[str]) -> Sequence[str]:
    """Words, and how they are typed without umlauts."""
    typed = (word.replace("\xf6", "oe").replace("\xfc", "ue") for word in words)
    return tuple(dict.fromkeys([*words, *typed]))


def _shortest(words: Collection[str]) -> Sequence[str]:
    """Those of some words that have no other of them within; each word has one of these."""
    shortest: list[str] = []
    for word in sorted(words, key=len):
        if not any(each in word for each in shortest):
            shortest.append(word)
    return shortest


def _said(value: int, target: str) -> re.Pattern[str]:
    """What says a value in a translation."""
    goes_on = _GOES_ON.get(target, r"(?!\w)")
    words = "|".join(map(re.escape, _words(target)[value]))
    if target == "en" and value > 12:  # fortieth, forties, sixteenth
        stem = words.removesuffix("y")
        words = f"{words}(?:s|th)?" if stem == words else f"{stem}(?:y|ie(?:s|th))"
    places = "|".join(map(re.escape, ordinals(str(value), target)))
    also = _ALSO.get(target, {}).get(value)
    hour = rf"|(?<!\d){value + _HALF_DAY}(?!\d)" if value <= _HALF_DAY else ""
    return re.compile(
        rf"(?<!\w)(?:(?:{words}){goes_on}|(?:{places})(?!\w|[.,]\d){f'|{also}' if also else ''})"
        rf"{hour}",
        re.I,
    )
