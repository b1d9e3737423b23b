"""Which model serves which language pair, and the way there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from service.errors import LanguageNotServedError, ModelUnavailableError, shown
from service.protocol import ModelInfo, TranslateCall, TranslateReply
from service.retry import Retrier, RetryReason
from service.settings import RetrySettings

__all__ = ["Backend", "Destination", "Router"]


class Backend(Protocol):
    """One model behind any number of replicas."""

    @property
    def name(self) -> str:
        """Of the deployment; unique in the service."""
        ...

    async def info(self) -> ModelInfo:
        """What a replica says of its model."""
        ...

    async def translate(self, call: TranslateCall) -> TranslateReply:
        """Raises the errors of `model.errors`, bare or as the `cause` of what carried them; when
        it is cancelled, it cancels the replica's work."""
        ...


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where the requests of one language pair go."""

    backend: Backend
    info: ModelInfo
    source: str
    """As the model writes it, whatever the letter case of the request."""
    target: str


class Router:
    """Knows the models' languages, finds the one for a pair, and sends it the call."""

    def __init__(
        self,
        backends: Mapping[str, Backend],
        *,
        retry: RetrySettings | None = None,
        info_timeout_seconds: float = 2.0,
        lost: tuple[type[Exception], ...] = (),
        on_retry: Callable[[RetryReason], None] | None = None,
    ) -> None:
        """Args:
        backends: The configured models by name; the first one that has a pair serves it.
        retry: How lost work is repeated.
        info_timeout_seconds: Time a model has to tell its languages.
        lost: What a backend raises when the replica it asked is gone.
        on_retry: Is told the reason of every retry.
        """
        if not backends:
            raise ValueError("`backends` must have at least one model, but has none")
        self._backends = dict(backends)
        self._info_timeout = info_timeout_seconds
        self._retrier = Retrier(retry or RetrySettings(), lost=lost, on_retry=on_retry)
        self._infos: dict[str, ModelInfo] = {}
        self._destinations: dict[tuple[str, str], Destination] = {}
        self._learning: asyncio.Task[dict[str, str]] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The configured models, ready or not."""
        return tuple(self._backends)

    async def check(self) -> dict[str, str]:
        """Asks every model now; the problem of each one that cannot answer, by name."""
        return await self._learn(self._backends)

    async def models(self) -> list[ModelInfo]:
        """The models that have told of themselves; ModelUnavailableError when none has yet."""
        await self._learn_missing()
        if not self._infos:
            raise ModelUnavailableError("no model is ready yet; try again later")
        return [self._infos[name] for name in self._backends if name in self._infos]

    async def find(self, source: str, target: str) -> Destination:
        """The model for a pair; LanguageNotServedError says what there is instead."""
        key = (source.casefold(), target.casefold())
        if (known := self._destinations.get(key)) is not None:
            return known
        problems = await self._learn_missing()
        if (known := self._destinations.get(key)) is not None:
            return known
        if problems:
            missing = ", ".join(sorted(problems))
            raise ModelUnavailableError(f"not ready yet: {missing}; try again later")
        raise self._not_served(source, target)

    async def translate(
        self, destination: Destination, call: TranslateCall, *, deadline: float
    ) -> TranslateReply:
        """Sends the call, again where a replica lost it; `deadline` in time.monotonic() seconds."""

        async def send(seconds_left: float) -> TranslateReply:
            timed = replace(call, timeout_seconds=seconds_left)
            return await destination.backend.translate(timed)

        return await self._retrier.run(send, deadline=deadline)

    async def _learn_missing(self) -> dict[str, str]:
        """Asks the models that have not told of themselves yet, once for all who wait for it."""
        if len(self._infos) == len(self._backends):
            return {}
        if self._learning is None or self._learning.done():
            missing = {
                name: backend for name, backend in self._backends.items() if name not in self._infos
            }
            self._learning = asyncio.create_task(self._learn(missing))
        return await asyncio.shield(self._learning)

    async def _learn(self, backends: Mapping[str, Backend]) -> dict[str, str]:
        answers = await asyncio.gather(*(self._ask(backend) for backend in backends.values()))
        problems: dict[str, str] = {}
        for name, answer in zip(backends, answers, strict=True):
            if isinstance(answer, ModelInfo):
                self._infos[name] = answer
            else:
                problems[name] = answer
        self._destinations = self._all_destinations()
        return problems

    async def _ask(self, backend: Backend) -> ModelInfo | str:
        """A model's own words, or why there are none."""
        try:
            async with asyncio.timeout(self._info_timeout):
                return await backend.info()
        except TimeoutError:
            return f"did not answer within {self._info_timeout:g} s"
        except Exception as exc:  # whatever is wrong with one model must not hide the others
            return f"failed with {type(exc).__name__}"

    def _all_destinations(self) -> dict[tuple[str, str], Destination]:
        table: dict[tuple[str, str], Destination] = {}
        for name, backend in self._backends.items():
            if (info := self._infos.get(name)) is None:
                continue
            for source, target in info.pairs:
                place = Destination(backend=backend, info=info, source=source, target=target)
                table.setdefault((source.casefold(), target.casefold()), place)
        return table

    def _not_served(self, source: str, target: str) -> LanguageNotServedError:
        served = self._destinations.values()
        sources = sorted({place.source for place in served})
        targets = sorted(
            {place.target for place in served if place.source.casefold() == source.casefold()}
        )
        if not targets:
            return LanguageNotServedError(
                f"`source` must be one of {', '.join(sources)}, but is {shown(source)}",
                field="source",
            )
        return LanguageNotServedError(
            f"`target` must be one of {', '.join(targets)} for source {source}, "
            f"but is {shown(target)}",
            field="target",
        )
