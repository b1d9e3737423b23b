"""German as it is typed where a keyboard has no umlauts."""

from pathlib import Path

import pytest

from model.checkpoints.embedded import EMBEDDED
from model.text.tokenizer import Tokenizer
from model.text.umlauts import UmlautReader

READER = UmlautReader(Tokenizer.from_file(Path(EMBEDDED["de-en"]) / "tokenizer.model").source)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Ich moechte fuenf Maedchen sehen.", "Ich möchte fünf Mädchen sehen."),
        ("Das Wasser ist gross und schoen.", "Das Wasser ist groß und schön."),
        ("fuer meine frau", "für meine frau"),
        ("EIN MANN GEHT ÜBER DIE STRASSE", "EIN MANN GEHT ÜBER DIE STRAẞE"),
        ("WIR GEHEN UEBER DIE GROSSE BRUECKE", "WIR GEHEN ÜBER DIE GROẞE BRÜCKE"),
    ],
)
def test_what_was_typed_without_umlauts_is_read_with_them(text: str, read: str) -> None:
    assert READER.read(text) == read


@pytest.mark.parametrize(
    "text",
    [
        "Neue Feuer dauern, und aktuell muss man essen.",
        "Israel, Goethe, Michael und Boeing",
        "Herr Mueller und Frau Strauss",
        "HERR MUELLER",
        "Der schöne Koenig ist für mich da.",
        "",
        "ae oe ue ss",
        # Hardly words, though with an umlaut they have fewer pieces.
        "aaae",
        "aaae 12",
        "aaaeb",
        "mit canoe",
        "Das ist gewiss, sodass sie es aussenden, und unvergesslich interessant.",
    ],
)
def test_what_has_its_letters_stays(text: str) -> None:
    assert READER.read(text) == text
