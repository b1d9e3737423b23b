"""`polyhead translate`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from service.cli.model_options import (
    BeamOption,
    DeviceOption,
    EngineDtypeOption,
    ModelOption,
    engine_config,
    generation_config,
)

__all__ = ["translate"]


def translate(
    text: Annotated[
        str | None, typer.Argument(help="What to translate; without it, lines of standard input.")
    ] = None,
    model: ModelOption = None,
    beam_size: BeamOption = None,
    device: DeviceOption = "auto",
    dtype: EngineDtypeOption = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per line, with scores and token counts.")
    ] = False,
) -> None:
    """Translate in this process, without a server.

    Lines keep their order: line by line, output belongs to input.

    \b
    Examples:
      polyhead translate "The animal didn't cross the street because it was tired."
      polyhead translate < english.txt > german.txt
      polyhead translate --model de-en "Das Tier war zu müde."
      polyhead translate --beam-size 1 --json < english.txt
    """
    from model.checkpoints.embedded import DEFAULT, model_directory
    from service.cli.translate_lines import print_translations, read_lines

    directory = DEFAULT if model is None else model_directory(model)
    print_translations(
        [text] if text is not None else read_lines(sys.stdin.buffer, hint=sys.stderr),
        directory,
        engine=engine_config(directory, device=device, dtype=dtype),
        generation=generation_config(directory, beam_size),
        as_json=as_json,
        # A person at a terminal waits for each line's answer before writing the next one.
        one_by_one=text is not None or sys.stdin.isatty(),
        one_line_each=text is None,
    )
