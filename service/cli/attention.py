"""`polyhead attention`: where a model attends for one sentence, in JSON and as a picture."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from model.errors import InvalidRequestError
from service.cli.model_options import (
    DeviceOption,
    EngineDtypeOption,
    ModelOption,
    SourceOption,
    TargetOption,
    resolve,
)

if TYPE_CHECKING:
    from model.translation import SentenceAttention

__all__ = ["attention", "draw"]

_PICTURES = (".png", ".svg", ".pdf")
_MOST_NUMBERS = 500_000
_INCHES = 0.2
"""Size of a token, on either side of a map."""
_LEAST_INCHES = 1.5
_MOST_INCHES = 4.0
"""Size of a side of a map."""


def attention(
    text: Annotated[str, typer.Argument(help="One sentence.")],
    model: ModelOption = None,
    source: SourceOption = None,
    target: TargetOption = None,
    device: DeviceOption = "auto",
    dtype: EngineDtypeOption = "auto",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A file for the JSON  [default: standard output]"),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="A file for a picture of all maps (.png, .svg, .pdf); needs matplotlib."),
    ] = None,
    max_numbers: Annotated[
        int, typer.Option(min=1, help="Most numbers of all maps together.")
    ] = _MOST_NUMBERS,
) -> None:
    """Tell where each head of a model attends for one sentence and its translation.

    For the encoder, the decoder and between them, by layer and head: how much each token attends to
    each other one, and each head's entropy. Clues to what the model does, no proof: what a head
    attends to need not be what decides.

    \b
    Examples:
      polyhead attention "The animal was tired." > attention.json
      polyhead attention --plot attention.png --output attention.json "The animal was tired."
    """
    from model.translator import Translator
    from service.gateway.api.attention_json import attention_json

    if plot is not None:
        _check_plot(plot)
    directory, engine, _ = resolve(model, device, dtype, None)
    with Translator.load(directory, engine) as translator:
        found = asyncio.run(
            translator.attention_async(text, most_numbers=max_numbers, source=source, target=target)
        )
    answer = attention_json(found, translator.name) + b"\n"
    if output is None:
        sys.stdout.buffer.write(answer)
    else:
        output.write_bytes(answer)
    if plot is not None:
        draw(found, plot)


def draw(attention: SentenceAttention, file: Path) -> None:
    """Draws all maps: a row for each layer, a column for each head, darker for more attention.

    Args:
        attention: of a sentence.
        file: what is written; its ending says in which format.
    """
    from matplotlib.figure import Figure

    sources, targets = attention.source_tokens, attention.target_tokens
    kinds = [("encoder", attention.encoder, sources, sources)]
    if attention.decoder is not None:
        kinds.append(("decoder", attention.decoder, targets, targets))
    kinds.append(("cross", attention.cross, targets, sources))
    rows = [
        (f"{kind} {layer + 1}", heads, entropies, of, to)
        for kind, found, of, to in kinds
        for layer, (heads, entropies) in enumerate(zip(found.maps, found.entropies, strict=True))
    ]
    side = min(_MOST_INCHES, max(_LEAST_INCHES, _INCHES * max(len(sources), len(targets))))
    num_heads = len(rows[0][1])
    figure = Figure(figsize=(side * num_heads, side * len(rows)), layout="constrained")
    figure.suptitle(attention.translation.text, parse_math=False)
    axes = figure.subplots(len(rows), num_heads, squeeze=False)
    for (name, heads, entropies, of, to), of_layer in zip(rows, axes, strict=True):
        for head, (panel, shares, entropy) in enumerate(
            zip(of_layer, heads, entropies, strict=True), start=1
        ):
            panel.imshow(shares, cmap="Greys", vmin=0, vmax=1, aspect="auto")
            panel.set_title(f"{name}, head {head}: {entropy:.2f}", fontsize=7)
            panel.set_xticks(range(len(to)), to, rotation=90, fontsize=5, parse_math=False)
            panel.set_yticks(
                range(len(of)), of if head == 1 else [""] * len(of), fontsize=5, parse_math=False
            )
    figure.savefig(file, dpi=100)


def _check_plot(file: Path) -> None:
    """InvalidRequestError if nothing can be drawn there."""
    if file.suffix.lower() not in _PICTURES:
        raise InvalidRequestError(
            f"`--plot` must be a file that ends in {', '.join(_PICTURES)}, but is {file.name}"
        )
    if importlib.util.find_spec("matplotlib") is None:
        raise InvalidRequestError("`--plot` must find matplotlib installed, but does not")
