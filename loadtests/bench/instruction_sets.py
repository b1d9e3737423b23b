"""One instruction set for all contenders, where a lesser one is forced."""

from __future__ import annotations

import os
import platform

from loadtests.bench.contender import BenchError
from model.engine.native.build import (
    INSTRUCTION_SET_VARIABLE,
    InstructionSet,
    detect,
    usable_sets,
)

__all__ = ["environment", "forced_set"]

_VARIABLES = (
    "CT2_FORCE_CPU_ISA", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "ATEN_CPU_CAPABILITY",
)  # fmt: skip
"""By which CTranslate2, the libraries of products that it and PyTorch use, and PyTorch are told."""
_NEON = ("NEON", "ADVANCED_SIMD", "", "default")
_VALUES = {
    "avx512-bf16": ("AVX512", "AVX512_CORE_BF16", "AVX512_E3", "avx512"),
    "avx512-vnni": ("AVX512", "AVX512_CORE_VNNI", "AVX512_E1", "avx512"),
    "avx-vnni": ("AVX2", "AVX2_VNNI", "AVX2_E1", "avx2"),
    "avx2": ("AVX2", "AVX2", "AVX2", "avx2"),
    "baseline": ("GENERIC", "SSE41", "SSE4_2", "default"),
    "neon-i8mm": _NEON,
    "neon-dotprod": _NEON,
}
"""Their words for each of ours; empty where they have none. Of NEON's extensions they know none by
name: with CTranslate2 the CPU decides."""


def forced_set(named: str | None) -> InstructionSet | None:
    """The instruction set that an option names, or else the environment; None if neither does.

    Raises:
        BenchError: the option names none that this machine has.
        InvalidRequestError: the environment does.
    """
    if named is None:
        return detect() if os.environ.get(INSTRUCTION_SET_VARIABLE) else None
    if named not in usable_sets():
        raise BenchError(
            f"`instruction_set` must be one of {', '.join(usable_sets())}, which this machine has, "
            f"but is {named!r}"
        )
    return InstructionSet(named)


def environment(forced: InstructionSet | None) -> dict[str, str]:
    """The variables that hold every contender to an instruction set; none where none is forced.

    Raises:
        BenchError: it is not known how others are told.
    """
    if forced is None:
        return {}
    if forced not in _VALUES:
        raise BenchError(f"others cannot be held to {forced}, only to {', '.join(_VALUES)}")
    words = _NEON if platform.machine() == "aarch64" else _VALUES[forced]
    theirs = {name: word for name, word in zip(_VARIABLES, words, strict=True) if word}
    return {INSTRUCTION_SET_VARIABLE: str(forced), **theirs}
