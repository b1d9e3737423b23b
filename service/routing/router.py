"""Maps language pairs to models, or to two of them by way of a third language."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from model.text.languages import listed
from service.errors import LanguageNotServedError, ModelUnavailableError, shown
from service.protocol import ModelInfo, TranslateCall, TranslateReply
from service.routing.attempts import Attempt

__all__ = ["Backend", "Hop", "ReplicaLostError", "Route", "Router"]


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
class Hop:
    """A model, and the pair that it translates, as it writes their codes."""

    backend: Backend
    info: ModelInfo
    source: str
    target: str


@dataclass(frozen=True, kw_only=True)
class Route:
    """The models through which a pair is translated, one after the other: one, or two."""

    hops: tuple[Hop, ...]

    @property
    def source(self) -> str:
        """The language of the texts."""
        return self.hops[0].source

    @property
    def target(self) -> str:
        """The language of the translations."""
        return self.hops[-1].target

    @property
    def pivot(self) -> str | None:
        """The language between the two models; None with one."""
        return self.hops[0].target if len(self.hops) > 1 else None


class Router:
    """Caches the models' infos, and finds the model for a pair."""

    def __init__(
        self,
        backends: Mapping[str, Backend],
        *,
        pivot: str | None = None,
        info_timeout_seconds: float = 2.0,
    ) -> None:
        """Args:
        backends: The configured models by name; the first one that has a pair serves it.
        pivot: Language through which pairs go that no model has; None refuses them.
        info_timeout_seconds: Time limit for one model's info.
        """
        if not backends:
            raise ValueError("`backends` must have at least one model, but has none")
        self._backends = dict(backends)
        self._pivot = pivot
        self._info_timeout = info_timeout_seconds
        self._infos: dict[str, ModelInfo] = {}
        self._languages: dict[str, tuple[str, ...]] = {}
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

    async def languages(self) -> Mapping[str, tuple[str, ...]]:
        """Each language, and those that it can be translated into, perhaps through the pivot.

        In alphabetical order; the same object until the models change.

        Raises:
            ModelUnavailableError: no model is ready yet.
        """
        await self.models()
        return self._languages

    async def find(self, source: str, target: str) -> Route:
        """The model for a pair; if none has it, one into the pivot and one out of it.

        Raises:
            LanguageNotServedError: there is no way; the message lists what is served.
            ModelUnavailableError: a model that may have it is not ready yet.
        """
        if (hop := self._hop(source, target)) is not None:
            return Route(hops=(hop,))
        problems = await self._fetch_missing()
        if (route := self._route(source, target)) is not None:
            return route
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
        if (languages := self._reachable()) != self._languages:
            self._languages = languages
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

    def _hop(self, source: str, target: str) -> Hop | None:
        """The first model that has a pair."""
        for name, backend in self._backends.items():
            info = self._infos.get(name)
            if info is not None and (pair := info.languages.find(source, target)) is not None:
                return Hop(backend=backend, info=info, source=pair.source, target=pair.target)
        return None

    def _route(self, source: str, target: str) -> Route | None:
        if (hop := self._hop(source, target)) is not None:
            return Route(hops=(hop,))
        if self._pivot is None or source.casefold() == target.casefold():
            return None
        first, second = self._hop(source, self._pivot), self._hop(self._pivot, target)
        return None if first is None or second is None else Route(hops=(first, second))

    def _reachable(self) -> dict[str, tuple[str, ...]]:
        """Each language, and those that it can be translated into."""
        spellings: dict[str, str] = {}
        targets: dict[str, set[str]] = {}
        for info in (self._infos[name] for name in self._backends if name in self._infos):
            for code in (*info.languages.sources, *info.languages.targets):
                targets.setdefault(spellings.setdefault(code.casefold(), code), set())
            into = {spellings[code.casefold()] for code in info.languages.targets}
            for code in info.languages.sources:
                targets[spellings[code.casefold()]] |= into
        pivot = spellings.get(self._pivot.casefold()) if self._pivot is not None else None
        if pivot is not None:
            beyond = set(targets[pivot])
            for into in targets.values():
                if pivot in into:
                    into |= beyond
        return {code: tuple(sorted(targets[code] - {code})) for code in sorted(targets)}

    def _not_served(self, source: str, target: str) -> LanguageNotServedError:
        known = {code.casefold(): into for code, into in self._languages.items() if into}
        targets = known.get(source.casefold())
        if targets is None:
            sources = [code for code, into in self._languages.items() if into]
            return LanguageNotServedError(
                f"`source` must be one of {listed(sources)}, but is {shown(source)}",
                field="source",
            )
        return LanguageNotServedError(
            f"`target` must be one of {listed(targets)} for source {source}, "
            f"but is {shown(target)}",
            field="target",
        )
