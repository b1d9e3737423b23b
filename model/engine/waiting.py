"""Who waits, and who of them is next.

Requests take turns: each turn admits one sequence of a request, in the order of its sources, and
then the request stands behind all others. So a request of a thousand sentences delays one that
comes after it by a single sentence, and however many short requests come, each of them takes one
turn before the long one has its next.

Light and heavy requests (see `scheduler`) stand in two lines, and the scheduler decides from which
it takes. In the line of the heavy ones, requests of Priority.BATCH have one turn in eight while
others wait in it, and all turns when none do. They may fill a part of the queue only: however much
batch work comes, there is room for others.

Who is next within its line and priority stays next until it is admitted or leaves. One that needs
many slots is therefore not overtaken by those that need few; it waits until enough of the running
have finished, which each of them does within its own limit of tokens.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from collections.abc import Sequence as SequenceOf
from enum import Enum, auto
from itertools import islice

from model.config import Priority
from model.engine.sequence import Sequence
from model.errors import QueueFullError

__all__ = ["WaitingQueue"]

_BATCH_TURN = 8
"""While other heavy requests wait, one turn in so many is a batch request's."""


class _Line(Enum):
    """In the order in which they go before each other, by and large."""

    LIGHT = auto()
    HEAVY = auto()
    """Requests of Priority.INTERACTIVE."""
    BATCH = auto()


class WaitingQueue:
    """A bounded queue of sequences, fair between requests. Each operation takes constant time."""

    def __init__(self, max_waiting: int, *, batch_share: float = 1.0) -> None:
        self.max_waiting = max_waiting
        self._max_after_batch = int(max_waiting * batch_share)
        self.num_source_tokens = 0
        """Source tokens of all waiting sequences."""
        self.waiting_since: float | None = None
        """When the first of those arrived since whom somebody has always waited; None when nobody
        waits."""
        # By the number of their request, in the order of their turns. Ordered dictionaries, for a
        # plain one passes over all that have left it before it finds its first.
        self._requests: dict[_Line, OrderedDict[int, OrderedDict[Sequence, None]]] = {
            line: OrderedDict() for line in _Line
        }
        self._num_rows = dict.fromkeys(_Line, 0)
        self._request_of: dict[Sequence, int] = {}
        self._num_requests = 0
        self._turns_since_batch = 0

    def __len__(self) -> int:
        """Sequences."""
        return len(self._request_of)

    def add(self, sequences: SequenceOf[Sequence], *, admitted: bool = False) -> None:
        """Puts the sequences of one request, all heavy or all light, in, all or none.

        Args:
            sequences: they wait from now on.
            admitted: they have had slots before, and are not refused.

        Raises:
            QueueFullError: there is no room for all of them.
        """
        if not sequences:
            return
        priority = sequences[0].priority
        most = self.most(priority)
        free = max(0, most - len(self))
        if len(sequences) > free and not admitted:
            raise QueueFullError(
                f"the waiting queue has room for {free} more sequences "
                f"(of {most}), but {len(sequences)} were submitted"
            )
        if self.waiting_since is None:
            self.waiting_since = sequences[0].arrived_at
        self._num_requests += 1
        line = _line(sequences[0])
        self._requests[line][self._num_requests] = OrderedDict.fromkeys(sequences)
        self._request_of.update(dict.fromkeys(sequences, self._num_requests))
        self._num_rows[line] += sum(sequence.beam_size for sequence in sequences)
        self.num_source_tokens += sum(sequence.source_len for sequence in sequences)

    def most(self, priority: Priority) -> int:
        """Up to how many sequences those of a priority may fill the queue."""
        return self._max_after_batch if priority is Priority.BATCH else self.max_waiting

    def tokens_before(self, sequences: SequenceOf[Sequence]) -> int:
        """Source tokens that have their turn before the last of these, were they added.

        An estimate: it goes by the mean length of all who wait, and by light ones going first.
        """
        if not sequences:
            return 0
        line = _line(sequences[0])
        ahead = _sequences_ahead(self._requests[line], len(sequences))
        for earlier in _Line:
            if earlier is line:
                break
            ahead += sum(map(len, self._requests[earlier].values()))
        return ahead * self.num_source_tokens // max(1, len(self))

    def before(self, sequences: SequenceOf[Sequence]) -> Iterator[Sequence]:
        """Those who have their turn before the last of these, were they added: what is counted in
        `tokens_before`, one by one.
        """
        line = _line(sequences[0])
        for earlier in _Line:
            for waiting in self._requests[earlier].values():
                yield from islice(waiting, len(sequences)) if earlier is line else waiting
            if earlier is line:
                return

    def num_rows(self, heavy: bool) -> int:
        """Slots that the heavy ones, or the light ones, need together."""
        if heavy:
            return self._num_rows[_Line.HEAVY] + self._num_rows[_Line.BATCH]
        return self._num_rows[_Line.LIGHT]

    @property
    def num_batch_rows(self) -> int:
        """Slots that those of Priority.BATCH need together."""
        return self._num_rows[_Line.BATCH]

    def peek(self, heavy: bool) -> Sequence:
        """Who is next of the heavy ones, or of the light ones; there must be one."""
        line = self._next_heavy_line() if heavy else _Line.LIGHT
        return next(iter(next(iter(self._requests[line].values()))))

    def pop(self, heavy: bool) -> Sequence:
        """Takes out who is next; there must be one."""
        sequence = self.peek(heavy)
        line = _line(sequence)
        request = self._request_of[sequence]
        requests = self._requests[line]
        self.remove(sequence)
        if request in requests:
            requests.move_to_end(request)
        if line is _Line.BATCH or not self._requests[_Line.BATCH]:
            self._turns_since_batch = 0
        elif line is _Line.HEAVY:
            self._turns_since_batch += 1
        return sequence

    def remove(self, sequence: Sequence) -> bool:
        """Takes a sequence out, wherever it stands; False when it does not wait."""
        request = self._request_of.pop(sequence, None)
        if request is None:
            return False
        line = _line(sequence)
        requests = self._requests[line]
        waiting = requests[request]
        del waiting[sequence]
        if not waiting:
            del requests[request]
        self._num_rows[line] -= sequence.beam_size
        self.num_source_tokens -= sequence.source_len
        if not self._request_of:
            self.waiting_since = None
        return True

    def _next_heavy_line(self) -> _Line:
        if not self._requests[_Line.HEAVY]:
            return _Line.BATCH
        batch_is_due = self._turns_since_batch >= _BATCH_TURN - 1
        return _Line.BATCH if batch_is_due and self._requests[_Line.BATCH] else _Line.HEAVY


def _line(sequence: Sequence) -> _Line:
    if sequence.priority is Priority.BATCH:
        return _Line.BATCH
    return _Line.HEAVY if sequence.heavy else _Line.LIGHT


def _sequences_ahead(
    requests: OrderedDict[int, OrderedDict[Sequence, None]], num_sequences: int
) -> int:
    """Each of the requests has as many turns as the newcomer, if it has sequences for them."""
    return sum(min(len(waiting), num_sequences) for waiting in requests.values())
