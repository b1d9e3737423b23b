"""The C++ engine as Python sees it: a model with packed weights, and runners that share it."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
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
    c_uint8,
)
from ctypes import c_void_p as pointer
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.config import Activation, GenerationConfig, NormOrder
from model.decoding.search import FinishReason, Hypothesis
from model.errors import BackendUnavailableError
from model.native.build import build
from model.transformer import Embedding, Transformer

__all__ = ["PRECISIONS", "NativeModel", "NativeOutcome", "NativeRequest", "NativeState"]

PRECISIONS = {"float32": 0, "bfloat16": 1, "int8": 2}
"""What products can be computed in, and the library's numbers for them."""

_ACTIVATIONS = {Activation.RELU: 1, Activation.GELU: 2, Activation.SILU: 3}


class _ModelConfig(ctypes.Structure):
    _fields_ = (
        *((name, c_int32) for name in (
            "precision", "src_vocab_size", "tgt_vocab_size", "d_model", "d_ff", "num_heads",
            "num_encoder_layers", "num_decoder_layers", "max_positions", "pre_norm", "activation",
            "bos_id", "eos_id", "num_threads",
        )),
        ("embedding_scale", c_float),
        ("layer_norm_eps", c_float),
    )  # fmt: skip


class _Sequence(ctypes.Structure):
    _fields_ = (
        ("id", c_int64),
        ("source", pointer),
        ("slots", pointer),
        ("source_len", c_int32),
        ("beam_size", c_int32),
        ("max_new_tokens", c_int32),
        ("num_hypotheses", c_int32),
        ("no_repeat_ngram_size", c_int32),
        ("length_penalty", c_double),
        ("repetition_penalty", c_double),
    )


class _Hypothesis(ctypes.Structure):
    _fields_ = (
        ("id", c_int64),
        ("tokens", POINTER(c_int32)),
        ("num_tokens", c_int32),
        ("stopped", c_int32),
        ("score", c_double),
        ("log_prob", c_double),
    )


class _Outcome(ctypes.Structure):
    _fields_ = (
        ("hypotheses", POINTER(_Hypothesis)),
        ("num_hypotheses", c_int32),
        ("steps", c_int32),
        ("rows", c_int64),
        ("encode_seconds", c_double),
        ("first_step_seconds", c_double),
        ("decode_seconds", c_double),
        ("error", c_int32),
    )


@dataclass(frozen=True, kw_only=True)
class NativeRequest:
    """A source and how to search for its target."""

    id: int
    source_ids: Sequence[int]
    slots: Sequence[int]
    generation: GenerationConfig
    max_new_tokens: int


@dataclass(frozen=True, kw_only=True)
class NativeOutcome:
    """What one call did."""

    finished: dict[int, tuple[Hypothesis, ...]]
    """By id, best first."""
    steps: int
    rows: int
    encode_seconds: float
    first_step_seconds: float
    decode_seconds: float


@cache
def _load(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    signatures: dict[str, tuple[Any, ...]] = {
        "ph_model_new": (pointer, POINTER(_ModelConfig)),
        "ph_model_free": (None, pointer),
        "ph_model_set_linear": (c_int, pointer, c_char_p, pointer, pointer, c_int, c_int),
        "ph_model_set_norm": (c_int, pointer, c_char_p, pointer, pointer),
        "ph_model_set_embeddings": (None, pointer, pointer, pointer, pointer, pointer),
        "ph_model_missing": (c_char_p, pointer),
        "ph_model_bytes": (c_size_t, pointer),
        "ph_runner_new": (pointer, pointer, c_int),
        "ph_runner_free": (None, pointer),
        "ph_runner_interrupt": (None, pointer),
        "ph_runner_execute": (
            None, pointer, pointer, c_int, pointer, c_int, c_int, POINTER(_Outcome),
        ),
        "ph_runner_num_running": (c_size_t, pointer),
        "ph_runner_cache": (pointer, pointer, POINTER(c_size_t)),
    }  # fmt: skip
    for name, (result, *arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class NativeModel:
    """Packed weights, read-only from now on and shared by any number of runners.

    Args:
        model: its weights are packed; of it only the embedding tables are kept.
        precision: of the matrix products: "float32", "bfloat16" or "int8" (weights scaled for each
            output, inputs for each row). All the rest is float32.
        num_threads: that compute together when only one of the runners works.
        library: a compiled library; this machine's best when not given.

    Raises:
        BackendUnavailableError: there is no such precision; or no library, and it cannot be
            compiled.
        MemoryError: there is no memory for the weights.
    """

    def __init__(
        self,
        model: Transformer,
        precision: str,
        *,
        num_threads: int = 1,
        library: Path | None = None,
    ) -> None:
        if precision not in PRECISIONS:
            raise BackendUnavailableError(
                f"`precision` must be {', '.join(PRECISIONS)}, but is {precision!r}"
            )
        self.config = model.config
        self.precision = precision
        self._library = _load(library or build())
        config = _model_config(model, precision, num_threads)
        self._handle = self._library.ph_model_new(byref(config))
        if not self._handle:
            raise MemoryError("no memory, or no threads, for the model")
        for name, linears in _linears(model):
            self._set_linear(name, linears)
        for name, norm in _norms(model):
            gain, bias = _array(norm.weight), _array(norm.bias)
            self._check(
                self._library.ph_model_set_norm(
                    self._handle, name.encode(), gain.ctypes.data, bias.ctypes.data
                ),
                name,
            )
        self._tables = [
            *_embedding_tables(model.src_embedding),
            *_embedding_tables(model.tgt_embedding),
        ]
        self._library.ph_model_set_embeddings(
            self._handle, *(table.ctypes.data for table in self._tables)
        )
        if missing := self._library.ph_model_missing(self._handle):
            raise RuntimeError(f"{missing.decode()} was not set")

    @property
    def size_bytes(self) -> int:
        """Packed weights and embedding tables."""
        distinct = {table.ctypes.data: table.nbytes for table in self._tables}
        return int(self._library.ph_model_bytes(self._handle)) + sum(distinct.values())

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._library.ph_model_free(self._handle)
            self._handle = None

    def _set_linear(self, name: str, linears: Sequence[nn.Linear]) -> None:
        """Linears that read the same input become one, their outputs side by side."""
        weight = np.concatenate([_array(linear.weight) for linear in linears])
        bias = None
        if linears[0].bias is not None:
            bias = np.concatenate([_array(linear.bias) for linear in linears])
        outputs, inputs = weight.shape
        status = self._library.ph_model_set_linear(
            self._handle, name.encode(), weight.ctypes.data,
            None if bias is None else bias.ctypes.data, outputs, inputs,
        )  # fmt: skip
        self._check(status, name)

    def _check(self, status: int, name: str) -> None:
        if status == 1:
            raise RuntimeError(f"the compiled engine knows no {name!r}")
        if status:
            raise MemoryError(f"no memory for {name!r}")


class NativeState:
    """The KV cache and the running sequences of one worker; used by one thread at a time."""

    def __init__(self, model: NativeModel, max_slots: int) -> None:
        self._model = model  # must outlive the handle
        self._library = model._library
        self._handle = self._library.ph_runner_new(model._handle, max_slots)
        if not self._handle:
            raise MemoryError(f"no memory for a KV cache of {max_slots} slots")

    def execute(
        self, removed: Sequence[int], newcomers: Sequence[NativeRequest], max_steps: int
    ) -> NativeOutcome:
        """Forgets `removed` ids, encodes `newcomers`, decodes until one finishes.

        Returns after the first step in which a sequence finished, after `max_steps` steps, or after
        the current one when interrupted.

        Raises:
            RuntimeError: the model's predictions are not finite.
            MemoryError: scratch memory ran out.
        """
        removed_ids = np.array(removed, dtype=np.int64)
        requests, kept = _requests(newcomers)
        outcome = _Outcome()
        self._library.ph_runner_execute(
            self._handle, removed_ids.ctypes.data, len(removed), requests, len(newcomers),
            max_steps, byref(outcome),
        )  # fmt: skip
        del kept
        if outcome.error == 2:
            raise MemoryError("no memory for a decode step")
        if outcome.error:
            raise RuntimeError("the model's predictions must be finite, but are not")
        return _outcome(outcome)

    def interrupt(self) -> None:
        """From any thread: `execute` returns after its current step."""
        self._library.ph_runner_interrupt(self._handle)

    @property
    def num_running(self) -> int:
        """Sequences it remembers."""
        return int(self._library.ph_runner_num_running(self._handle))

    def cache_bytes(self) -> NDArray[np.uint8]:
        """The KV cache as one writable row of bytes; reading it all takes all its memory."""
        size = c_size_t()
        address = self._library.ph_runner_cache(self._handle, byref(size))
        return np.ctypeslib.as_array(ctypes.cast(address, POINTER(c_uint8)), shape=(size.value,))

    def close(self) -> None:
        """Frees the memory; nothing may follow."""
        if self._handle:
            self._library.ph_runner_free(self._handle)
            self._handle = None

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self.close()


def _requests(newcomers: Sequence[NativeRequest]) -> tuple[Any, list[NDArray[np.int32]]]:
    """The C structures, and the arrays they point into."""
    structures = (_Sequence * len(newcomers))()
    kept = []
    for structure, request in zip(structures, newcomers, strict=True):
        source = np.array(request.source_ids, dtype=np.int32)
        slots = np.array(request.slots, dtype=np.int32)
        kept += [source, slots]
        generation = request.generation
        structure.id = request.id
        structure.source, structure.source_len = source.ctypes.data, len(source)
        structure.slots, structure.beam_size = slots.ctypes.data, len(slots)
        structure.max_new_tokens = request.max_new_tokens
        structure.num_hypotheses = generation.num_hypotheses
        structure.no_repeat_ngram_size = generation.no_repeat_ngram_size
        structure.length_penalty = generation.length_penalty
        structure.repetition_penalty = generation.repetition_penalty
    return structures, kept


def _outcome(outcome: _Outcome) -> NativeOutcome:
    finished: dict[int, list[Hypothesis]] = {}
    for index in range(outcome.num_hypotheses):
        hypothesis = outcome.hypotheses[index]
        finished.setdefault(hypothesis.id, []).append(
            Hypothesis(
                token_ids=tuple(hypothesis.tokens[: hypothesis.num_tokens]),
                score=hypothesis.score,
                log_prob=hypothesis.log_prob,
                finish_reason=FinishReason.STOP if hypothesis.stopped else FinishReason.LENGTH,
            )
        )
    return NativeOutcome(
        finished={key: tuple(hypotheses) for key, hypotheses in finished.items()},
        steps=outcome.steps,
        rows=outcome.rows,
        encode_seconds=outcome.encode_seconds,
        first_step_seconds=outcome.first_step_seconds,
        decode_seconds=outcome.decode_seconds,
    )


# ---- A Transformer's weights, under the names of transformer.h -----------------------------------


def _model_config(model: Transformer, precision: str, num_threads: int) -> _ModelConfig:
    config = model.config
    return _ModelConfig(
        precision=PRECISIONS[precision],
        src_vocab_size=config.src_vocab_size,
        tgt_vocab_size=config.tgt_vocab_size,
        d_model=config.d_model,
        d_ff=config.d_ff,
        num_heads=config.num_heads,
        num_encoder_layers=config.num_encoder_layers,
        num_decoder_layers=config.num_decoder_layers,
        max_positions=config.max_positions,
        pre_norm=config.norm_order is NormOrder.PRE,
        activation=_ACTIVATIONS[config.activation],
        bos_id=config.bos_id,
        eos_id=config.eos_id,
        num_threads=num_threads,
        embedding_scale=model.tgt_embedding.scale,
        layer_norm_eps=config.layer_norm_eps,
    )


def _linears(model: Any) -> Iterator[tuple[str, list[nn.Linear]]]:
    for index, layer in enumerate(model.encoder_layers):
        at = f"encoder.{index}."
        attn = layer.self_attn
        yield at + "self_qkv", [attn.q_proj, attn.k_proj, attn.v_proj]
        yield at + "self_out", [attn.out_proj]
        yield at + "inner", [layer.feed_forward.inner]
        yield at + "outer", [layer.feed_forward.outer]
    cross = []
    for index, layer in enumerate(model.decoder_layers):
        at = f"decoder.{index}."
        attn = layer.self_attn
        yield at + "self_qkv", [attn.q_proj, attn.k_proj, attn.v_proj]
        yield at + "self_out", [attn.out_proj]
        yield at + "cross_query", [layer.cross_attn.q_proj]
        yield at + "cross_out", [layer.cross_attn.out_proj]
        yield at + "inner", [layer.feed_forward.inner]
        yield at + "outer", [layer.feed_forward.outer]
        cross += [layer.cross_attn.k_proj, layer.cross_attn.v_proj]
    yield "cross_keys_values", cross
    yield "projection", [model.projection]


def _norms(model: Any) -> Iterator[tuple[str, nn.LayerNorm]]:
    for index, layer in enumerate(model.encoder_layers):
        yield f"encoder.{index}.self_norm", layer.self_attn_residual.norm
        yield f"encoder.{index}.feed_forward_norm", layer.feed_forward_residual.norm
    for index, layer in enumerate(model.decoder_layers):
        yield f"decoder.{index}.self_norm", layer.self_attn_residual.norm
        yield f"decoder.{index}.cross_norm", layer.cross_attn_residual.norm
        yield f"decoder.{index}.feed_forward_norm", layer.feed_forward_residual.norm
    optional = {
        "encoder_norm": model.encoder_norm,
        "decoder_norm": model.decoder_norm,
        "source_embedding_norm": model.src_embedding.norm,
        "target_embedding_norm": model.tgt_embedding.norm,
    }
    yield from ((name, norm) for name, norm in optional.items() if isinstance(norm, nn.LayerNorm))


def _embedding_tables(embedding: Embedding) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    tokens, positions = _array(embedding.tokens.weight), _array(embedding.positions)
    return tokens, positions[embedding.position_offset :]


def _array(tensor: Tensor) -> NDArray[np.float32]:
    """Shares the memory of a float32 tensor on the CPU, and keeps it alive."""
    array: NDArray[np.float32] = tensor.detach().to("cpu", torch.float32).contiguous().numpy()
    return array
