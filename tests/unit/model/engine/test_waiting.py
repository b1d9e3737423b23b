"""The queue against a naive twin, and its promises one by one."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.engine.waiting import WaitingQueue
from model.errors import QueueFullError
from tests.unit.model.engine.fake_runner import make


def pop_all(queue: WaitingQueue) -> list:
    return [queue.pop() for _ in range(len(queue))]


def test_requests_take_turns_and_keep_their_own_order() -> None:
    queue = WaitingQueue(100)
    a, b, c = ([make() for _ in range(n)] for n in (4, 1, 2))
    for request in (a, b, c):
        queue.add(request)
    assert pop_all(queue) == [a[0], b[0], c[0], a[1], c[1], a[2], a[3]]
    assert len(queue) == 0


def test_one_of_a_request_that_came_late_waits_for_one_of_each_before_it() -> None:
    queue = WaitingQueue(5000)
    huge = [make() for _ in range(2048)]
    queue.add(huge)
    for sequence in huge[:100]:
        assert queue.pop() is sequence
    late = make()
    queue.add([late])
    assert [queue.pop(), queue.pop()] == [huge[100], late]


def test_a_stream_of_short_requests_leaves_the_long_one_what_they_do_not_need() -> None:
    queue = WaitingQueue(5000)
    huge = [make() for _ in range(50)]
    queue.add(huge)
    for sequence in huge:
        queue.add([short := make()])
        assert {queue.pop(), queue.pop()} == {sequence, short}


def test_under_overload_a_long_request_has_a_turn_in_every_queue_length() -> None:
    queue = WaitingQueue(40)
    huge = [make() for _ in range(20)]
    queue.add(huge)
    popped = []
    for _ in range(400):
        while len(queue) < queue.max_waiting:
            queue.add([make()])
        popped.append(queue.pop())
    turns = [popped.index(sequence) for sequence in huge if sequence in popped]
    assert len(turns) >= 10
    assert max(b - a for a, b in pairwise(turns)) <= queue.max_waiting


def test_who_is_next_stays_next() -> None:
    queue = WaitingQueue(100)
    first = make(beam_size=8)
    queue.add([first])
    assert queue.peek() is first
    queue.add([make()])
    queue.add([make(), make()])
    assert queue.peek() is first
    assert queue.pop() is first


def test_it_is_bounded_all_or_nothing() -> None:
    queue = WaitingQueue(3)
    queue.add([make(), make()])
    with pytest.raises(QueueFullError, match=r"room for 1 more sequences \(of 3\), but 2 were"):
        queue.add([make(), make()])
    assert len(queue) == 2
    queue.pop()
    queue.add([make(), make()])
    queue.add([])
    assert len(queue) == 3


def test_who_left_is_not_met_again() -> None:
    queue = WaitingQueue(10)
    a, b = [make(beam_size=2) for _ in range(3)], [make()]
    queue.add(a)
    queue.add(b)
    assert queue.num_rows == 7
    assert queue.remove(a[0])
    assert not queue.remove(a[0])
    assert queue.remove(b[0])
    assert not queue.remove(make())
    assert queue.num_rows == 4
    assert pop_all(queue) == a[1:]
    assert queue.num_rows == 0


@given(
    st.lists(st.tuples(st.sampled_from(["add", "pop", "remove"]), st.integers(0, 5)), max_size=60)
)
def test_any_life_equals_that_of_lists(operations) -> None:
    queue = WaitingQueue(1000)
    requests: list[list] = []
    for operation, number in operations:
        if operation == "add":
            sequences = [make(beam_size=number + 1) for _ in range(number)]
            queue.add(sequences)
            requests.append(list(sequences))
        elif operation == "pop" and requests:
            first, *others = requests
            assert queue.peek() is first[0]
            assert queue.pop() is first[0]
            requests = [*others, first[1:]]
        elif operation == "remove" and requests:
            request = requests[number % len(requests)]
            assert queue.remove(request.pop(number % len(request)))
        requests = [request for request in requests if request]
        assert len(queue) == sum(map(len, requests))
        assert queue.num_rows == sum(s.beam_size for request in requests for s in request)
