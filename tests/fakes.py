"""Stand-ins for what takes a cluster or a model: tests of the gateway run against these."""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
from fastapi import FastAPI
from starlette.types import ASGIApp, Message

from model.config import GenerationConfig
from model.text.languages import Languages
from model.text.word_links import kept_words, moved
from model.translation import (
    CandidateState,
    FinishReason,
    HeadMaps,
    SearchCandidate,
    SentenceAttention,
    SentenceSearch,
    TextDelta,
    Translation,
    TranslationHypothesis,
)
from service.catalog.changes import ChangeKind, ModelStatus
from service.catalog.entry import CatalogEntry
from service.gateway.admission import Admission
from service.gateway.application import build_gateway
from service.observability.live import LiveFigures, LiveLook
from service.observability.metrics import GatewayMetrics
from service.protocol import HostedModel, ModelInfo, TranslateCall, TranslateReply
from service.routing.attempts import Attempt
from service.routing.call_stream import CallEvent, CallStream
from service.routing.router import RoutedModel, Router
from service.settings import ModelRecord, RetrySettings, Settings

__all__ = [
    "HOSTED",
    "PROMPT_RETRIES",
    "Connection",
    "FakeBackend",
    "FakeChanges",
    "Gateway",
    "catalog_entry",
    "until",
]

HOSTED = HostedModel(key="en-de@1", id="en-de", directory="en-de")
PROMPT_RETRIES = RetrySettings(max_attempts=3, backoff_seconds=0.0)


class FakeBackend:
    """A model whose translation of "abc" into de is "de:abc"; it fails and waits on demand."""

    def __init__(
        self,
        name: str = "en-de",
        pairs: tuple[tuple[str, str], ...] = (("en", "de"),),
        *,
        sources: tuple[str, ...] | None = None,
        targets: tuple[str, ...] | None = None,
        generation: GenerationConfig | None = None,
        aliases: tuple[str, ...] = (),
        can_sleep: bool = False,
    ) -> None:
        self.name = name
        self.aliases = aliases
        self.can_sleep = can_sleep
        self.num_replicas = 1
        self.languages = Languages(
            sources=sources or tuple(dict.fromkeys(source for source, _ in pairs)),
            targets=targets or tuple(dict.fromkeys(target for _, target in pairs)),
        )
        self.generation = generation or GenerationConfig()
        self.calls: list[TranslateCall] = []
        self.num_checks = 0
        self.num_active = 0
        self.num_cancelled = 0
        self.check_answers = asyncio.Event()
        self.check_answers.set()
        self.check_error: Exception | None = None
        self._behaviours: deque[BaseException | asyncio.Event] = deque()
        self.after_first_delta: BaseException | asyncio.Event | None = None
        """What streams raise, or wait for, when they have begun."""

    def fail_next(self, *errors: BaseException) -> None:
        """Each of the next calls raises one of these."""
        self._behaviours.extend(errors)

    def hold_next(self) -> asyncio.Event:
        """The next call answers only once the event is set."""
        event = asyncio.Event()
        self._behaviours.append(event)
        return event

    @property
    def routed(self) -> RoutedModel:
        """The catalog's entry for the router."""
        info = ModelInfo(
            name=self.name,
            languages=self.languages,
            device="cpu",
            dtype="float32",
            num_parameters=1234,
            max_source_tokens=256,
            generation=self.generation,
        )
        return RoutedModel(
            hosted=HostedModel(key=f"{self.name}@1", id=self.name, directory=self.name),
            info=info,
            backend=self,
            aliases=self.aliases,
            can_sleep=self.can_sleep,
        )

    async def check(self) -> None:
        """As a replica answers."""
        self.num_checks += 1
        await self.check_answers.wait()
        if self.check_error is not None:
            raise self.check_error

    async def translate(
        self, call: TranslateCall, attempt: Attempt | None = None
    ) -> TranslateReply:
        """As a replica answers, after what was demanded for this call."""
        self.calls.append(call)
        behaviour = self._behaviours.popleft() if self._behaviours else None
        if isinstance(behaviour, BaseException):
            raise behaviour
        self.num_active += 1
        try:
            if behaviour is not None:
                await behaviour.wait()
        except asyncio.CancelledError:
            self.num_cancelled += 1
            raise
        finally:
            self.num_active -= 1
        return self._reply(call)

    async def stream(self, call: TranslateCall, attempt: Attempt | None = None) -> CallStream:
        """As `translate`, word by word."""
        return await CallStream.begun(self._events(call, attempt))

    async def _events(
        self, call: TranslateCall, attempt: Attempt | None
    ) -> AsyncGenerator[CallEvent]:
        reply = await self.translate(call, attempt)
        self.num_active += 1
        done = False
        try:
            for index, translation in enumerate(reply.translations):
                for word in re.findall(r"\S+\s*|^\s+", translation.text):
                    yield (TextDelta(index, word),)
                    if isinstance(self.after_first_delta, BaseException):
                        await asyncio.sleep(0.02)  # until the first delta has been sent
                        raise self.after_first_delta
                    if self.after_first_delta is not None:
                        await self.after_first_delta.wait()
            done = True
            yield reply
        finally:
            self.num_active -= 1
            self.num_cancelled += not done

    def _reply(self, call: TranslateCall) -> TranslateReply:
        generation = call.generation or self.generation
        attention = None
        if call.max_attention_numbers is not None:
            attention = _attention(self._translated(call.texts[0], call.target, 1))
        search = None
        if call.max_search_candidates is not None:
            search = _search(self._translated(call.texts[0], call.target, 1), generation.beam_size)
        return TranslateReply(
            model=self.name,
            attention=attention,
            search=search,
            translations=tuple(
                _aligned(text, translation) if call.return_alignments else translation
                for text, translation in (
                    (text, self._translated(text, call.target, generation.num_hypotheses))
                    for text in call.texts
                )
            ),
        )

    def _translated(self, text: str, target: str, num_hypotheses: int) -> Translation:
        if not text.strip():
            return _translation(text, score=None, hypotheses=[(text, 0.0)])
        best = f"{target}:{text}"
        others = [(f"{best} ({rank})", -0.5 - rank) for rank in range(1, num_hypotheses)]
        return _translation(
            best,
            score=-0.5,
            hypotheses=[(best, -0.5), *others],
            source_tokens=len(text.split()) + 1,
            target_tokens=len(best.split()) + 1,
            num_sentences=1,
            queue_seconds=0.001,
            encode_seconds=0.002,
            decode_seconds=0.003,
        )


def _attention(translation: Translation) -> SentenceAttention:
    """A layer with one head, two tokens on each side, all of which attend to the first one."""
    maps = np.array([[[[1.0, 0.0], [0.99996, 0.00004]]]], np.float32)
    heads = HeadMaps(maps=maps, entropies=((0.25,),))
    return SentenceAttention(
        translation=translation, source_tokens=("a", "</s>"), target_tokens=("<s>", "b"),
        encoder=heads, decoder=None, cross=heads,
    )  # fmt: skip


def _search(translation: Translation, beam_size: int) -> SentenceSearch:
    """Two first tokens, of which one is pruned and the other ends."""
    return SentenceSearch(
        translation=translation,
        beam_size=beam_size,
        candidates=(
            SearchCandidate(None, " b", -0.25, CandidateState.KEPT, None),
            SearchCandidate(None, " c", -2.123456, CandidateState.PRUNED, None),
            SearchCandidate(0, "</s>", -0.5, CandidateState.ENDED, -0.25),
        ),
        best=(0, 2),
    )


def _aligned(text: str, translation: Translation) -> Translation:
    """With the words of the text, which are behind the code of the target's language."""
    shift = len(translation.text) - len(text)
    links = tuple(moved(kept_words(text), 0, shift))
    hypotheses = tuple(replace(one, alignments=links) for one in translation.hypotheses)
    return replace(translation, hypotheses=hypotheses)


def _translation(
    text: str, *, score: float | None, hypotheses: list[tuple[str, float]], **fields: Any
) -> Translation:
    return Translation(
        text=text,
        finish_reason=FinishReason.STOP,
        score=score,
        hypotheses=tuple(TranslationHypothesis(text=one, score=value) for one, value in hypotheses),
        **fields,
    )


def catalog_entry(name: str, revision: int = 1, *, shared: bool = False) -> CatalogEntry:
    """An entry of the catalog, as if it had been read from a directory."""
    key = f"{name}@{revision}"
    info = ModelInfo(
        name=name, languages=Languages(sources=("en",), targets=("de",)), device="cpu",
        dtype="int8", num_parameters=1234, max_source_tokens=256,
    )  # fmt: skip
    return CatalogEntry(
        record=ModelRecord(model=name),
        hosted=HostedModel(key=key, id=name, directory=name),
        info=info,
        shared=shared,
        loaded_bytes=1000,
    )


class FakeChanges:
    """Takes note of changes of the catalog; refuses and tells what it is told to."""

    def __init__(self) -> None:
        self.submitted: list[tuple[ChangeKind, str, ModelRecord | None]] = []
        self.error: Exception | None = None
        self.statuses: dict[str, ModelStatus] = {}
        self.sizes: dict[str, dict[str, int]] = {}

    async def submit(self, kind: ChangeKind, name: str, record: ModelRecord | None) -> None:
        """As the actor answers."""
        if self.error is not None:
            raise self.error
        self.submitted.append((kind, name, record))

    async def status(self, name: str) -> ModelStatus | None:
        """As the store has it."""
        return self.statuses.get(name)

    async def loaded(self, name: str) -> dict[str, int]:
        """As the metrics have it."""
        return self.sizes.get(name, {})


class Gateway:
    """A gateway in this process, in front of fake models."""

    def __init__(
        self,
        *backends: FakeBackend,
        render_metrics: Callable[[], Any] | None = None,
        look: Callable[[int | None], Any] | None = None,
        echo_request_id: bool = True,
        **settings: Any,
    ) -> None:
        self.backends = backends or (FakeBackend(),)
        self.settings = Settings(**({"retry": PROMPT_RETRIES} | settings))
        self.metrics = GatewayMetrics(max_pairs=self.settings.max_pairs_in_metrics)
        self.router = Router(
            [backend.routed for backend in self.backends],
            pivot=self.settings.pivot or None,
            info_timeout_seconds=self.settings.info_timeout_seconds,
        )
        self.admission = Admission(self.settings.limits)
        self.changes = FakeChanges()
        self.app: FastAPI = build_gateway(
            self.settings,
            self.router,
            self.metrics,
            render_metrics or _no_metrics,
            self.changes,
            admission=self.admission,
            look=look or _no_look,
            echo_request_id=echo_request_id,
        )

    @property
    def backend(self) -> FakeBackend:
        """The first model."""
        return self.backends[0]

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        """Talks to the application without a socket."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            yield client

    @asynccontextmanager
    async def running_client(self) -> AsyncIterator[httpx.AsyncClient]:
        """The same, with what runs beside the requests: keys are read, and usage is written."""
        async with self.app.router.lifespan_context(self.app), self.client() as client:
            yield client

    def count(self, name: str, **labels: str) -> float:
        """A sample of the metrics; 0 when there is none."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


class Connection:
    """One HTTP request as an ASGI server sees it, so that a test can break off where it wants."""

    def __init__(
        self,
        path: str = "/v1/translate",
        *,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        pairs = {"content-type": "application/json"} | dict(headers or {})
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in pairs.items()],
            "client": ("127.0.0.1", 40000),
            "server": ("127.0.0.1", 8000),
        }
        self.sent: list[Message] = []
        self.num_received = 0
        self._messages: asyncio.Queue[Message | Exception] = asyncio.Queue()

    def body(self, chunk: bytes, *, more: bool = False) -> None:
        """The client sends a piece of its body."""
        message = {"type": "http.request", "body": chunk, "more_body": more}
        self._messages.put_nowait(message)

    def disconnect(self) -> None:
        """The client goes away."""
        self._messages.put_nowait({"type": "http.disconnect"})

    def break_down(self, error: Exception) -> None:
        """The way to the client breaks."""
        self._messages.put_nowait(error)

    def start(self, app: ASGIApp) -> asyncio.Task[None]:
        """The server hands the request to the application."""
        return asyncio.ensure_future(app(self.scope, self._receive, self._send))

    @property
    def status(self) -> int | None:
        """Status of the answer; None before there is one."""
        starts = [one for one in self.sent if one["type"] == "http.response.start"]
        return starts[0]["status"] if starts else None

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer."""
        pairs = self.sent[0]["headers"]
        return {name.decode().lower(): value.decode() for name, value in pairs}

    def json(self) -> Any:
        """The answer's body."""
        return json.loads(b"".join(one.get("body", b"") for one in self.sent))

    async def _receive(self) -> Message:
        message = await self._messages.get()
        if isinstance(message, Exception):
            raise message
        self.num_received += 1
        return message

    async def _send(self, message: Message) -> None:
        self.sent.append(message)


async def _no_look(after: int | None) -> LiveLook:
    return LiveLook(at=1.0, number=0, figures=LiveFigures(), batches=())


async def _no_metrics() -> bytes:
    return b"# nothing\n"


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Waits for a condition that another task makes true; TimeoutError when none does."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)
