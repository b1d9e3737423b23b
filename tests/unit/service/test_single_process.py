"""The whole service in one process, with a tiny model and without a socket."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from model.errors import InvalidRequestError
from service import single_process
from service.catalog.directories import catalog_of
from service.hosting import watch
from service.observability import live
from service.settings import Settings
from service.single_process import SingleProcess
from tests.fakes import until
from tests.tiny_model import build_tiny_model

OPERATOR = {"Authorization": "Bearer secret"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_SECONDS", "_BUSY_LOOK_SECONDS"):
        monkeypatch.setattr(watch, name, 0.01)


def _settings(*models: Path, **given: Any) -> Settings:
    return Settings.model_validate(
        {
            "models": [str(model) for model in models],
            "single_process": True,
            "admin_token": "secret",
            "engine": {"device": "cpu", "num_threads": 1},
            "shared_memory_mib": 64,
            **given,
        }
    )


@asynccontextmanager
async def _running(settings: Settings) -> AsyncIterator[tuple[SingleProcess, httpx.AsyncClient]]:
    service = SingleProcess(settings, catalog_of(settings))
    transport = httpx.ASGITransport(service.application)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://one") as client:
            yield service, client
    finally:
        await service.close()


async def _translate(client: httpx.AsyncClient, model: str | None = None) -> httpx.Response:
    body = {"text": "The red house.", "source": "en", "target": "de"}
    if model is not None:
        body["model"] = model
    return await client.post("/v1/translate", json=body, timeout=60)


async def _state(client: httpx.AsyncClient, name: str) -> dict[str, Any]:
    answer = await client.get(f"/v1/models/{name}", headers=OPERATOR)
    details: dict[str, Any] = answer.json()
    return details if answer.status_code == 200 else {"state": "gone"}


async def _becomes(client: httpx.AsyncClient, name: str, state: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while (details := await _state(client, name))["state"] != state:
            await asyncio.sleep(0.01)
    return details


async def test_translates_and_measures_in_one_process(tiny: Path) -> None:
    async with _running(_settings(tiny)) as (_, client):
        assert (await client.get("/ready")).status_code == 200
        answer = await _translate(client)
        assert answer.status_code == 200
        assert answer.json()["model"] == "base"
        details = await _state(client, "base")
        assert details["loaded"][0]["replica"] == "TranslatorPool"
        metrics = (await client.get("/metrics")).text
    for line in (
        'polyhead_process_up{component="gateway",replica="Gateway"} 1.0',
        'polyhead_process_up{component="translator",replica="TranslatorPool"} 1.0',
        'polyhead_sentences_total{model_name="base"} 1.0',
        'polyhead_models_loaded{model_name="base",replica="TranslatorPool"} 1.0',
    ):
        assert line in metrics


async def test_batches_are_watched_while_somebody_looks(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single_process, "_SNAPSHOT_SECONDS", 0.01)
    monkeypatch.setattr(live, "WATCH_SECONDS", 60.0)
    async with _running(_settings(tiny)) as (service, client):
        traced: list[bool] = []
        trace = service._replica.trace
        monkeypatch.setattr(service._replica, "trace", lambda on: trace(on) or traced.append(on))
        first = await service._look(None)
        assert (first.figures.replicas, first.figures.gateways, first.batches) == (1, 1, ())
        assert (await _translate(client)).status_code == 200
        second = await service._look(first.number)
        [batch] = second.batches
        assert (batch.process, batch.model) == ("TranslatorPool", "base")
        joined = [each.number for step in batch.record.steps for each in step.joined]
        assert joined == [1]
        assert [each for step in batch.record.steps for each in step.finished] == joined
        assert second.figures.requests == first.figures.requests + 1
        assert second.figures.target_tokens > 0
        assert second.figures.models[0].name == "base"
        # Nobody looks any more.
        [(_, translator)] = service._replica._pool._translators
        assert translator.engine._trace is not None
        service._records._watched_until = 0.0
        await until(lambda: translator.engine._trace is None)
        assert traced == [True, False]


async def test_the_search_for_a_sentence_is_told(tiny: Path) -> None:
    body = {"text": "The red house.", "source": "en", "target": "de"}
    async with _running(_settings(tiny)) as (_, client):
        answer = await client.post("/v1/beam", json=body | {"generation": {"beam_size": 2}})
        assert answer.status_code == 200
        found = answer.json()
        assert (found["model"], found["beam_size"]) == ("base", 2)
        assert [found["candidates"][number]["state"] for number in found["best"][:-1]] == [
            "kept"
        ] * (len(found["best"]) - 1)
        bounded = _settings(tiny, limits={"max_search_candidates": 3})
    async with _running(bounded) as (_, client):
        answer = await client.post("/v1/beam", json=body)
        assert answer.status_code == 422
        assert "no more than 3 candidates" in answer.json()["error"]["message"]


async def test_models_come_are_loaded_anew_and_go_while_requests_go_on(
    tiny: Path, tmp_path: Path
) -> None:
    news = tmp_path / "news"
    shutil.copytree(tiny, news)
    statuses: set[int] = set()

    async def ask(client: httpx.AsyncClient, model: str) -> None:
        while True:
            statuses.add((await _translate(client, model)).status_code)

    async with _running(_settings(tiny)) as (_, client):
        for path in ("/v1/models", "/v1/models/base/reload"):
            assert (await client.post(path, json={"model": str(news)})).status_code == 401
        added = await client.post("/v1/models", json={"model": str(news)}, headers=OPERATOR)
        assert added.status_code == 202
        await _becomes(client, "news", "ready")
        asking = [asyncio.create_task(ask(client, name)) for name in ("base", "news")]
        await client.post("/v1/models/news/reload", headers=OPERATOR)
        await _becomes(client, "news", "ready")
        first = asking.pop()
        first.cancel()
        await asyncio.wait([first])
        assert (await client.delete("/v1/models/news", headers=OPERATOR)).status_code == 202
        await _becomes(client, "news", "gone")
        assert (await _translate(client, "news")).status_code == 422
        metrics = (await client.get("/metrics")).text
        asking[0].cancel()
        await asyncio.wait(asking)
    assert statuses == {200}
    assert 'model_name="news"' not in metrics


async def test_what_cannot_be_had_here_is_refused_with_the_reason(
    tiny: Path, tmp_path: Path
) -> None:
    async with _running(_settings(tiny)) as (_, client):
        for record, reason in (
            ({"placement": "dedicated"}, "must not ask for replicas of its own"),
            ({"replicas": 2}, "must not ask for replicas of its own"),
            ({"device": "cuda"}, "`device` of new must be cpu in a single process, but is cuda"),
            ({"model": str(tmp_path)}, "config.json"),
        ):
            body = {"model": str(tiny), "id": "new", **record}
            answer = await client.post("/v1/models", json=body, headers=OPERATOR)
            assert answer.status_code == 202
            details = await _becomes(client, "new", "failed")
            assert reason in details["problem"]
        assert (await _translate(client)).status_code == 200


def test_records_are_looked_at_before_anything_starts(tiny: Path) -> None:
    settings = _settings(tiny, models=[{"model": str(tiny), "placement": "dedicated"}])
    with pytest.raises(InvalidRequestError, match="base must not ask for replicas of its own"):
        catalog_of(settings)


async def test_it_drains(tiny: Path) -> None:
    async with _running(_settings(tiny)) as (service, client):
        body = {
            "texts": ["The old train is late. " * 20] * 20, "source": "en", "target": "de",
            "generation": {"beam_size": 8, "max_new_tokens": 60},
        }  # fmt: skip
        slow = asyncio.create_task(client.post("/v1/translate", json=body, timeout=120))
        async with asyncio.timeout(60):
            while "polyhead_http_requests_in_flight" not in (await client.get("/metrics")).text:
                await asyncio.sleep(0.01)
        draining = asyncio.create_task(service.drain())
        await asyncio.sleep(0)
        refused = await _translate(client)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
        assert (await slow).status_code == 200
        await asyncio.wait_for(draining, 60)


async def test_a_deadline_ends_the_work(tiny: Path) -> None:
    async with _running(_settings(tiny)) as (_, client):
        answer = await client.post(
            "/v1/translate",
            json={"texts": ["The train is late. " * 100] * 8, "source": "en", "target": "de"},
            headers={"x-request-timeout-seconds": "0.01"},
        )
        said = answer.status_code, answer.json()["error"]["type"]
        assert said in {(504, "deadline_exceeded"), (422, "too_long_for_deadline")}


async def test_it_ends_in_the_middle_of_work(tiny: Path) -> None:
    async with _running(_settings(tiny)) as (service, client):
        asked = asyncio.create_task(_translate(client))
        await asyncio.sleep(0)
        await service.close()
        with suppress(asyncio.CancelledError):
            asked.cancel()
            await asked
