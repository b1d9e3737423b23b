"""Limits: how many requests, how much in each, how long."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack

import pytest

from model.config import Priority
from service.errors import InvalidFieldError, ModelUnavailableError, OverloadedError
from service.gateway.admission import Admission, deadline_of, priority_of
from service.gateway.request_context import RequestContext, request_id_from
from service.settings import Limits


@pytest.fixture
def admission() -> Admission:
    return Admission(
        Limits(max_in_flight=2, max_texts=3, max_text_chars=10, max_total_chars=20, max_beam_size=4)
    )


INTERACTIVE = RequestContext(request_id="r", route="/translate")
BATCH = RequestContext(request_id="r", route="/v1/translate", priority=Priority.BATCH)
HEALTH = RequestContext(request_id="r", route="/health")


def test_places_are_limited_and_come_back(admission: Admission) -> None:
    def slot() -> AbstractContextManager[None]:
        return admission.slot(INTERACTIVE, has_body=True)

    with slot():
        with slot():
            with pytest.raises(OverloadedError, match="works on 2 requests"), slot():
                pass
            assert admission.in_flight() == {"/translate": 2}
        with slot():
            assert admission.in_flight() == {"/translate": 2}
    assert admission.in_flight() == {"/translate": 0}


def test_batch_requests_leave_places_to_others() -> None:
    admission = Admission(Limits(max_in_flight=4, batch_share=0.5))
    with admission.slot(BATCH, has_body=True), admission.slot(INTERACTIVE, has_body=True):
        with (
            pytest.raises(OverloadedError, match="priority batch"),
            admission.slot(BATCH, has_body=True),
        ):
            pass
        with admission.slot(INTERACTIVE, has_body=True), admission.slot(INTERACTIVE, has_body=True):
            assert admission.in_flight() == {"/translate": 3, "/v1/translate": 1}


def test_who_watches_a_full_gateway_is_answered_with_a_body_or_without(
    admission: Admission,
) -> None:
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(admission.slot(INTERACTIVE, has_body=True))
        stack.enter_context(admission.slot(HEALTH, has_body=True))
        assert admission.in_flight() == {"/health": 1, "/translate": 2}


def test_requests_without_a_body_are_counted_but_not_limited(admission: Admission) -> None:
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(admission.slot(HEALTH, has_body=False))
        for _ in range(2):
            stack.enter_context(admission.slot(INTERACTIVE, has_body=True))
        assert admission.in_flight() == {"/health": 5, "/translate": 2}


def test_the_header_names_a_priority() -> None:
    assert priority_of(None) is Priority.INTERACTIVE
    assert priority_of("batch") is Priority.BATCH
    with pytest.raises(InvalidFieldError, match="must be interactive or batch, but is 'Batch'"):
        priority_of("Batch")


def test_a_place_comes_back_after_a_failure(admission: Admission) -> None:
    with pytest.raises(ZeroDivisionError), admission.slot(INTERACTIVE, has_body=True):
        raise ZeroDivisionError
    assert admission.in_flight() == {"/translate": 0}


async def test_a_refused_request_is_not_in_flight(admission: Admission) -> None:
    await admission.drain()
    with pytest.raises(ModelUnavailableError), admission.slot(INTERACTIVE, has_body=True):
        pass
    with admission.slot(HEALTH, has_body=False):
        assert admission.in_flight() == {"/health": 1}


@pytest.mark.parametrize(
    ("texts", "words", "field"),
    [
        (["a"] * 4, "`texts` must have at most 3 texts, but has 4", "texts"),
        (["a", "b" * 11], r"`texts\[1\]` must have at most 10 characters, but has 11", "texts[1]"),
        (["b" * 11], r"`texts\[0\]` must have at most 10 characters, but has 11", "texts[0]"),
        (["a" * 7] * 3, "`texts` must have at most 20 characters in all, but has 21", "texts"),
        (["a", "b\0"], r"`texts\[1\]` must not have the character U\+0000.* at 1", "texts[1]"),
        (["ab\ud800"], r"`texts\[0\]` must not have half of a surrogate pair.* at 2", "texts[0]"),
    ],
)
def test_texts_beyond_a_limit_are_refused(
    admission: Admission, texts: list[str], words: str, field: str
) -> None:
    with pytest.raises(InvalidFieldError, match=words) as caught:
        admission.check_texts(texts, field="texts", is_list=True)
    assert caught.value.field == field


def test_a_text_that_came_alone_has_no_number(admission: Admission) -> None:
    with pytest.raises(InvalidFieldError, match="`text` must have at most 10 characters"):
        admission.check_texts(["a" * 11], field="text", is_list=False)


def test_texts_at_the_limits_pass(admission: Admission) -> None:
    admission.check_texts(["ä" * 10, "😀" * 10, ""], field="texts", is_list=True)


def test_a_search_that_costs_too_much_is_refused(admission: Admission) -> None:
    admission.check_generation({"beam_size": 4, "length_penalty": 1.0})
    with pytest.raises(InvalidFieldError, match=r"`generation.beam_size` must be at most 4"):
        admission.check_generation({"beam_size": 5})


def test_an_answer_that_may_be_too_long_is_refused() -> None:
    admission = Admission(Limits(max_hypothesis_chars=25))
    admission.check_answer(["a" * 12], 2, field="text")
    words = "`texts` must have at most 12 characters in all with 2 hypotheses, but has 13"
    with pytest.raises(InvalidFieldError, match=words):
        admission.check_answer(["a" * 12, "b"], 2, field="texts")


@pytest.mark.parametrize(
    ("header", "allowed"),
    [(None, 120.0), ("1000", 120.0), ("10", 9.9), ("0.5", 0.45), ("0.001", 0.0009)],
)
def test_the_deadline_is_the_nearer_one(header: str | None, allowed: float) -> None:
    context = RequestContext(request_id="r", route="/", started=100.0)
    assert deadline_of(context, header, Limits()) == pytest.approx(100.0 + allowed)


@pytest.mark.parametrize(
    "header", ["", "0", "0.0", "-1", "nan", "inf", "1e3", "5 s", "\u0661", "1_0", " 5", "9" * 400]
)
def test_a_deadline_that_is_no_number_is_refused(header: str) -> None:
    context = RequestContext(request_id="r", route="/")
    with pytest.raises(InvalidFieldError, match="must be a number of seconds above 0"):
        deadline_of(context, header, Limits())


@pytest.mark.parametrize("given", ["a", "order-4711", "A.b_c:d+e/f=g-9", "x" * 128])
def test_a_harmless_request_id_is_kept(given: str) -> None:
    assert request_id_from(given) == given


@pytest.mark.parametrize("given", [None, "", "x" * 129, "a b", "a\nb", 'a"b', "ä", "a,b", "\x1b"])
def test_any_other_request_id_is_replaced(given: str | None) -> None:
    first, second = request_id_from(given), request_id_from(given)
    assert given != first != second
    assert first.isalnum()


def test_a_scope_without_a_context_is_a_mistake_of_ours() -> None:
    with pytest.raises(TypeError, match="must hold a RequestContext"):
        RequestContext.of({"polyhead.request": None})


def test_further_calls_of_a_request_count_as_requests() -> None:
    admission = Admission(Limits(max_in_flight=6, batch_share=0.5))
    with admission.slot(INTERACTIVE, has_body=True):
        with admission.further_calls(Priority.INTERACTIVE, 1) as few:
            assert few == 1
        with admission.further_calls(Priority.BATCH, 20) as some:
            assert some == 1
        with admission.further_calls(Priority.INTERACTIVE, 20) as many:
            assert many == 2  # and leave room to others
            assert admission.in_flight() == {"/translate": 1}
            with ExitStack() as stack:
                for _ in range(3):
                    stack.enter_context(admission.slot(INTERACTIVE, has_body=True))
                with pytest.raises(OverloadedError, match="works on 6 requests"):
                    stack.enter_context(admission.slot(INTERACTIVE, has_body=True))
        with admission.further_calls(Priority.INTERACTIVE, -1) as none:
            assert none == 0
