"""What the service does now, through all of its processes: on Ray the replicas are others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx

from tests.integration.service_process import ServiceProcess

REPORTS = 120
"""Bounds the test; a handful is enough."""


def _events(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


def test_figures_and_batches_of_all_processes_are_told(any_service: ServiceProcess) -> None:
    joined: dict[str, set[int]] = {}
    left: dict[str, set[int]] = {}
    figures: dict[str, Any] = {}
    tokens = 0.0
    url = f"{any_service.url}/v1/live?reports={REPORTS}"
    with httpx.stream("GET", url, timeout=60, trust_env=False) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for name, data in _events(answer.iter_lines()):
            if name == "figures":
                # A request for each report: the batch that one looks at is never told before.
                assert any_service.translate("The red house.", "Old bread!").status_code == 200
                figures = data
                tokens = max(tokens, figures["target_tokens_per_second"] or 0.0)
                if left and tokens:
                    break
                continue
            engine = f"{data['process']} {data['model']}"
            for step in data["steps"]:
                joined.setdefault(engine, set()).update(each["number"] for each in step["joined"])
                if ended := {*step["finished"], *step["cancelled"]}:
                    left.setdefault(engine, set()).update(ended)
    assert figures["replicas"] >= 1
    assert figures["gateways"] >= 1
    assert figures["slots"] > 0
    assert [model["name"] for model in figures["models"]] == ["tiny-en-de"]
    for engine, numbers in left.items():
        assert numbers <= joined[engine]
    assert "house" not in json.dumps(figures)


def test_the_search_for_a_sentence_is_told(any_service: ServiceProcess) -> None:
    body = {"text": "The red house.", "source": "en", "target": "de"}
    answer = any_service.client.post("/v1/beam", json=body)
    assert answer.status_code == 200
    found = answer.json()
    path = [found["candidates"][number] for number in found["best"]]
    assert [each["state"] for each in path] == ["kept"] * (len(path) - 1) + ["ended"]
    assert found["translation"]
