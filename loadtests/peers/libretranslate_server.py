"""LibreTranslate's own server, with the packages that are there and none from the network.

    ARGOS_PACKAGES_DIR=FOLDER python loadtests/peers/libretranslate_server.py --port 5000

runs in an environment of its own, which has libretranslate and needs nothing of ours. Arguments are
those of `libretranslate`. Its sentence splitter is a small neural network that it would download;
`--plain-sentences`, first of all arguments, takes a regular expression instead: less work for it.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from typing import Any

_END_OF_SENTENCE = re.compile(r"(?<=[.!?])\s+")


class PlainSentences:
    """In the place of Argos Translate's sentence splitter."""

    def __init__(self, _package: object) -> None:
        """For any package: the marks are those of most languages."""

    def split_sentences(self, text: str) -> list[str]:
        """Pieces that end with a mark and are followed by white space."""
        return [piece for piece in _END_OF_SENTENCE.split(text) if piece]


def main() -> None:
    """Serves until it is ended."""
    translate: Any = import_module("argostranslate.translate")
    init: Any = import_module("libretranslate.init")
    if sys.argv[1:2] == ["--plain-sentences"]:
        del sys.argv[1]
        translate.MiniSBDSentencizer = PlainSentences
    init.boot = lambda *_: None  # it would look for packages on the network
    import_module("libretranslate.main").main()


if __name__ == "__main__":
    main()
