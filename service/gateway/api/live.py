"""GET /v1/live: what the service does now, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Query
from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.gateway.api.contract import Contract
from service.gateway.api.event_stream import event
from service.gateway.api.native import NATIVE_ERRORS, native_error
from service.gateway.api.native_schemas import ErrorReply
from service.gateway.live import LiveBroadcast, Look, Watcher
from service.gateway.methods import IS_HEAD
from service.observability.live import LiveLook, LiveRates, TracedBatch
from service.store.records import Scope as KeyScope

if TYPE_CHECKING:
    from model.engine.batch_trace import BatchStep

__all__ = ["LIVE", "LiveApi"]

LIVE = Contract(error_form=native_error, errors=NATIVE_ERRORS)

_EXAMPLE = (
    'id: 2\nevent: figures\ndata: {"requests_per_second":3.0,"failures_per_second":0.0,'
    '"refused_per_second":0.0,"source_tokens_per_second":41.0,"target_tokens_per_second":44.0,'
    '"p50_seconds":0.04,"p95_seconds":0.09,"rows_per_step":9.5,"running":2,"waiting":0,'
    '"slots_in_use":8,"slots":128,"replicas":1,"gateways":1,'
    '"models":[{"name":"en-de","processes":1,"running":2,"waiting":0}]}\n\n'
    'event: batch\ndata: {"process":"/shared","model":"en-de","seconds_ago":0.2,"slots":[64,64],'
    '"running":[{"number":7,"worker":0,"slots":[0,1,2,3],"source_tokens":12}],"dropped":0,'
    '"steps":[{"seconds_ago":0.31,"seconds":0.004,"worker":0,"steps":2,"rows":16,"waiting":0,'
    '"joined":[],"cancelled":[],"finished":[6]}]}\n\n'
)
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events",
        "content": {"text/event-stream": {"example": _EXAMPLE}},
    },
    429: {"model": ErrorReply, "description": "Too many watch, or requests: see Retry-After"},
}
_Reports = Annotated[
    int,
    Query(
        ge=1,
        le=3600,
        description="Reports, one a second, after which the answer ends.",
        examples=[60],
    ),
]


class LiveApi:
    """The handler of what can be watched.

    Args:
        look: at the service.
        most: watchers at a time at this gateway.
        is_draining: whether the gateway is about to end.
        interval_seconds: between two reports.
    """

    def __init__(
        self,
        look: Look,
        *,
        most: int,
        is_draining: Callable[[], bool],
        interval_seconds: float = 1.0,
    ) -> None:
        self._broadcast = LiveBroadcast(
            look, _written, most=most, is_draining=is_draining, interval_seconds=interval_seconds
        )

    @LIVE.route(
        "/v1/live",
        scope=KeyScope.WATCH,
        summary="What the service does now",
        response_class=Response,
        responses=_EVENTS,
        tags=["native"],
    )
    async def live(self, reports: _Reports = 300) -> Response:
        """Server-sent events, once a second, of all processes together and without anybody's text.

        `figures`: rates since the last report (null in the first one), times of the translations of
        the last ten, and how many sentences run and wait. `batch`, for each engine that has done
        anything: which sentences hold slots now (`running`), and each step of it (`steps`) with
        those that had `joined` before it, or were `cancelled`, and those that it has `finished`, by
        numbers of no meaning. `dropped`: steps that were too many to be told.

        Who reads slowly misses reports: their ids tell. Replicas take note of steps only while
        somebody watches.
        """
        return _LiveAnswer(self._broadcast, reports)


class _LiveAnswer(Response):
    media_type = "text/event-stream"

    def __init__(self, broadcast: LiveBroadcast, num_reports: int) -> None:
        # Some proxies, nginx among them, hold parts of answers back unless told otherwise.
        super().__init__(headers={"X-Accel-Buffering": "no", "Cache-Control": "no-store"})
        del self.headers["content-length"]
        self._broadcast = broadcast
        self._num_reports = num_reports

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends reports until there were enough, the gateway ends, or the client has left."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        if scope.get(IS_HEAD):
            await send(start)
            await send({"type": "http.response.body", "body": b""})
            return
        with self._broadcast.watch() as watcher:
            await send(start)
            sending = asyncio.create_task(self._send(watcher, send))
            leaving = asyncio.create_task(_left(receive))
            try:
                await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if sending.done():
                    sending.result()
            finally:
                for task in (sending, leaving):
                    task.cancel()
                await asyncio.wait({sending, leaving})
                if not sending.cancelled():
                    sending.exception()  # else asyncio logs that the client has left

    async def _send(self, watcher: Watcher, send: Send) -> None:
        for _ in range(self._num_reports):
            report = await watcher.next()
            if report is None:
                break
            await send({"type": "http.response.body", "body": report, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _left(receive: Receive) -> None:
    """Returns when the client has left, or `receive` fails, which means the same."""
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
    except Exception:
        return


def _written(number: int, rates: LiveRates, look: LiveLook) -> bytes:
    """The events of a look."""
    batches = (event(to_json(_batch(each)), b"batch") for each in look.batches)
    return b"id: %d\n" % number + event(to_json(_figures(rates)), b"figures") + b"".join(batches)


def _figures(rates: LiveRates) -> dict[str, Any]:
    now = rates.now
    per_second = (
        "requests_per_second", "failures_per_second", "refused_per_second",
        "source_tokens_per_second", "target_tokens_per_second", "p50_seconds", "p95_seconds",
        "rows_per_step",
    )  # fmt: skip
    return {
        **{name: _rounded(getattr(rates, name)) for name in per_second},
        "running": now.running,
        "waiting": now.waiting,
        "slots_in_use": now.slots_in_use,
        "slots": now.slots,
        "replicas": now.replicas,
        "gateways": now.gateways,
        "models": [each._asdict() for each in now.models],
    }


def _batch(batch: TracedBatch) -> dict[str, Any]:
    record = batch.record
    return {
        "process": batch.process,
        "model": batch.model,
        "seconds_ago": _rounded(batch.age),
        "slots": record.max_slots,
        "running": [each._asdict() for each in record.running],
        "dropped": record.dropped,
        "steps": [_step(each, batch) for each in record.steps],
    }


def _step(step: BatchStep, batch: TracedBatch) -> dict[str, Any]:
    return {
        "seconds_ago": _rounded(batch.age + batch.record.taken_at - step.ended_at),
        "seconds": _rounded(step.seconds),
        "worker": step.worker,
        "steps": step.steps,
        "rows": step.rows,
        "waiting": step.waiting,
        "joined": [each._asdict() for each in step.joined],
        "cancelled": step.cancelled,
        "finished": step.finished,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
