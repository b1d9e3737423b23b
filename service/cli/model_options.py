"""Options of the commands that run a model in this process, and what they stand for."""

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
    "engine_config",
    "generation_config",
]

ModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Model directory, or en-de, de-en  [default: en-de]"),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
DTYPES = "auto, int8, float32 or bfloat16"
AUTO_DTYPE = "auto: int8 on the CPU, bfloat16 on CUDA"
EngineDtypeOption = Annotated[str, typer.Option("--dtype", help=f"{DTYPES}; {AUTO_DTYPE}.")]
BeamOption = Annotated[
    int | None,
    typer.Option("--beam-size", min=1, help="Hypotheses kept  [default: the model's own choice]"),
]


def engine_config(directory: Path, *, device: str, dtype: str) -> EngineConfig:
    """How this process is to run a model, once that is possible; stderr hears of what takes time.

    Raises:
        CheckpointError: there is no model; that is known before anything is compiled for it.
        NativeBuildError: it cannot be run like that here.
    """
    from model.checkpoints.checkpoint import read_manifest
    from model.config import EngineConfig
    from service.launcher.compilation import compile_ahead

    read_manifest(directory)
    engine = EngineConfig(device=device, dtype=dtype)
    engine, note = compile_ahead(engine, say=remark)
    if note is not None:
        remark(note)
    return engine


def generation_config(directory: Path, beam_size: int | None) -> GenerationConfig | None:
    """The model's own search with another beam; None leaves it as it is."""
    if beam_size is None:
        return None
    from model.checkpoints.checkpoint import read_manifest

    own = read_manifest(directory).generation
    return replace(own, beam_size=beam_size, num_hypotheses=min(own.num_hypotheses, beam_size))
