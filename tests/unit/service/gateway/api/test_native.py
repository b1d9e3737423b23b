"""The native API: what it answers, and that each request is one call."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

import httpx
import pytest

from model.config import GenerationConfig
from model.errors import (
    DeadlineExceededError,
    EngineDeadError,
    InvalidRequestError,
    QueueFullError,
    RequestCancelledError,
    TooLongForDeadlineError,
)
from service.protocol import TranslateReply
from service.routing.router import ReplicaLostError
from tests.fakes import FakeBackend, Gateway

HELLO = {"text": "Hello there", "source": "en", "target": "de"}


async def _post(gateway: Gateway, body: Any, **headers: str) -> httpx.Response:
    async with gateway.client() as client:
        return await client.post("/v1/translate", json=body, headers=headers)


async def _error(gateway: Gateway, body: Any, status: int = 422) -> dict[str, Any]:
    answer = await _post(gateway, body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.json().keys() == {"error", "request_id"}
    error: dict[str, Any] = answer.json()["error"]
    return error


async def test_one_text() -> None:
    answer = await _post(Gateway(), HELLO)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.json() == {
        "translations": [{"text": "de:Hello there", "finish_reason": "stop"}],
        "model": "en-de",
        "source": "en",
        "target": "de",
        "usage": {"source_tokens": 3, "target_tokens": 3},
        "timings": {"queue_seconds": 0.001, "encode_seconds": 0.002, "decode_seconds": 0.003},
    }


async def test_many_texts_are_one_call_and_keep_their_order() -> None:
    gateway = Gateway()
    texts = [f"text {index}" for index in range(100)]
    answer = await _post(gateway, {"texts": texts, "source": "en", "target": "de"})
    assert [one["text"] for one in answer.json()["translations"]] == [f"de:{t}" for t in texts]
    assert answer.json()["usage"] == {"source_tokens": 300, "target_tokens": 300}
    (call,) = gateway.backend.calls
    assert call.texts == tuple(texts)


async def test_letters_of_all_kinds_arrive() -> None:
    text = "Grüße 😀 漢字 \u200d \t\n\r\n \U0010ffff"
    answer = await _post(Gateway(), HELLO | {"text": text})
    assert answer.json()["translations"][0]["text"] == f"de:{text}"


async def test_scores_are_told_when_asked_for() -> None:
    body = {"texts": ["a", " "], "source": "en", "target": "de", "return_scores": True}
    translations = (await _post(Gateway(), body)).json()["translations"]
    assert translations == [
        {"text": "de:a", "finish_reason": "stop", "score": -0.5},
        {"text": " ", "finish_reason": "stop", "score": None},
    ]


async def test_hypotheses_are_told_when_asked_for() -> None:
    body = HELLO | {"text": "a", "generation": {"num_hypotheses": 2}}
    (translation,) = (await _post(Gateway(), body)).json()["translations"]
    assert translation == {
        "text": "de:a",
        "finish_reason": "stop",
        "hypotheses": [{"text": "de:a"}, {"text": "de:a (1)"}],
    }
    (translation,) = (await _post(Gateway(), body | {"return_scores": True})).json()["translations"]
    assert translation["hypotheses"][1] == {"text": "de:a (1)", "score": -1.5}


async def test_alignments_are_told_when_asked_for() -> None:
    body = HELLO | {"text": "a 😀b", "return_alignments": True}
    (translation,) = (await _post(Gateway(), body)).json()["translations"]
    assert translation == {
        "text": "de:a 😀b",
        "finish_reason": "stop",
        "alignments": [
            {"source": [0, 1], "target": [3, 4]},
            {"source": [2, 3], "target": [5, 6]},
            {"source": [3, 4], "target": [6, 7]},
        ],
    }
    body |= {"generation": {"num_hypotheses": 2}}
    (translation,) = (await _post(Gateway(), body)).json()["translations"]
    assert [one["alignments"] for one in translation["hypotheses"]] == 2 * [
        translation["alignments"]
    ]


async def test_the_format_and_its_options_reach_the_model() -> None:
    gateway = Gateway()
    body = HELLO | {"text": "<p title=a>b", "format": "html", "translate_attributes": True}
    async with gateway.client() as client:
        answer = await client.post("/v1/translate", json=body)
        refused = await client.post("/v1/translate", json=body | {"format": "pdf"})
    assert answer.status_code == 200
    [call] = gateway.backend.calls
    assert (call.text_options.format, call.text_options.translate_attributes) == ("html", True)
    assert refused.status_code == 422
    assert "'text', 'html', 'xml', 'markdown' or 'wrapped'" in refused.text


async def test_who_asks_for_no_alignments_gets_none_and_the_model_is_not_asked() -> None:
    gateway = Gateway()
    (translation,) = (await _post(gateway, HELLO)).json()["translations"]
    assert "alignments" not in translation
    assert [call.return_alignments for call in gateway.backend.calls] == [False]


async def test_alignments_bound_the_length_of_the_texts() -> None:
    gateway = Gateway(limits={"max_hypothesis_chars": 18})
    assert (await _post(gateway, HELLO | {"text": "a b"})).status_code == 200
    error = await _error(gateway, HELLO | {"text": "a b", "return_alignments": True})
    assert error["message"] == (
        "`text` must have at most 2 characters in all with 1 hypothesis and `return_alignments`, "
        "but has 3"
    )


async def test_alignments_go_through_a_pivot() -> None:
    gateway = Gateway(FakeBackend("de-en", (("de", "en"),)), FakeBackend("en-fr", (("en", "fr"),)))
    body = {"text": "zwei drei", "source": "de", "target": "fr", "return_alignments": True}
    (translation,) = (await _post(gateway, body)).json()["translations"]
    assert translation["text"] == "fr:en:zwei drei"
    assert translation["alignments"] == [
        {"source": [0, 4], "target": [6, 10]},
        {"source": [5, 9], "target": [11, 15]},
    ]


async def test_without_options_the_model_decides() -> None:
    gateway = Gateway()
    await _post(gateway, HELLO)
    await _post(gateway, HELLO | {"generation": {}})
    await _post(gateway, HELLO | {"generation": None})
    assert [call.generation for call in gateway.backend.calls] == [None] * 3


async def test_options_change_the_models_own_defaults() -> None:
    defaults = GenerationConfig(beam_size=2, length_penalty=1.5, no_repeat_ngram_size=3)
    gateway = Gateway(FakeBackend(generation=defaults))
    chosen = {"length_penalty": 1, "max_new_tokens": 9, "repetition_penalty": 1.2}
    await _post(gateway, HELLO | {"generation": chosen})
    assert gateway.backend.calls[0].generation == GenerationConfig(
        beam_size=2,
        length_penalty=1.0,
        no_repeat_ngram_size=3,
        max_new_tokens=9,
        repetition_penalty=1.2,
    )


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"text": 5}, "text", "`text` must be a string, but is 5"),
        ({"text": None}, None, "either `text` or `texts` must be given, but neither is"),
        ({"texts": ["a"]}, None, "either `text` or `texts` must be given, but both are"),
        ({"text": None, "texts": "a"}, "texts", "`texts` must be a list, but is 'a'"),
        ({"text": None, "texts": []}, "texts", "`texts` must have at least 1 item.*, but has 0"),
        ({"text": None, "texts": ["a", 5]}, "texts[1]", r"`texts\[1\]` must be a string, but is 5"),
        ({"source": 5}, "source", "`source` must be a string, but is 5"),
        ({"source": ""}, "source", "`source` must have at least 1 character"),
        ({"source": "x" * 36}, "source", "`source` must have at most 35 characters"),
        ({"target": ["de"]}, "target", "`target` must be a string, but is a list"),
        ({"tone": "formal"}, "tone", "`tone` is not a field of this request"),
        ({"return_scores": "yes"}, "return_scores", "`return_scores` must be true or false"),
        ({"generation": []}, "generation", "`generation` must be a JSON object, but is a list"),
        (
            {"generation": {"temperature": 1}},
            "generation.temperature",
            "`generation.temperature` is not a field of this request",
        ),
        (
            {"generation": {"beam_size": 2.5}},
            "generation.beam_size",
            "`generation.beam_size` must be an integer, but is 2.5",
        ),
        (
            {"generation": {"beam_size": True}},
            "generation.beam_size",
            "`generation.beam_size` must be an integer, but is true",
        ),
        (
            {"generation": {"beam_size": 0}},
            "generation.beam_size",
            "`generation.beam_size` must be greater than or equal to 1, but is 0",
        ),
        (
            {"generation": {"beam_size": 9}},
            "generation.beam_size",
            "`generation.beam_size` must be at most 8, but is 9",
        ),
        (
            {"generation": {"beam_size": 10**100}},
            "generation.beam_size",
            "`generation.beam_size` must be at most 8, but is a number of more than 38 digits",
        ),
        (
            {"generation": {"num_hypotheses": 5}},
            "generation",
            r"`num_hypotheses` must be at most `beam_size` \(4\), but is 5",
        ),
        (
            {"generation": {"max_new_tokens": 513}},
            "generation.max_new_tokens",
            "`generation.max_new_tokens` must be at most 512, but is 513",
        ),
        (
            {"generation": {"length_penalty": "1"}},
            "generation.length_penalty",
            "`generation.length_penalty` must be a number, but is '1'",
        ),
        ({"text": "a\0"}, "text", r"`text` must not have the character U\+0000"),
        ({"text": "a" * 20_001}, "text", "`text` must have at most 20000 characters"),
    ],
)
async def test_a_field_that_breaks_a_rule(
    change: dict[str, Any], field: str | None, words: str
) -> None:
    gateway = Gateway()
    error = await _error(gateway, HELLO | change)
    assert error["type"] == "invalid_request"
    assert error.get("field") == field
    assert re.search(words, error["message"]), error["message"]
    assert gateway.backend.calls == []


async def test_missing_fields_are_all_named() -> None:
    error = await _error(Gateway(), {"text": "a"})
    assert error["message"] == "`target` is required"


async def test_a_long_list_of_problems_is_cut() -> None:
    error = await _error(Gateway(), {f"field{index}": 1 for index in range(20)})
    assert error["message"].endswith("; and 16 more")
    assert error["message"].count(";") == 5


async def test_a_million_mistakes_are_not_counted() -> None:
    pair = {"source": "en", "target": "de"}
    error = await _error(Gateway(), pair | {"texts": [1] * 500_000})
    assert error["message"] == "`texts[0]` must be a string, but is 1"
    fields = {str(number): 1 for number in range(100_000)}
    error = await _error(Gateway(), fields)
    assert error["message"] == "an object must have at most 64 fields, but has 100000"
    error = await _error(Gateway(), HELLO | {"generation": fields})
    assert error["message"] == "an object must have at most 64 fields, but has 100000"


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"source": "zz"}, "source", "`source` must be one of en, but is 'zz'"),
        ({"target": "fr"}, "target", "`target` must be one of de for source en, but is 'fr'"),
        ({"source": "auto"}, "source", "`source` must be one of en, but is 'auto'"),
    ],
)
async def test_a_language_nobody_serves(change: dict[str, Any], field: str, words: str) -> None:
    gateway = Gateway()
    error = await _error(gateway, HELLO | change)
    assert error == {"type": "unsupported_language", "message": words, "field": field}
    assert gateway.backend.calls == []


@pytest.mark.parametrize(
    ("content", "was"),
    [
        (b"[]", "a list"),
        (b'"a"', "'a'"),
        (b"5", "5"),
        (b"0", "0"),
        (b"null", "null"),
        (b"true", "true"),
        (b"false", "false"),
    ],
)
async def test_a_body_that_is_no_object(content: bytes, was: str) -> None:
    headers = {"content-type": "application/json"}
    async with Gateway().client() as client:
        answer = await client.post("/v1/translate", content=content, headers=headers)
    assert answer.status_code == 422
    message = answer.json()["error"]["message"]
    assert message == f"the body must be a JSON object, but is {was}"


NO_JSON = {
    "empty": b"",
    "cut off": b"{",
    "other quotes": b"{'text': 'a'}",
    "not UTF-8": b'{"text": "\xff", "source": "en", "target": "de"}',
    "half a surrogate pair": b'{"text": "\\ud800", "source": "en", "target": "de"}',
    "surrogates the wrong way": b'{"text": "\\udc00\\ud800", "source": "en", "target": "de"}',
    "NaN": b'{"text": "a", "source": "en", "target": "de", "generation": {"length_penalty": NaN}}',
    "two values": b'{"text": "a", "source": "en", "target": "de"} {}',
    "UTF-16 that ends within a letter": '{"text": "ä"}'.encode("utf-16")[:-1],
    "deep": b"[" * 100_000,
    "ten thousand digits": b'{"generation": {"beam_size": ' + b"9" * 10_000 + b"}}",
}


@pytest.mark.parametrize("content", NO_JSON.values(), ids=NO_JSON)
async def test_a_body_that_is_no_json(content: bytes) -> None:
    gateway = Gateway()
    headers = {"content-type": "application/json"}
    async with gateway.client() as client:
        answer = await client.post("/v1/translate", content=content, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "malformed_body"
    assert answer.json()["error"]["message"].startswith("the body must be ")
    assert gateway.backend.calls == []


async def test_a_number_beyond_all_numbers_is_refused() -> None:
    content = b'{"text":"a","source":"en","target":"de","generation":{"length_penalty":1e999}}'
    headers = {"content-type": "application/json"}
    async with Gateway().client() as client:
        answer = await client.post("/v1/translate", content=content, headers=headers)
    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, "the Content-Type must be application/json, but there is none"),
        ({"content-type": "text/plain"}, "but is 'text/plain'"),
        ({"content-type": "application/x-www-form-urlencoded"}, "must be application/json"),
        ({"content-type": "multipart/form-data; boundary=x"}, "must be application/json"),
        ({"content-type": "application/jsonp"}, "must be application/json"),
        (
            {"content-type": "application/json", "content-encoding": "br"},
            "the Content-Encoding must be gzip, or the body not compressed, but is 'br'",
        ),
        (
            {"content-type": "application/json; charset=idna"},
            "the charset must be utf-8 or another one for text, but is 'idna'",
        ),
    ],
)
async def test_a_body_of_another_kind(headers: dict[str, str], words: str) -> None:
    async with Gateway().client() as client:
        answer = await client.post("/v1/translate", content=b"{}", headers=headers)
    assert answer.status_code == 415
    assert words in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/ld+json"]
)
async def test_json_by_its_other_names(kind: str) -> None:
    content = b'{"text": "a", "source": "en", "target": "de"}'
    async with Gateway().client() as client:
        answer = await client.post("/v1/translate", content=content, headers={"content-type": kind})
    assert answer.status_code == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD", "BREW"])
async def test_a_wrong_method(method: str) -> None:
    async with Gateway().client() as client:
        answer = await client.request(method, "/v1/translate")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST, OPTIONS"
    assert answer.headers["X-Request-Id"]
    if method != "HEAD":
        assert answer.json()["error"] == {
            "type": "method_not_allowed",
            "message": "the method must be POST at this path",
        }


@pytest.mark.parametrize("path", ["/v1", "/v1/x/translates", "/v3/documents", "/v1/models/x"])
async def test_a_path_that_does_not_exist(path: str) -> None:
    async with Gateway().client() as client:
        answer = await client.get(path)
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (QueueFullError("x"), 503, "1"),
        (DeadlineExceededError("x"), 504, None),
        (TooLongForDeadlineError("x"), 422, None),
        (RequestCancelledError("x"), 503, "1"),
        (InvalidRequestError("`x` must be y"), 422, None),
    ],
)
async def test_an_error_of_the_model(
    error: Exception, status: int, retry_after: str | None
) -> None:
    gateway = Gateway()
    gateway.backend.fail_next(error)
    answer = await _post(gateway, HELLO)
    assert answer.status_code == status
    assert answer.headers.get("Retry-After") == retry_after
    assert "Traceback" not in answer.text


async def test_work_that_a_replica_lost_is_done_again() -> None:
    gateway = Gateway()
    gateway.backend.fail_next(ReplicaLostError(), EngineDeadError("x"))
    answer = await _post(gateway, HELLO)
    assert (answer.status_code, len(gateway.backend.calls)) == (200, 3)


async def test_work_that_is_lost_every_time_is_given_up() -> None:
    gateway = Gateway()
    gateway.backend.fail_next(*[ReplicaLostError()] * 3)
    answer = await _post(gateway, HELLO)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.json()["error"]["type"] == "unavailable"


async def test_the_limit_of_time_is_a_setting() -> None:
    gateway = Gateway(limits={"request_timeout_seconds": 0.02})
    gateway.backend.hold_next()
    answer = await _post(gateway, HELLO)
    assert (answer.status_code, answer.json()["error"]["type"]) == (504, "deadline_exceeded")


async def test_a_client_may_ask_for_less_time() -> None:
    gateway = Gateway()
    gateway.backend.hold_next()
    answer = await _post(gateway, HELLO, **{"x-request-timeout-seconds": "0.02"})
    assert answer.status_code == 504
    (call,) = gateway.backend.calls
    assert call.timeout_seconds is not None
    assert call.timeout_seconds <= 0.02


async def test_a_time_that_is_no_number_is_refused() -> None:
    gateway = Gateway()
    answer = await _post(gateway, HELLO, **{"x-request-timeout-seconds": "soon"})
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "x-request-timeout-seconds"
    assert gateway.backend.calls == []


async def test_limits_are_settings() -> None:
    gateway = Gateway(
        limits={"max_texts": 2, "max_text_chars": 5, "max_total_chars": 8, "max_beam_size": 2}
    )
    pair = {"source": "en", "target": "de"}
    assert "at most 2 texts" in (await _error(gateway, pair | {"texts": ["a"] * 3}))["message"]
    assert "at most 5" in (await _error(gateway, pair | {"texts": ["a", "b" * 6]}))["message"]
    assert "at most 8" in (await _error(gateway, pair | {"texts": ["b" * 5] * 2}))["message"]
    wide = pair | {"text": "a", "generation": {"beam_size": 3}}
    assert "at most 2" in (await _error(gateway, wide))["message"]
    assert gateway.backend.calls == []


async def test_hypotheses_are_limited_by_the_length_of_the_texts() -> None:
    gateway = Gateway(limits={"max_hypothesis_chars": 9})
    request = {"texts": ["abc", "d"], "source": "en", "target": "de"}
    many = request | {"generation": {"num_hypotheses": 3, "beam_size": 3}}
    error = await _error(gateway, many)
    assert error["field"] == "texts"
    assert error["message"] == (
        "`texts` must have at most 3 characters in all with 3 hypotheses, but has 4"
    )
    assert gateway.backend.calls == []


async def test_a_model_that_forgets_a_text_is_an_internal_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gateway = Gateway()

    async def forget(call: Any) -> TranslateReply:
        return TranslateReply(model="m", translations=())

    monkeypatch.setattr(gateway.backend, "translate", forget)
    assert (await _error(gateway, HELLO, status=500))["type"] == "internal_error"


async def test_models_tell_of_themselves() -> None:
    async with Gateway(FakeBackend("en-de"), FakeBackend("de-en", (("de", "en"),))).client() as c:
        answer = await c.get("/v1/models")
    first, second = answer.json()["models"]
    assert second["pairs"] == [{"source": "de", "target": "en"}]
    assert first == {
        "name": "en-de",
        "aliases": [],
        "asleep": False,
        "pairs": [{"source": "en", "target": "de"}],
        "source_languages": ["en"],
        "target_languages": ["de"],
        "device": "cpu",
        "dtype": "float32",
        "num_parameters": 1234,
        "max_source_tokens": 256,
        "generation": asdict(GenerationConfig()),
    }


async def test_a_broad_model_tells_its_languages_and_not_its_pairs() -> None:
    codes = tuple(f"l{number:03}_Latn" for number in range(202))
    async with Gateway(FakeBackend("broad", sources=codes, targets=codes)).client() as client:
        answer = await client.get("/v1/models")
        [model] = answer.json()["models"]
        assert model["source_languages"] == model["target_languages"] == list(codes)
        assert model["pairs"] == []
        assert len(answer.content) < 20_000
        body = {"text": "a", "source": codes[0].upper(), "target": codes[201]}
        answer = await client.post("/v1/translate", json=body)
    assert answer.json()["translations"][0]["text"] == f"{codes[201]}:a"


async def test_two_models_translate_through_a_pivot() -> None:
    gateway = Gateway(FakeBackend("de-en", (("de", "en"),)), FakeBackend("en-fr", (("en", "fr"),)))
    body = {
        "texts": ["eins", "zwei drei"], "source": "de", "target": "fr",
        "generation": {"beam_size": 5, "num_hypotheses": 2, "max_new_tokens": 30},
    }  # fmt: skip
    answer = await _post(gateway, body, **{"x-request-timeout-seconds": "50"})
    assert answer.status_code == 200, answer.text
    reply = answer.json()
    assert [one["text"] for one in reply["translations"]] == ["fr:en:eins", "fr:en:zwei drei"]
    assert [len(one["hypotheses"]) for one in reply["translations"]] == [2, 2]
    assert (reply["model"], reply["pivot"]) == ("de-en + en-fr", "en")
    assert reply["usage"] == {"source_tokens": 10, "target_tokens": 10}
    assert reply["timings"]["decode_seconds"] == pytest.approx(0.006)
    first, second = (backend.calls[0] for backend in gateway.backends)
    assert (first.source, first.target, second.source, second.target) == ("de", "en", "en", "fr")
    assert first.generation == GenerationConfig(beam_size=5)
    assert second.generation == GenerationConfig(beam_size=5, num_hypotheses=2, max_new_tokens=30)
    assert first.timeout_seconds is not None
    assert second.timeout_seconds is not None
    assert second.timeout_seconds < first.timeout_seconds <= 50


async def test_what_is_asked_of_the_last_model_changes_nothing_on_the_way_to_it() -> None:
    first = FakeBackend(
        "de-en", (("de", "en"),), generation=GenerationConfig(beam_size=1, max_new_tokens=9)
    )
    gateway = Gateway(first, FakeBackend("en-fr", (("en", "fr"),)))
    options = {"num_hypotheses": 4, "max_new_tokens": 30}
    body = {"text": "eins", "source": "de", "target": "fr", "generation": options}
    answer = await _post(gateway, body)
    assert answer.status_code == 200, answer.text
    assert first.calls[0].generation in (None, first.generation)


async def test_a_failure_of_the_second_model_is_that_of_the_request() -> None:
    gateway = Gateway(FakeBackend("de-en", (("de", "en"),)), FakeBackend("en-fr", (("en", "fr"),)))
    gateway.backends[1].fail_next(DeadlineExceededError("late"))
    answer = await _post(gateway, {"text": "eins", "source": "de", "target": "fr"})
    assert answer.status_code == 504
    assert len(gateway.backends[0].calls) == len(gateway.backends[1].calls) == 1


async def test_the_pivot_can_be_switched_off() -> None:
    backends = FakeBackend("de-en", (("de", "en"),)), FakeBackend("en-fr", (("en", "fr"),))
    error = await _error(Gateway(*backends, pivot=""), HELLO | {"source": "de", "target": "fr"})
    assert error["message"] == "`target` must be one of en for source de, but is 'fr'"
    error = await _error(Gateway(*backends, pivot="es"), HELLO | {"source": "de", "target": "fr"})
    assert error["field"] == "target"


async def test_a_request_may_name_its_model() -> None:
    gateway = Gateway(FakeBackend("first"), FakeBackend("second", aliases=("news",)))
    for name in ("second", "news"):
        answer = await _post(gateway, HELLO | {"model": name})
        assert (answer.status_code, answer.json()["model"]) == (200, "second")
    assert (await _post(gateway, HELLO)).json()["model"] == "first"
    assert [call.model.key for call in gateway.backends[1].calls] == ["second@1"] * 2
    error = await _error(gateway, HELLO | {"model": "third"})
    assert error["message"] == "`model` must be one of first, second, but is 'third'"
    assert error["field"] == "model"


async def test_a_pivot_waits_for_no_unrelated_model() -> None:
    unrelated = FakeBackend("x", (("fr", "it"),))
    unrelated.check_answers.clear()
    pair = FakeBackend("de-en", (("de", "en"),)), FakeBackend("en-fr", (("en", "fr"),))
    answer = await _post(Gateway(*pair, unrelated), HELLO | {"source": "de", "target": "fr"})
    assert (answer.status_code, unrelated.num_checks) == (200, 0)
