"""The compiled engine, made ready before anybody waits for it without knowing why.

Whoever starts an engine compiles it if need be, and all who start at the same time wait for one of
them. Here it is done, and said, ahead of that: a start then only loads what is there. Replicas on
other machines still do it themselves.
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
    engine: EngineConfig, *, say: Callable[[str], None]
) -> tuple[EngineConfig, str | None]:
    """Compiles the engine for this machine's CPU, if it is to run there and that is still to do.

    Args:
        engine: how an engine is to be run on this machine.
        say: is told that it will take a while, if it will.

    Returns:
        `engine` as it can be had here, and why it is plain PyTorch instead, if it is.

    Raises:
        NativeBuildError: it cannot be had, and `engine` asks for it or for a type only it has.
    """
    instruction_set = detect()
    # Asked last: torch may be imported to know it, which those who find the library do not need.
    if library_path(instruction_set) is not None or chosen_backend(engine) != "native":
        return engine, None
    try:
        find_compiler()
        say(f"compiling the engine for this CPU ({instruction_set}): it takes some seconds, once")
        build(instruction_set)
    except NativeBuildError as error:
        if may_fall_back(engine):
            return replace(engine, backend="eager"), fallback_note(error)
        what = "`dtype` int8" if engine.dtype == "int8" else "`backend` native"
        raise NativeBuildError(f"{what} needs the compiled engine, but {error}") from error
    return engine, None
