"""A future ends once, tells everybody, and has others wait."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from model.engine.futures import wait
from model.engine.result_future import ResultFuture, call_when_settled, results, settle


def test_it_has_its_result_and_tells_those_who_asked_before_and_those_who_ask_later() -> None:
    future: ResultFuture[int] = ResultFuture()
    told: list[str] = []
    future.add_done_callback(lambda _: told.append("first"))
    future.add_done_callback(lambda done: told.append(f"second {done.result()}"))
    assert not future.done()
    future.set_result(7)
    future.add_done_callback(lambda _: told.append("late"))
    assert future.done()
    assert (future.result(), future.exception()) == (7, None)
    assert told == ["first", "second 7", "late"]


def test_an_error_is_raised_wherever_the_result_is_asked_for() -> None:
    future: ResultFuture[int] = ResultFuture()
    future.set_exception(error := KeyError("it"))
    assert future.exception() is error
    with pytest.raises(KeyError, match="it"):
        future.result()


def test_it_ends_once() -> None:
    future: ResultFuture[int] = ResultFuture()
    future.set_result(1)
    with pytest.raises(RuntimeError, match="ends once"):
        future.set_result(2)
    with pytest.raises(RuntimeError, match="ends once"):
        future.set_exception(KeyError())
    assert (future.result(), future.exception()) == (1, None)


def test_what_a_callback_raises_concerns_nobody_else() -> None:
    futures: list[ResultFuture[int]] = [ResultFuture() for _ in range(3)]
    told: list[int] = []

    def fail(_: ResultFuture[int]) -> None:
        raise SystemExit

    for future in futures:
        future.add_done_callback(fail)
        future.add_done_callback(lambda done: told.append(done.result()))
    settle(futures, [0, 1, 2])
    assert told == [0, 1, 2]


def test_a_callback_may_settle_others_and_ask_those_that_are_settled_with_it() -> None:
    futures: list[ResultFuture[int]] = [ResultFuture() for _ in range(2)]
    other: ResultFuture[int] = ResultFuture()
    futures[0].add_done_callback(lambda _: other.set_result(futures[1].result()))
    settle(futures, [0, 1])
    assert other.result() == 1


def test_others_may_be_settled_while_some_are_on_the_same_thread() -> None:
    """As when an engine is collected meanwhile, and closed."""
    other: ResultFuture[int] = ResultFuture()
    future: ResultFuture[int] = ResultFuture()

    def results() -> Iterator[int]:
        other.set_result(1)
        yield 0

    settle([future], results())
    assert (other.result(0), future.result(0)) == (1, 0)


def test_whoever_waits_goes_on_when_it_is_settled_elsewhere() -> None:
    future: ResultFuture[int] = ResultFuture()
    asked = threading.Event()
    future.add_done_callback(lambda _: asked.wait(60))
    with ThreadPoolExecutor(2) as threads:
        waiting = threads.submit(future.result, 60)
        threads.submit(future.set_result, 5)
        asked.set()
        assert waiting.result(60) == 5


@pytest.mark.parametrize("timeout", [0, -1, -0.5])
def test_time_is_over_when_nothing_comes(timeout: float) -> None:
    """Also if it was over before."""
    future: ResultFuture[int] = ResultFuture()
    with pytest.raises(TimeoutError):
        future.result(timeout)
    with pytest.raises(TimeoutError):
        future.exception(timeout)
    assert not wait([future], timeout=timeout)  # type: ignore[list-item]


def test_many_are_waited_for_until_all_have_results_or_one_has_an_error() -> None:
    futures: list[ResultFuture] = [ResultFuture() for _ in range(3)]
    assert wait([], timeout=0)
    settle(futures[:2], [0, 1])
    assert not wait(futures, timeout=0)
    futures[2].set_result(2)
    assert wait(futures, timeout=0)
    failed: ResultFuture = ResultFuture()
    failed.set_exception(KeyError())
    assert wait([ResultFuture(), failed], timeout=0)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_who_waits_for_several_is_called_once_even_if_one_is_there_twice(order) -> None:
    futures: list[ResultFuture[int]] = [ResultFuture() for _ in range(2)]
    called: list[int] = []
    call_when_settled([*futures, futures[0]], lambda: called.append(1))
    futures[order[0]].set_result(0)
    assert not called
    futures[order[1]].set_result(0)
    assert called == [1]
    call_when_settled([futures[0]] * 2, lambda: called.append(2))
    assert called == [1, 2]


def test_results_of_many_are_theirs_in_order_and_an_error_that_is_there_comes_first() -> None:
    futures: list[ResultFuture[int]] = [ResultFuture() for _ in range(3)]
    assert results([]) == []
    settle(futures[1:], [1, 2])
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(results, futures)
        futures[0].set_result(0)
        assert asked.result(timeout=60) == [0, 1, 2]
    failed: list[ResultFuture[int]] = [ResultFuture() for _ in range(2)]
    failed[1].set_exception(KeyError("it"))
    for these in (failed, [*futures, *failed]):
        with pytest.raises(KeyError, match="it"):  # though the first of them will never end
            results(these)


def test_an_error_that_comes_while_others_are_waited_for_is_raised() -> None:
    futures: list[ResultFuture[int]] = [ResultFuture() for _ in range(2)]
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(results, futures)
        while not futures[0]._countdowns:  # until it waits for the first
            threading.Event().wait(0.001)
        futures[1].set_exception(KeyError("it"))
        futures[0].set_result(0)
        with pytest.raises(KeyError, match="it"):
            asked.result(timeout=60)


def test_an_error_calls_who_waits_for_several_once_and_results_behind_it_do_not() -> None:
    futures: list[ResultFuture[int]] = [ResultFuture() for _ in range(3)]
    called: list[int] = []
    call_when_settled([*futures, futures[0]], lambda: called.append(1))
    futures[0].set_exception(KeyError())
    assert called == [1]
    settle(futures[1:], [1, 2])
    assert called == [1]
    call_when_settled(futures, lambda: called.append(2))
    assert called == [1, 2]


def test_who_has_waited_in_vain_is_forgotten() -> None:
    """Also who asks again and again for as long as a translation takes."""
    futures: list[ResultFuture[int]] = [ResultFuture() for _ in range(2)]
    stays: list[int] = []
    call_when_settled(futures, lambda: stays.append(1))
    for _ in range(3):
        assert not wait(futures, timeout=0)
        with pytest.raises(TimeoutError):
            futures[0].result(timeout=0)
    assert [len(future._countdowns) for future in futures] == [1, 1]
    settle(futures, [1, 2])
    assert stays == [1]
