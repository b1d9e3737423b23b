"""Abbreviations by language: which end no sentence, and which are read as what they stand for.

Tables to be read and added to. sentencex has lists of its own; here is what they lack, and what
they have by mistake.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from string import ascii_uppercase
from typing import NamedTuple

__all__ = [
    "Corrections",
    "contractions",
    "corrections_of",
    "expansions",
    "is_numbered",
    "may_expand",
    "may_have_wars",
    "may_lack_apostrophes",
    "wars",
]


@dataclass(frozen=True, kw_only=True)
class Corrections:
    """What is different in one language from what sentencex believes."""

    never_last: frozenset[str] = frozenset()
    """Abbreviations that do not end a sentence, whatever follows."""
    suffixes: tuple[str, ...] = ()
    """Ends of compounds that are such abbreviations: `Schulstr.`"""
    before_number: frozenset[str] = frozenset()
    """Abbreviations that do not end a sentence when a number follows: `vol. 2`."""
    before_small: frozenset[str] = frozenset()
    """Abbreviations that do not end a sentence when a small letter follows: `5 ft. tall`."""
    words: frozenset[str] = frozenset()
    """Plain words that do end a sentence when a capital follows; sentencex thinks otherwise."""
    months: frozenset[str] = frozenset()
    """Abbreviations that end a sentence behind a day when a capital follows: `am 3. Nov. Dann`."""
    units: frozenset[str] = frozenset()
    """Abbreviations that end a sentence when one of `beginnings` follows: `2 Mio. Die Stadt`."""
    beginnings: frozenset[str] = frozenset()
    """Words that, with a capital, begin a sentence."""
    ordinals: bool = False
    """A number with a full stop is an ordinal: `im 19. Jahrhundert`."""

    def continue_after(self, word: str, following: str) -> bool:
        """Whether a sentence goes on with the character `following` after `word` and a stop."""
        return (
            word in self.never_last
            or word.endswith(self.suffixes)
            or (word in self.before_number and following.isdigit())
            or (word in self.before_small and following.islower())
        )


def _words(*texts: str) -> frozenset[str]:
    return frozenset(" ".join(texts).split())


_MONTHS_EN = {
    "Jan.": "January", "Feb.": "February", "Mar.": "March", "Apr.": "April", "Jun.": "June",
    "Jul.": "July", "Aug.": "August", "Sep.": "September", "Sept.": "September",
    "Oct.": "October", "Nov.": "November", "Dec.": "December",
}  # fmt: skip
_MONTHS_DE = {
    "Jan.": "Januar", "Feb.": "Februar", "M\xe4r.": "M\xe4rz", "Apr.": "April", "Jun.": "Juni",
    "Jul.": "Juli", "Aug.": "August", "Sep.": "September", "Sept.": "September",
    "Okt.": "Oktober", "Nov.": "November", "Dez.": "Dezember",
}  # fmt: skip
_DAYS_EN = {
    "Mon.": "Monday", "Tue.": "Tuesday", "Tues.": "Tuesday", "Wed.": "Wednesday",
    "Thu.": "Thursday", "Thur.": "Thursday", "Thurs.": "Thursday", "Fri.": "Friday",
    "Sat.": "Saturday", "Sun.": "Sunday",
}  # fmt: skip
_DAYS_DE = {
    "Mo.": "Montag", "Di.": "Dienstag", "Mi.": "Mittwoch", "Do.": "Donnerstag", "Fr.": "Freitag",
    "Sa.": "Samstag", "So.": "Sonntag",
}  # fmt: skip
_TITLES_AND_MONTHS_PT = (
    "Sr Sra Srta Srs Sras Dr Dra Drs Dras Prof Profa Eng Arq Exmo Exma Ilmo Ilma Exa Excia "
    "Sto Sta Pe Fr Gen Cel Cap Ten Sgt Maj Alm Dep Sen Gov Pres Min Des Adv "
    "jan fev mar abr mai jun jul ago set out nov dez"
)
_INITIALS = " ".join(ascii_uppercase)
"""In names. `Plan B.` is rarer."""

_CORRECTIONS = {
    "en": Corrections(
        never_last=_words(
            "Ms Mx Messrs Ft Atty Assoc approx incl excl resp Bros Dept Apt ext "
            "Mon Tue Tues Wed Thu Thur Thurs Fri"
        ),
        before_number=_words(
            "app avg ch chap circa ed eq eqs est ex figs max par para sect tab tel temp vol vols "
            "App Ch Chap Eq Eqs Ex Figs Max Par Para Sect Tab Tel Vol Vols Approx"
        ),
        before_small=_words(
            "lbs lb oz tbsp tsp ft mi yd yds yr yrs sq cu hr hrs min mins sec secs"
        ),
        words=_words("me no ill art miss fed"),
    ),
    "de": Corrections(
        never_last=_words(
            # People, firms and places.
            "Hr Hrn Fr Frl Fa Fam Dir Ing Mag Dipl Hl Prok Gebr Abt Inh Verf Hrsg Adr Bhf Hbf Tel "
            "Hd Gez gez Str Pl Nr",
            # Books and laws.
            "Abb Abs Abschn Anh Anl Anm Aufl Ausg Bd Bde Bsp Kap Lit Pos Rn Rz Tab Ziff lit verb",
            # Amounts.
            "Expl Min Mio Mrd Pck Pr Sek Std Stk Tsd max min mind durchschn",
            # In front of what they say something of.
            "Exkl Inkl Zzgl allg ausschl bes betr bez bzgl dt ehem einschl engl entspr evtl exkl "
            "franz frz geb gegr gen gest ggf griech inkl insb jur lat med östl nördl phil rer röm "
            "sog span südl techn urspr vgl westl zzgl",
            "Jan Feb Mär Apr Jun Jul Aug Sep Sept Okt Nov Dez",
        ),
        suffixes=("str", "pl"),
        words=_words("mich mag Art Bart"),
        months=frozenset(short.removesuffix(".") for short in _MONTHS_DE),
        units=_words("Mio Mrd Tsd Min Std Sek Stk"),
        beginnings=_words(
            "Aber Alle Als Am Auch Auf Bei Da Danach Dann Das Davon Dazu Der Deshalb Die Dies "
            "Diese Doch Du Ein Eine Er Es Hast Hat Heute Ich Ihr Im In Ist Jetzt Man Mit Nach "
            "Nicht Niemand Nun Nur Sie So Und Vor Wann Warum Was Wenn Wer Wie Wir Wo Zu"
        ),
        ordinals=True,
    ),
    "pt": Corrections(
        never_last=_words(
            _TITLES_AND_MONTHS_PT,
            "Cia Ltda Av Al Rod Pça Trav Jd Vl apto ap bl próx aprox ex obs Obs tel Tel ref Ref "
            "Const Dept depto Univ Inst Fac p séc sécs inc incs cap ed",
            _INITIALS,
        ),
        before_number=_words(
            "n nº no núm num p pp pág págs pag fl fls f art arts Art Arts inc incs cap Cap vol Vol "
            "ed Ed séc Séc sec tab fig Fig al par v vv"
        ),
    ),
    "fr": Corrections(
        never_last=_words(
            "Mme Mmes Mlle Mlles MM Mgr Dr Me Pr St Ste av bd boul pl env cf ex réf tél Tél",
            _INITIALS,
        ),
        before_number=_words("n no nos p pp art chap vol fig tab t éd"),
    ),
    "es": Corrections(
        never_last=_words("Sr Sra Srta Sres Dr Dra D Dña Ud Uds Avda Av Cía Ltda Sto Sta aprox"),
        before_number=_words("n núm pág págs p pp art cap vol fig tel"),
    ),
    "it": Corrections(
        never_last=_words(
            "Sig Sigg Sigra Dott Dottssa Prof Avv Ing Arch Geom Rag On Spett Egr Gent ca es cfr",
            _INITIALS,
        ),
        before_number=_words("n p pp pag pagg art artt cap vol fig tel"),
    ),
    "nl": Corrections(
        never_last=_words("dhr mevr mw drs ir ing mr prof dr bijv bv nl ca resp incl excl jl"),
        before_number=_words("nr blz p pp art hfst fig tel"),
    ),
}
_NO_CORRECTIONS = Corrections()


def corrections_of(language: str) -> Corrections:
    """Those of a language, whose code has no region."""
    return _CORRECTIONS.get(language, _NO_CORRECTIONS)


def _with_numbers(table: dict[str, str]) -> dict[str, str]:
    """Abbreviations that are certain beside a number alone."""
    return {f"{short} 0": word for short, word in table.items()} | {
        f"0 {short}": word for short, word in table.items()
    }


def _with_dates(table: dict[str, str]) -> dict[str, str]:
    """Abbreviations that are certain before a date alone."""
    return {f"{short} ,": word for short, word in table.items()}


_WRITTEN_OUT = {
    # What stands before a number, a name, a code or a date alone has that behind it: `0`, `A`, `C`
    # and `,`. What stands behind a number, behind 1 or behind a numbered noun alone has that before
    # it: `0`, `1` and `N`. Of two readings the first one counts.
    "de": {
        "Hrn.": "Herrn", "Hr.": "Herr", "Fr. A": "Frau", "Frl.": "Fräulein", "Fa.": "Firma",
        "u. A": "und", "u. a.": "unter anderem", "u. U.": "unter Umständen", "v. a.": "vor allem",
        "z. B.": "zum Beispiel", "z. T.": "zum Teil", "z. Hd.": "zu Händen", "z. Zt.": "zurzeit",
        "d. h.": "das heißt", "i. d. R.": "in der Regel", "s. o.": "siehe oben",
        "s. u.": "siehe unten", "usw.": "und so weiter", "bzw.": "beziehungsweise",
        "vgl.": "vergleiche", "ca.": "circa", "evtl.": "eventuell", "ggf.": "gegebenenfalls",
        "inkl.": "inklusive", "exkl.": "exklusive", "zzgl.": "zuzüglich", "mind.": "mindestens",
        "Jh.": "Jahrhundert", "Tel.": "Telefon", "Nr. 0": "Nummer", "S. 0": "Seite",
        "Abs. 0": "Absatz", "Art. 0": "Artikel", "Kap. 0": "Kapitel", "Abb. 0": "Abbildung",
        "Bd. 0": "Band", "Tsd.": "Tausend", "v. Chr.": "BC",
        "n. Chr.": "AD", "1 Min.": "Minute", "1 Std.": "Stunde", "1 Sek.": "Sekunde",
        "0 Min.": "Minuten", "0 Std.": "Stunden", "0 Sek.": "Sekunden", "0 Stk.": "St\xfcck",
        **{
            f"{short} {sign}".rstrip(): f"{word} {currency}".rstrip()
            for short, word in (
                ("1 Mio.", "Million"), ("1 Mrd.", "Milliarde"),
                ("Mio.", "Millionen"), ("Mrd.", "Milliarden"),
            )
            for sign, currency in (
                ("", ""), ("\u20ac", "Euro"), ("EUR", "Euro"), ("$", "Dollar"), ("USD", "Dollar"),
            )
        },
        **_with_numbers(_MONTHS_DE), **_with_dates(_DAYS_DE),
    },
    "en": {
        "e. g.": "for example", "i. e.": "that is", "approx.": "approximately",
        "incl.": "including", "vs.": "versus", "Dept.": "Department", "No. 0": "number",
        "N no. C": "number", "ext. 0": "extension", "0 lbs.": "pounds",
        "Nos. 0": "numbers", "nos. 0": "numbers", "1 min.": "minute", "1 hr.": "hour",
        "1 sec.": "second", "1 yr.": "year", "1 ft.": "foot", "1 mi.": "mile", "1 lb.": "pound",
        "1 oz.": "ounce", "1 tbsp.": "tablespoon", "1 tsp.": "teaspoon", "0 min.": "minutes",
        "0 mins.": "minutes", "0 hr.": "hours", "0 hrs.": "hours", "0 sec.": "seconds",
        "0 secs.": "seconds", "0 yr.": "years", "0 yrs.": "years", "0 ft.": "feet",
        "0 mi.": "miles", "0 lb.": "pounds", "0 oz.": "ounces", "0 tbsp.": "tablespoons",
        "0 tsp.": "teaspoons",
        **_with_numbers(_MONTHS_EN), **_with_dates(_DAYS_EN),
    },
}  # fmt: skip
"""Those whose meaning is certain. A small model has seen few of them."""
_CONTRACTIONS = {
    "nt": "do does did is are was were has have had would could should must ca",
    "ve": "i you they", "re": "you they", "ll": "you they it that",
    "s": "that what who where there here she",
}  # fmt: skip
"""Endings of English words, as they are written, and what they stand behind. Those that are words
without an apostrophe as well are not there: `its`, `were`, `ill`, `lets`."""
_WITHOUT_APOSTROPHE = {
    word + ending: len(word) + (ending == "nt")
    for ending, words in _CONTRACTIONS.items()
    for word in words.split()
}
"""Where it belongs."""
_CONTRACTION = re.compile(
    rf"(?<![\w'\u2019.@/-])(?:(?i:{'|'.join(_WITHOUT_APOSTROPHE)})|[Ii]m(?=\s[a-z]))(?![\w'\u2019@/-])"
)
"""`im` is a German word as well, in front of a noun."""
_MAY_LACK_ONE = frozenset(
    spelled
    for word in (*_WITHOUT_APOSTROPHE, "im")
    for spelled in (word, word.upper(), word.capitalize())
)
_STREET = re.compile(r"(?<=[a-zäöüß])str\.")
_WHAT_FOLLOWS = {  # a number may be no part of the text, which ends before it
    "0": r"(?=\s?\d|\s$)",
    "A": r"(?=\s[^\W\d_a-zäöüß])",
    "C": r"(?=\s[A-Z0-9/-]{0,12}[0-9]|\s$)",
    ",": r"(?=,\s(?:den\s|[A-Z][a-z]{2,8}\.?\s)?(?:\d|$))",
}
_ENDS = r"(?!\w)"
"""What follows all others."""


def contractions(text: str) -> Iterable[tuple[int, int, str]]:
    """Where in `text` English contractions lack their apostrophe: begin, end, and as what they are
    read."""
    return _contractions(text) if may_lack_apostrophes(text) else ()


def may_lack_apostrophes(text: str) -> bool:
    """Whether there may be `contractions`, which is found out several times as fast."""
    return not _MAY_LACK_ONE.isdisjoint(text.split())


def _contractions(text: str) -> Iterator[tuple[int, int, str]]:
    for found in _CONTRACTION.finditer(text):
        written = found[0]
        mark = _WITHOUT_APOSTROPHE.get(written.lower(), 1)
        before = "I" if mark == 1 else written[:mark]
        yield *found.span(), f"{before}'{written[mark:]}"


_WAR = re.compile(
    r"(?<!\S)(?:(?P<before>(?i:about|after|and|before|between|by|during|for|from|in|of|since|to|until|with))\s)?"
    r"(?:World\sWar\s|WW)(?P<number>I{1,2})(?![\w-])(?!\s(?!(?:and|as|at|began|but|by|ended|for|from"
    r"|had|he|in|is|it|of|on|or|she|that|the|they|to|was|we|were|when|with)\b)[a-z])"
)
_READ_WARS = {1: "First World War", 2: "Second World War"}


def wars(text: str) -> Iterator[tuple[int, int, str]]:
    """Where in an English text a world war has a numeral: begin, end, and as what it is read, for
    many languages have none behind the name. None are those before nouns: WWII bombs."""
    for found in _WAR.finditer(text):
        begin, before = found.start(), found["before"]
        if before is None and not _BEGINS_SENTENCE.search(text, max(0, begin - 3), begin):
            continue
        read = _READ_WARS[len(found["number"])]
        if before is None:
            yield begin, found.end(), f"The {read}"
        else:
            yield found.end("before") + 1, found.end(), f"the {read}"


_BEGINS_SENTENCE = re.compile(r"(?:\A|[.!?:]\s+)\Z")


def may_have_wars(text: str) -> bool:
    """Whether there may be `wars`."""
    return "WW" in text or "World War" in text


class _Reading(NamedTuple):
    """What an abbreviation is read as, where it is certain."""

    follows: re.Pattern[str] | None
    """What must stand behind it; None if that has been found out."""
    is_behind: Callable[[str, int], bool] | None
    """Whether what stands before a place of a text makes it certain; None: whatever that is."""
    read: str


class _Abbreviations(NamedTuple):
    """Those of a language that are read in full."""

    pattern: re.Pattern[str]
    """Finds them, and others that look alike."""
    readings: dict[str, list[_Reading]]
    """By abbreviation without its spaces."""
    beginnings: frozenset[str]
    """What stands before the first full stop of each."""


_MOST_BEFORE_STOP = 12
"""Characters of an abbreviation before its first full stop."""
_LAST_LETTERS = re.compile(r"[^\W\d_]+\Z")


def expansions(text: str, language: str) -> Iterator[tuple[int, int, str]]:
    """Where in `text` abbreviations are that are read as what they stand for: begin, end, and what.

    One at the end has its full stop, which may be the sentence's, too.
    """
    known = _abbreviations(language)
    stop_at = text.find(".")
    if known is None or stop_at < 0:
        return
    readings, size = known.readings, len(text)
    for found in known.pattern.finditer(text, max(0, stop_at - _MOST_BEFORE_STOP)):
        written = found[0]
        begin, end = found.span()
        for follows, is_behind, read in readings.get(written) or readings["".join(written.split())]:
            if (follows is None or follows.match(text, end)) and (
                is_behind is None or is_behind(text, begin)
            ):
                yield begin, end, read if end < size else f"{read}."
                break
    if language == "de":
        for found in _STREET.finditer(text, max(0, stop_at - _MOST_BEFORE_STOP)):
            yield found.start(), found.end(), "straße"


def may_expand(lines: str, language: str) -> bool:
    """Whether in any of some lines there may be `expansions`."""
    known = _abbreviations(language)
    if known is None:
        return False
    if language == "de" and "str." in lines:
        return True
    # Of many lines, most have the same before their stops.
    before_stops = {part[-_MOST_BEFORE_STOP:] for part in lines.split(".")}
    words = map(_LAST_LETTERS.search, before_stops)
    return any(word is not None and word[0] in known.beginnings for word in words)


def _is_behind_number(text: str, begin: int) -> bool:
    """Whether a number stands before a place, or did: it may be no part of the text, which begins
    behind it then."""
    if begin <= 1:
        return text[:begin].isspace()  # which no sentence begins with
    before = text[max(0, begin - 2 - (text[begin - 2] == ".")) : begin]
    return before[-1].isspace() and (before[0].isdecimal() or before[0] in "\xbc\xbd\xbe")


def _is_behind_one(text: str, begin: int) -> bool:
    """Whether 1, and no number that ends with it, stands before a place."""
    return _ONE.search(text, max(0, begin - 3), begin) is not None


_ONE = re.compile(r"(?<![\w.,:/-])1\s\Z")


def is_numbered(text: str, begin: int) -> bool:
    """Whether a noun of things with numbers stands before a place of an English text."""
    return _NUMBERED.search(text, max(0, begin - _LONGEST_NUMBERED), begin) is not None


_NUMBERED = re.compile(
    r"(?<!\w)(?:account|article|batch|bus|case|catalog(?:ue)?|contract|customer|flight|gate|id|invoice"
    r"|item|league|licen[cs]e|line|lot|model|order|part|phone|policy|product|reference|ref|registration"
    r"|room|route|serial|stock|symphony|table|tax|ticket|track|train|vat)\s\Z",
    re.IGNORECASE,
)
_LONGEST_NUMBERED = 16
_WHAT_PRECEDES = {"0 ": _is_behind_number, "1 ": _is_behind_one, "N ": is_numbered}


@cache
def _abbreviations(language: str) -> _Abbreviations | None:
    table = _WRITTEN_OUT.get(language)
    if table is None:
        return None
    readings: dict[str, list[_Reading]] = {}
    patterns: dict[str, None] = {}
    for written in sorted(table, key=len, reverse=True):
        is_behind = _WHAT_PRECEDES.get(written[:2])
        rest = written[2:] if is_behind else written
        short, _, mark = rest.rpartition(" ")
        if mark not in _WHAT_FOLLOWS:
            short, mark = rest, ""
        spaced = re.escape(short).replace(r"\ ", r"\s?")
        patterns[spaced + ("" if mark else _ENDS)] = None
        follows = re.compile(_WHAT_FOLLOWS.get(mark, _ENDS))
        reading = _Reading(follows, is_behind, table[written])
        readings.setdefault(short.replace(" ", ""), []).append(reading)
    for each in readings.values():
        if len(each) == 1 and each[0].follows is not None and each[0].follows.pattern == _ENDS:
            each[0] = each[0]._replace(follows=None)  # the pattern has it
    pattern = re.compile(rf"(?<![\w.])(?:{'|'.join(sorted(patterns, key=len, reverse=True))})")
    beginnings = frozenset(short.partition(".")[0] for short in readings)
    return _Abbreviations(pattern, readings, beginnings)
