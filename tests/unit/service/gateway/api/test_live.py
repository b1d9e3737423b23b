"""What the service does now, as events: for how many, for how long, and what they tell."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from model.engine.batch_trace import BatchRecord, BatchStep, RunningSequence
from model.errors import DeadlineExceededError
from service.gateway.api.live import LiveApi
from service.gateway.live import LiveBroadcast
from service.observability.live import LiveFigures, LiveLook, ModelFigures, TracedBatch
from service.settings import Access
from tests.fakes import Connection, Gateway, until

SEQUENCE = RunningSequence(number=7, worker=1, slots=(0, 1), source_tokens=12)
RECORD = BatchRecord(
    taken_at=50.0,
    max_slots=(64, 64),
    running=(SEQUENCE,),
    steps=(
        BatchStep(
            ended_at=49.75, seconds=0.01, worker=1, steps=2, rows=8, joined=(SEQUENCE,),
            cancelled=(4,), finished=(5, 6), waiting=1,
        ),
    ),
    dropped=3,
)  # fmt: skip


class Service:
    """What is looked at: each look is a second later, and finds one more request."""

    def __init__(self) -> None:
        self.asked: list[int | None] = []
        self.fails = False
        self.may_look = asyncio.Event()
        self.may_look.set()

    async def look(self, after: int | None) -> LiveLook:
        await self.may_look.wait()
        self.asked.append(after)
        if self.fails:
            self.fails = False
            raise DeadlineExceededError("the metrics hub did not answer within 5 s")
        count = len(self.asked)
        figures = LiveFigures(
            requests=count, running=1, slots_in_use=2, slots=128, replicas=1, gateways=1,
            models=(ModelFigures("en-de", 1, 1, 0),),
        )  # fmt: skip
        batch = TracedBatch(process="/shared", model="en-de", age=0.5, record=RECORD)
        batches = () if after is None else (batch,)
        return LiveLook(at=float(count), number=count, figures=figures, batches=batches)


def events(body: bytes) -> list[tuple[dict[str, str], Any]]:
    """Fields and data of each event."""
    found = []
    for block in body.decode().strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        found.append((fields, json.loads(fields.pop("data"))))
    return found


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = LiveApi.__init__

    def init(self: LiveApi, *args: Any, **named: Any) -> None:
        made(self, *args, **named, interval_seconds=0.0)

    monkeypatch.setattr(LiveApi, "__init__", init)


async def get(gateway: Gateway, query: str = "", **options: Any) -> httpx.Response:
    async with gateway.client() as client:
        return await client.get(f"/v1/live{query}", **options)


async def test_figures_and_batches_come_as_events() -> None:
    service = Service()
    answer = await get(Gateway(look=service.look), "?reports=2")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "content-length" not in answer.headers
    [(first, early), (second, figures), (third, batch)] = events(answer.content)
    assert (first, second, third) == (
        {"id": "1", "event": "figures"}, {"id": "2", "event": "figures"}, {"event": "batch"},
    )  # fmt: skip
    assert early["requests_per_second"] is None
    assert figures == {
        "requests_per_second": 1.0, "failures_per_second": 0.0, "refused_per_second": 0.0,
        "source_tokens_per_second": 0.0, "target_tokens_per_second": 0.0, "p50_seconds": None,
        "p95_seconds": None, "rows_per_step": 0.0, "running": 1, "waiting": 0, "slots_in_use": 2,
        "slots": 128, "replicas": 1, "gateways": 1,
        "models": [{"name": "en-de", "processes": 1, "running": 1, "waiting": 0}],
    }  # fmt: skip
    sequence = {"number": 7, "worker": 1, "slots": [0, 1], "source_tokens": 12}
    assert batch == {
        "process": "/shared", "model": "en-de", "seconds_ago": 0.5, "slots": [64, 64],
        "running": [sequence], "dropped": 3,
        "steps": [
            {
                "seconds_ago": 0.75, "seconds": 0.01, "worker": 1, "steps": 2, "rows": 8,
                "waiting": 1, "joined": [sequence], "cancelled": [4], "finished": [5, 6],
            }
        ],
    }  # fmt: skip
    assert service.asked[:2] == [None, 1]


async def test_nobody_looks_when_nobody_watches() -> None:
    service = Service()
    gateway = Gateway(look=service.look)
    connection = Connection("/v1/live", method="GET")
    connection.body(b"")
    watching = connection.start(gateway.app)
    await until(lambda: len(service.asked) > 3)
    connection.disconnect()
    await asyncio.wait_for(watching, timeout=20)
    looks = len(service.asked)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(service.asked) == looks
    assert gateway.admission.in_flight()["/v1/live"] == 0
    assert (await get(gateway, "?reports=1")).status_code == 200  # and again


async def test_all_who_watch_share_the_looks() -> None:
    service = Service()
    gateway = Gateway(look=service.look)
    service.may_look.clear()
    both = [asyncio.create_task(get(gateway, "?reports=3")) for _ in range(2)]
    await until(lambda: gateway.admission.in_flight().get("/v1/live") == 2)
    service.may_look.set()
    one, other = [await answer for answer in both]
    assert one.content == other.content
    assert service.asked.count(None) == 1


async def test_only_so_many_watch() -> None:
    gateway = Gateway(look=Service().look, max_watchers=1)
    connection = Connection("/v1/live", method="GET")
    watching = connection.start(gateway.app)
    await until(lambda: connection.status == 200)
    refused = await get(gateway)
    assert refused.status_code == 429
    assert refused.json()["error"]["type"] == "too_many_watchers"
    assert refused.headers["retry-after"] == "1"
    connection.disconnect()
    await asyncio.wait_for(watching, timeout=20)
    assert (await get(gateway, "?reports=1")).status_code == 200


async def test_a_gateway_that_ends_waits_for_nobody_who_watches() -> None:
    gateway = Gateway(look=Service().look)
    connection = Connection("/v1/live", method="GET")
    watching = connection.start(gateway.app)
    await until(lambda: connection.status == 200)
    await asyncio.wait_for(gateway.admission.drain(), timeout=20)
    await asyncio.wait_for(watching, timeout=20)
    assert connection.sent[-1].get("more_body", False) is False


async def test_a_look_that_fails_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    service = Service()
    service.fails = True
    answer = await get(Gateway(look=service.look), "?reports=2")
    assert [fields["event"] for fields, _ in events(answer.content)] == ["figures"] * 2 + ["batch"]
    assert "the service cannot be looked at" in caplog.text


async def test_who_reads_slowly_misses_reports() -> None:
    service = Service()
    written: Callable[..., bytes] = lambda number, *_: b"%d" % number  # noqa: E731
    broadcast = LiveBroadcast(service.look, written, most=1, interval_seconds=0.0)
    with broadcast.watch() as watcher:
        await until(lambda: len(service.asked) > 20)
        service.may_look.clear()
        seen = len(service.asked)
        found = [await watcher.next() for _ in range(4)]
        assert found == [b"%d" % number for number in range(seen - 3, seen + 1)]


async def test_who_come_and_go_wait_for_the_look_that_is_under_way() -> None:
    service, begun = Service(), 0

    async def look(after: int | None) -> LiveLook:
        nonlocal begun
        begun += 1
        return await service.look(after)

    service.may_look.clear()
    broadcast = LiveBroadcast(look, lambda *_: b"seen", most=1, interval_seconds=0.0)
    for _ in range(10):
        with broadcast.watch():
            await until(lambda: begun > 0)
            await asyncio.sleep(0)  # a look that was begun anew would begin here
    assert begun == 1
    with broadcast.watch() as watcher:
        service.may_look.set()
        assert await watcher.next() == b"seen"
    assert service.asked[0] is None


async def test_it_is_off_by_a_setting() -> None:
    gateway = Gateway(look=Service().look, max_watchers=0)
    assert (await get(gateway)).status_code == 404
    assert "/v1/live" not in gateway.app.openapi()["paths"]


async def test_head_is_answered_at_once() -> None:
    service = Service()
    async with Gateway(look=service.look).client() as client:
        answer = await client.head("/v1/live")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert service.asked == []


@pytest.mark.parametrize("query", ["?reports=0", "?reports=3601", "?reports=x"])
async def test_reports_are_bounded(query: str) -> None:
    assert (await get(Gateway(), query)).status_code == 422


async def test_where_some_have_keys_nobody_else_watches() -> None:
    gateway = Gateway(look=Service().look, access=Access(keys="optional"))
    answer = await get(gateway)
    assert answer.status_code == 403
    assert answer.json()["error"]["message"] == "the API key must have the scope watch, but has not"
    translated = {"text": "Hello", "source": "en", "target": "de"}
    async with gateway.client() as client:
        assert (await client.post("/v1/translate", json=translated)).status_code == 200
    gateway = Gateway(look=Service().look, access=Access(keys="required"), admin_token="secret")
    assert (await get(gateway)).status_code == 401
    operator = {"Authorization": "Bearer secret"}
    assert (await get(gateway, "?reports=1", headers=operator)).status_code == 200
