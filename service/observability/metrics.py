"""Every metric of the service: its name, unit, labels and buckets.

Names and meanings follow vLLM's, so that a dashboard made for it needs only another prefix; what
it has no word for is named in the same style. A "request" of the engine is one text of a client's
list, or of `num_requests_...` one of its sentences; a "prompt" is a source and a "generation" is a
target. Seconds and counts only; no label ever holds what a client wrote: routes are templates,
languages are those that are served.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from service.observability.snapshot import Snapshot, merge, take_snapshot

if TYPE_CHECKING:
    from model.engine.engine import EngineStats, StepStats
    from model.segment_cache import CacheCounts
    from model.translation import Translation
    from service.autoscaling.decision import ReplicaLoad, ScalingDecision
    from service.protocol import LoadedModel

__all__ = [
    "NO_MODEL",
    "SHARED_MODELS",
    "AutoscalerMetrics",
    "DocumentMetrics",
    "GatewayMetrics",
    "ModelMetrics",
    "TranslatorMetrics",
]

SHARED_MODELS = "/shared"
"""All models that share replicas, to their autoscaler. No model has such an id."""

LATENCY_BUCKETS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    120.0,
)  # fmt: skip
"""120 s is the longest a request may take by default."""
STEP_BUCKETS = (0.0001, 0.00025, 0.0005, *LATENCY_BUCKETS)
"""0.1 ms is one step of a single sentence with a small model."""
DOCUMENT_BUCKETS = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0)
ROW_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
TOKEN_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)

_LOAD_GAUGES = {
    "waiting_source_tokens": "Source tokens that wait for slots.",
    "running_source_tokens": "Source tokens of the sentences that hold slots.",
    "arriving_source_tokens_per_second": "Source tokens accepted, per second.",
    "capacity_source_tokens_per_second": (
        "Source tokens given slots per second while somebody always waited; 0 until then."
    ),
}
_DECISION_GAUGES = {
    "target_replicas": "Replicas there should be.",
    "needed_replicas": "Replicas that the load of this moment alone would need.",
    "queue_time_seconds": "Estimated 95th percentile of the time in the queue.",
    "waiting_source_tokens": "Source tokens that wait, at replicas and gateways.",
    "running_source_tokens": "Source tokens that hold slots.",
    "arriving_source_tokens_per_second": "Source tokens accepted by replicas, per second.",
    "capacity_source_tokens_per_second": (
        "Source tokens one replica takes per second when many wait; 0 while unknown."
    ),
}
_FIELDS = {"target_replicas": "replicas", "queue_time_seconds": "queue_seconds"}
"""Fields of `service.autoscaling.decision` that a gauge shows under another name."""

_OTHER = "other"
"""The languages of pairs, or the models, beyond the limit."""
NO_MODEL = frozenset({"", _OTHER})
"""Values of the label `model_name` that are not the id of a model."""

_Metric = TypeVar("_Metric", Counter, Gauge, Histogram)


class _Metrics:
    """A registry.

    Args:
        labels: set on every metric that is made here.
    """

    def __init__(self, **labels: str) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._labels = labels

    def _new(self, kind: type[_Metric], name: str, documentation: str, **options: Any) -> _Metric:
        name, labels = f"polyhead_{name}", tuple(self._labels)
        family = kind(name, documentation, labels, registry=self.registry, **options)
        return family.labels(**self._labels) if labels else family

    def _new_gauges(self, prefix: str, documentations: Mapping[str, str]) -> dict[str, Gauge]:
        """Gauges by the field of `service.autoscaling.decision` that they show."""
        return {
            _FIELDS.get(name, name.replace("_source_", "_")): self._new(Gauge, prefix + name, text)
            for name, text in documentations.items()
        }


class _ProcessMetrics(_Metrics):
    """The registry of one process.

    Args:
        component: what the process is, for `polyhead_process_up`.
        labels: set on every metric that is made here.
    """

    def __init__(self, component: str, **labels: str) -> None:
        super().__init__(**labels)
        up = Gauge(
            "polyhead_process_up",
            "1 for each process that reports, by what it is.",
            ("component",),
            registry=self.registry,
        )
        up.labels(component).set(1)


class DocumentMetrics:
    """Metrics of the documents that a gateway takes in and translates; without names or keys."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._documents = Counter(
            "polyhead_documents",
            "Documents, by format and what became of them: accepted, done, failed.",
            ("format", "state"),
            registry=registry,
        )
        self._duration = Histogram(
            "polyhead_document_duration_seconds",
            "Time from a document's arrival until it has been translated, by format.",
            ("format",),
            buckets=DOCUMENT_BUCKETS,
            registry=registry,
        )
        self.in_work = Gauge(
            "polyhead_documents_in_work", "Documents that are being translated.", registry=registry
        )

    def count(self, format: str, state: str, seconds: float | None = None) -> None:
        """Counts a document.

        Args:
            format: one of those that are known.
            state: accepted, done or failed.
            seconds: since it arrived, if it is done.
        """
        self._documents.labels(format, state).inc()
        if seconds is not None:
            self._duration.labels(format).observe(seconds)


class GatewayMetrics(_ProcessMetrics):
    """Metrics of a gateway. Used on its event loop only.

    Args:
        max_pairs: language pairs that are told apart, the first ones that are served; a broad model
            has tens of thousands, and each would be a family of series.
        max_models: models that are told apart, the first ones that refuse something.
    """

    def __init__(self, *, max_pairs: int = 200, max_models: int = 200) -> None:
        super().__init__("gateway")
        self._max_pairs = max_pairs
        self._max_models = max_models
        self._pairs: set[tuple[str, str]] = {("", "")}
        self._of_kind: dict[tuple[str, int, str, str], tuple[Counter, tuple[Histogram, ...]]] = {}
        """By route, status and pair."""
        self._requests = Counter(
            "polyhead_http_requests",
            "HTTP requests, by route template, status and language pair.",
            ("route", "status", "source", "target"),
            registry=self.registry,
        )
        self._duration = Histogram(
            "polyhead_http_request_duration_seconds",
            "Time from a request's arrival at the gateway to the end of its answer.",
            ("route",),
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self._e2e_latency = Histogram(
            "polyhead_e2e_request_latency_seconds",
            "The same for translations that succeeded, by language pair.",
            ("source", "target"),
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self._in_flight = _InFlight()
        self.registry.register(self._in_flight)
        self._retries = Counter(
            "polyhead_request_retries",
            "Attempts after or beside another one, by reason: lost, unavailable; timeout (beside).",
            ("reason",),
            registry=self.registry,
        )
        self._overloaded = Counter(
            "polyhead_http_requests_overloaded",
            "HTTP requests that were refused since there was too much to do, by model. What is "
            "refused before its model is known counts for those in work, by their shares.",
            ("model_name", "placement"),
            registry=self.registry,
        )
        self._refused = Counter(
            "polyhead_http_requests_refused",
            "HTTP requests that their client may not make, or not now, by the kind of the error.",
            ("reason",),
            registry=self.registry,
        )
        self._characters = Counter(
            "polyhead_characters",
            "Characters of the texts of requests that succeeded, which count for quotas.",
            registry=self.registry,
        )
        self.documents = DocumentMetrics(self.registry)
        self._names: set[str] = {""}
        self._shared: Mapping[str, bool] = {}

    def read_in_flight(self, source: Callable[[], Mapping[str, int]]) -> None:
        """Reads the requests in flight by route from `source`, which must be thread-safe."""
        self._in_flight.source = source

    def set_models(self, shared: Mapping[str, bool]) -> None:
        """Sets which models there are; what was counted for others is forgotten.

        Args:
            shared: whether they share replicas, by id.
        """
        for name, placement in list(self._overloaded._metrics):
            if name not in NO_MODEL and placement != self._placement(name, shared):
                self._overloaded.remove(name, placement)
        self._names &= {"", *shared}
        self._shared = shared

    @staticmethod
    def _placement(name: str, shared: Mapping[str, bool]) -> str:
        return ("shared" if shared[name] else "dedicated") if name in shared else ""

    def observe_request(
        self, route: str, status: int, seconds: float, *, source: str = "", target: str = ""
    ) -> None:
        """Counts a request that was answered `seconds` after it arrived, or whose client left.

        Args:
            route: the template it matched.
            source, target: codes that are served, or empty.
        """
        if (source, target) not in self._pairs:
            if len(self._pairs) <= self._max_pairs:
                self._pairs.add((source, target))
            else:
                source = target = _OTHER
        kind = (route, status, source, target)
        if (known := self._of_kind.get(kind)) is None:
            known = self._of_kind[kind] = self._kind(*kind)
        count, durations = known
        count.inc()
        for duration in durations:
            duration.observe(seconds)

    def _kind(
        self, route: str, status: int, source: str, target: str
    ) -> tuple[Counter, tuple[Histogram, ...]]:
        """What counts and times requests of a kind; to look it up takes longer than to count."""
        durations = [self._duration.labels(route)]
        if status < 400 and source and target:
            durations.append(self._e2e_latency.labels(source, target))
        return self._requests.labels(route, str(status), source, target), tuple(durations)

    def count_overload(self, shares: Mapping[str, float]) -> None:
        """Counts a request that was refused for overload, which is demand to the autoscaler.

        Args:
            shares: of the models that it counts for, by id; they add up to 1, or there are none.
        """
        for name, share in (shares or {"": 1.0}).items():
            known = name in self._names or len(self._names) <= self._max_models
            if known:
                self._names.add(name)
            placement = self._placement(name, self._shared)
            self._overloaded.labels(name if known else _OTHER, placement).inc(share)

    def count_refusal(self, reason: str) -> None:
        """Counts a request for whose client it was refused: its key, or what it may use."""
        self._refused.labels(reason).inc()

    def count_characters(self, characters: int) -> None:
        """Counts the characters of the texts of a request that succeeded."""
        self._characters.inc(characters)

    def count_retry(self, reason: str) -> None:
        """Counts an attempt after another one, or beside it."""
        self._retries.labels(reason).inc()


class TranslatorMetrics(_ProcessMetrics):
    """Metrics of a translator replica: of itself, and of each model that it has held.

    Args:
        memory_budget: bytes that its models may take; None is no limit.
    """

    def __init__(self, memory_budget: int | None = None) -> None:
        super().__init__("translator")
        self._models: dict[str, ModelMetrics] = {}
        self._new(
            Gauge,
            "model_memory_budget_bytes",
            "Memory that the models of a process may take together; 0 is no limit.",
        ).set(memory_budget or 0)
        self._load_time = self._new(
            Histogram, "model_load_seconds", "Time to load a model.", buckets=LATENCY_BUCKETS
        )
        self._cache_bytes = self._new(
            Gauge,
            "segment_cache_bytes",
            "Memory of a process for results of segments that may come again, by estimate.",
        )

    def of(self, model_name: str) -> ModelMetrics:
        """Those of one model. They stay when it goes, so that its counters only grow."""
        if (known := self._models.get(model_name)) is not None:
            return known
        return self._models.setdefault(model_name, ModelMetrics(model_name))

    def keep_models(self, names: set[str]) -> None:
        """Forgets all models but these."""
        self._models = {name: each for name, each in self._models.items() if name in names}

    def snapshot(self) -> Snapshot:
        """All of them; what has not changed is not collected anew. On one thread."""
        models = list(self._models.values())
        return merge([take_snapshot(self.registry), *(model.snapshot() for model in models)])

    def observe_load(self, model_name: str, seconds: float) -> None:
        """Records that a model has been loaded."""
        self._load_time.observe(seconds)
        self.of(model_name).loads.inc()

    def set_cache(self, size: int) -> None:
        """Sets the bytes of the cache of segments."""
        self._cache_bytes.set(size)

    def set_loaded(self, loaded: Iterable[LoadedModel]) -> None:
        """Sets the gauges of what is in memory."""
        held: dict[str, list[LoadedModel]] = {name: [] for name in list(self._models)}
        for each in loaded:
            held.setdefault(each.id, []).append(each)
        for name, models in held.items():
            self.of(name).set_loaded(models)


class ModelMetrics(_Metrics):
    """Metrics of one model in a translator replica.

    `observe_translations` is called on its event loop, `observe_steps` and what sets gauges on one
    other thread, the counters on any.
    """

    def __init__(self, model_name: str) -> None:
        super().__init__(model_name=model_name)
        self.loads = self._new(Counter, "model_loads", "Times that a model was loaded.")
        self.load_failures = self._new(
            Counter, "model_load_failures", "Times that a model could not be loaded."
        )
        self.evictions = self._new(
            Counter, "model_evictions", "Times that a model made room for another."
        )
        self._seen: tuple[object, ...] = ()
        """What the gauges were set to last, and how much had been counted then."""
        self._snapshot: Snapshot | None = None
        self._stats: EngineStats | None = None
        self._rates: tuple[float, ...] = ()
        self._models: Sequence[LoadedModel] = ()
        self._num_changes = 0
        self._loaded = self._new(Gauge, "models_loaded", "1 for a model that is in memory.")
        self._memory = self._new(
            Gauge, "model_memory_bytes", "Memory of a model, as computed; 0 if it is not loaded."
        )
        self._prompt_tokens = self._new(Counter, "prompt_tokens", "Source tokens translated.")
        self._generation_tokens = self._new(Counter, "generation_tokens", "Target tokens produced.")
        self._sentences = self._new(Counter, "sentences", "Sentences translated.")
        self._cache_hits = self._new(
            Counter, "segment_cache_hits", "Sentences whose result was kept from before."
        )
        self._cache_misses = self._new(
            Counter, "segment_cache_misses", "Sentences that were looked for and not kept."
        )
        self._success = Counter(
            "polyhead_request_success",
            "Texts translated, by the reason for their end.",
            ("model_name", "finished_reason"),
            registry=self.registry,
        )
        self._queue_time = self._histogram(
            "request_queue_time_seconds", "Longest wait of a text's sentences for a slot."
        )
        self._prefill_time = self._histogram(
            "request_prefill_time_seconds", "Time in the encoder, per text."
        )
        self._decode_time = self._histogram(
            "request_decode_time_seconds", "Time in the decoder, per text."
        )
        self._first_token = self._histogram(
            "time_to_first_token_seconds", "From a text's submission to its first target token."
        )
        self._prompt_len = self._histogram(
            "request_prompt_tokens", "Source tokens of a text.", TOKEN_BUCKETS
        )
        self._generation_len = self._histogram(
            "request_generation_tokens", "Target tokens of a text.", TOKEN_BUCKETS
        )
        self._add_engine()

    def _add_engine(self) -> None:
        """The metrics of its engine's steps and slots."""
        self._inter_token = self._step_histogram(
            "inter_token_latency_seconds",
            "Time between two target tokens of a sentence.",
            STEP_BUCKETS,
        )
        self._iteration_tokens = self._step_histogram(
            "iteration_tokens_total", "Source and target tokens of one engine step.", TOKEN_BUCKETS
        )
        self._batch_rows = self._step_histogram(
            "batch_rows", "Rows (hypotheses) decoded together in one engine step.", ROW_BUCKETS
        )
        self._running = self._new(Gauge, "num_requests_running", "Sentences that hold slots.")
        self._waiting = self._new(Gauge, "num_requests_waiting", "Sentences that wait for slots.")
        self._slots_in_use = self._new(Gauge, "slots_in_use", "Rows of the KV cache in use.")
        self._slots = self._new(Gauge, "slots", "Rows of the KV cache.")
        self._cache_usage = self._new(
            Gauge, "kv_cache_usage_perc", "Share of the slots in use, 0 to 1."
        )
        self._load = self._new_gauges("", _LOAD_GAUGES)

    def observe_translations(self, translations: Iterable[Translation]) -> None:
        """Records translated texts; a blank one has no times and no tokens."""
        self._num_changes += 1
        for translation in translations:
            reason = str(translation.finish_reason)
            self._success.labels(**self._labels, finished_reason=reason).inc()
            self._prompt_tokens.inc(translation.source_tokens)
            self._generation_tokens.inc(translation.target_tokens)
            self._sentences.inc(translation.num_sentences)
            if translation.time_to_first_token_seconds is None:
                continue
            self._first_token.observe(translation.time_to_first_token_seconds)
            self._queue_time.observe(translation.queue_seconds)
            self._prefill_time.observe(translation.encode_seconds)
            self._decode_time.observe(translation.decode_seconds)
            self._prompt_len.observe(translation.source_tokens)
            self._generation_len.observe(translation.target_tokens)

    def count_cached(self, counts: CacheCounts) -> None:
        """Adds what was counted of the cache of segments."""
        self._num_changes += 1
        self._cache_hits.inc(counts.hits)
        self._cache_misses.inc(counts.misses)

    def observe_steps(self, steps: Iterable[StepStats]) -> None:
        """Records steps of the engine's runners."""
        for step in steps:
            self._num_changes += 1
            self._batch_rows.observe(step.rows / step.steps, count=step.steps)
            # The first gap of those already running includes the encoding of the newcomers, whose
            # own first token is time to first token, not inter-token latency.
            gap = step.decode_seconds / step.steps
            self._inter_token.observe(
                step.encode_seconds + gap, count=step.running - step.newcomers
            )
            self._inter_token.observe(gap, count=step.running * (step.steps - 1))
            self._iteration_tokens.observe(step.encoded_tokens + step.running)
            self._iteration_tokens.observe(step.running, count=step.steps - 1)

    def set_loaded(self, models: Sequence[LoadedModel]) -> None:
        """Sets the gauges of its revisions that are in memory."""
        self._models = models
        self._loaded.set(len(models))
        self._memory.set(sum(each.bytes for each in models))

    def set_engine(self, stats: EngineStats) -> None:
        """Sets the gauges of the engine's state; without slots it is not loaded."""
        self._stats = stats
        self._running.set(stats.running)
        self._waiting.set(stats.waiting)
        self._slots_in_use.set(stats.slots_used)
        self._slots.set(stats.max_slots)
        self._cache_usage.set(stats.slots_used / max(1, stats.max_slots))

    def set_load(self, load: ReplicaLoad) -> None:
        """Sets the gauges of the load reported to the autoscaler."""
        for field, gauge in self._load.items():
            gauge.set(getattr(load, field))
        # To a tenth: rates fade for ever.
        self._rates = tuple(round(getattr(load, field), 1) for field in self._load)

    def snapshot(self) -> Snapshot:
        """Its families; those of last time, if nothing has changed.

        With many models, most of which are idle, that saves a tenth of a CPU.
        """
        counted = [each._value.get() for each in (self.loads, self.load_failures, self.evictions)]
        sizes = [(each.key, each.bytes) for each in self._models]
        seen = (self._num_changes, self._stats, self._rates, counted, sizes)
        if self._snapshot is None or seen != self._seen:
            self._seen, self._snapshot = seen, take_snapshot(self.registry)
        return self._snapshot

    def _histogram(
        self, name: str, documentation: str, buckets: Sequence[float] = LATENCY_BUCKETS
    ) -> Histogram:
        return self._new(Histogram, name, documentation, buckets=buckets)

    def _step_histogram(
        self, name: str, documentation: str, buckets: Sequence[float]
    ) -> _WeightedHistogram:
        histogram = _WeightedHistogram(f"polyhead_{name}", documentation, self._labels, buckets)
        self.registry.register(histogram)
        return histogram


class AutoscalerMetrics(_ProcessMetrics):
    """Metrics of the autoscaling of one deployment."""

    def __init__(self, deployment: str) -> None:
        super().__init__("autoscaler", deployment=deployment)
        self._gauges = self._new_gauges("autoscaling_", _DECISION_GAUGES)
        self._changes = Counter(
            "polyhead_autoscaling_changes",
            "Changes of the number of replicas, by direction and reason.",
            ("deployment", "direction", "reason"),
            registry=self.registry,
        )

    def record(self, decision: ScalingDecision, *, before: int) -> None:
        """Records a decision; `before` is the target number of replicas until then."""
        for field, gauge in self._gauges.items():
            gauge.set(getattr(decision, field))
        if decision.replicas != before:
            direction = "up" if decision.replicas > before else "down"
            reason = str(decision.reason)
            self._changes.labels(**self._labels, direction=direction, reason=reason).inc()


class _InFlight(Collector):
    """The gauge of requests in flight, which admission control counts."""

    def __init__(self) -> None:
        self.source: Callable[[], Mapping[str, int]] = dict

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "polyhead_http_requests_in_flight",
            "HTTP requests that are being answered.",
            labels=("route",),
        )
        for route, count in self.source().items():
            family.add_metric((route,), count)
        yield family


class _WeightedHistogram(Collector):
    """A histogram that observes a value many times at the cost of one.

    A step with a full batch is a hundred inter-token latencies, each a call of prometheus-client's
    own histogram.
    """

    def __init__(
        self, name: str, documentation: str, labels: dict[str, str], buckets: Sequence[float]
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self._bounds = tuple(buckets)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float, *, count: int = 1) -> None:
        """Observes `value`, `count` times."""
        self._counts[bisect_left(self._bounds, value)] += count
        self._sum += value * count

    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = HistogramMetricFamily(self._name, self._documentation, labels=tuple(self._labels))
        buckets = []
        total = 0
        for bound, count in zip((*self._bounds, math.inf), self._counts, strict=True):
            total += count
            buckets.append(("+Inf" if bound == math.inf else repr(float(bound)), total))
        family.add_metric(tuple(self._labels.values()), buckets, self._sum)
        yield family
