"""Options of the commands that run a model in this process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.messages import remark

if TYPE_CHECKING:
    from model.config import EngineConfig, GenerationConfig

__all__ = [
    "AUTO_DTYPE",
    "DTYPES",
    "BeamOption",
    "DeviceOption",
    "EngineDtypeOption",
    "ModelOption",
    "SourceOption",
    "TargetOption",
    "resolve",
]

ModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Name of a model, or a model directory  [default: en-de]"),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
DTYPES = "auto, int8, float32 or bfloat16"
AUTO_DTYPE = "auto: int8 on the CPU, bfloat16 on CUDA"
EngineDtypeOption = Annotated[str, typer.Option("--dtype", help=f"{DTYPES}; {AUTO_DTYPE}.")]
BeamOption = Annotated[
    int | None,
    typer.Option("--beam-size", min=1, help="Hypotheses kept  [default: the model's own choice]"),
]


SourceOption = Annotated[
    str | None,
    typer.Option(help="Language of the text, for a model that translates from several."),
]
TargetOption = Annotated[
    str | None,
    typer.Option(help="Language to translate into, for a model that has several."),
]


def resolve(
    model: str | None, device: str, dtype: str, beam_size: int | None
) -> tuple[Path, EngineConfig, GenerationConfig | None]:
    """The model directory, the engine (compiled, if need be), and the search; None for its default.

    Raises:
        CheckpointError: there is no such model; nothing was compiled.
        NativeBuildError: the engine cannot be compiled, and has no fallback.
    """
    from model.checkpoints.embedded import DEFAULT, model_directory
    from model.checkpoints.manifest import read_manifest
    from model.config import EngineConfig
    from service.launcher.compilation import compile_ahead

    directory = DEFAULT if model is None else model_directory(model)
    own = read_manifest(directory).generation
    engine, note = compile_ahead(EngineConfig(device=device, dtype=dtype), notify=remark)
    if note is not None:
        remark(note)
    if beam_size is None:
        return directory, engine, None
    num_hypotheses = min(own.num_hypotheses, beam_size)
    return directory, engine, replace(own, beam_size=beam_size, num_hypotheses=num_hypotheses)
