"""Sentences that repeat something on purpose."""

from __future__ import annotations

import numpy as np

__all__ = ["LANGUAGES", "repeated_sentences"]

LANGUAGES = ("de", "en", "pt")

_MOST_COPIES = 6

_FRAMES = {
    "en": ("{}", "{} she said.", 'He shouted: "{}"', "And then: {}", "The sign says {}"),
    "de": ("{}", "{} sagte sie.", 'Er rief: "{}"', "Und dann: {}", "Auf dem Schild steht {}"),
    "pt": ("{}", "{} disse ela.", 'Ele gritou: "{}"', "E depois: {}", "A placa diz {}"),
}
"""What stands around what is repeated."""

_EXCLAMATIONS = {
    "en": ("no", "yes", "please", "help", "never", "wait", "ha", "la", "knock", "bye", "hurry"),
    "de": (
        "nein",
        "ja",
        "bitte",
        "Hilfe",
        "nie",
        "warte",
        "ha",
        "la",
        "klopf",
        "tschüss",
        "schnell",
    ),
    "pt": ("não", "sim", "por favor", "socorro", "nunca", "espera", "ha", "lá", "toc", "tchau"),
}
_PHRASES = {
    "en": ("come on", "I know", "all night long", "row the boat", "one step at a time", "go home"),
    "de": ("komm schon", "ich weiß", "die ganze Nacht", "Schritt für Schritt", "geh nach Hause"),
    "pt": ("vamos lá", "eu sei", "a noite toda", "passo a passo", "vai para casa"),
}
_DEGREES = {
    "en": ("It is {} cold today.", "That was a {} long day.", "We are {} far away."),
    "de": ("Es ist heute {} kalt.", "Das war ein {} langer Tag.", "Wir sind {} weit weg."),
    "pt": ("Hoje está {} frio.", "Foi um dia {} longo.", "Estamos {} longe."),
}
_DEGREE = {"en": "very", "de": "sehr", "pt": "muito"}
_LISTS = {
    "en": ("The results were {}.", "Please note {} in the table.", "The row has {}."),
    "de": ("Die Ergebnisse waren {}.", "Bitte {} in die Tabelle eintragen.", "Die Zeile hat {}."),
    "pt": ("Os resultados foram {}.", "Anote {} na tabela, por favor.", "A linha tem {}."),
}
_ITEMS = ("0", "1", "7", "99", "0.5", "A", "x", "***", "...", "n/a", "00", "000")
_LAUGHS = ("ha", "he", "ho", "hi")


def repeated_sentences(language: str, count: int) -> list[str]:
    """So many sentences, the same ones each time; each repeats something two to six times."""
    generator = np.random.default_rng(2026)
    kinds = (_exclaimed, _said_again, _intensified, _listed, _laughed, _sentences)
    return [kinds[number % len(kinds)](language, generator) for number in range(count)]


def _copies(generator: np.random.Generator) -> int:
    return int(generator.integers(2, _MOST_COPIES + 1))


def _one_of(values: tuple[str, ...], generator: np.random.Generator) -> str:
    return values[int(generator.integers(len(values)))]


def _framed(said: str, language: str, generator: np.random.Generator) -> str:
    return _one_of(_FRAMES[language], generator).format(said)


def _exclaimed(language: str, generator: np.random.Generator) -> str:
    word = _one_of(_EXCLAMATIONS[language], generator)
    between = _one_of((", ", " ", "! ", "-", "... "), generator)
    said = between.join([word] * _copies(generator))
    return _framed(said[:1].upper() + said[1:] + "!", language, generator)


def _said_again(language: str, generator: np.random.Generator) -> str:
    phrase = _one_of(_PHRASES[language], generator)
    said = _one_of((", ", " "), generator).join([phrase] * _copies(generator))
    return _framed(said[:1].upper() + said[1:] + ".", language, generator)


def _intensified(language: str, generator: np.random.Generator) -> str:
    said = _one_of((" ", ", "), generator).join([_DEGREE[language]] * _copies(generator))
    return _one_of(_DEGREES[language], generator).format(said)


def _listed(language: str, generator: np.random.Generator) -> str:
    between = _one_of((", ", " ", "; ", " - "), generator)
    said = between.join([_one_of(_ITEMS, generator)] * _copies(generator))
    return _one_of(_LISTS[language], generator).format(said)


def _laughed(language: str, generator: np.random.Generator) -> str:
    laugh = _one_of(_LAUGHS, generator) * _copies(generator)
    return _framed(laugh[:1].upper() + laugh[1:] + "!", language, generator)


def _sentences(language: str, generator: np.random.Generator) -> str:
    phrase = _one_of(_PHRASES[language], generator)
    ends = _one_of((".", "!", "?"), generator)
    return " ".join([phrase[:1].upper() + phrase[1:] + ends] * _copies(generator))
