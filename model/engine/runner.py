"""What a step computes: the model and its KV cache on one device."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import groupby
from typing import Protocol

import torch
from torch import Tensor

from model.config import EngineConfig
from model.decoding.candidates import best_candidates
from model.decoding.reference import pad_sources
from model.decoding.search import Candidate
from model.engine.scheduler import SlotMove, StepPlan
from model.engine.sequence import Sequence
from model.errors import InvalidRequestError
from model.kv_cache import KVCache
from model.transformer import Transformer

__all__ = ["ModelRunner", "Runner", "resolve_device", "resolve_dtype"]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}


class Runner(Protocol):
    """What the engine asks of a device."""

    def execute(self, plan: StepPlan) -> dict[int, list[Candidate]]:
        """Moves, encodes, decodes; gives each running sequence's candidates, keyed by id()."""


def resolve_device(name: str) -> torch.device:
    """ "auto" is CUDA where there is one.

    Raises:
        InvalidRequestError: CUDA is asked for and there is none, or the name is unknown.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InvalidRequestError(f"`device` must be auto, cpu or cuda, but is {name!r}") from None
    if device.type not in ("cpu", "cuda"):
        raise InvalidRequestError(f"`device` must be auto, cpu or cuda, but is {name!r}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InvalidRequestError(
            f"`device` is {name!r}, but PyTorch finds {torch.cuda.device_count()} CUDA devices here"
        )
    return device


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """ "auto" is float32 on the CPU and bfloat16 elsewhere."""
    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    return _DTYPES[name]


class ModelRunner:
    """The plain PyTorch runner: eager, any device, any dtype."""

    def __init__(self, model: Transformer, config: EngineConfig) -> None:
        self.device = resolve_device(config.device)
        self.dtype = resolve_dtype(config.dtype, self.device)
        self.model = model.to(self.device, self.dtype).eval()
        self.cache = KVCache(model.config, config.max_slots, dtype=self.dtype, device=self.device)

    @torch.inference_mode()
    def execute(self, plan: StepPlan) -> dict[int, list[Candidate]]:
        """Moves, encodes, decodes; gives each running sequence's candidates, keyed by id()."""
        if plan.moves:
            self._move(plan.moves)
        for batch in _batches_of_like_length(plan.newcomers):
            self._encode(batch)
        logits = self._decode(plan.running)
        candidates: dict[int, list[Candidate]] = {}
        row = 0
        for beam_size, group in groupby(plan.running, key=lambda sequence: sequence.beam_size):
            sequences = list(group)
            end = row + beam_size * len(sequences)
            searches = [sequence.search for sequence in sequences]
            best = best_candidates(logits[row:end], searches, self.model.config.eos_id)
            candidates |= {id(s): b for s, b in zip(sequences, best, strict=True)}
            row = end
        return candidates

    def _move(self, moves: tuple[SlotMove, ...]) -> None:
        from_slots = self._indices([move.from_slot for move in moves])
        to_slots = self._indices([move.to_slot for move in moves])
        self.cache.reorder_self(from_slots, to_slots, max(move.length for move in moves))

    def _encode(self, batch: list[Sequence]) -> None:
        started = time.monotonic()
        sources = [sequence.source_ids for sequence in batch]
        src_tokens, src_lengths = pad_sources(sources, self.model.config.pad_id, self.device)
        encoder_output = self.model.encode(src_tokens, src_lengths)
        slots = self._indices([sequence.slots[0] for sequence in batch])
        self.model.fill_cross_cache(encoder_output, src_lengths, self.cache, slots)
        ended = time.monotonic()
        for sequence in batch:
            sequence.encode_seconds = ended - started
            sequence.encoded_at = ended

    def _decode(self, running: tuple[Sequence, ...]) -> Tensor:
        beams = {sequence.beam_size for sequence in running}
        # Beams of one source share its cross entry when all sequences have equally many; otherwise
        # each row names the entry for itself.
        repeats = len(beams) > 1
        token_ids: list[int] = []
        positions: list[int] = []
        slots: list[int] = []
        sources: list[int] = []
        for sequence in running:
            token_ids += sequence.last_tokens
            positions += [sequence.position] * sequence.beam_size
            slots += sequence.slots
            sources += [sequence.slots[0]] * (sequence.beam_size if repeats else 1)
        return self.model.decode_step(
            self._indices(token_ids),
            self._indices(positions),
            self.cache,
            self._indices(slots),
            self._indices(sources),
        )

    def _indices(self, values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=self.device)


def _batches_of_like_length(newcomers: tuple[Sequence, ...]) -> Iterator[list[Sequence]]:
    """Splits by length so that no source is padded to more than twice its own."""
    batch: list[Sequence] = []
    for sequence in sorted(newcomers, key=lambda s: s.source_len):
        if batch and sequence.source_len > 2 * batch[0].source_len + 8:
            yield batch
            batch = []
        batch.append(sequence)
    if batch:
        yield batch
