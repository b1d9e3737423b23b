"""Maps language pairs to models, or to two of them by way of a third language."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Protocol, Self

from model.text.language_tags import bcp47, closest
from model.text.languages import listed
from service.catalog.entry import CatalogEntry
from service.errors import InvalidFieldError, LanguageNotServedError, ModelUnavailableError, shown
from service.protocol import HostedModel, ModelInfo, TranslateCall, TranslateReply
from service.routing.attempts import Attempt
from service.routing.call_stream import CallStream

__all__ = ["Backend", "Hop", "ReplicaLostError", "Route", "RoutedModel", "Router"]

_MOST_KNOWN_CODES = 1024
"""Codes, and pairs of them, of which the router remembers what serves for them."""


class ReplicaLostError(Exception):
    """The replica of a call is lost, and its answer with it; another replica may answer."""


class Backend(Protocol):
    """The replicas of one deployment, which host one model or many.

    All methods raise what the replica raised (`model.errors`), ReplicaLostError, or
    ModelUnavailableError when no replica accepts calls. Cancelling a call cancels the replica's
    work.
    """

    @property
    def num_replicas(self) -> int:
        """The replicas that can take calls now; 0 before the first call."""
        ...

    async def check(self) -> None:
        """Returns if a replica is healthy; waits for one if there is none."""
        ...

    async def translate(
        self, call: TranslateCall, attempt: Attempt | None = None
    ) -> TranslateReply:
        """One attempt, which `attempt` tells of; `service.routing.retry` repeats it."""
        ...

    async def stream(self, call: TranslateCall, attempt: Attempt | None = None) -> CallStream:
        """One attempt at a call that tells of its translations as they are decided. Later events
        may raise as well; to close the stream cancels the replica's work."""
        ...


@dataclass(frozen=True, kw_only=True)
class RoutedModel:
    """A model of the catalog, and where it is."""

    hosted: HostedModel
    info: ModelInfo
    backend: Backend
    aliases: tuple[str, ...] = ()
    shared: bool = False
    """Whether its replicas hold many models, loaded on demand."""
    can_sleep: bool = False
    """Whether it may have no replica, and is not to be woken by a probe."""

    @classmethod
    def of(cls, entry: CatalogEntry, backend: Backend, *, can_sleep: bool = False) -> Self:
        """A model of the catalog at this backend."""
        return cls(
            hosted=entry.hosted,
            info=entry.info,
            backend=backend,
            aliases=tuple(entry.record.aliases),
            shared=entry.shared,
            can_sleep=can_sleep,
        )

    @property
    def asleep(self) -> bool:
        """Whether it has no replica and none is needed."""
        return self.can_sleep and self.backend.num_replicas == 0


@dataclass(frozen=True, kw_only=True)
class Hop:
    """A model, and the pair that it translates, as it writes their codes."""

    model: RoutedModel
    source: str
    target: str

    @property
    def info(self) -> ModelInfo:
        """The model's info."""
        return self.model.info


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
    """Finds the model for a pair among models that may change. Belongs to one event loop.

    Args:
        models: the catalog; the first one that has a pair serves it, by its own codes if any does.
        pivot: language through which pairs go that no model has; None refuses them.
        info_timeout_seconds: time limit of one model in `check`.
    """

    def __init__(
        self,
        models: Sequence[RoutedModel],
        *,
        pivot: str | None = None,
        info_timeout_seconds: float = 2.0,
    ) -> None:
        self._pivot = pivot
        self._info_timeout = info_timeout_seconds
        self._held: Counter[str] = Counter()
        """Routes in use by key of the model: it must stay loaded."""
        self._held_ids: Counter[str] = Counter()
        self.update(models)

    def update(self, models: Sequence[RoutedModel]) -> None:
        """Replaces the catalog, for all routes that are found from now on."""
        self._routes: dict[tuple[str, str], Route] = {}
        """Those that were found already."""
        self._models = {model.hosted.id: model for model in models}
        self._by_name = {
            name: model for model in models for name in (model.hosted.id, *model.aliases)
        }
        self._languages = self._reachable()
        sources = [code for code, into in self._languages.items() if into]
        targets = sorted({code for into in self._languages.values() for code in into})
        self._source = lru_cache(_MOST_KNOWN_CODES)(partial(closest, among=sources))
        self._target = lru_cache(_MOST_KNOWN_CODES)(partial(closest, among=targets))

    @property
    def models(self) -> tuple[RoutedModel, ...]:
        """The models, ready or not."""
        return tuple(self._models.values())

    @property
    def placements(self) -> dict[str, bool]:
        """Whether models share replicas, by id."""
        return {name: model.shared for name, model in self._models.items()}

    @property
    def languages(self) -> Mapping[str, tuple[str, ...]]:
        """Each language, and those that it can be translated into, perhaps through the pivot.

        In alphabetical order; the same object until the models change.
        """
        return self._languages

    async def check(self) -> dict[str, str]:
        """Asks the replicas of every model that has some, or should; the problems by id."""
        models = [model for model in self.models if not model.asleep]
        backends = list({id(model.backend): model.backend for model in models}.values())
        answers = await asyncio.gather(*(self._ask(backend) for backend in backends))
        problems = {id(each): answer for each, answer in zip(backends, answers, strict=True)}
        return {
            model.hosted.id: problem
            for model in models
            if (problem := problems[id(model.backend)]) is not None
        }

    def find(self, source: str, target: str, name: str | None = None) -> Route:
        """The model for a pair; if none has it, one into the pivot and one out of it.

        Args:
            source, target: in any letter case.
            name: id or alias of the only model that may be taken.

        Raises:
            InvalidFieldError: there is no model `name`, or it does not have the pair.
            LanguageNotServedError: there is no way; the message lists what is served.
            ModelUnavailableError: there is no model at all.
        """
        if name is not None:
            return Route(hops=(self._named(name, source, target),))
        if (known := self._routes.get((source, target))) is not None:
            return known
        if not self._models:
            raise ModelUnavailableError("there is no model; try again later")
        route = self._route(source, target)
        if route is None:
            route = self._route(self.source(source) or source, self.target(target) or target)
        if route is None:
            raise self._not_served(source, target)
        if len(self._routes) < _MOST_KNOWN_CODES:
            self._routes[source, target] = route
        return route

    def source(self, code: str) -> str | None:
        """The language that is translated from where `code` is asked for: "en" for "en-US", "de"
        for "deu_Latn". None if there is none."""
        return self._source(code)

    def target(self, code: str) -> str | None:
        """The language that is translated into where `code` is asked for, as `source`."""
        return self._target(code)

    def served(self, code: str) -> str | None:
        """The language, be it a source or a target, that `code` means, as `source`."""
        return self.source(code) or self.target(code)

    def sources_for(self, target: str, name: str | None = None) -> tuple[str, ...]:
        """The languages from which another can be reached, and that one itself.

        Args:
            target: in any letter case, and with any region.
            name: id or alias of the only model that may be taken.

        Raises:
            InvalidFieldError, LanguageNotServedError, ModelUnavailableError: as `find`.
        """
        if name is not None:
            if (model := self._by_name.get(name)) is None:
                raise self._unknown(name)
            own = model.info.languages
            reached = dict.fromkeys(own.sources, own.targets)
        elif self._models:
            reached = dict(self._languages)
        else:
            raise ModelUnavailableError("there is no model; try again later")
        targets = {code for into in reached.values() for code in into}
        served = closest(target, sorted(targets)) if name is not None else self.target(target)
        if served is None:
            raise LanguageNotServedError(
                f"`target` must be one of {listed(targets)}, but is {shown(target)}", field="target"
            )
        return (*(code for code, into in reached.items() if served in into), served)

    def held(self, *routes: Route) -> AbstractContextManager[None]:
        """Keeps the models of routes in `held_keys` while the block runs."""
        return _Held(self, [hop.model.hosted for route in routes for hop in route.hops])

    def hold(self, model: HostedModel) -> None:
        """Keeps a model in `held_keys`, until it was let go as often."""
        self._held[model.key] += 1
        self._held_ids[model.id] += 1

    def let_go(self, model: HostedModel) -> None:
        """Takes a `hold` back."""
        _release(self._held, model.key)
        _release(self._held_ids, model.id)

    @property
    def held_keys(self) -> frozenset[str]:
        """Keys of the models that requests in work may still call. Thread-safe."""
        return frozenset(dict(self._held))

    def load_shares(self) -> dict[str, float]:
        """Each model's share of the requests in work, by id."""
        total = self._held_ids.total()
        return {name: count / total for name, count in self._held_ids.items()}

    def _named(self, name: str, source: str, target: str) -> Hop:
        model = self._by_name.get(name)
        if model is None:
            raise self._unknown(name)
        languages = model.info.languages
        hop = _hop(model, source, target) or _hop(
            model,
            closest(source, languages.sources) or source,
            closest(target, languages.targets) or target,
        )
        if hop is None:
            raise InvalidFieldError(
                f"`model` must be one that translates {shown(source)} to {shown(target)}, "
                f"but {name} has {model.info.languages}",
                field="model",
            )
        return hop

    def _unknown(self, name: str) -> InvalidFieldError:
        return InvalidFieldError(
            f"`model` must be one of {listed(self._models)}, but is {shown(name)}", field="model"
        )

    async def _ask(self, backend: Backend) -> str | None:
        """The problem of a backend; None if it answers."""
        try:
            async with asyncio.timeout(self._info_timeout):
                await backend.check()
        except TimeoutError:
            return f"did not answer within {self._info_timeout:g} s"
        except Exception as exc:  # a broken model must not hide the others
            return f"failed with {type(exc).__name__}"
        return None

    def _hop(self, source: str, target: str) -> Hop | None:
        """The first model that has a pair: by its own codes, or else by other names of these."""
        asked = (source.casefold(), target.casefold())
        first = None
        for model in self._models.values():
            if (hop := _hop(model, source, target)) is None:
                continue
            if (hop.source.casefold(), hop.target.casefold()) == asked:
                return hop
            first = first or hop
        return first

    def _route(self, source: str, target: str) -> Route | None:
        if (hop := self._hop(source, target)) is not None:
            return Route(hops=(hop,))
        if self._pivot is None:
            return None
        first, second = self._hop(source, self._pivot), self._hop(self._pivot, target)
        if first is None or second is None or bcp47(first.source) == bcp47(second.target):
            return None
        return Route(hops=(first, second))

    def _reachable(self) -> dict[str, tuple[str, ...]]:
        """Each language, and those that it can be translated into."""
        spellings: dict[str, str] = {}
        targets: dict[str, set[str]] = {}
        for info in (model.info for model in self._models.values()):
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
        served = self.source(source)
        if served is None:
            known = [code for code, into in self._languages.items() if into]
            return LanguageNotServedError(
                f"`source` must be one of {listed(known)}, but is {shown(source)}",
                field="source",
            )
        targets = self._languages[served]
        return LanguageNotServedError(
            f"`target` must be one of {listed(targets)} for source {source}, "
            f"but is {shown(target)}",
            field="target",
        )


class _Held(AbstractContextManager[None]):
    """The hold of a request on models. Each has one, and a generator would take longer."""

    def __init__(self, router: Router, models: Sequence[HostedModel]) -> None:
        self._router = router
        self._models = models

    def __enter__(self) -> None:
        for model in self._models:
            self._router.hold(model)

    def __exit__(self, *_: object) -> None:
        for model in self._models:
            self._router.let_go(model)


def _hop(model: RoutedModel, source: str, target: str) -> Hop | None:
    pair = model.info.languages.find(source, target)
    return None if pair is None else Hop(model=model, source=pair.source, target=pair.target)


def _release(counter: Counter[str], name: str) -> None:
    counter[name] -= 1
    if not counter[name]:
        del counter[name]
