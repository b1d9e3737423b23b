"""The compiled engine, made ready before anybody waits for it without knowing why.

Whoever starts an engine compiles it if need be, and all who start at the same time wait for one of
them. Here it is done, and said, ahead of that: a start then only loads what is there. Replicas on
other machines still do it themselves.
"""

from __future__ import annotations

from collections.abc import Callable

from model.config import EngineConfig
from model.native.build import (
    NativeBuildError,
    build,
    detect,
    find_compiler,
    library_path,
)

__all__ = ["compile_ahead"]


def compile_ahead(engine: EngineConfig, *, say: Callable[[str], None]) -> str | None:
    """Compiles the engine for this machine's CPU, if it is to run there and that is still to do.

    Args:
        engine: how an engine is to be run on this machine.
        say: is told that it will take a while, if it will.

    Returns:
        Why it cannot be had here, when plain PyTorch may do instead; None otherwise.

    Raises:
        NativeBuildError: it cannot be had, and `engine` asks for it or for a type only it has.
    """
    if engine.backend not in ("auto", "native") or engine.dtype == "float64":
        return None
    instruction_set = detect()
    if library_path(instruction_set) is not None or _runs_elsewhere(engine):
        return None
    try:
        find_compiler()
        say(f"compiling the engine for this CPU ({instruction_set}): it takes some seconds, once")
        build(instruction_set)
    except NativeBuildError as error:
        if engine.dtype == "int8" or engine.backend == "native":
            what = "`dtype` int8" if engine.dtype == "int8" else "`backend` native"
            raise NativeBuildError(f"{what} needs the compiled engine, but {error}") from error
        return f"the engine runs on plain PyTorch, which is slower: {error}"
    return None


def _runs_elsewhere(engine: EngineConfig) -> bool:
    """Whether not on the CPU."""
    if engine.backend == "native" or engine.device == "cpu":
        return False
    if engine.device != "auto":
        return True
    # Asked last: a second for the import, which those who find the library do not spend.
    import torch

    return torch.cuda.is_available()
