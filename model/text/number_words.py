"""Small numbers in words, whose value a translation must have, in whatever form it says it.

Models leave them out ("um zehn"), say another one (siebenundzwanzig for seventy), or none that
there is (siebenzehn). Where the translation has the value, as a word, in digits or as the beginning
of a longer word, nothing is done. Where it has not, the word is a term (model/text/terms.py) with
the target language's word for the value. Known are words of English and German from three to
twenty, and for thirty, forty, ... ninety: for two, languages have many (both, a pair, twice). Of
times of day, which other languages say otherwise, hours above twelve and minutes are left out.
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
_HYPHENS = "\xad\u2010-\u2013\u2212-"
"""Beside a number, they make it a part of another."""
_MORE = MappingProxyType({
    "en": "hundred|thousand|dozen|half|point|quarters?|thirds?"
    "|(?:four|fif|six|seven|eigh|nin|ten)ths?|(?:twent|thirt|fort|fift|sixt|sevent|eight|ninet)ies",
    "de": "hundert|tausend|halb|viertel|f\xfcnftel|komma",
})  # fmt: skip
"""Further words beside which a number is, or may be, a part of more: of another number, a fraction,
or a time of day that other languages say otherwise."""
_BETWEEN = MappingProxyType({"en": "past|to", "de": "vor|nach"})
"""What stands between the minutes of a time of day and its hour."""
_PARTS = MappingProxyType({"en": "quarter|minutes?", "de": "viertel|minuten?"})
"""What stands before that, beside numbers."""
_UNITS = MappingProxyType({
    "en": "dollars?|euros?|pounds?|hours?|minutes?|metres?|meters?|feet|foot",
    "de": "uhr|euro|franken|mark|pfund|dollar|stunden?|minuten?|meter|grad",
})  # fmt: skip
"""What stands between the numbers of a time, a price or a length: eight dollars fifty."""
_HOUR = MappingProxyType({"de": "uhr"})
"""What makes an hour of a number before it."""
_ALSO_I_OR_S = frozenset("\u0130\u0131\u017f")
"""What is found for i and s as well, though its small letter is another one."""
_GIVE = r"g(?:[ia]bs?t?|ab(?:en|t)|eb(?:e|en|t)|egeben)"
_HEED = rf"(?:in|au\xdfer|gib|gebt|geben|habt){_SPACE}(acht)"
_NO_NOUN = rf"(?!{_SPACE}(?-i:[A-Z\xc4\xd6\xdc][a-z\xe4\xf6\xfc\xdf]))"
_IDIOMS = MappingProxyType({
    "de": re.compile(
        # Heed, which is given, had or left: no amount of what a noun says.
        rf"\b{_HEED}{_NO_NOUN}"
        rf"|\b{_GIVE}\b(?:{_SPACE}\w+){{0,3}}?{_SPACE}(acht)"
        rf"(?=\s*(?:[^\w\s]|\Z)|{_SPACE}(?:auf|da\xdf|dass|was|wie|ob|und|oder)\b)"
        rf"|\b(acht)(?={_SPACE}(?:zu{_SPACE})?{_GIVE}\b)"
        # What is too much; happiness, in private.
        rf"|\bschl(?:\xe4|ae)gt(?:['\u2019]?s|{_SPACE}es)(?:{_SPACE}\w+)?{_SPACE}(dreizehn)"
        rf"|\bwolke{_SPACE}(sieben)\b|\bunter{_SPACE}(vier){_SPACE}augen\b",
        re.I,
    ),
    "en": re.compile(
        rf"\bcloud{_SPACE}(nine)\b|\b(forty){_SPACE}winks\b|\b(?:high|take){_SPACE}(five)\b"
        rf"|\b(six){_SPACE}feet{_SPACE}under\b|\b(four){_SPACE}score\b",
        re.I,
    ),
})  # fmt: skip
"""Words that are no numbers there, as groups."""
_ENDS = r"(?!\w)"
_GOES_ON = MappingProxyType(
    {"de": r"(?!zehn|zig|\xdfig|ssig|und|hundert|tausend|ung|et(?!\w)|sam)"}
)
"""How a word that says a number may go on, in languages in which it may."""
_ALSO = MappingProxyType({
    "en": {
        3: "trio|tripl", 4: "quart(?!er|z)", 6: "half a year", 10: "decade",
        12: "dozen|noon|mid(?:day|night)", 14: "fortnight|two weeks|other week", 15: "quarter",
        18: "and a half", 30: "half", 50: "half", 90: "and a half",
    },
    "de": {
        3: "dritt", 6: "halb", 7: "siebt", 10: "jahrzehnt",
        12: "dutzend|mittag|mitternacht", 14: "zwei wochen", 15: "viertel",
        18: "anderthalb|eineinhalb", 30: "halb", 50: "h\xe4lfte|halb", 90: "anderthalb|eineinhalb",
    },
    "fr": {15: "quart|quinzaine", 20: "vingtaine", 30: "demi|trentaine", 80: "quatre-vingt"},
    "pt": {15: "quarto", 30: "meia"},
    "es": {15: "cuarto", 30: "media"},
    "it": {15: "quarto", 30: "mezz"},
    "nl": {15: "kwart", 30: "half"},
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
        self._terms: Mapping[str, tuple[int, GlossaryEntry, re.Pattern[str]]] = {}
        self._parts: Sequence[str] = ()
        own = _words(source) if source in _MORE else {}
        others = _words(target)
        if not own or not others:
            return
        self._terms = {
            word: (value, GlossaryEntry(word, others[value]), _said(value, target))
            for value, words in own.items()
            if value >= _LEAST
            for word in _spellings(words)
        }
        self._parts = _shortest(self._terms)
        known = "|".join(self._terms)
        spelled = [word for value, words in own.items() if value for word in _spellings(words)]
        numbers = "|".join([*spelled, _MORE[source]])
        between = rf"(?:{_BETWEEN[source]})"
        self._word = re.compile(rf"(?<![\w'\u2019{_HYPHENS}])(?:{known})(?![\w{_HYPHENS}])", re.I)
        units = f"(?:{_UNITS[source]})"
        self._before = re.compile(
            rf"(?<!\w)(?:(?:{numbers})|(?:{numbers}|{_PARTS[source]}){_SPACE}{between}"
            rf"|(?:{numbers}|\d+){_SPACE}{units}){_SPACE}\Z",
            re.I,
        )
        self._behind = re.compile(
            rf"{_SPACE}(?:(?:{numbers})|(?:(?:{_PARTS[source]}){_SPACE})?{between}{_SPACE}"
            rf"(?:{numbers})|{units}{_SPACE}(?:{numbers}|\d+))(?!\w)",
            re.I,
        )
        tens = "|".join(word for value in range(20, 100, 10) for word in _spellings(own[value]))
        ones = "|".join(word for value in range(1, 10) for word in _spellings(own[value]))
        self._one_before = re.compile(rf"(?<!\w)(?:{ones}){_SPACE}(?:and|und){_SPACE}\Z", re.I)
        self._ten_behind = re.compile(rf"{_SPACE}(?:and|und){_SPACE}(?:{tens})(?!\w)", re.I)
        self._hour_behind = re.compile(
            rf"(?:{_SPACE}(?:und|bis|oder){_SPACE}(?:{numbers}|\d+))?{_SPACE}"
            rf"(?:{_HOUR.get(source, '(?!)')})(?!\w)",
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
            # Other letters are found for i and s as well: DREI with a dot, the long s.
            if (term := self._terms.get(match[0].casefold())) is None:
                continue
            value, entry, said = term
            if (
                (match[0].islower() or sentence.isupper() or not any(map(str.isalnum, before)))
                and not self._is_part(value, before, sentence, end)
                and not overlapping(taken, begin, end)
                and not self._is_idiom(sentence, begin)
            ):
                yield TermMatch(begin, end, entry, LetterCase(), said)

    def _is_part(self, value: int, before: str, sentence: str, end: int) -> bool:
        """Whether a number that ends there is, or may be, a part of more, or a late hour."""
        if self._before.search(before) or self._behind.match(sentence, end):
            return True
        if value > _HALF_DAY and self._hour_behind.match(sentence, end):
            return True
        if value < 10:
            return self._ten_behind.match(sentence, end) is not None
        return value >= 20 and self._one_before.search(before) is not None

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
    words = "|".join(map(re.escape, _words(target)[value]))
    if target == "en":
        words = _said_in_english(value, words)
    else:
        words = f"(?:{words}){_GOES_ON.get(target, _ENDS)}"
    places = "|".join(map(re.escape, ordinals(str(value), target)))
    forms = [
        words,
        # Also 3.50, 20s and 20er, but neither 3.5 nor 3,000.
        rf"(?<!\d[.,])(?:{places})(?:s|ers?|j\xe4hrig\w*)?(?!\w|[.,]\d(?!\d)|[.,]\d{{3}})",
    ]
    if also := _ALSO.get(target, {}).get(value):
        forms.append(also)
    if value <= _HALF_DAY:
        late = value + _HALF_DAY
        forms.append(rf"{late}(?=[:.h]\d|[ \xa0]?(?:Uhr|h|o'clock|hours?|uur)(?!\w))")
        forms += [rf"{word}(?=[ \xa0]Uhr)" for word in _words(target).get(late, ())]
    return re.compile(rf"(?<!\w)(?:{'|'.join(forms)})", re.I)


def _said_in_english(value: int, words: str) -> str:
    """One to nineteen alone, and behind no ten; tens with no one behind. Also fortieth, forties."""
    if value < 20:
        ends = "(?:s|th)?" if value > 12 else "(?:fold|some)?"
        return (
            rf"(?<!ty[ -])(?<!hundred and )(?:{words}){ends}(?!\w|[ -](?:hundred|thousand)(?!\w))"
        )
    ones = "|".join(word for [word] in number_words("en")[1:10])
    return rf"{words[:-1]}(?:y|ie(?:s|th))(?!\w|[ -](?:{ones})(?!\w))"
