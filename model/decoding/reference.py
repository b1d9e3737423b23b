"""The plain loop: one batch, all sources start together, nobody joins. The oracle of the engine."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from model.config import GenerationConfig
from model.decoding.alignment import attended_places, zero_attention
from model.decoding.candidates import best_candidates
from model.decoding.repeats import most_copies
from model.decoding.search import BeamSearch, Hypothesis
from model.decoding.sequence_options import NO_OPTIONS, SequenceOptions
from model.network.kv_cache import KVCache
from model.network.transformer import Transformer

__all__ = ["generate", "pad_sources"]


def pad_sources(
    sources: Sequence[Sequence[int]], pad_id: int, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Token ids of several lengths -> (B, S) padded on the right, and (B,) lengths."""
    lengths = [len(source) for source in sources]
    longest = max(lengths)
    rows = [[*source, *[pad_id] * (longest - len(source))] for source in sources]
    return torch.tensor(rows, device=device), torch.tensor(lengths, device=device)


@torch.inference_mode()
def generate(
    model: Transformer,
    sources: Sequence[Sequence[int]],
    generation: GenerationConfig,
    options: Sequence[SequenceOptions] | None = None,
) -> list[tuple[Hypothesis, ...]]:
    """Translates one batch.

    Args:
        model: in evaluation mode.
        sources: token ids, each ending with `eos_id`, none longer than `max_positions`.
        generation: for all of them.
        options: of each.

    Returns:
        For each source its hypotheses, best first.
    """
    config, device = model.config, model.projection.weight.device
    beam_size = generation.beam_size
    limits = [generation.target_limit(len(s), config.max_positions) for s in sources]
    searches = _searches(config.eos_id, sources, generation, limits, options)
    cache = _encoded(model, sources, beam_size, max(limits))
    running = list(range(len(sources)))
    last_tokens = [[config.bos_id] * beam_size for _ in sources]
    for position in range(max(limits)):
        leads = torch.tensor(running, device=device) * beam_size
        slots = (leads[:, None] + torch.arange(beam_size, device=device)).flatten()
        token_ids = torch.tensor([last_tokens[i] for i in running], device=device).flatten()
        positions = torch.full_like(slots, position)
        active = [searches[i] for i in running]
        attention = zero_attention(active, cache.cross_keys.size(3), device)
        logits = model.decode_step(token_ids, positions, cache, slots, leads, attention=attention)
        places = attended_places(active, attention)
        candidates = best_candidates(logits, active, config.eos_id, places)
        moves: list[tuple[int, int]] = []
        for index, best, attended in zip(running, candidates, places, strict=True):
            survivors = searches[index].advance(best, attended)
            last_tokens[index] = [survivor.token_id for survivor in survivors]
            first = index * beam_size
            moves += [
                (first + survivor.parent, first + row)
                for row, survivor in enumerate(survivors)
                if survivor.parent != row
            ]
        running = [index for index in running if not searches[index].done]
        if not running:
            break
        if moves:
            from_slots, to_slots = torch.tensor(moves, device=device).unbind(1)
            cache.reorder_self(from_slots, to_slots, position + 1)
    return [search.hypotheses() for search in searches]


def _searches(
    eos_id: int,
    sources: Sequence[Sequence[int]],
    generation: GenerationConfig,
    limits: Sequence[int],
    options: Sequence[SequenceOptions] | None,
) -> list[BeamSearch]:
    """The search for each source, of at most so many tokens."""
    return [
        BeamSearch(
            generation,
            eos_id=eos_id,
            max_new_tokens=limit,
            options=each,
            source_copies=most_copies(source),
        )
        for source, limit, each in zip(
            sources, limits, options or [NO_OPTIONS] * len(sources), strict=True
        )
    ]


def _encoded(
    model: Transformer, sources: Sequence[Sequence[int]], beam_size: int, max_target_len: int
) -> KVCache:
    """A cache of `beam_size` slots for each source, its cross entry in the first of them."""
    weight = model.projection.weight
    src_tokens, src_lengths = pad_sources(sources, model.config.eos_id, weight.device)
    cache = KVCache(
        model.config,
        len(sources) * beam_size,
        dtype=weight.dtype,
        device=weight.device,
        max_source_len=src_tokens.size(1),
        max_target_len=max_target_len,
    )
    leads = torch.arange(len(sources), device=weight.device) * beam_size
    model.fill_cross_cache(model.encode(src_tokens, src_lengths), src_lengths, cache, leads)
    return cache
