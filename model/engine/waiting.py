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

import math
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as SequenceOf
from itertools import islice

from model.config import Priority
from model.engine.sequence import Sequence
from model.errors import QueueFullError

__all__ = ["WaitingQueue"]

_BATCH_TURN = 8
"""While other heavy requests wait, one turn in so many is a batch request's."""


_LIGHT, _HEAVY, _BATCH = range(3)
"""Lines, in the order in which they go before each other, by and large: light requests, heavy ones
of Priority.INTERACTIVE, those of Priority.BATCH."""


class _Request:
    """The sequences of one request that wait, in their order."""

    __slots__ = ("count", "line", "sequences")

    def __init__(self, sequences: Iterable[Sequence], line: int) -> None:
        self.sequences = deque(sequences)
        """With some that have been removed: these do not wait in it any more."""
        self.count = len(self.sequences)
        """Without those."""
        self.line = line

    def first(self) -> Sequence:
        """Who is next; there is one."""
        while (sequence := self.sequences[0]).waits_in is not self:
            self.sequences.popleft()
        return sequence

    def waiting(self) -> Iterator[Sequence]:
        """Who has not been removed."""
        return (sequence for sequence in self.sequences if sequence.waits_in is self)


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
        # In the order of their turns. Ordered dictionaries, for a plain one passes over all that
        # have left it before it finds its first.
        self._requests: tuple[OrderedDict[_Request, None], ...] = tuple(
            OrderedDict() for _ in range(3)
        )
        """By line, those of whom somebody waits."""
        self._count = 0
        self._num_rows = [0] * 3
        self._turns_since_batch = 0

    def __len__(self) -> int:
        """Sequences."""
        return self._count

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
        line = _line(sequences[0])
        request = _Request(sequences, line)
        for sequence in sequences:
            sequence.waits_in = request
        self._requests[line][request] = None
        self._count += len(sequences)
        self._num_rows[line] += sum([sequence.beam_size for sequence in sequences])
        self.num_source_tokens += sum([sequence.source_len for sequence in sequences])

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
        for requests in self._requests[:line]:
            ahead += sum([request.count for request in requests])
        return ahead * self.num_source_tokens // max(1, len(self))

    def before(self, sequences: SequenceOf[Sequence]) -> Iterator[Sequence]:
        """Those who have their turn before the last of these, were they added: what is counted in
        `tokens_before`, one by one.
        """
        line = _line(sequences[0])
        for requests in self._requests[:line]:
            for request in requests:
                yield from request.waiting()
        for request in self._requests[line]:
            yield from islice(request.waiting(), len(sequences))

    def num_rows(self, heavy: bool) -> int:
        """Slots that the heavy ones, or the light ones, need together."""
        if heavy:
            return self._num_rows[_HEAVY] + self._num_rows[_BATCH]
        return self._num_rows[_LIGHT]

    @property
    def num_batch_rows(self) -> int:
        """Slots that those of Priority.BATCH need together."""
        return self._num_rows[_BATCH]

    def peek(self, heavy: bool) -> Sequence:
        """Who is next of the heavy ones, or of the light ones; there must be one."""
        line = self._next_heavy_line() if heavy else _LIGHT
        return next(iter(self._requests[line])).first()

    def pop(self, heavy: bool) -> Sequence:
        """Takes out who is next; there must be one."""
        [sequence] = self.pop_some(heavy, until_rows=1, free_rows=math.inf, most_tokens=math.inf)
        return sequence

    def pop_some(
        self, heavy: bool, *, until_rows: float, free_rows: float, most_tokens: float
    ) -> list[Sequence]:
        """Takes out those who are next, until there are none or they are enough.

        Args:
            heavy: of the heavy ones, or of the light ones.
            until_rows: slots with which they are enough; the last may need more.
            free_rows: slots that they must fit into.
            most_tokens: source tokens of all of them.
        """
        found: list[Sequence] = []
        rows, tokens = 0, 0
        line = _LIGHT
        while rows < until_rows:
            if heavy:
                line = self._next_heavy_line()
            requests = self._requests[line]
            if not requests:
                break
            request, _ = requests.popitem(last=False)
            sequence = request.sequences[0]
            if sequence.waits_in is not request:  # it has been removed
                sequence = request.first()
            size, length = sequence.beam_size, sequence.source_len
            if rows + size > free_rows or tokens + length > most_tokens:
                requests[request] = None
                requests.move_to_end(request, last=False)
                break
            rows += size
            tokens += length
            request.sequences.popleft()
            request.count -= 1
            if request.count:
                requests[request] = None
            sequence.waits_in = None
            self._num_rows[line] -= size
            found.append(sequence)
            if heavy:
                self._turns_since_batch = 0 if line == _BATCH else self._turns_since_batch + 1
        if not self._requests[_BATCH]:
            self._turns_since_batch = 0
        self._left(len(found), tokens)
        return found

    def remove(self, sequence: Sequence) -> bool:
        """Takes a sequence out, wherever it stands; False when it does not wait."""
        request = sequence.waits_in
        if request is None:
            return False
        assert isinstance(request, _Request)
        sequence.waits_in = None
        request.count -= 1
        if not request.count:
            del self._requests[request.line][request]
        self._num_rows[request.line] -= sequence.beam_size
        self._left(1, sequence.source_len)
        return True

    def _left(self, count: int, num_tokens: int) -> None:
        self._count -= count
        self.num_source_tokens -= num_tokens
        if not self._count:
            self.waiting_since = None

    def _next_heavy_line(self) -> int:
        if not self._requests[_HEAVY]:
            return _BATCH
        batch_is_due = self._turns_since_batch >= _BATCH_TURN - 1
        return _BATCH if batch_is_due and self._requests[_BATCH] else _HEAVY


def _line(sequence: Sequence) -> int:
    if sequence.priority is Priority.BATCH:
        return _BATCH
    return _HEAVY if sequence.heavy else _LIGHT


def _sequences_ahead(requests: Iterable[_Request], num_sequences: int) -> int:
    """Each of the requests has as many turns as the newcomer, if it has sequences for them."""
    return sum([min(request.count, num_sequences) for request in requests])
