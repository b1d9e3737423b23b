"""Who waits, and who of them is next.

Requests take turns: each turn admits one sequence of a request, in the order of its sources, and
then the request stands behind all others. So a request of a thousand sentences delays one that
comes after it by a single sentence, and however many short requests come, each of them takes one
turn before the long one has its next.

Who is next stays next until it is admitted or leaves. One that needs many slots is therefore not
overtaken by those that need few; it waits until enough of the running have finished, which each of
them does within its own limit of tokens.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence as SequenceOf

from model.engine.sequence import Sequence
from model.errors import QueueFullError

__all__ = ["WaitingQueue"]


class WaitingQueue:
    """A bounded queue of sequences, fair between requests. Each operation takes constant time."""

    def __init__(self, max_waiting: int) -> None:
        self.max_waiting = max_waiting
        self.num_rows = 0
        """Slots that all who wait need together."""
        # By the number of their request, in the order of their turns. Ordered dictionaries, for a
        # plain one passes over all that have left it before it finds its first.
        self._requests: OrderedDict[int, OrderedDict[Sequence, None]] = OrderedDict()
        self._request_of: dict[Sequence, int] = {}
        self._num_requests = 0

    def __len__(self) -> int:
        """Sequences."""
        return len(self._request_of)

    def add(self, sequences: SequenceOf[Sequence]) -> None:
        """Puts the sequences of one request in, all or none.

        Raises:
            QueueFullError: there is no room for all of them.
        """
        free = self.max_waiting - len(self)
        if len(sequences) > free:
            raise QueueFullError(
                f"the waiting queue has room for {free} more sequences "
                f"(of {self.max_waiting}), but {len(sequences)} were submitted"
            )
        if not sequences:
            return
        self._num_requests += 1
        self._requests[self._num_requests] = OrderedDict.fromkeys(sequences)
        self._request_of.update(dict.fromkeys(sequences, self._num_requests))
        self.num_rows += sum(sequence.beam_size for sequence in sequences)

    def peek(self) -> Sequence:
        """Who is next; there must be one."""
        return next(iter(next(iter(self._requests.values()))))

    def pop(self) -> Sequence:
        """Takes out who is next; there must be one."""
        sequence = self.peek()
        request = self._request_of[sequence]
        self.remove(sequence)
        if request in self._requests:
            self._requests.move_to_end(request)
        return sequence

    def remove(self, sequence: Sequence) -> bool:
        """Takes a sequence out, wherever it stands; False when it does not wait."""
        request = self._request_of.pop(sequence, None)
        if request is None:
            return False
        waiting = self._requests[request]
        del waiting[sequence]
        if not waiting:
            del self._requests[request]
        self.num_rows -= sequence.beam_size
        return True
