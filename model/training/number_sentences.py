"""Sentences with numbers of every kind, and whether a translation has their values.

What is generated here, and what of a translation counts as the same value, is written down apart
from model/text/numbers, which it judges.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from string import Formatter

import numpy as np

__all__ = ["KINDS", "LANGUAGES", "NumberSentence", "Slot", "number_sentences", "values_kept"]

LANGUAGES = ("de", "en", "pt")


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A number that was put into a sentence."""

    kind: str
    text: str
    """As the sentence has it."""
    accepted: tuple[str, ...]
    """What in a translation is the same value."""
    beside: tuple[str, ...] = ()
    """What must be in the translation as well, such as the sign or the name of a currency: any of
    these, in any letter case."""


@dataclass(frozen=True, kw_only=True)
class NumberSentence:
    """A sentence and its numbers."""

    text: str
    slots: tuple[Slot, ...]


_TEMPLATES = {
    "en": (
        "The new bridge was opened in {year} and cost {money}.",
        "More than {large} people live in the valley.",
        "The town has {grouped} inhabitants and {small} schools.",
        "Prices rose by {percent} within {small} months.",
        "The shop opens at {time} and closes at {time}.",
        "The letter arrived on {date} at noon.",
        "We have lived on the {ordinal} floor for {range} years.",
        "The bag weighs {decimal} kg and is {decimal} m long.",
        "The temperature fell to {negative} degrees last night.",
        "Please add {fraction} litre of milk and stir for {range} minutes.",
        "The company sold {grouped} cars, {percent} more than in {year}.",
        "The wavelength is {scientific} metres.",
        "The code on the door is {zeros}.",
        "On {iso} the server was moved to another room.",
        "The total is {money}, of which {money} has been paid.",
        "The team won the match {score} in front of {grouped} fans.",
        "He ran the {ordinal} kilometre in {small} minutes.",
        "The estate is worth {millions} according to the bank.",
        "The map has a scale of {scale}.",
        "Between {year} and {year} the forest grew by {area} hectares.",
        "Our order of {small} chairs and {small} tables is late.",
        "The lake is {grouped_decimal} metres deep.",
        "She was born in {year}, the {ordinal} of {small} children.",
        "The file has {size} and was saved at {time}.",
    ),
    "de": (
        "Die neue Brücke wurde {year} eröffnet und kostete {money}.",
        "Mehr als {large} Menschen leben im Tal.",
        "Die Stadt hat {grouped} Einwohner und {small} Schulen.",
        "Die Preise stiegen innerhalb von {small} Monaten um {percent}.",
        "Der Laden öffnet um {time} und schließt um {time}.",
        "Der Brief kam am {date} gegen Mittag an.",
        "Wir wohnen seit {range} Jahren im {ordinal} Stock.",
        "Die Tasche wiegt {decimal} kg und ist {decimal} m lang.",
        "Die Temperatur fiel letzte Nacht auf {negative} Grad.",
        "Bitte {fraction} Liter Milch zugeben und {range} Minuten rühren.",
        "Die Firma verkaufte {grouped} Autos, {percent} mehr als {year}.",
        "Die Wellenlänge beträgt {scientific} Meter.",
        "Der Code an der Tür lautet {zeros}.",
        "Am {iso} wurde der Server in einen anderen Raum gebracht.",
        "Die Summe beträgt {money}, davon sind {money} bezahlt.",
        "Die Mannschaft gewann das Spiel {score} vor {grouped} Zuschauern.",
        "Er lief den {ordinal} Kilometer in {small} Minuten.",
        "Das Anwesen ist laut der Bank {millions} wert.",
        "Die Karte hat einen Maßstab von {scale}.",
        "Zwischen {year} und {year} wuchs der Wald um {area} Hektar.",
        "Unsere Bestellung von {small} Stühlen und {small} Tischen ist verspätet.",
        "Der See ist {grouped_decimal} Meter tief.",
        "Sie wurde {year} als {ordinal} von {small} Kindern geboren.",
        "Die Datei hat {size} und wurde um {time} gespeichert.",
    ),
    "pt": (
        "A nova ponte foi inaugurada em {year} e custou {money}.",
        "Mais de {large} pessoas vivem no vale.",
        "A cidade tem {grouped} habitantes e {small} escolas.",
        "Os preços subiram {percent} em {small} meses.",
        "A loja abre às {time} e fecha às {time}.",
        "A carta chegou em {date} ao meio-dia.",
        "Moramos no {ordinal} andar há {range} anos.",
        "A mala pesa {decimal} kg e tem {decimal} m de comprimento.",
        "A temperatura caiu para {negative} graus na noite passada.",
        "Acrescente {fraction} litro de leite e mexa por {range} minutos.",
        "A empresa vendeu {grouped} carros, {percent} a mais do que em {year}.",
        "O comprimento de onda é de {scientific} metros.",
        "O código da porta é {zeros}.",
        "Em {iso} o servidor foi levado para outra sala.",
        "O total é de {money}, dos quais {money} foram pagos.",
        "A equipe venceu o jogo por {score} diante de {grouped} torcedores.",
        "Ele correu o {ordinal} quilômetro em {small} minutos.",
        "A propriedade vale {millions} segundo o banco.",
        "O mapa tem uma escala de {scale}.",
        "Entre {year} e {year} a floresta cresceu {area} hectares.",
        "O nosso pedido de {small} cadeiras e {small} mesas está atrasado.",
        "O lago tem {grouped_decimal} metros de profundidade.",
        "Ela nasceu em {year}, a {ordinal_f} de {small} filhos.",
        "O arquivo tem {size} e foi salvo às {time}.",
    ),
}
_MARKS = {"en": (".", ","), "de": (",", "."), "pt": (",", ".")}
"""Decimal sign and sign between groups."""
_WORDS = {
    "en": "zero one two three four five six seven eight nine ten eleven twelve",
    "de": "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf",
    "pt": "zero um dois três quatro cinco seis sete oito nove dez onze doze",
}
_TH = {
    "en": "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth",
    "de": "erst zweit dritt viert fünft sechst siebt acht neunt zehnt elft zwölft",
    "pt": "primeir segund terceir quart quint sext sétim oitav non décim 11 12",
}
_DIGITS = re.compile(r"\d")
_STRAY_HALF = re.compile(r"\0\s?[ap]\.?m\b", re.IGNORECASE)
"""Behind a value that was found without it."""

_Maker = Callable[[np.random.Generator, str, str], Slot]


def number_sentences(source: str, target: str, count: int, seed: int = 1) -> list[NumberSentence]:
    """Sentences of a language; what they take for right is for translations into another one.

    Args:
        source, target: of `LANGUAGES`.
        count: how many.
        seed: the same ones come of the same seed.
    """
    random = np.random.default_rng(seed)
    templates = _TEMPLATES[source]
    made = []
    for index in range(count):
        slots: list[Slot] = []
        parts: list[str] = []
        for text, name, _, _ in Formatter().parse(templates[index % len(templates)]):
            parts.append(text)
            if name:
                slot = KINDS[name](random, source, target)
                slots.append(slot)
                parts.append(slot.text)
        made.append(NumberSentence(text="".join(parts), slots=tuple(slots)))
    return made


def values_kept(sentence: NumberSentence, translation: str) -> tuple[list[str], bool]:
    """The kinds of the values that a translation lacks, and whether it has digits of no value.

    Each value takes what stands for it out of the translation, the longest first.
    """
    left = re.sub("[\u00a0\u202f]", " ", translation)
    lost: list[str] = []
    for slot in sorted(sentence.slots, key=lambda slot: -max(map(len, slot.accepted))):
        for form in sorted(slot.accepted, key=len, reverse=True):
            match = re.search(_pattern(form, slot.kind), left, re.IGNORECASE)
            if match is not None:
                left = f"{left[: match.start()]}\0{left[match.end() :]}"
                break
        else:
            lost.append(slot.kind)
    if not any(slot.text.endswith("m") for slot in sentence.slots if slot.kind == "time"):
        lost += ["time: half of the day" for _ in _STRAY_HALF.finditer(left)]
    said = translation.casefold()
    for slot in sentence.slots:
        if slot.beside and not any(each.casefold() in said for each in slot.beside):
            lost.append(f"{slot.kind}: sign")
    return lost, bool(_DIGITS.search(left))


def _pattern(form: str, kind: str) -> str:
    """What finds a form that stands alone; words for places in an order may have an ending."""
    if not form[0].isalpha():
        return rf"(?<!\d)(?<!\d[.,:]){re.escape(form)}(?![.,]?\d)"
    return rf"(?<!\w){re.escape(form)}" + ("" if kind == "ordinal" else r"(?!\w)")


def _number(digits: str, fraction: str, language: str, grouped: bool) -> str:
    decimal, group = _MARKS[language]
    whole = re.sub(r"(?<=\d)(?=(?:\d{3})+$)", group, digits) if grouped else digits
    return whole + (decimal + fraction if fraction else "")


def _same(digits: str, fraction: str, target: str) -> tuple[str, ...]:
    return (_number(digits, fraction, target, True), _number(digits, fraction, target, False))


def _small(random: np.random.Generator, source: str, target: str) -> Slot:
    value = int(random.integers(2, 100))
    words = _WORDS[target].split()
    accepted = [str(value)]
    if value < len(words):
        accepted.append(words[value])
        if target == "pt" and value == 2:
            accepted.append("duas")
    return Slot(kind="small", text=str(value), accepted=tuple(accepted))


def _year(random: np.random.Generator, source: str, target: str) -> Slot:
    year = str(random.integers(1500, 2031))
    return Slot(kind="year", text=year, accepted=(year,))


def _large(random: np.random.Generator, source: str, target: str) -> Slot:
    zeros = int(random.integers(3, 8))
    digits = f"{random.integers(1, 1000)}{'0' * zeros}"
    return Slot(kind="large", text=digits, accepted=_same(digits, "", target))


def _with_digits(
    kind: str, least: int, most: int, places: int, *, before: str = "", behind: str = ""
) -> _Maker:
    grouped = kind.startswith("grouped") or kind == "area"

    def make(random: np.random.Generator, source: str, target: str) -> Slot:
        width = int(random.integers(least, most + 1))
        low = 10 ** (width - 1) if width > 1 else 0
        digits = str(random.integers(low, 10**width))
        # Round ones are miscounted most.
        if grouped and random.random() < 0.4:
            digits = digits[0] + "0" * (len(digits) - 1)
        fraction = "".join(map(str, random.integers(0, 10, places))) if places else ""
        text = before + _number(digits, fraction, source, grouped) + behind
        accepted = [before + each + behind for each in _same(digits, fraction, target)]
        return Slot(kind=kind, text=text, accepted=tuple(accepted))

    return make


def _percent(random: np.random.Generator, source: str, target: str) -> Slot:
    digits = str(random.integers(0, 250))
    fraction = str(random.integers(1, 100)) if random.random() < 0.5 else ""
    space = " " if source == "de" else ""
    word = {"en": ("percent", "per cent"), "de": ("Prozent",), "pt": ("por cento",)}[target]
    number = _number(digits, fraction, target, False)
    return Slot(
        kind="percent",
        text=f"{_number(digits, fraction, source, False)}{space}%",
        accepted=tuple(f"{number}{end}" for end in ("%", " %", *(f" {each}" for each in word))),
    )


def _negative(random: np.random.Generator, source: str, target: str) -> Slot:
    slot = _with_digits("negative", 1, 2, int(random.integers(0, 2)))(random, source, target)
    return Slot(
        kind="negative", text=f"-{slot.text}", accepted=tuple(f"-{each}" for each in slot.accepted)
    )


_DASHES = ("-", "\u2013")
_SPACED = (" - ", " \u2013 ")
_SIGNS = {"$": "USD", "€": "EUR", "£": "GBP"}
_NAMES = {"$": ("dollar", "dólar", "dólares"), "€": ("euro",), "£": ("pound", "pfund", "libra")}


def _money(random: np.random.Generator, source: str, target: str) -> Slot:
    width = int(random.integers(2, 8))
    digits = str(random.integers(10 ** (width - 1), 10**width))
    fraction = f"{random.integers(0, 100):02}" if random.random() < 0.6 else ""
    number = _number(digits, fraction, source, True)
    sign = list(_SIGNS)[int(random.integers(0, 3))]
    forms = {
        "en": (f"{sign}{number}", f"{_SIGNS[sign]} {number}", f"{number} {_SIGNS[sign]}"),
        "de": (f"{number} {sign}", f"{number} {_SIGNS[sign]}", f"{_SIGNS[sign]} {number}"),
        "pt": (f"{sign} {number}", f"{number} {_SIGNS[sign]}", f"{_SIGNS[sign]} {number}"),
    }[source]
    return Slot(
        kind="money",
        text=forms[int(random.integers(0, len(forms)))],
        accepted=_same(digits, fraction, target),
        beside=(sign, _SIGNS[sign], *_NAMES[sign]),
    )


def _millions(random: np.random.Generator, source: str, target: str) -> Slot:
    digits, fraction = str(random.integers(1, 900)), str(random.integers(1, 10))
    word = {"en": "million dollars", "de": "Millionen Dollar", "pt": "milhões de dólares"}[source]
    return Slot(
        kind="millions",
        text=f"{_number(digits, fraction, source, False)} {word}",
        accepted=(_number(digits, fraction, target, False),),
    )


def _size(random: np.random.Generator, source: str, target: str) -> Slot:
    unit = ("KB", "MB", "GB")[int(random.integers(0, 3))]
    digits, fraction = str(random.integers(1, 1000)), str(random.integers(1, 10))
    number = _number(digits, fraction, target, False)
    return Slot(
        kind="size",
        text=f"{_number(digits, fraction, source, False)} {unit}",
        accepted=(f"{number} {unit}", f"{number}{unit}"),
    )


def _range(random: np.random.Generator, source: str, target: str) -> Slot:
    low = int(random.integers(2, 50))
    high = low + int(random.integers(1, 40))
    return Slot(
        kind="range", text=f"{low}{_DASHES[int(random.integers(0, 2))]}{high}",
        accepted=_ranges(low, high, target),
    )  # fmt: skip


def _ranges(low: int, high: int, target: str) -> tuple[str, ...]:
    word = {"en": "to", "de": "bis", "pt": "a"}[target]
    return tuple(f"{low}{sign}{high}" for sign in (*_DASHES, *_SPACED, f" {word} "))


def _score(random: np.random.Generator, source: str, target: str) -> Slot:
    home, away = (int(each) for each in random.integers(0, 8, 2))
    sign = {"en": "-", "de": ":", "pt": "-"}[source]
    return Slot(
        kind="score",
        text=f"{home}{sign}{away}",
        accepted=tuple(f"{home}{each}{away}" for each in (":", *_DASHES, " to ", " a ")),
    )


def _scale(random: np.random.Generator, source: str, target: str) -> Slot:
    digits = f"{random.integers(1, 100)}000"
    of = [f"1:{each}" for each in _same(digits, "", target)]
    return Slot(kind="scale", text=f"1:{_number(digits, '', source, True)}", accepted=tuple(of))


def _fraction(random: np.random.Generator, source: str, target: str) -> Slot:
    text = ("1/2", "1/4", "3/4", "2/3", "½", "¼", "¾")[int(random.integers(0, 7))]
    return Slot(kind="fraction", text=text, accepted=(text,))


def _ordinal(random: np.random.Generator, source: str, target: str) -> Slot:
    return _ordinal_of(int(random.integers(2, 40)), source, target, "º")


def _ordinal_f(random: np.random.Generator, source: str, target: str) -> Slot:
    return _ordinal_of(int(random.integers(2, 40)), source, target, "ª")


def _ordinal_of(value: int, source: str, target: str, ending: str) -> Slot:
    end = "th" if value in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")
    text = {"en": f"{value}{end}", "de": f"{value}.", "pt": f"{value}{ending}"}[source]
    accepted = {
        "en": [f"{value}{end}"], "de": [f"{value}."],
        "pt": [f"{value}{each}" for each in ("º", "ª", ".º", ".ª")],
    }[target]  # fmt: skip
    words = _TH[target].split()
    if value <= len(words):
        accepted.append(words[value - 1])
    return Slot(kind="ordinal", text=text, accepted=(*accepted, str(value)))


def _date(random: np.random.Generator, source: str, target: str) -> Slot:
    day, month = int(random.integers(13, 29)), int(random.integers(1, 13))
    year = int(random.integers(1950, 2031))
    pad = "02" if random.random() < 0.5 else ""
    d, m = f"{day:{pad}}", f"{month:{pad}}"
    forms = {
        "en": (f"{m}/{d}/{year}", f"{d}/{m}/{year}", f"{d}.{m}.{year}"),
        "de": (f"{d}.{m}.{year}",), "pt": (f"{d}/{m}/{year}",),
    }  # fmt: skip
    return Slot(kind="date", text=forms[source][0], accepted=forms[target])


def _iso(random: np.random.Generator, source: str, target: str) -> Slot:
    text = f"{random.integers(1950, 2031)}-{random.integers(1, 13):02}-{random.integers(1, 29):02}"
    return Slot(kind="iso", text=text, accepted=(text,))


def _time(random: np.random.Generator, source: str, target: str) -> Slot:
    hour, minute = int(random.integers(0, 24)), int(random.integers(0, 12)) * 5
    half, short = ("am" if hour < 12 else "pm"), hour % 12 or 12
    whole = minute == 0
    if source == "en":
        text = f"{short} {half}" if whole else f"{short}:{minute:02} {half}"
    elif source == "de":
        text = (
            f"{hour} Uhr" if whole else f"{hour}{'.:'[int(random.integers(0, 2))]}{minute:02} Uhr"
        )
    else:
        text = f"{hour}h" if whole else f"{hour}h{minute:02}"
    accepted = [f"{hour}:{minute:02}", f"{hour:02}:{minute:02}"]
    if target == "en":
        for name in (half, f"{half[0]}.m."):
            accepted += [f"{short}:{minute:02} {name}", f"{short}:{minute:02}{name}"]
            accepted += [f"{short} {name}", f"{short}{name}"] if whole else []
    elif target == "pt":
        accepted += [f"{hour}h{minute:02}", *([f"{hour}h"] if whole else [])]
    else:
        accepted += [f"{hour}.{minute:02}", f"{hour:02}.{minute:02}"]
    return Slot(kind="time", text=text, accepted=(*accepted, *([str(hour)] if whole else [])))


def _scientific(random: np.random.Generator, source: str, target: str) -> Slot:
    text = f"{random.integers(1, 10)}.{random.integers(1, 10)}e-{random.integers(2, 13)}"
    accepted = (text, text.replace(".", _MARKS[target][0]))
    return Slot(kind="scientific", text=text, accepted=accepted)


def _zeros(random: np.random.Generator, source: str, target: str) -> Slot:
    text = f"{'0' * int(random.integers(1, 4))}{random.integers(1, 1000)}"
    return Slot(kind="zeros", text=text, accepted=(text,))


KINDS: dict[str, _Maker] = {
    "small": _small, "year": _year, "large": _large, "percent": _percent, "negative": _negative,
    "money": _money, "millions": _millions, "size": _size, "range": _range,
    "score": _score, "scale": _scale, "fraction": _fraction, "ordinal": _ordinal,
    "ordinal_f": _ordinal_f, "date": _date, "iso": _iso, "time": _time,
    "scientific": _scientific, "zeros": _zeros,
    "grouped": _with_digits("grouped", 4, 10, 0), "decimal": _with_digits("decimal", 1, 3, 2),
    "grouped_decimal": _with_digits("grouped_decimal", 4, 7, 1),
    "area": _with_digits("area", 4, 6, 0),
}  # fmt: skip
"""What is put into sentences, by name."""
