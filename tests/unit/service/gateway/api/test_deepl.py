"""DeepL's API: its forms, its words for what is wrong, its own client."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from model.errors import QueueFullError
from model.text_options import XmlStructure
from tests.fakes import FakeBackend, Gateway

HELLO = {"text": ["Hello"], "target_lang": "DE"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


def _gateway() -> Gateway:
    return Gateway(FakeBackend("a", (("en", "de"),)), FakeBackend("b", (("de", "en"),)))


async def _post(gateway: Gateway, **kwargs: Any) -> httpx.Response:
    async with gateway.client() as client:
        return await client.post("/v2/translate", **kwargs)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"json": HELLO},
        {"json": HELLO | {"text": "Hello"}},
        {"json": HELLO | {"source_lang": "EN"}},
        {"json": HELLO | {"source_lang": "en-US", "target_lang": "de-AT"}},
        {"json": HELLO | {"source_lang": None, "unknown": 1, "beam_size": 4}},
        {"json": HELLO | {"formality": "more", "split_sentences": 0, "preserve_formatting": True}},
        {"json": HELLO | {"show_billed_characters": True, "context": "x"}},
        {"data": HELLO},
        {"data": HELLO | {"split_sentences": "nonewlines", "source_lang": ""}},
        {"params": HELLO},
        {"files": {"text": (None, "Hello"), "target_lang": (None, "DE")}},
        {"content": b'{"text": ["Hello"], "target_lang": "DE"}', "headers": FORM},
        {"json": HELLO, "headers": {"Authorization": "DeepL-Auth-Key any"}},
    ],
    ids=lambda kwargs: "-".join(kwargs) + str(len(str(kwargs))),
)
async def test_forms_of_the_same(kwargs: dict[str, Any]) -> None:
    answer = await _post(_gateway(), **kwargs)
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "translations": [
                {
                    "detected_source_language": "EN",
                    "text": "de:Hello",
                    "billed_characters": 5,
                }
            ]
        },
    )


async def test_a_list_keeps_its_order_and_each_text_its_language() -> None:
    texts = ["We open at nine.", "Wir öffnen um neun.", ""]
    for kwargs in (
        {"json": {"text": texts, "target_lang": "EN-GB"}},
        {"data": {"text": texts, "target_lang": "EN-GB"}},
    ):
        answer = await _post(_gateway(), **kwargs)
        found = [
            (one["detected_source_language"], one["text"]) for one in answer.json()["translations"]
        ]
        assert found[:2] == [("EN", texts[0]), ("DE", f"en:{texts[1]}")]
        assert found[2][1] == ""


@pytest.mark.parametrize("form", ["html", "xml"])
async def test_tags_are_handled(form: str) -> None:
    gateway = _gateway()
    await _post(gateway, json=HELLO | {"tag_handling": form})
    assert gateway.backend.calls[0].text_options.format == form


@pytest.mark.parametrize(
    "kwargs",
    [
        {"json": HELLO | {"ignore_tags": ["raw", "x-y"], "tag_handling": "xml"}},
        {"json": HELLO | {"ignore_tags": "raw, x-y", "tag_handling": "xml"}},
        {"data": HELLO | {"ignore_tags": ["raw", "x-y"], "tag_handling": "xml"}},
        {"data": HELLO | {"ignore_tags": "raw,x-y", "tag_handling": "xml"}},
    ],
    ids=["list", "text", "repeated", "form"],
)
async def test_ignored_tags(kwargs: dict[str, Any]) -> None:
    gateway = _gateway()
    assert (await _post(gateway, **kwargs)).status_code == 200
    assert gateway.backend.calls[0].text_options.ignore_tags == ("raw", "x-y")


@pytest.mark.parametrize("off", ["0", 0, False], ids=repr)
@pytest.mark.parametrize("form", ["json", "data"])
async def test_what_parts_xml(form: str, off: Any) -> None:
    tags = {"splitting_tags": "title, h-1", "non_splitting_tags": ["par", "i"]}
    for outline in (off, None):
        gateway = _gateway()
        fields = HELLO | tags | ({} if outline is None else {"outline_detection": outline})
        if form == "data":
            fields = {name: str(int(value)) if isinstance(value, (bool, int)) else value
                      for name, value in fields.items()}  # fmt: skip
        assert (await _post(gateway, **{form: fields | {"tag_handling": "xml"}})).status_code == 200
        assert gateway.backend.calls[0].text_options.structure == XmlStructure(
            frozenset({"title", "h-1"}), frozenset({"par", "i"}), outline is None
        )


async def test_the_kind_of_model_is_told() -> None:
    answer = await _post(_gateway(), json=HELLO | {"model_type": "prefer_quality_optimized"})
    assert answer.json()["translations"][0]["model_type_used"] == "quality_optimized"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"text": None}, "Parameter 'text' not specified."),
        ({"text": []}, "Parameter 'text' not specified."),
        ({"text": 5}, "Parameter 'text' must be a list of strings."),
        ({"text": ["a", None]}, "Parameter 'text' must be a list of strings."),
        ({"target_lang": None}, "Parameter 'target_lang' not specified."),
        ({"target_lang": ""}, "Parameter 'target_lang' not specified."),
        ({"target_lang": "XX"}, "Value for 'target_lang' not supported."),
        ({"target_lang": 5}, "Value for 'target_lang' not supported."),
        ({"target_lang": "x" * 99}, "Value for 'target_lang' not supported."),
        ({"source_lang": "XX"}, "Value for 'source_lang' not supported."),
        ({"source_lang": "XX", "target_lang": "FR"}, "Value for 'source_lang' not supported."),
        ({"formality": "polite"}, "Value for 'formality' not supported."),
        ({"split_sentences": "2"}, "Value for 'split_sentences' not supported."),
        ({"model_type": "best"}, "Value for 'model_type' not supported."),
        ({"tag_handling": "md"}, "Value for 'tag_handling' not supported."),
        ({"glossary_id": "x", "source_lang": "EN"}, "Value for 'glossary_id' not supported."),
        ({"glossary_ids": ["x"], "source_lang": "EN"}, "Value for 'glossary_ids' not supported."),
        ({"glossary_ids": "a,b,c,d,e,f"}, "Value for 'glossary_ids' not supported."),
        ({"glossary_ids": ["a"], "glossary_id": "b"}, "Value for 'glossary_ids' not supported."),
        ({"glossary_ids": [5]}, "Value for 'glossary_ids' not supported."),
        ({"ignore_tags": {}}, "Value for 'ignore_tags' not supported."),
        ({"splitting_tags": 5}, "Value for 'splitting_tags' not supported."),
        ({"non_splitting_tags": [5]}, "Value for 'non_splitting_tags' not supported."),
        ({"outline_detection": "no"}, "Value for 'outline_detection' not supported."),
        (
            {"glossary_id": "x"},
            "Parameter 'source_lang' not specified, as it must be with a glossary.",
        ),
        ({"text": ["a\0"]}, "`text[0]` must not have the character U+0000, but has it at 1"),
    ],
)
async def test_what_breaks_a_rule(change: dict[str, Any], words: str) -> None:
    gateway = _gateway()
    answer = await _post(gateway, json=HELLO | change)
    assert (answer.status_code, answer.json()) == (400, {"message": words})
    assert gateway.backend.calls == []


async def test_errors_have_its_form() -> None:
    gateway = _gateway()
    gateway.backend.fail_next(QueueFullError("x"), KeyError("x"))
    full, broken = [await _post(gateway, json=HELLO) for _ in range(2)]
    assert (full.status_code, full.headers["Retry-After"], broken.status_code) == (503, "1", 500)
    no_object = await _post(gateway, json=[])
    assert no_object.status_code == 400
    async with gateway.client() as client:
        method = await client.get("/v2/translate")
    for answer in (full, broken, no_object, method):
        assert list(answer.json()) == ["message"]
    too_many = await _post(Gateway(limits={"max_texts": 1}), json=HELLO | {"text": ["a", "b"]})
    assert too_many.json() == {"message": "`text` must have at most 1 texts, but has 2"}


async def test_languages_and_usage() -> None:
    backend = FakeBackend("a", sources=("en", "zho_Hant"), targets=("en", "pt", "zho_Hant"))
    async with Gateway(backend).client() as client:
        sources = (await client.get("/v2/languages")).json()
        targets = (await client.get("/v2/languages", params={"type": "target"})).json()
        in_a_form = await client.request("GET", "/v2/languages", data={"type": "target"})
        wrong = await client.get("/v2/languages", params={"type": "both"})
        usage = await client.get("/v2/usage")
    assert sources == [
        {"language": "EN", "name": "English"},
        {"language": "ZH", "name": "Chinese"},
    ]
    assert in_a_form.json() == targets
    assert [one["language"] for one in targets] == ["EN-GB", "EN-US", "PT-BR", "PT-PT", "ZH-HANT"]
    assert targets[2] == {
        "language": "PT-BR", "name": "Portuguese (Brazil)", "supports_formality": False,
    }  # fmt: skip
    assert (wrong.status_code, wrong.json()) == (
        400,
        {"message": "Value for 'type' not supported."},
    )
    assert usage.json() == {"character_count": 0, "character_limit": 10**12}
