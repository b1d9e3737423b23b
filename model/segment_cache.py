"""Results of searches for segments that come again: the latest ones, within a number of bytes."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from model.config import GenerationConfig, Priority
from model.decoding.sequence_options import SequenceOptions
from model.engine.result_future import ResultFuture
from model.engine.sequence import SequenceResult

if TYPE_CHECKING:
    from model.engine.engine import Engine

__all__ = ["CacheCounts", "CachedSearches", "ModelCache", "SegmentCache"]

_BYTES_AN_ENTRY = 1000
_BYTES_A_NUMBER = 36
"""An integer, and where a tuple has it."""

_Watcher = Callable[[tuple[int, ...]], None]


class CacheCounts(NamedTuple):
    """Segments that were looked for."""

    hits: int
    misses: int


class SegmentCache:
    """Results by all that they depend on, those asked for last; of one model or of several.
    Thread-safe.

    Args:
        max_bytes: that they may take, by estimate, with what they depend on.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, tuple[SequenceResult, int]] = OrderedDict()
        """Results with their bytes; who was asked for last comes last."""
        self._bytes = 0
        self._hits: Counter[str] = Counter()
        self._misses: Counter[str] = Counter()

    @property
    def size_bytes(self) -> int:
        """What it takes now, by estimate."""
        return self._bytes

    def take_counts(self) -> dict[str, CacheCounts]:
        """What was counted since the last call, by label."""
        with self._lock:
            labels = self._hits.keys() | self._misses.keys()
            counts = {each: CacheCounts(self._hits[each], self._misses[each]) for each in labels}
            self._hits.clear()
            self._misses.clear()
        return counts

    def get(self, key: Hashable, label: str) -> SequenceResult | None:
        """The result of a key, if it is there; counted for a label."""
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                self._misses[label] += 1
                return None
            self._entries.move_to_end(key)
            self._hits[label] += 1
            return found[0]

    def put(self, key: Hashable, result: SequenceResult, size: int) -> None:
        """Keeps a result of so many bytes; others make room for it."""
        if size > self._max_bytes:
            return
        with self._lock:
            self._drop(key)
            self._entries[key] = result, size
            self._bytes += size
            while self._bytes > self._max_bytes:
                self._drop(next(iter(self._entries)))

    def count_hit(self, label: str) -> None:
        """Counts a segment whose result is on its way already."""
        with self._lock:
            self._hits[label] += 1

    def _drop(self, key: Hashable) -> None:
        _, size = self._entries.pop(key, (None, 0))
        self._bytes -= size


class ModelCache(NamedTuple):
    """The part of a cache that one model has."""

    cache: SegmentCache
    label: str
    """What its hits and misses are counted for."""
    model: Hashable = None
    """What results depend on beside the request: the model's checksum, and how it computes."""


class CachedSearches:
    """An engine, and the results that it need not find again.

    Args:
        engine: searches.
        cache: where results are kept; None keeps none.
    """

    def __init__(self, engine: Engine, cache: ModelCache | None) -> None:
        self._engine = engine
        self._cache = cache

    def submit(
        self,
        sources: Sequence[tuple[int, ...]],
        generation: GenerationConfig | Sequence[GenerationConfig],
        *,
        options: Sequence[SequenceOptions],
        deadline: float | None,
        priority: Priority,
        on_decided: Sequence[_Watcher] | None = None,
        use_cache: bool = True,
    ) -> list[ResultFuture[SequenceResult]]:
        """`Engine.submit`, but for what is known. Equal ones share one future.

        Shortlists must be those of the sources, and take no part in what is compared.
        """
        cache = self._cache
        if cache is None or not use_cache:
            return self._engine.submit(
                sources, generation, options=options, deadline=deadline, priority=priority,
                on_decided=on_decided,
            )  # fmt: skip
        searches = generation
        if isinstance(searches, GenerationConfig):
            searches = [searches] * len(sources)
        futures: dict[Hashable, ResultFuture[SequenceResult]] = {}
        keys: list[Hashable] = []
        asked: dict[Hashable, int] = {}
        for number, bound in enumerate(zip(sources, searches, options, strict=True)):
            keys.append(key := _key(cache.model, *bound))
            if key in asked or key in futures:
                cache.cache.count_hit(cache.label)
            elif (result := cache.cache.get(key, cache.label)) is None:
                asked[key] = number
            else:
                futures[key] = ResultFuture()
                futures[key].set_result(result)
        numbers = asked.values()
        submitted = self._engine.submit(
            [sources[number] for number in numbers],
            [searches[number] for number in numbers],
            options=[options[number] for number in numbers],
            deadline=deadline,
            priority=priority,
            on_decided=on_decided and [on_decided[number] for number in numbers],
        )
        for (key, number), future in zip(asked.items(), submitted, strict=True):
            futures[key] = future
            size = _size(sources[number], options[number])
            future.add_done_callback(partial(_keep, cache.cache, key, size))
        return [futures[key] for key in keys]


def _key(
    model: Hashable, source: tuple[int, ...], search: GenerationConfig, options: SequenceOptions
) -> Hashable:
    guarded = None if options.guarded is None else options.guarded.digest
    bound = (options.target_prefix, options.align_to, options.phrases, guarded, options.banned)
    return model, source, search, bound


def _size(source: tuple[int, ...], options: SequenceOptions) -> int:
    """The bytes of a key."""
    forms = [form for phrase in options.phrases for form in phrase.forms]
    lists = (source, options.target_prefix, *forms, *options.banned)
    return _BYTES_AN_ENTRY + sum(100 + _BYTES_A_NUMBER * len(each) for each in lists)


def _keep(
    cache: SegmentCache, key: Hashable, key_size: int, future: ResultFuture[SequenceResult]
) -> None:
    if future.exception() is not None:
        return
    result = future.result()._replace(
        queue_seconds=0.0, encode_seconds=0.0, decode_seconds=0.0, time_to_first_token_seconds=0.0
    )
    found = result.hypotheses
    size = key_size + sum(
        300 + len(each.target) + _BYTES_A_NUMBER * len(each.attended) for each in found
    )
    cache.put(key, result, size)
