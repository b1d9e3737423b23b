"""The operations of a decode step, and what they are fed. No arithmetic in here.

Shape letters: R rows (hypotheses) = G groups (sequences) * the beam size, N tokens of packed
sources, D d_model, H heads, K head_dim, V vocabulary, P max_positions, W candidates for each row.

The residual stream is float32 whatever the type of the weights, and so are logits: what is summed
up over layers, and what decides which token it is, is not rounded in between. Every operation may
run inside a CUDA graph: its shapes depend on its arguments' shapes alone, it never waits for the
device, and what differs between two steps is read from device memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from model.config import Activation
from model.engine.cuda.kernels.slot_memory import SlotMemory

__all__ = ["Candidates", "Guard", "Linear", "Norm", "Operations", "Table"]


@dataclass(frozen=True)
class Linear:
    """x W^T + b."""

    weight: Tensor
    """(out, in)."""
    bias: Tensor | None
    """(out,)."""


@dataclass(frozen=True)
class Norm:
    """Layer normalisation; both float32 (D,)."""

    weight: Tensor
    bias: Tensor
    eps: float


@dataclass(frozen=True)
class Table:
    """How a token and its position become numbers."""

    tokens: Tensor
    """(V, D)."""
    positions: Tensor
    """(P + offset, D) float32."""
    offset: int
    scale: float
    norm: Norm | None


@dataclass(frozen=True)
class Guard:
    """What the repetition guards of the searches change; bit t % 32 of number t / 32 is token t."""

    penalised: Tensor
    """(R, V / 32) int32: whose log-probability is multiplied by the repetition penalty."""
    banned: Tensor
    """(R, V / 32) int32: what may not come next."""


@dataclass(frozen=True)
class Candidates:
    """The likeliest continuations of each row."""

    scores: Tensor
    """(R, W) float32 log-probabilities, best first, the lowest token first among equals; minus
    infinity, or no number, for what nothing may be made of."""
    token_ids: Tensor
    """(R, W) int32."""


class Operations(Protocol):
    """One implementation of everything below."""

    def read_rows(self, rows: Tensor, memory: SlotMemory) -> tuple[Tensor, Tensor]:
        """Which token each row feeds, and where.

        Args:
            rows: (G, beam) int32 slots; column 0 is the lead.

        Returns:
            (R,) int32 token ids and positions; position 0 for sequences that are done.
        """

    def embed(self, token_ids: Tensor, positions: Tensor, table: Table) -> Tensor:
        """(N,) and (N,) -> the residual stream, (N, D) float32."""

    def add_norm(
        self, stream: Tensor, update: Tensor | None, norm: Norm | None, *, keep: bool
    ) -> Tensor:
        """stream += update, then the normalised stream (N, D) in the type of the weights.

        Args:
            stream: (N, D) float32, changed in place.
            update: (N, D) in the type of the weights.
            norm: None for the stream itself.
            keep: the stream continues with what has been normalised (post-norm).
        """

    def linear(self, x: Tensor, linear: Linear, activation: Activation | None = None) -> Tensor:
        """(N, in) -> (N, out), in the type of the weights."""

    def norm_linear(
        self, stream: Tensor, norm: Norm | None, linear: Linear, activation: Activation | None
    ) -> Tensor:
        """`linear` of the normalised stream in one go: for so few rows that launches decide."""

    def linear_add(self, x: Tensor, linear: Linear, stream: Tensor, norm: Norm | None) -> Tensor:
        """A new stream: the stream, normalised if there is a norm, plus `linear` of x."""

    def attend_packed(self, qkv: Tensor, blocks: Tensor, num_heads: int) -> Tensor:
        """Self-attention of several sources, packed one behind the other.

        Args:
            qkv: (N, 3D) queries, keys, values.
            blocks: (B, 3) int32: a first query, and the first token and the end of its source. A
                block is of at most `PACKED_BLOCK` queries; one that begins at its end is empty.

        Returns:
            (N, D); zeros for tokens that are in no block.
        """

    def write_cross(self, kv: Tensor, places: Tensor, memory: SlotMemory) -> None:
        """Stores the projected encoder output of all decoder layers.

        Args:
            kv: (N, L * 2 * D): for each layer the keys and then the values.
            places: (2, N) int32: lead and position of each token; tokens of lead -1 are dropped.
        """

    def attend_self(
        self, qkv: Tensor, layer: int, rows: Tensor, positions: Tensor, memory: SlotMemory
    ) -> Tensor:
        """Appends each row's keys and values to its slot, and attends to its past and itself.

        Args:
            qkv: (R, 3D) queries, keys, values.
            positions: (R,) int32, where they stand.

        Returns:
            (R, D).
        """

    def recur(
        self, projected: Tensor, layer: int, rows: Tensor, positions: Tensor, memory: SlotMemory
    ) -> Tensor:
        """An SSRU's step: c = f c' + (1 - f) u of each row, with c' its state before.

        Args:
            projected: (R, 2D): u, and f before its sigmoid.
            positions: (R,) int32, where they stand.

        Returns:
            relu(c), (R, D) in the type of `projected`.
        """

    def average(
        self, x: Tensor, layer: int, rows: Tensor, positions: Tensor, memory: SlotMemory
    ) -> Tensor:
        """The mean of each row's input and all before: (R, D) float32 -> (R, D) float32."""

    def attend_cross(self, query: Tensor, layer: int, rows: Tensor, memory: SlotMemory) -> Tensor:
        """Attends to the source of each row's group: (R, D) -> (R, D)."""

    def add_attention(
        self,
        weights: Tensor,
        query: Tensor,
        layer: int,
        heads: tuple[int, ...],
        rows: Tensor,
        memory: SlotMemory,
    ) -> None:
        """Adds how much `heads`, at least one, attend to each token of the source.

        Args:
            weights: (R, P) float32, changed in place; of no meaning behind a source's end.
            query: (R, D) as in `attend_cross`.
        """

    def note_attended(
        self, weights: Tensor, rows: Tensor, positions: Tensor, memory: SlotMemory
    ) -> None:
        """Writes where among the tokens to align to the weights are largest, the first of equals.

        Of sequences that are done, nothing is written.

        Args:
            weights: (R, P) of all alignment heads.
            positions: (R,) of the step.
        """

    def guard(
        self, rows: Tensor, positions: Tensor, memory: SlotMemory, vocab_size: int, eos_id: int
    ) -> Guard:
        """What `model.decoding.constraints` would change, from the histories alone.

        Args:
            positions: (R,) of the step.
        """

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
        """The `width` best of each row under the guard, from the decoder's output (R, D).

        What `best(guarded(log_probs(...)))` gives.
        """

    def log_probs(
        self, x: Tensor, projection: Linear, rows: Tensor, memory: SlotMemory, *, restricted: bool
    ) -> Tensor:
        """(R, D) -> (R, V) float32.

        Args:
            restricted: to what the shortlists have; all else has minus infinity.
        """

    def guarded(self, log_probs: Tensor, guard: Guard, rows: Tensor, memory: SlotMemory) -> Tensor:
        """(R, V) anew, as the guard changes them."""

    def best(self, log_probs: Tensor, width: int) -> Candidates:
        """The `width` best of each row of (R, V)."""

    def advance(
        self, candidates: Candidates, rows: Tensor, memory: SlotMemory, flags: Tensor, eos_id: int
    ) -> None:
        """One step of `model.decoding.search.BeamSearch` for each group.

        Args:
            flags: (G,) int32, written: 0 while the search goes on, then 1 + ended hypotheses.
        """

    def reorder_beams(self, rows: Tensor, positions: Tensor, memory: SlotMemory) -> None:
        """Writes the ancestors of the live hypotheses, after `advance`.

        Args:
            positions: (R,) as `read_rows` returned them before `advance`.
        """


PACKED_BLOCK = 32
"""Most queries of one block of `attend_packed`."""
