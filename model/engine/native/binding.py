"""The C++ engine as Python sees it: a model with packed weights, and runners that share it."""

from __future__ import annotations

import ctypes
import threading
from array import array
from collections.abc import Sequence
from ctypes import POINTER, byref, c_size_t, c_uint8
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.config import (
    SEQUENCE_OPTIONS,
    Activation,
    DecoderKind,
    GenerationConfig,
    NormOrder,
    TransformerConfig,
)
from model.decoding.lexical_constraints import Missed
from model.decoding.search import FinishReason, Hypothesis
from model.decoding.sequence_options import NO_OPTIONS, SequenceOptions
from model.engine.native.build import build
from model.engine.native.c_interface import (
    CModelConfig,
    COptions,
    COutcome,
    CPhrase,
    CSequence,
    Status,
    load,
)
from model.engine.native.weights import linears, norms, position_tables
from model.errors import BackendUnavailableError, InvalidRequestError
from model.network.weights import Weights

__all__ = ["PRECISIONS", "NativeModel", "NativeOutcome", "NativeRequest", "NativeState"]

PRECISIONS = {"float32": 0, "bfloat16": 1, "int8": 2}
"""What products can be computed in, and the library's numbers for them."""

_ACTIVATIONS = {
    Activation.RELU: 1,
    Activation.GELU: 2,
    Activation.SILU: 3,
    Activation.GELU_TANH: 4,
    Activation.GELU_SIGMOID: 5,
}
_DECODER_KINDS = {
    DecoderKind.ATTENTION: 0,
    DecoderKind.SSRU: 1,
    DecoderKind.AVERAGE_ATTENTION: 2,
}
_MAX_INT8_INPUTS = 1 << 16
"""So many products of 255 and 127 fit into 32 bits."""


@dataclass(frozen=True, kw_only=True)
class NativeRequest:
    """A source and how to search for its target."""

    id: int
    source: bytes
    """Its tokens, int32 one behind the other."""
    slots: Sequence[int]
    generation: GenerationConfig
    options: SequenceOptions = NO_OPTIONS
    max_new_tokens: int
    reports: bool = False
    """Whether outcomes tell which of its tokens are decided."""


@dataclass(frozen=True, kw_only=True)
class NativeOutcome:
    """What one call did."""

    finished: dict[int, tuple[Hypothesis, ...]]
    """By id, best first."""
    decided: dict[int, tuple[int, ...]]
    """By id, of those that run on and report: further tokens that the best hypothesis will have,
    whatever follows."""
    steps: int
    rows: int
    encode_seconds: float
    first_step_seconds: float
    decode_seconds: float


class NativeModel:
    """Packed weights, read-only from now on and shared by any number of runners.

    Args:
        weights: they are packed one by one; of them only the tables of positions are kept.
        precision: of the matrix products: "float32", "bfloat16" or "int8" (weights scaled for each
            output, inputs for each row). All the rest is float32.
        num_threads: that compute together when only one of the runners works.
        library: a compiled library; this machine's best when not given.

    Raises:
        BackendUnavailableError: there is no such precision; or no library, and it cannot be
            compiled.
        CheckpointError: a weight cannot be read.
        MemoryError: there is no memory for the weights.
    """

    def __init__(
        self,
        weights: Weights,
        precision: str,
        *,
        num_threads: int = 1,
        library: Path | None = None,
    ) -> None:
        if precision not in PRECISIONS:
            raise BackendUnavailableError(
                f"`precision` must be {', '.join(PRECISIONS)}, but is {precision!r}"
            )
        config = weights.config
        widest = max(config.d_model, config.d_ff, config.d_average)
        if precision == "int8" and widest > _MAX_INT8_INPUTS:
            raise BackendUnavailableError(
                f"`d_model`, `d_ff` and `d_average` must be at most {_MAX_INT8_INPUTS} in int8, "
                f"but the largest is {widest}"
            )
        self.config = config
        self.precision = precision
        self._library = load(library or build())
        self._handle = self._library.ph_model_new(byref(_c_config(config, precision, num_threads)))
        if not self._handle:
            raise MemoryError("no memory, or no threads, for the model")
        self._positions = position_tables(weights)
        self._set_weights(weights)

    @property
    def size_bytes(self) -> int:
        """Packed weights and tables of positions."""
        distinct = {table.ctypes.data: table.nbytes for table in self._positions}
        return int(self._library.ph_model_bytes(self._handle)) + sum(distinct.values())

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._library.ph_model_free(self._handle)
            self._handle = None

    def _set_weights(self, weights: Weights) -> None:
        for name, weight, bias in linears(weights):
            outputs, inputs = weight.shape
            status = self._library.ph_model_set_linear(
                self._handle, name.encode(), weight.ctypes.data,
                None if bias is None else bias.ctypes.data, outputs, inputs,
            )  # fmt: skip
            self._check(status, name)
            del weight, bias  # before the next is read: one of them may be half of the model
        for name, gain, bias in norms(weights):
            status = self._library.ph_model_set_norm(
                self._handle, name.encode(), gain.ctypes.data, bias.ctypes.data
            )
            self._check(status, name)
        self._library.ph_model_set_positions(
            self._handle, *(table.ctypes.data for table in self._positions)
        )
        heads = np.array(
            [
                (layer, head)
                for layer in range(self.config.num_decoder_layers)
                for head in self.config.alignment_heads_of(layer)
            ],
            dtype=np.int32,
        )
        status = self._library.ph_model_set_alignment_heads(
            self._handle, heads.ctypes.data, len(heads)
        )
        self._check(status, "alignment_heads")
        if missing := self._library.ph_model_missing(self._handle):
            raise RuntimeError(f"{missing.decode()} was not set")

    def _check(self, status: int, name: str) -> None:
        if status == Status.UNKNOWN_NAME:
            raise RuntimeError(f"the compiled engine knows no {name!r}")
        if status == Status.BAD_SHAPE:
            raise RuntimeError(f"{name!r} must have the shape that the configuration gives it")
        if status:
            raise MemoryError(f"no memory for {name!r}")


class NativeState:
    """The KV cache and the running sequences of one worker.

    Any thread may call anything, but only one of them computes at a time.

    Raises:
        MemoryError: there is no memory for the cache.
    """

    def __init__(self, model: NativeModel, max_slots: int) -> None:
        self._model = model  # must outlive the handle
        self._library = model._library
        self._max_slots = max_slots
        self._computing = threading.Lock()
        self._closing = False
        self._handle_lock = threading.Lock()
        """Held for moments only, to interrupt, or to let go of the handle."""
        if not 0 < max_slots < 1 << 31:
            raise InvalidRequestError(f"`max_slots` must be in [1, 2^31), but is {max_slots}")
        self._handle = self._library.ph_runner_new(model._handle, max_slots)
        if not self._handle:
            raise MemoryError(f"no memory for a KV cache of {max_slots} slots")

    def execute(
        self,
        removed: Sequence[int],
        newcomers: Sequence[NativeRequest],
        max_steps: int,
        *,
        active: Sequence[int] | None = None,
    ) -> NativeOutcome:
        """Drops `removed` ids, encodes `newcomers`, decodes the `active` ids until one finishes.

        Without `active`, everybody takes part.

        Returns after the first step in which a sequence finished, after `max_steps` steps, or after
        the current one when interrupted.

        Raises:
            InvalidRequestError: a newcomer is out of the model's or the cache's range, or has the
                slots or the id of another. Nothing was done.
            RuntimeError: the model's predictions are not finite, or this is closed. All later calls
                fail as well, as after the next one.
            MemoryError: scratch memory ran out.
        """
        removed_ids = array("q", removed)
        # With one more, for an empty array has no address, which would stand for everybody.
        active_ids = None if active is None else array("q", [*active, 0])
        requests, kept = _requests(newcomers)
        outcome = COutcome()
        with self._computing:
            self._library.ph_runner_execute(
                self._open_handle(), _address(removed_ids), len(removed), requests,
                len(newcomers), None if active_ids is None else _address(active_ids),
                0 if active is None else len(active), _int32(max_steps), byref(outcome),
            )  # fmt: skip
            del kept
            self._raise_for(outcome.status)
            return _outcome(outcome)  # before another call overwrites what it points to

    def interrupt(self) -> None:
        """From any thread: `execute` returns after its current step."""
        with self._handle_lock:
            if self._handle:
                self._library.ph_runner_interrupt(self._handle)

    @property
    def num_running(self) -> int:
        """Sequences it remembers."""
        with self._computing:
            return int(self._library.ph_runner_num_running(self._open_handle()))

    def cache_bytes(self) -> NDArray[np.uint8]:
        """The KV cache as one writable row of bytes, until `close`.

        Reading it all takes all its memory.
        """
        size = c_size_t()
        address = self._library.ph_runner_cache(self._open_handle(), byref(size))
        return np.ctypeslib.as_array(ctypes.cast(address, POINTER(c_uint8)), shape=(size.value,))

    def release_memory(self) -> None:
        """Gives the pages of the cache and of all activations back; no sequence may be running."""
        with self._computing:
            self._open_handle()
            fresh = self._library.ph_runner_new(self._model._handle, self._max_slots)
            if not fresh:
                return
            with self._handle_lock:
                old, self._handle = self._handle, fresh
            self._library.ph_runner_free(old)

    def close(self) -> None:
        """Frees the memory, once a running `execute` has ended. More than once is harmless."""
        self._closing = True  # or a thread that calls and calls would keep this one waiting
        self.interrupt()
        with self._computing:
            with self._handle_lock:
                handle, self._handle = self._handle, None
            if handle:
                self._library.ph_runner_free(handle)

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self.close()

    def _open_handle(self) -> int:
        if self._closing:
            raise RuntimeError("the runner is closed")
        return int(self._handle)

    def _raise_for(self, status: int) -> None:
        if status == Status.OK:
            return
        if status == Status.NOT_FINITE:
            raise RuntimeError("the model's predictions must be finite, but are not")
        if status == Status.OUT_OF_MEMORY:
            raise MemoryError("no memory for a decode step")
        most, slots = self._model.config.max_positions, self._max_slots
        broken = {
            Status.BAD_SOURCE: f"source must be 1 to {most} tokens of the vocabulary, but is not",
            Status.BAD_SEARCH: f"`max_new_tokens` must be in [1, {most}], `num_hypotheses` at most "
            "as large as the beam, penalties finite and options the model's, but are not",
            Status.BAD_SLOTS: f"slots must be in [0, {slots}) and free, but are not",
            Status.BAD_ID: "id must not be another sequence's, but is",
        }
        raise InvalidRequestError(f"a newcomer's {broken[Status(status)]}")


def _requests(newcomers: Sequence[NativeRequest]) -> tuple[Any, list[Any]]:
    """The C structures, and the arrays they point into."""
    structures = (CSequence * len(newcomers))()
    if not newcomers:
        return structures, []
    # Not NumPy's, which have left the CPU's caches by now: the decode steps fill them.
    sources = array("i", b"".join([request.source for request in newcomers]))
    slots = array("i", [slot for request in newcomers for slot in request.slots])
    kept: list[Any] = [sources, slots]
    source, slot = _address(sources), _address(slots)
    for structure, request in zip(structures, newcomers, strict=True):
        structure.id = request.id
        structure.source, structure.source_len = source, len(request.source) // 4
        structure.slots, structure.beam_size = slot, len(request.slots)
        source += len(request.source)
        slot += 4 * len(request.slots)
        if request.options is not NO_OPTIONS:
            kept += _set_own(structure, request.options)
        structure.reports = request.reports
        structure.max_new_tokens = _int32(request.max_new_tokens)
        structure.options = _searched_with(request.generation)
    return structures, kept


def _address(numbers: array[int]) -> int:
    return numbers.buffer_info()[0]


@lru_cache(maxsize=64)
def _searched_with(generation: GenerationConfig) -> COptions:
    """The options of a search. Most requests have those of others."""
    options = COptions()
    for option in SEQUENCE_OPTIONS:
        setattr(options, option.name, option.in_32_bits(generation))
    return options


def _set_own(structure: CSequence, options: SequenceOptions) -> list[Any]:
    """Fills in what is a source's own; returns what the structure points into."""
    prefix = np.array(options.target_prefix, dtype=np.int32)
    structure.prefix, structure.prefix_len = prefix.ctypes.data, len(prefix)
    kept: list[Any] = [prefix]
    if (shortlist := options.predictable) is not None:
        shortlist = np.ascontiguousarray(shortlist, dtype=np.int32)
        kept.append(shortlist)
        structure.shortlist, structure.shortlist_len = shortlist.ctypes.data, len(shortlist)
    if (among := options.align_to) is not None:
        structure.align_first, structure.align_last = among.start, among.stop
    if options.lexically_constrained:
        kept += _constrain(structure, options)
    return kept


def _constrain(structure: CSequence, options: SequenceOptions) -> list[Any]:
    """Fills in the lexical constraints; returns what the structure points into."""
    phrases = (CPhrase * len(options.phrases))()
    for each, phrase in zip(phrases, options.phrases, strict=True):
        places = phrase.places or range(0)
        each.num_forms, each.required = len(phrase.forms), phrase.required
        each.place_first, each.place_last = places.start, places.stop
    forms = [form for phrase in options.phrases for form in phrase.forms]
    form_lengths, form_tokens = _concatenated(forms)
    banned_lengths, banned_tokens = _concatenated(options.banned)
    structure.phrases, structure.num_phrases = ctypes.addressof(phrases), len(phrases)
    structure.form_lengths, structure.num_forms = form_lengths.ctypes.data, len(forms)
    structure.form_tokens, structure.num_form_tokens = form_tokens.ctypes.data, len(form_tokens)
    structure.banned_lengths, structure.num_banned = banned_lengths.ctypes.data, len(options.banned)
    structure.banned_tokens = banned_tokens.ctypes.data
    structure.num_banned_tokens = len(banned_tokens)
    if options.guarded is not None:
        structure.guarded = options.guarded.table.ctypes.data
    return [phrases, form_lengths, form_tokens, banned_lengths, banned_tokens, options.guarded]


def _concatenated(
    lists: Sequence[tuple[int, ...]],
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Their lengths, and all that is in them."""
    lengths = np.array([len(each) for each in lists], dtype=np.int32)
    return lengths, np.array([token for each in lists for token in each], dtype=np.int32)


def _int32(value: int) -> int:
    """`value`, or the largest there is: ctypes would cut it off without a word."""
    return min(value, 2**31 - 1)


def _outcome(outcome: COutcome) -> NativeOutcome:
    finished: dict[int, list[Hypothesis]] = {}
    for index in range(outcome.num_hypotheses):
        hypothesis = outcome.hypotheses[index]
        finished.setdefault(hypothesis.id, []).append(
            Hypothesis(
                target=ctypes.string_at(hypothesis.tokens, 4 * hypothesis.num_tokens),
                score=hypothesis.score,
                log_prob=hypothesis.log_prob,
                finish_reason=FinishReason.STOP if hypothesis.stopped else FinishReason.LENGTH,
                attended=tuple(hypothesis.attended[: hypothesis.num_attended]),
                missed=None
                if hypothesis.missed_begin < 0
                else Missed(hypothesis.missed_begin, hypothesis.missed_step),
            )
        )
    return NativeOutcome(
        finished={key: tuple(hypotheses) for key, hypotheses in finished.items()},
        decided={
            each.id: tuple(each.tokens[: each.num_tokens])
            for each in outcome.decided[: outcome.num_decided]
        },
        steps=outcome.steps,
        rows=outcome.rows,
        encode_seconds=outcome.encode_seconds,
        first_step_seconds=outcome.first_step_seconds,
        decode_seconds=outcome.decode_seconds,
    )


def _c_config(config: TransformerConfig, precision: str, num_threads: int) -> CModelConfig:
    return CModelConfig(
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
        decoder_kind=_DECODER_KINDS[config.decoder_kind],
        d_average=config.d_average,
        shared_embeddings=config.shared_embeddings,
        tied_projection=config.tied_projection,
        bos_id=config.bos_id,
        eos_id=config.eos_id,
        num_threads=num_threads,
        embedding_scale=config.embedding_scale,
        layer_norm_eps=config.layer_norm_eps,
    )
