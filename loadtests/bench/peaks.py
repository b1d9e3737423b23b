"""What the processor can do at most, and how much of that a model asks of it."""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np

from model.config import TransformerConfig
from model.engine.native.build import InstructionSet, compile_library

__all__ = ["Peaks", "measure_peaks", "operations"]

Peaks = dict[str, dict[str, float]]
"""By "one_thread" and "all_threads": `float32`, `bfloat16` and `int8` in operations a second, a
multiply-add being two of them, where there is an instruction for the type; `read`, bytes a second.
"""

_SOURCE = Path(__file__).with_name("peak.cc")
_DTYPES = ("float32", "bfloat16", "int8")
_SECONDS = 0.15
_BUFFERS = 2**29
"""Bytes that all threads read together: more than caches hold."""
_LINE = 64


def measure_peaks(cores: Sequence[int], instruction_set: InstructionSet) -> Peaks:
    """Measures on the first of these CPUs, and on all of them at the same time.

    Raises:
        NativeBuildError: there is no C++ compiler, or it failed.
    """
    with tempfile.TemporaryDirectory(prefix="polyhead-peak-") as folder:
        library = Path(folder) / "peak.so"
        compile_library(_SOURCE, library, instruction_set)
        functions = ctypes.CDLL(str(library))
    peaks = {
        "one_thread": _on_each(cores[:1], functions),
        "all_threads": _on_each(cores, functions),
    }
    # A type for which the machine has nothing is none of its peaks.
    return {at: {of: rate for of, rate in rates.items() if rate} for at, rates in peaks.items()}


def _on_each(cores: Sequence[int], functions: ctypes.CDLL) -> dict[str, float]:
    """The sums over a thread on each of these CPUs."""
    barrier = Barrier(len(cores))
    size = _BUFFERS // len(cores) // _LINE * _LINE

    def measure(core: int) -> dict[str, float]:
        os.sched_setaffinity(0, {core})  # of this thread alone
        # Written once: what was never written is one page for the whole buffer.
        buffer = np.ones(size, dtype=np.uint8)
        found = {}
        for dtype in _DTYPES:
            barrier.wait()
            found[dtype] = _rate(functions[f"peak_{dtype}"])
        barrier.wait()
        where = ctypes.c_void_p(buffer.ctypes.data)
        found["read"] = _rate(functions["read_rate"], where, ctypes.c_size_t(size))
        return found

    with ThreadPoolExecutor(len(cores)) as threads:
        each = list(threads.map(measure, cores))
    return {name: sum(found[name] for found in each) for name in each[0]}


def _rate(function: Callable[..., float], *arguments: object) -> float:
    function.restype = ctypes.c_double  # type: ignore[attr-defined]
    return function(*arguments, ctypes.c_double(_SECONDS))


def operations(config: TransformerConfig, source_tokens: int, rows: int) -> int:
    """What all products with weights take: two for each multiply-add; those of attention are few
    as long as sentences are short, and do not count.

    Args:
        source_tokens: that are encoded.
        rows: of all decode steps: target tokens, for each hypothesis of a beam.
    """
    square = config.d_model**2
    feed_forward = 2 * config.d_model * config.d_ff
    encoding = config.num_encoder_layers * (4 * square + feed_forward)
    encoding += config.num_decoder_layers * 2 * square  # keys and values of cross-attention
    decoding = config.num_decoder_layers * (6 * square + feed_forward)
    decoding += config.d_model * config.tgt_vocab_size
    return 2 * (source_tokens * encoding + rows * decoding)
