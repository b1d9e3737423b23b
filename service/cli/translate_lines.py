"""`polyhead translate`: a text, or line after line, through a model in this process."""

from __future__ import annotations

import gc
import io
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from tqdm import tqdm

from model.config import EngineConfig, GenerationConfig
from model.errors import InvalidRequestError
from model.translation import Translation
from model.translator import Translator

__all__ = ["print_translations", "read_lines"]

_LINES_IN_FLIGHT = 1024
"""Many more than slots, for lines that are done wait for a long one before them: with 256 a third
of the slots was in use, with 1,024 three quarters."""
_NO_LINE_BREAKS = str.maketrans("\r\n", "  ")


def read_lines(stream: BinaryIO, *, hint: TextIO) -> Iterator[str]:
    """The lines of a UTF-8 stream, without their ends, as they come.

    Args:
        hint: where a person at a terminal is told what is waited for.

    Raises:
        InvalidRequestError: a line is not UTF-8; it says which.
    """
    if stream.isatty():
        print("Write lines to translate; Ctrl-D ends.", file=hint)
    for number, line in enumerate(stream, start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise InvalidRequestError(
                f"line {number} of the input must be UTF-8, but is not"
            ) from None
        yield text.removesuffix("\n").removesuffix("\r")


def print_translations(
    texts: Iterable[str],
    directory: Path,
    *,
    engine: EngineConfig,
    generation: GenerationConfig | None = None,
    as_json: bool = False,
    one_by_one: bool = False,
    one_line_each: bool = False,
    output: TextIO | None = None,
    progress: TextIO | None = None,
) -> None:
    """Translates `texts` in their order and writes a line for each, as soon as it is its turn.

    Args:
        one_by_one: answer each text before the next one is read.
        one_line_each: a line break that the model made up becomes a space.
        output: stdout when not given.
        progress: stderr when not given, for what the engine has to say of itself; a bar is drawn
            there only if it is a terminal.
    """
    output = output or _utf8_stdout()
    progress = progress or sys.stderr
    with Translator.load(directory, engine) as translator:
        for note in translator.engine.notes:
            print(f"polyhead: {note}", file=progress)
        # What has been loaded stays; full collections that walk through it hold the engine up.
        gc.collect()
        gc.freeze()
        translations = translator.translate_stream(
            texts, generation=generation, window=1 if one_by_one else _LINES_IN_FLIGHT
        )
        hidden = one_by_one or not progress.isatty()
        with tqdm(file=progress, unit=" lines", disable=hidden, dynamic_ncols=True) as bar:
            for translation in translations:
                line = _as_json(translation) if as_json else translation.text
                if one_line_each:
                    # A vocabulary with single bytes has line breaks, and a model may use one.
                    line = line.translate(_NO_LINE_BREAKS)
                print(line, file=output, flush=True)
                bar.update()


def _as_json(translation: Translation) -> str:
    values = {
        "text": translation.text,
        "finish_reason": str(translation.finish_reason),
        "score": translation.score,
        "hypotheses": [{"text": one.text, "score": one.score} for one in translation.hypotheses],
        "source_tokens": translation.source_tokens,
        "target_tokens": translation.target_tokens,
    }
    return json.dumps(values, ensure_ascii=False)


def _utf8_stdout() -> TextIO:
    # Whatever the locale says: a pipeline of files must not depend on it.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    return sys.stdout
