"""Memory that is free, but that the C library keeps."""

from __future__ import annotations

import ctypes

__all__ = ["free_large_blocks_at_once", "give_back_free_memory"]

_MMAP_THRESHOLD = -3
"""M_MMAP_THRESHOLD of malloc.h."""


def give_back_free_memory() -> None:
    """Hands the free parts of the heap back to the system, where the C library can.

    In training, batches of ever new shapes leave glibc's heap full of holes that fit no later
    tensor: it grew to five times of what was in use. After a model is loaded or dropped, the heap
    keeps what its weights were read through. To give it back now and then costs nothing measurable.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def free_large_blocks_at_once() -> None:
    """Has the C library, for the rest of the process, take blocks of a mebibyte or more from the
    system one by one, and give each back as it is freed.

    glibc stops doing so for sizes that were freed once. What a model was read through then stays in
    the heap of the thread that read it, where nothing else gives it back.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_MMAP_THRESHOLD, 1 << 20)
