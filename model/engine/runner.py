"""What the engine asks of a device, and what it gets back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from model.decoding.search import Hypothesis
from model.engine.scheduler import StepPlan
from model.engine.sequence import Sequence

__all__ = [
    "DecidedTokens",
    "FinishedSequence",
    "FinishedSequences",
    "PendingResults",
    "Runner",
    "StepOutcome",
]


class FinishedSequence(NamedTuple):
    """A sequence whose search is done."""

    sequence: Sequence
    hypotheses: tuple[Hypothesis, ...]
    """Best first, at least one, at most `num_hypotheses`."""


class FinishedSequences(NamedTuple):
    """Sequences whose searches are done; there may be many."""

    sequences: list[Sequence]
    hypotheses: list[tuple[Hypothesis, ...]]
    """Those of each, as a `FinishedSequence` has them."""


class PendingResults(Protocol):
    """Searches that are done, and whose results are still on their way from the device."""

    @property
    def sequences(self) -> list[Sequence]:
        """Whose they are; the runner has forgotten them, and needs their slots no more."""

    def wait(self) -> FinishedSequences:
        """The results, as soon as they are there. One thread calls it, once, and any may."""


class DecidedTokens(NamedTuple):
    """What is decided of a sequence whose search goes on."""

    sequence: Sequence
    token_ids: tuple[int, ...]
    """Behind those that were reported before: what its best hypothesis will have next."""


@dataclass(kw_only=True)
class StepOutcome:
    """What came of one plan."""

    finished: list[FinishedSequence] = field(default_factory=list)
    pending: list[PendingResults] = field(default_factory=list)
    """Results that come later, of sequences that have finished: nobody has to wait for them."""
    decided: list[DecidedTokens] = field(default_factory=list)
    """Those of the sequences that ask for it (`Sequence.reports`); a runner may tell it late."""
    steps: int = 0
    """Decode steps taken."""
    rows: int = 0
    """Hypotheses decoded, summed over the steps."""
    encode_seconds: float = 0.0
    decode_seconds: float = 0.0
    """What the steps whose rows are told took, with the pauses of a device between them."""


class Runner(Protocol):
    """A device, its share of the slots, and the searches of the sequences that run on it.

    One thread of the engine calls all of it but `interrupt`, which comes from any thread.
    A runner remembers the sequences it was given until it reports them finished or is told that
    they were removed.
    """

    max_slots: int
    can_pause: bool
    """Whether plans may leave sequences out of steps (`StepPlan.active`): where a step over few
    rows costs less than one over many."""
    device: str
    """Where it computes: "cpu", "cuda:0". For information, as is `dtype`."""
    dtype: str
    """What it computes in: "float32", "bfloat16", "float64" or "int8"."""
    notes: tuple[str, ...]
    """What an operator should read once, such as why it is not the faster one; usually nothing."""

    def execute(self, plan: StepPlan) -> StepOutcome:
        """Drops the removed, encodes the newcomers, decodes those who take part.

        Returns after the first step in which a sequence finished, after `plan.max_steps` steps,
        after the step during which it was interrupted, or when nobody takes part. An interrupted
        step may end before everybody has had a token; who has not goes first in the next. A runner
        that reads its device late may report a finish some calls later; one that is slow to call
        may go on until `plan.freed_rows` slots are free.

        Sets `encode_seconds`, `encoded_at` and `first_token_at` of the sequences.

        Raises:
            RuntimeError: the model's predictions are not finite. They stay in the cache, so the
                engine must not go on. Any other exception ends the engine as well.
        """

    def interrupt(self) -> None:
        """Makes the running `execute`, or else the next one, return after its current step.

        Never blocks.
        """

    def release_memory(self) -> None:
        """Gives back what is only needed while sequences run, of which there are none.

        The engine calls it, on the thread of `execute`, when there has been nothing to do for a
        while.
        """

    def close(self) -> None:
        """Gives back what the runner holds; nothing is executed any more."""
