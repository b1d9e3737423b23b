"""What each exception becomes for a client."""

from __future__ import annotations

import inspect

import pytest

import model.errors
import service.errors
from model.errors import (
    CheckpointError,
    DeadlineExceededError,
    DownloadError,
    EngineDeadError,
    ImportRefusedError,
    InvalidRequestError,
    PolyheadError,
    QueueFullError,
    RecipeError,
    RequestCancelledError,
    RequestFailedError,
    TooLongForDeadlineError,
    UnsupportedLanguageError,
)
from service.errors import (
    BodyTimeoutError,
    BodyTooLargeError,
    InvalidFieldError,
    InvalidKeyError,
    LanguageNotServedError,
    MalformedBodyError,
    MediaTypeError,
    MissingKeyError,
    ModelUnavailableError,
    OverloadedError,
    QuotaExceededError,
    RateLimitedError,
    StoreFullError,
    StoreUnavailableError,
    UnknownGlossaryError,
    failure_of,
    shown,
)


@pytest.mark.parametrize(
    ("exc", "status", "kind", "retry_after"),
    [
        (InvalidRequestError("x"), 422, "invalid_request", None),
        (InvalidFieldError("x", field="f"), 422, "invalid_request", None),
        (UnsupportedLanguageError("x"), 422, "unsupported_language", None),
        (LanguageNotServedError("x", field="f"), 422, "unsupported_language", None),
        (TooLongForDeadlineError("x"), 422, "too_long_for_deadline", None),
        (MalformedBodyError("x"), 400, "malformed_body", None),
        (MediaTypeError("x"), 415, "unsupported_media_type", None),
        (BodyTooLargeError("x"), 413, "body_too_large", None),
        (BodyTimeoutError("x"), 408, "body_timeout", None),
        (QueueFullError("x"), 503, "overloaded", "1"),
        (OverloadedError("x"), 503, "overloaded", "1"),
        (DeadlineExceededError("x"), 504, "deadline_exceeded", None),
        (RequestCancelledError("x"), 503, "cancelled", "1"),
        (EngineDeadError("x"), 503, "unavailable", "5"),
        (ModelUnavailableError("x"), 503, "unavailable", "5"),
        (MissingKeyError("x"), 401, "missing_api_key", None),
        (InvalidKeyError("x"), 401, "invalid_api_key", None),
        (RateLimitedError("x", seconds=2.1), 429, "rate_limited", "3"),
        (QuotaExceededError("x", seconds=0.0), 429, "quota_exceeded", "1"),
        (UnknownGlossaryError("x", field="f"), 404, "not_found", None),
        (StoreUnavailableError("x"), 503, "store_unavailable", "5"),
        (StoreFullError("x"), 507, "store_full", None),
        (ZeroDivisionError("x"), 500, "internal_error", None),
    ],
)
def test_the_table(exc: Exception, status: int, kind: str, retry_after: str | None) -> None:
    failure = failure_of(exc)
    assert (failure.status, failure.kind) == (status, kind)
    assert failure.headers.get("Retry-After") == retry_after


def test_every_error_of_a_request_has_its_row() -> None:
    never_of_a_request = {
        CheckpointError, DownloadError, ImportRefusedError, RecipeError, PolyheadError,
        RequestFailedError,
    }  # fmt: skip
    for module in (model.errors, service.errors):
        for _, cls in inspect.getmembers(module, inspect.isclass):
            if issubclass(cls, PolyheadError) and cls not in never_of_a_request:
                exc = cls("x", field="f") if issubclass(cls, InvalidFieldError) else cls("x")
                assert failure_of(exc).kind != "internal_error", cls


def test_a_class_that_is_not_listed_is_answered_like_its_base() -> None:
    class StrangeLanguageError(UnsupportedLanguageError):
        pass

    assert failure_of(StrangeLanguageError("x")).kind == "unsupported_language"


def test_nobody_reads_in_an_answer_what_went_wrong_inside() -> None:
    for exc in (KeyError("secret"), EngineDeadError("secret"), CheckpointError("/secret/path")):
        assert "secret" not in failure_of(exc).message


def test_a_client_whose_body_nobody_reads_is_disconnected() -> None:
    for exc in (BodyTooLargeError("x"), BodyTimeoutError("x")):
        assert failure_of(exc).headers == {"Connection": "close"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "true"),
        (5, "5"),
        (0.5, "0.5"),
        pytest.param(10**5000, "a number of more than 38 digits", id="long"),
        ("a\nb", r"'a\nb'"),
        ("x" * 1000, "'" + "x" * 60 + "…'"),
        ([1, 2], "a list"),
        ({"a": 1}, "an object"),
        (b"a", "of type bytes"),
    ],
)
def test_values_are_shown_in_the_words_of_json_and_on_one_line(value: object, words: str) -> None:
    assert shown(value) == words
