"""Ahead-of-time compilation of the native engine, so that replicas start without it.

An engine that starts compiles its library if need be. On other machines replicas still do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from model.config import EngineConfig
from model.engine.backends import chosen_backend, fallback_note, may_fall_back
from model.engine.native.build import (
    NativeBuildError,
    build,
    detect,
    find_compiler,
    library_path,
)

__all__ = ["compile_ahead"]


def compile_ahead(
    engine: EngineConfig, *, notify: Callable[[str], None]
) -> tuple[EngineConfig, str | None]:
    """Compiles the native engine for this machine's CPU, if `engine` needs it and there is none.

    Args:
        engine: the wanted configuration.
        notify: called with a message before a compilation, which takes some seconds.

    Returns:
        The configuration that can run here, and why it falls back to plain PyTorch, if it does.

    Raises:
        NativeBuildError: the compilation failed, and `engine` has no fallback.
    """
    instruction_set = detect()
    # In this order, since `chosen_backend` may import torch.
    if library_path(instruction_set) is not None or chosen_backend(engine) != "native":
        return engine, None
    try:
        find_compiler()
        notify(
            f"compiling the engine for this CPU ({instruction_set}): it takes some seconds, once"
        )
        build(instruction_set)
    except NativeBuildError as error:
        if may_fall_back(engine):
            return replace(engine, backend="eager"), fallback_note(error)
        what = "`dtype` int8" if engine.dtype == "int8" else "`backend` native"
        if engine.backend == "auto" and engine.dtype != "int8":
            what = "an installation without PyTorch"
        raise NativeBuildError(f"{what} needs the compiled engine, but {error}") from error
    return engine, None
