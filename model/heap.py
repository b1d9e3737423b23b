"""Memory that is free, but that the C library keeps."""

from __future__ import annotations

import ctypes

__all__ = ["give_back_free_memory"]


def give_back_free_memory() -> None:
    """Hands the free parts of the heap back to the system, where the C library can.

    In training, batches of ever new shapes leave glibc's heap full of holes that fit no later
    tensor: it grew to five times of what was in use. After a model is loaded or dropped, the heap
    keeps what its weights were read through. To give it back now and then costs nothing measurable.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
