"""How long a request's own work takes, at the speed that the engine has shown."""

from __future__ import annotations

from collections.abc import Iterable

from model.engine.sequence import Sequence

__all__ = ["ServiceTimeEstimator"]

_TARGET_PER_SOURCE = 1.0
"""Decode steps of a sentence, by its source tokens. Not learned from what is translated: texts that
make a model repeat itself would have ordinary ones refused."""
_WINDOW_SECONDS = 0.02
"""Short calls of a runner are timed together."""
_SLOWER_SHARE = 0.001
"""What is slower counts half after 700 windows, which is half a minute of full work or more."""


class ServiceTimeEstimator:
    """Seconds that a request takes on an engine that does nothing else, if its texts are ordinary.

    Workers are timed while all of them work and this one has many rows, for nothing else says how
    fast a large request is. What is faster than what is known counts at once, and what is slower
    little by little: another program or unusual texts are nothing to refuse a request for.
    """

    def __init__(self, num_workers: int) -> None:
        self._num_workers = num_workers
        self._encoding = _Pace()
        self._decoding = _Pace()

    def observe(
        self, *, encoded_tokens: int, encode_seconds: float, rows: int, decode_seconds: float
    ) -> None:
        """One worker, with many rows and while all others worked, did so much.

        Args:
            encoded_tokens: of sources.
            encode_seconds: what they took.
            rows: hypotheses decoded, summed over the steps.
            decode_seconds: what they took.
        """
        self._encoding.add(encoded_tokens, encode_seconds)
        self._decoding.add(rows, decode_seconds)

    def seconds_for(self, sequences: Iterable[Sequence]) -> float:
        """How long these sequences take together; 0 while nothing is known."""
        tokens, rows = 0, 0.0
        for sequence in sequences:
            tokens += sequence.source_len
            steps = min(_TARGET_PER_SOURCE * sequence.source_len, sequence.max_new_tokens)
            rows += steps * sequence.beam_size
        work = tokens * self._encoding.seconds_each + rows * self._decoding.seconds_each
        return work / self._num_workers


class _Pace:
    """Seconds that one thing takes."""

    def __init__(self) -> None:
        self.seconds_each = 0.0
        """0 while nothing is known."""
        self._count = 0
        self._seconds = 0.0

    def add(self, count: int, seconds: float) -> None:
        """So many things took so long."""
        self._count += count
        self._seconds += seconds
        if not self._count or self._seconds < _WINDOW_SECONDS:
            return
        measured = self._seconds / self._count
        slower = measured - self.seconds_each
        if self.seconds_each and slower > 0:
            self.seconds_each += _SLOWER_SHARE * slower
        else:
            self.seconds_each = measured
        self._count, self._seconds = 0, 0.0
