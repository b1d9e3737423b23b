"""`polyhead translate`: a text, or line by line, through a model in this process."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, TextIO

import typer

from model.errors import InvalidRequestError
from model.text_options import NO_TEXT_OPTIONS, TextOptions
from service.cli.document_files import (
    AllOption,
    ColumnsOption,
    KeysOption,
    ToOption,
    document_options,
    document_path,
    translate_file,
)
from service.cli.messages import remark
from service.cli.model_options import (
    BeamOption,
    DeviceOption,
    EngineDtypeOption,
    ModelOption,
    SourceOption,
    TargetOption,
    resolve,
)
from service.cli.text_options import (
    AttributesOption,
    BanOption,
    FormatOption,
    GlossaryOption,
    KeepOption,
    PrefixOption,
    text_options,
)

if TYPE_CHECKING:
    from model.config import EngineConfig, GenerationConfig
    from model.translation import Progress, Translation
    from model.translator import Translator

__all__ = ["print_translations", "read_document", "read_lines", "settle", "translate"]

_LINES_IN_FLIGHT = 1024
"""Many more than slots, since finished lines wait for a long one before them: with 256 a third of
the slots was in use, with 1,024 three quarters."""
_NO_LINE_BREAKS = str.maketrans("\r\n", "  ")
_TextArgument = Annotated[
    str | None,
    typer.Argument(
        help="What to translate, or the name of a document; without it, lines of standard input."
    ),
]
_JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON object per line, with scores and token counts.")
]
_AlignmentsOption = Annotated[
    bool, typer.Option("--alignments", help="Below each translation, its words with the text's.")
]
_StreamOption = Annotated[
    bool, typer.Option("--stream", help="Write each part of a translation once it is decided.")
]


def translate(
    text: _TextArgument = None,
    to: ToOption = None,
    model: ModelOption = None,
    source: SourceOption = None,
    target: TargetOption = None,
    beam_size: BeamOption = None,
    device: DeviceOption = "auto",
    dtype: EngineDtypeOption = "auto",
    as_json: _JsonOption = False,
    alignments: _AlignmentsOption = False,
    stream: _StreamOption = False,
    glossary: GlossaryOption = None,
    keep: KeepOption = None,
    ban: BanOption = None,
    prefix: PrefixOption = "",
    text_format: FormatOption = "text",
    attributes: AttributesOption = False,
    columns: ColumnsOption = None,
    keys: KeysOption = None,
    retranslate: AllOption = False,
) -> None:
    """Translate in this process, without a server.

    Lines keep their order: line by line, output belongs to input. A document with markup is read
    as a whole, one of an office program or another known format by its name.

    \b
    Examples:
      polyhead translate "The animal didn't cross the street because it was tired."
      polyhead translate < english.txt > german.txt
      polyhead translate report.docx --to bericht.docx
      polyhead translate --model de-en "Das Tier war zu müde."
      polyhead translate --model nllb --source eng_Latn --target fra_Latn "Good evening."
      polyhead translate --glossary terms.tsv --keep Polyhead < english.txt
      polyhead translate --prefix "Das Tier" "The animal was tired."
      polyhead translate --format html < page.en.html > page.de.html
      polyhead translate --stream "A long text, the beginning of which is wanted soon."
    """
    options = text_options(glossary, keep, ban, prefix, text_format, attributes)
    if prefix and text is None:
        raise InvalidRequestError("`--prefix` must come with a text, but lines are read")
    document = document_path(text, to, as_lines=as_json or alignments or stream)
    directory, engine, generation = resolve(model, device, dtype, beam_size)
    how: dict[str, Any] = {
        "engine": engine, "source": source, "target": target, "generation": generation,
    }  # fmt: skip
    if document is not None:
        own = document_options(columns, keys, retranslate)
        place = translate_file(document, to, directory, options=own, text_options=options, **how)
        remark(f"{place} is the translation")
        return
    if text is None and options.format != "text":
        text = read_document(sys.stdin.buffer, hint=sys.stderr)
    print_translations(
        [text] if text is not None else read_lines(sys.stdin.buffer, hint=sys.stderr),
        directory, options=options, as_json=as_json, alignments=alignments, stream=stream,
        # Someone at a terminal waits for each answer before writing the next line.
        one_by_one=text is not None or sys.stdin.isatty(), one_line_each=text is None, **how,
    )  # fmt: skip


def read_document(stream: BinaryIO, *, hint: TextIO) -> str:
    """All of a UTF-8 stream; `hint` as in `read_lines`.

    Raises:
        InvalidRequestError: it is not UTF-8.
    """
    if stream.isatty():
        print("Write a document to translate; Ctrl-D ends.", file=hint)
    try:
        return stream.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidRequestError("the input must be UTF-8, but is not") from None


def read_lines(stream: BinaryIO, *, hint: TextIO) -> Iterator[str]:
    """The lines of a UTF-8 stream, without line ends, as they arrive.

    Args:
        hint: gets a prompt if `stream` is a terminal.

    Raises:
        InvalidRequestError: a line is not UTF-8.
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
    source: str | None = None,
    target: str | None = None,
    generation: GenerationConfig | None = None,
    as_json: bool = False,
    alignments: bool = False,
    stream: bool = False,
    options: TextOptions = NO_TEXT_OPTIONS,
    one_by_one: bool = False,
    one_line_each: bool = False,
    output: TextIO | None = None,
    progress: TextIO | None = None,
) -> None:
    """Translates `texts` and writes a line for each, in order, as soon as possible.

    Args:
        source, target: languages, where the model has several.
        alignments: below each translation, its words with those of the text.
        stream: write each part of a translation once it is decided, one text after the other.
        options: what is kept, which terms are used, how the translation begins.
        one_by_one: answer each text before the next one is read.
        one_line_each: replace line breaks within a translation by spaces.
        output: stdout by default.
        progress: for the engine's notes, and on a terminal for a bar; stderr by default.
    """
    from tqdm import tqdm

    from model.translator import Translator

    output, progress = output or _utf8_stdout(), progress or sys.stderr
    if stream and (as_json or alignments):
        raise InvalidRequestError("`--stream` must come without `--json` and `--alignments`")
    asked: dict[str, Any] = {"source": source, "target": target, "generation": generation}
    with Translator.load(directory, engine) as translator:
        settle(translator, progress)
        if stream:
            ask = partial(translator.stream_async, text_options=options, **asked)
            asyncio.run(_print_stream(texts, ask, output, one_line_each=one_line_each))
            return
        in_flight: deque[str] = deque()
        translations = translator.translate_stream(
            _noted(texts, in_flight),
            window=1 if one_by_one else _LINES_IN_FLIGHT,
            return_alignments=alignments,
            text_options=options,
            **asked,
        )
        hidden = one_by_one or not progress.isatty()
        with tqdm(file=progress, unit=" lines", disable=hidden, dynamic_ncols=True) as bar:
            for translation in translations:
                line = _line(
                    in_flight.popleft(), translation, as_json=as_json, alignments=alignments,
                    one_line_each=one_line_each,
                )  # fmt: skip
                print(line, file=output, end="", flush=True)
                bar.update()


def _line(
    text: str, translation: Translation, *, as_json: bool, alignments: bool, one_line_each: bool
) -> str:
    """What is written of a text's translation, with the end of its line."""
    line = _as_json(translation) if as_json else translation.text
    if one_line_each:
        # A vocabulary with single bytes contains line breaks.
        line = line.translate(_NO_LINE_BREAKS)
    if alignments and not as_json:
        line += _readable(text, translation)
    # A document that ends with a line break has its own.
    is_whole = not one_line_each and not alignments and line.endswith("\n")
    return line if is_whole else f"{line}\n"


async def _print_stream(
    texts: Iterable[str],
    ask: Callable[[list[str]], AsyncGenerator[Progress]],
    output: TextIO,
    *,
    one_line_each: bool,
) -> None:
    for text in texts:
        last = ""
        async for progress in ask([text]):
            for delta in progress.deltas:
                last = delta.text.translate(_NO_LINE_BREAKS) if one_line_each else delta.text
                print(last, file=output, end="", flush=True)
        if not last.endswith("\n"):
            print(file=output, flush=True)


def settle(translator: Translator, progress: TextIO) -> None:
    """Tells the engine's notes, and takes the model out of the garbage collector's way."""
    for note in translator.engine.notes:
        print(f"polyhead: {note}", file=progress)
    # Full collections would walk through the loaded model and hold the engine up.
    gc.collect()
    gc.freeze()


def _noted(texts: Iterable[str], in_flight: deque[str]) -> Iterator[str]:
    """The same texts, each kept in `in_flight` until it is taken out."""
    for text in texts:
        in_flight.append(text)
        yield text


def _readable(text: str, translation: Translation) -> str:
    """Which words are which, in the order of the text and on a line: `The:Das animal:Tier`."""
    pairs = " ".join(
        f"{text[slice(*link.source)]}:{translation.text[slice(*link.target)]}"
        for link in translation.alignments or ()
    )
    return "\n    " + pairs.translate(_NO_LINE_BREAKS)


def _as_json(translation: Translation) -> str:
    values: dict[str, Any] = {
        "text": translation.text,
        "finish_reason": str(translation.finish_reason),
        "score": translation.score,
        "hypotheses": [{"text": one.text, "score": one.score} for one in translation.hypotheses],
        "source_tokens": translation.source_tokens,
        "target_tokens": translation.target_tokens,
    }
    if translation.alignments is not None:
        values["alignments"] = [link._asdict() for link in translation.alignments]
    return json.dumps(values, ensure_ascii=False)


def _utf8_stdout() -> TextIO:
    # Independent of the locale.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    return sys.stdout
