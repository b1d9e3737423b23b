"""The plain PyTorch runner: any device, any type. The others' reference implementation.

Search goes on in Python between two steps, as in `model.decoding.reference`; hypotheses that
continue another one have its past copied to their own slots.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from model.decoding.alignment import attended_places, zero_attention
from model.decoding.candidates import best_candidates
from model.decoding.reference import pad_sources
from model.decoding.repeats import most_copies
from model.decoding.search import BeamSearch, Candidate
from model.engine.runner import DecidedTokens, FinishedSequence, StepOutcome
from model.engine.scheduler import StepPlan
from model.engine.sequence import Sequence
from model.network.kv_cache import KVCache
from model.network.transformer import Transformer

__all__ = ["EagerRunner"]


@dataclass(kw_only=True)
class _Running:
    """A sequence and its search."""

    sequence: Sequence
    search: BeamSearch
    last_tokens: list[int]
    """What each live hypothesis feeds into the next step."""
    num_told: int = 0
    """Tokens of which it has been told that they are decided."""


class EagerRunner:
    """See the module and `Runner`.

    Args:
        model: is moved to `device` and `dtype`, and belongs to the runner from now on.
        num_threads: PyTorch's on the CPU; None leaves its choice.
        notes: see `Runner.notes`.
    """

    def __init__(
        self,
        model: Transformer,
        *,
        device: torch.device,
        dtype: torch.dtype,
        max_slots: int,
        num_threads: int | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.max_slots = max_slots
        self.can_pause = device.type == "cpu"
        self.device = str(device)
        self.dtype = str(dtype).removeprefix("torch.")
        self.notes = notes
        self.cache = KVCache(model.config, max_slots, dtype=dtype, device=device)
        self._model = model.to(device, dtype).eval()
        self._num_threads = num_threads
        self._running: dict[int, _Running] = {}
        self._interrupted = False

    @torch.inference_mode()
    def execute(self, plan: StepPlan) -> StepOutcome:
        """See `Runner`."""
        if self._num_threads is not None:
            # PyTorch keeps this number for each thread: it is set on the one that computes.
            torch.set_num_threads(self._num_threads)
        for sequence in plan.removed:
            self._running.pop(id(sequence), None)
        outcome = StepOutcome()
        started = time.monotonic()
        for batch in _batches_of_like_length(plan.newcomers):
            self._encode(batch)
        encoded = time.monotonic()
        active = self._active(plan)
        while active and not outcome.finished and outcome.steps < plan.max_steps:
            self._step(active, outcome)
            if self._interrupted:
                self._interrupted = False
                break
        outcome.encode_seconds = encoded - started
        outcome.decode_seconds = time.monotonic() - encoded
        outcome.decided = self._decided()
        return outcome

    def interrupt(self) -> None:
        """See `Runner`."""
        self._interrupted = True

    def release_memory(self) -> None:
        """Keeps it all: see `Runner`."""

    def close(self) -> None:
        """See `Runner`."""
        self._running.clear()

    def _encode(self, batch: list[Sequence]) -> None:
        started = time.monotonic()
        config = self._model.config
        sources = [sequence.source_ids for sequence in batch]
        src_tokens, src_lengths = pad_sources(sources, config.eos_id, self.device)
        encoder_output = self._model.encode(src_tokens, src_lengths)
        slots = self._indices([sequence.slots[0] for sequence in batch])
        self._model.fill_cross_cache(encoder_output, src_lengths, self.cache, slots)
        ended = time.monotonic()
        for sequence in batch:
            sequence.encode_seconds = ended - started
            sequence.encoded_at = ended
            search = BeamSearch(
                sequence.generation,
                eos_id=config.eos_id,
                max_new_tokens=sequence.max_new_tokens,
                options=sequence.options,
                source_copies=most_copies(sequence.source_ids),
            )
            self._running[id(sequence)] = _Running(
                sequence=sequence,
                search=search,
                last_tokens=[config.bos_id] * sequence.beam_size,
            )

    def _active(self, plan: StepPlan) -> list[_Running]:
        """Those who take part, of one beam size side by side, for one top-k over all of them."""
        if plan.active is None:
            running = list(self._running.values())
        else:
            running = [self._running[id(sequence)] for sequence in plan.active]
        return sorted(running, key=lambda item: item.search.beam_size)

    def _step(self, running: list[_Running], outcome: StepOutcome) -> None:
        """Decodes one token of each hypothesis, and takes it in."""
        searches = [item.search for item in running]
        longest = max(item.sequence.source_len for item in running)
        attention = zero_attention(searches, longest, self.device)
        logits = self._decode(running, attention)
        places = attended_places(searches, attention)
        candidates = self._candidates(running, logits, places)
        now = time.monotonic()
        moves: list[tuple[int, int]] = []
        for item, best, attended in zip(running, candidates, places, strict=True):
            if item.search.num_tokens == 0:
                item.sequence.first_token_at = now
            survivors = item.search.advance(best, attended)
            if item.search.done:
                outcome.finished.append(self._finish(item))
                continue
            item.last_tokens = [survivor.token_id for survivor in survivors]
            slots = item.sequence.slots
            moves += [
                (slots[survivor.parent], slots[row])
                for row, survivor in enumerate(survivors)
                if survivor.parent != row
            ]
        if moves:
            from_slots, to_slots = self._indices(moves).unbind(1)
            longest = max(item.search.num_tokens for item in running)
            self.cache.reorder_self(from_slots, to_slots, longest)
        outcome.steps += 1
        outcome.rows += sum(item.search.beam_size for item in running)

    def _decode(self, running: SequenceOf[_Running], attention: Tensor | None) -> Tensor:
        beams = {item.search.beam_size for item in running}
        # Beams of one source share its cross entry when all sequences have equally many; otherwise
        # each row names the entry for itself.
        repeats = len(beams) > 1
        token_ids: list[int] = []
        positions: list[int] = []
        slots: list[int] = []
        sources: list[int] = []
        for item in running:
            beam_size = item.search.beam_size
            token_ids += item.last_tokens
            positions += [item.search.num_tokens] * beam_size
            slots += item.sequence.slots
            sources += [item.sequence.slots[0]] * (beam_size if repeats else 1)
        return self._model.decode_step(
            self._indices(token_ids),
            self._indices(positions),
            self.cache,
            self._indices(slots),
            self._indices(sources),
            attention=attention,
        )

    def _candidates(
        self, running: SequenceOf[_Running], logits: Tensor, places: list[list[int] | None]
    ) -> list[list[Candidate]]:
        candidates: list[list[Candidate]] = []
        row = 0
        for beam_size, group in groupby(running, key=lambda item: item.search.beam_size):
            searches = [item.search for item in group]
            end = row + beam_size * len(searches)
            attended = places[len(candidates) : len(candidates) + len(searches)]
            candidates += best_candidates(
                logits[row:end], searches, self._model.config.eos_id, attended
            )
            row = end
        return candidates

    def _decided(self) -> list[DecidedTokens]:
        """What is decided since the last call."""
        decided = []
        for item in self._running.values():
            if not item.sequence.reports:
                continue
            token_ids = item.search.decided()
            if more := token_ids[item.num_told :]:
                decided.append(DecidedTokens(item.sequence, more))
            item.num_told = len(token_ids)
        return decided

    def _finish(self, item: _Running) -> FinishedSequence:
        hypotheses = item.search.hypotheses()
        if not hypotheses:
            # Only numbers that are not finite end a search without a hypothesis.
            raise RuntimeError("the model's predictions must be finite, but are not")
        del self._running[id(item.sequence)]
        return FinishedSequence(item.sequence, hypotheses)

    def _indices(self, values: list[int] | list[tuple[int, int]]) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=self.device)


def _batches_of_like_length(newcomers: SequenceOf[Sequence]) -> Iterator[list[Sequence]]:
    """Splits by length so that no source is padded to more than twice its own."""
    batch: list[Sequence] = []
    for sequence in sorted(newcomers, key=lambda s: s.source_len):
        if batch and sequence.source_len > 2 * batch[0].source_len + 8:
            yield batch
            batch = []
        batch.append(sequence)
    if batch:
        yield batch
