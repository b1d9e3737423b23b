"""Maps language pairs to models."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from service.errors import LanguageNotServedError, ModelUnavailableError, shown
from service.protocol import ModelInfo, TranslateCall, TranslateReply
from service.routing.attempts import Attempt

__all__ = ["Backend", "ReplicaLostError", "Route", "Router"]


class ReplicaLostError(Exception):
    """The replica of a call is lost, and its answer with it; another replica may answer."""


class Backend(Protocol):
    """One model behind any number of replicas.

    Both methods raise what the replica raised (`model.errors`), ReplicaLostError, or
    ModelUnavailableError when no replica accepts calls. Cancelling a call cancels the replica's
    work.
    """

    async def info(self) -> ModelInfo:
        """The model that the replicas host."""
        ...

    async def translate(
        self, call: TranslateCall, attempt: Attempt | None = None
    ) -> TranslateReply:
        """One attempt, which `attempt` tells of; `service.routing.retry` repeats it."""
        ...


@dataclass(frozen=True, kw_only=True)
class Route:
    """The model that serves a language pair, and the pair in that model's letter case."""

    backend: Backend
    info: ModelInfo
    source: str
    target: str


class Router:
    """Caches the models' infos, and finds the model for a pair."""

    def __init__(
        self, backends: Mapping[str, Backend], *, info_timeout_seconds: float = 2.0
    ) -> None:
        """Args:
        backends: The configured models by name; the first one that has a pair serves it.
        info_timeout_seconds: Time limit for one model's info.
        """
        if not backends:
            raise ValueError("`backends` must have at least one model, but has none")
        self._backends = dict(backends)
        self._info_timeout = info_timeout_seconds
        self._infos: dict[str, ModelInfo] = {}
        self._routes: dict[tuple[str, str], Route] = {}
        self._fetching: asyncio.Task[dict[str, str]] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The configured models, ready or not."""
        return tuple(self._backends)

    async def check(self) -> dict[str, str]:
        """Fetches every model's info anew; the problems of those that fail, by name."""
        return await self._fetch(self._backends)

    async def models(self) -> list[ModelInfo]:
        """The models whose info is known; ModelUnavailableError when there is none yet."""
        await self._fetch_missing()
        if not self._infos:
            raise ModelUnavailableError("no model is ready yet; try again later")
        return [self._infos[name] for name in self._backends if name in self._infos]

    async def find(self, source: str, target: str) -> Route:
        """The model for a pair.

        Raises:
            LanguageNotServedError: no model has the pair; the message lists what is served.
            ModelUnavailableError: a model that may have it is not ready yet.
        """
        key = (source.casefold(), target.casefold())
        if (known := self._routes.get(key)) is not None:
            return known
        problems = await self._fetch_missing()
        if (known := self._routes.get(key)) is not None:
            return known
        if problems:
            missing = ", ".join(sorted(problems))
            raise ModelUnavailableError(f"not ready yet: {missing}; try again later")
        raise self._not_served(source, target)

    async def _fetch_missing(self) -> dict[str, str]:
        """Fetches the infos that are not known yet; concurrent callers share one attempt."""
        if len(self._infos) == len(self._backends):
            return {}
        if self._fetching is None or self._fetching.done():
            missing = {
                name: backend for name, backend in self._backends.items() if name not in self._infos
            }
            self._fetching = asyncio.create_task(self._fetch(missing))
        return await asyncio.shield(self._fetching)

    async def _fetch(self, backends: Mapping[str, Backend]) -> dict[str, str]:
        answers = await asyncio.gather(*(self._ask(backend) for backend in backends.values()))
        problems: dict[str, str] = {}
        for name, answer in zip(backends, answers, strict=True):
            if isinstance(answer, ModelInfo):
                self._infos[name] = answer
            else:
                problems[name] = answer
        self._routes = self._all_routes()
        return problems

    async def _ask(self, backend: Backend) -> ModelInfo | str:
        """A model's info, or the reason why there is none."""
        try:
            async with asyncio.timeout(self._info_timeout):
                return await backend.info()
        except TimeoutError:
            return f"did not answer within {self._info_timeout:g} s"
        except Exception as exc:  # a broken model must not hide the others
            return f"failed with {type(exc).__name__}"

    def _all_routes(self) -> dict[tuple[str, str], Route]:
        table: dict[tuple[str, str], Route] = {}
        for name, backend in self._backends.items():
            if (info := self._infos.get(name)) is None:
                continue
            for source, target in info.pairs:
                route = Route(backend=backend, info=info, source=source, target=target)
                table.setdefault((source.casefold(), target.casefold()), route)
        return table

    def _not_served(self, source: str, target: str) -> LanguageNotServedError:
        served = self._routes.values()
        sources = sorted({route.source for route in served})
        targets = sorted(
            {route.target for route in served if route.source.casefold() == source.casefold()}
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
