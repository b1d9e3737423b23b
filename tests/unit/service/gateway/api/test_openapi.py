"""What the documentation promises is what is served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.gateway.api.libretranslate_schemas import (
    LibreTranslateError,
    LibreTranslateLanguage,
    LibreTranslateReply,
    LibreTranslateRequest,
)
from service.gateway.api.native_schemas import ErrorReply, TranslateReplyBody, TranslateRequest
from tests.fakes import Gateway


@pytest.fixture
async def document() -> dict[str, Any]:
    async with Gateway().client() as client:
        answer = await client.get("/openapi.json")
    assert answer.status_code == 200
    value: dict[str, Any] = answer.json()
    return value


def test_the_interface_is_the_published_one(document: dict[str, Any]) -> None:
    # What changes here changes for clients: it goes into CHANGELOG.md, and the file is written anew
    # by .venv/bin/python -c "import json; from tests.fakes import Gateway; \
    #     print(json.dumps(Gateway().app.openapi(), indent=1, ensure_ascii=False))"
    published = json.loads(Path(__file__).with_name("openapi.json").read_text(encoding="utf-8"))
    assert document == published


def test_every_route_is_documented(document: dict[str, Any]) -> None:
    routes = {path: list(methods) for path, methods in document["paths"].items()}
    assert routes == {
        "/v1/translate": ["post"],
        "/v1/attention": ["post"],
        "/v1/beam": ["post"],
        "/v1/live": ["get"],
        "/v1/chat/completions": ["post"],
        "/v1/glossaries": ["get", "post"],
        "/v1/glossaries/{id}": ["get", "delete"],
        "/v1/documents": ["post", "get"],
        "/v1/documents/{id}": ["get", "delete"],
        "/v1/documents/{id}/result": ["get"],
        "/v1/models": ["get", "post"],
        "/v1/models/{id}": ["get", "delete"],
        "/v1/models/{id}/reload": ["post"],
        "/translate": ["post"],
        "/detect": ["post"],
        "/languages": ["get"],
        "/frontend/settings": ["get"],
        "/suggest": ["post"],
        "/translate_file": ["post"],
        "/download_file/{file}": ["get"],
        "/v2/translate": ["post"],
        "/v2/languages": ["get"],
        "/v2/usage": ["get"],
        "/v2/glossary-language-pairs": ["get"],
        "/v2/glossaries": ["get", "post"],
        "/v2/glossaries/{glossary_id}": ["get", "delete"],
        "/v2/glossaries/{glossary_id}/entries": ["get"],
        "/v3/glossaries": ["get", "post"],
        "/v3/glossaries/{glossary_id}": ["get", "patch", "delete"],
        "/v3/glossaries/{glossary_id}/entries": ["get"],
        "/v3/glossaries/{glossary_id}/dictionaries": ["put", "delete"],
        "/v2/document": ["post"],
        "/v2/document/{document_id}": ["post"],
        "/v2/document/{document_id}/result": ["post"],
        "/health": ["get"],
        "/ready": ["get"],
        "/metrics": ["get"],
    }
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["summary"]
            assert operation["description"]


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    names = {reference.removeprefix("#/components/schemas/") for reference in _references(document)}
    assert names <= schemas.keys()


def _references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(_references, value.values()))
    if isinstance(value, list):
        return set().union(*map(_references, value))
    return set()


@pytest.mark.parametrize("path", ["/v1/translate", "/translate"])
def test_the_headers_are_documented(document: dict[str, Any], path: str) -> None:
    parameters = document["paths"][path]["post"]["parameters"]
    names = [parameter["name"] for parameter in parameters]
    assert names == [
        "x-request-timeout-seconds",
        "x-request-priority",
        "Cache-Control",
        "X-Request-Id",
    ]


def test_errors_are_documented_in_the_form_they_have(document: dict[str, Any]) -> None:
    for path, schema in (("/v1/translate", "ErrorReply"), ("/translate", "LibreTranslateError")):
        responses = document["paths"][path]["post"]["responses"]
        assert responses.keys() >= {"400", "408", "413", "503", "504"}
        for status in responses.keys() - {"200"}:
            reference = responses[status]["content"]["application/json"]["schema"]["$ref"]
            assert reference == f"#/components/schemas/{schema}", (path, status)


def test_every_form_of_libretranslate_is_documented(document: dict[str, Any]) -> None:
    content = document["paths"]["/translate"]["post"]["requestBody"]["content"]
    assert list(content) == [
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ]


def test_fields_are_described(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["TranslateRequest"]["additionalProperties"] is False
    for name, field in schemas["GenerationOptions"]["properties"].items():
        assert field["description"], name


def test_examples_fit_their_schemas(document: dict[str, Any]) -> None:
    for cls in (
        TranslateRequest,
        TranslateReplyBody,
        ErrorReply,
        LibreTranslateReply,
        LibreTranslateError,
        LibreTranslateLanguage,
    ):
        examples = document["components"]["schemas"][cls.__name__]["examples"]
        assert examples
        for example in examples:
            cls.model_validate(example)


async def test_the_examples_are_answered(document: dict[str, Any]) -> None:
    async with Gateway().client() as client:
        for example in document["components"]["schemas"]["TranslateRequest"]["examples"]:
            answer = await client.post("/v1/translate", json=example)
            assert answer.status_code == 200
            TranslateReplyBody.model_validate(answer.json(), strict=True)
        body = document["paths"]["/translate"]["post"]["requestBody"]
        for example in body["content"]["application/json"]["schema"]["examples"]:
            answer = await client.post("/translate", json=example)
            assert answer.status_code == 200
            LibreTranslateReply.model_validate(answer.json())


def test_the_request_of_libretranslate_is_the_model_that_reads_it(document: dict[str, Any]) -> None:
    content = document["paths"]["/translate"]["post"]["requestBody"]["content"]
    for form in content.values():
        assert form["schema"] == LibreTranslateRequest.model_json_schema()


def test_everything_has_an_example(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for path, method, operation in _operations(document):
        for parameter in operation.get("parameters", ()):
            given = {"example", "examples"} & (parameter.keys() | parameter["schema"].keys())
            assert given or "enum" in parameter["schema"], (path, method, parameter["name"])
        bodies = [*operation["responses"].values(), operation.get("requestBody", {})]
        for content in (body.get("content", {}).get("application/json") for body in bodies):
            schema = content["schema"] if content else {}
            schema = schema.get("items", schema)
            named = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
            assert not named or named.get("examples"), (path, method, named)


def test_errors_of_keys_and_limits_are_documented(document: dict[str, Any]) -> None:
    without_key = {"/languages", "/frontend/settings", "/download_file/{file}"}
    without_key |= {"/health", "/ready", "/metrics"}
    for path, method, operation in _operations(document):
        expected = {"403"} if "/v1/models" in path and method != "get" else {"403", "429", "503"}
        if path not in without_key:
            assert operation["responses"].keys() >= expected, (path, method)


def test_no_error_of_another_form_is_documented(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in json.dumps(document)


def _operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
