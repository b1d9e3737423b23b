"""Each operation in plain PyTorch, the reference implementation of `fused`.

Written for clarity and for graphs: no value is read on the host, so attention here always runs over
all positions, under a mask. What a mask hides may be anything, NaN included.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from model.config import Activation
from model.decoding.repeats import LONGEST_BLOCK
from model.engine.cuda.kernels.operations import Candidates, Guard, Linear, Norm, Table
from model.engine.cuda.kernels.slot_memory import (
    CUT_OFF,
    ENDED,
    ENDED_PER_SLOT,
    Counter,
    SlotMemory,
)
from model.network.activations import ACTIVATIONS

__all__ = ["PlainOperations"]

_BLOCK_SIZE = 2**22
"""Predictions that are looked at together: `MemoryBudget` has room for two of each row's, and for
what it takes to look at so many."""


class PlainOperations:
    """`Operations`, anywhere.

    Args:
        dtype: of weights and caches.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def read_rows(self, rows: Tensor, memory: SlotMemory) -> tuple[Tensor, Tensor]:
        leads = rows[:, 0]
        done = memory.counters[Counter.DONE, leads] > 0
        positions = memory.counters[Counter.POSITION, leads].masked_fill(done, 0)
        positions = positions[:, None].expand_as(rows).flatten()
        return memory.tokens[rows.flatten(), positions], positions

    def embed(self, token_ids: Tensor, positions: Tensor, table: Table) -> Tensor:
        x = table.tokens[token_ids].float() * table.scale
        x = x + table.positions[positions + table.offset]
        return x if table.norm is None else _normalised(x, table.norm)

    def add_norm(
        self, stream: Tensor, update: Tensor | None, norm: Norm | None, *, keep: bool
    ) -> Tensor:
        if update is not None:
            stream += update
        normed = stream if norm is None else _normalised(stream, norm)
        if keep:
            stream.copy_(normed)
        return normed.to(self.dtype)

    def linear(self, x: Tensor, linear: Linear, activation: Activation | None = None) -> Tensor:
        y = F.linear(x, linear.weight, linear.bias)
        return y if activation is None else ACTIVATIONS[activation](y)

    def norm_linear(
        self, stream: Tensor, norm: Norm | None, linear: Linear, activation: Activation | None
    ) -> Tensor:
        x = stream if norm is None else _normalised(stream, norm)
        y = _linear_float32(x.to(self.dtype), linear)
        return (y if activation is None else ACTIVATIONS[activation](y)).to(self.dtype)

    def linear_add(self, x: Tensor, linear: Linear, stream: Tensor, norm: Norm | None) -> Tensor:
        kept = stream if norm is None else _normalised(stream, norm)
        return kept + _linear_float32(x, linear)

    def attend_packed(self, qkv: Tensor, blocks: Tensor, num_heads: int) -> Tensor:
        num_tokens = len(qkv)
        query, keys, values = _heads(qkv, 3, num_heads)
        place = torch.arange(num_tokens, device=qkv.device)
        # Which source a token is of, as the first token of that source; each is its own at first.
        first, start, end = blocks[:, 0, None], blocks[:, 1, None], blocks[:, 2, None]
        inside = (place >= first) & (place < end)
        source = torch.where(inside, start, -1).amax(dim=0)
        mask = (source[:, None] == source) & (source >= 0)
        query, keys, values = (x.transpose(0, 1) for x in (query, keys, values))
        attended = _attention(query, keys, values, mask).masked_fill(~mask.any(dim=1)[:, None], 0.0)
        return attended.transpose(0, 1).flatten(1).to(self.dtype)

    def write_cross(self, kv: Tensor, places: Tensor, memory: SlotMemory) -> None:
        layers, _, heads, _, width = memory.cross_keys.shape
        # (N, L * 2 * D) -> (L, 2, N, H, K)
        kv = kv.view(len(kv), layers, 2, heads, width).permute(1, 2, 0, 3, 4)
        # Dropped tokens go to the spare.
        leads = torch.where(places[0] < 0, memory.spare, places[0])
        memory.cross_keys[:, leads, :, places[1]] = kv[:, 0].transpose(0, 1)
        memory.cross_values[:, leads, :, places[1]] = kv[:, 1].transpose(0, 1)

    def attend_self(
        self, qkv: Tensor, layer: int, rows: Tensor, positions: Tensor, memory: SlotMemory
    ) -> Tensor:
        slots = rows.flatten()
        query, keys, values = _heads(qkv, 3, memory.self_keys.size(2))
        memory.self_keys[layer, slots, :, positions] = keys
        memory.self_values[layer, slots, :, positions] = values
        place = torch.arange(memory.max_positions, device=qkv.device)
        holders = _holders(rows, positions, memory)
        mask = (place <= positions[:, None])[:, None, None]
        # (R, P, H, K) -> (R, H, P, K)
        keys, values = (
            cache[layer][holders, :, place].transpose(1, 2)
            for cache in (memory.self_keys, memory.self_values)
        )
        return _attention(query[:, :, None], keys, values, mask).flatten(1).to(self.dtype)

    def recur(
        self, projected: Tensor, layer: int, rows: Tensor, positions: Tensor, memory: SlotMemory
    ) -> Tensor:
        update, forget = projected.float().chunk(2, dim=1)
        gate = forget.sigmoid()
        state = gate * _state_before(layer, rows, positions, memory) + (1.0 - gate) * update
        memory.states[positions % 2, layer, rows.flatten()] = state
        return state.relu().to(projected.dtype)

    def average(
        self, x: Tensor, layer: int, rows: Tensor, positions: Tensor, memory: SlotMemory
    ) -> Tensor:
        total = _state_before(layer, rows, positions, memory) + x
        memory.states[positions % 2, layer, rows.flatten()] = total
        return total / (positions + 1)[:, None]

    def attend_cross(self, query: Tensor, layer: int, rows: Tensor, memory: SlotMemory) -> Tensor:
        leads, heads = rows[:, 0], memory.cross_keys.size(2)
        place = torch.arange(memory.max_positions, device=query.device)
        mask = place < memory.counters[Counter.SOURCE_LEN, leads][:, None]
        # (R, D) -> (G, beam, H, K) -> (G, H, beam, K)
        grouped = query.view(*rows.shape, heads, -1).transpose(1, 2)
        keys, values = memory.cross_keys[layer][leads], memory.cross_values[layer][leads]
        attended = _attention(grouped, keys, values, mask[:, None, None])
        return attended.transpose(1, 2).reshape(query.shape).to(self.dtype)

    def add_attention(
        self,
        weights: Tensor,
        query: Tensor,
        layer: int,
        heads: tuple[int, ...],
        rows: Tensor,
        memory: SlotMemory,
    ) -> None:
        leads, num_heads = rows[:, 0], memory.cross_keys.size(2)
        place = torch.arange(memory.max_positions, device=query.device)
        mask = place < memory.counters[Counter.SOURCE_LEN, leads][:, None]
        # (R, D) -> (G, H, beam, K) -> (G, h, beam, K), and the keys (G, h, P, K)
        queries = query.view(*rows.shape, num_heads, -1).transpose(1, 2)[:, heads].float()
        keys = memory.cross_keys[layer][leads][:, heads].float()
        scores = queries @ keys.transpose(-2, -1) / math.sqrt(keys.size(-1))
        attention = torch.softmax(scores.masked_fill(~mask[:, None, None], -math.inf), dim=-1)
        weights += attention.sum(1).flatten(0, 1)

    def note_attended(
        self, weights: Tensor, rows: Tensor, positions: Tensor, memory: SlotMemory
    ) -> None:
        first, end, done = (
            memory.counters[counter, rows[:, 0]].repeat_interleave(rows.size(1))
            for counter in (Counter.ALIGN_FIRST, Counter.ALIGN_END, Counter.DONE)
        )
        place = torch.arange(memory.max_positions, device=rows.device)
        among = (place >= first[:, None]) & (place < end[:, None])
        best = weights.masked_fill(~among, -1.0).argmax(dim=1).int()
        at = (rows.flatten(), positions)
        memory.attended[at] = torch.where(done > 0, memory.attended[at], best)

    def guard(
        self, rows: Tensor, positions: Tensor, memory: SlotMemory, vocab_size: int, eos_id: int
    ) -> Guard:
        place = torch.arange(1, memory.max_positions, device=rows.device)
        history = memory.tokens[_holders(rows, positions, memory)[:, 1:], place].long()
        length = positions[:, None]
        penalty = _option("repetition_penalty", rows, memory)
        said = (place <= length) & (penalty > 1.0)
        banned = _marked(*_ends_of_ngrams(history, length, rows, memory), vocab_size, eos_id)
        for ends, where in _ends_of_repeats(history, length, rows, memory):
            banned |= _marked(ends, where, vocab_size, eos_id)
        return Guard(_as_bits(_marked(history, said, vocab_size)), _as_bits(banned))

    def candidates(
        self,
        x: Tensor,
        projection: Linear,
        width: int,
        rows: Tensor,
        memory: SlotMemory,
        *,
        restricted: bool = False,
        guard: Guard | None = None,
    ) -> Candidates:
        log_probs = self.log_probs(x, projection, rows, memory, restricted=restricted)
        if guard is not None:
            log_probs = self.guarded(log_probs, guard, rows, memory)
        return self.best(log_probs, width)

    def log_probs(
        self, x: Tensor, projection: Linear, rows: Tensor, memory: SlotMemory, *, restricted: bool
    ) -> Tensor:
        logits = self.logits(x, projection)
        if restricted:
            leads = rows[:, 0].repeat_interleave(rows.size(1))
            for block in _blocks(logits):
                allowed = _bits(memory.allowed[leads[block]], logits.size(1))
                logits[block].masked_fill_(~allowed, -math.inf)
        return logits.log_softmax(dim=1)

    def logits(self, x: Tensor, projection: Linear) -> Tensor:
        """(R, D) -> (R, V) float32."""
        return _linear_float32(x, projection)

    def guarded(self, log_probs: Tensor, guard: Guard, rows: Tensor, memory: SlotMemory) -> Tensor:
        penalty = _option("repetition_penalty", rows, memory).float()
        changed = log_probs.clone()
        for block in _blocks(changed):
            own = changed[block]
            penalised = _bits(guard.penalised[block], own.size(1))
            own.copy_(torch.where(penalised, own * penalty[block], own))
            own.masked_fill_(_bits(guard.banned[block], own.size(1)), -math.inf)
        return changed

    def best(self, log_probs: Tensor, width: int) -> Candidates:
        found = [_best(log_probs[block], width) for block in _blocks(log_probs)]
        scores = torch.cat([each.scores for each in found])
        return Candidates(scores, torch.cat([each.token_ids for each in found]))

    def advance(
        self, candidates: Candidates, rows: Tensor, memory: SlotMemory, flags: Tensor, eos_id: int
    ) -> None:
        _Search(candidates, rows, memory, eos_id).advance(flags)

    def reorder_beams(self, rows: Tensor, positions: Tensor, memory: SlotMemory) -> None:
        slots, beams = rows.flatten(), rows.size(1)
        place = torch.arange(memory.max_positions, device=rows.device)
        following = (positions + 1).clamp(max=memory.max_positions - 1)
        parents = memory.parents[slots, following].clamp(max=beams - 1).view(rows.shape)
        from_slots = rows.gather(1, parents.long()).flatten()
        past = memory.ancestors[positions % 2, from_slots]
        past = torch.where(place == positions[:, None], from_slots[:, None], past)
        memory.ancestors[(positions + 1) % 2, slots] = past


class _Search:
    """`BeamSearch.advance` for all groups at once, written with `where` instead of `if`."""

    def __init__(
        self, candidates: Candidates, rows: Tensor, memory: SlotMemory, eos_id: int
    ) -> None:
        self.rows, self.memory, self.eos_id = rows, memory, eos_id
        self.groups, self.beams = rows.shape
        leads = rows[:, 0]
        self.position = memory.counters[Counter.POSITION, leads]
        self.limit = memory.counters[Counter.LIMIT, leads]
        self.wanted = memory.options["num_hypotheses"][leads]
        self.ended = memory.counters[Counter.ENDED, leads]
        self.running = memory.counters[Counter.DONE, leads] == 0
        self.alpha = memory.options["length_penalty"][leads]
        self.mean = memory.options["length_normalization"][leads] == 1
        self.as_transformers = memory.options["search"][leads] == 1
        self.as_marian = memory.options["search"][leads] == 2
        self.width = self.beams - torch.where(self.as_marian, self.ended, 0)
        self.full = self.position + 1 >= self.limit
        self.forced_end = self.full & (memory.options["forced_end"][leads] > 0)
        self.log_probs, self.parents, self.token_ids = self._best(candidates)

    def advance(self, flags: Tensor) -> None:
        survivors = self._split_off_the_ended()
        self._end_by_limit(survivors)
        log_probs, parents, token_ids = survivors
        done = self.full | self._cannot_improve(log_probs)
        memory, leads = self.memory, self.rows[:, 0]
        flags.copy_(torch.where(done | ~self.running, 1 + self.ended, 0))
        # Of the sequences that are done, rows that only fill up included, nothing changes.
        goes_on = (self.running & ~done)[:, None]
        following = (self.position + 1).clamp(max=memory.max_positions - 1)[:, None]
        for table, values in ((memory.tokens, token_ids), (memory.parents, parents)):
            old = table[self.rows, following]
            table[self.rows, following] = torch.where(goes_on, values.int(), old)
        old_log_probs = memory.live_log_probs[self.rows]
        memory.live_log_probs[self.rows] = torch.where(goes_on, log_probs, old_log_probs)
        counters = memory.counters
        counters[Counter.POSITION, leads] = self.position + goes_on[:, 0].int()
        counters[Counter.ENDED, leads] = self.ended
        counters[Counter.DONE, leads] = (done | ~self.running).int()

    def _best(self, candidates: Candidates) -> tuple[Tensor, Tensor, Tensor]:
        """The 2K best continuations of each group, K for its beams: log-probability, beam, token.

        A beam of one needs only the best.
        """
        live = self.memory.live_log_probs[self.rows]
        fresh = torch.full_like(live[0], -math.inf)
        fresh[0] = 0.0
        live = torch.where(self.position[:, None] == 0, fresh, live)
        totals = candidates.scores + live.flatten()[:, None]
        token_ids = candidates.token_ids
        given = self.position < self.memory.counters[Counter.GIVEN, self.rows[:, 0]]
        forced = (given | self.forced_end).repeat_interleave(self.beams)[:, None]
        following = (self.position + 1).clamp(max=self.memory.max_positions - 1)
        token = torch.where(given, self.memory.tokens[self.rows[:, 0], following], self.eos_id)
        token = token.int().repeat_interleave(self.beams)[:, None]
        only = torch.full_like(totals, -math.inf)
        only[:, 0] = live.flatten()
        totals = torch.where(forced, only, totals)
        token_ids = torch.where(forced, token, token_ids)
        totals = totals.nan_to_num(nan=-math.inf, neginf=-math.inf, posinf=-math.inf)
        flat = totals.view(self.groups, -1)
        count = min(1 if self.beams == 1 else 2 * self.beams, flat.size(1))
        order = flat.argsort(dim=1, descending=True, stable=True)[:, :count]
        token_ids = token_ids.view(self.groups, -1).gather(1, order)
        beams = order // (flat.size(1) // self.beams)
        return flat.gather(1, order), beams, token_ids

    def _split_off_the_ended(self) -> tuple[Tensor, Tensor, Tensor]:
        """Records what ended; gives the K survivors, -inf where there are fewer."""
        shape = (self.groups, self.beams)
        log_probs = self.log_probs.new_full(shape, -math.inf)
        parents, token_ids = self.parents.new_zeros(shape), self.token_ids.new_zeros(shape)
        count = torch.zeros_like(self.ended)
        row = torch.arange(self.beams, device=self.rows.device)
        compete = self.full & (self.as_transformers | self.as_marian)
        reason = torch.where(self.forced_end, CUT_OFF, ENDED).int()
        for rank in range(self.log_probs.size(1)):
            log_prob, token_id = self.log_probs[:, rank], self.token_ids[:, rank]
            ends = (token_id == self.eos_id) & (log_prob > -math.inf)
            looking = (count < self.width) & ~(self.as_marian & (rank >= self.width))
            if rank < self.beams:
                which = (ends | compete) & looking & (log_prob > -math.inf)
                last = torch.where(ends, reason, token_id)
                self._end(which, log_prob, self.parents[:, rank], last)
            here = ((~ends & looking)[:, None]) & (row == count[:, None])
            log_probs = torch.where(here, log_prob[:, None], log_probs)
            parents = torch.where(here, self.parents[:, rank, None], parents)
            token_ids = torch.where(here, token_id[:, None], token_ids)
            count = count + (~ends & looking).int()
        return log_probs, parents, token_ids

    def _end_by_limit(self, survivors: tuple[Tensor, Tensor, Tensor]) -> None:
        log_probs, parents, token_ids = survivors
        cut = self.full & ~self.as_transformers & ~self.as_marian
        missing = self.wanted - self.ended
        for row in range(self.beams):
            cut_off = cut & (row < missing) & (log_probs[:, row] > -math.inf)
            self._end(cut_off, log_probs[:, row], parents[:, row], token_ids[:, row])

    def _end(self, which: Tensor, log_prob: Tensor, beam: Tensor, token_id: Tensor) -> None:
        """Writes one ended hypothesis for each group of `which`, as transformers over the worst."""
        memory, which = self.memory, which & self.running
        crowded = self.as_transformers & (self.ended >= self.beams)
        scores = self._scores()
        there = torch.arange(scores.size(1), device=scores.device) < self.ended[:, None]
        worst, at = torch.where(there, scores, math.inf).min(dim=1)
        score = log_prob.double() / self._penalty(self.position + 1)
        which = which & (~crowded | (score > worst))
        entry = torch.where(which, torch.where(crowded, at, self.ended), 0).long()
        slot = self.rows.gather(1, entry[:, None] // ENDED_PER_SLOT)[:, 0]
        place = (slot, entry % ENDED_PER_SLOT)
        for table, values in (
            (memory.ended_log_probs, log_prob),
            (memory.ended_beams, beam.int()),
            (memory.ended_lengths, self.position + 1),
            (memory.ended_tokens, token_id),
        ):
            table[place] = torch.where(which, values, table[place])
        self.ended = self.ended + (which & ~crowded).int()

    def _cannot_improve(self, log_probs: Tensor) -> Tensor:
        exhausted = log_probs[:, 0] == -math.inf
        # The score of the worst hypothesis that would be returned
        wanted = torch.where(self.as_transformers, self.beams, self.wanted)
        ranked = self._scores().sort(dim=1, descending=True).values
        worst = ranked.gather(1, (wanted - 1).clamp(min=0)[:, None].long())[:, 0]
        length = torch.where(self.as_transformers, self.position + 1, self.limit)
        best_possible = log_probs[:, 0].double() / self._penalty(length)
        enough = (self.ended >= wanted) & (best_possible <= worst)
        crowded = (self.ended >= self.beams) & ~self.as_transformers
        return exhausted | ((crowded | enough) & ~self.as_marian)

    def _scores(self) -> Tensor:
        """(G, 2K) float64 of the ended hypotheses, -inf where there are none."""
        memory = self.memory
        log_probs = memory.ended_log_probs[self.rows].flatten(1).double()
        lengths = memory.ended_lengths[self.rows].flatten(1)
        entry = torch.arange(log_probs.size(1), device=self.rows.device)
        scores = log_probs / self._penalty(lengths)
        return torch.where(entry < self.ended[:, None], scores, -math.inf)

    def _penalty(self, lengths: Tensor) -> Tensor:
        alpha, mean = self.alpha, self.mean
        if lengths.dim() == 2:
            alpha, mean = alpha[:, None], mean[:, None]
        base = torch.where(mean, lengths.double(), (5 + lengths.double()) / 6)
        return torch.exp(alpha * torch.log(base))


def _blocks(log_probs: Tensor) -> Iterator[slice]:
    """Rows (R, V) in parts: what is computed of each part takes several times its memory."""
    num_rows, vocab_size = log_probs.shape
    step = max(1, _BLOCK_SIZE // vocab_size)
    for first in range(0, num_rows, step):
        yield slice(first, first + step)


def _best(log_probs: Tensor, width: int) -> Candidates:
    clean = log_probs.nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf)
    # A stable sort keeps the lowest token first among equals.
    order = clean.argsort(dim=1, descending=True, stable=True)[:, :width]
    return Candidates(clean.gather(1, order), order.int())


def _holders(rows: Tensor, positions: Tensor, memory: SlotMemory) -> Tensor:
    """(R, P) the slot that holds each position of each hypothesis, itself from `positions` on."""
    slots = rows.flatten()
    own = slots[:, None].expand(-1, memory.max_positions)
    if rows.size(1) == 1:
        return own
    place = torch.arange(memory.max_positions, device=rows.device)
    past = memory.ancestors[positions % 2, slots]
    return torch.where(place < positions[:, None], past, own)


def _state_before(layer: int, rows: Tensor, positions: Tensor, memory: SlotMemory) -> Tensor:
    """(R, D) the state of the hypothesis that each row continues; zeros for those that begin."""
    slots, before = rows.flatten(), (positions - 1).clamp(min=0)
    if rows.size(1) > 1:
        slots = memory.ancestors[positions % 2, slots, before]
    return memory.states[before % 2, layer, slots].masked_fill(positions[:, None] == 0, 0.0)


def _ends_of_ngrams(
    history: Tensor, length: Tensor, rows: Tensor, memory: SlotMemory
) -> tuple[Tensor, Tensor]:
    """(R, P) tokens, and which of them would end an n-gram that is there already.

    One that begins with history[i] is about to come again when what follows agrees with the last
    n - 1 tokens; it ends with history[i + n - 1].
    """
    ngram = _option("no_repeat_ngram_size", rows, memory)
    index, last = torch.arange(history.size(1), device=rows.device), history.size(1) - 1
    agrees = (ngram > 0) & (index <= length - ngram)
    for offset in range(last):
        there = history.gather(1, (index + offset).clamp(max=last).expand_as(history))
        tail = history.gather(1, (length - ngram + 1 + offset).clamp(0, last))
        agrees &= (there == tail) | (offset >= ngram - 1)
    return history.gather(1, (index + ngram - 1).clamp(0, last)), agrees


def _ends_of_repeats(
    history: Tensor, length: Tensor, rows: Tensor, memory: SlotMemory
) -> Iterator[tuple[Tensor, Tensor]]:
    """By the size of a block: (R, 1) tokens, and which of them would begin a copy too many.

    `model.decoding.repeats.banned_by_repeats`, of searches that ask for it.
    """
    place, last = torch.arange(1, history.size(1) + 1, device=rows.device), history.size(1) - 1
    copies = memory.counters[Counter.SOURCE_COPIES, rows[:, 0]].repeat_interleave(rows.size(1))
    wanted = _option("limit_repeats", rows, memory) > 0
    for size in range(1, min(LONGEST_BLOCK, last) + 1):
        # Where it differs from what stands one block before, counted from the end.
        at = (length - place).clamp(max=last)
        same = history.gather(1, at.clamp(min=0)) == history.gather(1, (at - size).clamp(min=0))
        matching = (same & (at >= size)).long().cumprod(dim=1).sum(dim=1, keepdim=True)
        needed = size * (copies[:, None] + max(1, 4 - size) - 1)
        yield history.gather(1, (length - size).clamp(0, last)), wanted & (matching >= needed)


def _marked(tokens: Tensor, where: Tensor, vocab_size: int, but: int = -1) -> Tensor:
    """(R, V) whether a token is among those of (R, N) that are where, and is not `but`."""
    # One column more, for what is not to be written.
    marks = tokens.new_zeros(len(tokens), vocab_size + 1, dtype=torch.bool)
    marks.scatter_(1, torch.where(where & (tokens != but), tokens, vocab_size), True)
    return marks[:, :vocab_size]


def _as_bits(marks: Tensor) -> Tensor:
    """(R, V) -> (R, V / 32) int32."""
    words = F.pad(marks, (0, -marks.size(1) % 32)).view(len(marks), -1, 32).long()
    return (words << torch.arange(32, device=marks.device)).sum(dim=2).int()


def _bits(words: Tensor, vocab_size: int) -> Tensor:
    """(R, V / 32) int32 -> (R, V)."""
    token = torch.arange(vocab_size, device=words.device)
    return (words[:, token // 32] >> token % 32 & 1) > 0


def _option(name: str, rows: Tensor, memory: SlotMemory) -> Tensor:
    """(R, 1) an option of the search that each hypothesis belongs to."""
    return memory.options[name][rows[:, 0]].repeat_interleave(rows.size(1))[:, None]


def _heads(x: Tensor, parts: int, num_heads: int) -> tuple[Tensor, ...]:
    """(N, parts * D) -> `parts` times (N, H, K)."""
    return x.view(len(x), parts, num_heads, -1).unbind(1)


def _attention(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """(..., Q, K) attends to (..., M, K) where the mask is true; float32."""
    scores = query.float() @ keys.float().transpose(-2, -1) / math.sqrt(query.size(-1))
    weights = torch.softmax(scores.masked_fill(~mask, -math.inf), dim=-1)
    # What is hidden may not be finite, and zero times that is not zero.
    hidden = ~mask.any(dim=-2)[..., None]
    return weights @ values.float().masked_fill(hidden, 0.0)


def _normalised(x: Tensor, norm: Norm) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps)


def _linear_float32(x: Tensor, linear: Linear) -> Tensor:
    bias = None if linear.bias is None else linear.bias.float()
    return F.linear(x.float(), linear.weight.float(), bias)
