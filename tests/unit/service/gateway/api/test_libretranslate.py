"""LibreTranslate's API: all forms of a request, and its own words for what is wrong."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from model.config import GenerationConfig
from model.errors import DeadlineExceededError, QueueFullError, TooLongForDeadlineError
from service.documents.formats import EXTENSIONS
from service.gateway.api.language_names import language_name
from service.gateway.api.libretranslate_schemas import LibreTranslateRequest
from tests.fakes import FakeBackend, Gateway

HELLO = {"q": "Hello", "source": "en", "target": "de"}


async def _post(gateway: Gateway, **kwargs: Any) -> httpx.Response:
    async with gateway.client() as client:
        return await client.post("/translate", **kwargs)


async def test_one_text() -> None:
    answer = await _post(Gateway(), json=HELLO)
    assert (answer.status_code, answer.json()) == (200, {"translatedText": "de:Hello"})


@pytest.mark.parametrize(
    ("given", "format"), [({}, "text"), ({"format": "text"}, "text"), ({"format": "html"}, "html")]
)
async def test_the_format_reaches_the_model(given: dict[str, Any], format: str) -> None:
    gateway = Gateway()
    for request in ({"json": HELLO | given}, {"data": HELLO | given}, {"params": HELLO | given}):
        answer = await _post(gateway, **request)
        assert answer.status_code == 200
    assert [call.text_options.format for call in gateway.backend.calls] == [format] * 3


async def test_a_list_is_one_call_and_keeps_its_order() -> None:
    gateway = Gateway()
    texts = [f"text {index}" for index in range(100)]
    answer = await _post(gateway, json=HELLO | {"q": texts})
    assert answer.json() == {"translatedText": [f"de:{text}" for text in texts]}
    assert [call.texts for call in gateway.backend.calls] == [tuple(texts)]


async def test_a_list_of_one_stays_a_list() -> None:
    answer = await _post(Gateway(), json=HELLO | {"q": ["a"]})
    assert answer.json() == {"translatedText": ["de:a"]}


@pytest.mark.parametrize(
    "kwargs",
    [
        {"data": HELLO},
        {"params": HELLO},
        {"params": {"source": "en", "target": "de"}, "data": {"q": "Hello"}},
        {"files": {name: (None, value) for name, value in HELLO.items()}},
        {"json": HELLO | {"source": "EN", "target": "De"}},
        {"json": HELLO | {"apiKey": "x", "api_key": "x", "unknown": 1, "format": "text"}},
        {"json": HELLO | {"format": None, "alternatives": None}},
        {"data": HELLO | {"format": "", "alternatives": ""}},
    ],
    ids=lambda kwargs: "-".join(kwargs) + str(len(str(kwargs))),
)
async def test_other_forms_of_the_same(kwargs: dict[str, Any]) -> None:
    answer = await _post(Gateway(), **kwargs)
    assert (answer.status_code, answer.json()) == (200, {"translatedText": "de:Hello"})


async def test_a_form_with_several_texts_is_a_list() -> None:
    answer = await _post(Gateway(), data=HELLO | {"q": ["a", "b", "c"]})
    assert answer.json() == {"translatedText": ["de:a", "de:b", "de:c"]}


async def test_letters_of_all_kinds_arrive_in_a_form() -> None:
    text = "Grüße & 100 % + 😀 漢字"
    for kwargs in ({"data": HELLO | {"q": text}}, {"params": HELLO | {"q": text}}):
        assert (await _post(Gateway(), **kwargs)).json() == {"translatedText": f"de:{text}"}


async def test_line_ends_of_a_form_are_made_plain_and_those_of_json_kept() -> None:
    text = "a\r\nb\nc"
    form = await _post(Gateway(), data=HELLO | {"q": text})
    plain = await _post(Gateway(), json=HELLO | {"q": text})
    assert form.json() == {"translatedText": "de:a\nb\nc"}
    assert plain.json() == {"translatedText": f"de:{text}"}


@pytest.mark.parametrize("blank", [" ", "\n\t ", "\u3000"])
async def test_a_blank_text_comes_back(blank: str) -> None:
    answer = await _post(Gateway(), json=HELLO | {"q": blank, "alternatives": 2})
    assert answer.json() == {"translatedText": blank, "alternatives": []}


async def test_alternatives_of_a_text() -> None:
    gateway = Gateway()
    answer = await _post(gateway, json=HELLO | {"alternatives": 2})
    assert answer.json() == {
        "translatedText": "de:Hello",
        "alternatives": ["de:Hello (1)", "de:Hello (2)"],
    }
    assert gateway.backend.calls[0].generation == GenerationConfig(num_hypotheses=3)


async def test_alternatives_of_a_list() -> None:
    answer = await _post(Gateway(), data=HELLO | {"q": ["a", "b"], "alternatives": "1"})
    assert answer.json() == {
        "translatedText": ["de:a", "de:b"],
        "alternatives": [["de:a (1)"], ["de:b (1)"]],
    }


async def test_more_alternatives_than_the_beam_is_wide_widen_it() -> None:
    gateway = Gateway(FakeBackend(generation=GenerationConfig(beam_size=2)))
    await _post(gateway, json=HELLO | {"alternatives": 4})
    assert gateway.backend.calls[0].generation == GenerationConfig(beam_size=5, num_hypotheses=5)


async def test_without_alternatives_the_model_decides() -> None:
    gateway = Gateway()
    await _post(gateway, json=HELLO | {"alternatives": 0})
    assert gateway.backend.calls[0].generation is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"q": None}, "Invalid request: missing q parameter"),
        ({"q": ""}, "Invalid request: missing q parameter"),
        ({"q": []}, "Invalid request: missing q parameter"),
        ({"q": 5}, "Invalid request: q must be a string or a list of strings"),
        ({"q": {"a": 1}}, "Invalid request: q must be a string or a list of strings"),
        ({"q": ["a", None]}, "Invalid request: q must be a string or a list of strings"),
        ({"source": None}, "Invalid request: missing source parameter"),
        ({"source": ""}, "Invalid request: missing source parameter"),
        ({"target": None}, "Invalid request: missing target parameter"),
        ({"target": 5}, "Invalid request: target must be a language code, but is 5"),
        ({"source": "zz"}, "zz is not supported"),
        ({"target": "zz"}, "zz is not supported"),
        ({"target": "x" * 99}, "x" * 35 + "… is not supported"),
        (
            {"source": "de", "target": "EN"},
            "English (en) is not available as a target language from German (de)",
        ),
        ({"source": "auto", "target": "fr"}, "fr is not supported"),
        ({"format": "xml"}, "xml format is not supported"),
        ({"format": 5}, "5 format is not supported"),
        ({"format": "x" * 99}, "x" * 35 + " format is not supported"),
        ({"source": "x" * 99}, "x" * 35 + "… is not supported"),
        ({"alternatives": 2.0}, "Invalid request: alternatives parameter is not a number"),
        ({"alternatives": " 2"}, "Invalid request: alternatives parameter is not a number"),
        ({"alternatives": "\u0662"}, "Invalid request: alternatives parameter is not a number"),
        ({"alternatives": "a"}, "Invalid request: alternatives parameter is not a number"),
        ({"alternatives": "-1"}, "Invalid request: alternatives parameter is not a number"),
        ({"alternatives": True}, "Invalid request: alternatives parameter is not a number"),
        ({"alternatives": 1.5}, "Invalid request: alternatives parameter is not a number"),
        ({"alternatives": []}, "Invalid request: alternatives parameter is not a number"),
        ({"alternatives": -1}, "Invalid request: alternatives parameter must be >= 0"),
        ({"alternatives": 8}, "Invalid request: alternatives parameter must be <= 7"),
        ({"q": "a\0"}, "`q` must not have the character U+0000, but has it at 1"),
        ({"q": ["a", "\0"]}, "`q[1]` must not have the character U+0000, but has it at 0"),
    ],
)
async def test_what_breaks_a_rule_is_a_400_with_a_string(
    change: dict[str, Any], words: str
) -> None:
    gateway = Gateway()
    answer = await _post(gateway, json=HELLO | change)
    assert (answer.status_code, answer.json()) == (400, {"error": words})
    assert gateway.backend.calls == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"q": 5}, "q"),
        ({"q": [1] * 500_000}, "q"),
        ({"q": []}, "q"),
        ({"source": ""}, "source"),
        ({"target": 5}, "target"),
        ({"format": "xml"}, "format"),
        ({"alternatives": True}, "alternatives"),
        ({"alternatives": 2.0}, "alternatives"),
        ({"alternatives": "+2"}, "alternatives"),
        ({"alternatives": -1}, "alternatives"),
    ],
)
def test_the_documented_model_is_what_validates(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        LibreTranslateRequest.model_validate(HELLO | change)
    errors = caught.value.errors()
    assert {error["loc"][0] for error in errors} == {field}
    assert len(errors) <= 2


def test_the_documented_model_takes_what_forms_bring() -> None:
    empty = {"format": "", "alternatives": "", "api_key": None, "unknown": [1]}
    assert LibreTranslateRequest.model_validate(HELLO | empty).alternatives == 0
    form = {"q": ["a", ""], "alternatives": "2", "api_key": ["not", "read"]}
    request = LibreTranslateRequest.model_validate(HELLO | form)
    assert (request.all_texts(), request.is_list, request.alternatives) == (("a", ""), True, 2)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ("a" * 6, "Invalid request: request (6) exceeds text limit (5)"),
        (["a", "b" * 6], "Invalid request: request (6) exceeds text limit (5)"),
        (["b" * 5] * 2, "Invalid request: request (10) exceeds text limit (8)"),
        (["b"] * 4, "Invalid request: request (4) exceeds batch limit (3)"),
    ],
)
async def test_limits_are_settings(texts: str | list[str], words: str) -> None:
    gateway = Gateway(limits={"max_texts": 3, "max_text_chars": 5, "max_total_chars": 8})
    answer = await _post(gateway, json=HELLO | {"q": texts})
    assert (answer.status_code, answer.json()) == (400, {"error": words})


async def test_alternatives_are_limited_by_the_length_of_the_texts() -> None:
    gateway = Gateway(limits={"max_hypothesis_chars": 9})
    within = await _post(gateway, json=HELLO | {"q": ["abc"], "alternatives": 2})
    assert within.status_code == 200
    beyond = await _post(gateway, json=HELLO | {"q": ["abc", "d"], "alternatives": 2})
    words = "Invalid request: request (4) exceeds text limit (3) with 2 alternatives"
    assert (beyond.status_code, beyond.json()) == (400, {"error": words})


async def test_missing_parameters_of_an_empty_request() -> None:
    requests: list[dict[str, Any]] = [
        {},
        {"data": {}},
        {"json": {}},
        {"content": b"q=a", "headers": TEXT},
    ]
    for kwargs in requests:
        answer = await _post(Gateway(), **kwargs)
        assert answer.json() == {"error": "Invalid request: missing q parameter"}


TEXT = {"content-type": "text/plain"}
JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize("content", [b"[]", b'"a"', b"null", b"5"])
async def test_json_that_is_no_object(content: bytes) -> None:
    answer = await _post(Gateway(), content=content, headers=JSON)
    assert (answer.status_code, answer.json()) == (400, {"error": "Invalid JSON format"})


MULTIPART = {"content-type": "multipart/form-data; boundary=x"}


def _part(name: str, headers: str = "") -> bytes:
    disposition = f'Content-Disposition: form-data; name="{name}"'
    return f"--x\r\n{disposition}\r\n{headers}\r\na\r\n".encode()


@pytest.mark.parametrize(
    ("content", "headers", "words"),
    [
        (b"{", JSON, "the body must be JSON in UTF-8"),
        (b'{"q":"\\ud800","source":"en","target":"de"}', JSON, "the body must be JSON in UTF-8"),
        (b"{}", JSON | {"content-encoding": "gzip"}, "the body must be compressed by gzip"),
        (b"{}", JSON | {"content-encoding": "br"}, "the Content-Encoding must be gzip"),
        (b"q=%ff&source=en&target=de", FORM, "form fields must be in UTF-8"),
        (b"q=\xff&source=en&target=de", FORM, "form fields must be in UTF-8"),
        (b"q=%ed%a0%80&source=en&target=de", FORM, "form fields must be in UTF-8"),
        (b"q=a&" * 200, FORM, "a form must have at most 160 fields"),
        (b"", {"content-type": "multipart/form-data"}, "the body must be a multipart form"),
        (b"abc", MULTIPART, "the body must be a multipart form"),
        (_part("q") * 161, MULTIPART, "the body must be a multipart form of at most 160 fields"),
        (_part("q", "X-A: b\r\n" * 9), MULTIPART, "the body must be a multipart form"),
        (_part("q", f"X-A: {'b' * 9000}\r\n"), MULTIPART, "the body must be a multipart form"),
        (_part("q" * 9000), MULTIPART, "the body must be a multipart form"),
    ],
)
async def test_a_body_that_cannot_be_read(
    content: bytes, headers: dict[str, str], words: str
) -> None:
    gateway = Gateway()
    answer = await _post(gateway, content=content, headers=headers)
    assert answer.status_code == 400
    assert answer.json().keys() == {"error"}
    assert answer.json()["error"].startswith(words)
    assert gateway.backend.calls == []


@pytest.mark.parametrize("charset", ["unicode_escape", "idna", "rot13", "undefined", "utf-7"])
async def test_a_form_in_a_strange_character_set_is_no_crash(charset: str) -> None:
    parts = [
        b"--x\r\nContent-Disposition: form-data; name=q\r\n\r\n\\ud800+2AA-\xff\r\n",
        b"--x\r\nContent-Disposition: form-data; name=source\r\n\r\nen\r\n",
        b"--x\r\nContent-Disposition: form-data; name=target\r\n\r\nde\r\n--x--\r\n",
    ]
    headers = {"content-type": f"multipart/form-data; boundary=x; charset={charset}"}
    answer = await _post(Gateway(), content=b"".join(parts), headers=headers)
    assert answer.status_code in (200, 400)


async def test_a_file_in_a_form_is_refused() -> None:
    answer = await _post(Gateway(), files={"q": ("a.txt", b"a")})
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


@pytest.mark.parametrize("path", ["/translate", "/languages"])
async def test_a_wrong_method(path: str) -> None:
    async with Gateway().client() as client:
        answer = await client.delete(path)
    allowed = {"/translate": "POST", "/languages": "GET"}[path]
    words = f"the method must be {allowed} at this path"
    assert (answer.status_code, answer.json()) == (405, {"error": words})


async def test_errors_of_the_server_have_the_same_form() -> None:
    gateway = Gateway()
    gateway.backend.fail_next(QueueFullError("x"), DeadlineExceededError("x"), KeyError("x"))
    full, late, broken = [await _post(gateway, json=HELLO) for _ in range(3)]
    assert (full.status_code, full.headers["Retry-After"]) == (503, "1")
    assert (late.status_code, broken.status_code) == (504, 500)
    for answer in (full, late, broken):
        assert answer.json().keys() == {"error"}
        assert isinstance(answer.json()["error"], str)
        assert answer.headers["X-Request-Id"]


async def test_what_is_too_long_for_its_deadline_is_an_invalid_request() -> None:
    gateway = Gateway()
    gateway.backend.fail_next(TooLongForDeadlineError("the texts take about 9 s"))
    answer = await _post(gateway, json=HELLO)
    assert (answer.status_code, answer.json()) == (400, {"error": "the texts take about 9 s"})
    assert len(gateway.backend.calls) == 1


async def test_a_body_that_is_too_large_has_the_same_form() -> None:
    gateway = Gateway(limits={"max_body_bytes": 1024})
    answer = await _post(gateway, json=HELLO | {"q": "a" * 2000})
    assert (answer.status_code, list(answer.json())) == (413, ["error"])


async def test_a_time_limit_that_is_no_number() -> None:
    answer = await _post(Gateway(), json=HELLO, headers={"x-request-timeout-seconds": "soon"})
    assert answer.status_code == 400


async def test_every_language_is_listed_with_its_targets() -> None:
    backends = FakeBackend("a", (("en", "de"), ("en", "fr"))), FakeBackend("b", (("de", "en"),))
    async with Gateway(*backends).client() as client:
        # One client sends a form along with this GET.
        answer = await client.request("GET", "/languages", data={"api_key": ""})
    assert answer.json() == [
        {"code": "de", "name": "German", "targets": ["en", "fr"]},
        {"code": "en", "name": "English", "targets": ["de", "fr"]},
        {"code": "fr", "name": "French", "targets": []},
    ]


async def test_what_can_never_be_served_is_no_reason_to_try_again() -> None:
    async with Gateway(FakeBackend("en-de")).client() as client:
        body = {"q": "a", "source": "x" * 36, "target": "de"}
        answer = await client.post("/translate", json=body)
    assert answer.status_code == 400
    assert f"{'x' * 35}… is not supported" in answer.json()["error"]


async def test_what_can_be_reached_through_the_pivot_is_listed_and_served() -> None:
    backends = FakeBackend("a", (("de", "en"),)), FakeBackend("b", (("en", "fr"),))
    async with Gateway(*backends).client() as client:
        answer = await client.get("/languages")
        assert {one["code"]: one["targets"] for one in answer.json()} == {
            "de": ["en", "fr"], "en": ["fr"], "fr": [],
        }  # fmt: skip
        again = await client.get("/languages")
        assert again.content == answer.content
        body = {"q": "eins", "source": "de", "target": "fr", "alternatives": 1}
        answer = await client.post("/translate", json=body)
        assert answer.json()["translatedText"] == "fr:en:eins"
    async with Gateway(*backends, pivot="").client() as client:
        answer = await client.get("/languages")
        assert answer.json()[0]["targets"] == ["en"]
        answer = await client.post("/translate", json=body)
        assert answer.json()["error"].startswith("French (fr) is not available as a target")


async def test_a_broad_models_languages_are_listed_with_their_targets() -> None:
    codes = tuple(f"l{number:03}" for number in range(202))
    async with Gateway(FakeBackend("broad", sources=codes, targets=codes)).client() as client:
        answer = await client.get("/languages")
    assert [one["code"] for one in answer.json()] == list(codes)
    assert {len(one["targets"]) for one in answer.json()} == {201}


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("de", "German"),
        ("pt-BR", "Portuguese (Brazil)"),
        ("zh-Hant", "Chinese (Traditional)"),
        ("zh_Hans", "Chinese (Simplified)"),
        ("ast", "Asturian"),
        ("xx", "xx"),
        ("", ""),
        ("not a code!", "not a code!"),
    ],
)
def test_languages_have_names(code: str, name: str) -> None:
    assert language_name(code) == name


ENGLISH, GERMAN = "The shop opens at nine.", "Wir öffnen morgen um neun."


def _both_ways() -> Gateway:
    return Gateway(FakeBackend("a", (("en", "de"),)), FakeBackend("b", (("de", "en"),)))


async def test_the_language_of_a_text_is_found() -> None:
    answer = await _post(_both_ways(), json={"q": GERMAN, "source": "AUTO", "target": "en-US"})
    detected = answer.json()["detectedLanguage"]
    assert answer.json() == {"translatedText": f"en:{GERMAN}", "detectedLanguage": detected}
    assert detected["language"] == "de"
    assert 90 < detected["confidence"] <= 100


async def test_the_language_of_each_text_of_a_list_is_found() -> None:
    body = {"q": [GERMAN, ENGLISH, " ", "😀"], "source": "auto", "target": "de", "alternatives": 1}
    answer = (await _post(_both_ways(), json=body)).json()
    assert answer["translatedText"] == [GERMAN, f"de:{ENGLISH}", " ", answer["translatedText"][3]]
    assert answer["alternatives"][:2] == [[], [f"de:{ENGLISH} (1)"]]
    assert [one["language"] for one in answer["detectedLanguage"]][:2] == ["de", "en"]
    assert answer["detectedLanguage"][2]["confidence"] == 0


@pytest.mark.parametrize(
    ("source", "target"), [("en-US", "de_AT"), ("EN-gb", "deu"), ("eng_Latn", "DE-CH")]
)
async def test_regions_and_longer_codes_mean_the_language(source: str, target: str) -> None:
    answer = await _post(Gateway(), json=HELLO | {"source": source, "target": target})
    assert answer.json() == {"translatedText": "de:Hello"}


async def test_codes_of_older_versions() -> None:
    gateway = Gateway(FakeBackend(sources=("en",), targets=("zho_Hant", "pt")))
    for code, served in (("zt", "zho_Hant"), ("pb", "pt")):
        answer = await _post(gateway, json=HELLO | {"target": code})
        assert answer.json() == {"translatedText": f"{served}:Hello"}


async def test_a_region_that_is_not_served_is_told_as_it_was_asked_for() -> None:
    answer = await _post(Gateway(), json=HELLO | {"target": "fr-CA"})
    assert answer.json() == {"error": "fr-CA is not supported"}


@pytest.mark.parametrize(
    "kwargs",
    [
        {"json": {"q": GERMAN}},
        {"data": {"q": GERMAN, "api_key": ""}},
        {"params": {"q": GERMAN}},
        {"files": {"q": (None, GERMAN)}},
    ],
)
async def test_detection_alone(kwargs: dict[str, Any]) -> None:
    async with _both_ways().client() as client:
        answer = await client.post("/detect", **kwargs)
        assert (await client.get("/detect")).status_code == 405
    assert answer.status_code == 200
    assert answer.json()[0]["language"] == "de"
    assert answer.json()[0]["confidence"] > 90


async def test_detection_of_nothing_is_english_by_no_confidence() -> None:
    async with _both_ways().client() as client:
        answer = await client.post("/detect", json={"q": "123"})
    assert answer.json() == [{"confidence": 0.0, "language": "en"}]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "Invalid request: missing q parameter"),
        ({"q": ""}, "Invalid request: missing q parameter"),
        ({"q": ["a"]}, "Invalid request: q must be a string"),
        ({"q": "a" * 20_001}, "Invalid request: request (20001) exceeds text limit (20000)"),
        ([], "Invalid JSON format"),
    ],
)
async def test_what_cannot_be_detected(fields: Any, words: str) -> None:
    async with _both_ways().client() as client:
        answer = await client.post("/detect", json=fields)
    assert (answer.status_code, answer.json()) == (400, {"error": words})


async def test_what_a_page_asks_first() -> None:
    async with Gateway(limits={"max_text_chars": 7}).client() as client:
        answer = await client.get("/frontend/settings")
        wrong = await client.post("/frontend/settings")
    assert answer.json() == {
        "apiKeys": False,
        "charLimit": 7,
        "filesTranslation": True,
        "frontendTimeout": 500,
        "keyRequired": False,
        "language": {
            "source": {"code": "auto", "name": "Auto Detect"},
            "target": {"code": "de", "name": "German"},
        },
        "suggestions": False,
        "supportedFilesFormat": list(EXTENSIONS),
    }
    assert (wrong.status_code, list(wrong.json())) == (405, ["error"])


async def test_what_is_not_done_here_says_so() -> None:
    async with Gateway(documents={"enabled": False}).client() as client:
        suggestion = await client.post("/suggest", data={"q": "a", "s": "b"})
        file = await client.post("/translate_file", files={"file": ("a.txt", b"a")})
    assert (suggestion.status_code, suggestion.json()) == (
        403,
        {"error": "Suggestions are disabled on this server."},
    )
    assert (file.status_code, list(file.json())) == (403, ["error"])


async def test_the_description_of_the_apis() -> None:
    async with Gateway().client() as client:
        spec, document = await client.get("/spec"), await client.get("/openapi.json")
        assert spec.json() == document.json()
        for path in ("/spec", "/languages", "/health"):
            assert (await client.post(path)).status_code == 405
