"""interface.h in ctypes: the same structures and functions, in the same order."""

from __future__ import annotations

import ctypes
from ctypes import (
    POINTER,
    byref,
    c_char_p,
    c_double,
    c_float,
    c_int,
    c_int32,
    c_int64,
    c_size_t,
    c_uint64,
)
from ctypes import c_void_p as pointer
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any

from model.config import SEQUENCE_OPTIONS
from model.errors import BackendUnavailableError

__all__ = [
    "CHypothesis",
    "CModelConfig",
    "COutcome",
    "CPhrase",
    "CSequence",
    "Status",
    "load",
]


class Status(IntEnum):
    """What became of a call."""

    OK = 0
    NOT_FINITE = 1
    OUT_OF_MEMORY = 2
    BAD_SOURCE = 3
    BAD_SEARCH = 4
    BAD_SLOTS = 5
    BAD_ID = 6
    UNKNOWN_NAME = 7
    BAD_SHAPE = 8


class CModelConfig(ctypes.Structure):
    """PhModelConfig."""

    _fields_ = (
        *((name, c_int32) for name in (
            "precision", "src_vocab_size", "tgt_vocab_size", "d_model", "d_ff", "num_heads",
            "num_encoder_layers", "num_decoder_layers", "max_positions", "pre_norm", "activation",
            "decoder_kind", "d_average", "shared_embeddings", "tied_projection", "bos_id", "eos_id",
            "num_threads",
        )),
        ("embedding_scale", c_float),
        ("layer_norm_eps", c_float),
    )  # fmt: skip


class COptions(ctypes.Structure):
    """PhOptions."""

    _fields_ = tuple(
        (option.name, c_double if option.kind is float else c_int32) for option in SEQUENCE_OPTIONS
    )


class CField(ctypes.Structure):
    """PhField."""

    _fields_ = (("name", c_char_p), ("offset", c_int32), ("size", c_int32))


class CPhrase(ctypes.Structure):
    """PhPhrase."""

    _fields_ = tuple(
        (name, c_int32) for name in ("num_forms", "place_first", "place_last", "required")
    )


class CSequence(ctypes.Structure):
    """PhSequence."""

    _fields_ = (
        ("id", c_int64),
        ("source", pointer),
        ("slots", pointer),
        ("prefix", pointer),
        ("shortlist", pointer),
        ("source_len", c_int32),
        ("beam_size", c_int32),
        ("max_new_tokens", c_int32),
        ("prefix_len", c_int32),
        ("shortlist_len", c_int32),
        ("align_first", c_int32),
        ("align_last", c_int32),
        ("phrases", pointer),
        ("form_lengths", pointer),
        ("form_tokens", pointer),
        ("guarded", pointer),
        ("banned_lengths", pointer),
        ("banned_tokens", pointer),
        ("num_phrases", c_int32),
        ("num_forms", c_int32),
        ("num_form_tokens", c_int32),
        ("num_banned", c_int32),
        ("num_banned_tokens", c_int32),
        ("reports", c_int32),
        ("options", COptions),
    )


class CHypothesis(ctypes.Structure):
    """PhHypothesis."""

    _fields_ = (
        ("id", c_int64),
        ("tokens", POINTER(c_int32)),
        ("attended", POINTER(c_int32)),
        ("num_tokens", c_int32),
        ("num_attended", c_int32),
        ("stopped", c_int32),
        ("missed_begin", c_int32),
        ("missed_step", c_int32),
        ("score", c_double),
        ("log_prob", c_double),
    )


class CDecided(ctypes.Structure):
    """PhDecided."""

    _fields_ = (
        ("id", c_int64),
        ("tokens", POINTER(c_int32)),
        ("num_tokens", c_int32),
    )


class COutcome(ctypes.Structure):
    """PhOutcome."""

    _fields_ = (
        ("hypotheses", POINTER(CHypothesis)),
        ("decided", POINTER(CDecided)),
        ("num_hypotheses", c_int32),
        ("num_decided", c_int32),
        ("steps", c_int32),
        ("rows", c_int64),
        ("encode_seconds", c_double),
        ("first_step_seconds", c_double),
        ("decode_seconds", c_double),
        ("status", c_int32),
    )


_SIGNATURES: dict[str, tuple[Any, ...]] = {  # what is returned, then the arguments
    "ph_options": (POINTER(CField), POINTER(c_int)),
    "ph_model_new": (pointer, POINTER(CModelConfig)),
    "ph_model_free": (None, pointer),
    "ph_model_set_linear": (c_int, pointer, c_char_p, pointer, pointer, c_int, c_int),
    "ph_model_set_norm": (c_int, pointer, c_char_p, pointer, pointer),
    "ph_model_set_positions": (None, pointer, pointer, pointer),
    "ph_model_set_alignment_heads": (c_int, pointer, pointer, c_int),
    "ph_model_missing": (c_char_p, pointer),
    "ph_model_bytes": (c_size_t, pointer),
    "ph_runner_new": (pointer, pointer, c_int),
    "ph_runner_free": (None, pointer),
    "ph_runner_interrupt": (None, pointer),
    "ph_runner_execute": (
        None, pointer, pointer, c_int, pointer, c_int, pointer, c_int, c_int, POINTER(COutcome),
    ),
    "ph_runner_num_running": (c_size_t, pointer),
    "ph_runner_cache": (pointer, pointer, POINTER(c_size_t)),
    "ph_quantise_rows": (None, pointer, c_size_t, c_size_t, c_uint64, pointer, pointer),
    "ph_quantise_columns": (
        None, pointer, pointer, c_size_t, c_size_t, c_uint64, pointer, pointer,
    ),
    "ph_rescale": (None, pointer, c_size_t, c_size_t, pointer, pointer, pointer, pointer),
    "ph_projection_gradient": (
        None, pointer, c_size_t, c_size_t, pointer, pointer, pointer, c_float, c_uint64, pointer,
        pointer, pointer, pointer,
    ),
}  # fmt: skip


@cache
def load(path: Path) -> ctypes.CDLL:
    """A compiled library. Its functions run without the GIL.

    Raises:
        BackendUnavailableError: it cannot be loaded, for one because its file system forbids it.
        RuntimeError: interface.h has other options than GenerationConfig.
    """
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise BackendUnavailableError(f"the compiled engine cannot be loaded: {error}") from error
    for name, (result, *arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    _check_options(library)
    return library


def _check_options(library: ctypes.CDLL) -> None:
    count = c_int()
    listed = library.ph_options(byref(count))
    found = [(each.name.decode(), each.offset, each.size) for each in listed[: count.value]]
    fields = [(option.name, getattr(COptions, option.name)) for option in SEQUENCE_OPTIONS]
    expected = [(name, field.offset, field.size) for name, field in fields]
    if found != expected:
        raise RuntimeError(
            f"PH_OPTIONS must be, as (name, offset, size), {expected}, but is {found}"
        )
