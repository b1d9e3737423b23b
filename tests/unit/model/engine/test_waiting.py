"""The queue against a naive reference, and its promises one by one."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.config import Priority
from model.engine.waiting import WaitingQueue
from model.errors import QueueFullError
from tests.unit.model.engine.fake_runner import make


def pop_all(queue: WaitingQueue, *, heavy: bool = False) -> list:
    return [queue.pop(heavy) for _ in range(len(queue))]


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
        assert queue.pop(heavy=False) is sequence
    late = make()
    queue.add([late])
    assert [queue.pop(heavy=False), queue.pop(heavy=False)] == [huge[100], late]


def test_a_stream_of_short_requests_leaves_the_long_one_what_they_do_not_need() -> None:
    queue = WaitingQueue(5000)
    huge = [make() for _ in range(50)]
    queue.add(huge)
    for sequence in huge:
        queue.add([short := make()])
        assert {queue.pop(heavy=False), queue.pop(heavy=False)} == {sequence, short}


def test_under_overload_a_long_request_has_a_turn_in_every_queue_length() -> None:
    queue = WaitingQueue(40)
    huge = [make() for _ in range(20)]
    queue.add(huge)
    popped = []
    for _ in range(400):
        while len(queue) < queue.max_waiting:
            queue.add([make()])
        popped.append(queue.pop(heavy=False))
    turns = [popped.index(sequence) for sequence in huge if sequence in popped]
    assert len(turns) >= 10
    assert max(b - a for a, b in pairwise(turns)) <= queue.max_waiting


def test_who_is_next_stays_next() -> None:
    queue = WaitingQueue(100)
    first = make(beam_size=8)
    queue.add([first])
    assert queue.peek(heavy=False) is first
    queue.add([make()])
    queue.add([make(), make()])
    assert queue.peek(heavy=False) is first
    assert queue.pop(heavy=False) is first


def test_it_is_bounded_all_or_nothing() -> None:
    queue = WaitingQueue(3)
    queue.add([make(), make()])
    with pytest.raises(QueueFullError, match=r"room for 1 more sequences \(of 3\), but 2 were"):
        queue.add([make(), make()])
    assert len(queue) == 2
    queue.pop(heavy=False)
    queue.add([make(), make()])
    queue.add([])
    assert len(queue) == 3


def test_who_left_is_not_met_again() -> None:
    queue = WaitingQueue(10)
    a, b = [make(beam_size=2) for _ in range(3)], [make()]
    queue.add(a)
    queue.add(b)
    assert queue.num_rows(heavy=False) == 7
    assert queue.remove(a[0])
    assert not queue.remove(a[0])
    assert queue.remove(b[0])
    assert not queue.remove(make())
    assert queue.num_rows(heavy=False) == 4
    assert pop_all(queue) == a[1:]
    assert queue.num_rows(heavy=False) == 0


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
            assert queue.peek(heavy=False) is first[0]
            assert queue.pop(heavy=False) is first[0]
            requests = [*others, first[1:]]
        elif operation == "remove" and requests:
            request = requests[number % len(requests)]
            assert queue.remove(request.pop(number % len(request)))
        requests = [request for request in requests if request]
        assert len(queue) == sum(map(len, requests))
        rows = sum(sequence.beam_size for request in requests for sequence in request)
        assert queue.num_rows(heavy=False) == rows


def test_knows_the_tokens_that_wait_and_since_when_somebody_always_does() -> None:
    queue = WaitingQueue(10)
    assert (queue.num_source_tokens, queue.waiting_since) == (0, None)
    first, second, third = make(3), make(5), make(7)
    for at, sequence in enumerate((first, second, third)):
        sequence.arrived_at = float(at)
    queue.add([first])
    queue.add([second])
    assert (queue.num_source_tokens, queue.waiting_since) == (8, 0.0)
    queue.pop(heavy=False)
    assert (queue.num_source_tokens, queue.waiting_since) == (5, 0.0)
    queue.remove(second)
    assert (queue.num_source_tokens, queue.waiting_since) == (0, None)
    queue.add([third])
    assert (queue.num_source_tokens, queue.waiting_since) == (7, 2.0)


def batch(number: int) -> list:
    return [make(priority=Priority.BATCH) for _ in range(number)]


def heavy(number: int) -> list:
    return [make(light_steps=0) for _ in range(number)]


def test_batch_work_has_one_turn_in_eight_while_other_heavy_ones_wait() -> None:
    queue = WaitingQueue(100)
    slow, quick = batch(4), heavy(20)
    queue.add(slow)
    queue.add(quick)
    order = pop_all(queue, heavy=True)
    assert [order.index(sequence) for sequence in slow] == [7, 15, 22, 23]
    assert [sequence for sequence in order if sequence in quick] == quick


def test_batch_work_that_is_alone_does_not_wait_for_its_turn() -> None:
    queue = WaitingQueue(100)
    queue.add(slow := batch(3))
    assert pop_all(queue, heavy=True) == slow
    queue.add(slow := batch(1))
    queue.add(quick := heavy(1))
    assert pop_all(queue, heavy=True) == [*quick, *slow]


def test_batch_work_whose_turn_it_is_stays_next() -> None:
    queue = WaitingQueue(100)
    [slow] = batch(1)
    queue.add([slow])
    queue.add(heavy(7))
    for _ in range(7):
        assert queue.pop(heavy=True) is not slow
    queue.add(heavy(1))
    assert queue.peek(heavy=True) is slow
    queue.add(heavy(1))
    assert queue.pop(heavy=True) is slow


def test_batch_work_leaves_room_for_others() -> None:
    queue = WaitingQueue(10, batch_share=0.5)
    assert (queue.most(Priority.BATCH), queue.most(Priority.INTERACTIVE)) == (5, 10)
    queue.add([make() for _ in range(3)])
    with pytest.raises(QueueFullError, match=r"room for 2 more sequences \(of 5\), but 3 were"):
        queue.add(batch(3))
    queue.add(batch(2))
    queue.add([make() for _ in range(5)])
    with pytest.raises(QueueFullError, match="room for 0 more"):
        queue.add(batch(1))


def test_knows_whose_turns_come_before_those_of_a_newcomer() -> None:
    queue = WaitingQueue(100)
    assert queue.tokens_before([make()] * 5) == queue.tokens_before([]) == 0
    queue.add([make(3) for _ in range(10)])
    queue.add([make(3)])
    assert queue.tokens_before([make()]) == 2 * 3
    assert queue.tokens_before([make()] * 4) == (4 + 1) * 3
    # The others' first, whatever their number.
    assert queue.tokens_before(heavy(1)) == queue.tokens_before(batch(1)) == 11 * 3
    queue.add(batch(1))
    queue.add(heavy(2))
    assert queue.tokens_before(batch(1)) == 14 * 3
    assert queue.tokens_before(heavy(1)) == 12 * 3
    assert queue.tokens_before([make()]) == 2 * 3
    for newcomers in (batch(1), heavy(1), heavy(2), [make()], [make()] * 4):
        before = list(queue.before(newcomers))
        assert 3 * len(before) == queue.tokens_before(newcomers)
        assert len(set(before)) == len(before)


def test_light_and_heavy_ones_stand_in_two_lines() -> None:
    queue = WaitingQueue(100)
    slow, quick, later = heavy(2), [make(beam_size=3)], batch(1)
    for request in (slow, later, quick):
        queue.add(request)
    assert (queue.num_rows(heavy=False), queue.num_rows(heavy=True)) == (3, 3)
    assert queue.peek(heavy=True) is slow[0]
    assert queue.pop(heavy=False) is quick[0]
    assert pop_all(queue, heavy=True) == [*slow, *later]
    assert len(queue) == 0


def test_light_turns_are_none_of_those_after_which_batch_work_is_due() -> None:
    queue = WaitingQueue(100)
    for request in (batch(1), heavy(9), [make() for _ in range(20)]):
        queue.add(request)
    for _ in range(20):
        queue.pop(heavy=False)
    order = pop_all(queue, heavy=True)
    assert [sequence.priority for sequence in order].index(Priority.BATCH) == 7
