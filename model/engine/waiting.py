"""Who waits, and who of them is next.

Requests take turns: each turn admits one sequence of a request, in the order of its sources, and
then the request stands behind all others. So a request of a thousand sentences delays one that
comes after it by a single sentence, and however many short requests come, each of them takes one
turn before the long one has its next.

Requests of Priority.BATCH have one turn in eight while others wait, and all turns when none do.
They may fill a part of the queue only: however much batch work comes, there is room for others.

Who is next within its priority stays next until it is admitted or leaves. One that needs many slots
is therefore not overtaken by those that need few; it waits until enough of the running have
finished, which each of them does within its own limit of tokens.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence as SequenceOf

from model.config import Priority
from model.engine.sequence import Sequence
from model.errors import QueueFullError

__all__ = ["WaitingQueue"]


_BATCH_TURN = 8
"""While others wait, one turn in so many is a batch request's."""


class WaitingQueue:
    """A bounded queue of sequences, fair between requests. Each operation takes constant time."""

    def __init__(self, max_waiting: int, *, batch_share: float = 1.0) -> None:
        self.max_waiting = max_waiting
        self._max_after_batch = int(max_waiting * batch_share)
        self.num_rows = 0
        """Slots that all who wait need together."""
        self.num_source_tokens = 0
        """Source tokens of all waiting sequences."""
        self.waiting_since: float | None = None
        """When the first of those arrived since whom somebody has always waited; None when nobody
        waits."""
        # By the number of their request, in the order of their turns. Ordered dictionaries, for a
        # plain one passes over all that have left it before it finds its first.
        self._requests: dict[Priority, OrderedDict[int, OrderedDict[Sequence, None]]] = {
            priority: OrderedDict() for priority in Priority
        }
        self._request_of: dict[Sequence, int] = {}
        self._num_requests = 0
        self._turns_since_batch = 0

    def __len__(self) -> int:
        """Sequences."""
        return len(self._request_of)

    def add(self, sequences: SequenceOf[Sequence]) -> None:
        """Puts the sequences of one request, which have one priority, in, all or none.

        Raises:
            QueueFullError: there is no room for all of them.
        """
        if not sequences:
            return
        priority = sequences[0].priority
        most = self.most(priority)
        free = max(0, most - len(self))
        if len(sequences) > free:
            raise QueueFullError(
                f"the waiting queue has room for {free} more sequences "
                f"(of {most}), but {len(sequences)} were submitted"
            )
        if self.waiting_since is None:
            self.waiting_since = sequences[0].arrived_at
        self._num_requests += 1
        self._requests[priority][self._num_requests] = OrderedDict.fromkeys(sequences)
        self._request_of.update(dict.fromkeys(sequences, self._num_requests))
        self.num_rows += sum(sequence.beam_size for sequence in sequences)
        self.num_source_tokens += sum(sequence.source_len for sequence in sequences)

    def most(self, priority: Priority) -> int:
        """Up to how many sequences those of a priority may fill the queue."""
        return self._max_after_batch if priority is Priority.BATCH else self.max_waiting

    def tokens_before(self, num_sequences: int, priority: Priority) -> int:
        """Source tokens that have their turn before the last of so many sequences, were they added.

        An estimate: it goes by the mean length of all who wait.
        """
        ahead = _sequences_ahead(self._requests[priority], num_sequences)
        if priority is Priority.BATCH:
            ahead += sum(map(len, self._requests[Priority.INTERACTIVE].values()))
        return ahead * self.num_source_tokens // max(1, len(self))

    def peek(self) -> Sequence:
        """Who is next; there must be one."""
        return next(iter(next(iter(self._requests[self._next_priority()].values()))))

    def pop(self) -> Sequence:
        """Takes out who is next; there must be one."""
        sequence = self.peek()
        request = self._request_of[sequence]
        requests = self._requests[sequence.priority]
        self.remove(sequence)
        if request in requests:
            requests.move_to_end(request)
        if sequence.priority is Priority.BATCH or not self._requests[Priority.BATCH]:
            self._turns_since_batch = 0
        else:
            self._turns_since_batch += 1
        return sequence

    def remove(self, sequence: Sequence) -> bool:
        """Takes a sequence out, wherever it stands; False when it does not wait."""
        request = self._request_of.pop(sequence, None)
        if request is None:
            return False
        requests = self._requests[sequence.priority]
        waiting = requests[request]
        del waiting[sequence]
        if not waiting:
            del requests[request]
        self.num_rows -= sequence.beam_size
        self.num_source_tokens -= sequence.source_len
        if not self._request_of:
            self.waiting_since = None
        return True

    def _next_priority(self) -> Priority:
        if not self._requests[Priority.INTERACTIVE]:
            return Priority.BATCH
        batch_is_due = self._turns_since_batch >= _BATCH_TURN - 1
        if batch_is_due and self._requests[Priority.BATCH]:
            return Priority.BATCH
        return Priority.INTERACTIVE


def _sequences_ahead(
    requests: OrderedDict[int, OrderedDict[Sequence, None]], num_sequences: int
) -> int:
    """Each of the requests has as many turns as the newcomer, if it has sequences for them."""
    return sum(min(len(waiting), num_sequences) for waiting in requests.values())
